"""Figures of lesson 10: what fails and what helps, questions about a class, patches, Grad-CAM."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import dga
from dga import metrics
from dga.lessons import plots
from dga.metrics import bootstrap_interval
from dga.significance import holm_intervals

_RED, _GREEN = "#c23b22", "#2a6b3f"


def gallery(count: int = 12) -> None:
    """One failure for each method: the map that fails, one that helps, and means over a set.

    Args:
        count: of pictures in a set.

    Example:
        >>> gallery(2)  # doctest: +ELLIPSIS
        Four failures, ...
    """
    cases = [case(count) for case in (_blind, _blob, _any_class, _small_object)]
    found = [bootstrap_interval(case.helps - case.fails) for case in cases]
    intervals = holm_intervals([(float(m), float(low), float(high)) for m, low, high in found])
    gc.collect()
    figure = Figure(figsize=(10.9, 8.1), dpi=100)
    wide, high = figure.get_size_inches()
    said = []
    for k, (case, difference) in enumerate(zip(cases, intervals, strict=True)):
        top = high - 0.1 - 2.0 * k
        figure.text(0.08 / wide, top / high, case.title, fontsize=12, weight="bold", va="top")
        says = [
            f"{verb}: {name}, {case.words(float(values[0]))}"
            for verb, name, values in zip(
                ("fails", "helps"), case.names, (case.fails, case.helps), strict=True
            )
        ]
        left = 0.08
        for shown, words, colour in (
            ([case.picture], "the picture", "black"),
            ([_map(a) for a in case.maps[0]], says[0], _RED),
            ([_map(a) for a in case.maps[1]], says[1], _GREEN),
        ):
            figure.text(left / wide, (top - 1.66) / high, words, fontsize=10.5, va="top",
                        color=colour)  # fmt: skip
            for c, pixels in enumerate(shown):
                place = ((left + 1.36 * c) / wide, (top - 1.62) / high, 1.32 / wide, 1.32 / high)
                axes = figure.add_axes(place)
                axes.imshow(pixels, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(color=colour, linewidth=0.8 if colour == "black" else 2)
            left += 1.48 if colour == "black" else max(2.3, 1.36 * len(shown) + 0.12)
        box = (8.35 / wide, (top - 1.3) / high, 2.4 / wide, 0.85 / high)
        said.append(_means(figure.add_axes(box), case, difference))
    plots.show(
        figure,
        "Four failures, each a picture, a map that fails, one that helps, and their means over "
        f"{count} pictures. " + " ".join(said),
    )


def _means(axes: Axes, case: _Case, difference: Sequence[float]) -> str:
    """Means of both halves over the set, and their paired difference in the title."""
    mean, low, high = difference
    halves = [float(values.mean()) for values in (case.fails, case.helps)]
    for y, (value, colour) in enumerate(zip(halves, (_RED, _GREEN), strict=True)):
        axes.barh(y, value, color=colour, height=0.6)
        axes.text(max(value, 0) + 0.02, y, case.words(value), va="center", fontsize=10.5)
    axes.axvline(0, color="black", lw=1)
    axes.set(xlim=(min(0, *halves) * 1.1, 1.15), ylim=(1.6, -0.6), xticks=[])
    axes.set_yticks([0, 1], case.names, fontsize=10)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(f"{case.measure},\nmean of {len(case.fails)} pictures", fontsize=10.5)
    signs = f"difference {mean:+.2f} [{low:+.2f}, {high:+.2f}]"
    axes.set_xlabel(signs, fontsize=10.5)
    return (
        f"{case.title} ({case.measure}): {case.names[0]} {halves[0]:.2f}, "
        f"{case.names[1]} {halves[1]:.2f}."
    )


def two_questions(model: Any, x: Tensor, a: int, b: int, difference: Tensor) -> None:
    """A picture, DGA for two classes, and a signed map of their difference.

    Args:
        model: the network.
        x: a picture, (1, C, H, W).
        a, b: classes.
        difference: signed map of a rather than b, (C, H, W).

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("two", 1).images)
        >>> two_questions(model, x, 7, 8, x[0])  # doctest: +ELLIPSIS
        A picture of two objects; ...
    """
    gc.collect()  # engines wait in cycles; a lesson has 700 MB
    names = [model.classes[k] for k in (a, b)]
    maps = [dga.distilled_gradient_aggregation(model, x, k)[0] for k in (a, b)]
    row = [model.preprocess.restore(x)[0], *map(_map, maps)]
    row.append(plots.heatmap(difference, signed=True))
    columns = ["picture", *(f"DGA: why {n}?" for n in names), f"IG: {names[0]} or {names[1]}?"]
    plots.show(
        plots.grid([row], columns=columns, bar="signed"),
        f"A picture of two objects; DGA maps for {names[0]} and {names[1]}, each bright on both "
        f"objects; Integrated Gradients of the difference, red on the one, blue on the other.",
    )


def patches(model: Any, x: Tensor, maps: Mapping[str, Tensor], side: int = 8) -> None:
    """Maps of a transformer, and the tile that repeats in all its patches, on one scale.

    The share in a title is that of the variance over pixels which the place in a patch explains.

    Args:
        model: the network.
        x: pictures, (B, C, H, W).
        maps: name -> attribution of all pictures; the first picture is shown.
        side: of a patch, in pixels.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 2).images)
        >>> patches(model, x, {"gradient": dga.gradient(model, x)})  # doctest: +ELLIPSIS
        A drawn scene, ...
    """
    gc.collect()
    row, columns, said = [model.preprocess.restore(x[:1])[0]], ["picture"], []
    for name, a in maps.items():
        positive = a.sum(1).clamp(min=0)
        positive = positive / positive.mean((1, 2), keepdim=True)
        height, width = (n // side for n in positive.shape[1:])
        tile = positive.view(len(a), height, side, width, side).mean((0, 1, 3))
        explained = f"{float(tile.var(correction=0) / positive.var(correction=0)):.0%}"
        top = positive[0].quantile(plots.PERCENTILE / 100)
        for values in (positive[0], tile.repeat(height, width)):
            row.append(plots.colours((values / top).clamp(max=1).numpy()))
        columns += [name, f"mean patch: {explained}"]
        said.append(f"{name} {explained}")
    chance = f"{(side**2 - 1) / (positive.numel() - 1):.1%}"  # of values in any order
    columns[-1] += f" (chance {chance})"
    plots.show(
        plots.grid(
            [row], columns=columns, panel=1.75, bar="magnitude", scale="each method\non its scale"
        ),
        "A drawn scene, and for each of the methods its map and the mean of all patches, repeated "
        "like wallpaper, on one scale. Of the variance over pixels the place in a patch explains: "
        f"{', '.join(said)}, and {chance} by chance.",
    )


def side_by_side(
    model: Any, photographs: Sequence[Tensor], methods: Mapping[str, Callable[..., Tensor]]
) -> None:
    """Photographs and their maps by several methods, for the class that the network names.

    Args:
        model: the network.
        photographs: (1, C, H, W) each.
        methods: name -> function.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> side_by_side(model, [x], {"gradient": dga.gradient})
        One row for each photograph, the picture and its maps by gradient.
    """
    rows = []
    for x in photographs:
        row = [model.preprocess.restore(x)[0]]
        for method in methods.values():
            gc.collect()
            heat = torch.nn.functional.avg_pool2d(method(model, x).clamp(min=0), 2)
            row.append(_map(heat[0]).repeat(2, 0).repeat(2, 1))
        rows.append(row)
    plots.show(
        plots.grid(rows, columns=["picture", *methods], panel=2.25, bar="magnitude"),
        f"One row for each photograph, the picture and its maps by {', '.join(methods)}.",
    )


# -------------------------------------------------------------------------------------- failures


@dataclass(frozen=True)
class _Case:
    """A failure: one picture with both maps, and both numbers for each picture of a set."""

    title: str
    measure: str
    names: tuple[str, str]
    picture: plots.Pixels
    maps: tuple[Sequence[Tensor], Sequence[Tensor]]  # of the first picture: fails, helps
    fails: Tensor  # (pictures,)
    helps: Tensor
    percent: bool = True

    def words(self, value: float) -> str:
        return f"{value:.0%}" if self.percent else f"{value:.2f}"


_ig = partial(dga.integrated_gradients, steps=11)  # eleven passes each are enough for means
_dga = partial(dga.distilled_gradient_aggregation, steps=10)


def _few(method: Callable[..., Tensor], model: Any, x: Tensor, *more: Any) -> Tensor:
    """A method for a few pictures at a time, which spares memory."""
    return torch.cat([method(model, part, *more) for part in x.split(4)])


def _pictures(name: str, count: int, network: str) -> tuple[Any, Tensor, Any]:
    """A network; pictures as its inputs, and with their masks."""
    model, drawn = dga.load_model(network), dga.load_images(name, count)
    return model, model.preprocess(drawn.images), drawn


def _blind(count: int) -> _Case:
    model, x, drawn = _pictures("test", 3 * count, "resnet")
    bright = torch.from_numpy(drawn.images > 215).all(-1) & drawn.masks
    some = (bright.sum((1, 2)) >= 20).nonzero()[:count, 0]  # objects with white parts
    x, bright = x[some], bright[some]
    white, black = (model.preprocess(0 * drawn.images[:1] + grey) for grey in (255, 0))

    def from_baseline(baseline: Tensor) -> Tensor:
        def method(network: Any, part: Tensor) -> Tensor:
            return _ig(network, part, baseline=baseline.expand_as(part).contiguous())

        return _few(method, model, x)

    one, other = from_baseline(white), from_baseline(black)
    maps = one, (one + other) / 2
    fails, helps = (
        (a.sum(1).abs() * bright).sum((1, 2)) / a.sum(1).abs().sum((1, 2)) for a in maps
    )
    return _Case(
        "IG: a baseline hides its own colour", "magnitude on white parts",
        ("from white", "white and black"), model.preprocess.restore(x[:1])[0],
        ([one[0].abs()], [maps[1][0].abs()]), fails, helps,
    )  # fmt: skip


def _blob(count: int) -> _Case:
    model, x, drawn = _pictures("watermark", count, "clever-hans")
    maps = [_few(f, model, x, 9) for f in (dga.fullgrad, _ig)]
    fails, helps = (metrics.energy_inside(a, drawn.watermarks) for a in maps)
    return _Case(
        "FullGrad: a blob covers the shortcut", "energy on the watermark", ("FullGrad", "IG"),
        model.preprocess.restore(x[:1])[0], (list(maps[0][:1]), list(maps[1][:1])), fails, helps,
    )  # fmt: skip


def _any_class(count: int) -> _Case:
    model, x, drawn = _pictures("test", count, "vgg")
    other = (drawn.labels + 1) % 10
    maps, likeness = [], []
    for method in (dga.guided_backprop, _ig):
        own, wrong = (
            torch.cat([
                method(model, part, k)
                for part, k in zip(x.split(4), labels.split(4), strict=True)
            ])
            for labels in (drawn.labels, other)
        )  # fmt: skip
        maps.append((own[0], wrong[0]))
        likeness.append(metrics.rank_correlation(own.abs(), wrong.abs()))
    return _Case(
        f"Guided Backprop on vgg: nearly the same map for {model.classes[int(drawn.labels[0])]} "
        f"and for {model.classes[int(other[0])]}",
        "rank correlation of both maps", ("Guided BP", "IG"),
        model.preprocess.restore(x[:1])[0], (maps[0], maps[1]), likeness[0], likeness[1],
        percent=False,
    )  # fmt: skip


def _small_object(count: int) -> _Case:
    model, x, drawn = _pictures("small", count, "resnet")
    maps = [_few(f, model, x) for f in (_dga, _ig)]
    fails, helps = (metrics.energy_inside(a, drawn.masks) for a in maps)
    return _Case(
        "DGA: it spreads around a small object", "energy on the object", ("DGA", "IG"),
        model.preprocess.restore(x[:1])[0], (list(maps[0][:1]), list(maps[1][:1])), fails, helps,
    )  # fmt: skip


def _map(attribution: Tensor) -> plots.Pixels:
    return plots.heatmap(attribution)
