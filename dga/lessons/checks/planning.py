"""How many pictures a paired comparison needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from dga.lessons.checks.judgement import reason
from dga.lessons.checks.task import Wrong, _run

_CALL = "f(a, b, smallest)"
_WHY = {
    "A": "the difference of the pilot is luck in good part: after a lucky pilot the study would be "
    "too small, and what is worth finding does not depend on it",
    "C": "a difference of 0 is never told from 0, however many pictures there are",
}


def _power(difference: float, spread: float, count: float) -> float:
    """How often a 95 % interval of so many pictures keeps clear of 0."""
    z = difference / spread * math.sqrt(count) - 1.96
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def _pilots() -> list[tuple[Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(6)
    out = []
    for spread, smallest in ((0.06, 0.02), (0.15, 0.05), (0.03, 0.01)):
        base = torch.rand(30, generator=generator, dtype=torch.float64)
        noise = torch.randn(30, generator=generator, dtype=torch.float64)
        out.append((base + spread * noise, base, smallest))
    return out


def pictures_needed(answer: Callable[..., Any], plan_for: str) -> None:
    """Whether studies of the planned size find the smallest difference in 80 of 100 cases.

    Args:
        answer: f(a, b, smallest) -> number of pictures; a and b hold the pilot's scores.
        plan_for: the letter of the difference to plan for.

    Raises:
        Wrong: with how often they would, and why.

    Example:
        >>> pictures_needed(lambda a, b, smallest: "many", "B")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: f(a, b, smallest) must return a number, this is str
    """
    if not callable(answer):
        raise Wrong(f"a function is needed, {_CALL}")
    for a, b, smallest in _pilots():
        count = _run(answer, (a, b, smallest))
        if count is None:
            raise Wrong(f"{_CALL} returns nothing yet")
        if isinstance(count, Tensor) and not count.dim():
            count = count.item()
        if not isinstance(count, Real):
            raise Wrong(f"{_CALL} must return a number, this is {type(count).__name__}")
        number = float(count)
        if not 1 <= number < 1e9:
            raise Wrong(f"{_CALL} gives {number:g} pictures")
        spread = (a - b).std().item()
        both = math.hypot(a.std().item(), b.std().item())
        power = _power(smallest, spread, number)
        if 0.75 <= power <= 0.85:
            continue
        said = (
            f"in a pilot the differences spread by {spread:.2f}: {number:.0f} pictures would "
            f"show a difference of {smallest:g} in {power:.0%} of all studies, 80% are wanted"
        )
        if abs(_power(smallest, both, number) - 0.8) < 0.1 or abs(
            _power(smallest, both, number) - 0.5
        ) < 0.05:  # fmt: skip
            why = (
                "the methods saw the same pictures: what spreads is the difference, not each score"
            )
        elif 0.45 < power < 0.55:
            why = (
                "with half an interval as wide as the difference, every other study falls short: "
                "its own mean has luck, too"
            )
        elif abs(number / (2.8 * spread / smallest) - 1) < 0.3:
            why = "pictures count by their root: square something"
        else:
            why = "try your number in a simulation"
        raise Wrong(f"{said}. {why}")
    reason(plan_for, "B", _WHY)
    print("Right.")
