"""Instant feedback for the assignments: the right answer, or a sentence that says what is wrong.

    from dga import check
    check.integrated_gradients(my_function)

Every task has a truth and the mistakes people make with it, all as functions. They run on small
seeded examples in float64; an answer that equals a mistake is told so by name, any other wrong one
by its shape or by the first value that differs.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import dga
from dga.full_gradient import spread_evenly
from dga.masks import largest_count as _largest_count


class Wrong(AssertionError):
    """A wrong answer; a notebook shows the sentence and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet: {self}"]


@dataclass(frozen=True)
class Task:
    """One task of an assignment; called with the learner's function.

    Attributes:
        call: how the function is called, for messages.
        cases: the arguments of each example.
        truth: the right function.
        mistakes: what to say -> the function that is wrong in this way.
    """

    call: str
    cases: Callable[[], Sequence[tuple]]
    truth: Callable[..., Any]
    mistakes: Mapping[str, Callable[..., Any]]

    def __call__(self, answer: Callable[..., Any]) -> None:
        """Prints that the answer is right.

        Raises:
            Wrong: with the reason.
        """
        if not callable(answer):
            raise Wrong(f"a function is needed, {self.call}; this is {type(answer).__name__}")
        given = [_run(answer, case) for case in self.cases()]
        right = [self.truth(*case) for case in self.cases()]
        for got, wanted in zip(given, right, strict=True):
            _same_kind(got, wanted, self.call)
        if all(map(_equal, given, right)):
            print("Right.")
            return
        for message, mistake in self.mistakes.items():
            if all(map(_equal, given, (mistake(*case) for case in self.cases()))):
                raise Wrong(message)
        for got, wanted in zip(given, right, strict=True):
            if not _equal(got, wanted):
                raise Wrong(_first_difference(got, wanted))


def _run(answer: Callable[..., Any], case: tuple) -> Any:
    """The learner's result; an exception is shown as theirs, from their first line on."""
    models = [argument for argument in case if isinstance(argument, nn.Module)]
    try:
        result = answer(*(a.clone() if isinstance(a, Tensor) else a for a in case))
    except Exception as error:
        frames = error.__traceback__ and error.__traceback__.tb_next  # without this function
        text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
        raise Wrong(f"your function stopped with an exception.\n{text}") from None
    for parameter in (p for model in models for p in model.parameters()):
        if parameter.grad is not None:
            for p in models[0].parameters():
                p.grad = None
            raise Wrong(
                "gradients are left behind in the parameters of the model: .backward() computes "
                "them too. Ask for the one you want: torch.autograd.grad(score.sum(), x)"
            )
    return result


def _same_kind(got: Any, wanted: Any, call: str) -> None:
    if got is None or got is NotImplemented:
        raise Wrong(f"{call} returns nothing yet")
    if isinstance(wanted, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(wanted):
            size = f"{len(got)}" if isinstance(got, list | tuple) else type(got).__name__
            raise Wrong(f"{call} must return {len(wanted)} things, this is {size}")
        for a, b in zip(got, wanted, strict=True):
            _same_kind(a, b, call)
        return
    if not isinstance(wanted, Tensor) or not wanted.dim():
        if not isinstance(got, int | float | bool) and not (
            isinstance(got, Tensor) and not got.dim()
        ):
            raise Wrong(f"{call} must return a number, this is {type(got).__name__}")
        return
    if not isinstance(got, Tensor):
        raise Wrong(f"{call} must return a tensor, this is {type(got).__name__}")
    if got.shape != wanted.shape:
        raise Wrong(f"{call} must return shape {tuple(wanted.shape)}, this has {tuple(got.shape)}")
    if got.dtype != wanted.dtype:
        raise Wrong(f"{call} must return {wanted.dtype}, this is {got.dtype}")


def _equal(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, list | tuple):
        return len(got) == len(wanted) and all(map(_equal, got, wanted))
    a, b = (torch.as_tensor(v).detach().double() for v in (got, wanted))
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)


