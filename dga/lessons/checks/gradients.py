"""Assignment 1: gradients and Integrated Gradients."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

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
    },
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
)


def _riemann(offset: float, of: Callable = score) -> Callable[..., Tensor]:
    def integrated(model: nn.Module, x: Tensor, target: Tensor, steps: int) -> Tensor:
        points = [(k + offset) / steps for k in range(steps)]
        return x * sum(gradient(model, p * x, target, of) for p in points) / steps

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
            lambda m, x, t, n: sum(gradient(m, (k + 0.5) / n * x, t) for k in range(n)) / n
        ),
        "this is the sum over the steps; an integral needs their mean": (
            lambda m, x, t, n: n * _riemann(0.5)(m, x, t, n)
        ),
        SOFTMAX: _riemann(0.5, probability),
        CLASS: lambda m, x, t, n: _riemann(0.5)(m, x, predicted(m, x), n),
        ABSOLUTE: lambda m, x, t, n: _riemann(0.5)(m, x, t, n).abs(),
    },
)
