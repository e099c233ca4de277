"""Weights from files: state dicts as training programs leave them, fitted to a network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# Under these names, checkpoints keep the state dict beside optimizers and settings.
_NESTED = ("state_dict", "model_state_dict", "model")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name.

    Args:
        path: a `.safetensors` file, or one that `torch.save` wrote: a state dict, or a dict that
            holds one as "state_dict" (Lightning), "model_state_dict" or "model". Files that would
            run code on loading are refused.

    Raises:
        ValueError: naming the file, if it cannot be read or is none of these.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "last.ckpt"
        ...     torch.save({"epoch": 3, "state_dict": nn.Linear(2, 1).state_dict()}, path)
        ...     list(read_state(path))
        ['weight', 'bias']
    """
    label = f"weights {str(path)!r}"
    if not path.is_file():
        raise ValueError(f"{label} is not a file")
    state: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ValueError(f"{label} needs a package: pip install safetensors") from error
    except Exception as error:  # whatever a file that is not a state dict makes the reader raise
        raise ValueError(
            f"{label} cannot be read as a state dict: {type(error).__name__}. A file with other "
            "objects than tensors is refused; save model.state_dict() alone"
        ) from error
    while isinstance(state, dict) and (
        inner := [k for k in _NESTED if isinstance(state.get(k), dict)]
    ):
        state = state[inner[0]]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{label} is not a state dict (a dict of tensors by name)")
    return state


def load_state(model: nn.Module, state: dict[str, Tensor], label: str, name: str) -> None:
    """Loads tensors into a network, whatever a training program has put before their names.

    DataParallel's "module.", Lightning's "model." and the like are taken off, as is the
    "_orig_mod." of compiled modules. Entries of other modules beside the network (a loss, a second
    head) are left out, with a warning.

    Args:
        model: to be filled.
        state: from `read_state`.
        label, name: of the weights and of the network, for messages.

    Raises:
        ValueError: naming the first entries that do not fit, or if several networks fit.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> load_state(model, {"module.weight": torch.ones(1, 2), "module.bias": torch.zeros(1)},
        ...            "weights 'mine.pt'", "linear")
        >>> model.weight.tolist()
        [[1.0, 1.0]]
    """
    state = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    own = model.state_dict()
    # Old files lack the batch counters, which evaluation does not use.
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    found = {
        key.removesuffix(needed[0])
        for key in state
        if key == needed[0] or key.endswith(f".{needed[0]}")
    }
    full = [prefix for prefix in found if all(prefix + key in state for key in needed)]
    if len(full) > 1:
        listed = ", ".join(repr(prefix) for prefix in sorted(full))
        raise ValueError(f"{label} hold several networks that fit {name}, under {listed}: save one")
    prefix = (full or sorted(found, key=len) or [""])[0]
    part = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    faults = {
        "missing": [key for key in needed if key not in part],
        "not of this network": [key for key in part if key not in own],
        "of another shape": [
            f"{key} {tuple(part[key].shape)} for {tuple(own[key].shape)}"
            for key in needed
            if key in part and part[key].shape != own[key].shape
        ],
    }
    if any(faults.values()):
        told = [f"{_first(keys)} {problem}" for problem, keys in faults.items() if keys]
        raise ValueError(f"{label} do not fit {name}: {'; '.join(told)}")
    if len(part) < len(state):
        others = [key for key in state if not key.startswith(prefix)]
        warnings.warn(
            f"{label}: only the entries under {prefix!r} are used, not {_first(others)}",
            stacklevel=3,
        )
    own.update(part)
    model.load_state_dict(own)


def _first(keys: list[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(keys[:count]) + more