def _first_difference(got: Any, wanted: Any) -> str:
    if isinstance(wanted, list | tuple):
        k = next(k for k in range(len(wanted)) if not _equal(got[k], wanted[k]))
        return f"number {k}: {_first_difference(got[k], wanted[k])}"
    a, b = (torch.as_tensor(v).detach().double() for v in (got, wanted))
    differs = ~torch.isclose(a, b, rtol=1e-6, atol=1e-9)
    if not a.dim():
        return f"the value is {a:.6g}, right is {b:.6g}"
    place = tuple(differs.nonzero()[0].tolist())
    share = differs.double().mean()
    return (
        f"the value at {list(place)} is {a[place] + 0.0:.6g}, right is {b[place]:.6g} "
        f"({share:.0%} of the values differ)"
    )


# The examples: small, seeded, float64


@cache
def network() -> nn.Module:
    """Two convolutions, a batch norm, ReLU: piecewise linear, with biases everywhere."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Conv2d(5, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4),
        )  # fmt: skip
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                tensor.data = torch.rand_like(tensor) + (0.5 if "running" in name else -0.5)
    return model.double().eval()


def pictures() -> tuple[Tensor, Tensor]:
    """Two inputs (2, 3, 6, 6), and for each a class that is not the predicted one."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 6, 6, generator=generator, dtype=torch.float64)
    return x, (network()(x).argmax(1) + torch.tensor([1, 2])) % 4


