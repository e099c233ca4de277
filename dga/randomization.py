"""Networks that lose what they learned, layer by layer: do explanations lose it as well?"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.utils._python_dispatch import TorchDispatchMode

from dga.twin import _caught, lending, unwrapped

_POWER_STEPS = 30  # torch takes 15 when a spectral norm is put on


def cascading_randomization(model: nn.Module, *, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Copies of a network whose layers lose what they learned, from the last to the first.

    The sanity check of Adebayo et al. (2018): an attribution that stays the same does not explain
    the network. A layer starts again as it does when it is built (`reset_parameters`). Parameters
    that this leaves as they are (bare ones, layer scales, those behind a weight norm, a spectral
    norm or pruning) are drawn from a normal distribution with the mean and spread of their own
    entries. torch's global random state is not touched.

    Args:
        model: a module with parameters.
        seed: of the fresh parameters.

    Yields:
        Name of the layer just randomised, and the network so far, one and the same copy each time.

    Raises:
        ValueError: if there are no parameters, if one did not change, or if a layer runs a function
            that holds on to the original, which a copy would run too.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
        >>> [name for name, _ in cascading_randomization(model)]
        ['1', '0']
    """
    model = unwrapped(model)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    with lending:
        for name, module in model.named_modules():
            if any(map(_holds_a_module, vars(module).values())):
                raise ValueError(
                    f"layer {name or 'model'!r} ({type(module).__name__}) was patched with a "
                    "function that holds on to the original network, so no copy can be randomised"
                )
        copy = _copied(model)
    steps = _steps(copy)
    if not steps:
        raise ValueError(f"model ({type(model).__name__}) has no parameters")

    def networks() -> Iterator[tuple[str, nn.Module]]:
        for index, (name, layer, parameters) in enumerate(reversed(steps)):
            _randomise(name, layer, parameters, _Seeded(seed + index))
            yield name, copy

    return networks()


def _holds_a_module(value: Any) -> bool:
    """Whether a function that was put on a layer would still run the original in a copy."""
    return _caught(value.__func__ if isinstance(value, MethodType) else value)


def _copied(model: nn.Module) -> nn.Module:
    """A copy; what weight norm and pruning compute before every pass cannot be copied as it is."""
    computed = [v for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor)]
    copy = deepcopy(model, {id(v): v.detach().clone() for v in computed})
    for module in copy.modules():
        module._compiled_call_impl = None
    return copy


def _steps(model: nn.Module) -> list[tuple[str, nn.Module, dict[str, nn.Parameter]]]:
    """Every layer with parameters of its own; a parametrised one has them further down."""
    seen: set[int] = set()
    steps = []
    for name, module in model.named_modules():
        parts = list(module.named_parameters(recurse=False))
        if parametrize.is_parametrized(module):
            inside = module.parametrizations.named_parameters()  # type: ignore[operator, union-attr]
            parts += [(f"parametrizations.{n}", p) for n, p in inside]
        own = {n: p for n, p in parts if id(p) not in seen}
        seen |= {id(p) for p in own.values()}
        if own:
            steps.append((name, module, own))
    return steps


def _randomise(
    name: str, layer: nn.Module, parameters: dict[str, nn.Parameter], seeded: _Seeded
) -> None:
    before = {key: p.detach().clone() for key, p in parameters.items()}
    reset = getattr(layer, "reset_parameters", None)
    with torch.no_grad(), seeded:
        if callable(reset):
            reset()
        for key, p in parameters.items():
            if torch.equal(p, before[key]) and p.is_floating_point():
                spread = p.float().std(correction=0) or p.float().abs().mean() or 0.01
                p.normal_().mul_(float(spread)).add_(before[key].mean())
        _measure_norm_again(layer)
    for key, p in parameters.items():
        if torch.equal(p, before[key]):
            path = f"{name}.{key}" if name else key
            raise ValueError(f"parameter {path!r} could not be randomised ({p.dtype})")


def _measure_norm_again(layer: nn.Module) -> None:
    """A spectral norm knows its weights by vectors that it improves only in training mode."""
    hooks = [h for h in layer._forward_pre_hooks.values() if isinstance(h, SpectralNorm)]
    inside = getattr(layer, "parametrizations", {})
    named = [n for n, ps in inside.items() if any(isinstance(p, _SpectralNorm) for p in ps)]
    before = layer.training
    layer.train()
    for _ in range(_POWER_STEPS):
        for hook in hooks:
            hook(layer, None)
        for name in named:
            getattr(layer, name)
    layer.train(before)


class _Seeded(TorchDispatchMode):
    """Random numbers of this thread come from a generator of their own, one for each device."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        draws = any(argument.name == "generator" for argument in func._schema.arguments)
        if draws and args and isinstance(args[0], Tensor) and kwargs.get("generator") is None:
            device = args[0].device
            if device not in self._generators:
                self._generators[device] = torch.Generator(device).manual_seed(self._seed)
            kwargs = {**kwargs, "generator": self._generators[device]}
        return func(*args, **kwargs)
