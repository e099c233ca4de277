"""Figures of lesson 07: unfamiliar holes, retrained networks, and what the holes give away.

The stored run is data/results/roar_cifar.csv; tests/tools/roar_cifar.py says what is in it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dga import metrics
from dga.filling import filler
from dga.lessons import plots
from dga.lessons.figures import differences
from dga.lessons.plots import Pixels
from dga.significance import Interval, holm_intervals
from dga.zoo.files import DATA

STORED = DATA / "results/roar_cifar.csv"
FIRST = "1000"  # the seed of the network that is explained
RIVALS = ("random", "edges", "centre", "fg", "gi", "ig", "ig-cut")
NAMES = {
    "none": "all pixels", "random": "random order", "edges": "edges", "centre": "centre",
    "gi": "Gradient*Input", "ig": "Integrated Gradients", "ig-cut": "IG, negatives cut",
    "fg": "FullGrad", "dga": "DGA",
}  # fmt: skip
COLOURS = {**plots.COLOURS, "edges": "#444444", "centre": "#111111", "ig-cut": "#56a0d3",
           "none": "black"}  # fmt: skip
_DASHES = {"random": ":", "edges": "--", "centre": "-.", "ig-cut": "--"}
_PANEL = 2.26  # inches: 226 pixels
Cells = Mapping[tuple[str, str, str], Tensor]


# ---------------------------------------------------------------------------------- the stored run


@cache
def stored() -> dict[tuple[str, str, str], Tensor]:
    """Which test pictures were named rightly: (kind, ranking, share) -> bool (seeds, pictures).

    Example:
        >>> stored()["pictures", "none", "0.0"].shape
        torch.Size([3, 2000])
    """
    found: dict[tuple[str, str, str], list[Tensor]] = {}
    with STORED.open(newline="") as file:
        for row in csv.DictReader(file):
            bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["right"]), dtype=np.uint8))
            kind = "first" if (row["ranking"], row["seed"]) == ("none", FIRST) else row["kind"]
            key = (kind, row["ranking"], row["share"])
            found.setdefault(key, []).append(torch.from_numpy(bits.astype(bool)))
    return {key: torch.stack(rows) for key, rows in found.items()}


def shares(cells: Cells | None = None, kind: str = "pictures") -> list[str]:
    """Those at which every ranking has been measured with as many seeds.

    Example:
        >>> "0.5" in shares()
        True
    """
    cells = stored() if cells is None else cells
    known = sorted({share for k, _, share in cells if k == kind and float(share)})
    seeds = {s: {len(cells.get((kind, m, s), ())) for m in (*RIVALS, "dga")} for s in known}
    most = max((max(n) for n in seeds.values()), default=0)
    return [share for share in known if seeds[share] == {most}]


def interval(one: Tensor, other: Tensor | None = None) -> Interval:
    """Accuracy, or a paired difference of two, with what test pictures and seeds leave open.

    The squared standard error is that of the mean over pictures (of the means over seeds), plus
    that of the mean over seeds. The variance of one training is pooled over the whole stored run,
    as three seeds alone say little.

    Args:
        one, other: bool, (seeds, pictures), of the same pictures.

    Example:
        >>> right = torch.rand(3, 2000) < 0.5
        >>> interval(right, right).mean
        0.0
    """
    values = one.double().mean(0)
    trainings = 1 / len(one)
    if other is not None:
        values = values - other.double().mean(0)
        trainings += 1 / len(other)
    error = (float(values.var()) / len(values) + _training_variance() * trainings) ** 0.5
    mean = float(values.mean())
    return Interval(mean, mean - 1.96 * error, mean + 1.96 * error)


@cache
def _training_variance() -> float:
    """Of the accuracy of one retrained network, over seeds."""
    found = [right.double().mean(1).var() for right in stored().values() if len(right) > 1]
    return float(torch.stack(found).mean())


def _size(cells: Cells) -> str:
    seeds, pictures = cells["pictures", "none", "0.0"].shape
    return f"{pictures:,} test pictures, {seeds} seeds"


# --------------------------------------------------------------------------------------- pictures


def unfamiliar(model: Any, x: Tensor, order: Tensor, at: Sequence[float]) -> None:
    """A photograph that loses pixels in some order, and what the network calls it.

    Args:
        model: with `preprocess` and `classes`.
        x, order: (1, C, H, W).
        at: shares removed.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> unfamiliar(model, x, torch.rand_like(x), (0, 0.5))  # doctest: +ELLIPSIS
        A photograph without ...
    """
    figure = Figure(figsize=(len(at) * (_PANEL + 0.06), _PANEL + 0.62), dpi=100)
    said = []
    for k, share in enumerate(at):
        shown = filler("mean", x)(~metrics.top_pixels(order, share)[:, None])
        title = f"{share:.0%} removed" if share else "photograph"
        word = _photograph(figure.add_subplot(1, len(at), k + 1), model, shown, title)
        said.append(f"{share:.0%}: {word}")
    figure.subplots_adjust(0.005, 0.1, 0.995, 0.9, wspace=0.03)
    plots.show(
        figure,
        "A photograph without more and more of its pixels, drawn at random. To the eye it stays "
        f"what it is. The network says {', '.join(said)}.",
    )


def removed(pictures: Sequence[Pixels], by: Mapping[str, Sequence[Pixels]]) -> None:
    """Small pictures whole, and without the pixels that each ranking puts first.

    Args:
        pictures: (H, W, 3) in 0..1.
        by: name -> the same pictures without pixels.

    Example:
        >>> removed([np.zeros((8, 8, 3), np.float32)], {"DGA": [np.ones((8, 8, 3), np.float32)]})
        Drawn pictures whole, and without half of their pixels by DGA.
    """
    rows = [[picture, *(other[k] for other in by.values())] for k, picture in enumerate(pictures)]
    figure = plots.grid(rows, columns=["picture", *by], panel=1.6)
    alt = f"Drawn pictures whole, and without half of their pixels by {', '.join(by)}."
    plots.show(figure, alt)


def fillings(model: Any, x: Tensor, order: Tensor, share: float = 0.3) -> None:
    """A photograph without its top pixels, with grey in their place and with what is around.

    Args:
        model: with `preprocess` and `classes`.
        x, order: (1, C, H, W).
        share: removed.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> fillings(model, x, x)  # doctest: +ELLIPSIS
        A photograph, the same with random pixels grey, and with them filled in from around. ...
    """
    kept = ~metrics.top_pixels(order, share)[:, None]
    cells = {
        "photograph": x,
        f"{share:.0%} of the pixels grey": filler("mean", x)(kept),
        "filled in (ROAD)": filler("linear", x)(kept),
    }
    figure = Figure(figsize=(3 * 2.96, 3.52), dpi=100)
    said = []
    for k, (name, shown) in enumerate(cells.items()):
        said.append(_photograph(figure.add_subplot(1, 3, k + 1), model, shown, name))
    figure.subplots_adjust(0.005, 0.09, 0.995, 0.92, wspace=0.02)
    plots.show(
        figure,
        "A photograph, the same with random pixels grey, and with them filled in from around. "
        f"The network says {', '.join(said)}.",
    )


def _photograph(axes: Axes, model: Any, x: Tensor, title: str) -> str:
    """Draws what the network sees, with what it says below."""
    with torch.no_grad():
        probability, label = model(x).softmax(1)[0].max(0)
    word: str = model.classes[int(label)]
    axes.imshow(plots.steps(model.preprocess.restore(x)[0], 9))
    axes.set_title(title, fontsize=12)
    axes.text(0.5, -0.03, f"“{word}”, {float(probability):.1f}", fontsize=12,
              ha="center", va="top", transform=axes.transAxes)  # fmt: skip
    axes.set_axis_off()
    return word


# ------------------------------------------------------------------------------------ accuracies


def old_and_new(found: Mapping[tuple[str, float], tuple[Tensor, Tensor]], whole: Tensor) -> None:
    """Accuracy of the first network and of a retrained one, on pictures with holes.

    Args:
        found: (ranking, share) -> which pictures the old and the new network name rightly, (n,).
        whole: the same of the first network on whole pictures.

    Example:
        >>> right = torch.rand(500) < 0.5
        >>> old_and_new({("dga", 0.5): (right, right)}, right)  # doctest: +ELLIPSIS
        Accuracy on pictures with holes, ...
    """
    at = sorted({share for _, share in found})
    rankings = list(dict.fromkeys(name for name, _ in found))
    figure = Figure(figsize=(4.6 * len(at) + 1.2, 0.62 * len(rankings) + 1.6), dpi=100)
    high = figure.get_size_inches()[1]
    panels = figure.subplots(1, len(at), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(0.17, 0.62 / high, 0.985, 1 - 0.62 / high, wspace=0.08)
    for axes, share in zip(panels, at, strict=True):
        axes.axvline(float(whole.float().mean()), color="black", lw=1, ls=":")
        for place, name in enumerate(rankings):
            for shift, right, mark in zip((-0.16, 0.16), found[name, share], "so", strict=True):
                _dot(axes, _of_one(right), place + shift, COLOURS[name], mark, hollow=mark == "s")
        axes.set_title(f"{share:.0%} of the pixels removed", fontsize=12)
        axes.set(xlim=(0, 0.9), ylim=(len(rankings) - 0.5, -0.5))
        axes.set_xlabel("accuracy", fontsize=11)
        _plain(axes)
    panels[0].set_yticks(range(len(rankings)), [NAMES[n] for n in rankings], fontsize=11)
    panels[0].set_ylabel("removed first by", fontsize=11)
    number = f"{len(whole)} test pictures, one training each, 95 % intervals"
    marks = "□ old network   ● retrained network   dotted: old network, whole pictures"
    figure.text(0.5, 0.995, f"{marks}     {number}", ha="center", va="top", fontsize=10)
    plots.show(
        figure,
        "Accuracy on pictures with holes, of the old network (squares) and of retrained ones "
        "(circles), with intervals. "
        + "; ".join(f"{NAMES[name]}, {share:.0%}: old {float(old.float().mean()):.1f}, new "
                    f"{float(new.float().mean()):.1f}"
                    for (name, share), (old, new) in found.items()) + ".",
    )  # fmt: skip


def on_cifar() -> None:
    """Accuracy after retraining against the share removed: the stored run on CIFAR-10.

    Example:
        >>> on_cifar()  # doctest: +ELLIPSIS
        Accuracy of retrained networks on CIFAR-10 ...
    """
    cells, at = stored(), shares()
    figure = Figure(figsize=(9.6, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    percent = [100 * float(share) for share in at]
    ends = {}
    for name in (*RIVALS, "dga"):
        found = [interval(cells["pictures", name, share]) for share in at]
        means = [i.mean for i in found]
        reach = [[i.mean - i.low for i in found], [i.high - i.mean for i in found]]
        axes.errorbar(percent, means, reach, color=COLOURS[name], ls=_DASHES.get(name, "-"),
                      lw=3 if name == "dga" else 1.8, capsize=2)  # fmt: skip
        ends[name] = means[-1]
    whole = float(cells["pictures", "none", "0.0"].float().mean())
    axes.axhline(whole, color="black", lw=1, ls=":")
    axes.annotate("with all pixels", (percent[0] + 10, whole), (percent[0] + 10, whole + 0.05),
                  ha="center", fontsize=11, arrowprops={"arrowstyle": "-", "lw": 0.7})  # fmt: skip
    for name, height in _spread(ends, 0.032).items():
        leader = {"arrowstyle": "-", "color": COLOURS[name], "lw": 0.7}
        axes.annotate(NAMES[name], (percent[-1], ends[name]), (percent[-1] + 4, height),
                      color=COLOURS[name], va="center", fontsize=11, arrowprops=leader)  # fmt: skip
    axes.set(xlim=(percent[0] - 4, percent[-1] + 27), xticks=percent, ylim=(0.25, 0.75))
    axes.set_xlabel("% of the pixels removed, in all training and test pictures", fontsize=11)
    axes.set_ylabel("accuracy of retrained networks", fontsize=11)
    axes.set_title(f"CIFAR-10: {_size(cells)}, 95 % intervals of both", fontsize=12)
    _plain(axes)
    words = ", ".join(f"{NAMES[name]} {value:.2f}" for name, value in ends.items())
    plots.show(
        figure,
        "Accuracy of retrained networks on CIFAR-10 against the share of pixels removed, one curve "
        f"a ranking; at {at[-1]}: {words}. With all pixels: {whole:.2f}.",
    )


def dga_against_rivals() -> None:
    """How much further DGA brings accuracy down than every other ranking, paired: CIFAR-10.

    Example:
        >>> dga_against_rivals()  # doctest: +ELLIPSIS
        How much lower networks score that were retrained without DGA's pixels ...
    """
    cells, at = stored(), shares()
    keys = [(share, name, "cifar") for share in at for name in RIVALS]
    gaps = [
        interval(cells["pictures", name, share], cells["pictures", "dga", share])
        for share, name, _ in keys
    ]
    together = holm_intervals(gaps)
    differences.show(
        dict(zip(keys, together, strict=True)),
        {share: f"{float(share):.0%} removed" for share in at},
        [{name: NAMES[name] for name in RIVALS}],
        {"cifar": f"CIFAR-10, {_size(cells)}"},
        "How much lower networks score that were retrained without DGA's pixels than those without "
        "others', with intervals.",
        columns=3,
    )


def leakage() -> None:
    """What the holes tell: the first network's answers, read from holes alone and retrained.

    Two networks agree on a picture that both name rightly or both wrongly.

    Example:
        >>> leakage()  # doctest: +ELLIPSIS
        Left: networks that see only the holes, ...
    """
    cells, at, rows = stored(), shares(), (*RIVALS, "dga")
    first = cells["first", "none", "0.0"]
    figure = Figure(figsize=(10.4, 4.9), dpi=100, layout="constrained")
    holes, alike = figure.subplots(1, 2, width_ratios=(1, 1.35))
    usual = interval(cells["pictures", "none", "0.0"] == first).mean
    right = {name: interval(cells["holes", name, "0.5"]) for name in rows}
    told = {name: interval(cells["holes", name, "0.5"] == first) for name in rows}
    for row, name in enumerate(rows):
        _dot(holes, right[name], row, COLOURS[name], "s", hollow=True)
        _dot(holes, told[name], row, COLOURS[name])
    holes.axvline(usual, color="black", lw=1, ls=":")
    holes.set_yticks(range(len(rows)), [NAMES[name] for name in rows], fontsize=11)
    holes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
    holes.set_xlabel("□ accuracy   ● agreement with the old network", fontsize=11)
    holes.set_ylabel("removed first by", fontsize=11)
    holes.set_title("networks that see only the holes,\nhalf of the pixels removed", fontsize=11.5)
    percent, ends = [100 * float(share) for share in at], {}
    for name in rows:
        found = [interval(cells["pictures", name, share] == first) for share in at]
        means = [i.mean for i in found]
        reach = [[i.mean - i.low for i in found], [i.high - i.mean for i in found]]
        alike.errorbar(percent, means, reach, color=COLOURS[name], ls=_DASHES.get(name, "-"),
                       lw=3 if name == "dga" else 1.8, capsize=2)  # fmt: skip
        ends[name] = means[-1]
    alike.axhline(usual, color="black", lw=1, ls=":")
    alike.text(percent[-1] + 50, usual - 0.008, "dotted: agreement of two networks\nthat learned "
               f"on their own, {usual:.2f}", fontsize=11, ha="right", va="top")  # fmt: skip
    for name, height in _spread(ends, 0.03).items():
        leader = {"arrowstyle": "-", "color": COLOURS[name], "lw": 0.7}
        place = (percent[-1] + 5, height)
        alike.annotate(NAMES[name], (percent[-1], ends[name]), place, color=COLOURS[name],
                       va="center", fontsize=11, arrowprops=leader)  # fmt: skip
    alike.set(xlim=(percent[0] - 5, percent[-1] + 52), xticks=percent, ylim=(0.5, 1))
    alike.set_xlabel("% of the pixels removed", fontsize=11)
    alike.set_ylabel("both right or both wrong", fontsize=11)
    alike.set_title("retrained networks: share of pictures on which\nthey agree with the old "
                    "network", fontsize=11.5)  # fmt: skip
    for axes in (holes, alike):
        _plain(axes)
    middle = {name: interval(cells["pictures", name, "0.5"] == first).mean for name in rows}
    plots.show(
        figure,
        "Left: networks that see only the holes, half of the pixels removed, accuracy and "
        + "agreement with the old network: "
        + ", ".join(
            f"{NAMES[name]} {right[name].mean:.2f} and {i.mean:.2f}" for name, i in told.items()
        )
        + ". Right: share of pictures on which retrained networks and the first are both right "
        + "or both wrong, against the share removed; at one half: "
        + ", ".join(f"{NAMES[name]} {value:.2f}" for name, value in middle.items())
        + f". Networks that see all pixels: {usual:.2f}.",
    )


def three_questions(at: tuple[str, str] = ("0.1", "0.5")) -> None:
    """Three measures of the same holes: grey and the old network, filled in, and retrained.

    Args:
        at: shares removed.

    Example:
        >>> three_questions()  # doctest: +ELLIPSIS
        Accuracy without 10% and 50% of the pixels, ...
    """
    cells, rows = stored(), (*RIVALS, "dga")
    titles = {
        "mean": "grey holes, old network", "road": "filled in (ROAD), old network",
        "pictures": "grey holes, retrained (ROAR)",
    }  # fmt: skip
    figure = Figure(figsize=(10.4, 0.42 * len(rows) + 1.6), dpi=100)
    wide, high = figure.get_size_inches()
    panels = figure.subplots(1, len(titles), sharey=True, sharex=True)
    figure.subplots_adjust(1.95 / wide, 0.62 / high, 0.985, 1 - 0.72 / high, wspace=0.08)
    words = []
    for axes, (kind, title) in zip(panels, titles.items(), strict=True):
        for place, name in enumerate(rows):
            found = [interval(cells[kind, name, share]) for share in at]
            for i, mark, shift in zip(found, "so", (-0.16, 0.16), strict=True):
                _dot(axes, i, place + shift, COLOURS[name], mark, hollow=mark == "s")
            words.append(f"{title}, {NAMES[name]} {found[0].mean:.2f} and {found[1].mean:.2f}")
        axes.set_title(title, fontsize=11)
        axes.set(xlim=(0, 0.75), ylim=(len(rows) - 0.5, -0.5))
        _plain(axes)
    panels[0].set_yticks(range(len(rows)), [NAMES[name] for name in rows], fontsize=11)
    panels[0].set_ylabel("removed first by", fontsize=11)
    few, many = (f"{float(share):.0%}" for share in at)
    figure.supxlabel("accuracy, with 95 % intervals", fontsize=11, y=0.01)
    figure.text(0.5, 0.995, f"□ {few} of the pixels removed      ● {many} removed",
                ha="center", va="top", fontsize=11.5)  # fmt: skip
    alt = f"Accuracy without {few} and {many} of the pixels, " + "; ".join(words) + "."
    plots.show(figure, alt)


# ----------------------------------------------------------------------------------------- drawing


def _of_one(right: Tensor) -> Interval:
    """Accuracy of one network, with what the test pictures leave open."""
    p = float(right.float().mean())
    reach = 1.96 * (p * (1 - p) / len(right)) ** 0.5
    return Interval(p, p - reach, p + reach)


def _dot(
    axes: Axes, i: Interval, y: float, colour: str, mark: str = "o", *, hollow: bool = False
) -> None:
    axes.plot([i.low, i.high], [y, y], color=colour, lw=2.2, solid_capstyle="butt")
    axes.plot(i.mean, y, mark, color=colour, mfc="white" if hollow else colour, ms=7)


def _spread(heights: Mapping[str, float], least: float) -> dict[str, float]:
    """The heights moved apart until no two are nearer than `least`."""
    names = sorted(heights, key=lambda name: heights[name])
    places = [heights[name] for name in names]
    for _ in range(100):
        for k in range(len(places) - 1):
            lacking = least - (places[k + 1] - places[k])
            if lacking > 0:
                places[k] -= lacking / 2
                places[k + 1] += lacking / 2
    return dict(zip(names, places, strict=True))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
