"""What is run instead of the model, so that the model stays as it was.

A twin has the same layers in new module objects, around detached parameters: no parameter ever
collects a gradient, not even between the steps of a suspended generator, and whatever a forward
changes (buffers, counters, lists) is the twin's. Where a model cannot be copied so (it carries
hooks, a patched forward, a script), it runs itself, and is put back after every pass.
"""

from __future__ import annotations

import random
import sys
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from dga.fusion import fusable, fuse

Network = Callable[..., Any]


def unwrapped(model: Any) -> Any:
    """The module inside `torch.compile`, whose parameters and names are the user's."""
    while isinstance(model, nn.Module) and "_orig_mod" in model._modules and not _hooked(model):
        model = model._modules["_orig_mod"]
    return model


def runner(
    model: Any, layout: torch.memory_format, own: bool = False, changing: bool = False
) -> tuple[Network, Any]:
    """What passes run, and the module that does it: a twin, the model itself, or None.

    Args:
        model: a module, or any callable.
        layout: of the weights of convolutions.
        own: copy the parameters as well, for a forward that writes into them.
        changing: a forward changes what the next one starts with, so no twin runs twice.
    """
    if not isinstance(model, nn.Module):
        return model, None
    try:
        known = {id(module) for module in model.modules()}
        if not changing and not any(_runs_itself(module, known) for module in model.modules()):
            twin = _Copy(layout, own).module(model)
            return twin, twin
    except TypeError:  # not made like other Python objects
        pass
    return partial(_run_and_put_back, model, own), model


def state(module: nn.Module) -> list[tuple[Any, Any]]:
    """All that a pass may change of a twin: what it holds, with torch's counters of writes."""
    marks: list[tuple[Any, Any]] = []
    for each in module.modules():
        for name, value in vars(each).items():
            if name in ("_parameters", "_buffers") or name not in _REGISTERED:
                _mark(value, marks)
    return marks


def same_state(
    first: list[tuple[Any, Any]], second: list[tuple[Any, Any]], values: bool = False
) -> bool:
    """Whether nothing was changed; with `values`, whether two twins hold the same."""

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, Tensor) and values:
            return type(a) is type(b) and torch.equal(a, b)
        alike = type(a) is type(b) and (a == b if type(a) in _PLAIN else values)
        return a is b or bool(alike)

    return len(first) == len(second) and all(
        (values or writes == later) and same(a, b)
        for (a, writes), (b, later) in zip(first, second, strict=True)
    )


def _mark(value: Any, marks: list[tuple[Any, Any]], depth: int = 4) -> None:
    kind = type(value)
    if kind in _PLAIN:
        marks.append((value, 0))
    elif isinstance(value, Tensor):
        marks.append((value, _writes(value)))
    elif kind in _CONTAINERS and depth:
        if isinstance(value, dict):
            marks += [(key, 0) for key in value if type(key) in _PLAIN]
        for held in value.values() if isinstance(value, dict) else value:
            _mark(held, marks, depth - 1)
    elif depth and not isinstance(value, nn.Module) and _holds_values_only(value):
        _mark(vars(value), marks, depth - 1)
    else:
        marks.append((value, 0))


def _writes(tensor: Tensor) -> tuple[int, float]:
    """How often it was written into; where `.data` was, torch does not count, and a sum tells."""
    count = 0 if tensor.is_inference() else tensor._version
    short = tensor.numel() <= 4096 and tensor.device.type == "cpu"
    known = short and not isinstance(tensor, nn.Parameter) and tensor.dtype in _SUMMED
    return count, tensor.detach().sum().item() if known else 0.0


_SUMMED = frozenset((torch.float32, torch.float64, torch.int64))
_PLAIN = frozenset((bool, int, float, str, type(None), torch.Size, torch.dtype, torch.device))


def fused(model: nn.Module, layout: torch.memory_format) -> nn.Module | None:
    """A twin of fewer layers, if one can be made of a model that can be copied."""
    # What is traced sits in cycles of references for a while: with the model's own weights.
    pairs = fusable(model, lambda: _Copy(torch.contiguous_format).module(model))
    if not pairs:
        return None
    made = _Copy(layout).module(model)
    fuse(made, pairs)
    return made


