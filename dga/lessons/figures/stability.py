"""Figures of lesson 12: how noise grows in DGA, two stages against it, and the stored frontier."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

import dga
from dga.distillation import DistillationStep
from dga.lessons import plots
from dga.lessons.figures import differences, flow_chart
from dga.lessons.plots import Pixels
from dga.significance import Interval
from dga.zoo.files import DATA

MEASURED = DATA / "results/stability.csv"
WORTH = DATA / "results/stability_worth.csv"
SEARCH = DATA / "results/stability_search.csv"
_NETWORKS = {
    "resnet": "our ResNet (drawn)",
    "squeezenet1_1": "SqueezeNet 1.1",
    "efficientnet_lite0": "EfficientNet-Lite0",
}
_INK, _LINE, _PALE, _LIT = "#00224e", "#5a6270", "#eef1f6", "#fee838"
_DGA, _STABLE = plots.COLOURS["dga"], plots.COLOURS["stable"]
_PANEL = 2.24  # inches
# Variants that are drawn: label, colour.
_DRAWN = {
    "ig": ("IG", plots.COLOURS["ig"]),
    "dga": ("DGA", _DGA),
    "dga-60": ("DGA", _DGA),
    "dga-122": ("DGA", _DGA),
    "dga-2-copies": ("2 DGA averaged", "#e69f00"),
    "sketch": ("sketch", "#7f7f7f"),
    "stable-15": ("stable", _STABLE),
    "stable": ("stable", _STABLE),
    "stable-61": ("stable", _STABLE),
}
_LOOKS = {"stable-15": 31, "stable": 61, "stable-61": 123}
# What was tried: variant -> words.
_TRIED = {
    "dga-60": "plain DGA, as many looks",
    "damped": "feedback, but ranks of a running mean that forgets old looks, and soft masks",
    "sketch": "two stages, noise in the first only",
    "noise-apart": "noise in both, kept out of the ranking",
    "antithetic": "noise in both, in pairs of plus and minus",
    "blurred-2-jitter-2": "ranks of a neighbourhood, and jitter",
    "stable": "**ours**: a wider neighbourhood, more jitter",
    "epc-from-first": "ours, EPC by one look at the picture",
    "ranks-running": "ours, masked looks have a say in the ranks",
    "value-ramps": "ours, ramps over values, not ranks",
    "quasi": "ours, draws that are spread evenly",
    "jitter-6": "ours, twice the jitter",
    "jitter-6-beta-0": "twice the jitter, negative parts cut",
    "jitter-6-map-blurred-.005": "twice the jitter, map blurred by half a pixel",
    "all-apart": "random masks, which do not ask the network",
}
GOAL = 0.05


def moved(clean: Tensor, noisy: Tensor) -> float:
    """How far a map moved: the length of the change, as a share of the length of the map.

    Example:
        >>> moved(torch.tensor([3.0, 4.0]), torch.tensor([6.0, 8.0]))
        1.0
    """
    return float((noisy - clean).norm() / clean.norm())


# ------------------------------------------------------------------------------- one photograph


def invisible(pictures: Sequence[Pixels], clean: Tensor, noisy: Tensor) -> None:
    """A photograph without and with noise, both maps, and their difference on the same scale.

    Args:
        pictures: both (H, W, 3) in 0..1.
        clean, noisy: the maps, (1, C, H, W).

    Example:
        >>> a = torch.rand(1, 3, 8, 8)
        >>> invisible([np.zeros((8, 8, 3))] * 2, a, 2 * a)  # doctest: +ELLIPSIS
        Two photographs that look the same, ...
    """
    panels = {
        "photograph": pictures[0],
        "with noise": pictures[1],
        "its DGA map": _heat(clean, clean),
        "DGA map with noise": _heat(noisy, clean),
        "difference, without sign": _heat((noisy - clean).abs(), clean),
    }
    _row(
        panels,
        "Two photographs that look the same, and their DGA maps: the same parts are bright in "
        "both; their difference, on the same scale, lights up in specks wherever they are bright.",
    )


def growth(
    levels: Sequence[float],
    local: Sequence[float],
    clean: Sequence[DistillationStep],
    noisy: Sequence[DistillationStep],
) -> None:
    """One look against the noise, and step by step what noise moves in DGA.

    Args:
        levels: of the noise, the first the smallest.
        local: how far each moved one look.
        clean, noisy: the steps of DGA.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> steps = [list(dga.distill(model, z, 0, steps=7)) for z in (x, x + 0.001)]
        >>> growth((0.001, 0.1), (0.1, 1.0), *steps)  # doctest: +ELLIPSIS
        Left, how far one look moves, ...
    """
    figure = Figure(figsize=(10.4, 4.0), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    left.loglog(levels, local, "o-", color=_INK, lw=2.2)
    root = [local[0] * (level / levels[0]) ** 0.5 for level in levels]
    left.loglog(levels, root, ":", color="black", lw=1.6)
    left.text(levels[-1], root[-1], "square root\n(dotted) ", fontsize=10.5, ha="right",
              va="bottom")  # fmt: skip
    left.set_xlabel("noise added to the photograph", fontsize=11)
    left.set_ylabel("share by which one look moves", fontsize=11)
    left.set_title("One look: nearly the square root of the noise", fontsize=11)
    ticks = [0.01, 0.03, 0.1, 0.3, 1, 3]
    left.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_ylim(0.7 * min(*local, *root), 2.5 * max(*local, *root))
    pairs = list(zip(clean, noisy, strict=True))
    lines = {
        "local attribution": (_DGA, [moved(a.attribution, b.attribution) for a, b in pairs]),
        "distilled input": (_INK, [moved(a.distilled, b.distilled) for a, b in pairs]),
        "entries of the masks\nthat flip": ("#8c6d9e", [_flipped(a, b) for a, b in pairs]),
    }
    for words, (colour, values) in lines.items():
        right.semilogy(range(len(values)), values, "o-", color=colour, lw=2.2, ms=4)
        right.text(len(values) - 0.4, values[-1], words, color=colour, fontsize=10.5, va="center")
    ticks = [0.001, 0.01, 0.1, 1]
    right.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    right.set_xlim(-0.6, 1.42 * len(pairs))
    right.set_xticks(range(0, len(pairs), 5))
    right.set_xlabel("step n", fontsize=11)
    right.set_ylabel("share that moves", fontsize=11)
    right.set_title("DGA: noise grows in the first three steps", fontsize=11)
    for axes in (left, right):
        _plain(axes)
    plots.show(
        figure,
        "Left, how far one look moves, against the noise, both logarithmic: about along the square "
        "root. Right, step by step, logarithmic: the distilled input starts at a few thousandths, "
        "reaches one half after three steps and passes 1 at the end; the local attribution starts "
        "higher and stays above 1; of the mask entries a hundredth flips at first, more than a "
        "tenth later.",
    )


def _flipped(a: DistillationStep, b: DistillationStep) -> float:
    flips = [a.weak != b.weak, a.extreme != b.extreme]
    return float(torch.stack(flips).double().mean())


def blame(maps: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """How far noise moves maps, as bars, and where: the differences of the first three.

    Args:
        maps: name -> map without and with noise, (1, C, H, W).

    Example:
        >>> a = torch.rand(1, 3, 8, 8)
        >>> blame({"a": (a, 2 * a), "b": (a, a), "c": (a, a)})  # doctest: +ELLIPSIS
        Bars: how far noise moves each map. ...
    """
    names = list(maps)
    shown = names[:3]
    figure = Figure(figsize=(3.9 + len(shown) * (_PANEL + 0.08) + 0.95, _PANEL + 0.8), dpi=100)
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((1.3 / wide, 0.5 / high, 2.3 / wide, (high - 0.95) / high))
    _bars(axes, {name: moved(*pair) for name, pair in maps.items()})
    for k, name in enumerate(shown):
        clean, noisy = maps[name]
        box = ((3.8 + k * (_PANEL + 0.08)) / wide, 0.25 / high, _PANEL / wide, _PANEL / high)
        picture = _heat((noisy - clean).abs(), clean)
        plots.panel(figure.add_axes(box), picture, f"change: {name.replace(chr(10), ' ')}")
    _bar(figure, 3.82 + len(shown) * (_PANEL + 0.08), 0.25, _PANEL, "scale of\nits map")
    ordered = ", ".join(name.replace("\n", " ") for name in sorted(names, key=_by(maps)))
    plots.show(
        figure,
        "Bars: how far noise moves each map. Beside them where the first three change, each on "
        f"the scale of its own map. From least to most moved: {ordered}.",
    )


def _by(maps: Mapping[str, tuple[Tensor, Tensor]]) -> Any:
    return lambda name: moved(*maps[name])


def two_designs() -> None:
    """Flow charts of DGA with its feedback, and of two stages without.

    Example:
        >>> two_designs()  # doctest: +ELLIPSIS
        Two flow charts. ...
    """
    figure = Figure(figsize=(10.6, 3.5), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10.6), ylim=(0, 3.5))
    axes.set_axis_off()
    axes.text(0.25, 3.2, "DGA: every look makes the next mask", fontsize=12, color=_DGA)
    axes.text(5.55, 3.2, "two stages: masks are made once", fontsize=12, color=_STABLE)
    axes.axvline(5.25, 0.05, 0.95, color="0.85")
    for x, y, width, words, colour in (
        (1.0, 2.1, 1.4, "mask $\\times$ picture", _PALE),
        (2.75, 2.1, 1.0, "one look", _PALE),
        (1.9, 0.8, 1.2, "rank it, mask", _LIT),
        (4.3, 2.1, 1.0, "sum", _PALE),
        (6.55, 2.35, 1.7, "31 looks at the\nwhole picture", _PALE),
        (6.55, 0.8, 1.7, "rank their mean,\nonce", _LIT),
        (8.55, 0.8, 1.4, "30 looks\nthrough masks", _PALE),
        (9.75, 2.35, 1.0, "sum", _PALE),
    ):
        flow_chart.box(axes, x, y, width, words, colour)
    for start, end in (
        ((1.72, 2.1), (2.23, 2.1)), ((3.27, 2.1), (3.78, 2.1)),
        ((7.42, 2.35), (9.23, 2.35)), ((6.55, 1.9), (6.55, 1.25)),
        ((7.42, 0.8), (7.83, 0.8)), ((9.1, 1.25), (9.6, 2.02)),
    ):  # fmt: skip
        flow_chart.arrow(axes, start, end)
    flow_chart.arrow(axes, (2.72, 1.76), (2.35, 1.14))
    flow_chart.arrow(axes, (1.43, 1.14), (1.05, 1.76))
    axes.text(1.9, 0.33, "31 times round", fontsize=11, color=_LINE, ha="center")
    for x, y in ((6.55, 2.86), (8.55, 1.31)):
        axes.text(x, y, "+ noise", fontsize=11, color=_LINE, ha="center", style="italic")
    plots.show(
        figure,
        "Two flow charts. DGA goes round a loop: mask times picture, one look, which is added to "
        "the sum and ranked, and makes the next mask, 31 times. The other has no loop: 31 looks at "
        "the whole picture with noise go to the sum, their mean is ranked once, and the ranks make "
        "all the masks of 30 more looks, with noise, which go to the sum too.",
    )


def judged(
    model: Any, x: Tensor, target: Tensor, maps: Mapping[str, tuple[str, Tensor, Tensor]]
) -> None:
    """Maps without noise, and with noise below; under them how far they moved, LeRF and MoRF.

    Args:
        model, x, target: of the photograph, (1, C, H, W).
        maps: words -> short name of the method, for its colour, and both maps.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> a = torch.rand_like(x)
        >>> judged(model, x, torch.tensor([0]), {"IG": ("ig", a, a), "DGA": ("dga", a, 2 * a)})
        ... # doctest: +ELLIPSIS
        Maps without noise above, ...
    """
    wide, high = 0.4 + len(maps) * (_PANEL + 0.08) + 1.05, 2 * _PANEL + 2.75
    figure = Figure(figsize=(wide, high), dpi=100)
    for k, (words, (_, clean, noisy)) in enumerate(maps.items()):
        for row, a in enumerate((clean, noisy)):
            x0, y0 = 0.4 + k * (_PANEL + 0.08), high - 0.35 - (row + 1) * _PANEL - row * 0.08
            axes = figure.add_axes((x0 / wide, y0 / high, _PANEL / wide, _PANEL / high))
            plots.panel(axes, _heat(a, clean), "" if row else words)
            if k == 0:
                axes.set_ylabel(("as it is", "noise of 0.001")[row], fontsize=11)
    _bar(
        figure,
        0.45 + len(maps) * (_PANEL + 0.08),
        high - 0.35 - _PANEL,
        _PANEL,
        "one scale\na column",
    )
    names, colours = list(maps), [plots.COLOURS[name] for name, *_ in maps.values()]
    scores = torch.cat(
        [dga.pixel_perturbation(model, x, a, target, "both").mean(2) for _, a, _ in maps.values()],
        1,
    ).tolist()
    values = {
        "share that noise moves": [moved(*pair) for _, *pair in maps.values()],
        "LeRF, higher is better": scores[0],
        "MoRF, lower is better": scores[1],
    }
    each = (wide - 1.5) / 3
    for k, (title, row) in enumerate(values.items()):
        axes = figure.add_axes(((1.45 + k * each) / wide, 0.55 / high, (each - 0.3) / wide,
                                1.25 / high))  # fmt: skip
        axes.barh(range(len(row)), row, color=colours, height=0.62)
        axes.set_yticks(range(len(row)), names if k == 0 else [""] * len(row), fontsize=10)
        axes.invert_yaxis()
        axes.set_xlabel(title, fontsize=10.5)
        axes.set_xlim(0, max(row) * 1.08)
        axes.locator_params(axis="x", nbins=4)
        _plain(axes)
    plots.show(
        figure,
        f"Maps without noise above, with noise below: {', '.join(names)}. Bars below say how far "
        "noise moved each, and its LeRF and MoRF on this photograph.",
    )


def seeds(first: Tensor, noisy: Tensor, other: Tensor) -> None:
    """A map, and how it changes with noise and with another seed, on one scale.

    Args:
        first, noisy, other: the map, that with noise, that of another seed; (1, C, H, W).

    Example:
        >>> a = torch.rand(1, 3, 8, 8)
        >>> seeds(a, 1.1 * a, 2 * a)  # doctest: +ELLIPSIS
        Stable DGA of seed 0 ...
    """
    by_noise, by_seed = (_percent(moved(first, a)) for a in (noisy, other))
    panels = {
        "seed 0": _heat(first, first),
        "seed 1": _heat(other, first),
        f"change by noise: {by_noise}": _heat((noisy - first).abs(), first),
        f"change by the seed: {by_seed}": _heat((other - first).abs(), first),
    }
    _row(
        panels,
        "Stable DGA of seed 0 and of seed 1: the same parts are bright. On the same scale, the "
        f"change by noise, {by_noise} in length, is dark, that by the seed, {by_seed}, shows in "
        "specks all over.",
    )


# ------------------------------------------------------------------------------- stored results


def measured(path: Path = MEASURED) -> list[dict[str, str]]:
    """Rows of the stored table, a variant on a network each, of the stage with more pictures.

    Where photographs were measured both whole and smaller, whole ones win a tie.

    Args:
        path: a table of `tests/tools/frontier.py`, whose first line names the command.

    Example:
        >>> sorted({row["network"] for row in measured()} - set(_NETWORKS))
        []
    """
    rows = _rows(path)
    size = {(r["network"], r["stage"]): int(r["pictures"]) for r in rows if r["method"] == "stable"}
    whole = {n for n in _NETWORKS if size.get((n, "whole"), 0) >= size.get((n, "confirm"), 0)}
    return [row for row in rows if (row["stage"] == "whole") == (row["network"] in whole)]


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def _by_network(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Network -> method -> row; networks in their order."""
    rows = measured(path)
    found = {n: {r["method"]: r for r in rows if r["network"] == n} for n in _NETWORKS}
    return {network: of for network, of in found.items() if of}


