"""Figures of lesson 06: an impostor, pictures that lose their pixels, and what the measure owes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dga.experiments.evaluation import LABELS
from dga.filling import filler
from dga.lessons import plots
from dga.lessons.plots import Pixels
from dga.metrics import SHARES, top_pixels
from dga.zoo.files import DATA

PHOTOGRAPHS = DATA / "results/photographs.csv"
_NETWORKS = {"squeezenet1_1": "SqueezeNet 1.1", "efficientnet_lite0": "EfficientNet-Lite0"}
_CONTROLS = ("random", "random-blurred", "edges", "centre")
_ROWS = (*_CONTROLS, "gbp", "gi", "ig", "gig", "ig-cut", "fg", "gradcam")
_LERF, _MORF, _GREY, _CONTROL = "#00224e", "#b5651d", "#7f7f7f", "#444444"
_ORDERS = {"lerf": ("LeRF: right is better", 1), "morf": ("MoRF: left is better", -1)}
_PANEL = 2.26  # inches: 226 pixels
_LEGEND: Any = {"frameon": False, "labelcolor": "linecolor", "fontsize": 11.5}
_FEW = 12  # levels of a photograph, which keeps the file small


def nameless(picture: Pixels, maps: Mapping[str, Tensor]) -> None:
    """A photograph and its heatmaps, which bear letters.

    Args:
        picture: (H, W, 3).
        maps: letter -> attribution (C, H, W).

    Example:
        >>> nameless(torch.rand(8, 8, 3).numpy(), {"A": torch.rand(3, 8, 8)})
        A photograph and 1 heatmaps that bear letters only.
    """
    cells = [
        _plainer(picture),
        *(plots.colours(_plainer(plots.relevance(a))) for a in maps.values()),
    ]
    names = ["photograph", *maps]
    rows = [cells[k : k + 3] for k in range(0, len(cells), 3)]
    figure = Figure(figsize=(3 * (_PANEL + 0.1), len(rows) * (_PANEL + 0.3)), dpi=100)
    for k, (cell, name) in enumerate(zip(cells, names, strict=True)):
        axes = figure.add_subplot(len(rows), 3, k + 1)
        axes.imshow(cell)
        axes.set_title(name, fontsize=13)
        axes.set_axis_off()
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.93, wspace=0.04, hspace=0.13)
    plots.show(figure, f"A photograph and {len(maps)} heatmaps that bear letters only.")


def film(model: Any, x: Tensor, attribution: Tensor, curves: Tensor) -> None:
    """What is left of a photograph, most and least relevant pixels first, and the two curves.

    Args:
        model: with `preprocess` and `classes`.
        x, attribution: (1, C, H, W).
        curves: LeRF and MoRF, (2, 11).

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> film(model, x, x, torch.rand(2, 11))  # doctest: +ELLIPSIS
        Two rows of three pictures...
    """
    shown = (0.1, 0.4, 0.8)
    remove = filler("mean", x)
    figure = Figure(figsize=(3 * (_PANEL + 0.06) + 0.35, 2 * (_PANEL + 0.28) + 2.6), dpi=100)
    wide, high = figure.get_size_inches()
    for row, (sign, word) in enumerate(((1, "most relevant first"), (-1, "least relevant first"))):
        bottom = (high - (row + 1) * (_PANEL + 0.28)) / high
        for k, share in enumerate(shown):
            kept = ~top_pixels(sign * attribution, share)[:, None]
            box = ((0.33 + k * (_PANEL + 0.06)) / wide, bottom, _PANEL / wide, _PANEL / high)
            axes = figure.add_axes(box)
            axes.imshow(_plainer(model.preprocess.restore(remove(kept))[0]))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(f"{share:.0%} removed", fontsize=11)
            if k == 0:
                axes.set_ylabel(word, fontsize=12, color=_LERF if row else _MORF)
    axes = figure.add_axes((0.85 / wide, 0.55 / high, (wide - 1.1) / wide, 1.75 / high))
    names, tints = ("least relevant first", "most relevant first"), (_LERF, _MORF)
    _curves(axes, dict(zip(names, curves, strict=True)), dict(zip(names, tints, strict=True)))
    axes.set_ylabel("probability of the class")
    axes.legend(loc="center", **_LEGEND)
    plots.show(
        figure,
        "Two rows of three pictures, with 10, 40 and 80 % of their pixels grey. Most relevant "
        "first the object goes at once, least relevant first the background does. Below, the "
        f"probability over the share removed: from {float(curves[0, 0]):.2f} it falls to "
        f"{float(curves[1, 1]):.2f} after a tenth, most relevant first, and is "
        f"{float(curves[0, 5]):.2f} after a half, least relevant first.",
    )


def judged(curves: Mapping[str, Tensor], random: Tensor) -> None:
    """LeRF and MoRF of nameless maps, beside a random order.

    Args:
        curves: letter -> LeRF and MoRF, (2, 11).
        random: the same of a random order.

    Example:
        >>> judged({"A": torch.rand(2, 11)}, torch.rand(2, 11))  # doctest: +ELLIPSIS
        Left, the probability over the share removed, most relevant first: ...
    """
    figure = Figure(figsize=(10.4, 3.6), dpi=100)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(0.07, 0.15, 0.97, 0.9, wspace=0.16)
    tints = dict(zip(curves, ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#a6761d"), strict=False))
    words = []
    titles = ("most relevant first: low is good", "least relevant first: high is good")
    for axes, row, title in zip(panels, (1, 0), titles, strict=True):
        shown = {name: c[row] for name, c in curves.items()} | {"random": random[row]}
        _curves(axes, shown, tints | {"random": _GREY})
        axes.set_title(title, fontsize=12)
        means = ", ".join(f"{name} {float(c[row].mean()):.2f}" for name, c in curves.items())
        words.append(f"{means}, random {float(random[row].mean()):.2f}")
    panels[0].set_ylabel("probability of the class")
    panels[0].legend(loc="upper right", **_LEGEND)
    plots.show(
        figure,
        f"Left, the probability over the share removed, most relevant first: means {words[0]}. "
        f"Right, least relevant first: means {words[1]}.",
    )


def against_dga(methods: Sequence[str] = _ROWS) -> None:
    """Methods and controls minus DGA on real photographs, from the stored run.

    Args:
        methods: short names, from the top.

    Example:
        >>> against_dga(("random", "ig"))  # doctest: +ELLIPSIS
        2 methods minus DGA ...
    """
    table = [row for row in _stored() if row["fill"] == "mean"]
    rows = {name: [_of(table, network, name) for network in _NETWORKS] for name in methods}
    _differences(rows, {name: LABELS[name] for name in methods}, list(_NETWORKS.values()))


def two_fills(methods: Sequence[str] = ("random", "centre", "ig", "ig-cut", "fg")) -> None:
    """The same differences with grey holes and with holes filled in, on one network.

    Args:
        methods: short names, from the top.

    Example:
        >>> two_fills(("random", "ig"))  # doctest: +ELLIPSIS
        2 methods minus DGA ...
    """
    table = [row for row in _stored() if row["network"] == "squeezenet1_1"]
    fills = {"mean": "grey holes", "linear": "holes filled in"}
    rows = {
        name: [_of([r for r in table if r["fill"] == fill], "squeezenet1_1", name)
               for fill in fills]
        for name in methods
    }  # fmt: skip
    _differences(rows, {name: LABELS[name] for name in methods}, list(fills.values()))


def pairing(counts: Sequence[int], apart: Sequence[float], paired: Sequence[float]) -> None:
    """Half the width of an interval against the number of pictures, two ways.

    Args:
        counts: of pictures.
        apart, paired: half widths; of two separate means, and of the mean of differences.

    Example:
        >>> pairing((8, 16), (0.2, 0.1), (0.1, 0.05))
        Half the width of the interval against the number of pictures: ...
    """
    figure = Figure(figsize=(6.4, 3.0), layout="constrained", dpi=100)
    axes = figure.subplots()
    for name, values, colour in (("two means", apart, _GREY), ("differences", paired, _LERF)):
        axes.plot(counts, values, "o-", color=colour, lw=2)
        axes.annotate(name, (counts[-1], values[-1]), (8, 0), textcoords="offset points",
                      color=colour, va="center", fontsize=11)  # fmt: skip
    axes.set(xlabel="pictures", ylabel="half width of the interval", ylim=(0, None))
    axes.set_xlim(0, counts[-1] * 1.3)
    axes.spines[["top", "right"]].set_visible(False)
    plots.show(
        figure,
        "Half the width of the interval against the number of pictures: the interval of paired "
        f"differences is {apart[-1] / paired[-1]:.1f} times narrower at {counts[-1]} pictures.",
    )


def _stored() -> list[dict[str, str]]:
    with PHOTOGRAPHS.open(newline="") as file:
        return list(csv.DictReader(file))


def _of(table: Sequence[Mapping[str, str]], network: str, method: str) -> dict[str, Any]:
    """Measure -> row of a method."""
    return {r["measure"]: r for r in table if (r["network"], r["method"]) == (network, method)}


def _differences(
    rows: Mapping[str, Sequence[Mapping[str, Any]]], labels: Mapping[str, str], kinds: Sequence[str]
) -> None:
    """A row a method, a mark for each kind; hollow where the interval holds 0 after correction."""
    figure = Figure(figsize=(10.4, 1.35 + len(rows) * 0.46), dpi=100)
    high = figure.get_size_inches()[1]
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(0.19, 0.6 / high, 0.99, 1 - 0.75 / high, wspace=0.07)
    marks, words, counts = "os", [], {}
    widen = _correction(2 * len(rows) * len(kinds))
    for axes, (measure, (title, sign)) in zip(panels, _ORDERS.items(), strict=True):
        for place, (name, found) in enumerate(rows.items()):
            for k, by_measure in enumerate(found):
                if measure not in by_measure:
                    continue
                row = by_measure[measure]
                counts[kinds[k]] = row["pictures"]
                mean, low, high_ = (-float(row[f"dga_minus{e}"]) for e in ("", "_low", "_high"))
                ends = mean + widen * (low - mean), mean + widen * (high_ - mean)
                level = min(ends) <= 0 <= max(ends)
                tint = plots.COLOURS.get(name.split("-")[0], _CONTROL)
                y = place + (k - (len(kinds) - 1) / 2) * 0.3
                axes.plot(ends, [y, y], color=tint, lw=2.2, solid_capstyle="butt")
                axes.plot(mean, y, marks[k], ms=6, color=tint, mfc="white" if level else tint)
                verdict = "level" if level else "better" if mean * sign > 0 else "worse"
                words.append(f"{measure} {labels[name]}, {kinds[k]}: {verdict}")
        axes.axvline(0, color="black", lw=1.2)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_title(title, fontsize=12)
        axes.set_xlabel("this minus DGA", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [labels[name] for name in rows], fontsize=10.5)
    panels[0].set_ylabel("method", fontsize=11)
    legend = "     ".join(f"{'●■'[k]} {kind}, {counts[kind]} photographs"
                          for k, kind in enumerate(kinds) if kind in counts)  # fmt: skip
    figure.text(0.5, 0.99, legend + "     hollow: the interval holds 0", fontsize=10.5, va="top",
                ha="center", color="0.25")  # fmt: skip
    plots.show(figure, f"{len(rows)} methods minus DGA on photographs. " + "; ".join(words) + ".")


def _correction(comparisons: int) -> float:
    """By how much Bonferroni's correction widens a 95 % interval."""
    normal = torch.distributions.Normal(0.0, 1.0)
    ends = normal.icdf(torch.tensor([1 - 0.025 / comparisons, 0.975]))
    return float(ends[0] / ends[1])


def _curves(axes: Axes, curves: Mapping[str, Tensor], tints: Mapping[str, str]) -> None:
    for name, curve in curves.items():
        style = ":" if name == "random" else "-"
        axes.plot(SHARES, curve.tolist(), style, color=tints[name], lw=2.2, label=name)
    axes.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="share of the pixels removed")
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.spines[["top", "right"]].set_visible(False)


def _plainer(picture: Pixels) -> Pixels:
    """With few levels."""
    return np.asarray((picture * (_FEW - 1)).round() / (_FEW - 1), dtype=np.float32)
