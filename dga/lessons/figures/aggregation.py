"""Figures of lesson 05: what adding up buys, the knobs, the zero line, the feedback of ranks."""

from __future__ import annotations

import csv
import gc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

import dga
from dga import controls, metrics
from dga.distillation import DistillationStep
from dga.lessons import plots
from dga.lessons.figures import differences
from dga.lessons.plots import Pixels
from dga.zoo.files import DATA

Steps = Sequence[DistillationStep]
GRID = DATA / "results/grid.csv"
AT = (0, 3, 10, 30)  # steps that are shown
_LERF, _MORF, _GREY, _RED = "#00224e", "#b5651d", "#7f7f7f", "#c23b22"
_PANEL = 2.26  # inches: 226 pixels
_PAPER = "N=30 q=0.9 beta=0.0"
# The rows of the comparison, from the top: short name, words.
_ROWS = {
    "gi": "$x \\cdot g$, and UFG:\nthe same ranking",
    "ufg-cut": "one look\n(UFG, negatives cut)",
    "ig": "IG",
    "ig-cut": "IG, negatives cut",
    "dga-gi": "DGA of $x \\cdot g$",
}


def many_answers(model: Any, steps: Steps, shown: Sequence[int] = (0, 1, 15, 30)) -> None:
    """Some distilled inputs of one picture, and what UFG answers to each.

    Args:
        model: the network.
        steps: all steps, of one picture.
        shown: which of them.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> many_answers(model, list(dga.distill(model, x)))  # doctest: +ELLIPSIS
        Four distilled inputs ...
    """
    looks = [plots.steps(model.preprocess.restore(steps[n].distilled)[0], 19) for n in shown]
    maps = [_heat(steps[n].attribution[0]) for n in shown]
    names = [f"n = {n}, score {float(steps[n].score):.1f}" for n in shown]
    figure = plots.grid(
        [looks, maps], columns=names, labels=["the network sees", "UFG answers"],
        panel=_PANEL, bar="magnitude",
    )  # fmt: skip
    plots.show(
        figure,
        "Four distilled inputs of the cat, the photograph itself, two that are punctured and "
        "dimmed and the last, of which only parts of the face are left on grey; below each its "
        "heatmap, positive parts of UFG. All are specks, and the specks lie elsewhere in each.",
    )


def sum_and_steps(model: Any, photographs: Mapping[str, Iterable[DistillationStep]]) -> None:
    """The sum of the positive parts as it grows, and what it is worth beside its last term.

    Args:
        model: the network.
        photographs: name -> all steps of one picture; the first is also shown as heatmaps.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> sum_and_steps(model, {"cat": dga.distill(model, x)})  # doctest: +ELLIPSIS
        Above, the sum of the positive parts ...
    """
    figure = Figure(figsize=(4 * _PANEL + 2.05, _PANEL + 3.35), dpi=100)
    wide, high = figure.get_size_inches()
    plots.colour_bar(figure, (4 * _PANEL + 0.85, high - _PANEL - 0.32), _PANEL)
    for k, (name, steps) in enumerate(photographs.items()):
        x, parts, sums = _growing(steps)
        target = _named(model, x)
        together, alone = _worth(model, x, target, sums), _worth(model, x, target, parts)
        for place, (n, a) in enumerate(zip(AT, sums, strict=True)):
            if k:
                break
            box = ((0.45 + place * (_PANEL + 0.08)) / wide, 1 - (_PANEL + 0.32) / high)
            axes = figure.add_axes((*box, _PANEL / wide, _PANEL / high))
            title = "step 0 alone" if n == 0 else f"sum up to n = {n}"
            plots.panel(axes, _heat(a), title + (": DGA" if n == 30 else ""))
        axes = figure.add_axes(((0.7 + 4.9 * k) / wide, 0.55 / high, 3.6 / wide, 2.1 / high))
        for row, (colour, word) in enumerate(((_LERF, "LeRF"), (_MORF, "MoRF"))):
            axes.plot(AT, together[row], "o-", color=colour, lw=2.2, ms=6)
            axes.plot(AT, alone[row], "x:", color=colour, lw=1.2, ms=10)
            axes.text(30.8, together[row][-1], f"{word},\nsum", color=colour, va="center",
                      fontsize=10.5)  # fmt: skip
        axes.text(12, alone[0].max() + 0.02, "LeRF, single steps", color=_LERF, va="bottom",
                  fontsize=10.5)  # fmt: skip
        axes.text(12, together[1].min() - 0.02, "MoRF, single steps", color=_MORF, va="top",
                  fontsize=10.5)  # fmt: skip
        axes.set(xlabel="step n", ylim=(-0.06, 0.85), xlim=(-0.8, 30.5), title=name)
        axes.set_ylabel("mean probability")
        _plain(axes)
    plots.show(
        figure,
        "Above, the sum of the positive parts for the cat: specks at step 0, which fill up to a "
        "map that is brightest on eyes, nose and forehead at n = 30. Below, for two photographs, "
        "LeRF climbs steeply as steps are added, while that of every single step stays near that "
        "of step 0. MoRF is low and nearly flat for both.",
    )


