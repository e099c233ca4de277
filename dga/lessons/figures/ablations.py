"""Figures of lesson 09: DGA with one part changed, against DGA as it is."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import dga
from dga.lessons import plots
from dga.metrics import SHARES, Order, bootstrap_interval
from dga.zoo.files import DATA

STORED = DATA / "results/ablations.csv"
PAPER, BESIDE = "N=30 q=0.9 beta=0.0", "dga"  # the paper's setting, of either run
_BESIDE = ("ufg-cut", "dga-random", "dga-weak", "dga-extreme", "dga-gi")  # measured beside "dga"
# The measures of the stored run: order of removal, and shares removed.
MEASURES: dict[str, tuple[Order, tuple[float, ...]]] = {
    "lerf": ("lerf", SHARES),
    "morf": ("morf", SHARES),
    "fine morf": ("morf", tuple(k / 100 for k in range(11))),
    "high lerf": ("lerf", tuple(k / 100 for k in range(90, 100))),
}
_WORDS = {
    "lerf": "LeRF",
    "morf": "MoRF",
    "fine morf": "MoRF, first 10 %",
    "high lerf": "LeRF, last 10 %",
}
_GREY, _BLUE, _RED = "#7f7f7f", "#00224e", plots.COLOURS["dga"]
_NETWORKS = {"squeezenet1_1": "SqueezeNet 1.1", "efficientnet_lite0": "EfficientNet-Lite0"}
# Part of DGA -> what is done to it, setting in the stored table -> words.
_PARTS = {
    "looks": {
        "ufg-cut": "one look",
        "N=10 q=0.9 beta=0.0": "11 looks ($N$ = 10)",
        "N=60 q=0.9 beta=0.0": "61 looks ($N$ = 60)",
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
        "N=30 q=0.5 beta=0.0": "EPC takes half ($q$ = 0.5)",
        "N=30 q=1.0 beta=0.0": "EPC takes nothing ($q$ = 1)",
        "pixel": "masks of whole pixels",
    },
    "the rest": {"dga-gi": "no constant ($x \\cdot g$)", "Eq. 10": "without look 0 (Eq. 10)"},
}

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


def corrected(differences: Sequence[Tensor]) -> list[tuple[float, float, float]]:
    """Mean and interval of each column of paired differences, corrected together by Holm.

    Of m columns the one farthest from 0, in standard errors, gets an interval of level
    1 - 0.05 / m, the next one 1 - 0.05 / (m - 1), and so on. After the first that holds 0 nothing
    more is found: the intervals of all later ones are widened to hold 0.

    Args:
        differences: (pictures,) each, two or more values.

    Example:
        >>> mean, low, high = corrected([torch.linspace(-1, 1, 50)])[0]
        >>> low < 0 < high
        True
    """
    far = [float(v.mean().abs() / (v.std() / len(v) ** 0.5).clamp(min=1e-12)) for v in differences]
    order = sorted(range(len(far)), key=lambda k: -far[k])
    intervals, found = {}, True
    for passed, k in enumerate(order):
        level = 1 - 0.05 / (len(order) - passed)
        mean, low, high = map(
            float, bootstrap_interval(differences[k], resamples=10_000, level=level)
        )
        found = found and not low <= 0 <= high
        intervals[k] = (mean, low, high) if found else (mean, min(low, 0.0), max(high, 0.0))
    return [intervals[k] for k in range(len(order))]


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
    differences = []
    for order, shares in MEASURES.values():
        mine, other = (
            dga.pixel_perturbation(model, x, a, target, order, shares=shares).mean(1)
            for a in (one, many)
        )
        differences.append(mine - other)
    panels = {"picture": model.preprocess.restore(x[:1])[0]}
    panels |= {"one look, cut": plots.heatmap(one[0].clamp(min=0)), "DGA": plots.heatmap(many[0])}
    figure = Figure(figsize=(10.2, 3.0), dpi=100)
    for k, (name, picture) in enumerate(panels.items()):
        axes = figure.add_axes((0.01 + 0.171 * k, 0.2, 0.166, 0.56))
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(name, fontsize=11)
        axes.set_axis_off()
    axes = figure.add_axes((0.68, 0.2, 0.295, 0.62))
    said = []
    for place, (measure, interval) in enumerate(zip(MEASURES, corrected(differences), strict=True)):
        better = MEASURES[measure][0] == "lerf"
        said.append(f"{_WORDS[measure]}: {_line(axes, place, interval, better)}")
    axes.set_yticks(range(4), [_WORDS[measure] for measure in MEASURES], fontsize=10.5)
    axes.set_ylim(3.5, -0.5)
    axes.set_ylabel("measure", fontsize=10.5)
    axes.set_xlabel("one look minus DGA", fontsize=10.5)
    axes.set_title(f"{len(x)} drawn pictures", fontsize=11)
    figure.text(0.01, 0.07, "heatmaps: each on its own scale, bright is relevant", fontsize=10)
    _plain(axes)
    plots.show(
        figure,
        "A drawn picture, its map by one look of Uniform FullGrad cut at zero, and by DGA, both "
        "brightest on the same parts; and one look minus DGA with intervals. " + "; ".join(said),
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
    figure = plots.grid([shown], columns=columns, panel=2.28, bar="magnitude")
    told = ", ".join(f"{name} ({words[name]})" for name in sums)
    plots.show(figure, f"The cat, and its map by {told}.")


def what_each_part_buys(measures: Sequence[str] = ("lerf", "fine morf", "high lerf")) -> None:
    """Every ablation minus the paper's setting on photographs, from the stored runs.

    Args:
        measures: which ones, names of `MEASURES`.

    Example:
        >>> what_each_part_buys(["lerf"])  # doctest: +ELLIPSIS
        DGA with one part changed minus DGA, ...
    """
    scores = stored()
    networks = [name for name in _NETWORKS if any(key[0] == name for key in scores)]
    rows = [(part, *row) for part, settings in _PARTS.items() for row in settings.items()]
    keys = [
        (network, setting, measure)
        for _, setting, _ in rows
        for network in networks
        for measure in measures
        if (network, setting, measure) in scores
    ]
    found = dict(zip(keys, corrected([_minus(scores, key) for key in keys]), strict=True))
    shown = {key[:2]: len(scores[key]) for key in keys}  # photographs

    def counted(setting: str) -> str:
        return " and ".join(str(shown[n, setting]) for n in networks if (n, setting) in shown)

    figure = Figure(figsize=(3.9 + 2.45 * len(measures), 1.55 + 0.36 * (len(rows) + 1.5)), dpi=100)
    wide, high = figure.get_size_inches()
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(3.6 / wide, 0.75 / high, 1 - 0.3 / wide, 1 - 0.8 / high, wspace=0.09)
    places, ticks, place = {}, [], 0.0
    for k, (part, setting, _) in enumerate(rows):
        place += 1.5 if k and part != rows[k - 1][0] else float(k > 0)
        places[setting] = place
        ticks.append(place)
    said = []
    for axes, measure in zip(panels, measures, strict=True):
        better = MEASURES[measure][0] == "lerf"
        judged: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
        for _, setting, words in rows:
            here = [name for name in networks if (name, setting, measure) in found]
            for name in here:
                shift = 0.0 if len(here) == 1 else 0.36 * (networks.index(name) - 0.5)
                mark = "os"[networks.index(name)]
                interval = found[name, setting, measure]
                verdict = _line(axes, places[setting] + shift, interval, better, mark)
                judged[verdict].append(words if len(here) == 1 else f"{words} on {_NETWORKS[name]}")
        said += [
            f"{_WORDS[measure]}, {verdict}: {', '.join(judged[verdict])}"
            for verdict in ("better", "worse") if judged[verdict]
        ]  # fmt: skip
        axes.set_title(_WORDS[measure], fontsize=11.5, weight="bold")
        axes.set_xlabel(f"minus DGA\n{'right' if better else 'left'} is better", fontsize=10.5)
        axes.set_ylim(place + 0.6, -0.6)
        axes.locator_params(axis="x", nbins=4)
        _plain(axes)
    labels = [f"{words}: {counted(setting)}" for _, setting, words in rows]
    panels[0].set_yticks(ticks, labels, fontsize=10.5)
    panels[0].set_ylabel("what is changed: on how many photographs", fontsize=11)
    heading = "    ".join(f"{'●■'[k]} {_NETWORKS[name]}" for k, name in enumerate(networks))
    figure.text(0.5, 0.995, f"{heading}\nred: worse than DGA, blue: better, grey: undecided",
                ha="center", va="top", fontsize=10.5, color="0.2")  # fmt: skip
    plots.show(
        figure,
        "DGA with one part changed minus DGA, on the same photographs, with intervals corrected "
        "by Holm. " + ". ".join(said) + ". All others are undecided.",
    )


# ------------------------------------------------------------------------------------------ drawing


def _minus(scores: Scores, key: tuple[str, str, str]) -> Tensor:
    """A setting minus DGA; both are of the same run, which differ in how they round."""
    network, setting, measure = key
    reference = BESIDE if setting in _BESIDE else PAPER
    return scores[key] - scores[network, reference, measure]


def _line(
    axes: Axes, place: float, interval: tuple[float, float, float], better: bool, mark: str = "o"
) -> str:
    """Draws one difference; says better, worse or undecided."""
    mean, low, high = interval
    verdict = "undecided" if low <= 0 <= high else "better" if (mean > 0) == better else "worse"
    colour = {"undecided": _GREY, "better": _BLUE, "worse": _RED}[verdict]
    axes.plot((low, high), (place, place), color=colour, lw=2.4, solid_capstyle="butt")
    axes.plot(mean, place, mark, color=colour, ms=6)
    axes.axvline(0, color="black", lw=1.1, zorder=0)
    return verdict


def _coarse(attribution: Tensor) -> plots.Pixels:
    """A heatmap of squares of 2 x 2 pixels: a smaller file, and specks that an eye can see."""
    pooled = torch.nn.functional.avg_pool2d(attribution.clamp(min=0), 2)
    return plots.heatmap(pooled).repeat(2, 0).repeat(2, 1)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10.5)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
