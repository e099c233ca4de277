"""The frontier of a stable DGA: how far invisible noise moves a map, against LeRF and MoRF."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from dga.lessons import plots
from dga.zoo.files import DATA

MEASURED = DATA / "results/stability.csv"
_NETWORKS = {
    "resnet": "our ResNet (drawn)",
    "squeezenet1_1": "SqueezeNet 1.1",
    "efficientnet_lite0": "EfficientNet-Lite0",
}
# Variants that are drawn: label, colour.
_DRAWN = {
    "ig": ("IG", plots.COLOURS["ig"]),
    "dga": ("DGA", plots.COLOURS["dga"]),
    "dga-60": ("DGA", plots.COLOURS["dga"]),
    "dga-122": ("DGA", plots.COLOURS["dga"]),
    "dga-2-copies": ("2 DGA averaged", "#e69f00"),
    "sketch": ("sketch", "#7f7f7f"),
    "stable-15": ("stable", plots.COLOURS["stable"]),
    "stable": ("stable", plots.COLOURS["stable"]),
    "stable-61": ("stable", plots.COLOURS["stable"]),
}


def measured(path: Path = MEASURED) -> list[dict[str, str]]:
    """Rows of the stored table, a variant on a network each, of the stage with more pictures.

    Where photographs were measured both whole and smaller, whole ones win a tie.

    Args:
        path: a table of `tests/tools/frontier.py`, whose first line names the command.

    Example:
        >>> sorted({row["network"] for row in measured()} - set(_NETWORKS))
        []
    """
    with open(path, newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    size = {(r["network"], r["stage"]): int(r["pictures"]) for r in rows if r["method"] == "stable"}
    whole = {n for n in _NETWORKS if size.get((n, "whole"), 0) >= size.get((n, "confirm"), 0)}
    return [row for row in rows if (row["stage"] == "whole") == (row["network"] in whole)]


def frontier(path: Path = MEASURED) -> None:
    """LeRF and MoRF against how far noise of .001 moves the map, a column for each network.

    Args:
        path: see `measured`.

    Example:
        >>> frontier()  # doctest: +ELLIPSIS
        Three columns, ...
    """
    rows = [row for row in measured(path) if row["method"] in _DRAWN]
    networks = [name for name in _NETWORKS if any(row["network"] == name for row in rows)]
    figure = Figure(figsize=(11.5, 7.2), dpi=100)
    grid = figure.subplots(2, len(networks), squeeze=False, sharex="col")
    figure.subplots_adjust(left=0.07, right=0.97, top=0.95, bottom=0.09, hspace=0.1, wspace=0.26)
    for column, network in enumerate(networks):
        own = [row for row in rows if row["network"] == network]
        for axes, measure in zip(grid[:, column], ("lerf", "morf"), strict=True):
            axes.axvspan(1e-3, 0.05, color="#e8f3ec", zorder=0)  # the goal
            spread = [float(row[measure]) for row in own]
            for label, colour in dict(_DRAWN.values()).items():
                points = sorted(
                    (int(r["passes"]), float(r["moved_0.001"]), float(r[measure]))
                    for r in own
                    if _DRAWN[r["method"]][0] == label
                )
                if not points:
                    continue
                passes, x, y = zip(*points, strict=True)
                axes.plot(x, y, "-", color=colour, lw=1, zorder=2)
                axes.scatter(x, y, [float(p) for p in passes], colour, zorder=3)
                for number, at in zip(passes, zip(x, y, strict=True), strict=True):
                    _write(axes, str(number), at, (0, -14), colour)
                _write(axes, label, (x[-1], y[-1]), (0, 8), colour)
            edge = 0.2 * (max(spread) - min(spread)) + 1e-3
            axes.set(xscale="log", xlim=(0.001, 1), ylim=(min(spread) - edge, max(spread) + edge))
            axes.set_xticks([0.01, 0.1, 1], ["1 %", "10 %", "100 %"])
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.spines[["top", "right"]].set_visible(False)
        n = own[0]["pictures"]
        grid[0, column].set_title(f"{n} pictures: {_NETWORKS[network]}", fontsize=11)
        grid[0, column].set_ylabel("LeRF, higher is better", fontsize=10.5)
        grid[1, column].set_ylabel("MoRF, lower is better", fontsize=10.5)
        grid[1, column].set_xlabel("noise of .001 moves the map by", fontsize=10.5)
    plots.show(
        figure,
        "Three columns, one for each network; above LeRF, below MoRF, against how far noise of a "
        "thousandth moves the map, logarithmic. Plain DGA lies at the right, near a third; stable "
        "DGA at the left, at or near the shaded goal of 5 percent, at a similar height. Numbers "
        "at the marks are passes.",
    )


def _write(
    axes: Axes, text: str, at: tuple[float, float], shift: tuple[int, int], colour: str
) -> None:
    axes.annotate(
        text, at, xytext=shift, textcoords="offset points", color=colour, ha="center", fontsize=9.5
    )