def below_zero(model: Any, picture: Pixels, steps: Iterable[DistillationStep]) -> None:
    """The steps in two heaps: those whose input scores above zero, and those below.

    Args:
        model: the network.
        picture: (H, W, 3).
        steps: all steps of it.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> picture = model.preprocess.restore(x)[0]
        >>> below_zero(model, picture, dga.distill(model, x))  # doctest: +ELLIPSIS
        A photograph of an astronaut, and three heatmaps: ...
    """
    zero = torch.zeros(())
    heaps, counts = {"above 0": zero, "below 0": zero}, {"above 0": 0, "below 0": 0}
    x = zero
    for step in steps:
        x = step.distilled if step.n == 0 else x
        heap = "above 0" if step.score > 0 else "below 0"
        heaps[heap] = heaps[heap] + step.attribution[0].clamp(min=0)
        counts[heap] += 1
    heaps["all looks"] = heaps["above 0"] + heaps["below 0"]
    counts["all looks"] = sum(counts.values())
    target = _named(model, x)
    worth = _worth(model, x, target, torch.stack(list(heaps.values())))[0]
    names = [
        f"{name} ({count}): LeRF {value:.2f}"
        for (name, count), value in zip(counts.items(), worth, strict=True)
    ]
    figure = plots.grid(
        [[plots.steps(picture, 19), *(_heat(heap) for heap in heaps.values())]],
        columns=[f"says {model.classes[int(target)]}", *names], panel=_PANEL, bar="magnitude",
    )  # fmt: skip
    plots.show(
        figure,
        "A photograph of an astronaut, and three heatmaps: the sum over the looks that score above "
        "zero, over those below zero, and over all. They are much alike, brightest on the same "
        "places, and the sum over the looks below zero has a LeRF as high as the other.",
    )


def knobs(model: Any, steps: Steps) -> None:
    """N, q and beta turned one at a time: the map of the photograph, and two measures.

    Args:
        model: the network.
        steps: of the paper's choice, all of one picture.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> knobs(model, list(dga.distill(model, x)))  # doctest: +ELLIPSIS
        Three rows of heatmaps of the cat, ...
    """
    x, target = steps[0].distilled, _named(model, steps[0].distilled)
    total = _positive(steps)
    negative = -_positive(steps, -1)

    def turned(**options: Any) -> Tensor:
        return dga.distilled_gradient_aggregation(model, x, target, **options)[0]

    def weighed(beta: float) -> Tensor:
        return total + beta * negative

    rows: dict[str, dict[float, Tensor]] = {
        "N": {1: turned(steps=1), 5: turned(steps=5), 30: total},
        "q": {0.5: turned(epc_quantile=0.5), 0.9: total, 1.0: turned(epc_quantile=1.0)},
        "beta": {0.0: total, 0.5: weighed(0.5), 1.0: weighed(1.0)},
    }
    paper = _worth(model, x, target, total[None])[:, 0]
    figure = Figure(figsize=(3 * _PANEL + 4.0, 3 * _PANEL + 1.3), dpi=100)
    wide, high = figure.get_size_inches()
    for r, (knob, maps) in enumerate(rows.items()):
        bottom = 0.35 + (2 - r) * (_PANEL + 0.36)
        for c, (value, a) in enumerate(maps.items()):
            box = ((0.05 + c * (_PANEL + 0.08)) / wide, bottom / high)
            axes = figure.add_axes((*box, _PANEL / wide, _PANEL / high))
            mine = a is total
            sign = {"beta": "$\\beta$"}.get(knob, f"${knob}$")
            plots.panel(axes, _heat(a), f"{sign} = {value}" + (", the paper" if mine else ""))
            axes.spines[:].set(color=_RED if mine else "0.8", linewidth=2.5 if mine else 1)
        worth = [
            paper if a is total else _worth(model, x, target, a[None])[:, 0] for a in maps.values()
        ]
        axes = figure.add_axes(
            ((3 * (_PANEL + 0.08) + 0.8) / wide, (bottom + 0.25) / high, 2.2 / wide, 1.75 / high)
        )
        _effect(axes, knob, list(maps), np.array(worth).T)
        if r == 0:
            axes.set_title("●  this photograph\n▲  100 drawn pictures", fontsize=10.5, loc="left")
    words = "each map on its own scale; what is 0 or less is drawn dark"
    figure.text(0.05 / wide, 0.1 / high, words, fontsize=10, color="0.3")
    plots.show(
        figure,
        "Three rows of heatmaps of the cat, one for each knob. N: specks at 1, a smooth map at "
        "30. q: at 0.5 edges and forehead come up, at 1 only eyes and nose stay. beta: at 0 "
        "a smooth map, at 0.5 and 1 isolated specks. Beside each row LeRF and MoRF against the "
        "knob. On the photograph LeRF climbs with N and falls steeply with beta, and MoRF falls a "
        "little with beta; on the drawn pictures the curves are flat but for a small fall of both "
        "with beta.",
    )