def _runs_itself(module: nn.Module, known: set[int]) -> bool:
    """Whether a copy might not do what the module does."""
    # Scripts have no parameters of their own, recurrent layers keep a second list of them.
    if isinstance(module, torch.jit.ScriptModule | nn.RNNBase):
        return True
    # A hook may look its module up; a function may have caught the module it was made in.
    caught = any(_caught(v) or _names_modules(v, known) for v in vars(module).values())
    return _hooked(module) or "forward" in vars(module) or caught


def _names_modules(value: Any, known: set[int]) -> bool:
    """Whether modules are looked up in it, by themselves or by their `id`."""
    if type(value) not in _CONTAINERS:
        return False
    by_id = any(type(key) is int and key in known for key in value)
    return by_id or (isinstance(value, dict) and any(isinstance(k, nn.Module) for k in value))


def _hooked(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks,
             module._backward_pre_hooks)  # fmt: skip
    return any(hooks)


def _caught(value: Any, depth: int = 3) -> bool:
    """Whether a function has a module in its closure or its defaults."""
    if not depth:
        return False
    if isinstance(value, partial):
        held: Any = (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, FunctionType):
        held = [found for cell in value.__closure__ or () for found in _contents(cell)]
        held += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        if any(isinstance(v, nn.Module) or isinstance(v, MethodType) for v in held):
            return True
    elif type(value) in _CONTAINERS:
        held = value.values() if isinstance(value, dict) else value
    else:
        return False
    return any(_caught(v, depth - 1) for v in held)


def _contents(cell: Any) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # nothing is in it yet
        return []


def _shortens(module: nn.Module) -> bool:
    """Whether a forward changes its parameters, as an embedding with a largest norm does."""
    return getattr(module, "max_norm", None) is not None


def keeps_a_generator(model: Any) -> bool:
    """Whether a forward may draw random numbers that nobody else notices."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return any(isinstance(v, _GENERATORS) for module in modules for v in vars(module).values())


def _copied_object(value: Any, copied: Callable[[Any], Any]) -> Any:
    """A copy of what a forward may change: a generator, or somebody's own object of values."""
    if isinstance(value, torch.Generator):
        return torch.Generator(value.device).set_state(value.get_state())
    if isinstance(value, _GENERATORS):
        return deepcopy(value)
    if not _holds_values_only(value):
        return value
    made = object.__new__(type(value))
    made.__dict__.update({key: copied(v) for key, v in vars(value).items()})
    return made


def _holds_values_only(value: Any) -> bool:
    """Whether it is somebody's own object of numbers, texts and tensors: a counter, a memory.

    Objects that lead to other objects may lead anywhere (a trainer, its data): they are shared.
    """
    kind = type(value)
    home = kind.__module__.partition(".")[0]
    if kind.__new__ is not object.__new__ or home in _SHARED or not hasattr(value, "__dict__"):
        return False
    return all(_is_value(v) for v in vars(value).values())


def _is_value(value: Any, depth: int = 2) -> bool:
    if type(value) in _CONTAINERS:
        held = (*value, *value.values()) if isinstance(value, dict) else value
        return depth > 0 and all(_is_value(v, depth - 1) for v in held)
    return value is None or isinstance(value, bool | int | float | str | Tensor)


_CONTAINERS = (dict, OrderedDict, defaultdict, list, set, tuple, deque)
_GENERATORS = (torch.Generator, numpy.random.Generator, numpy.random.RandomState, random.Random)
_SHARED = frozenset({*sys.stdlib_module_names, "torch", "numpy"}) - {"__main__"}


