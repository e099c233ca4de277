"""Lesson 02: the path from a grey picture to the photograph, and what is collected on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.transforms import Transform
from torch import Tensor

import dga
from dga.engine import Engine
from dga.lessons import plots

Box = tuple[int, int, int, int]  # rows from and to, columns from and to
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
EVEN = 63  # the middles of 1, 3, 7, 9 and 21 equal steps are all among its middles
COUNTS = (1, 3, 7, 9, 21, 63)
_PANEL, _GAP = 2.24, 0.08  # inches; a photograph of 224 pixels is shown pixel by pixel
_INK, _PALE, _RED = "#00224e", "#b9c4d6", "#c23b22"
# Few colours, which the eye does not miss: noisy maps become small files.
_SIGNED = matplotlib.colormaps[plots.SIGNED].resampled(13)


@dataclass(frozen=True)
class Walk:
    """What a network says on the straight path from a baseline to a picture, step by step.

    Attributes:
        edges: (n + 1,), where the steps begin and end, from 0 to 1.
        scores: (n,), of the target, in the middle of each step.
        slopes: (n,), of the score along the path.
        terms: (n, H, W), what each pixel gets in each step; their sum is Integrated Gradients.
        ends: the scores of the baseline and of the picture.

    Example:
        >>> step = Walk(torch.tensor([0.0, 1.0]), *torch.zeros(3, 1), ends=(0.5, 2.0))
        >>> step.middles.tolist(), step.rise
        ([0.5], 1.5)
    """

    edges: Tensor
    scores: Tensor
    slopes: Tensor
    terms: Tensor
    ends: tuple[float, float]

    @property
    def middles(self) -> Tensor:
        """(n,), the place of each step."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def rise(self) -> float:
        """By how much the score rises from the baseline to the picture."""
        return self.ends[1] - self.ends[0]


def short_steps_first(steps: int, end: float = 0.1) -> Tensor:
    """Edges of steps (steps + 1,): two thirds of the steps lie before `end`, where scores climb.

    Example:
        >>> short_steps_first(3, end=0.5).tolist()
        [0.0, 0.25, 0.5, 1.0]
    """
    before = round(2 * steps / 3)
    first = torch.linspace(0, end, before + 1)
    return torch.cat([first[:-1], torch.linspace(end, 1, steps - before + 1)])


def walk(model: Any, x: Tensor, target: int, edges: Tensor, start: Tensor | float = 0.0) -> Walk:
    """Goes from a baseline to a picture and takes the score and its gradient on the way.

    Args:
        model: as `dga.load_model` gives it.
        x: (1, C, H, W).
        target: the class whose score is followed.
        edges: (n + 1,), where the steps begin and end; one pass in the middle of each.
        start: the baseline, a number or like x; 0 is grey.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> path = walk(model, x, 7, torch.linspace(0, 1, 16))
        >>> bool((path.terms.sum() - path.rise).abs() < 0.1 * path.rise)
        True
    """
    engine = Engine(model, x, target)
    look = engine.repeated(engine.score_and_gradient)
    origin = start + 0 * x
    span = x - origin
    middles, widths = (edges[1:] + edges[:-1]) / 2, edges.diff()
    scores, terms = [], []
    for middle in middles:
        score, gradient = look(origin + middle * span)
        scores.append(score)
        terms.append((span * gradient).sum(1))
    with torch.no_grad():
        first, last = model(torch.cat([origin, x]))[:, target].tolist()
    each = torch.cat(terms)
    slopes = each.flatten(1).sum(1)
    return Walk(edges, torch.cat(scores), slopes, each * widths.view(-1, 1, 1), (first, last))


