"""The bias terms of a network: recorded call by call, and what each adds to the score.

Together with <g, x> they are the score, which is how a recording is checked. Uniform FullGrad
needs their sum alone and takes it by subtraction; this is the independent proof of that, and what
FullGrad itself is made of.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from dga.engine import Engine, wide_dtype
from dga.validation import Model, Targets


def bias_attributions(
    model: Model, inputs: Tensor, targets: Targets = None, *, extra_args: Sequence[Any] = ()
) -> dict[str, Tensor]:
    """Every bias term df/db_l * b_l of the network, per position, in the order of the forward pass.

    Covers linear layers, convolutions and batch normalisation (effective bias
    b - running_mean * weight / sqrt(running_var + eps)), per call: a layer called twice appears
    twice, as "name" and "name#2". Elementwise non-linearities that are not homogeneous (ReLU6,
    GELU, SiLU, sigmoid, an added constant, ...) appear with their implicit bias out - out' * in.
    A bias that never reaches the score appears as zeros.

    Args:
        model, inputs, targets, extra_args: see `gradient`.

    Returns:
        Name of the layer (or "parent.function" for a function called in a forward) -> (B, ...),
        the shape of that layer's output. All of it plus <g, x> is the score.

    Raises:
        ValueError: naming the layer, if one has an implicit bias that is not elementwise
            (LayerNorm, attention, products of activations); or if the terms do not add up.

    Example:
        >>> import dga, torch
        >>> model, x = torch.nn.Linear(2, 3), torch.rand(1, 2)
        >>> {name: tuple(term.shape) for name, term in dga.bias_attributions(model, x, 1).items()}
        {'linear': (1, 3)}
    """
    return _decompose(Engine(model, inputs, targets, extra_args))[1]


def _decompose(engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
    """The gradient at the input and every bias term, by one recorded pass."""
    _ = engine.targets  # the first pass settles which module it is that runs
    recorder = _BiasRecorder(len(engine.inputs))
    with _module_names(engine.module, recorder.enter, recorder.leave):
        score, gradient = engine.score_and_gradient(engine.inputs, recorder)
    terms = recorder.terms()
    parts = [engine.inputs * gradient, *terms.values()]
    flat = [part.to(score.dtype).reshape(len(score), -1) for part in parts]
    sums = torch.stack([part.sum(1) for part in flat])
    gap, scale = (score - sums.sum(0)).abs(), score.abs() + sums.abs().sum(0)
    allowed = _GAP.get(engine.pass_dtype)
    if allowed is None:  # half precision: every number of a term may be off by a share of itself
        allowed, scale = 0.05, torch.stack([part.abs().sum(1) for part in flat]).sum(0)
    if (gap > allowed * scale).any():
        raise ValueError(
            "the bias terms do not add up to the score: the network does something that cannot be "
            "recorded (a scripted submodule, a custom autograd.Function, a part under no_grad, an "
            'in-place change of a view); uniform_fullgrad(bias="residual") is right all the same'
        )
    return gradient, terms


# How far the recorded terms may miss the score by rounding, relative to their sizes.
_GAP = {torch.float64: 1e-9, torch.float32: 1e-3}


@contextmanager
def _module_names(model: nn.Module | None, enter: Callable, leave: Callable) -> Iterator[None]:
    """Tells which module is running, through global hooks, so that the model keeps its own."""
    names = {id(module): name for name, module in (model.named_modules() if model else ())}
    thread = threading.get_ident()  # the hooks see the modules of every thread

    def before(module: nn.Module, _: Any) -> None:
        if id(module) in names and threading.get_ident() == thread:
            enter(names[id(module)], not any(True for _ in module.children()))

    def after(module: nn.Module, *_: Any) -> None:
        if id(module) in names and threading.get_ident() == thread:
            leave()

    handles = [
        module_hooks.register_module_forward_pre_hook(before),
        module_hooks.register_module_forward_hook(after),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# Called with one activation and constants, these act on each element alone.
_ELEMENTWISE = frozenset(
    "add radd iadd sub rsub isub subtract gelu silu mish relu6 hardtanh hardswish hardsigmoid "
    "sigmoid logsigmoid tanh elu selu celu softplus softsign tanhshrink softshrink hardshrink "
    "threshold clamp clip clamp_min clamp_max exp log log1p pow square sqrt sin cos erf".split()
)
_CASTS = frozenset("float double half bfloat16 to type type_as".split())  # linear but for rounding
_LINEAR = frozenset(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split()
)


class _BiasRecorder(TorchFunctionMode):
    """Watches every torch function the network calls and notes its bias, explicit or implicit."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self._batch = batch
        self._running: list[tuple[str, bool]] = [("", False)]  # (module name, is a leaf)
        self._biases: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}

    def enter(self, name: str, leaf: bool) -> None:
        self._running.append((name, leaf))

    def leave(self) -> None:
        self._running.pop()

    def terms(self) -> dict[str, Tensor]:
        """df/db_l * b_l, zero where no gradient ever arrived."""
        return {
            name: (
                bias.detach() * self._gradients.pop(name).detach()  # frees it
                if name in self._gradients
                else torch.zeros_like(bias).contiguous()
            )
            for name, bias in self._biases.items()
        }

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tracked = [v for v in tree_leaves((args, kwargs)) if _is_tracked(v)]
        if not tracked or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        # Before the call, which may be in place. Checkpointing counts what its own pass keeps for
        # the way back; this is not part of it.
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
            try:
                bias = self._bias(func, args, kwargs, tracked)
            except RuntimeError as error:  # complex numbers, gradients inside of gradients
                raise ValueError(
                    f"layer {self._label(func)!r} ({_plain_name(func)}) cannot be taken apart: "
                    f'{error}; uniform_fullgrad(bias="residual") includes it'
                ) from error
        output = func(*args, **kwargs)
        if bias is not None:
            self._record(func, output, bias)
        return output

    def _record(self, func: Callable, output: Tensor, bias: Tensor) -> None:
        base = self._label(func)
        if output.dim() == 0 or len(output) != self._batch:
            raise ValueError(
                f"layer {base!r} gives shape {tuple(output.shape)}, whose first dimension is not "
                f"the batch of {self._batch}: its bias cannot be told apart by picture; "
                'uniform_fullgrad(bias="residual") includes it'
            )
        name, call = base, 1
        while name in self._biases:
            call += 1
            name = f"{base}#{call}"
        self._biases[name] = bias.expand_as(output)
        # A hook stays with this value even if the network overwrites the tensor in place later.
        output.register_hook(lambda gradient: self._gradients.__setitem__(name, gradient))

    def _label(self, func: Callable) -> str:
        module, leaf = self._running[-1]
        function = _plain_name(func)
        return module if leaf and module else f"{module}.{function}" if module else function

    def _bias(
        self, func: Callable, args: tuple, kwargs: dict, tracked: list[Tensor]
    ) -> Tensor | None:
        """The bias of one call, or None where it has none."""
        name = _plain_name(func)
        if name in _CASTS:
            return None
        if name in _LINEAR and len(tracked) == 1 and tracked[0] is (args or [kwargs["input"]])[0]:
            bias = args[2] if len(args) > 2 else kwargs.get("bias")
            # Linear layers hold their features in the last dimension, convolutions in the second
            # of a batch.
            positions = 0 if name == "linear" else int(name[-2])
            return None if bias is None else bias.view(-1, *[1] * positions)
        if name == "batch_norm":
            return _batch_norm_bias(func, args, kwargs)
        if name in _ELEMENTWISE and len(tracked) == 1:
            bias = _implicit_bias(func, args, kwargs, tracked[0])
            if bias is not None:
                return bias
        if not _is_homogeneous(func, args, kwargs, tracked):
            raise ValueError(
                f"layer {self._label(func)!r} ({name}) has an implicit bias that is not "
                "elementwise, so it has no term per position; "
                'uniform_fullgrad(bias="residual") includes it'
            )
        return None


