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


def _attributions() -> list[tuple]:
    x, target = pictures()
    with torch.no_grad():
        scores = (score(network(), x, target), score(network(), 0 * x, target))
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