def zero_line(model: Any, steps: Steps, at: Sequence[int] = (0, 29)) -> None:
    """What the constant of UFG changes: where zero lies among the features, in two steps.

    Args:
        model: the network.
        steps: all steps of one picture.
        at: the two steps.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> zero_line(model, list(dga.distill(model, x)))  # doctest: +ELLIPSIS
        Two curves of gradient times input, ...
    """
    target = _named(model, steps[0].distilled)
    figure = Figure(figsize=(10.4, 3.5), layout="constrained", dpi=100)
    for axes, n in zip(figure.subplots(1, 2), at, strict=True):
        look = steps[n].distilled
        local = (look * dga.gradient(model, look, target)).flatten().double()
        constant = float((steps[n].score.double() - local.sum()) / len(local))
        values = local.sort().values.numpy()
        share = np.linspace(0, 100, len(values))
        lifted = 100 * float(((local <= 0) & (local + constant > 0)).double().mean())
        axes.plot(share, values, color="black", lw=2)
        axes.axhline(0, color=_GREY, lw=1.5)
        axes.axhline(-constant, color=_RED, lw=1.5)
        left, right = 100 * (values < -constant).mean(), 100 * (values <= 0).mean()
        axes.axvspan(left, right, color=_RED, alpha=0.15, lw=0)
        limit = 6 * abs(constant)
        part = 100 * constant / float(local[local != 0].abs().median())
        title = f"step n = {n}: $c$ is {part:.0f} % of the median magnitude"
        axes.text(25.5, 0.25 * constant, "zero of $x \\cdot g$", color=_GREY, fontsize=11)
        axes.text(74.5, -constant * 1.15, "zero of UFG", color=_RED, va="top", ha="right",
                  fontsize=11)  # fmt: skip
        axes.text(64, -0.62 * limit, f"{lifted:.0f} % of the features\nchange sides",
                  ha="center", va="center", color=_RED, fontsize=11)  # fmt: skip
        axes.set(xlim=(25, 75), ylim=(-limit, limit), yticks=[-constant, 0], title=title)
        axes.set_yticklabels(["$-c$", "0"])
        axes.set(xlabel="features in ascending order, %", ylabel="$\\tilde{x}_j\\, g_j$")
        _plain(axes)
    plots.show(
        figure,
        "Two curves of gradient times input, features in ascending order, around zero. A grey line "
        "is its zero, a red one, a little lower, that of UFG. At step 0 the curve crosses both in "
        "a narrow band. Near the end it has a long flat part at exactly zero, the masked features: "
        "all of them lie above the red line.",
    )