def _is_tracked(value: Any) -> bool:
    """Whether a value was computed from the input; parameters are leaves."""
    return isinstance(value, Tensor) and value.requires_grad and not value.is_leaf


def _plain_name(func: Callable) -> str:
    """Without the underscores of operators and in-place variants, and the overload of a graph's."""
    return getattr(func, "__name__", "").partition(".")[0].strip("_")


def _batch_norm_bias(func: Callable, args: tuple, kwargs: dict) -> Tensor:
    """b - running_mean * weight / sqrt(running_var + eps), one value per channel."""
    if isinstance(func, torch._ops.OpOverload):  # of an exported graph, in another order
        names = [argument.name for argument in func._schema.arguments]
    else:
        names = list(inspect.signature(F.batch_norm).parameters)
    at = {
        "weight": None,
        "bias": None,
        "eps": 1e-5,
        **dict(zip(names, args, strict=False)),
        **kwargs,
    }
    scale = (at["running_var"] + at["eps"]).rsqrt()
    scale = scale if at["weight"] is None else scale * at["weight"]
    bias = -at["running_mean"] * scale
    bias = bias if at["bias"] is None else bias + at["bias"]
    return bias.view(-1, *[1] * (at["input"].dim() - 2))


def _on_copies(
    func: Callable, args: tuple, kwargs: dict, tracked: list[Tensor]
) -> tuple[list[Tensor], Any]:
    """Runs a call on detached copies: fresh leaves, and what the call makes of them."""
    leaves = [t.detach().clone().requires_grad_() for t in tracked]
    # The call gets clones, of untracked tensors as well, since it may work in place on any.
    clones = {id(t): leaf.clone() for t, leaf in zip(tracked, leaves, strict=True)}

    def copy(value: Any) -> Any:
        return clones.get(id(value), value.clone()) if isinstance(value, Tensor) else value

    args, kwargs = tree_map(copy, (args, kwargs))
    return leaves, func(*args, **kwargs)


