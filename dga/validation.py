"""Every argument check of the package: clear errors, before any work.

Errors name the argument, say what it was, and what would be accepted.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Targets = int | Tensor | None


def check_count(name: str, value: int, least: int = 1) -> None:
    """Raises unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_share(name: str, value: float) -> None:
    """Raises unless `value` is a number in 0..1."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number from 0 to 1, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value}")


def check_number(name: str, value: float, least: float = -math.inf) -> None:
    """Raises unless `value` is a finite number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < least:
        bound = f"a finite number of at least {least:g}" if least > -math.inf else "finite"
        raise ValueError(f"{name} must be {bound}, got {value}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


class TrainingGuard(TorchFunctionMode):
    """Stops `F.dropout(..., training=True)` and its like, which no module gives away."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        chance = 0.0
        if kwargs.get("training") is True:
            given = inspect.signature(func).bind(*args, **kwargs).arguments
            chance = given.get("p", given.get("dropout_p", 1.0))  # batch_norm has none
        elif name in ("dropout", "dropout_") and len(args) == 3 and args[2] is True:
            chance = args[1]  # torch.dropout(input, p, train)
        if chance > 0:
            raise ValueError(
                f"model calls {name}(training=True), whose result is random or depends on the "
                "batch: call model.eval() first"
            )
        return func(*args, **kwargs)


# Layers of torch, torchvision and timm that are not subclasses of what is tested below.
_NAMED = {"StochasticDepth": "p", "DropPath": "drop_prob", "DropBlock2d": "p", "DropBlock3d": "p"}


def _depends_on_training(module: nn.Module) -> bool:
    name = type(module).__name__
    if isinstance(module, nn.modules.batchnorm._BatchNorm) or name == "_SpectralNorm":
        return True
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return module.track_running_stats
    if isinstance(module, nn.modules.dropout._DropoutNd) or name in _NAMED:
        return (getattr(module, _NAMED.get(name, "p"), None) or 0) > 0
    if isinstance(module, nn.RReLU):
        return True
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return module.dropout > 0
    hooks = module._forward_pre_hooks.values()  # the older spectral_norm is a hook
    if any(type(hook).__name__ == "SpectralNorm" for hook in hooks):
        return True
    return bool(getattr(module, "aux_logits", False))  # Inception-v3 and GoogLeNet return tuples


def check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    for name, module in model.named_modules():
        label = f"{name or 'model'} ({type(module).__name__})"
        if module.training and _depends_on_training(module):
            raise ValueError(
                f"model is in training mode and its layer {label} behaves differently there: "
                "call model.eval() first"
            )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"layer {label} keeps no running statistics, so the score of one picture depends "
                "on the others in its batch; attribution needs track_running_stats=True"
            )


def check_inputs(model: nn.Module, inputs: Tensor) -> None:
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs must be a tensor, got {type(inputs).__name__}")
    if not inputs.is_floating_point():
        raise TypeError(
            f"inputs must be floating point and normalised as the model expects, got {inputs.dtype}"
        )
    if inputs.dim() == 3:
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)}; a batch (B, C, H, W) is needed: inputs[None]"
        )
    if inputs.dim() not in (2, 4):
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)}; (B, C, H, W) or (B, features) is needed"
        )
    if inputs.numel() == 0:
        raise ValueError(f"inputs is empty: shape {tuple(inputs.shape)}")
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs holds values that are not finite (NaN or infinity)")
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None:
        return
    if parameter.device != inputs.device:
        raise ValueError(
            f"inputs is on {inputs.device} and the model on {parameter.device}: move one of them"
        )
    if parameter.dtype != inputs.dtype:
        raise TypeError(
            f"inputs is {inputs.dtype} and the model {parameter.dtype}: convert one of them"
        )


def check_targets(targets: Targets, inputs: Tensor) -> Tensor | None:
    batch = len(inputs)
    if targets is None:
        return None
    accepted = f"None, an int, or integers of shape ({batch},)"
    try:
        values = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"targets must be {accepted}, got {type(targets).__name__}") from error
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"targets must be {accepted}, got {values.dtype}")
    if values.dim() > 1:
        raise ValueError(f"targets has shape {tuple(values.shape)}; accepted is {accepted}")
    if values.dim() == 1 and len(values) != batch:
        raise ValueError(f"targets has {len(values)} entries for a batch of {batch} inputs")
    return values.long().expand(batch)
