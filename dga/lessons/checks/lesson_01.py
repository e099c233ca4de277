"""The exercise of lesson 01: scores about which a gradient says the wrong thing."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import torch
from torch import Tensor

from dga.lessons.checks.task import Wrong

Score = Callable[[Tensor], Tensor]
ENOUGH = 5  # what the boaster has to say
_MIDDLES = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000


def liars(modest: Score, boaster: Score) -> None:
    """Says whether both scores rise by 1 from 0 to 1, and Gradient*Input says 0 and 5 or more.

    Args:
        modest, boaster: the learner's scores, from a tensor to a tensor of the same shape.

    Example:
        >>> liars(lambda x: 1 - torch.relu(1 - 2 * x), lambda x: torch.relu(5 * x - 4))
        Right. Both scores rise by 1. Gradient*Input says 0.0 of modest and 5.0 of boaster.
        And the mean slope on the path from 0 to 1: 1.0 of modest, 1.0 of boaster.
        >>> liars(lambda x: x, lambda x: torch.relu(5 * x - 4))
        Not yet: Gradient*Input says 1.0 of modest, which is the truth; 0 is wanted. Where ...
    """
    try:
        said = [_said("modest", modest), _said("boaster", boaster)]
        if not abs(said[0]) <= 0.01:
            truth = ", which is the truth" if abs(said[0] - 1) < 0.01 else ""
            raise Wrong(
                f"Gradient*Input says {said[0]:.1f} of modest{truth}; 0 is wanted. Where has the "
                "score to climb, so that it is level at 1?"
            )
        if not said[1] >= ENOUGH - 0.01:
            raise Wrong(
                f"Gradient*Input says {said[1]:.1f} of boaster; {ENOUGH} or more is wanted. Let "
                "the score wait, and climb late."
            )
        means = [_mean("modest", modest), _mean("boaster", boaster)]
    except Wrong as error:
        print(f"Not yet: {error}")
        return
    print(
        f"Right. Both scores rise by 1. Gradient*Input says {said[0] + 0.0:.1f} of modest and "
        f"{said[1]:.1f} of boaster.\nAnd the mean slope on the path from 0 to 1: "
        f"{means[0]:.1f} of modest, {means[1]:.1f} of boaster."
    )


def _said(name: str, score: Score) -> float:
    """Gradient*Input at 1, of a score that rises by 1."""
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    try:
        values = score(ends)
    except Exception as error:
        text = "".join(traceback.format_exception_only(error)).strip()
        raise Wrong(f"{name} stopped with {text}") from None
    if values is None:
        raise Wrong(f"{name} returns nothing yet")
    if not isinstance(values, Tensor) or values.shape != ends.shape:
        raise Wrong(f"{name} must return a tensor of the shape of x; build it from x")
    for x, value, wanted in zip((0, 1), values.tolist(), (0, 1), strict=True):
        if not abs(value - wanted) <= 1e-6:
            raise Wrong(f"{name} is {value:.2f} at x = {x}, and must be {wanted} there")
    before, at, after = _slopes(score, torch.tensor([1 - 1e-6, 1, 1 + 1e-6]).double()).tolist()
    if abs(before - after) > 0.01:
        raise Wrong(
            f"{name} has a fold at x = 1 itself: its slope is {before:.1f} before and "
            f"{after:.1f} after, and autograd picks one. Put the fold elsewhere"
        )
    return at


def _mean(name: str, score: Score) -> float:
    """The mean slope from 0 to 1; of a score without jumps it is its rise, 1."""
    mean = float(_slopes(score, _MIDDLES).mean()) + 0.0
    if not abs(mean - 1) <= 0.1:
        raise Wrong(
            f"{name} rises by 1, but its mean slope at {len(_MIDDLES)} places from 0 to 1 is "
            f"{mean:.1f}. It must not jump, nor climb too sharply for these places"
        )
    return mean


def _slopes(score: Score, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    total = score(leaf).sum()
    if not total.requires_grad:  # a constant
        return torch.zeros_like(x)
    return torch.autograd.grad(total, leaf)[0]