class _Copy:
    """Makes one twin; what the model holds twice, the twin holds twice."""

    def __init__(self, layout: torch.memory_format, own: bool = False) -> None:
        self._layout = layout
        self._own = own
        self._made: dict[int, Any] = {}

    def module(self, module: nn.Module) -> nn.Module:
        module = unwrapped(module)
        if id(module) not in self._made:
            twin = object.__new__(type(module))
            self._made[id(module)] = twin  # before its children: a module may be met twice
            if _shortens(module):
                for parameter in module.parameters(recurse=False):
                    self._made[id(parameter)] = parameter.detach().clone()
            for name, value in vars(module).items():
                twin.__dict__[name] = self._value(value)
            for name in _slots(type(module)):
                if hasattr(module, name):
                    object.__setattr__(twin, name, self._value(getattr(module, name)))
            twin.__dict__["_compiled_call_impl"] = None
        found: nn.Module = self._made[id(module)]
        return found

    def _value(self, value: Any) -> Any:
        """What a pass may change is copied, the rest is shared."""
        if isinstance(value, nn.Module):
            return self.module(value)
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.module(value.__self__))
        if isinstance(value, partial):
            keywords = {key: self._value(v) for key, v in value.keywords.items()}
            return partial(self._value(value.func), *map(self._value, value.args), **keywords)
        if id(value) in self._made:
            return self._made[id(value)]
        kind = type(value)
        made: Any
        if isinstance(value, Tensor):
            made = self._tensor(value)
        elif kind not in _CONTAINERS:
            made = _copied_object(value, self._value)
        elif kind in (deque, defaultdict):
            made = value.copy()
        elif kind in (dict, OrderedDict):
            made = self._made[id(value)] = kind()
            made.update({key: self._value(v) for key, v in value.items()})
        elif kind is list:
            made = self._made[id(value)] = []
            made.extend(map(self._value, value))
        else:
            made = kind(map(self._value, value))
        self._made[id(value)] = made
        return made

    def _tensor(self, value: Tensor) -> Tensor:
        if not isinstance(value, nn.Parameter) or self._own or value.is_inference():
            return value.detach().clone()
        if value.dim() == 4:
            # Laid out like the inputs; a copy where that is another layout.
            return value.detach().contiguous(memory_format=self._layout)
        return value.detach()


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__"):
                yield f"_{base.__name__.lstrip('_')}{name}" if _is_private(name) else name


def _is_private(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


# Held while a pass runs a model itself, and by whoever looks at a model: another thread must not
# take what is lent for what the model has.
lending = threading.RLock()


def _run_and_put_back(model: nn.Module, own: bool, *arguments: Any) -> Any:
    with lending, _as_it_was(model, own):
        return model(*arguments)


@contextmanager
def _as_it_was(model: nn.Module, own: bool) -> Iterator[None]:
    """Lends it detached parameters and copies of what a pass may change; puts all of it back."""
    scripts = [m for m in model.modules() if isinstance(m, torch.jit.ScriptModule)]
    scripted = [(b, b._version, b.clone()) for m in scripts for b in m.buffers(recurse=False)]
    modules = [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
    before = [(module, dict(vars(module))) for module in modules]
    lent: dict[int, Any] = {}

    def lend(value: Any, changes: bool = True) -> Any:
        kind = type(value)
        if id(value) in lent:
            return lent[id(value)]
        made: Any
        if isinstance(value, Tensor):
            copied = changes or own or value.is_inference()
            made = value.detach().clone() if copied else value.detach()
        elif kind not in _CONTAINERS:
            made = _copied_object(value, lend)
        elif kind in (tuple, set):
            made = kind(map(lend, value))
        else:
            made = lent[id(value)] = value.copy()
            for key, v in value.items() if isinstance(value, dict) else enumerate(value):
                made[key] = lend(v)
        lent[id(value)] = made
        return made

    try:
        for module, attributes in before:
            now = vars(module)
            for name, value in attributes.items():
                if name not in _REGISTERED:
                    now[name] = lend(value)
            for kind in ("_buffers", "_parameters"):
                changes = kind == "_buffers" or _shortens(module)
                held = attributes[kind].items()
                now[kind] = {k: None if t is None else lend(t, changes) for k, t in held}
            now["_compiled_call_impl"] = None
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
        with torch.no_grad():
            for buffer, version, value in scripted:
                if buffer._version != version:
                    buffer.copy_(value)


_REGISTERED = frozenset(vars(nn.Module()))