def frontier(path: Path = MEASURED) -> None:
    """LeRF and MoRF against how far noise of .001 moves the map, a column for each network.

    Args:
        path: see `measured`.

    Example:
        >>> frontier()  # doctest: +ELLIPSIS
        A column for each network. ...
    """
    found = _by_network(path)
    figure = Figure(figsize=(10.8, 7.0), dpi=100, layout="constrained")
    grid = figure.subplots(2, len(found), squeeze=False, sharex=True)
    words = []
    shown = {n: [row for m, row in of.items() if m in _DRAWN] for n, of in found.items()}
    morf = [[float(row["morf"]) for row in own] for own in shown.values()]
    widest = max(max(values) - min(values) for values in morf)
    for column, (network, of) in enumerate(found.items()):
        own = shown[network]
        for axes, measure in zip(grid[:, column], ("lerf", "morf"), strict=True):
            for label, colour in dict(_DRAWN.values()).items():
                points = sorted(
                    (int(r["passes"]), 100 * float(r["moved_0.001"]), float(r[measure]))
                    for r in own
                    if _DRAWN[r["method"]][0] == label
                )
                if points:
                    passes, x, y = zip(*points, strict=True)
                    axes.plot(x, y, "-", color=colour, lw=1, zorder=2)
                    axes.scatter(x, y, [1.3 * float(p) for p in passes], colour, zorder=3, lw=0)
            values = [float(row[measure]) for row in own]
            # MoRF on one scale: on SqueezeNet all of it is a few hundredths.
            half = (max(values) - min(values)) / 2 if measure == "lerf" else widest / 2
            middle = (max(values) + min(values)) / 2
            axes.set(xscale="log", xlim=(0.1, 100))
            axes.set_ylim(middle - 1.3 * half - 1e-3, middle + 1.3 * half + 1e-3)
            axes.axvspan(0.1, 100 * GOAL, color="#e8f3ec", zorder=0)
            axes.set_xticks([0.1, 1, 10, 100], ["0.1 %", "1 %", "10 %", "100 %"])
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(labelbottom=True)
            _plain(axes)
        grid[0, column].set_ylabel("LeRF, higher is better", fontsize=10.5)
        grid[1, column].set_ylabel("MoRF, lower is better", fontsize=10.5)
        pictures = own[0]["pictures"]
        grid[0, column].set_title(f"{_NETWORKS[network]}, {pictures} pictures", fontsize=11)
        said = [
            f"{_DRAWN[method][0]} moves by {_percent(of[method]['moved_0.001'])}, "
            f"LeRF {float(of[method]['lerf']):.2f}, MoRF {float(of[method]['morf']):.2f}"
            for method in ("ig", "dga-60", "sketch", "stable")
            if method in of
        ]
        words.append(f"{_NETWORKS[network]}, {pictures} pictures: {'; '.join(said)}.")
    figure.supxlabel("noise of 0.001 moves the map by (shaded: the goal)", fontsize=11)
    drawn = dict(_DRAWN[method] for of in found.values() for method in of if method in _DRAWN)
    marks = [
        grid[0, 0].scatter([], [], 70, colour, label=label, lw=0) for label, colour in drawn.items()
    ]
    marks += [
        grid[0, 0].scatter([], [], 1.3 * passes, "none", edgecolors="0.3", label=f"{passes} passes")
        for passes in (31, 61, 123)
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=8, frameon=False, fontsize=10.5,
                  columnspacing=1.2, handletextpad=0.2)  # fmt: skip
    plots.show(
        figure,
        "A column for each network. LeRF above, MoRF below, against how far noise of a thousandth "
        "moves the map, logarithmic; the goal is shaded. At 61 passes, of IG 31: "
        + " ".join(words),
    )


