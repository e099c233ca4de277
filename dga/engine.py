"""Runs the network: the score of the target class and its gradient at the input.

Every method of `dga` asks `Engine` for the same two things, for a whole batch at once:

    score = f(x)            one number per picture, before the softmax
    gradient = df/dx        same shape as x

The model is never changed: passes run a twin of it, new module objects around detached aliases of
its parameters, so no parameter ever collects a gradient, not even between the steps of a suspended
generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from dga.recording import Recorded, Step
from dga.validation import (
    Targets,
    TrainingGuard,
    check_choice,
    check_inputs,
    check_model,
    check_targets,
)

# False, True for a bar by tqdm, or a function that is called like tqdm.
Progress = bool | Callable[..., Iterable[int]]

PRECISIONS = ("float32", "tf32", "bfloat16")
_precision: ContextVar[str | None] = ContextVar("precision", default=None)


def current_precision() -> str | None:
    """What `precision` was set to."""
    return _precision.get()


# Batches of more features keep a GPU busy by themselves; a recording would only hold their memory
# twice. 16 pictures of 224 x 224.
_RECORDED = 16 * 3 * 224 * 224


@contextmanager
def precision(name: str | None) -> Iterator[None]:
    """Inside the `with` block, every method runs the passes of a float32 network in a precision.

    Only the passes: scores, residuals, ranks and sums stay float32 at least. Ranks amplify
    rounding, so single DGA maps change; means of LeRF and MoRF hardly do.

    Args:
        name: "bfloat16" (half the memory; faster where the hardware has instructions for it),
            "tf32" (NVIDIA GPUs since Ampere: float32 with a short mantissa in convolutions and
            matrix products), "float32" (full, also where torch would take tf32), or None (torch's
            own settings, which are the default).
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
        model: a classifier that maps inputs to scores of shape (B, classes).
        inputs: (B, C, H, W), or (B, features), floating point, in the model's own input space.
        targets: the class to explain: None for the predicted one, an int for all pictures, or
            integers of shape (B,). Resolved once, on `inputs`, never on modified pictures.

    Attributes:
        inputs: the batch, detached, channels-last where that applies (faster convolutions).
        network: what is run: the model's layers, names and hooks on parameters without gradients.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, targets: Targets = None) -> None:
        check_model(model)
        check_inputs(model, inputs)
        requested = check_targets(targets, inputs)
        self._resolved: Tensor | None = None
        self._guard = TrainingGuard()
        self._in_training = any(module.training for module in model.modules())
        # Outside inference mode, so that autograd may save what is made here.
        with torch.inference_mode(False):
            layout = torch.channels_last if inputs.dim() == 4 else torch.preserve_format
            self.inputs = inputs.detach().clone(memory_format=layout)
            self._requested = None if requested is None else requested.clone()
            # Scripts have no parameters of their own, recurrent layers keep a second list of them.
            unusual = (torch.jit.ScriptModule, nn.RNNBase)
            copyable = not any(isinstance(module, unusual) for module in model.modules())
            self.network = _twin(model, {}) if copyable else model
        self._precision = _precision.get()
        if self._precision and self.inputs.dtype != torch.float32:
            raise ValueError(
                f"precision {self._precision!r} is for float32 networks, this one is "
                f"{self.inputs.dtype}"
            )
        # A hook expects to be called every time; a recording would call it once.
        hooked = any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks
                     or m._backward_pre_hooks for m in model.modules())  # fmt: skip
        small = self.inputs.numel() <= _RECORDED
        self._record = self.inputs.is_cuda and small and not hooked

    @property
    def targets(self) -> Tensor:
        """The class explained in each picture, (B,) int64."""
        self._settle_on_inputs()
        assert self._resolved is not None
        return self._resolved

    def scores(self, x: Tensor) -> Tensor:
        """Scores of every class without a gradient, (B, classes), float32 or wider."""
        self._settle_on_inputs(x)
        with torch.inference_mode(False), torch.no_grad(), self._short_mantissa():
            scores = self._forward(x.clone())  # the network may work in place
            self._select(scores)
        return scores

    def probability(self, x: Tensor) -> Tensor:
        """Softmax probability of the target class, (B,)."""
        probability = self.scores(x).softmax(1)
        return probability.gather(1, self.targets[:, None])[:, 0]

    def score(self, x: Tensor) -> Tensor:
        """Score of the target class, (B,)."""
        targets = self.targets
        return self.scores(x).gather(1, targets[:, None])[:, 0]

    def score_and_gradient(self, x: Tensor, mode: Any = None) -> tuple[Tensor, Tensor]:
        """One forward and one backward pass.

        Args:
            x: a batch like `inputs`.
            mode: a context manager entered around the forward pass only (a torch function mode
                that rewrites or records what the network calls).

        Returns:
            The score (B,) and its gradient, shaped and laid out like `x`.
        """
        self._settle_on_inputs(x)
        with torch.inference_mode(False), torch.enable_grad(), self._short_mantissa():
            # What the caller computed in inference mode cannot be differentiated as it is.
            leaf = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
            with mode if mode is not None else nullcontext():
                scores = self._forward(leaf.clone())  # the network may work in place
            score = self._select(scores)
            gradient = None
            if score.requires_grad:
                (gradient,) = torch.autograd.grad(score.sum(), leaf, allow_unused=True)
            if gradient is None:
                raise ValueError(
                    "model returned scores that do not depend on its input in a differentiable "
                    "way; it must not run under torch.no_grad() or detach its input"
                )
        return score.detach(), gradient

    def repeated(self, step: Step) -> Step:
        """A function that runs passes, to be called often with the same shapes, made fast.

        Args:
            step: of a batch like `inputs` and numbers, which may come as tensors () instead.
        """
        return Recorded(step) if self._record else step

    def _settle_on_inputs(self, x: Tensor | None = None) -> None:
        """Resolves the targets on the original pictures, unless `x` is them and about to be run."""
        if self._resolved is None and x is not self.inputs:
            self.scores(self.inputs)

    def _forward(self, x: Tensor) -> Tensor:
        # Watching every call costs time, so in evaluation mode only the first pass is watched.
        watch = self._in_training or self._resolved is None
        with self._guard if watch else nullcontext(), self._autocast():
            scores = self.network(x)
        if not isinstance(scores, Tensor):
            raise TypeError(
                f"model returned {type(scores).__name__}; a tensor of scores of shape "
                "(B, classes) is needed (wrap the model, or call model.eval())"
            )
        if scores.dim() != 2 or len(scores) != len(x):
            raise ValueError(
                f"model returned shape {tuple(scores.shape)} for a batch of {len(x)} inputs; "
                f"scores of shape ({len(x)}, classes) are needed"
            )
        return scores if scores.dtype == torch.float64 else scores.float()

    def _autocast(self) -> AbstractContextManager:
        if self._precision != "bfloat16":
            return nullcontext()
        # Nothing is worth caching: the twin's parameters need no gradient.
        kind = self.inputs.device.type
        return torch.autocast(kind, torch.bfloat16, cache_enabled=False)

    @contextmanager
    def _short_mantissa(self) -> Iterator[None]:
        """Sets what torch keeps for the whole process, and puts it back."""
        if self._precision not in ("float32", "tf32") or not self.inputs.is_cuda:
            yield
            return
        places: tuple[Any, Any] = (torch.backends.cuda.matmul, torch.backends.cudnn)
        before = [place.allow_tf32 for place in places]
        try:
            for place in places:
                place.allow_tf32 = self._precision == "tf32"
            yield
        finally:
            for place, value in zip(places, before, strict=True):
                place.allow_tf32 = value

    def _select(self, scores: Tensor) -> Tensor:
        """The target's column; the first pass settles and checks the targets."""
        if self._resolved is None:
            classes = scores.shape[1]
            if not torch.isfinite(scores).all():
                raise ValueError("model returned scores that are not finite")
            if self._requested is None:
                self._resolved = scores.detach().argmax(1)
            else:
                wrong = (self._requested < 0) | (self._requested >= classes)
                if wrong.any():
                    raise ValueError(
                        f"targets holds {self._requested[wrong][0].item()}, but the model has "
                        f"{classes} classes: 0 to {classes - 1}"
                    )
                self._resolved = self._requested.to(scores.device)
        return scores.gather(1, self._resolved[:, None])[:, 0]


