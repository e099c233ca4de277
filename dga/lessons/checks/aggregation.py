"""Assignment 4 and lesson 05: Algorithm 1, of Uniform FullGrad and of any local method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dga.lessons.checks.examples import (
    SOFTMAX,
    gradient_times_input,
    local_attribution,
    network,
    pictures,
    predicted,
    probability,
)
from dga.lessons.checks.masks import FOLLOWS, MISTAKES, SHARE, Local, sequence
from dga.lessons.checks.task import Task


def _cut(phi: Tensor, beta: float) -> Tensor:
    return phi.clamp(min=0) + beta * phi.clamp(max=0)


def _aggregate(
    first: int = 0,
    last: int = 0,
    part: Callable[[Tensor, float], Tensor] = _cut,
    mean: bool = False,
    late: bool = False,
    follows: bool = False,
    **options: Any,
) -> Callable[..., Tensor]:
    """DGA of a local method, right unless told otherwise; `late` cuts the sum."""

    def attribution(
        local: Local, model: nn.Module, x: Tensor, target: Tensor, N: int, q: float, beta: float
    ) -> Tensor:
        inputs = sequence(follows_prediction=follows, **options)
        looks = inputs(local, model, x, target, N, q)[first : N + 1 - last]
        maps = [local(model, z, predicted(model, z) if follows else target) for z in looks]
        total = torch.stack(maps if late else [part(phi, beta) for phi in maps]).sum(0)
        total = part(total, beta) if late else total
        return total / len(maps) if mean else total

    return attribution


_MISTAKES = {
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
    "the sign of beta's part is turned: min(phi, 0) is negative already": _aggregate(
        part=lambda phi, beta: _cut(phi, -beta)
    ),
    "beta scales the positive parts; it belongs to the negative ones": _aggregate(
        part=lambda phi, beta: beta * phi.clamp(min=0) + phi.clamp(max=0)
    ),
    "the sum is cut at 0; every look is cut before it is added": _aggregate(late=True),
    FOLLOWS: _aggregate(follows=True),
    SHARE: _aggregate(shift_share=1),
} | {words: _aggregate(**options) for words, options in MISTAKES.items()}


def _other_masks(
    method: Local, model: nn.Module, x: Tensor, target: Tensor, N: int, q: float, beta: float
) -> Tensor:
    looks = sequence()(local_attribution, model, x, target, N, q)
    return torch.stack([_cut(method(model, z, target), beta) for z in looks]).sum(0)


def _of(local: Local, method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return partial(method, local)


distilled_gradient_aggregation = Task(
    "f(model, x, target, N, q, beta)",
    lambda: [(network(), *pictures(), 4, 0.8, beta) for beta in (0.0, 0.5)],
    _of(local_attribution, _aggregate()),
    {words: _of(local_attribution, wrong) for words, wrong in _MISTAKES.items()}
    | {SOFTMAX: _of(partial(local_attribution, of=probability), _aggregate())},
)

any_method = Task(
    "f(method, model, x, target, N, q, beta)",
    lambda: [(gradient_times_input, network(), *pictures(), 4, 0.8, 0.5)],
    _aggregate(),
    _MISTAKES
    | {
        "`method` is not used: every look is Uniform FullGrad": lambda method, *more: _aggregate()(
            local_attribution, *more
        ),
        "Uniform FullGrad makes the masks; `method` does, too: one map a look, for the masks and "
        "for the sum": _other_masks,
    },
)
