"""Assignment 2: FullGrad and Uniform FullGrad."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dga.lessons.checks.examples import (
    CLASS,
    PASS,
    SOFTMAX,
    gradient,
    local_attribution,
    one_case,
    predicted,
    probability,
    score,
)
from dga.lessons.checks.task import Task


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


bias_sum = Task(
    PASS,
    one_case,
    lambda m, x, t: (score(m, x, t) - _inner(x, gradient(m, x, t))).detach(),
    {
        "the gradient is summed without the input: it is <g, x>": lambda m, x, t: (
            score(m, x, t) - gradient(m, x, t).flatten(1).sum(1)
        ),
        "the sign is turned: score minus <g, x>": lambda m, x, t: (
            _inner(x, gradient(m, x, t)) - score(m, x, t)
        ),
        SOFTMAX: lambda m, x, t: probability(m, x, t) - _inner(x, gradient(m, x, t, probability)),
        CLASS: lambda m, x, t: (
            score(m, x, predicted(m, x)) - _inner(x, gradient(m, x, predicted(m, x)))
        ),
    },
)


def _uniform(divide: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """UFG with another treatment of the bias sum (B,)."""

    def attribution(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        g = gradient(model, x, target)
        rest = (score(model, x, target) - _inner(x, g)).detach()
        return x * g + divide(rest, x).view(-1, 1, 1, 1)

    return attribution


uniform_fullgrad = Task(
    PASS,
    one_case,
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
        SOFTMAX: lambda m, x, t: local_attribution(m, x, t, probability),
        CLASS: lambda m, x, t: local_attribution(m, x, predicted(m, x)),
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