def pixels_do_not_add_up(model: Any) -> None:
    """Gradient*Input of a photograph, and its sum beside the score for four of them.

    Args:
        model: as `dga.load_model` gives it.

    Example:
        >>> pixels_do_not_add_up(dga.load_model("resnet"))
        The photograph of a cat, and its Gradient*Input map...
    """
    scores: list[float] = []
    sums: list[float] = []
    names: list[str] = []
    for name in PHOTOGRAPHS:
        x = model.preprocess(dga.load_photo(name))
        with torch.no_grad():
            output = model(x)[0]
        values = dga.gradient_times_input(model, x)[0].sum(0)
        if not names:
            look, first = _look(model, x), values
        scores.append(float(output.max()))
        sums.append(float(values.sum()))
        names.append(_short(model.classes[int(output.argmax())]))
    figure, place = _sheet(2, 1, top=0.34, right=5.6, bottom=0.3)
    _picture(place(0, 0), look, f"it says: {names[0]}")
    panel = place(1, 0)
    _signed(panel, first, _limit(first), "Gradient*Input")
    _bar(figure, panel, _limit(first))
    width, height = figure.get_size_inches()
    left = 2 * (_PANEL + _GAP) + 2.35
    axes = figure.add_axes((left / width, 0.5 / height, 3.1 / width, 1.85 / height))
    rows = np.arange(len(names))
    axes.barh(rows - 0.19, scores, 0.36, color=_INK)
    axes.barh(rows + 0.19, sums, 0.36, color=_RED)
    for row, score, total in zip(rows, scores, sums, strict=True):
        axes.annotate(f"{score:.1f}", (score, row - 0.19), (4, 0), textcoords="offset points",
                      va="center", color=_INK, fontsize=11)  # fmt: skip
        words = f"{round(total, 1) + 0:.1f}"  # never -0.0
        axes.annotate(words, (max(total, 0), row + 0.19), (4, 0), textcoords="offset points",
                      va="center", color=_RED, fontsize=11)  # fmt: skip
    axes.set(xlim=(min(*sums, 0) - 0.3, 1.18 * max(scores)))
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_ylabel("photograph", fontsize=11.5)
    for words, colour, down in (
        ("score of the class", _INK, 0.15), ("sum of Gradient*Input", _RED, 0.36),
    ):  # fmt: skip
        figure.text(
            left / width, 1 - down / height, words, color=colour, fontsize=11.5, va="center"
        )
    _plain(axes)
    plots.show(
        figure,
        "The photograph of a cat, and its Gradient*Input map: red and blue specks all over. "
        "Beside it bars for four photographs: the scores lie between 6 and 12, the sums of "
        "Gradient*Input near 0, one below.",
    )


def the_path(model: Any, x: Tensor, target: int, path: Walk) -> None:
    """A film from grey to the photograph, and under it the score at every place.

    Args:
        model, x, target: see `walk`.
        path: from grey.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> the_path(model, x, 7, walk(model, x, 7, short_steps_first(6)))
        Five pictures from plain grey to the photograph...
    """
    stops = (0.0, 0.05, 0.1, 0.5, 1.0)
    with torch.no_grad():
        chances = torch.cat([model(a * x) for a in stops]).softmax(1)
    figure, place = _sheet(len(stops), 1, top=0.52, bottom=2.95, left=0.8)
    width, height = figure.get_size_inches()
    span = len(stops) * (_PANEL + _GAP) - _GAP
    axes = figure.add_axes((0.8 / width, 0.55 / height, span / width, 2.15 / height))
    contrast = np.array([0.0, *(100 * path.middles).tolist(), 100.0])
    score = np.array([path.ends[0], *path.scores.tolist(), path.ends[1]])
    axes.plot(contrast, score, color=_INK, linewidth=2.5)
    axes.margins(y=0.16)
    axes.set(xlim=(-2, 102), xticks=[0, 5, 10, 25, 50, 75, 100])
    for k, a in enumerate(stops):
        best = int(chances[k].argmax())
        said = f"{_short(model.classes[best])}, {_percent(chances[k, best])}"
        panel = place(k, 0)
        _picture(panel, _look(model, a * x), f"{_percent(a)} of the contrast:\n{said}")
        score_here = float(np.interp(100 * a, contrast, score))
        _number(axes, (100 * a, score_here), str(k + 1), axes.transData)
        _number(panel, (0.08, 0.08), str(k + 1), panel.transAxes)
    axes.set_ylabel(f"score of {_short(model.classes[target])}", fontsize=11.5)
    axes.set_xlabel("contrast in %: the place on the path", fontsize=11.5)
    _plain(axes)
    plots.show(
        figure,
        "Five pictures from plain grey to the photograph of the cat, at 0, 5, 10, 50 and 100 % of "
        "its contrast, each with what the network says, numbered like their places on a curve: the "
        "score of the cat's class climbs steeply in the first tenth of the path and is level from "
        "there on.",
    )