def with_and_without(model: Any, picture: Pixels, steps: Steps) -> None:
    """DGA as it is and DGA of gradient times input, on one photograph.

    Args:
        model: the network.
        picture: (H, W, 3).
        steps: all steps of DGA.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> picture = model.preprocess.restore(x)[0]
        >>> steps = list(dga.distill(model, x))
        >>> with_and_without(model, picture, steps)  # doctest: +ELLIPSIS
        The cat, its DGA map ...
    """
    x, target = steps[0].distilled, _named(model, steps[0].distilled)
    maps = {
        "DGA": _positive(steps),
        "DGA of $x \\cdot g$": controls.dga_gradient_times_input(model, x, target)[0],
    }
    worth = _worth(model, x, target, torch.stack(list(maps.values())))
    names = [
        f"{name}: LeRF {lerf:.2f}, MoRF {morf:.2f}"
        for name, (lerf, morf) in zip(maps, worth.T, strict=True)
    ]
    figure = plots.grid(
        [[plots.steps(picture, 19), *map(_heat, maps.values())]],
        columns=["picture", *names], panel=2.9, bar="magnitude",
    )  # fmt: skip
    plots.show(
        figure,
        "The cat, its DGA map and that of DGA with gradient times input in place of UFG: for the "
        "eye the same, brightest on eyes, nose and forehead.",
    )


def cut_and_constant() -> None:
    """What the cut at zero and the constant are worth on photographs, from the stored results.

    Example:
        >>> cut_and_constant()  # doctest: +ELLIPSIS
        The cut and the constant on photographs. ...
    """
    found, networks = differences.photographs()
    differences.show(
        found, {"lerf": "LeRF", "morf": "MoRF"}, [_ROWS], networks,
        "The cut and the constant on photographs.",
    )  # fmt: skip


def stability(
    levels: Sequence[float], own: Sequence[Tensor], frozen: Sequence[Tensor], clean: Tensor
) -> None:
    """How far the map of one photograph moves with noise, by its own masks and by frozen ones.

    Args:
        levels: of the noise.
        own: the map at each level, (1, C, H, W).
        frozen: the same with the masks of the clean run.
        clean: the map without noise.

    Example:
        >>> a = torch.rand(1, 3, 8, 8)
        >>> stability((0.1, 0.01), [2 * a, 2 * a], [1.1 * a, 1.03 * a], a)  # doctest: +ELLIPSIS
        Left, change of the map against noise, ...
    """
    moved = [[float((a - clean).norm() / clean.norm()) for a in maps] for maps in (own, frozen)]
    figure = Figure(figsize=(4.0 + 3 * _PANEL + 1.15, _PANEL + 0.85), dpi=100)
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((0.75 / wide, 0.6 / high, 2.75 / wide, (high - 1.0) / high))
    axes.loglog(levels, moved[0], "o-", color=_RED, lw=2.2)
    axes.loglog(levels, moved[1], "o-", color=_LERF, lw=2.2)
    root = [0.6 * moved[1][0] * (level / levels[0]) ** 0.5 for level in levels]  # its slope counts
    axes.loglog(levels, root, ":", color="black", lw=1.5)
    middle = len(levels) // 2
    axes.text(levels[middle], moved[0][middle] * 1.3, "masks follow the noise", color=_RED,
              ha="center", fontsize=10.5)  # fmt: skip
    axes.text(levels[middle] * 0.8, moved[1][middle] * 1.25, "masks frozen", color=_LERF,
              ha="right", fontsize=10.5)  # fmt: skip
    axes.text(levels[middle], root[middle] * 0.5, "dotted: the square\nroot of the noise",
              fontsize=10.5, ha="center", va="top")  # fmt: skip
    axes.set(xlabel="noise added to the photograph", ylim=(8e-4, 1.5))
    axes.set_ylabel("change of the DGA map")
    _plain(axes)
    panels = {
        "DGA": clean,
        f"DGA, noise {levels[0]:g}": own[0],
        "difference, without sign": (own[0] - clean).abs(),
    }
    for k, (name, a) in enumerate(panels.items()):
        box = ((3.95 + k * (_PANEL + 0.08)) / wide, 0.35 / high)
        picture = _heat(a[0], 1, like=clean[0])
        plots.panel(figure.add_axes((*box, _PANEL / wide, _PANEL / high)), picture, name)
    bar = figure.add_axes(
        ((4.0 + 3 * (_PANEL + 0.08)) / wide, 0.35 / high, 0.12 / wide, _PANEL / high)
    )
    figure.colorbar(ScalarMappable(Normalize(0, 1), plots.MAGNITUDE), cax=bar, ticks=[0, 1])
    bar.set_yticklabels(["0", "the same\nscale"], fontsize=10)
    plots.show(
        figure,
        "Left, change of the map against noise, both logarithmic: with the masks of the clean run "
        "it falls like the square root of the noise; with its own masks it stays near one half at "
        "every level. Right, the maps without and with noise, bright in the same places, and their "
        "difference on the same scale: specks, brightest on the eyes.",
    )


