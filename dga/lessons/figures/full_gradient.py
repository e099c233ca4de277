"""Figures of lesson 03: who makes a score, the pixels or the biases, and what FullGrad shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor, nn

import dga
from dga.lessons import plots
from dga.lessons.plots import Pixels
from dga.zoo.loading import Classifier

Term = TypeVar("Term", Tensor, float)
PANEL = 2.24  # inches: one pixel of a 224 x 224 photograph is one of the figure
PATCHES = 7  # rows and columns; the coarsest layers of the photograph's network have as many
# The places 0, 1, 2, ... in EfficientNet-Lite0, by what its authors call them.
_STAGES = {
    "stem": range(4), "stage 1": range(4, 5), "stage 2": range(5, 7), "stage 3": range(7, 9),
    "stage 4": range(9, 12), "stage 5": range(12, 15), "stage 6": range(15, 19),
    "stage 7": range(19, 20), "head": range(20, 23), "last layer": range(23, 27),
}  # fmt: skip
_EARLY = ("stem", "stage 1", "stage 2", "stage 3")
_INK, _GREY, _FOR, _AGAINST = "#00224e", "#7f7f7f", "#d62f2f", "#2f55d6"


def by_stage(terms: Mapping[str, Term]) -> dict[str, list[Term]]:
    """The bias terms of EfficientNet-Lite0, collected by the stages of that network.

    Args:
        terms: layer -> map or its sum, see `dga.bias_attributions`.

    Example:
        >>> found = by_stage({"2": 1.0, "19.4": 1.0, "19.5": 1.0})
        >>> {name: len(parts) for name, parts in found.items() if parts}
        {'stem': 1, 'stage 7': 2}
    """
    places = {name: int(name.split(".")[0].split("#")[0]) for name in terms}
    return {
        stage: [term for name, term in terms.items() if places[name] in inside]
        for stage, inside in _STAGES.items()
    }


def in_patches(term: Tensor) -> Tensor:
    """A signed map, summed over channels and over 7 x 7 patches of the picture.

    Args:
        term: (1, C, h, w), with h and w multiples of 7.

    Returns:
        (7, 7), with the sum of `term`.

    Example:
        >>> in_patches(torch.ones(1, 3, 14, 14)).unique()
        tensor([12.])
    """
    _, _, h, w = term.shape
    size = (h // PATCHES, w // PATCHES)
    return F.avg_pool2d(term.sum(1, keepdim=True), size)[0, 0] * size[0] * size[1]


def signed_patches(model: Classifier, x: Tensor, target: int) -> Tensor:
    """Every part of a score that has a place, with its sign, in patches.

    Args:
        model, x, target: network, picture (1, C, H, W) with H and W multiples of 7, and class.

    Returns:
        (7, 7); its sum is the score, but for biases without a place.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> x = torch.rand(1, 3, 14, 14)
        >>> torch.allclose(signed_patches(model, x, 0).sum(), model(x)[0, 0])
        True
    """
    total = in_patches(x * dga.gradient(model, x, target))
    for term in dga.bias_attributions(model, x, target).values():
        if term.dim() == 4:
            total = total + in_patches(term)
    return total


def nothing_there(model: Classifier, pictures: Mapping[str, Tensor]) -> None:
    """Plain pictures, and how sure a network is of what it sees in them.

    Args:
        model: the network.
        pictures: name -> (1, C, H, W).

    Example:
        >>> model = dga.load_model("scene")
        >>> nothing_there(model, {"plain grey": torch.zeros(1, 3, 64, 64)})
        Plain squares without anything in them, ... for plain grey city with 100%.
    """
    figure = Figure(figsize=(10.4, 2.85), dpi=100)
    said = []
    for k, (name, x) in enumerate(pictures.items()):
        left = 0.02 + 0.5 * k
        picture = figure.add_axes((left, 0.17, 0.19, 0.69))
        picture.imshow(model.preprocess.restore(x)[0], vmin=0, vmax=1)
        picture.set(xticks=[], yticks=[])
        picture.set_title(name, fontsize=12)
        with torch.no_grad():
            scores = model(x)[0]
        probable = scores.softmax(0)
        axes = figure.add_axes((left + 0.275, 0.17, 0.19, 0.69))
        axes.barh(range(len(probable)), probable.tolist(), color=_INK)
        axes.set_yticks(range(len(probable)), model.classes, fontsize=11)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
        best = int(scores.argmax())
        axes.set_title(f"{model.classes[best]}: score {scores[best]:.1f}", fontsize=12)
        axes.set_xlabel("probability", fontsize=11, labelpad=1)
        axes.spines[["top", "right"]].set_visible(False)
        said.append(f"for {name} {model.classes[best]} with {probable[best]:.0%}")
    plots.show(
        figure,
        "Plain squares without anything in them, and the probabilities that the network gives "
        f"to six scenes: {'; '.join(said)}.",
    )


def turned_up(t: Sequence[float], alone: Sequence[float], together: Sequence[float]) -> None:
    """The score while the contrast grows, alone and with all biases.

    Args:
        t: factors, rising; 1 is among them.
        alone, together: the score with the picture scaled, and with picture and biases scaled.

    Example:
        >>> turned_up([0.0, 0.5, 1.0, 1.5], [0.0, 9.0, 9.0, 8.0], [0.0, 4.5, 9.0, 13.5])
        The score against the factor t. ...
    """
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    axes = figure.subplots()
    at = int(np.argmin(np.abs(np.asarray(t) - 1)))
    axes.plot(t, together, color=_GREY, lw=2.5)
    axes.plot(t, alone, color=_INK, lw=2.5)
    axes.plot(t[at], alone[at], "o", color="k", ms=8, zorder=5)
    axes.annotate(
        f"the photograph: score {alone[at]:.2f}", (t[at], alone[at]), (0.52, 12.6), fontsize=12,
        ha="center", arrowprops={"arrowstyle": "-", "color": "0.4"},
    )  # fmt: skip
    for level, words, colour in (
        (together[-1], "picture and all\nbiases times $t$:\nslope $f$", _GREY),
        (alone[-1], "picture times $t$:\nslope $\\langle g, x\\rangle$\nat $t = 1$", _INK),
    ):
        axes.text(t[-1] + 0.02, level, words, color=colour, fontsize=12, va="center")
    axes.axhline(0, color="0.7", lw=0.8)
    axes.set(xlim=(0, t[-1] + 0.34), ylim=(-0.6, together[-1] + 1), xticks=[0, 0.5, 1, 1.5])
    axes.set_xlabel("factor $t$", fontsize=12, loc="left")
    axes.set_ylabel("score of tiger cat", fontsize=12)
    _plain(axes)
    plots.show(
        figure,
        "The score against the factor t. With the picture alone it shoots up, levels off before "
        "half the contrast and sinks slowly from then on. With picture and biases it is a straight "
        "line from the origin. The two meet at t = 1, the photograph itself.",
    )


def waterfall(local: Tensor, terms: Mapping[str, float], score: float) -> None:
    """What the input and the biases of every stage put in, one after the other, to the score.

    Args:
        local: x*g, (1, C, H, W).
        terms: layer -> sum of its bias attributions.
        score: where it must end.

    Example:
        >>> waterfall(torch.ones(1, 3, 2, 2), {"2": -2.0}, 10.0)
        A waterfall from 0 to the score. ...
    """
    parts = {"x*g": float(local.sum())}
    parts |= {stage: sum(found) for stage, found in by_stage(terms).items()}
    figure = Figure(figsize=(10.4, 4.1), layout="constrained")
    axes = figure.subplots()
    level = 0.0
    for k, (name, part) in enumerate(parts.items()):
        colour = _GREY if name == "x*g" else _FOR if part > 0 else _AGAINST
        axes.bar(k, part, bottom=level, color=colour, width=0.72)
        end = level + part
        axes.plot([k - 0.36, k + 1.36], [end, end], color="0.35", lw=1)
        words = f"{part:+.2f}".replace("-", "\u2212") if abs(part) > 0.005 else "0.00"
        axes.text(k, max(level, end) + 0.3, words, ha="center", fontsize=11,
                  bbox={"fc": "w", "ec": "none", "pad": 0.5})  # fmt: skip
        level = end
    axes.bar(len(parts), score, color=_INK, width=0.72)
    axes.text(len(parts), score + 0.35, f"{score:.2f}", ha="center", fontsize=11, weight="bold")
    axes.axhline(0, color="0.3", lw=0.8)
    names = [name.replace(" ", "\n") for name in (*parts, "the score")]
    axes.set_xticks(range(len(names)), names, fontsize=11)
    axes.set_ylabel("score of tiger cat, so far", fontsize=12)
    axes.set(ylim=(-3, 23.5), yticks=[0, 5, 10, 15, 20])
    axes.text(0.35, 17.2, "biases give", color=_FOR, fontsize=12, weight="bold")
    axes.text(0.35, 15.2, "biases take", color=_AGAINST, fontsize=12, weight="bold")
    axes.text(0.35, 13.2, "the picture's part", color=_GREY, fontsize=12, weight="bold")
    _plain(axes)
    plots.show(
        figure,
        "A waterfall from 0 to the score. The picture's part is a small bar downwards. The biases "
        "of stem and stages 1 to 6 go up and down by little; stage 7 gives twice the "
        "score, the head takes more than half of that back, and the last bar is the score.",
    )


def where(model: Classifier, x: Tensor, local: Tensor, terms: Mapping[str, Tensor]) -> None:
    """Where the parts of a score lie, in 7 x 7 patches and on one scale.

    Args:
        model, x: the network and the photograph (1, C, H, W).
        local: x*g, (1, C, H, W).
        terms: see `dga.bias_attributions`.

    Example:
        >>> x = torch.ones(1, 3, 14, 14)
        >>> where(dga.load_model("resnet"), x, x, {"2": x, "19.4": -x})
        The cat under a grid of 7 x 7 patches, ...
    """
    first = in_patches(local)
    early, late = torch.zeros_like(first), torch.zeros_like(first)
    for stage, found in by_stage(terms).items():
        for term in found:
            if term.dim() == 4:  # the last layer's bias has no place
                (early if stage in _EARLY else late).add_(in_patches(term))
    maps = {"x*g": first, "early biases": early, "later biases": late,
            "all together": first + early + late}  # fmt: skip
    limit = max(float(m.abs().max()) for m in maps.values())
    figure, panels = _row(1 + len(maps))
    photo = panels[0]
    photo.imshow(model.preprocess.restore(x)[0], vmin=0, vmax=1)
    photo.set_title("photograph", fontsize=11.5)
    lines = np.arange(1, PATCHES) * x.shape[-1] / PATCHES - 0.5
    photo.vlines(lines, -0.5, x.shape[-2] - 0.5, color="w", lw=0.5)
    photo.hlines(lines, -0.5, x.shape[-1] - 0.5, color="w", lw=0.5)
    for k, (name, values) in enumerate(maps.items(), 1):
        axes = panels[k]
        axes.imshow(values.numpy(), cmap=plots.SIGNED, vmin=-limit, vmax=limit)
        axes.set_title(f"{name}: sum {values.sum():.2f}", fontsize=11.5)
    _bar(figure, panels[-1], limit, [f"{-limit:.1f}", "0", f"{limit:.1f}"])
    plots.show(
        figure,
        "The cat under a grid of 7 x 7 patches, and four signed maps of these patches on one "
        "scale: x*g, early biases and later biases are red and blue all over, and nowhere the "
        "same; together they are most red beside one eye of the cat.",
    )


def one_map(
    model: Classifier, x: Tensor, maps: Mapping[str, Tensor], signed: Sequence[Tensor]
) -> None:
    """FullGrad of two questions about one photograph, and how much alike the answers are.

    Args:
        model, x: the network and the photograph (1, C, H, W).
        maps: question -> FullGrad (1, C, H, W); two of them.
        signed: the sums of all signed terms to the same questions, (7, 7).

    Example:
        >>> x, map_ = torch.ones(1, 3, 14, 14), torch.rand(1, 3, 14, 14)
        >>> signed = [in_patches(map_), in_patches(map_.flip(3))]
        >>> one_map(dga.load_model("resnet"), x, {"why?": map_, "why not?": 1 - map_}, signed)
        The cat and two maps of FullGrad, ...
    """
    figure, panels = _row(1 + len(maps), right=4.15)
    axes = panels[0]
    axes.imshow(model.preprocess.restore(x)[0], vmin=0, vmax=1)
    axes.set_title("photograph", fontsize=11.5)
    sums = [m[0].sum(0) for m in maps.values()]
    low, high = min(float(s.min()) for s in sums), max(float(s.max()) for s in sums)
    for k, (question, values) in enumerate(zip(maps, sums, strict=True), 1):
        axes = panels[k]
        axes.imshow(values.numpy(), cmap=plots.MAGNITUDE, vmin=low, vmax=high)
        axes.set_title(f"FullGrad: {question}", fontsize=11.5)
    box, width = axes.get_position(), figure.get_size_inches()[0]
    bar = figure.add_axes((box.x1 + 0.08 / width, box.y0, 0.14 / width, box.height))
    colours = ScalarMappable(Normalize(low, high), plots.MAGNITUDE)
    figure.colorbar(colours, cax=bar, ticks=[low, high])
    bar.set_yticklabels(["least", "most"], fontsize=11)
    alike = {
        "FullGrad": _correlation([in_patches(m) for m in maps.values()]),
        "signed terms": _correlation(signed),
    }
    axes = figure.add_axes((box.x1 + 2.05 / width, box.y0 + 0.2, 1.95 / width, box.height - 0.2))
    axes.barh([0, 1], list(alike.values()), color=[plots.COLOURS["fg"], _GREY], height=0.6)
    for k, value in enumerate(alike.values()):
        axes.text(value + 0.03, k, f"{value:.2f}", va="center", fontsize=11)
    axes.set_yticks([0, 1], [name.replace(" ", "\n") for name in alike], fontsize=11)
    axes.set(xlim=(0, 1.2), ylim=(1.6, -0.6), xticks=[0, 0.5, 1])
    axes.set_xlabel("correlation, by 7 \u00d7 7 patches", fontsize=11, loc="right")
    axes.set_title("how alike are the answers?", fontsize=11.5, loc="right")
    _plain(axes)
    plots.show(
        figure,
        "The cat and two maps of FullGrad, for tiger cat and for espresso: both bright on the "
        "face, for tiger cat most at the nose, for espresso most above an eye. Beside them two "
        "bars, the correlation of the answers in 7 x 7 patches: high for FullGrad, low for the "
        "signed terms.",
    )


def path_and_place(tiny: nn.Sequential) -> dict[str, tuple[float, float]]:
    """A line on which only x1 moves, and the attribution of x2 along it.

    Args:
        tiny: see `pencil.two_inputs`.

    Returns:
        Method -> lowest and highest attribution of x2.

    Example:
        >>> from dga.lessons.figures import pencil
        >>> spans = path_and_place(pencil.two_inputs())
        Left: the plane of two inputs, ...
        >>> [round(value, 2) for value in spans["IG"]]
        [-2.06, -1.46]
    """
    side = torch.linspace(-0.5, 2.2, 271, dtype=torch.float64)
    x1 = torch.linspace(-0.2, 1.4, 41, dtype=torch.float64)
    line = torch.stack([x1, torch.full_like(x1, 1.8)], 1)
    ig = dga.integrated_gradients(tiny, line, 0, steps=2000)[:, 1]
    ufg = dga.uniform_fullgrad(tiny, line, 0)[:, 1]
    figure = Figure(figsize=(9.6, 3.7), layout="constrained")
    plane, curves = figure.subplots(1, 2, width_ratios=(1, 1.35))
    with torch.no_grad():
        folds = tiny[0](torch.cartesian_prod(side, side)).T.reshape(3, len(side), len(side))
    for unit in folds:  # each ReLU switches where its input is zero
        plane.contour(side, side, unit.T, levels=[0], colors="0.6", linewidths=1)
    for k in (0, 20, 40):
        plane.plot([0, line[k, 0]], [0, line[k, 1]], color=plots.COLOURS["ig"], lw=1.5)
    plane.plot(*line.T, color="k", lw=3)
    plane.plot(0, 0, "o", color="k", ms=6)
    plane.text(0.07, -0.02, "baseline", fontsize=11, va="top")
    plane.text(0.6, 1.9, "only $x_1$ moves", fontsize=11, ha="center")
    plane.text(1.02, 1.02, "paths of IG", color=plots.COLOURS["ig"], fontsize=11)
    plane.set(
        aspect="equal", xlim=(-0.5, 2.2), ylim=(-0.5, 2.2), xticks=[0, 1, 2], yticks=[0, 1, 2]
    )
    plane.set_xlabel("$x_1$", fontsize=12)
    plane.set_ylabel("$x_2$", fontsize=12)
    for values, short, words in ((ig, "ig", "IG"), (ufg, "ufg", "Uniform\nFullGrad")):
        curves.plot(x1, values, color=plots.COLOURS[short], lw=3)
        curves.text(1.44, float(values[-1]), words, color=plots.COLOURS[short], fontsize=12,
                    va="center")  # fmt: skip
    curves.set(xlim=(-0.25, 1.95), ylim=(-2.3, -1.2), xticks=[0, 0.5, 1], yticks=[-2, -1.5])
    curves.set_xlabel("$x_1$, along the line", fontsize=12, loc="left")
    curves.set_ylabel("attribution of $x_2$", fontsize=12)
    plane.set_title("IG's paths cross different folds", fontsize=11.5)
    curves.set_title("only IG's attribution of $x_2$ moves", fontsize=11.5)
    for axes in (plane, curves):
        _plain(axes)
    plots.show(
        figure,
        "Left: the plane of two inputs, cut by three straight folds. A thick line high up, on "
        "which only x1 moves, crosses no fold; IG's paths from the origin to three of its points "
        "do. Right: along that line Uniform FullGrad of x2 is constant, while IG of x2 rises in an "
        "arc and falls again.",
    )
    return {
        name: (float(values.min()), float(values.max()))
        for name, values in (("IG", ig), ("Uniform FullGrad", ufg))
    }


def so_what(model: Classifier, x: Tensor, local: Tensor, ufg: Tensor) -> None:
    """x*g, Uniform FullGrad and what lies between them, on one scale, with their sums.

    Args:
        model, x: the network and the photograph (1, C, H, W).
        local, ufg: (1, C, H, W).

    Example:
        >>> x = torch.ones(1, 3, 8, 8)
        >>> so_what(dga.load_model("resnet"), x, x, x + 0.01)
        The cat, x*g and Uniform FullGrad, ...
    """
    maps = {"x*g": local, "Uniform FullGrad": ufg, "the difference": ufg - local}
    sums = {name: m[0].sum(0) for name, m in maps.items()}
    limit = float(np.percentile(sums["x*g"].abs(), plots.PERCENTILE))
    figure, panels = _row(1 + len(maps))
    photo = panels[0]
    photo.imshow(model.preprocess.restore(x)[0], vmin=0, vmax=1)
    photo.set_title("photograph", fontsize=11.5)
    for k, (name, values) in enumerate(sums.items(), 1):
        axes = panels[k]
        axes.imshow(_signed(values, limit), interpolation="nearest")
        axes.set_title(f"{name}: sum {values.sum():.2f}", fontsize=11.5)
    _bar(figure, panels[-1], limit, ["against", "0", "for"])
    plots.show(
        figure,
        "The cat, x*g and Uniform FullGrad, the same red and blue specks on face and whiskers, and "
        "their difference, which is plain white, although it holds the whole score and more.",
    )


def _correlation(pair: Sequence[Tensor]) -> float:
    return float(torch.corrcoef(torch.stack([m.flatten() for m in pair]))[0, 1])


def _signed(values: Tensor, limit: float) -> Pixels:
    shade = (values / limit).clamp(-1, 1).numpy() / 2 + 0.5
    return matplotlib.colormaps[plots.SIGNED](shade)[..., :3].astype(np.float32)


def _row(panels: int, right: float = 0.85) -> tuple[Figure, list[Axes]]:
    """Square panels side by side, with room at the right."""
    left, gap, top, bottom = 0.05, 0.07, 0.32, 0.14
    width, height = left + panels * (PANEL + gap) + right, top + PANEL + bottom
    figure = Figure(figsize=(width, height), dpi=100)
    size = (PANEL / width, PANEL / height)
    axes = [
        figure.add_axes(((left + k * (PANEL + gap)) / width, bottom / height, *size))
        for k in range(panels)
    ]
    for panel in axes:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_color("0.8")
    return figure, axes


def _bar(figure: Figure, axes: Axes, limit: float, words: Sequence[str]) -> None:
    """The colours of signed maps, at the right of a panel."""
    box, width = axes.get_position(), figure.get_size_inches()[0]
    bar = figure.add_axes((box.x1 + 0.08 / width, box.y0, 0.14 / width, box.height))
    colours = ScalarMappable(Normalize(-limit, limit), plots.SIGNED)
    figure.colorbar(colours, cax=bar, ticks=[-limit, 0, limit])
    bar.set_yticklabels(words, fontsize=11)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=11)
