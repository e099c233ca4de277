"""Assignment 1: gradients and Integrated Gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import dga
from dga.lessons.checks.examples import (
    ABSOLUTE,
    CLASS,
    PASS,
    SOFTMAX,
    gradient,
    network,
    one_case,
    pictures,
    predicted,
    probability,
    score,
)
from dga.lessons.checks.task import Task


def _of_sum(pick: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The gradient of the sum of what is picked from the scores (B, K) by the target (B,)."""
    return lambda m, x, t: gradient(m, x, t, lambda model, leaf, target: pick(model(leaf), target))


input_gradient = Task(
    PASS,
    one_case,
    gradient,
    {
        SOFTMAX: lambda m, x, t: gradient(m, x, t, probability),
        CLASS: lambda m, x, t: gradient(m, x, predicted(m, x)),
        "this is the gradient of the mean over the batch; take the sum, so that no picture's "
        "gradient depends on how many others there are": lambda m, x, t: gradient(m, x, t) / 2,
        ABSOLUTE: lambda m, x, t: gradient(m, x, t).abs(),
        "`[:, target]` picks the classes of all pictures from every picture; each has one of its "
        "own: scores.gather(1, target[:, None])": _of_sum(lambda scores, t: scores[:, t]),
        "the scores of all classes are added; take the one of `target`, picture by "
        "picture": _of_sum(lambda scores, t: scores),
        "every picture gets the class of the first": _of_sum(lambda scores, t: scores[:, t[0]]),
    },
    (dga.gradient, dga.smoothgrad),
)

gradient_times_input = Task(
    PASS,
    one_case,
    lambda m, x, t: x * gradient(m, x, t),
    {
        "this is the plain gradient: multiply by the input": gradient,
        ABSOLUTE: lambda m, x, t: (x * gradient(m, x, t)).abs(),
        "the gradient's absolute value was taken before multiplying": lambda m, x, t: (
            x * gradient(m, x, t).abs()
        ),
        SOFTMAX: lambda m, x, t: x * gradient(m, x, t, probability),
        CLASS: lambda m, x, t: x * gradient(m, x, predicted(m, x)),
    },
    (dga.gradient_times_input,),
)


def _leg(
    start: Tensor, end: Tensor, shift: float, of: Callable
) -> Callable[[nn.Module, Tensor, int], Tensor]:
    """The mean gradient on a straight way, as a function of model, target and steps."""
    return lambda m, t, n: torch.stack(
        [gradient(m, start + (k + shift) / n * (end - start), t, of) for k in range(n)]
    ).mean(0)


def _two_legs(
    shift: float = 0.5,
    of: Callable = score,
    ways: Callable[[Tensor, Tensor], tuple[Tensor | float, Tensor | float]] = lambda c, x: (
        c,
        x - c,
    ),
    second_from_zero: bool = False,
) -> Callable[..., Tensor]:
    """From zero to the corner and on to x; without a corner straight to x."""

    def integrated(
        model: nn.Module, x: Tensor, target: Tensor, steps: int, corner: Tensor | None = None
    ) -> Tensor:
        c = x if corner is None else corner
        first, second = ways(c, x)
        start, end = (0 * c, x - c) if second_from_zero else (c, x)
        return first * _leg(0 * c, c, shift, of)(model, target, steps) + second * _leg(
            start, end, shift, of
        )(model, target, steps)

    return integrated


def _corner() -> Tensor:
    x = pictures()[0]
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)


integrated_gradients = Task(
    "f(model, x, target, steps, corner)",
    lambda: [(network(), *pictures(), steps, _corner()) for steps in (1, 4)],
    _two_legs(),
    {
        "these are the left ends of the steps (where a leg begins is one of them); take the middle "
        "of each": _two_legs(0.0),
        "these are the right ends of the steps (where a leg ends is one of them); take the middle "
        "of each": _two_legs(1.0),
        "these are the mean gradients of the legs: multiply each by its way": _two_legs(
            ways=lambda c, x: (1.0, 1.0)
        ),
        "this is the sum over the steps; an integral needs their mean": (
            lambda m, x, t, n, c: n * _two_legs()(m, x, t, n, c)
        ),
        "this is the mean of the two legs; their parts are added": (
            lambda m, x, t, n, c: _two_legs()(m, x, t, n, c) / 2
        ),
        "this is the straight path: `corner` is not used": (
            lambda m, x, t, n, c: _two_legs()(m, x, t, n)
        ),
        "the second leg is missing": _two_legs(ways=lambda c, x: (c, 0.0)),
        "the first leg is missing": _two_legs(ways=lambda c, x: (0.0, x - c)),
        "the second leg is multiplied by x; its way is x minus the corner": _two_legs(
            ways=lambda c, x: (c, x)
        ),
        "both legs are multiplied by x; each has its own way": _two_legs(ways=lambda c, x: (x, x)),
        "the second leg begins at zero; it begins at the corner": _two_legs(second_from_zero=True),
        SOFTMAX: _two_legs(of=probability),
        CLASS: lambda m, x, t, n, c: _two_legs()(m, x, predicted(m, x), n, c),
        ABSOLUTE: lambda m, x, t, n, c: _two_legs()(m, x, t, n, c).abs(),
    },
    (dga.integrated_gradients, dga.guided_integrated_gradients),
)
