"""Runs the network: the score that is explained and its gradient at the input.

Every method of `dga` asks `Engine` for the same two things, for a whole batch at once:

    score = f(x)            one number per picture, before the softmax
    gradient = df/dx        same shape as x

The model is never changed (`dga.twin`). The first pass is watched: it settles what is explained,
how memory is laid out, and whether the network does something that no gradient can explain.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Literal

import numpy
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from dga.recording import Recorded, Step
from dga.twin import (
    fused,
    keeps_a_generator,
    lending,
    runner,
    same_state,
    state,
    unwrapped,
)
from dga.validation import (
    Model,
    Targets,
    Watch,
    WritesParameters,
    check_choice,
    check_extra_args,
    check_inputs,
    check_model,
    check_targets,
    out_of_memory,
)

# False, True for a bar by tqdm, or a function that is called like tqdm.
Progress = bool | Callable[..., Iterable[int]]

Precision = Literal["float32", "tf32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
_precision: ContextVar[Precision | None] = ContextVar("precision", default=None)


def current_precision() -> Precision | None:
    """What `precision` was set to."""
    return _precision.get()


# Batches of more features keep a GPU busy by themselves; a recording would only hold their memory
# twice. 16 pictures of 224 x 224.
_RECORDED = 16 * 3 * 224 * 224


@contextmanager
def precision(name: Precision | None) -> Iterator[None]:
    """Inside the `with` block, every method runs the passes of a float32 network in a precision.

    Only the passes: scores, residuals, ranks and sums stay float32 at least. Ranks amplify
    rounding, so single DGA maps change; means of LeRF and MoRF hardly do.

    Args:
        name: "bfloat16" (half the memory; faster where the hardware has instructions for it),
            "tf32" (NVIDIA GPUs since Ampere: float32 with a short mantissa in convolutions and
            matrix products), "float32" (full, also where torch would take tf32 or autocast), or
            None (torch's own settings, which are the default).

    Raises:
        ValueError: for another name.

    Example:
        >>> import dga, torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> with dga.precision("bfloat16"):
        ...     heat = dga.gradient(model, torch.rand(1, 3, 2, 2))
        >>> heat.dtype
        torch.float32
    """
    if name is not None:
        check_choice("precision", name, PRECISIONS)
    token = _precision.set(name)
    try:
        yield
    finally:
        _precision.reset(token)


class Engine:
    """A model, checked and ready to be run on one batch.

    Args:
        model: a module in evaluation mode, or any callable: inputs, extra_args -> output.
        inputs: (B, ...), floating point, in the model's own input space.
        targets: what to explain, resolved once, on `inputs`, never on modified pictures: None (the
            predicted class), an int for all pictures, integers (B,), or a callable that makes one
            score per picture, (B,), of the model's raw output.
        extra_args: handed to the model behind the inputs, as they are.

    Attributes:
        inputs: the batch, detached, channels-last where that applies (faster convolutions).
        network: what is run.
        module: its layers and names around parameters without gradients; None for a function.
    """

    def __init__(
        self,
        model: Model,
        inputs: Tensor,
        targets: Targets = None,
        extra_args: Sequence[Any] = (),
    ) -> None:
        with lending:
            self._look_at(model, inputs, targets, extra_args)
        self._resolved: Tensor | Callable | None = None
        self._probabilities: bool | None = False
        self._warned = False
        self._norms: _EqualLayouts | None = None
        self._fast: Any = None  # not tried yet; False: not possible
        # A hook expects to be called every time; a recording would call it once.
        small = self.inputs.numel() <= _RECORDED
        self._record = self.inputs.is_cuda and small and self._copied

    def _look_at(
        self, model: Model, inputs: Tensor, targets: Targets, extra_args: Sequence[Any]
    ) -> None:
        """Checks, and makes what passes run."""
        check_model(model)
        check_inputs(model, inputs)
        requested = check_targets(targets, inputs)
        check_extra_args(extra_args)
        self._label = type(model).__name__
        self._model = unwrapped(model)
        modules = self._model.modules() if isinstance(self._model, nn.Module) else ()
        self._in_training = any(getattr(module, "training", False) for module in modules)
        self._precision = _precision.get()
        if self._precision and inputs.dtype != torch.float32:
            raise ValueError(
                f"precision {self._precision!r} is for float32 networks, this one is {inputs.dtype}"
            )
        # Outside inference mode, so that autograd may save what is made here.
        with torch.inference_mode(False):
            layout = _fitting_layout(self._model, inputs)
            self.inputs = inputs.detach().as_subclass(Tensor).clone(memory_format=layout)
            self._extra = tree_map(_own, tuple(extra_args))
            self._requested = requested.clone() if isinstance(requested, Tensor) else requested
        self._own_parameters = self._changes_itself = False
        self._use_layout(layout)

    @property
    def targets(self) -> Any:
        """The class explained in each picture, (B,) int64, or the callable that was given."""
        self._settle_on_inputs()
        assert self._resolved is not None
        return self._resolved

    @property
    def pass_dtype(self) -> torch.dtype:
        """In which the passes compute."""
        kind = self.inputs.device.type
        with self._autocast():
            short = torch.is_autocast_enabled(kind) and self.inputs.dtype == torch.float32
            return torch.get_autocast_dtype(kind) if short else self.inputs.dtype

    def scores(self, x: Tensor) -> Tensor:
        """Scores of every class without a gradient, (B, classes), float32 or wider."""
        return self._scores(self._output(x)).detach()

    def score(self, x: Tensor) -> Tensor:
        """The score that is explained, (B,)."""
        return self._select(self._output(x)).detach()

    def probability(self, x: Tensor) -> Tensor:
        """What pixel perturbation measures, (B,).

        The softmax probability of the target class; the sigmoid where there is one score; the
        output itself where it holds probabilities (rows that sum to 1, one score out of a sigmoid);
        the callable's value where one was given.
        """
        output = self._output(x)
        if self._probabilities is None:
            raise ValueError(
                f"model ({self._label}) ends in a script, a compiled function or a checkpoint, and "
                "whether its one score is a probability cannot be seen: give "
                "targets=lambda output: output[:, 0] if it is, output[:, 0].sigmoid() if not"
            )
        if self._probabilities and not self._warned:
            self._warned = True
            warnings.warn(
                f"model ({self._label}) returns probabilities: they are used as they are, not put "
                "through a softmax or sigmoid once more",
                stacklevel=3,
            )
        if callable(self._resolved) or self._probabilities:
            found = self._select(output).detach()
        else:
            scores = self._scores(output).detach()
            one = scores.shape[1] == 1
            all_of_them = scores.sigmoid() if one else scores.softmax(1)
            found = all_of_them.gather(1, self.targets[:, None])[:, 0]
        check_finite(found)
        return found

    def score_and_gradient(self, x: Tensor, mode: Any = None) -> tuple[Tensor, Tensor]:
        """One forward and one backward pass.

        Args:
            x: a batch like `inputs`.
            mode: a context manager entered around the forward pass only (a torch function mode
                that rewrites or records what the network calls).

        Returns:
            The score (B,) and its gradient, shaped like `x`.
        """
        # What a mode records would be recorded twice, should the first pass be tried again.
        self._settle_on_inputs(x if mode is None else None)
        with torch.inference_mode(False), torch.enable_grad(), self._full_mantissa():
            leaf, output = self._forward(x, mode)
            # A callable target is part of what is explained.
            with mode if mode and callable(self._requested) else nullcontext():
                score = self._select(output)
            gradient = self._backward(score, leaf) if score.requires_grad else None
        if gradient is None:
            raise ValueError(
                f"model ({self._label}) returned a score that does not depend on its input in a "
                "differentiable way: it may run under torch.no_grad(), detach its input, or "
                "compute in integers (a quantised network)"
            )
        return score.detach(), gradient.detach()

    def finished(self, attribution: Tensor) -> Tensor:
        """`finished`, in the type of the inputs."""
        return finished(attribution, self.inputs.dtype)

    def repeated(self, step: Step) -> Step:
        """A function that runs passes, to be called often with the same shapes, made fast.

        Args:
            step: of a batch like `inputs`.
        """
        if self._record:
            self._settle_on_inputs()  # which may find that no copy can be run
        return Recorded(step) if self._record and self._copied else step

    # The passes

    def _output(self, x: Tensor) -> Any:
        self._settle_on_inputs(x)
        with torch.inference_mode(False), torch.no_grad(), self._full_mantissa():
            output = self._forward(x)[1]
            self._select(output)
        return output

    def _settle_on_inputs(self, x: Tensor | None = None) -> None:
        """The first pass, on the original pictures, unless `x` is them and about to be run."""
        if self._resolved is None and x is not self.inputs:
            self._output(self.inputs)

    def _forward(self, x: Tensor, mode: Any = None) -> tuple[Tensor, Any]:
        """The leaf that the gradient is taken at, and the model's output."""
        if self._resolved is not None:
            leaf, output = self._run(x, mode, Watch() if self._in_training else None)
            if self._fast is None and mode is None and not _is_recorded(x):
                self._fast = self._fused(leaf, output)
            return leaf, output
        try:
            watch = self._watch()
            result = self._watched(x, watch)
            # One makes everything contiguous anyway, the other reads memory as if it were.
            contiguous = self._layout == torch.contiguous_format
            if contiguous or not {"instance_norm", "as_strided"} & watch.called:
                return result
        except WritesParameters:
            self._own_parameters = True
            self._use_layout(self._layout)
            return self._forward(x, mode)
        except Exception as error:
            # Some networks insist on contiguous memory (`view`), others are simply wrong: then the
            # error below is their own.
            if self._layout == torch.contiguous_format or out_of_memory(error):
                raise
        self._use_layout(torch.contiguous_format)
        return self._watched(x, self._watch())

    def _watch(self) -> Watch:
        model = self._model
        shared = isinstance(model, nn.Module) and not self._own_parameters
        with lending:
            return Watch(model.parameters() if shared else ())

    def _fused(self, leaf: Tensor, output: Any) -> Any:
        """From the third pass on, the network with its batch norms fused, if it does the same."""
        fixed = self._copied and not self._own_parameters
        network = fused(self._model, self._layout) if fixed else None
        if network is None:
            return False
        with torch.no_grad(), self._autocast():
            found = network(leaf.detach().clone(), *tree_map(_copied, self._extra))
        tolerance = _SAME.get(self.pass_dtype, 0.05)
        scores = self._select(found), self._select(output).detach()
        near = all(
            (a - b).norm() <= tolerance * b.norm() for a, b in [scores, *_pairs(found, output)]
        )
        return network if near else False

    def _watched(self, x: Tensor, watch: Watch) -> tuple[Tensor, Any]:
        with torch.enable_grad():
            before = _random_state(x.device)
            # First, so that the pass of the batch is the last that hooks and closures see.
            alone = self._rows(x)
            found = self._state()
            leaf, output = self._run(x, None, watch)
        if not same_state(found, self._state()) and not self._only_caches(x):
            # The next pass is to begin as this one did.
            self._changes_itself = True
            self._use_layout(self._layout)
        with lending:
            keeps_one = keeps_a_generator(self._model)
        # Somebody else may have drawn, in another thread.
        drew = watch.drew or before != _random_state(x.device)
        # What draws seldom may do the same many times; one that is kept need not be used.
        if not all(self._repeats(x, output) for _ in range(16 if drew else int(keeps_one))):
            raise ValueError(
                f"model ({self._label}) draws random numbers in its forward pass, so its score is "
                "not a function of the input: switch that off (call model.eval(), and set the "
                "probabilities of its own dropout to 0)"
            )
        self._check_rows(alone, output)
        # torch's own layers were seen; what a script or a plain function calls was not.
        seen = self._copied and not {"batch_norm", "instance_norm"} & watch.called
        self._norms = None if seen or x.device.type != "cpu" else _EqualLayouts()
        return leaf, output

    def _rows(self, x: Tensor) -> dict[int, Tensor]:
        """The scores of the first and the last picture by themselves.

        A script hides its layers, a function may keep a state, and both may normalise over the
        batch. Contiguous memory, whatever that of the batch: a kernel may read it as it lies.
        """
        # A module's own state and generators are seen. Which of the extra arguments belong to one
        # picture, nobody can say.
        if self._extra or (len(x) == 1 and self.module is not None):
            return {}
        found, before = {}, self._state()
        for k in {0, len(x) - 1}:
            try:
                with torch.no_grad():
                    _, output = self._run(
                        x[k : k + 1], None, self._watch(), torch.contiguous_format
                    )
            except WritesParameters:
                raise
            except Exception as error:
                if out_of_memory(error):
                    raise
                return {}  # made for batches of this size only
            finally:
                if not same_state(before, self._state()):
                    self._use_layout(self._layout)  # a new twin
                    before = self._state()
            scores = _visible(output)
            if scores is not None:
                found[k] = scores
        return found

    def _check_rows(self, alone: dict[int, Tensor], output: Any) -> None:
        """Raises unless these pictures have the same scores in the batch."""
        scores = _visible(output)
        if scores is None or len(scores) != len(self.inputs):
            return
        largest = scores.reshape(len(scores), -1).norm(dim=1).max()
        share, least = _NEAR.get(self.pass_dtype, (0.1, 1e-3))
        for k, found in alone.items():
            if found.shape != scores[k : k + 1].shape:
                return  # the first dimension is not that of pictures
            if (found[0] - scores[k]).norm() > share * largest + least:
                beside = "beside other pictures" if len(scores) > 1 else "once more"
                raise ValueError(
                    f"model ({self._label}) gives one picture two scores, by itself and {beside}: "
                    "it may normalise over the batch (call model.eval(); for a script, before it "
                    "is made), keep a state, or draw random numbers"
                )

    def _state(self) -> list[tuple[Any, Any]]:
        """Of the twin, if there is one: what is put back after every pass does not change."""
        return state(self.module) if self._copied else []

    def _only_caches(self, x: Tensor) -> bool:
        """Whether what the pass of x has changed makes no difference to that of another input."""
        outputs, states = [], []
        for _ in ("the used twin", "a new one"):
            with torch.no_grad():
                outputs.append(self._run(x / 2, None, None)[1])
            states.append(self._state())
            self._use_layout(self._layout)
        pairs = _pairs(*outputs)
        same = all(torch.equal(a, b) for a, b in pairs)
        return bool(pairs) and same and same_state(states[0], states[1], values=True)

    def _repeats(self, x: Tensor, output: Any) -> bool:
        with torch.no_grad():
            again = self._run(x, None, None)[1]
            score = self._requested if callable(self._requested) else self._scores
            return torch.equal(score(again), score(output))

    def _run(
        self, x: Tensor, mode: Any, watch: Watch | None, layout: torch.memory_format | None = None
    ) -> tuple[Tensor, Any]:
        # What the caller computed in inference mode cannot be differentiated as it is.
        x = x.clone() if x.is_inference() else x.detach()
        leaf = x.contiguous(memory_format=layout or self._layout)
        leaf = leaf.requires_grad_(torch.is_grad_enabled())
        if watch is not None:
            watch.leaf = leaf
        with watch or nullcontext(), mode or nullcontext(), self._autocast():
            network = self._fast if self._fast and mode is None else self.network
            # It may work in place, on what every later pass is to get as well.
            return leaf, network(leaf.clone(), *tree_map(_copied, self._extra))

    def _backward(self, score: Tensor, leaf: Tensor) -> Tensor | None:
        # Gradients have the types of the forward pass; autocast would shorten them once more.
        kind = leaf.device.type
        with self._norms or nullcontext(), torch.autocast(kind, enabled=False):
            (gradient,) = torch.autograd.grad(score.sum(), leaf, allow_unused=True)
        if self._norms and not self._norms.mended:  # shapes stay the same, so it will not be needed
            self._norms = None
        return gradient

    def _use_layout(self, layout: torch.memory_format) -> None:
        self._layout = layout
        with torch.inference_mode(False), lending:
            self.network, self.module = runner(
                self._model, layout, self._own_parameters, self._changes_itself
            )
        self._copied = self.module is not None and self.module is self.network
        self.inputs = self.inputs.contiguous(memory_format=layout)

    def _autocast(self) -> AbstractContextManager:
        if self._precision is None:
            return nullcontext()
        # Nothing is worth caching: the twin's parameters need no gradient.
        kind, short = self.inputs.device.type, self._precision == "bfloat16"
        return torch.autocast(kind, torch.bfloat16, enabled=short, cache_enabled=False)

    @contextmanager
    def _full_mantissa(self) -> Iterator[None]:
        """Sets what torch keeps for the whole process, and puts it back."""
        if self._precision not in ("float32", "tf32") or not self.inputs.is_cuda:
            yield
            return
        with mantissa(self._precision == "tf32"):
            yield

    # What the output means

    def _select(self, output: Any) -> Tensor:
        """The score that is explained; the first pass settles and checks what that is."""
        requested = self._requested
        if callable(requested):
            score = requested(output)
            if not isinstance(score, Tensor) or score.shape != self.inputs.shape[:1]:
                got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
                raise ValueError(
                    f"targets returned {got}; one score per picture, a tensor of shape "
                    f"({len(self.inputs)},), is needed"
                )
            if not score.is_floating_point():
                raise TypeError(f"targets returned {score.dtype}; floating point is needed")
            score = score if score.dtype == torch.float64 else score.float()
            if self._resolved is None:
                check_finite(score)
                self._resolved = requested
            return score
        scores = self._scores(output)
        if self._resolved is None:
            self._resolved = self._resolve(scores.detach(), requested)
            self._probabilities = self._holds_probabilities(self._raw(output))
        if scores.shape[1] == 1:
            return scores[:, 0]
        return scores.gather(1, self._resolved[:, None])[:, 0]  # type: ignore[index]

    def _resolve(self, scores: Tensor, requested: Tensor | None) -> Tensor:
        classes = scores.shape[1]
        if scores.isnan().any():
            raise ValueError(f"model ({self._label}) returned scores that are NaN")
        if requested is None:
            resolved = scores.argmax(1)
        else:
            wrong = (requested < 0) | (requested >= classes)
            if wrong.any():
                raise ValueError(
                    f"targets holds {requested[wrong][0].item()}, but the model has "
                    + (f"{classes} classes: 0 to {classes - 1}" if classes > 1 else
                       "one score: None and 0 explain it; for its opposite give a callable, "
                       "targets=lambda output: -output[:, 0]")
                )  # fmt: skip
            resolved = requested.to(scores.device)
        check_finite(scores.gather(1, resolved[:, None]))  # -inf is fine for any other class
        return resolved

    def _holds_probabilities(self, raw: Tensor) -> bool | None:
        """Whether an output is probabilities, by its last operation or values; None: hidden."""
        last = _last_operation(raw, self._model)
        if raw.shape[1] == 1:
            return None if last == _HIDDEN else last.startswith(("Sigmoid", "Softmax"))
        values = raw.detach() if raw.dtype == torch.float64 else raw.detach().float()
        # Rounded probabilities do not sum to 1: those of bfloat16 are off by hundredths.
        wide = last.startswith("Softmax") or torch.finfo(raw.dtype).eps > 1e-3
        near = (values.sum(1) - 1).abs() < (0.02 if wide else 1e-3)
        return bool(((values >= 0).all(1) & near).all())

    def _scores(self, output: Any) -> Tensor:
        """(B, classes) of the model's output, float32 or wider."""
        scores = self._raw(output)
        return scores if scores.dtype == torch.float64 else scores.float()

    def _raw(self, output: Any) -> Tensor:
        """(B, classes) of the model's output, as they are."""
        scores = output
        if not isinstance(output, Tensor) and isinstance(getattr(output, "logits", None), Tensor):
            scores = output.logits
        way_out = "or make one score per picture of it by a callable: targets=lambda output: ..."
        if not isinstance(scores, Tensor):
            raise TypeError(
                f"model returned {type(output).__name__}; a tensor of scores of shape (B, classes) "
                f"is needed. Call model.eval(), {way_out}"
            )
        if scores.dim() != 2 or len(scores) != len(self.inputs) or not scores.shape[1]:
            hint = ""
            if self.inputs.dim() == 3:
                hint = "; if inputs is one picture (C, H, W), a batch of it is inputs[None]"
            raise ValueError(
                f"model returned shape {tuple(scores.shape)} for a batch of {len(self.inputs)} "
                f"inputs; scores of shape ({len(self.inputs)}, classes) are needed, {way_out}{hint}"
            )
        if not scores.is_floating_point():
            raise TypeError(f"model returned {scores.dtype}; floating-point scores are needed")
        return scores


# How near a picture's scores by themselves must be to those in a batch, as a share of the largest,
# and at least: kernels differ by rounding, and a network of float64 may compute in float32 inside.
# An output that depends on the batch differs by much more.
_NEAR = {torch.float64: (1e-4, 1e-6), torch.float32: (1e-2, 1e-6)}

# How near a fused network's output must be; they differ by rounding.
_SAME = {torch.float64: 1e-10, torch.float32: 1e-4}


def _pairs(first: Any, second: Any) -> list[tuple[Tensor, Tensor]]:
    """The floating-point tensors of two outputs."""
    both = zip(tree_leaves(first), tree_leaves(second), strict=False)
    return [(a, b) for a, b in both if isinstance(a, Tensor) and a.is_floating_point()]


def _visible(output: Any) -> Tensor | None:
    """The scores in an output, without a gradient, if they can be seen."""
    scores = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    seen = isinstance(scores, Tensor) and scores.is_floating_point() and scores.dim() > 0
    return scores.detach() if seen else None  # type: ignore[union-attr]


def _is_recorded(x: Tensor) -> bool:
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def check_finite(values: Tensor) -> None:
    """Raises if a value is NaN or infinite."""
    # A sum takes a tenth of the time; it may overflow where no value does.
    if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():
        raise ValueError("model returned a score or gradient that is not finite (NaN or infinity)")


def finished(attribution: Tensor, dtype: torch.dtype) -> Tensor:
    """A result as every method returns it: like the inputs, plain memory, finite.

    Raises:
        ValueError: if it is not finite, which a score or gradient was then not, or is too large
            for the type.
    """
    check_finite(attribution)
    result = attribution.detach().to(dtype).contiguous()
    if result.dtype != attribution.dtype and not torch.isfinite(result).all():
        raise ValueError(
            f"the attribution reaches {attribution.abs().max().item():.3g}, more than {dtype} "
            "holds: explain the network in float32"
        )
    return result


def wide_dtype(device: torch.device) -> torch.dtype:
    """float64 where the device has it; Apple's GPUs do not."""
    return torch.float32 if device.type == "mps" else torch.float64


def ticks(iterable: range, progress: Progress, label: str) -> Iterator[int]:
    """Iterates, with a progress bar if wanted (tqdm is loaded only then)."""
    if not progress:
        yield from iterable
        return
    from tqdm.auto import tqdm

    bar = progress if callable(progress) else tqdm
    yield from bar(iterable, desc=label, leave=False)


@contextmanager
def mantissa(short: bool) -> Iterator[None]:
    """Lets convolutions and matrix products on a GPU use tf32, or not; puts it back."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    # Newer releases have a setting per operation, and refuse the older one once it was touched.
    if hasattr(cuda, "fp32_precision"):
        places: tuple[Any, ...] = (cuda, cudnn.conv, cudnn.rnn)  # type: ignore[attr-defined]
        name, value = "fp32_precision", "tf32" if short else "ieee"
    else:
        places, name, value = (cuda, cudnn), "allow_tf32", short  # type: ignore[assignment]
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, value)
        yield
    finally:
        for place, old in zip(places, before, strict=True):
            setattr(place, name, old)


class _EqualLayouts(TorchDispatchMode):
    """Gives batch normalisation's backward its two tensors in one layout.

    With one picture, or one row or column, strides do not tell channels-last from contiguous
    memory (a dimension of 1 may have any), and torch's CPU kernel then reads one tensor in the
    order of the other: gradients are wrong without a word, in evaluation mode as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mended = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if "batch_norm_backward" in func.__name__:
            grad, x = args[:2]
            if grad.stride() != x.stride() and 1 in (x.shape[0], *x.shape[2:]):
                self.mended = True
                args = (grad.contiguous(), x.contiguous(), *args[2:])
        return func(*args, **(kwargs or {}))


def _fitting_layout(model: Any, inputs: Tensor) -> torch.memory_format:
    """Channels-last where convolutions gain from it.

    The CPU's and the GPU's convolutions are up to three times faster on it; on Apple's GPUs the
    backward pass of batch normalisation has been wrong or crashed with it.
    """
    gains = isinstance(model, nn.Module) and any(p.dim() == 4 for p in model.parameters())
    if inputs.dim() == 4 and gains and inputs.device.type != "mps":
        return torch.channels_last
    return torch.contiguous_format


def _random_state(device: torch.device) -> tuple[Any, ...]:
    """Of all generators a forward may draw from without having one of its own."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    _, keys, place, *_ = numpy.random.get_state()  # type: ignore[misc]
    drawn = [state.numpy().tobytes() for state in states]
    return (*drawn, keys.tobytes(), place, random.getstate())  # type: ignore[attr-defined]


# What may stand between a network's last operation and its output and leave probabilities what they
# are: other shapes and types, some of them taken out, and 1 - p.
_SAME_NUMBERS = ("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "ToCopy", "Alias",
                 "Slice", "Select", "Index", "Clamp", "Cat", "Rsub")  # fmt: skip
_HIDDEN = "hidden"  # behind a script, a compiled function, a checkpoint
_SAME_IN_SCRIPTS = frozenset(("view", "reshape", "flatten", "squeeze", "unsqueeze", "to", "type_as",
                              "slice", "select", "index", "clamp"))  # fmt: skip


def _last_operation(raw: Tensor, model: Any) -> str:
    """What made an output, by autograd's name: "SigmoidBackward0", "Softmax"."""
    node = raw.grad_fn
    while node is not None and node.name().startswith(_SAME_NUMBERS):
        node = node.next_functions[0][0]
    if node is None:
        return ""
    name = node.name()
    if "CompiledFunction" in name or "CheckpointFunction" in name:
        return _HIDDEN
    if "DifferentiableGraph" not in name:
        return name
    # An optimised script shows autograd one node; its own graph says more.
    if isinstance(model, torch.jit.ScriptModule):
        graph = model.inlined_graph  # whose nodes live as long as it
        made = next(graph.outputs()).node()
        while made.kind().removeprefix("aten::") in _SAME_IN_SCRIPTS:
            made = next(made.inputs()).node()
        if made.kind().startswith("aten::"):
            return made.kind().removeprefix("aten::").capitalize()
    return _HIDDEN


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _own(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.clone() if value.is_inference() else value.detach()