def slope_and_sum(model: Any, x: Tensor, target: int, path: Walk, steps: int = 9) -> None:
    """The slope of the score along the path, and how slowly the sum of even steps finds the rise.

    Args:
        model, x, target: see `walk`.
        path: of short steps first, for the slope itself.
        steps: how many bars.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> slope_and_sum(model, x, 7, walk(model, x, 7, short_steps_first(6)))
        Left: the slope of the score...
    """
    even = walk(model, x, target, torch.linspace(0, 1, EVEN + 1)).slopes
    figure = Figure(figsize=(11, 3.7), layout="constrained", dpi=100)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    few = even[EVEN // steps // 2 :: EVEN // steps].numpy()
    middles = 100 * (np.arange(steps) + 0.5) / steps
    left.bar(middles, few, width=94 / steps, color=_PALE)
    left.plot(100 * path.middles, path.slopes, color=_INK, linewidth=2)
    left.axhline(0, color="0.5", linewidth=0.8)
    end = float(path.slopes[-1])
    left.plot(100, end, "o", color=_RED, markersize=8, clip_on=False)
    left.annotate(
        "the only place that\nGradient*Input sees", (100, end), (62, 0.3 * float(few.max())),
        color=_RED, fontsize=11.5, arrowprops={"arrowstyle": "-", "color": _RED},
    )  # fmt: skip
    left.annotate("slope of the score", (100 * float(path.middles[path.slopes.argmax()]),
                  0.9 * float(path.slopes.max())), (14, 0), textcoords="offset points",
                  color=_INK, fontsize=11.5)  # fmt: skip
    left.annotate(f"the first of {steps} even steps", (94 / steps, 0.55 * float(few[0])), (8, 0),
                  textcoords="offset points", color="#5b6f8f", fontsize=11.5)  # fmt: skip
    left.set(xlim=(-1, 101), xticks=range(0, 101, 25))
    left.set_xlabel("contrast in %: the place on the path", fontsize=11.5)
    left.set_ylabel("slope of the score", fontsize=11.5)
    left.set_title("one bar decides", fontsize=12, loc="left")
    sums = [float(even[EVEN // n // 2 :: EVEN // n].mean()) for n in COUNTS]
    right.axhline(path.rise, color=_RED, linewidth=1.5)
    right.annotate(f"rise of the score: {path.rise:.1f}", (1, path.rise), (0, 6),
                   textcoords="offset points", color=_RED, fontsize=11.5)  # fmt: skip
    right.plot(COUNTS, sums, "o-", color=_INK, linewidth=2)
    right.set_xscale("log")
    right.set_xticks(COUNTS, [str(n) for n in COUNTS])
    right.minorticks_off()
    right.margins(y=0.12)
    right.set_xlabel("even steps n", fontsize=11.5)
    right.set_ylabel("sum of IG", fontsize=11.5)
    right.set_title("the sum needs many", fontsize=12, loc="left")
    for axes in (left, right):
        _plain(axes)
    plots.show(
        figure,
        "Left: the slope of the score against the contrast, a spike in the first tenth and near 0 "
        "from there on; the first of the even bars is tall, the others are flat. A dot at the end "
        "marks the only place that Gradient*Input sees. Right: the sum of IG against the number of "
        "even steps: it misses the rise of the score on both sides and comes nearer slowly.",
    )


def one_picture_three_starts(
    model: Any,
    x: Tensor,
    target: int,
    from_grey: Walk,
    starts: Mapping[str, Tensor],
    box: Box,
    steps: int = 30,
) -> None:
    """IG from several baselines: the map, with the baseline in its corner, and a part enlarged.

    Args:
        model, x, target: see `walk`.
        from_grey: the path from grey, which is shown first.
        starts: name of each other baseline -> the baseline (1, C, H, W).
        box: of the part.
        steps: of the other paths, short ones first.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> path = walk(model, x, 7, short_steps_first(6))
        >>> one_picture_three_starts(model, x, 7, path, {"pale": 0.5 * x}, (20, 40, 20, 40), 3)
        The photograph of the cat beside IG from grey, pale;...
    """
    paths = {"grey": (0 * x, from_grey)}
    for name, start in starts.items():
        paths[name] = (start, walk(model, x, target, short_steps_first(steps), start))
    figure, place = _sheet(1 + len(paths), 2, top=0.52, right=0.98, bottom=0.35)
    look = _look(model, x)
    _picture(place(0, 0), look, "the photograph", box)
    _picture(place(0, 1), _cut(look, box))
    brightness = torch.from_numpy(look.mean(2))
    dark = brightness <= brightness.quantile(0.1)
    for k, (name, (start, path)) in enumerate(paths.items(), 1):
        values = path.terms.sum(0)
        panel, part = place(k, 0), place(k, 1)
        title = f"IG from {name}:\nsum {values.sum():.1f}, rise {path.rise:.1f}"
        _signed(panel, values, _limit(values), title)
        corner = panel.inset_axes((0.02, 0.02, 0.27, 0.27))
        corner.imshow(_look(model, start)[::4, ::4], vmin=0, vmax=1)
        corner.set(xticks=[], yticks=[])
        _signed(part, _cut(values, box), _limit(values))
        share = float(values[dark].abs().sum() / values.abs().sum())
        part.set_xlabel(f"{_percent(share)} on the darkest tenth", fontsize=11.5)
    _bar(figure, panel, 1)
    plots.show(
        figure,
        f"The photograph of the cat beside IG from {', '.join(paths)}; the baseline is shown "
        "small in the corner of its map. Below, one eye enlarged: from black the pupil is nearly "
        "empty, from grey and from blurred it carries some of the strongest values.",
    )


def fog_and_photograph(model: Any, x: Tensor, path: Walk, place_on_path: float = 0.1) -> None:
    """What IG collects before a place on the path, and behind it, on one scale.

    Args:
        model, x: the network and the photograph (1, C, H, W).
        path: from grey.
        place_on_path: 0 is grey, 1 the photograph.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> fog_and_photograph(model, x, walk(model, x, 7, short_steps_first(6)))
        The cat at a tenth of its contrast...
    """
    early = path.middles < place_on_path
    parts = (path.terms[early].sum(0), path.terms[~early].sum(0), path.terms.sum(0))
    limit = _limit(torch.stack(parts))
    names = (f"up to {_percent(place_on_path)}", "from there to 100 %", "both together: IG")
    figure, place = _sheet(5, 1, top=0.52, right=0.98, bottom=0.15)
    title = f"the cat at {_percent(place_on_path)}\nof the contrast"
    _picture(place(0, 0), _look(model, place_on_path * x), title)
    _picture(place(1, 0), _look(model, x), "the photograph")
    for k, (name, values) in enumerate(zip(names, parts, strict=True), 2):
        title = f"{name}:\nsum {values.sum():.1f}, magnitude {values.abs().sum():.0f}"
        _signed(place(k, 0), values, limit, title)
    _bar(figure, figure.axes[-1], limit)
    plots.show(
        figure,
        "The cat at a tenth of its contrast, hardly to be seen, and the photograph. Three maps on "
        "one scale: what IG collects up to a tenth of the contrast, what it collects from there "
        "on, and both together.",
    )


def _sheet(
    columns: int, rows: int, top: float = 0.05, bottom: float = 0.4, left: float = 0.05,
    right: float = 0.05,
) -> tuple[Figure, Any]:  # fmt: skip
    """A figure for panels of one size, and a function that makes the axes of one of them."""
    width = left + columns * (_PANEL + _GAP) - _GAP + right
    height = top + rows * (_PANEL + _GAP) - _GAP + bottom
    figure = Figure(figsize=(width, height), dpi=100)

    def place(column: int, row: int) -> Axes:
        x = left + column * (_PANEL + _GAP)
        y = height - top - (row + 1) * (_PANEL + _GAP) + _GAP
        return figure.add_axes((x / width, y / height, _PANEL / width, _PANEL / height))

    return figure, place


def _look(model: Any, x: Tensor) -> plots.Pixels:
    """An input (1, C, H, W) for the eye, in 64 steps a channel, for a smaller file."""
    restored: plots.Pixels = model.preprocess.restore(x)[0]
    coarse: plots.Pixels = np.round(restored * 63) / np.float32(63)
    return coarse


def _picture(
    axes: Axes,
    picture: plots.Pixels,
    title: str = "",
    box: Box | None = None,
) -> None:
    axes.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
    if box:
        top, bottom, left, right = box
        xs, ys = (left, right, right, left, left), (top, top, bottom, bottom, top)
        axes.plot(xs, ys, color="white", linewidth=2)
    axes.set_title(title, fontsize=11.5, pad=5)
    axes.set(xticks=[], yticks=[])


def _signed(axes: Axes, values: Tensor, limit: float, title: str = "") -> None:
    axes.imshow(values.numpy(), cmap=_SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_title(title, fontsize=11.5, pad=5)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")


def _bar(figure: Figure, axes: Axes, limit: float) -> None:
    """The colours of signed maps, at the right of a panel that is there already."""
    box = axes.get_position()
    width = figure.get_size_inches()[0]
    bar = figure.add_axes((box.x1 + 0.08 / width, box.y0, 0.14 / width, box.height))
    figure.colorbar(
        matplotlib.cm.ScalarMappable(Normalize(-limit, limit), _SIGNED), cax=bar, ticks=[-limit, 0,
        limit],
    )  # fmt: skip
    bar.set_yticklabels(["against", "0", "for"], fontsize=11)


def _limit(maps: Tensor) -> float:
    """One scale for several maps: the percentile that every figure of the lessons uses."""
    return float(np.percentile(maps.abs().numpy(), plots.PERCENTILE))


def _cut(values: Any, box: Sequence[int]) -> Any:
    top, bottom, left, right = box
    return values[top:bottom, left:right]


def _number(axes: Axes, at: tuple[float, float], words: str, transform: Transform) -> None:
    """A number on a disc, which ties a picture to a place on a curve."""
    axes.plot(*at, "o", color=_RED, markersize=17, transform=transform, clip_on=False)
    axes.text(*at, words, color="white", fontsize=11, fontweight="bold", ha="center",
              va="center_baseline", transform=transform)  # fmt: skip


def _percent(share: Tensor | float) -> str:
    return f"{100 * share:.0f} %"


def _short(name: str) -> str:
    """The first of a class's names."""
    return name.split(",", maxsplit=1)[0]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=11)
