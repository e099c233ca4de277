"""Assignment 2: FullGrad and Uniform FullGrad."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import dga
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

PROBABILITY = "the softmax probability stands where the score belongs"
OTHER_SCORE = "the score is that of the predicted class; the task asks for `target`"


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
        "<g, x> is summed over the whole batch; every picture has its own": lambda m, x, t: (
            score(m, x, t) - (x * gradient(m, x, t)).sum()
        ),
        "<g, x> is a sum over the features, not their mean": lambda m, x, t: (
            score(m, x, t) - (x * gradient(m, x, t)).flatten(1).mean(1)
        ),
        PROBABILITY: lambda m, x, t: probability(m, x, t) - _inner(x, gradient(m, x, t)),
        OTHER_SCORE: lambda m, x, t: score(m, x, predicted(m, x)) - _inner(x, gradient(m, x, t)),
    },
    (dga.bias_attributions,),
)


def _shared(
    share: Callable[[Tensor, Tensor], Tensor], of: Callable = score
) -> Callable[..., Tensor]:
    """x * g, and what `share` makes of the bias sum (B, 1, 1, 1) and of x * g."""

    def attribution(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        local = x * gradient(model, x, target)
        rest = (of(model, x, target) - local.flatten(1).sum(1)).detach().view(-1, 1, 1, 1)
        return local + share(rest, local)

    return attribution


def _predicted_score(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return score(model, x, predicted(model, x))


def _for_both(share: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Callable[..., Tensor]]:
    """What goes wrong with the bias sum, however it is shared out."""
    return {
        "the bias sum is added to every feature whole; share it out": _shared(
            lambda rest, local: rest
        ),
        "the bias sum lost its sign: an absolute value was added": _shared(
            lambda rest, local: share(rest.abs(), local)
        ),
        "the bias sum is missing: this is Gradient*Input": _shared(lambda rest, local: 0 * rest),
        "one bias sum for the whole batch; every picture has its own": _shared(
            lambda rest, local: share(rest.sum().expand_as(rest), local)
        ),
        PROBABILITY: _shared(share, probability),
        OTHER_SCORE: _shared(share, _predicted_score),
        CLASS: lambda m, x, t: _shared(share)(m, x, predicted(m, x)),
    }


def _evenly(rest: Tensor, local: Tensor) -> Tensor:
    return rest / local[0].numel()


uniform_fullgrad = Task(
    PASS,
    one_case,
    _shared(_evenly),
    {
        "the bias sum is divided by the pixels, H * W; features are C * H * W": _shared(
            lambda rest, local: rest / local[0, 0].numel()
        ),
        "the bias sum is divided by the features of the whole batch; d counts those of one "
        "picture": _shared(lambda rest, local: rest / local.numel()),
        SOFTMAX: lambda m, x, t: local_attribution(m, x, t, probability),
    }
    | _for_both(_evenly),
)


def _each(values: Tensor) -> Tensor:
    """The sum of a picture, (B, 1, 1, 1)."""
    return values.flatten(1).sum(1).view(-1, 1, 1, 1)


def _by_size(rest: Tensor, local: Tensor) -> Tensor:
    return rest * local.abs() / _each(local.abs())


shared_by_size = Task(
    PASS,
    one_case,
    _shared(_by_size),
    {
        "this is Uniform FullGrad: the bias sum is shared evenly": _shared(_evenly),
        "the shares have signs: take |x * g|, and the sum of |x * g|": _shared(
            lambda rest, local: rest * local / _each(local)
        ),
        "the shares do not add up to 1: divide by the sum of |x * g|, not by |<g, x>|": _shared(
            lambda rest, local: rest * local.abs() / _each(local).abs()
        ),
        "the sizes add up over the whole batch; every picture has its own sum": _shared(
            lambda rest, local: rest * local.abs() / local.abs().sum()
        ),
        "the shares go by |g|; they go by |x * g|": lambda m, x, t: (
            x * gradient(m, x, t)
            + (score(m, x, t) - _inner(x, gradient(m, x, t))).detach().view(-1, 1, 1, 1)
            * gradient(m, x, t).abs()
            / _each(gradient(m, x, t).abs())
        ),
        SOFTMAX: lambda m, x, t: (
            x * gradient(m, x, t, probability)
            + _by_size(
                (probability(m, x, t) - _inner(x, gradient(m, x, t, probability)))
                .detach()
                .view(-1, 1, 1, 1),
                x * gradient(m, x, t, probability),
            )
        ),
    }
    | _for_both(_by_size),
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
