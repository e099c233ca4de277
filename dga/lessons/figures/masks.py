"""Figures of lesson 04: what the two masks take away, the distilled inputs, and what that buys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle, Wedge
from torch import Tensor

import dga
from dga import controls, metrics
from dga.lessons import plots
from dga.lessons.figures import differences
from dga.lessons.plots import Pixels

TENTH = tuple(k / 100 for k in range(11))
TOP = 0.1  # of the features: what the extreme positive contributor mask removes
# Standard deviation of the noise, in normalised units. Of the drawn pictures the best for MoRF of
# 0.1, 0.25, 0.5, 1 and 2; on photographs so much noise leaves of the cat hardly an eye.
NOISE_DRAWN, NOISE_PHOTOGRAPH = 1.0, 0.25
_PANEL, _GAP = 2.24, 0.08  # inches: one pixel of a 224 x 224 photograph is one of the figure
_INK, _LINE, _PALE, _RED = "#00224e", "#8a919e", "#eef1f6", "#c23b22"
_BOTH, _WEAK = _INK, _RED

# The rows of the comparisons, from the top: short name, words.
_ROWS = {
    "dga-weak": "WC only",
    "dga-extreme": "EPC only",
    "dga-random": "random masks",
    "noise": "looks through noise",
    "ufg-cut": "one look\n(UFG, negatives cut)",
}
_TITLES = {"lerf": "LeRF", "morf": "MoRF", "fine morf": "MoRF, first 10 %"}
# Of the drawn pictures; which interval touches 0 by a hair is left out, as rounding decides it.
_DRAWN = (
    "LeRF, MoRF, and MoRF, first 10 %: undecided against all. Top 10 % in the object: DGA is worse "
    "than WC only and EPC only, near the border of worse against random masks, better than one "
    "look, and undecided against noise without masks."
)


def first_look(model: Any, x: Tensor, target: Tensor, step: int = 25) -> None:
    """A photograph, its map from one look, what is left of it later, and the map of all looks.

    Args:
        model: the network.
        x: one picture, (1, 3, 224, 224).
        target: its class, (1,).
        step: of the distilled input that is shown.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> first_look(model, x, torch.tensor([7]))
        A tabby cat from near; ...
    """
    total = torch.zeros_like(x)
    for moment in dga.distill(model, x, target):
        positive = moment.attribution.clamp(min=0)
        total += positive
        if moment.n == 0:
            once = positive.clone()
        if moment.n == step:
            left = moment.distilled
    figure, place = _sheet(4, 1, right=0.75)
    name = model.classes[int(target)].split(",")[0]
    _picture(place(0, 0), _look(model, x), f"the network says: {name}")
    _picture(place(1, 0), _heat(once, 1), "one look")
    _picture(place(2, 0), _look(model, left), f"distilled input, n = {step}")
    _picture(place(3, 0), _heat(total, 1), "31 looks, added up")
    _bar(figure, figure.axes[3], ["0", "much"])
    plots.show(
        figure,
        "A tabby cat from near; its map from one look, scattered specks at one eye, the nose and "
        "the bridge between; a distilled input, a grey picture out of which eyes, nose and the "
        "stripes of the forehead stand; and the sum of 31 maps, on which both eyes with their "
        "rims, the nose and its bridge are filled.",
    )


def witnesses() -> None:
    """The idea of the extreme positive contributor mask: send out who shouts, and listen again.

    Example:
        >>> witnesses()
        A cartoon in three rooms with three witnesses. ...
    """
    figure = Figure(figsize=(10.6, 2.15), dpi=100)
    rooms: tuple[tuple[str, str, list[tuple[str, float, str] | None], str], ...] = (
        ("first look", "Only one is heard.",
         [("EYES!", 18, _RED), ("nose", 9, _INK), ("fur", 9, _INK)], ""),
        ("second look: the loudest waits outside", "Now the others are heard.",
         [None, ("nose!", 15, _RED), ("fur", 11, _INK)], "eyes"),
        ("third look: the new loudest goes", "And the first one is back.",
         [("EYES!", 18, _RED), None, ("fur", 9, _INK)], "nose"),
    )  # fmt: skip
    for k, (title, below, people, outside) in enumerate(rooms):
        axes = figure.add_axes((k / 3 + 0.004, 0.0, 1 / 3 - 0.008, 1.0))
        axes.set(xlim=(-0.1, 5.2), ylim=(-0.62, 2.5), aspect="equal")
        axes.set_axis_off()
        axes.add_patch(Rectangle((0, -0.1), 3.95, 2.1, fc="none", ec=_LINE, lw=1.2))
        axes.text(0, 2.12, title, fontsize=11.5, color=_INK)
        axes.text(0, -0.24, below, fontsize=11.5, va="top", color=_INK)
        for x, who in zip((0.85, 2.1, 3.25), people, strict=True):
            if who:
                _witness(axes, x, *who)
        if outside:
            _witness(axes, 4.62, outside, 10, _LINE, silent=True)
    plots.show(
        figure,
        "A cartoon in three rooms with three witnesses. First all are in, and eyes shouts while "
        "nose and fur can hardly be heard. Then eyes waits outside: nose is loudest, fur is "
        "heard. Then nose waits outside, and eyes is back and shouts.",
    )


def what_is_enough(model: Any, x: Tensor, keep: float = 0.2) -> None:
    """A photograph reduced to its strongest features, or to as many random ones.

    Args:
        model: the network.
        x: one picture, (1, 3, 224, 224).
        keep: share of the features in the two panels, in steps of a twentieth.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> what_is_enough(model, x)
        A cup of coffee; ...
    """
    with torch.no_grad():
        target = model(x).argmax(1)
    phi = dga.uniform_fullgrad(model, x, target)
    lots = torch.rand(phi.shape, generator=torch.Generator().manual_seed(0))
    shares = [k / 20 for k in range(21)]
    curves = []
    for ranked in (phi, lots):
        packed = [dga.weak_contributor_mask(ranked, share) * x for share in shares]
        with torch.no_grad():
            seen = torch.cat([model(picture) for picture in packed])
        curves.append(seen.softmax(1)[:, target].flatten())
    figure, place = _sheet(4, 1, top=0.5, bottom=0.5, left=0.05, right=0.6)
    at = shares.index(1 - keep)
    said = model.classes[int(target)].split(",")[0]
    _picture(place(0, 0), _look(model, x), f"all features:\n{said} {curves[0][0]:.0%}")
    for column, (ranked, curve, words) in enumerate(
        zip((phi, lots), curves, ("strongest", "random"), strict=True), 1
    ):
        picture = dga.weak_contributor_mask(ranked, 1 - keep) * x
        _picture(
            place(column, 0), _look(model, picture), f"{words} {keep:.0%}:\n{said} {curve[at]:.0%}"
        )
    axes = place(3, 0)
    box = axes.get_position()
    axes.set_position((box.x0 + 0.075, box.y0, box.width - 0.045, box.height))
    percent = [100 * share for share in shares]
    for curve, colour in zip(curves, (_INK, _LINE), strict=True):
        axes.plot(percent, 100 * curve, color=colour, lw=2)
    axes.axvline(100 * (1 - keep), color="0.6", lw=1, ls=":", zorder=0)
    axes.text(100, 114, "the two pictures", color="#5a6270", fontsize=10, ha="right")
    axes.text(4, 102, "weakest first", color=_INK, fontsize=11, va="bottom")
    axes.text(38, 22, "random\norder", color="#5a6270", fontsize=11, ha="right", va="center")
    axes.set(xlim=(0, 100), ylim=(0, 112), xticks=[0, 50, 100], yticks=[0, 50, 100])
    axes.set_xlabel("% of the features removed", fontsize=11)
    axes.set_ylabel(f"% {said}", fontsize=11, labelpad=0)
    _plain(axes)
    plots.show(
        figure,
        "A cup of coffee; the same reduced to the strongest fifth of its features, where rim, "
        "spoon and shadow still show; reduced to a random fifth, coloured noise through which the "
        "cup is seen. A curve: leaving out the weakest features the probability of espresso stays "
        "high until four fifths are gone; in random order it falls much earlier.",
    )


def film(
    model: Any,
    x: Tensor,
    both: Sequence[Tensor],
    weak: Sequence[Tensor],
    shown: Sequence[int] = (1, 2, 15, 25),
) -> None:
    """Distilled inputs of a photograph and the map of each: with both masks, and with WC only.

    Args:
        model: the network.
        x: the photograph, (1, 3, H, W).
        both, weak: the local attributions of all steps, each (1, 3, H, W).
        shown: the steps, from 1 on.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> film(model, x, [x] * 3, [x] * 3, shown=(1, 2))
        Distilled inputs of the cat with their maps. ...
    """
    figure, place = _sheet(len(shown), 4, top=0.3, left=0.32, right=0.75)
    for row, (sequence, words) in enumerate(((both, "both masks"), (weak, "WC only"))):
        for column, n in enumerate(shown):
            z = _distilled(x, sequence[n - 1], n - 1, len(sequence) - 1, extreme=row == 0)
            title = f"n = {n}" if row == 0 else ""
            _picture(place(column, 2 * row), _look(model, z, 2), title)
            _picture(place(column, 2 * row + 1), _heat(sequence[n]))
        for k, label in enumerate((words, "what speaks for it")):
            figure.axes[2 * len(shown) * row + k].text(
                -0.03, 0.5, label, rotation=90, ha="right", va="center", fontsize=11.5,
                transform=figure.axes[2 * len(shown) * row + k].transAxes,
            )  # fmt: skip
    _bar(figure, figure.axes[2 * len(shown) - 1], ["0", "much"])
    plots.show(
        figure,
        "Distilled inputs of the cat with their maps. Both masks: the cat with specks missing at "
        "eyes and nose and a map spread over the whole picture at step 1, then a picture that "
        "fades until eyes, nose and stripes are left; the maps gather on them. WC only: plain grey "
        "with a flat map at step 1, then a picture that comes up; all maps show the same eye, "
        "nose and bridge of the nose.",
    )


def taking_turns(both: Sequence[Tensor], weak: Sequence[Tensor]) -> None:
    """Scores of the distilled inputs, and how many of the loudest were loudest before.

    Args:
        both, weak: see `film`.

    Example:
        >>> x = torch.rand(1, 3, 4, 4)
        >>> taking_turns([x] * 24, [x] * 24)
        Left: the score of the distilled cat. ...
    """
    figure = Figure(figsize=(10.4, 3.4), layout="constrained", dpi=100)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    last = len(both) - 1
    for sequence, colour in ((weak, _WEAK), (both, _BOTH)):
        scores = [float(phi.sum()) for phi in sequence]  # UFG adds up to the score
        left.plot(scores, "o-", color=colour, lw=1.5, ms=3.5)
    left.set(xlabel="step n", ylabel="score", xlim=(-0.5, last + 0.5), ylim=(-0.5, 11.2))
    left.set_title("what the network sees in the distilled cat", fontsize=11.5)
    left.text(7, 9.6, "WC only", color=_WEAK, fontsize=11, ha="center", va="bottom")
    left.text(last - 4, 3.9, "both masks", color=_BOTH, fontsize=11, ha="right", va="top")
    tops = {key: [_loudest(phi) for phi in s] for key, s in (("both", both), ("weak", weak))}
    lines = (
        ("weak", 1, _WEAK, "-", "WC only, with the step before", (23, 49), "top"),
        ("both", 2, _BOTH, ":", "both, with two steps before", (3, 19), "bottom"),
        ("both", 1, _BOTH, "-", "both, with the step before", (12, 0), "bottom"),
    )
    for key, back, colour, style, words, place, side in lines:
        steps = range(3, last + 1)  # before, WC only sees plain grey
        shared = [100 * _shared(tops[key][n], tops[key][n - back]) for n in steps]
        right.plot(steps, shared, style, color=colour, lw=2)
        far = "right" if key == "weak" else "left"
        right.text(*place, words, color=colour, fontsize=11, va=side, ha=far)
    right.axhline(100 * TOP, color=_LINE, lw=1, ls="--")
    right.text(last + 0.6, 100 * TOP, "chance", color="#5a6270", fontsize=10, va="center")
    right.set(xlabel="step n", ylabel="% of the loudest tenth", xlim=(2.5, last + 0.5))
    right.set(ylim=(-2, 68), xticks=[5, 10, 15, 20, 25, 30])
    right.set_title("how much of it was loudest before", fontsize=11.5)
    for axes in (left, right):
        _plain(axes)
    plots.show(
        figure,
        "Left: the score of the distilled cat. With both masks it jumps down, up, down over the "
        "first steps, sinks slowly and rises at the end. With WC only it is near 0 in steps 1 and "
        "2, then as high as for the whole picture, and low in the last step. Right: overlap of the "
        "loudest tenth of the features. WC only, with the step before: from a third up to more "
        "than half. Both masks, with the step before: 0 at first, up to two fifths at step 25, and "
        "down to chance at the end. A dotted line, both masks with two steps before: near a "
        "quarter throughout, above the dashed line of chance at a tenth.",
    )


def one_cat_six_maps(
    model: Any, x: Tensor, target: Tensor, both: Sequence[Tensor], weak: Sequence[Tensor]
) -> None:
    """The map of one photograph by DGA, by DGA with other masks, and without masks.

    Args:
        model: the network.
        x: one picture, (1, 3, 224, 224).
        target: its class, (1,).
        both, weak: see `film`.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> one_cat_six_maps(model, x, torch.tensor([7]), [x], [x])
        Six maps of the cat. ...
    """
    maps = {
        "one look (UFG, negatives cut)": both[0].clamp(min=0),
        "31 looks through noise": noisy_looks(model, x, target),
        "random masks": controls.dga_random_masks(model, x, target),
        "WC only": _added(weak),
        "EPC only": controls.dga_extreme(model, x, target),
        "both masks: DGA": _added(both),
    }
    figure, place = _sheet(3, 2, top=0.3, right=0.75, between=0.3)
    for k, (title, values) in enumerate(maps.items()):
        _picture(place(k % 3, k // 3), _heat(values), title)
    _bar(figure, figure.axes[2], ["0", "much"])
    plots.show(
        figure,
        "Six maps of the cat. One look: specks. Noise and random masks: eyes, nose and the bridge "
        "between are filled. WC only: the same parts, narrow. EPC only and DGA: rims of the eyes, "
        "nose, and stripes of the forehead.",
    )


def on_photographs() -> None:
    """DGA against its variants on photographs, from the stored results: paired differences.

    Example:
        >>> on_photographs()
        DGA and its variants on photographs. ...
    """
    rows = {key: words for key, words in _ROWS.items() if key != "noise"}  # not in that run
    found, networks = differences.photographs()
    differences.show(found, _TITLES, [rows], networks, "DGA and its variants on photographs.")


def on_drawn_pictures(name: str = "resnet", count: int = 12) -> None:
    """DGA against its variants on the drawn pictures, computed now: paired differences.

    Args:
        name: of a shipped network.
        count: how many of the pictures for figures.

    Example:
        >>> on_drawn_pictures(count=1)
        DGA and its variants on 1 drawn pictures. ...
    """
    pictures = dga.load_images("figures", count)
    model = dga.load_model(name)
    every = model.preprocess(pictures.images)
    with torch.no_grad():
        targets = model(every).argmax(1)
    methods: dict[str, Callable[..., Tensor]] = {
        "dga": dga.distilled_gradient_aggregation,
        "dga-weak": controls.dga_weak,
        "dga-extreme": controls.dga_extreme,
        "dga-random": controls.dga_random_masks,
        "noise": partial(noisy_looks, strength=NOISE_DRAWN),
        "ufg-cut": controls.ufg_cut,
    }
    parts: dict[str, list[dict[str, Tensor]]] = {key: [] for key in methods}
    for first in range(0, count, 6):  # few at a time: less memory
        some = slice(first, first + 6)
        x, target = every[some], targets[some]
        for key, method in methods.items():
            lots = {"first": first} if key in ("dga-random", "noise") else {}
            attribution = method(model, x, target, **lots)
            parts[key].append(measured(model, x, target, attribution, pictures.masks[some]))
    titles = {**_TITLES, "top": "top 10 % in the object"}
    found = {
        (measure, key, name): differences.ahead(
            measure, *(torch.cat([part[measure] for part in parts[k]]) for k in ("dga", key))
        )
        for measure in titles
        for key in _ROWS
    }
    differences.show(
        differences.intervals(found), titles, [_ROWS], {name: f"{name}, {count} drawn pictures"},
        f"DGA and its variants on {count} drawn pictures.", verdicts=_DRAWN,
    )  # fmt: skip


def measured(
    model: Any, x: Tensor, target: Tensor, attribution: Tensor, objects: Tensor
) -> dict[str, Tensor]:
    """The four measures of this lesson, one value a picture.

    Args:
        model: the network.
        x: (B, 3, H, W).
        target: (B,).
        attribution: as `x`.
        objects: bool, (B, H, W), the pixels of the object.

    Returns:
        "lerf", "morf", "fine morf" (the first tenth of the pixels) and "top" (how much of the top
        10 % lies in the object), each (B,).

    Example:
        >>> pictures = dga.load_images("figures", 2)
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(pictures.images)
        >>> target = torch.as_tensor(pictures.labels)
        >>> scores = measured(model, x, target, dga.gradient(model, x, target), pictures.masks)
        >>> {name: tuple(values.shape) for name, values in scores.items()}
        {'lerf': (2,), 'morf': (2,), 'fine morf': (2,), 'top': (2,)}
    """
    lerf, morf = dga.pixel_perturbation(model, x, attribution, target, "both").mean(2)
    fine = dga.pixel_perturbation(model, x, attribution, target, "morf", shares=TENTH).mean(1)
    top = metrics.top_precision(attribution, objects)
    return {"lerf": lerf, "morf": morf, "fine morf": fine, "top": top}


def noisy_looks(
    model: Any,
    x: Tensor,
    target: Tensor,
    strength: float = NOISE_PHOTOGRAPH,
    looks: int = 31,
    first: int = 0,
) -> Tensor:
    """As many looks as DGA, each through other noise, their positive parts added up: no masks.

    Args:
        model: the network.
        x: (B, 3, H, W).
        target: (B,).
        strength: standard deviation of the noise; the first look is without.
        looks: how many.
        first: number of the first picture; each has noise of its own.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> noisy_looks(model, torch.rand(1, 3, 2, 2), torch.tensor([1]), looks=3).shape
        torch.Size([1, 3, 2, 2])
    """
    draws = [torch.Generator().manual_seed(first + k) for k in range(len(x))]
    total = dga.uniform_fullgrad(model, x, target).clamp(min=0)
    for _ in range(looks - 1):
        noise = torch.stack([torch.randn(x.shape[1:], generator=draw) for draw in draws])
        total += dga.uniform_fullgrad(model, x + strength * noise, target).clamp(min=0)
    return total


def which_features_go(phi: Tensor, share: float = 0.5, quantile: float = 1 - TOP) -> None:
    """All attributions of one picture in ascending order, and what each mask removes.

    Args:
        phi: (1, C, H, W).
        share: of the weak contributor mask.
        quantile: of the extreme positive contributor mask.

    Example:
        >>> which_features_go(torch.randn(1, 3, 8, 8))
        The attributions of the cat in ascending order: ...
    """
    values = phi.flatten().sort().values
    weak = phi[~dga.weak_contributor_mask(phi, share)].abs().max()
    low, high = (100 * float((values < edge).float().mean()) for edge in (-weak, weak))
    limit = 3 * float(values[int(quantile * len(values))])
    figure = Figure(figsize=(8, 3.3), layout="constrained", dpi=100)
    axes = figure.subplots()
    zones = (
        (0, low, 0.75, "none", "strongly negative:\nboth keep them"),
        (low, high, 0.75, "#7f7f7f", "weak: WC removes them"),
        (high, 100 * quantile, -0.4, "none", "both keep\nthem"),
        (100 * quantile, 100, -0.75, "#e69f00", "loud:\nEPC"),
    )
    for start, end, height, colour, words in zones:
        axes.axvspan(start, end, color=colour, alpha=0.25, lw=0)
        axes.text((start + end) / 2, height * limit, words, ha="center", va="center", fontsize=11)
    axes.plot(np.linspace(0, 100, len(values)), values, color=_INK, lw=2)
    axes.set(xlim=(0, 100), ylim=(-limit, limit))
    axes.set_xlabel("features in ascending order, %", fontsize=11)
    axes.set_ylabel("attribution", fontsize=11)
    _plain(axes)
    plots.show(
        figure,
        "The attributions of the cat in ascending order: a long flat middle and two steep ends. "
        "A grey zone around zero is what the weak contributor mask removes; an orange zone, the "
        "top tenth, what the extreme positive contributor mask removes; the negative end lies in "
        "neither.",
    )


# ------------------------------------------------------------------------------------------ drawing


def _witness(
    axes: Axes, x: float, words: str, size: float, colour: str, silent: bool = False
) -> None:
    edge = _LINE if silent else _INK
    axes.add_patch(Wedge((x, -0.1), 0.5, 0, 180, fc="white" if silent else _PALE, ec=edge, lw=1.5))
    axes.add_patch(Circle((x, 0.66), 0.26, fc="white", ec=edge, lw=1.5))
    axes.plot([x - 0.09, x + 0.09], [0.73, 0.73], ".", color=edge, ms=5)
    if silent:
        axes.plot([x - 0.08, x + 0.08], [0.56, 0.56], color=edge, lw=1.5)
    else:
        axes.add_patch(Circle((x, 0.56), 0.015 + 0.08 * (size - 9) / 9, fc=edge, ec=edge))
    style = "round,pad=0.32"
    axes.text(
        x, 1.5, words, fontsize=size, ha="center", va="center", color=colour,
        weight="bold" if size > 16 else "normal",
        bbox=None if silent else {"boxstyle": style, "fc": "white", "ec": colour, "lw": 1.5},
    )  # fmt: skip


def _sheet(
    columns: int,
    rows: int,
    top: float = 0.3,
    bottom: float = 0.05,
    left: float = 0.05,
    right: float = 0.05,
    between: float = _GAP,
) -> tuple[Figure, Callable[[int, int], Axes]]:
    """A figure for panels of one size, and a function that makes the axes of one of them."""
    width = left + columns * (_PANEL + _GAP) - _GAP + right
    height = top + rows * _PANEL + (rows - 1) * between + bottom
    figure = Figure(figsize=(width, height), dpi=100)

    def place(column: int, row: int) -> Axes:
        x = left + column * (_PANEL + _GAP)
        y = height - top - row * (_PANEL + between) - _PANEL
        return figure.add_axes((x / width, y / height, _PANEL / width, _PANEL / height))

    return figure, place


def _picture(axes: Axes, picture: Pixels, title: str = "") -> None:
    axes.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=11.5, pad=5)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")


def _bar(figure: Figure, axes: Axes, words: Sequence[str]) -> None:
    """The colours of maps, each on its own scale, at the right of a panel that is there already."""
    box = axes.get_position()
    width = figure.get_size_inches()[0]
    bar = figure.add_axes((box.x1 + 0.1 / width, box.y0, 0.12 / width, box.height))
    figure.colorbar(
        ScalarMappable(Normalize(0, 1), plots.MAGNITUDE),
        cax=bar,
        ticks=np.linspace(0, 1, len(words)),
    )
    bar.set_yticklabels(words, fontsize=10.5)


def _look(model: Any, x: Tensor, square: int = 1) -> Pixels:
    """An input (1, C, H, W) for the eye, in 20 steps a channel, for a smaller file."""
    return plots.steps(model.preprocess.restore(F.avg_pool2d(x, square))[0], 19)


def _heat(attribution: Tensor, square: int = 2) -> Pixels:
    """The positive part of (1, C, H, W), over squares of pixels, in 10 steps: a smaller file."""
    values = plots.relevance(F.avg_pool2d(attribution.clamp(min=0), square)[0])
    colours = matplotlib.colormaps[plots.MAGNITUDE](plots.steps(values, 10))[..., :3]
    return np.asarray(colours, dtype=np.float32)


def _added(sequence: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(sequence[0])
    for phi in sequence:
        total += phi.clamp(min=0)
    return total


def _distilled(x: Tensor, phi: Tensor, n: int, steps: int, extreme: bool) -> Tensor:
    """The distilled input that follows on the local attribution of step n."""
    mask = n / steps * dga.weak_contributor_mask(phi, n / steps)
    if extreme:
        mask = mask + (1 - n / steps) * dga.extreme_positive_contributor_mask(phi, 1 - TOP)
    return mask * x


def _loudest(phi: Tensor) -> Tensor:
    """At most a tenth: of equal features none is loudest, if they are too many."""
    return dga.extreme_positive_contributor_mask(-phi, TOP)


def _shared(now: Tensor, before: Tensor) -> float:
    """Which share of one set is in another."""
    return float((now & before).sum() / now.sum())


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10.5)
