"""Which of many comparisons on the same pictures tell something, and not luck."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean, or a mean difference, and its interval.

    Example:
        >>> Interval(0.1, -0.1, 0.3).low
        -0.1
    """

    mean: float
    low: float
    high: float


def holm_intervals(intervals: Sequence[tuple[float, float, float]]) -> list[Interval]:
    """95 % intervals of many differences, widened so that all of them hold together (Holm, 1979).

    Of m intervals the one farthest from 0, measured by its side towards 0, is widened to the level
    1 - 0.05 / m, the next one to 1 - 0.05 / (m - 1), and so on, each side in proportion. After the
    first that holds 0 nothing more is found: all later ones are widened until they hold 0 as well.
    A difference counts if its new interval excludes 0.

    Args:
        intervals: mean, low and high of each, of level 95 %.

    Returns:
        The same with new ends, in the same order.

    Example:
        >>> a, b = holm_intervals([(1.0, 0.1, 2.0), (1.0, 0.4, 1.6)])
        >>> round(b[1], 2), round(a[1], 2)  # b is farther from 0: 1 - 0.6 * 2.24 / 1.96
        (0.31, 0.1)
    """
    normal = NormalDist()
    usual = normal.inv_cdf(0.975)

    def distance(k: int) -> float:
        mean, low, high = intervals[k]
        if isnan(mean):
            return -1.0  # nothing was measured: last, so that it takes nothing from the others
        side = mean - low if mean > 0 else high - mean
        return abs(mean) / side if side > 0 else float("inf") if mean else 0.0

    widened: dict[int, Interval] = {}
    found = True
    for passed, k in enumerate(sorted(range(len(intervals)), key=distance, reverse=True)):
        mean, low, high = intervals[k]
        factor = normal.inv_cdf(1 - 0.025 / (len(intervals) - passed)) / usual
        low, high = mean - factor * (mean - low), mean + factor * (high - mean)
        found = found and (low > 0 or high < 0)
        widened[k] = Interval(mean, *((low, high) if found else (min(low, 0.0), max(high, 0.0))))
    return [widened[k] for k in range(len(intervals))]
