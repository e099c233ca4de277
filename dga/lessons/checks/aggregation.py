"""Assignment 4: DGA and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dga.lessons.checks.examples import (
    SOFTMAX,
    local_attribution,
    network,
    pictures,
    probability,
    score,
)
from dga.lessons.checks.masks import EPC_SIGN, ORIGINAL, SHIFT, sequence
from dga.lessons.checks.task import Task


def _aggregate(
    first: int = 0,
    last: int = 0,
    part: Callable[[Tensor, float], Tensor] = lambda phi, beta: (
        phi.clamp(min=0) + beta * phi.clamp(max=0)
    ),
    mean: bool = False,
    of: Callable = score,
    **options: Any,
) -> Callable[..., Tensor]:
    def attribution(
        model: nn.Module, x: Tensor, target: Tensor, N: int, q: float, beta: float
    ) -> Tensor:
        looks = sequence(of=of, **options)(model, x, target, N, q)[first : N + 1 - last]
        parts = [part(local_attribution(model, look, target, of), beta) for look in looks]
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
        ORIGINAL: _aggregate(keeps_masking=True),
        SHIFT: _aggregate(shift=1),
        SOFTMAX: _aggregate(of=probability),
        EPC_SIGN: _aggregate(absolute=True),
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
    order: int = -1, of: Callable = probability, fill: Callable = lambda x: 0 * x
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
        "the curve is of probabilities, after the softmax; this is the score": _curve(of=score),
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
