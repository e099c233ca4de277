"""Assignment 4: DGA and its evaluation."""

from __future__ import annotations

from collections.abc import Callable
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
