"""Figures of lesson 11: what DGA costs, measured here and measured before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from dga.lessons import plots

_INK, _GREY, _MISSED = "#00224e", "#7f7f7f", "#c23b22"


def ideas(ratios: Mapping[str, Sequence[float]]) -> None:
    """How many times as long each thing takes as another, as bars on a logarithmic scale.

    Args:
        ratios: what is compared -> ratios of all rounds.

    Example:
        >>> ideas({"a sort / an order statistic": [30.0, 40.0, 50.0]})
        Bars of measured ratios, on a logarithmic scale: a sort / an order statistic 40.
    """
    middle = {name: sorted(values)[len(values) // 2] for name, values in ratios.items()}
    figure = Figure(figsize=(9, 0.55 * len(middle) + 0.9), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(middle)), list(middle.values()), color=_INK, height=0.6)
    for k, value in enumerate(middle.values()):
        axes.text(value * 1.05, k, f"{value:.1f}", va="center", fontsize=11)
    axes.axvline(1, color=_GREY)
    axes.set_yticks(range(len(middle)), list(middle), fontsize=11)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set(xlim=(0.8, 1.8 * max(middle.values())), xlabel="times as long")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    said = ", ".join(f"{name} {value:.0f}" for name, value in middle.items())
    plots.show(figure, f"Bars of measured ratios, on a logarithmic scale: {said}.")


def stored_rows(stored: Mapping[str, Any], measures: tuple[str, ...] = ("",)) -> None:
    """The stored benchmark: median and spread of ratios, beside the goal.

    Args:
        stored: `data/results/benchmark.json`.
        measures: how the measures start that are shown.

    Example:
        >>> row = {"case": "net", "measure": "DGA / bare loop", "reach": "<= 1.05",
        ...        "ratios": [1.0, 1.1, 1.2], "median": 1.1}
        >>> stored_rows({"rows": [row]})
        Median and spread of measured ratios and their goals: net, DGA / bare loop 1.10 (<= 1.05).
    """
    rows = [row for row in stored["rows"]
            if row["median"] is not None and row["measure"].startswith(measures)]  # fmt: skip
    figure = Figure(figsize=(10, 0.42 * len(rows) + 0.9), dpi=100, layout="constrained")
    axes = figure.subplots()
    names = []
    for k, row in enumerate(rows):
        goal = float(row["reach"].split(",")[0].split()[-1])
        colour = _INK if row["median"] <= goal else _MISSED
        axes.plot([min(row["ratios"]), max(row["ratios"])], [k, k], color=colour, lw=2)
        axes.plot(row["median"], k, "o", color=colour, ms=8)
        axes.plot(goal, k, "|", color=_GREY, ms=16, mew=2)
        names.append(f"{row['case'].split(',')[0]}: {row['measure']}   {row['median']:.2f}")
    axes.axvline(1, color="#d9d9d9", zorder=0)
    axes.set_yticks(range(len(rows)), names, fontsize=10)
    axes.invert_yaxis()
    axes.set_xlabel("ratio: median (dot), all rounds (line), goal (grey stroke); red: goal missed")
    axes.spines[["top", "right"]].set_visible(False)
    said = "; ".join(f"{row['case'].split(',')[0]}, {row['measure']} {row['median']:.2f} "
                     f"({row['reach']})" for row in rows)  # fmt: skip
    plots.show(figure, f"Median and spread of measured ratios and their goals: {said}.")
