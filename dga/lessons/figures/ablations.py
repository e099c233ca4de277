"""Figures of lesson 09: DGA with one part changed, against DGA as it is."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import dga
from dga.lessons import plots
from dga.lessons.figures import differences
from dga.metrics import SHARES, Order
from dga.zoo.files import DATA

STORED = DATA / "results/ablations.csv"
PAPER = "N=30 q=0.9 beta=0.0"
# The measures of the stored run: order of removal, and shares removed.
MEASURES: dict[str, tuple[Order, tuple[float, ...]]] = {
    "lerf": ("lerf", SHARES),
    "morf": ("morf", SHARES),
    "fine morf": ("morf", tuple(k / 100 for k in range(11))),
    "high lerf": ("lerf", tuple(k / 100 for k in range(90, 100))),
}
# Part of DGA -> what is done to it, setting in the stored table -> words.
_PARTS = {
    "looks": {
        "ufg-cut": "one look",
        "N=10 q=0.9 beta=0.0": "11 looks",
        "N=60 q=0.9 beta=0.0": "61 looks",
    },
    "cut": {
        "N=30 q=0.9 beta=1.0": r"no cut ($\beta$ = 1)",
        "cut at the end": "cut the sum, not the looks",
    },
    "masks": {
        "dimmed": "dimmed evenly, no masks",
        "dga-random": "random masks",
        "dga-weak": "WC only",
        "dga-extreme": "EPC only",
    },
    "constant": {"dga-gi": "no constant ($x \\cdot g$)"},
}
_FILLED = {
    "ufg-cut": "one look",
    "dga-random": "random masks",
    "dga-weak": "WC only",
    "dga-extreme": "EPC only",
    "dga-gi": "no constant ($x \\cdot g$)",
}
_GLANCE = {
    "ufg-cut": "many looks, not one",
    "dga-random": "chosen masks, not random ones",
    "dga-weak": "EPC as well, not WC only",
    "dga-extreme": "WC as well, not EPC only",
    "dga-gi": "the constant, not $x \\cdot g$ alone",
}
_SHOWN = {name: differences.MEASURES[name] for name in ("lerf", "morf", "fine morf")}

Scores = Mapping[tuple[str, str, str], Tensor]  # (network, setting, measure) -> (pictures,)


def stored() -> Scores:
    """The stored scores, picture by picture.

    Example:
        >>> scores = stored()
        >>> scores["squeezenet1_1", PAPER, "lerf"].dim()
        1
    """
    with STORED.open(newline="") as file:
        table = list(csv.reader(line for line in file if not line.startswith("#")))
    return {
        (row[0], row[1], row[2]): torch.tensor([float(value) for value in row[3:]])
        for row in table[1:]
    }


def one_look_or_all(model: Any, x: Tensor, one: Tensor, many: Tensor, target: Tensor) -> None:
    """One cut look of UFG and DGA: two maps of a picture, and their scores over all pictures.

    Args:
        model: the network.
        x: pictures, (B, C, H, W).
        one, many: attributions of the two.
        target: classes, (B,).

    Example:
        >>> model = dga.load_model("vgg")
        >>> x = model.preprocess(dga.load_images("figures", 3).images)
        >>> one, many = dga.uniform_fullgrad(model, x), dga.gradient(model, x)
        >>> one_look_or_all(model, x, one, many, torch.tensor([0, 0, 0]))  # doctest: +ELLIPSIS
        A drawn picture, ...
    """
    network = {"vgg": f"vgg, {len(x)} drawn pictures"}
    found = {}
    for measure, (order, shares) in MEASURES.items():
        both = (
            dga.pixel_perturbation(model, x, a, target, order, shares=shares).mean(1)
            for a in (many, one)
        )
        found["all", measure, "vgg"] = differences.ahead(measure, *both)
    panels = {"picture": model.preprocess.restore(x[:1])[0]}
    panels |= {"one look, cut": plots.heatmap(one[0].clamp(min=0)), "DGA": plots.heatmap(many[0])}
    figure = Figure(figsize=(10.4, 2.75), dpi=100)
    for k, (name, picture) in enumerate(panels.items()):
        axes = figure.add_axes((0.01 + 0.197 * k, 0.16, 0.19, 0.72))
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(name, fontsize=11)
        axes.set_axis_off()
    axes = figure.add_axes((0.745, 0.2, 0.235, 0.68))
    rows = [differences.MEASURES]
    told = differences.panel(axes, differences.intervals(found), "all", rows, network)
    axes.set_ylabel("measure", fontsize=10.5)
    axes.set_xlabel(f"how much better DGA is, {len(x)} pictures", fontsize=10.5)
    figure.text(0.01, 0.05, "heatmaps: each on its own scale, bright is relevant", fontsize=10)
    plots.show(
        figure,
        "A drawn picture, its map by one look of Uniform FullGrad cut at zero, and by DGA, both "
        f"brightest on the same parts; and DGA against one look. By measure: {told}.",
    )


def looks_differ(
    picture: plots.Pixels, sums: Mapping[str, Tensor], words: Mapping[str, str]
) -> None:
    """What thirty-one looks add up to, by the way in which the next look is made.

    Args:
        picture: (H, W, 3).
        sums: name -> (C, H, W).
        words: name -> what is written beside it.

    Example:
        >>> import numpy as np
        >>> a = torch.rand(3, 8, 8)
        >>> looks_differ(np.zeros((8, 8, 3)), {"dimmed": a}, {"dimmed": "0.1"})
        The cat, and its map by dimmed (0.1).
    """
    shown = [picture, *map(_coarse, sums.values())]
    columns = ["picture", *(f"{name}, {words[name]}" for name in sums)]
    figure = plots.grid([shown], columns=columns, panel=2.22, bar="magnitude")
    told = ", ".join(f"{name} ({words[name]})" for name in sums)
    plots.show(figure, f"The cat, and its map by {told}.")


def what_each_part_buys() -> None:
    """DGA against itself with one part changed, on photographs, from the two stored runs.

    The smaller run has its own mark, and one look once more: with what is changed there it can be
    compared on the same photographs. Each run is corrected on its own.

    Example:
        >>> what_each_part_buys()  # doctest: +ELLIPSIS
        DGA against DGA with one part changed, ...
    """
    found, networks = differences.photographs()
    scores = stored()
    names = {setting for settings in _PARTS.values() for setting in settings} - _FILLED.keys()
    rows = {setting: setting for setting in names} | {"step 0": "ufg-cut"}  # one look
    smaller = {
        (measure, row, "smaller"): differences.ahead(
            measure, *(scores["squeezenet1_1", s, measure] for s in (PAPER, setting))
        )
        for measure in _SHOWN
        for setting, row in rows.items()
    }
    count = len(next(iter(smaller.values())))
    networks["smaller"] = f"SqueezeNet 1.1 again, {count} of them"
    differences.show(
        found | differences.intervals(smaller), _SHOWN, list(_PARTS.values()), networks,
        "DGA against DGA with one part changed, on the same photographs.",
        ylabel="DGA against DGA with ...",
    )  # fmt: skip


def filled_in() -> None:
    """The same with grey holes and with holes filled in, for what was measured with both.

    Example:
        >>> filled_in()  # doctest: +ELLIPSIS
        DGA against DGA with one part changed, grey holes and holes filled in. ...
    """
    found, kinds = differences.grey_and_filled()
    differences.show(
        found, _SHOWN, [_FILLED], kinds,
        "DGA against DGA with one part changed, grey holes and holes filled in.",
        ylabel="DGA against DGA with ...",
    )  # fmt: skip


def at_a_glance() -> None:
    """What each part buys or costs on both networks, by measure and hole, from the stored runs.

    Grey is the larger run, on all photographs. A part buys what DGA has ahead of DGA without it.

    Example:
        >>> at_a_glance()  # doctest: +ELLIPSIS
        | DGA has ... | LeRF, grey | LeRF, filled in | MoRF, grey | MoRF, filled in |
        | --- | --- | --- | --- | --- |
        | many looks, not one | buys | costs | ...
    """
    grey, networks = differences.photographs()
    filled, _ = differences.grey_and_filled()
    columns = [(m, fill) for m in ("lerf", "morf") for fill in ("grey", "filled in")]
    lines = [["DGA has ...", *(f"{_SHOWN[measure]}, {fill}" for measure, fill in columns)]]
    for setting, words in _GLANCE.items():
        line = [words]
        for measure, fill in columns:
            found = {
                network: grey[measure, setting, network]
                if fill == "grey"
                else filled[measure, setting, f"{network} linear"]
                for network in networks
            }
            line.append(_said(found))
        lines.append(line)
    plots.table(lines)


def _said(found: Mapping[str, differences.Interval]) -> str:
    """Whether a part buys something: on both networks in one word, else with the network."""
    words = {
        network: "buys" if low > 0 else "costs" if high < 0 else "undecided"
        for network, (_, low, high) in found.items()
    }
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return ", ".join(
        f"{word} ({differences.NETWORKS[n]})" for n, word in words.items() if word != "undecided"
    )


# ------------------------------------------------------------------------------------------ drawing


def _coarse(attribution: Tensor) -> plots.Pixels:
    """A heatmap of squares of 2 x 2 pixels: a smaller file, and specks that an eye can see."""
    pooled = torch.nn.functional.avg_pool2d(attribution.clamp(min=0), 2)
    return plots.heatmap(pooled).repeat(2, 0).repeat(2, 1)