def against_dga(path: Path = MEASURED) -> None:
    """LeRF and MoRF of stable maps, paired with those of DGA with as many passes.

    Args:
        path: see `measured`.

    Example:
        >>> against_dga()  # doctest: +ELLIPSIS
        Plain DGA against ...
    """
    found, networks = {}, {}
    for network, of in _by_network(path).items():
        networks[network] = f"{_NETWORKS[network]}, {of['stable']['pictures']} pictures"
        for method in ("sketch", "stable", "stable-15", "stable-61"):
            row = of.get(method, {})
            for measure, sign in (("lerf", -1), ("morf", 1)):
                if row.get(f"{measure}_minus_dga"):
                    ends = (
                        float(row[f"{measure}_minus_dga{end}"]) for end in ("", "_low", "_high")
                    )
                    mean, low, high = (sign * end for end in ends)
                    found[measure, method, network] = Interval(mean, *sorted((low, high)))
    words = {
        "sketch": "the sketch,\n61 passes",
        "stable-15": "stable, 31",
        "stable": "stable, 61",
        "stable-61": "stable, 123",
    }
    rows = {name: text for name, text in words.items() if any(name == key[1] for key in found)}
    differences.show(
        found, {"lerf": "LeRF", "morf": "MoRF"}, [rows], networks,
        "Plain DGA against ours, at equal passes, on the same pictures.",
        ylabel="DGA against",
    )  # fmt: skip


