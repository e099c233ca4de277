"""Weights from files: state dicts as training programs leave them, fitted to a network."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# Under these names, checkpoints keep the state dict beside optimizers and settings.
_NESTED = ("state_dict", "model_state_dict", "model")
_DEPTH = 8


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name.

    Args:
        path: a `.safetensors` file, or one that `torch.save` wrote: a state dict, or a dict that
            holds one as "state_dict" (Lightning), "model_state_dict" or "model". Files that would
            run code on loading are refused. `~` is the home folder.

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
    file = os.path.expanduser(path)
    if not os.path.isfile(file):
        raise ValueError(f"{label} is not a file")
    state: Any
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ValueError(f"{label} needs a package: pip install safetensors") from error
    except OSError as error:
        raise ValueError(f"{label} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a file that is not a state dict makes the reader raise
        raise ValueError(f"{label} cannot be read as a state dict: {_reason(error)}") from error
    for _ in range(_DEPTH):  # a dict may hold itself
        inner = [k for k in _NESTED if isinstance(state, dict) and isinstance(state.get(k), dict)]
        if not inner:
            break
        state = state[inner[0]]
    if isinstance(state, dict) and state and _are(str, state) and _are(Tensor, state.values()):
        return state
    raise ValueError(f"{label} is not a state dict (a dict of tensors by name): {_held(state)}")


def _are(kind: type, things: Iterable[Any]) -> bool:
    return all(isinstance(thing, kind) for thing in things)


def _reason(error: Exception) -> str:
    text = str(error)
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        return (
            f"it holds a whole pickled model or other objects ({found[1]}), which run code on "
            "loading; save model.state_dict() alone"
        )
    if "TorchScript" in text:
        return "it is a TorchScript archive; save model.state_dict() alone"
    return f"it is damaged or of another kind ({type(error).__name__})"


def _held(state: Any) -> str:
    if not isinstance(state, dict):
        return f"it holds a {type(state).__name__}"
    if not state:
        return "it is empty"
    if not _are(str, state):
        kinds = sorted({type(key).__name__ for key in state})
        return f"its names are of type {', '.join(kinds)}"
    other = [f"{k} ({type(v).__name__})" for k, v in state.items() if not isinstance(v, Tensor)]
    return f"it holds {_first(other)}"


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
        ValueError: naming the first entries that do not fit or are not finite, or if several
            networks fit.

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
    missing = [key for key in needed if key not in part]
    unknown = [key for key in part if key not in own]
    shaped = [k for k in needed if k in part and part[k].shape != own[k].shape]
    told = {
        "missing": missing,
        "not of this network": unknown,
        "of another shape": [
            f"{k} {tuple(part[k].shape)} for {tuple(own[k].shape)}" for k in shaped
        ],
        "not of floating point": [
            key
            for key in needed
            if key in part and own[key].is_floating_point() > part[key].is_floating_point()
        ],
    }
    faults = [f"{_first(keys)} {problem}" for problem, keys in told.items() if keys]
    lengths = {(part[key].shape[:1].numel(), own[key].shape[:1].numel()) for key in shaped}
    if not missing and not unknown and len(lengths) == 1 and needed[-1] in shaped:
        faults.insert(0, "they are for {} classes, not {}".format(*max(lengths)))
    elif len(missing) + len(shaped) > len(needed) / 2:
        held = _first([f"{key} {tuple(value.shape)}" for key, value in state.items()], 2)
        faults.insert(0, f"they are of another network, {len(state)} tensors ({held})")
    if faults:
        raise ValueError(f"{label} do not fit {name}: {'; '.join(faults)}")
    if len(part) < len(state):
        others = [key for key in state if not key.startswith(prefix)]
        warnings.warn(
            f"{label}: only the entries under {prefix!r} are used, not {_first(others)}",
            stacklevel=3,
        )
    try:
        wild = [k for k in needed if own[k].is_floating_point() and not part[k].isfinite().all()]
        own.update(part)
        if not wild:
            model.load_state_dict(own)
    except (RuntimeError, NotImplementedError) as error:  # sparse, quantised or without values
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{label} do not fit {name}: {reason[:200]}") from error
    if wild:
        raise ValueError(f"{label} are broken: {_first(wild)} hold NaN or infinite values")


def _first(keys: list[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    text = ", ".join(keys[:count]) + more
    return text if text.isprintable() else repr(text)[1:-1]  # one line, whatever the names
