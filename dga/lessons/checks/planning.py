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
Plan = Callable[[Tensor, Tensor, float], float]


def _needs(
    spread: Callable[[Tensor, Tensor], float], factor: float = 1.96 + 0.84, power: int = 2
) -> Plan:
    return lambda a, b, smallest: (factor * spread(a, b) / smallest) ** power


def _paired(a: Tensor, b: Tensor) -> float:
    return (a - b).std().item()


def _unpaired(a: Tensor, b: Tensor) -> float:
    return math.hypot(a.std().item(), b.std().item())


_SAME = "the methods saw the same pictures: what spreads is the difference, not each score"
_HALF = (
    "with half an interval as wide as the difference, every other study falls short: its own mean "
    "has luck, too"
)
_ROOT = "pictures count by their root: square something"
_UNUSED = "`smallest` is not used: a small difference needs more pictures than a large one"
_FEW = "so few are never enough: what is divided by what, and what is squared?"
_PILOT = "the pilot's own mean difference stands where `smallest` belongs: it is luck in good part"
# What to say, and who is wrong in this manner.
MISTAKES: list[tuple[str, Plan]] = [
    (_SAME, _needs(_unpaired)),
    (_SAME, _needs(_unpaired, 1.96)),
    (_SAME, _needs(lambda a, b: a.std().item())),
    (_HALF, _needs(_paired, 1.96)),
    (_ROOT, _needs(_paired, power=1)),
    (_ROOT, _needs(_paired, 1.96, power=1)),
    ("the spread of the differences is the root of their variance, and is squared once",
     _needs(lambda a, b: (a - b).var().item())),
    (_UNUSED, lambda a, b, smallest: (2.8 * _paired(a, b)) ** 2),
    (_UNUSED, lambda a, b, smallest: 2.8**2),
    (_PILOT, lambda a, b, smallest: (2.8 * _paired(a, b) / float((a - b).mean())) ** 2),
    (_PILOT, lambda a, b, smallest: (1.96 * _paired(a, b) / float((a - b).mean())) ** 2),
    (_FEW, lambda a, b, smallest: 1.0),  # a wrong number below 1, rounded up
]  # fmt: skip
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


def _number(count: Any) -> float:
    if count is None:
        raise Wrong(f"{_CALL} returns nothing yet")
    if isinstance(count, Tensor) and not count.dim():
        count = count.item()
    if not isinstance(count, Real):
        raise Wrong(f"{_CALL} must return a number, this is {type(count).__name__}")
    if not 0 <= float(count) < 1e9:
        raise Wrong(f"{_CALL} gives {float(count):g} pictures")
    return float(count)


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
    pilots = _pilots()
    counts = [_number(_run(answer, pilot)) for pilot in pilots]
    spreads = [_paired(a, b) for a, b, _ in pilots]
    powers = [_power(p[2], s, n) if n > 0 else 0.0
              for p, s, n in zip(pilots, spreads, counts, strict=True)]  # fmt: skip
    off = [k for k, power in enumerate(powers) if not 0.75 <= power <= 0.85]
    if off:
        why = "try your number in a simulation"
        for words, wrong in MISTAKES:
            if all(
                abs(n - wrong(*p)) < max(0.1 * wrong(*p), 1.01 if wrong(*p) > 2 else 0)
                for p, n in zip(pilots, counts, strict=True)
            ):
                why = words
        k = off[0]
        raise Wrong(
            f"in a pilot the differences spread by {spreads[k]:.2f}: {counts[k]:.3g} pictures "
            f"would show a difference of {pilots[k][2]:g} in {powers[k]:.0%} of all studies, 80% "
            f"are wanted. {why}"
        )
    reason(plan_for, "B", _WHY)
    print("Right.")
