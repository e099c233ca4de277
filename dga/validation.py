"""Every argument check of the package: clear errors, before any work.

Errors name the argument, say what it was, and what would be accepted.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

Model = Callable[..., Any]  # a torch.nn.Module, or any function from inputs to an output
Targets = int | Sequence[int] | Tensor | Callable[[Any], Tensor] | None


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


class Watch(TorchFunctionMode):
    """Watches a forward pass: what it calls, and what no module gives away.

    Stops `F.dropout(..., training=True)` and its like, and what would write into a parameter.

    Args:
        parameters: tensors that are not to be written into.

    Attributes:
        called: names of the functions that were called.
        leaf: the input of the pass; normalising anything else by its own statistics, weights for
            example, is harmless.
        drew: whether random numbers came out of a generator of the network's own.
    """

    def __init__(self, parameters: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.called: set[str] = set()
        self.leaf: Tensor | None = None
        self.drew = False
        self._memory = {p.untyped_storage()._cdata for p in parameters if _has_memory(p)}

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").partition(".")[0]  # a graph's have an overload behind
        self.called.add(name)
        self.drew |= isinstance(kwargs.get("generator"), torch.Generator)
        written = kwargs.get("out", args[0] if args and _writes(name) else None)
        for value in written if isinstance(written, list | tuple) else (written,):
            if isinstance(value, Tensor) and _has_memory(value):
                with torch._C.DisableTorchFunction():
                    if value.untyped_storage()._cdata in self._memory:
                        raise WritesParameters(name)
        if name == "conv2d" and self.leaf is not None and self.leaf.dim() == 3:
            convolved = args[0] if args else kwargs["input"]
            if convolved.dim() == 3:  # torch takes a picture without a batch too
                raise ValueError(
                    f"inputs has shape {tuple(self.leaf.shape)}, and the model convolves it as one "
                    "picture (C, H, W); a batch of it is inputs[None]"
                )
        chance = 0.0
        if kwargs.get("training") is True:
            given = inspect.signature(func).bind(*args, **kwargs).arguments
            chance = given.get("p", given.get("dropout_p", 1.0))  # batch_norm has none
            if name == "batch_norm" and not _comes_from(given.get("input"), self.leaf):
                chance = 0.0
        elif name in ("dropout", "dropout_") and len(args) == 3 and args[2] is True:
            chance = args[1]  # torch.dropout(input, p, train)
        elif name == "batch_norm" and len(args) > 5 and args[5] is True:
            chance = float(_comes_from(args[0], self.leaf))  # torch.batch_norm, and a graph's
        if chance > 0:
            raise ValueError(
                f"model calls {name}(training=True), whose result is random or depends on the "
                "batch: call model.eval() first"
            )
        return func(*args, **kwargs)


class WritesParameters(Exception):
    """A forward pass is about to write into the model's own parameters."""


def _writes(name: str) -> bool:
    """Whether a function of torch changes its first argument: add_, __setitem__, __iadd__."""
    if name.startswith(("__set", "__i")):
        return True
    return name.endswith("_") and (name[:1] != "_" or name.startswith("_foreach"))


def _has_memory(value: Tensor) -> bool:
    return type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided


def _comes_from(value: Any, leaf: Tensor | None) -> bool:
    """Whether autograd leads from a tensor back to the leaf."""
    with torch._C.DisableTorchFunction():
        if leaf is None or not isinstance(value, Tensor):
            return True
        if not leaf.requires_grad:
            return False  # nobody can say; the first pass, in which it did, has been seen
        wanted = torch.autograd.graph.get_gradient_edge(leaf).node
        seen: set[Any] = set()
        open_ = [value.grad_fn]
        while open_:
            node = open_.pop()
            if node is wanted:
                return True
            if node is not None and node not in seen:
                seen.add(node)
                open_.extend(following for following, _ in node.next_functions)
    return False


# Layers of torch, torchvision and timm that are not subclasses of what is tested below.
_NAMED = {"StochasticDepth": "p", "DropPath": "drop_prob", "DropBlock2d": "p", "DropBlock3d": "p"}


_SCRIPTED = {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "RReLU"}


def _depends_on_training(module: nn.Module) -> bool:
    # A script tells the name of what it was made of, and nothing else.
    name = getattr(module, "original_name", type(module).__name__)
    if isinstance(module, nn.modules.batchnorm._BatchNorm) or name == "_SpectralNorm":
        return True
    if isinstance(module, torch.jit.ScriptModule) and name in _SCRIPTED:
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


def check_model(model: Model) -> None:
    """Raises unless `model` can be called and depends neither on its batch nor on chance."""
    if not callable(model):
        raise TypeError(
            f"model must be a torch.nn.Module or a function, got {type(model).__name__}"
        )
    model = getattr(model, "__self__", model)  # a module's own method
    if not isinstance(model, nn.Module):
        return
    for name, module in model.named_modules():
        label = f"{name or 'model'} ({getattr(module, 'original_name', type(module).__name__)})"
        if getattr(module, "training", False) and _depends_on_training(module):
            raise ValueError(
                f"model is in training mode and its layer {label} behaves differently there: "
                "call model.eval() first"
            )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"layer {label} keeps no running statistics, so the score of one picture depends "
                "on the others in its batch; attribution needs track_running_stats=True"
            )
        if any(map(is_lazy, module._parameters.values())):
            raise ValueError(f"layer {label} has no weights yet: run the model once")


def check_inputs(model: Model, inputs: Tensor) -> None:
    """Raises unless `inputs` is a finite floating-point batch that fits the parameters."""
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs must be a tensor, got {type(inputs).__name__}")
    if not inputs.is_floating_point():
        raise TypeError(
            f"inputs must be floating point and normalised as the model expects, got {inputs.dtype}"
        )
    if inputs.dim() < 2:
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)}; a batch is needed, for example (B, C, H, W) "
            "or (B, features)"
        )
    if inputs.numel() == 0:
        raise ValueError(f"inputs is empty: shape {tuple(inputs.shape)}")
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs holds values that are not finite (NaN or infinity)")
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    parameter = next((p for p in parameters if p.is_floating_point()), None)
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


def check_targets(targets: Targets, inputs: Tensor) -> Tensor | Callable[[Any], Tensor] | None:
    """The classes as int64 (B,), a callable as it is, or None."""
    batch = len(inputs)
    if targets is None or (callable(targets) and not isinstance(targets, Tensor)):
        return targets
    accepted = (
        f"None, an int, integers of shape ({batch},), or a callable from the model's output to "
        f"({batch},) scores"
    )
    try:
        values = targets if isinstance(targets, Tensor) else torch.as_tensor(targets, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"targets must be {accepted}, got {type(targets).__name__}") from error
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"targets must be {accepted}, got {values.dtype}")
    if values.dim() > 1:
        raise ValueError(f"targets has shape {tuple(values.shape)}; accepted is {accepted}")
    if values.dim() == 1 and len(values) != batch:
        raise ValueError(f"targets has {len(values)} entries for a batch of {batch} inputs")
    return values.long().expand(batch)


def check_extra_args(extra_args: Sequence[Any]) -> None:
    """Raises unless `extra_args` is a sequence of arguments."""
    if not isinstance(extra_args, tuple | list):
        raise TypeError(
            "extra_args must be a tuple of what the model takes behind its inputs, got "
            f"{type(extra_args).__name__}"
        )


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory did not suffice, of a GPU or of this machine."""
    # The CPU's allocator raises a plain RuntimeError.
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "DefaultCPUAllocator" in str(error)