def goals(path: Path = MEASURED) -> None:
    """What was asked of stable DGA with 61 passes, and whether the stored run meets it.

    Args:
        path: see `measured`.

    Example:
        >>> goals()  # doctest: +ELLIPSIS
        | asked | our ResNet (drawn) | ...
    """
    found = _by_network(path)
    lines = [["asked", *(_NETWORKS[n] for n in found)]]
    (few,) = {of["stable"]["pictures"] for of in found.values()}
    row = [f"noise of 0.001 moves it by 5 % at most ({few} pictures)"]
    for of in found.values():
        share = float(of["stable"]["moved_0.001"])
        row.append(f"{'**yes**' if share <= GOAL else 'no'}, {_percent(share)}")
    lines.append(row)
    for level in ("0.01", "0.05"):
        row = [f"noise of {level} moves it less than IG ({few} pictures)"]
        for of in found.values():
            ours, ig = (float(of[method][f"moved_{level}"]) for method in ("stable", "ig"))
            verdict = "**yes**" if ours < ig else "no"
            row.append(f"{verdict}, {_percent(ours)} against {_percent(ig)}")
        lines.append(row)
    worth = {(r["network"], r["measure"]): r for r in _rows(WORTH)}
    for measure, sign in (("lerf", 1), ("morf", -1)):
        first = worth[next(iter(found)), measure]
        side = "above \u2212" if sign > 0 else "below +"
        row = [f"{differences.MEASURES[measure]}, ours minus DGA's: whole interval "
               f"{side}{float(first['margin']):g} ({first['pictures']} more pictures)"]  # fmt: skip
        for network in found:
            one = worth[network, measure]
            gap, margin = float(one["stable_minus_dga"]), float(one["margin"])
            low, high = sorted(sign * float(one[end]) for end in ("low", "high"))
            verdict = "**yes**" if low > -margin else "no" if high < -margin else "undecided"
            row.append(
                f"{verdict}, {gap:+.4f} [{float(one['low']):+.4f}, {float(one['high']):+.4f}]"
            )
        lines.append(row)
    plots.table(lines)