def ticks(iterable: range, progress: Progress, label: str) -> Iterator[int]:
    """Iterates, with a progress bar if wanted (tqdm is loaded only then)."""
    if not progress:
        yield from iterable
        return
    from tqdm.auto import tqdm

    bar = progress if callable(progress) else tqdm
    yield from bar(iterable, desc=label, leave=False)


def _twin(module: nn.Module, made: dict[int, Any]) -> nn.Module:
    """The same layers around detached parameters in a fast layout; buffers are shared.

    Ten times cheaper per pass than `torch.func.functional_call`, which swaps parameters each time.
    """
    if id(module) not in made:
        twin = object.__new__(type(module))
        made[id(module)] = twin  # before its children: a module may be met twice
        twin.__dict__.update(module.__dict__)
        twin.__dict__["_buffers"] = dict(module._buffers)
        twin.__dict__["_parameters"] = {
            name: None if p is None else _fast_layout(p.detach())
            for name, p in module._parameters.items()
        }
        twin.__dict__["_modules"] = {
            name: None if child is None else _twin(child, made)
            for name, child in module._modules.items()
        }
    network: nn.Module = made[id(module)]
    return network


def _fast_layout(parameter: Tensor) -> Tensor:
    """Convolution weights laid out like channels-last inputs; a copy, the model keeps its own."""
    if parameter.dim() == 4:
        return parameter.contiguous(memory_format=torch.channels_last)
    return parameter
