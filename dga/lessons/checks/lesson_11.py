"""Checks of the exercise of lesson 11."""

from __future__ import annotations

from typing import Any

METHODS, CURVES = 6, 21  # of Table 1; forward passes of both curves of one map
FEWEST = 10  # steps: eight looks lose much LeRF (lesson 05), eleven little (lesson 09)


def plan(seconds: float, hours: float, pictures: Any, steps: Any) -> str:
    """What to say about a plan for a study with six methods, each with N steps.

    A pass forward and back takes `seconds`, a forward pass a third of it. Three of the methods take
    one pass or two, three take N + 1 (IG, Guided IG, DGA).

    Args:
        seconds: of one pass of one picture.
        hours: that there are.
        pictures, steps: the plan.

    Example:
        >>> plan(0.1, 10, None, None)
        'Replace the two Nones, and run the cell again.'
    """
    if pictures is None or steps is None:
        return "Replace the two Nones, and run the cell again."
    if not isinstance(pictures, int) or not isinstance(steps, int) or pictures < 1 or steps < 1:
        return "pictures and steps must be whole numbers, 1 or more."
    each = seconds * (3 * (steps + 1) + 6) + METHODS * CURVES * seconds / 3
    needed = pictures * each / 3600
    measuring = METHODS * CURVES / 3 / (3 * (steps + 1) + 6 + METHODS * CURVES / 3)
    error = 0.5 / pictures**0.5
    said = (
        f"{needed:.1f} hours; {measuring:.0%} of it measures curves instead of making maps; the "
        f"standard error of a mean is at most {error:.3f}."
    )
    if needed > hours:
        return f"Too long: {said}"
    if error > 0.02:
        return f"It fits, but with so few pictures it can tell little: {said}"
    if steps < FEWEST:
        return f"It fits, but so few looks lose LeRF (lesson 05): {said}"
    return f"A plan: {said}"