def _score(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return model(x).gather(1, target[:, None])[:, 0]


def _probability(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return model(x).softmax(1).gather(1, target[:, None])[:, 0]


def _gradient(model: nn.Module, x: Tensor, target: Tensor, of: Callable = _score) -> Tensor:
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(of(model, leaf, target).sum(), leaf)[0]


def _predicted(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).argmax(1)


_PASS = "f(model, x, target)"
_SOFTMAX = "this explains the softmax probability; the methods explain the score before it"
_CLASS = "this is the gradient of the predicted class; the task asks for `target`"
_ABSOLUTE = "the signs are gone: an absolute value was added"


def _one_case() -> list[tuple]:
    return [(network(), *pictures())]


# Assignment 1: gradients and Integrated Gradients

input_gradient = Task(
    _PASS,
    _one_case,
    _gradient,
    {
        _SOFTMAX: lambda m, x, t: _gradient(m, x, t, _probability),
        _CLASS: lambda m, x, t: _gradient(m, x, _predicted(m, x)),
        "this is the gradient of the mean over the batch; take the sum, so that no picture's "
        "gradient depends on how many others there are": lambda m, x, t: _gradient(m, x, t) / 2,
        _ABSOLUTE: lambda m, x, t: _gradient(m, x, t).abs(),
    },
)

gradient_times_input = Task(
    _PASS,
    _one_case,
    lambda m, x, t: x * _gradient(m, x, t),
    {
        "this is the plain gradient: multiply by the input": _gradient,
        _ABSOLUTE: lambda m, x, t: (x * _gradient(m, x, t)).abs(),
        "the gradient's absolute value was taken before multiplying": lambda m, x, t: (
            x * _gradient(m, x, t).abs()
        ),
        _SOFTMAX: lambda m, x, t: x * _gradient(m, x, t, _probability),
        _CLASS: lambda m, x, t: x * _gradient(m, x, _predicted(m, x)),
    },
)


def _shifted(x: Tensor, index: tuple[int, ...], h: float) -> Tensor:
    moved = x.clone()
    moved[index] += h
    return moved


finite_difference = Task(
    "f(function, x, index, h)",
    lambda: [(lambda x: (x**3).sum(), torch.tensor([[1.0, -2.0, 0.5]]).double(), (0, 1), 0.1)],
    lambda f, x, i, h: (f(_shifted(x, i, h)) - f(_shifted(x, i, -h))) / (2 * h),
    {
        "this goes one step forward only; take half of the way from -h to +h, whose error "
        "shrinks with the square of h": lambda f, x, i, h: (f(_shifted(x, i, h)) - f(x)) / h,
        "divide by the whole way, 2 * h": lambda f, x, i, h: (
            (f(_shifted(x, i, h)) - f(_shifted(x, i, -h))) / h
        ),
        "the difference has the wrong sign": lambda f, x, i, h: (
            (f(_shifted(x, i, -h)) - f(_shifted(x, i, h))) / (2 * h)
        ),
    },
)


def _riemann(offset: float, of: Callable = _score) -> Callable[..., Tensor]:
    def integrated(model: nn.Module, x: Tensor, target: Tensor, steps: int) -> Tensor:
        points = [(k + offset) / steps for k in range(steps)]
        return x * sum(_gradient(model, p * x, target, of) for p in points) / steps

    return integrated


integrated_gradients = Task(
    "f(model, x, target, steps)",
    lambda: [(network(), *pictures(), steps) for steps in (1, 4)],
    _riemann(0.5),
    {
        "these are the left ends of the steps (the zero picture is one of them); take the middle "
        "of each": _riemann(0.0),
        "these are the right ends of the steps (the picture itself is one of them); take the "
        "middle of each": _riemann(1.0),
        "this is the mean gradient along the path: multiply by the way, x minus baseline": (
            lambda m, x, t, n: sum(_gradient(m, (k + 0.5) / n * x, t) for k in range(n)) / n
        ),
        "this is the sum over the steps; an integral needs their mean": (
            lambda m, x, t, n: n * _riemann(0.5)(m, x, t, n)
        ),
        _SOFTMAX: _riemann(0.5, _probability),
        _CLASS: lambda m, x, t, n: _riemann(0.5)(m, x, _predicted(m, x), n),
        _ABSOLUTE: lambda m, x, t, n: _riemann(0.5)(m, x, t, n).abs(),
    },
)


def _attributions() -> list[tuple]:
    x, target = pictures()
    with torch.no_grad():
        scores = (_score(network(), x, target), _score(network(), 0 * x, target))
    return [(dga.integrated_gradients(network(), x, target, steps=3), *scores)]


convergence_delta = Task(
    "f(attribution, score_of_x, score_of_baseline)",
    _attributions,
    lambda a, fx, f0: a.flatten(1).sum(1) - (fx - f0),
    {
        "the score of the baseline is missing: the attributions add up to the difference": (
            lambda a, fx, f0: a.flatten(1).sum(1) - fx
        ),
        "this is the mean of the attributions; completeness is about their sum": (
            lambda a, fx, f0: a.flatten(1).mean(1) - (fx - f0)
        ),
        "delta is signed: an absolute value was added": (
            lambda a, fx, f0: (a.flatten(1).sum(1) - (fx - f0)).abs()
        ),
        "the sign is turned: sum of the attributions minus the difference of the scores": (
            lambda a, fx, f0: (fx - f0) - a.flatten(1).sum(1)
        ),
    },
)


# Assignment 2: FullGrad and Uniform FullGrad


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


bias_sum = Task(
    _PASS,
    _one_case,
    lambda m, x, t: (_score(m, x, t) - _inner(x, _gradient(m, x, t))).detach(),
    {
        "the gradient is summed without the input: it is <g, x>": lambda m, x, t: (
            _score(m, x, t) - _gradient(m, x, t).flatten(1).sum(1)
        ),
        "the sign is turned: score minus <g, x>": lambda m, x, t: (
            _inner(x, _gradient(m, x, t)) - _score(m, x, t)
        ),
        _SOFTMAX: lambda m, x, t: (
            _probability(m, x, t) - _inner(x, _gradient(m, x, t, _probability))
        ),
        _CLASS: lambda m, x, t: (
            _score(m, x, _predicted(m, x)) - _inner(x, _gradient(m, x, _predicted(m, x)))
        ),
    },
)


def _uniform(divide: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """UFG with another treatment of the bias sum (B,)."""

    def attribution(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        g = _gradient(model, x, target)
        rest = (_score(model, x, target) - _inner(x, g)).detach()
        return x * g + divide(rest, x).view(-1, 1, 1, 1)

    return attribution


uniform_fullgrad = Task(
    _PASS,
    _one_case,
    _uniform(lambda rest, x: rest / x[0].numel()),
    {
        "the bias sum is added to every feature whole; spread it: divide by d": _uniform(
            lambda rest, x: rest
        ),
        "the bias sum is divided by the pixels, H * W; features are C * H * W": _uniform(
            lambda rest, x: rest / x[0, 0].numel()
        ),
        "the bias sum lost its sign: an absolute value was added": _uniform(
            lambda rest, x: rest.abs() / x[0].numel()
        ),
        "the bias sum is missing: this is Gradient*Input": _uniform(lambda rest, x: 0 * rest),
        "one bias sum for the whole batch; every picture has its own": _uniform(
            lambda rest, x: (rest.sum() / x[0].numel()).expand(len(x))
        ),
        _SOFTMAX: lambda m, x, t: _local(m, x, t, _probability),
        _CLASS: lambda m, x, t: _local(m, x, _predicted(m, x)),
    },
)


def _norms() -> list[tuple]:
    layer = network()[1]  # type: ignore[index]
    return [(layer.weight.detach(), layer.bias.detach(), layer.running_mean, layer.running_var,
             0.1)]  # fmt: skip


batch_norm_bias = Task(
    "f(weight, bias, running_mean, running_var, eps)",
    _norms,
    lambda w, b, m, v, e: b - m * w / (v + e).sqrt(),
    {
        "eps is missing under the root": lambda w, b, m, v, e: b - m * w / v.sqrt(),
        "the variance needs its square root": lambda w, b, m, v, e: b - m * w / (v + e),
        "the weight is missing: it scales the running mean too": (
            lambda w, b, m, v, e: b - m / (v + e).sqrt()
        ),
        "the running mean is subtracted, not added": lambda w, b, m, v, e: (
            b + m * w / (v + e).sqrt()
        ),
        "this is the layer's own bias; the running mean acts as one too": (lambda w, b, m, v, e: b),
    },
)

_gelu = nn.functional.gelu


def _slope(function: Callable, x: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(function(leaf).sum(), leaf)[0]


implicit_bias = Task(
    "f(function, x)",
    lambda: [
        (function, torch.linspace(-2, 2, 9, dtype=torch.float64))
        for function in (_gelu, torch.tanh, torch.relu)
    ],
    lambda f, x: f(x) - _slope(f, x) * x,
    {
        "the slope is missing: out - slope * in": lambda f, x: f(x) - x,
        "the input is missing: out - slope * in": lambda f, x: f(x) - _slope(f, x),
        "this is the part that is linear; the bias is the rest, out - slope * in": (
            lambda f, x: _slope(f, x) * x
        ),
        "the sign is turned: out - slope * in": lambda f, x: _slope(f, x) * x - f(x),
    },
)

uniform_share = Task(
    "f(score, inner)",
    lambda: [(torch.tensor([3.0, -1.0, 2.0]).double(), torch.tensor([1.0, 2.0, 5.0]).double())],
    lambda f, inner: (f - inner).abs() / ((f - inner).abs() + inner.abs()),
    {
        "sizes are compared: without absolute values parts cancel": lambda f, inner: (
            (f - inner) / ((f - inner) + inner)
        ),
        "this is the other part's share": lambda f, inner: (
            inner.abs() / ((f - inner).abs() + inner.abs())
        ),
    },
)


# Assignment 3: masks and the distilled sequence


def _ties() -> list[tuple]:
    generator = torch.Generator().manual_seed(2)
    tied = torch.randint(-3, 4, (100,), generator=generator).double()
    free = torch.randn(100, generator=generator, dtype=torch.float64)
    return [(v, share) for v in (tied, free) for share in (0.0, 0.29, 0.58, 0.9, 1.0)]


def _count(v: Tensor) -> Tensor:
    """How many values are at most this one."""
    return (v[None, :] <= v[:, None]).sum(1)


weak_mask = Task(
    "f(phi, share)",
    _ties,
    lambda v, s: _count(v.abs()) / len(v) > s,
    {
        "sizes are ranked: the absolute value is forgotten": lambda v, s: _count(v) / len(v) > s,
        "a feature counts itself and its ties: <=, not <": lambda v, s: (
            (v.abs()[None, :] < v.abs()[:, None]).sum(1) / len(v) > s
        ),
        "the weak features go: True is for those that stay": lambda v, s: (
            _count(v.abs()) / len(v) <= s
        ),
        "this is an interpolated quantile, which is wrong where values are tied: count": (
            lambda v, s: v.abs() > v.abs().quantile(s)
        ),
        "features exactly at the share go too: > share stays, not >= share": lambda v, s: (
            _count(v.abs()) / len(v) >= s
        ),
    },
)

extreme_mask = Task(
    "f(phi, quantile)",
    _ties,
    lambda v, q: _count(v) / len(v) <= q,
    {
        "signed values are ranked here: an absolute value was added": lambda v, q: (
            _count(v.abs()) / len(v) <= q
        ),
        "the strongest positive features go: True is for those that stay": lambda v, q: (
            _count(v) / len(v) > q
        ),
        "a feature counts itself and its ties: <=, not <": lambda v, q: (
            (v[None, :] < v[:, None]).sum(1) / len(v) <= q
        ),
        "this is an interpolated quantile, which is wrong where values are tied: count": (
            lambda v, q: v <= v.quantile(q)
        ),
        "features exactly at the quantile stay: <= quantile, not <": lambda v, q: (
            _count(v) / len(v) < q
        ),
    },
)

largest_count = Task(
    "f(share, d)",
    lambda: [(k / 100, 100) for k in range(101)] + [(n / 30, 12_288) for n in range(31)],
    lambda s, d: float(_largest_count(s, d)),
    {
        "floor(share * d) is wrong now and then: 0.29 * 100 is 28.999999999999996": (
            lambda s, d: float(math.floor(s * d))
        ),
        "this rounds up: r / d must not exceed the share": lambda s, d: float(math.ceil(s * d)),
        "off by one: r itself still fits": lambda s, d: float(max(0, _largest_count(s, d) - 1)),
    },
)


def _two_masks() -> list[tuple]:
    weak = torch.tensor([True, True, False, False])
    extreme = torch.tensor([True, False, True, False])
    return [(weak, extreme, n, 5) for n in range(6)]


blend = Task(
    "f(weak, extreme, n, N)",
    _two_masks,
    lambda w, e, n, N: n / N * w.double() + (1 - n / N) * e.double(),
    {
        "the weights are swapped: EPC comes early, WC late": lambda w, e, n, N: (
            (1 - n / N) * w.double() + n / N * e.double()
        ),
        "off by one in n: the weight of WC is n / N, which is 0 at first": lambda w, e, n, N: (
            (n + 1) / N * w.double() + (1 - (n + 1) / N) * e.double()
        ),
        "off by one in N: divide by N, not by N + 1": lambda w, e, n, N: (
            n / (N + 1) * w.double() + (1 - n / (N + 1)) * e.double()
        ),
        "the masks are added, not averaged: 1 - n / N is the weight of EPC": lambda w, e, n, N: (
            n / N * w.double() + e.double()
        ),
    },
)


def _local(model: nn.Module, x: Tensor, target: Tensor, of: Callable = _score) -> Tensor:
    score = of(model, x, target).detach()
    return spread_evenly(x, score, _gradient(model, x, target, of))


def _masked(phi: Tensor, time: float, q: float, absolute: bool = False) -> Tensor:
    weak = dga.weak_contributor_mask(phi, time)
    extreme = dga.extreme_positive_contributor_mask(phi.abs() if absolute else phi, q)
    return time * weak.double() + (1 - time) * extreme.double()


def _sequence(
    *,
    keeps_masking: bool = False,
    shift: int = 0,
    follows_prediction: bool = False,
    of: Callable = _score,
    absolute: bool = False,
) -> Callable[..., list[Tensor]]:
    """x~(0) .. x~(N), right unless told otherwise."""

    def inputs(model: nn.Module, x: Tensor, target: Tensor, N: int, q: float) -> list[Tensor]:
        out = [x]
        for n in range(N):
            wanted = _predicted(model, out[-1]) if follows_prediction else target
            phi = _local(model, out[-1], wanted, of)
            mask = _masked(phi, (n + shift) / N, q, absolute)
            out.append(mask * (out[-1] if keeps_masking else x))
        return out

    return inputs


_ORIGINAL = "the mask is applied to the distilled input; it always masks the ORIGINAL picture"
_SHIFT = "off by one in n: step n has the share and the weight n / N, so the first is 0"
_EPC_SIGN = "EPC ranks signed values: an absolute value was added"
_FOLLOWS = "the target follows the prediction on the masked picture; it is settled once, on x"

distilled_inputs = Task(
    "f(model, x, target, N, q)",
    lambda: [(network(), *pictures(), 4, 0.8)],
    _sequence(),
    {
        _ORIGINAL: _sequence(keeps_masking=True),
        _SHIFT: _sequence(shift=1),
        _FOLLOWS: _sequence(follows_prediction=True),
        _SOFTMAX: _sequence(of=_probability),
        _EPC_SIGN: _sequence(absolute=True),
    },
)


# Assignment 4: DGA and its evaluation


def _aggregate(
    first: int = 0,
    last: int = 0,
    part: Callable[[Tensor, float], Tensor] = lambda phi, beta: (
        phi.clamp(min=0) + beta * phi.clamp(max=0)
    ),
    mean: bool = False,
    of: Callable = _score,
    **options: Any,
) -> Callable[..., Tensor]:
    def attribution(
        model: nn.Module, x: Tensor, target: Tensor, N: int, q: float, beta: float
    ) -> Tensor:
        looks = _sequence(of=of, **options)(model, x, target, N, q)[first : N + 1 - last]
        parts = [part(_local(model, look, target, of), beta) for look in looks]
        total = torch.stack(parts).sum(0)
        return total / len(parts) if mean else total

    return attribution


distilled_gradient_aggregation = Task(
    "f(model, x, target, N, q, beta)",
    lambda: [(network(), *pictures(), 4, 0.8, beta) for beta in (0.0, 0.5)],
    _aggregate(),
    {
        "the last look, n = N, is missing: N + 1 attributions are added": _aggregate(last=1),
        "the first look, n = 0, is missing (as in the paper's Eq. 10); Algorithm 1 starts "
        "at 0": _aggregate(first=1),
        "this is the mean over the steps; Algorithm 1 takes the sum": _aggregate(mean=True),
        "negative attribution is added by its size: an absolute value was added": _aggregate(
            part=lambda phi, beta: phi.abs()
        ),
        "beta is not used": _aggregate(part=lambda phi, beta: phi.clamp(min=0)),
        "everything is added, signs included; negative parts count beta times": _aggregate(
            part=lambda phi, beta: phi
        ),
        _ORIGINAL: _aggregate(keeps_masking=True),
        _SHIFT: _aggregate(shift=1),
        _SOFTMAX: _aggregate(of=_probability),
        _EPC_SIGN: _aggregate(absolute=True),
    },
)


def _map() -> list[tuple]:
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(2, 3, 5, 5, generator=generator, dtype=torch.float64),)]


pixel_relevance = Task(
    "f(attribution)",
    _map,
    lambda a: a.sum(1),
    {
        "the channels' absolute values are added; relevance is signed": lambda a: a.abs().sum(1),
        "this is the mean over the channels; the measure takes the sum": lambda a: a.mean(1),
        "this is the largest channel; the measure takes the sum": lambda a: a.amax(1),
    },
)


def _perturbed() -> list[tuple]:
    x, target = pictures()
    generator = torch.Generator().manual_seed(4)  # no ties
    relevance = torch.randn(2, 6, 6, generator=generator, dtype=torch.float64)
    return [(network(), x, target, relevance, (0.0, 0.25, 0.5, 1.0))]


def _curve(
    order: int = -1, of: Callable = _probability, fill: Callable = lambda x: 0 * x
) -> Callable[..., Tensor]:
    @torch.no_grad()
    def curve(
        model: nn.Module, x: Tensor, target: Tensor, relevance: Tensor, shares: Sequence[float]
    ) -> Tensor:
        rank = (order * relevance).flatten(1).argsort(1).argsort(1).view_as(relevance)[:, None]
        kept = [rank >= round(share * relevance[0].numel()) for share in shares]
        return torch.stack([of(model, torch.where(k, x, fill(x)), target) for k in kept], 1)

    return curve


morf_curve = Task(
    "f(model, x, target, relevance, shares)",
    _perturbed,
    _curve(),
    {
        "the least relevant pixels go first: this is LeRF": _curve(order=1),
        "the curve is of probabilities, after the softmax; this is the score": _curve(of=_score),
        "removed pixels become 0, the mean colour of normalised pictures; this is each picture's "
        "own mean": _curve(fill=lambda x: x.mean((2, 3), keepdim=True).expand_as(x)),
        "the probability is of the predicted class; the task asks for `target`": _curve(
            of=lambda m, x, t: m(x).softmax(1).amax(1)
        ),
    },
)


def _two_methods() -> list[tuple]:
    generator = torch.Generator().manual_seed(5)
    base = torch.rand(20, generator=generator, dtype=torch.float64)
    other = base + 0.1 + 0.02 * torch.randn(20, generator=generator, dtype=torch.float64)
    return [(other, base, torch.randint(20, (500, 20), generator=generator))]


def _edges(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.quantile(0.025), values.quantile(0.975)


paired_interval = Task(
    "f(scores_a, scores_b, pick)",
    _two_methods,
    lambda a, b, pick: _edges((a - b)[pick].mean(1)),
    {
        "the two methods are resampled apart; the same pictures belong to both: take the "
        "differences first": lambda a, b, pick: _edges(a[pick].mean(1) - b[pick.flip(0)].mean(1)),
        "these are quantiles of single pictures; the interval is of their mean": (
            lambda a, b, pick: _edges((a - b)[pick].flatten())
        ),
        "these are quantiles of the differences, without resampling": lambda a, b, pick: _edges(
            a - b
        ),
        "the order is turned: a minus b": lambda a, b, pick: _edges((b - a)[pick].mean(1)),
    },
)


TASKS = {name: task for name, task in list(globals().items()) if isinstance(task, Task)}


def prediction(answer: Any, choices: str) -> None:
    """Whether one of the choices was made; a prediction need not be right.

    Raises:
        Wrong: if not.
    """
    if not isinstance(answer, str) or len(answer) != 1 or answer.upper() not in choices:
        raise Wrong(f"write one letter, {', '.join(choices)}, in quotation marks")
    print("Noted. Now run on and see.")


def choice(answer: Any, right: str, why: Mapping[str, str]) -> None:
    """A question with one right letter, found out by measuring; `why` explains each letter.

    Raises:
        Wrong: with the explanation of the letter.
    """
    if not isinstance(answer, str) or answer.upper() not in why:
        raise Wrong(f"write one letter, {', '.join(why)}, in quotation marks")
    if answer.upper() != right:
        raise Wrong(why[answer.upper()])
    print(f"Right. {why[right]}")
