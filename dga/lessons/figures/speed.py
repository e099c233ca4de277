"""Figures of lesson 11: what DGA costs, measured here and measured before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from dga.lessons import plots

_INK = "#00224e"


def ideas(ratios: Mapping[str, Sequence[float]]) -> None:
    """How many times as long each thing takes as another: the median and the spread of rounds.

    Args:
        ratios: what is compared -> ratios of all rounds.

    Example:
        >>> ideas({"a sort : an order statistic": [30.0, 40.0, 50.0]})
        Median and spread of measured ratios: a sort : an order statistic 40.0.
    """
    axes = _ratios(ratios)
    axes.set_xlim(left=0)
    plots.show(axes.figure, _said(ratios, 1))


def stored_rows(stored: Mapping[str, Any], measures: tuple[str, ...] = ("",)) -> None:
    """The stored benchmark: the median and the spread of ratios.

    Args:
        stored: `data/results/benchmark.json`.
        measures: how the measures start that are shown.

    Example:
        >>> row = {"case": "net", "measure": "DGA / bare loop", "ratios": [1.0, 1.1, 1.2],
        ...        "median": 1.1}
        >>> stored_rows({"rows": [row]})
        Median and spread of measured ratios: net, DGA : bare loop 1.10.
    """
    ratios = {
        f"{row['case'].split(',')[0]}, {row['measure'].replace(' / ', ' : ')}": row["ratios"]
        for row in stored["rows"]
        if row["median"] is not None and row["measure"].startswith(measures)
    }
    axes = _ratios(ratios, digits=2)
    plots.show(axes.figure, _said(ratios, 2))


def _ratios(ratios: Mapping[str, Sequence[float]], digits: int = 1) -> Any:
    """Axes with a row for each ratio."""
    figure = Figure(figsize=(10, 0.42 * len(ratios) + 0.9), dpi=100, layout="constrained")
    axes = figure.subplots()
    for k, values in enumerate(ratios.values()):
        axes.plot([min(values), max(values)], [k, k], color=_INK, lw=2)
        axes.plot(median(values), k, "o", color=_INK, ms=8)
    axes.axvline(1, color="#b0b0b0", zorder=0)
    names = [f"{name}   {median(values):.{digits}f}" for name, values in ratios.items()]
    axes.set_yticks(range(len(ratios)), names, fontsize=10.5)
    axes.set_ylim(len(ratios) - 0.5, -0.5)
    axes.set_xlabel("times as long: median (dot) and all rounds (line)", fontsize=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _said(ratios: Mapping[str, Sequence[float]], digits: int) -> str:
    rows = "; ".join(f"{name} {median(values):.{digits}f}" for name, values in ratios.items())
    return f"Median and spread of measured ratios: {rows}."