def tried(path: Path = SEARCH) -> None:
    """What the search tried on two networks: movement, LeRF and MoRF.

    Args:
        path: a table of `tests/tools/frontier.py`.

    Example:
        >>> tried()  # doctest: +ELLIPSIS
        | tried | EfficientNet-Lite0: noise of 0.001 moves it by ↓ | ...
    """
    networks = ("efficientnet_lite0", "squeezenet1_1")
    found = {(row["network"], row["method"]): row for row in _rows(path)}
    lines = [["tried"]]
    for network in networks:
        name = _NETWORKS[network]
        lines[0] += [f"{name}: noise of 0.001 moves it by ↓", f"{name}: LeRF ↑", f"{name}: MoRF ↓"]
    for method, words in _TRIED.items():
        line = [words]
        for network in networks:
            row = found.get((network, method))
            if row is None:
                line += ["", "", ""]
                continue
            line += [_percent(row["moved_0.001"])]
            line += [f"{float(row[measure]):.2f}" for measure in ("lerf", "morf")]
        lines.append(line)
    plots.table(lines)
    pictures = [found[network, "stable"]["pictures"] for network in networks]
    print(f"{' and '.join(pictures)} photographs that the confirmation did not see")


def more_looks(path: Path = MEASURED) -> None:
    """How far noise of .001, and another seed, move stable DGA of 31, 61 and 123 looks.

    Args:
        path: see `measured`; of the stage in which seeds were tried.

    Example:
        >>> more_looks()  # doctest: +ELLIPSIS
        How far another seed and noise ...
    """
    rows = [row for row in _rows(path) if row["moved_by_seed"] and row["method"] in _LOOKS]
    found = {n: [row for row in rows if row["network"] == n] for n in _NETWORKS}
    figure = Figure(figsize=(9.2, 3.9), dpi=100, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {
        "moved_by_seed": "another seed moves the map by",
        "moved_0.001": "noise of 0.001 moves it by",
    }
    said = []
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        marks = zip(found.items(), "os^", ("0.0", "0.3", "0.5"), strict=True)
        for (network, of), mark, grey in marks:
            if of:
                looks = [int(row["passes"]) for row in of]
                shares = [100 * float(row[column]) for row in of]
                axes.loglog(looks, shares, f"{mark}-", lw=2, color=grey, mfc="white",
                            label=_NETWORKS[network])  # fmt: skip
                told = ", ".join(_percent(share / 100) for share in shares)
                said.append(f"{title} {told} on {_NETWORKS[network]}")
        axes.loglog((31, 124), (40, 20), ":", color="black", lw=1.6,
                    label="halved by four times the looks")  # fmt: skip
        axes.axhspan(0.1, 100 * GOAL, color="#e8f3ec", zorder=0)  # the goal
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("looks", fontsize=11)
        axes.set_xticks(list(_LOOKS.values()), [str(looks) for looks in _LOOKS.values()])
        axes.set_yticks([0.1, 1, 10, 100], ["0.1 %", "1 %", "10 %", "100 %"])
        axes.xaxis.set_minor_formatter(NullFormatter())
        _plain(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4,
                  frameon=False, fontsize=10.5)  # fmt: skip
    plots.show(
        figure,
        "How far another seed and noise of a thousandth move stable DGA of 31, 61 and 123 looks, "
        f"both axes logarithmic: {'; '.join(said)}. A dotted line falls by half as the looks grow "
        "fourfold.",
    )


# ------------------------------------------------------------------------------------------ drawing


def _percent(share: float | str) -> str:
    value = 100 * float(share)
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def _heat(a: Tensor, like: Tensor) -> Pixels:
    """The positive part of (1, C, H, W) on the scale of another map, in 12 steps: a small file."""
    mine, other = (m[0].detach().clamp(min=0).sum(0).numpy() for m in (a, like))
    top = np.percentile(other, plots.PERCENTILE) or 1
    return plots.colours((np.round(np.clip(mine / top, 0, 1) * 12) / 12).astype(np.float32))


def _row(panels: Mapping[str, Pixels], alt: str) -> None:
    """Pictures side by side, and a bar of the heatmaps' colours."""
    wide, high = 0.1 + len(panels) * (_PANEL + 0.08) + 0.95, _PANEL + 0.42
    figure = Figure(figsize=(wide, high), dpi=100)
    for k, (title, picture) in enumerate(panels.items()):
        box = ((0.1 + k * (_PANEL + 0.08)) / wide, 0.05 / high, _PANEL / wide, _PANEL / high)
        plots.panel(figure.add_axes(box), picture, title)
    _bar(figure, 0.14 + len(panels) * (_PANEL + 0.08), 0.05, _PANEL)
    plots.show(figure, alt)


def _bar(
    figure: Figure, left: float, bottom: float, size: float, top: str = "the same\nscale"
) -> None:
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((left / wide, bottom / high, 0.12 / wide, size / high))
    figure.colorbar(ScalarMappable(Normalize(0, 1), plots.MAGNITUDE), cax=axes, ticks=[0, 1])
    axes.set_yticklabels(["0", top], fontsize=10, va="top")
    axes.get_yticklabels()[0].set_verticalalignment("bottom")


def _bars(axes: Axes, shares: Mapping[str, float]) -> None:
    axes.barh(range(len(shares)), list(shares.values()), color=_INK, height=0.6)
    axes.set_yticks(range(len(shares)), list(shares), fontsize=10.5)
    axes.invert_yaxis()
    axes.set_xlabel("share that moves", fontsize=11)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