def _implicit_bias(func: Callable, args: tuple, kwargs: dict, tracked: Tensor) -> Tensor | None:
    """out - out' * in of an elementwise call, None where shapes say that it is not elementwise."""
    (leaf,), output = _on_copies(func, args, kwargs, [tracked])
    if not isinstance(output, Tensor) or output.shape != leaf.shape:
        return None
    (slope,) = torch.autograd.grad(output.sum(), leaf)
    return (output - slope * leaf).detach()


def _is_homogeneous(func: Callable, args: tuple, kwargs: dict, tracked: list[Tensor]) -> bool:
    """Whether out = J * in at this input, tested on a random combination of the outputs.

    Its two sides differ by about |out - J * in|, to be judged against |out|.
    """
    leaves, result = _on_copies(func, args, kwargs, tracked)
    outputs = [v for v in tree_leaves(result) if _is_tracked(v)]
    if not outputs:
        return True
    generator = torch.Generator("cpu").manual_seed(0)
    wide = wide_dtype(outputs[0].device)
    value = scale = 0.0
    combination = outputs[0].new_zeros(())
    for output in outputs:
        weight = torch.randn(output.shape, generator=generator, device="cpu").to(output)
        terms = output * weight
        combination = combination + terms.sum()
        value += terms.detach().sum(dtype=wide).item()
        scale += terms.detach().square().sum(dtype=wide).item()
    slopes = torch.autograd.grad(combination, leaves, allow_unused=True)
    euler = sum(
        (slope * leaf.detach()).sum(dtype=wide).item()
        for slope, leaf in zip(slopes, leaves, strict=True)
        if slope is not None
    )
    eps = max(torch.finfo(v.dtype).eps for v in (*leaves, *outputs))
    return abs(value - euler) <= min(1e3 * eps, 0.05) * scale**0.5
