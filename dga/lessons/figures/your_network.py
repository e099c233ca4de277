"""Figures of lesson 10: what fails and what helps, questions about a class, patches, Grad-CAM."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import dga
from dga import metrics
from dga.full_gradient import uniform_share
from dga.lessons import plots

_RED, _GREEN = "#c23b22", "#2a6b3f"
Half = tuple[Tensor, str]  # a map (C, H, W), and its number in words


def gallery() -> None:
    """Six failures on drawn pictures: the picture, the map that fails, and one that helps.

    Example:
        >>> gallery()  # doctest: +ELLIPSIS
        Six failures, ...
    """
    rows = [_blind(), _blob(), _any_class(), _small_object(), _smooth(), _noise()]
    gc.collect()
    figure = Figure(figsize=(10.2, 6.9), dpi=100)
    wide, high = figure.get_size_inches()
    said = []
    for k, (title, picture, fails, helps) in enumerate(rows):
        left, top = 0.08 + 5.1 * (k % 2), high - 0.1 - 2.28 * (k // 2)
        figure.text(left / wide, (top - 0.02) / high, title, fontsize=11.5, weight="bold",
                    va="top")  # fmt: skip
        panels: Sequence[tuple[plots.Pixels, str, str]] = (
            (picture, "", "black"),
            (_map(fails[0]), fails[1], _RED),
            (_map(helps[0]), helps[1], _GREEN),
        )
        for c, (shown, words, colour) in enumerate(panels):
            box = ((left + 1.62 * c) / wide, (top - 1.78) / high, 1.5 / wide, 1.5 / high)
            axes = figure.add_axes(box)
            axes.imshow(shown, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color=colour if c else "0.8", linewidth=2 if c else 1)
            figure.text((left + 1.62 * c) / wide, (top - 1.82) / high, words, fontsize=10,
                        va="top", color=colour)  # fmt: skip
        said.append(f"{title}: {fails[1]}; {helps[1]}")
    plots.show(
        figure,
        "Six failures, each a picture, a map that fails and one that helps. " + ". ".join(said),
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
    """Maps of a transformer, and the tile that repeats in all its patches.

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
    row, columns = [model.preprocess.restore(x[:1])[0]], ["picture"]
    for name, a in maps.items():
        sums = a.abs().sum(1)
        height, width = (n // side for n in sums.shape[1:])
        tile = sums.view(len(a), height, side, width, side).mean((0, 1, 3))
        row += [_map(a[0]), _map(tile.repeat(height, width)[None])]
        columns += [name, f"{name}: mean patch"]
    plots.show(
        plots.grid([row], columns=columns, panel=1.75, bar="magnitude"),
        "A drawn scene, and for each of the methods its map and the mean of all patches, repeated "
        "like wallpaper: the maps of the transformer show the same pattern.",
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


def _pictures(name: str, count: int, network: str) -> tuple[Any, Tensor, Any]:
    """A network in float64, for single maps; pictures as its inputs, and with their masks."""
    model, drawn = dga.load_model(network).double(), dga.load_images(name, count)
    return model, model.preprocess(drawn.images).double(), drawn


def _blind() -> tuple[str, plots.Pixels, Half, Half]:
    model, x, drawn = _pictures("figures", 1, "resnet")
    white = model.preprocess(0 * drawn.images + 255).double()
    black = model.preprocess(0 * drawn.images).double()
    bright = torch.from_numpy(drawn.images > 215).all(-1) & drawn.masks

    def on_bright(a: Tensor) -> float:
        return float((a.sum(1).abs() * bright).sum() / a.sum(1).abs().sum())

    one = dga.integrated_gradients(model, x, baseline=white)
    two = (one + dga.integrated_gradients(model, x, baseline=black)) / 2
    return (
        "A baseline hides its own colour", model.preprocess.restore(x)[0],
        (one[0].abs(), f"IG from white: white\nparts get {on_bright(one):.0%}"),
        (two[0].abs(), f"mean with black:\n{on_bright(two):.0%}"),
    )  # fmt: skip


def _blob() -> tuple[str, plots.Pixels, Half, Half]:
    model, x, drawn = _pictures("watermark", 1, "clever-hans")
    full, ig = dga.fullgrad(model, x, 9), dga.integrated_gradients(model, x, 9)
    shares = [float(metrics.energy_inside(a, drawn.watermarks)) for a in (full, ig)]
    return (
        "A blob covers the shortcut", model.preprocess.restore(x)[0],
        (full[0], f"FullGrad: on the\nwatermark {shares[0]:.0%}"), (ig[0], f"IG: {shares[1]:.0%}"),
    )  # fmt: skip


def _any_class() -> tuple[str, plots.Pixels, Half, Half]:
    model, x, _ = _pictures("figures", 4, "vgg")
    car = x[3:4]
    maps = {f: [f(model, car, k) for k in (8, 7)]
            for f in (dga.guided_backprop, dga.integrated_gradients)}  # fmt: skip
    (guided, ig), (same, other) = zip(
        *((a[1], float(metrics.rank_correlation(*a))) for a in maps.values()), strict=True
    )
    return (
        "The same map for any class", model.preprocess.restore(car)[0],
        (guided[0], f"Guided B.: why cat?\nLike car: {same:.2f}"),
        (ig[0], f"IG: why cat?\nLike car: {other:.2f}"),
    )  # fmt: skip


def _small_object() -> tuple[str, plots.Pixels, Half, Half]:
    model, x, drawn = _pictures("small", 1, "resnet")
    maps = dga.distilled_gradient_aggregation(model, x), dga.integrated_gradients(model, x)
    shares = [float(metrics.energy_inside(a, drawn.masks)) for a in maps]
    return (
        "DGA spreads around a small object", model.preprocess.restore(x)[0],
        (maps[0][0], f"DGA: on the\nobject {shares[0]:.0%}"), (maps[1][0], f"IG: {shares[1]:.0%}"),
    )  # fmt: skip


def _smooth() -> tuple[str, plots.Pixels, Half, Half]:
    model, x, drawn = _pictures("figures", 1, "smooth")
    maps = dga.distilled_gradient_aggregation(model, x), dga.integrated_gradients(model, x)
    shares = [float(metrics.energy_inside(a, drawn.masks)) for a in maps]
    even = float(uniform_share(model, x))
    return (
        f"A smooth network: uniform share {even:.2f}", model.preprocess.restore(x)[0],
        (maps[0][0], f"DGA: on the cat\n{shares[0]:.0%}"), (maps[1][0], f"IG: {shares[1]:.0%}"),
    )  # fmt: skip


def _noise() -> tuple[str, plots.Pixels, Half, Half]:
    model, x, _ = _pictures("figures", 1, "resnet")
    generator = torch.Generator().manual_seed(0)

    def noisy(count: int) -> Tensor:
        z = 0.01 * torch.randn((count, *x.shape[1:]), generator=generator, dtype=x.dtype)
        return dga.distilled_gradient_aggregation(model, x + z, 0).mean(0)

    def moved(a: Tensor, b: Tensor) -> float:
        return float((a - b).norm() / b.norm())

    once, again, many, others = noisy(1), noisy(1), noisy(5), noisy(5)
    return (
        "Invisible noise moves a DGA map", model.preprocess.restore(x)[0],
        (once, f"two noisy copies\ndiffer by {moved(once, again):.0%}"),
        (many, f"means of five:\n{moved(many, others):.0%}"),
    )  # fmt: skip


def _map(attribution: Tensor) -> plots.Pixels:
    return plots.heatmap(attribution)