# ------------------------------------------------------------------------------------------ drawing


def _named(model: Any, x: Tensor) -> Tensor:
    """The class, (1,), that the network names."""
    gc.collect()  # engines and their copies of the network wait in cycles; a lesson has 700 MB
    with torch.no_grad():
        named: Tensor = model(x).argmax(1)
    return named


def _positive(steps: Steps, sign: int = 1) -> Tensor:
    """The sum of the positive parts, (C, H, W); of the negative ones, with sign -1."""
    total = torch.zeros(())
    for step in steps:
        total = total + (sign * step.attribution[0]).clamp(min=0)
    return total


def _growing(steps: Iterable[DistillationStep]) -> tuple[Tensor, Tensor, Tensor]:
    """The picture, and at the steps `AT` the positive part and the sum up to there."""
    parts, sums = [], []
    x = total = torch.zeros(())
    for step in steps:
        x = step.distilled if step.n == 0 else x
        part = step.attribution[0].clamp(min=0)
        total = total + part
        if step.n in AT:
            parts.append(part)
            sums.append(total)
    return x, torch.stack(parts), torch.stack(sums)


def _worth(model: Any, x: Tensor, target: Tensor, maps: Tensor) -> np.ndarray:
    """LeRF and MoRF of several maps of one picture, (2, maps)."""
    curves = [dga.pixel_perturbation(model, x, a[None], target, "both") for a in maps]
    return torch.stack([curve.mean(2)[:, 0] for curve in curves], 1).numpy()


def _effect(axes: Axes, knob: str, values: Sequence[float], worth: np.ndarray) -> None:
    """LeRF and MoRF against one knob: of this photograph, and of the drawn pictures, stored."""
    places = range(len(values))
    for row, (measure, colour) in enumerate((("lerf", _LERF), ("morf", _MORF))):
        axes.plot(places, worth[row], "o-", color=colour, lw=2, ms=6)
        drawn = [_drawn(knob, value, measure) for value in values]
        mean, low, high = np.array(drawn).T
        axes.errorbar(places, mean, (mean - low, high - mean), fmt="^--", color=colour, lw=1.2)
        word = {"lerf": "LeRF", "morf": "MoRF"}[measure]
        axes.text(len(values) - 0.85, mean[-1], word, color=colour, va="center", fontsize=10.5)
    axes.set(xlim=(-0.3, len(values) - 0.7), ylim=(0, 1), xticks=places, yticks=[0, 0.5, 1])
    axes.set_xticklabels([f"{value:g}" for value in values])
    axes.set_xlabel({"beta": "$\\beta$"}.get(knob, f"${knob}$"), labelpad=0)
    axes.set_ylabel("mean probability")
    _plain(axes)


def _drawn(knob: str, value: float, measure: str) -> tuple[float, float, float]:
    """Mean over three networks and 100 drawn pictures, with its interval, from the stored grid."""
    setting = {"N": 30, "q": 0.9, "beta": 0.0, knob: value}
    wanted = "N={N} q={q} beta={beta}".format(**setting)
    with GRID.open(newline="") as file:
        table = list(csv.reader(line for line in file if not line.startswith("#")))
    rows = [row[3:] for row in table if row[1] == wanted and row[2] == measure]
    each = torch.tensor([[float(v) / 1000 for v in row] for row in rows]).mean(0)
    mean, low, high = metrics.bootstrap_interval(each)
    return float(mean), float(low), float(high)


def _heat(attribution: Tensor, square: int = 2, like: Tensor | None = None) -> Pixels:
    """The positive part of (C, H, W), over squares of pixels, in 10 steps: a smaller file.

    On its own scale, or on that of another map.
    """
    maps = torch.stack([attribution, attribution if like is None else like]).clamp(min=0)
    mine, other = F.avg_pool2d(maps, square).sum(1).numpy()
    top = np.percentile(other, plots.PERCENTILE)
    heat: Pixels = plots.colours(plots.steps(np.clip(mine / (top or 1), 0, 1), 10))
    return heat.repeat(square, 0).repeat(square, 1)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10.5)
    axes.xaxis.label.set_fontsize(11)
    axes.yaxis.label.set_fontsize(11)
