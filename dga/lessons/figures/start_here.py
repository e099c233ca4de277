"""Figures of lesson 00: a photograph, its heatmaps, and two ways to check them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dga import metrics
from dga.lessons import plots
from dga.lessons.plots import Pixels
from dga.methods import METHODS
from dga.zoo.loading import Classifier

PANEL = 2.2  # inches
_INK, _GREY = "#00224e", "#7f7f7f"
_COLOURS = {METHODS[name].label: METHODS[name].colour for name in METHODS} | {"random order": _GREY}


def photograph(model: Classifier, x: Tensor) -> None:
    """The picture that a network sees, beside the five classes it finds most probable.

    Args:
        model: with `classes` and `preprocess`.
        x: (1, C, H, W).

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> photograph(model, model.preprocess(dga.load_images("figures", 1).images))
        A photograph, and the five most probable classes: cat 1.00, ...
    """
    with torch.no_grad():
        top = model(x)[0].softmax(0).topk(5)
    names = [model.classes[k] for k in top.indices.tolist()]
    figure = Figure(figsize=(6.0, 2.5), dpi=100)
    picture = figure.add_axes((0.01, 0.03, 0.42, 0.94))
    picture.imshow(model.preprocess.restore(x)[0])
    picture.set_axis_off()
    axes = figure.add_axes((0.66, 0.2, 0.3, 0.68))
    axes.barh(range(5), top.values.tolist(), color=_INK)
    axes.set_yticks(range(5), names, fontsize=11)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="probability")
    axes.set_title("what the network says", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    said = ", ".join(f"{name} {p:.2f}" for name, p in zip(names, top.values.tolist(), strict=True))
    plots.show(figure, f"A photograph, and the five most probable classes: {said}.")


def explanation(picture: Pixels, attribution: Tensor, said: str) -> None:
    """A picture, its DGA heatmap, and its relevant parts.

    Args:
        picture: (H, W, 3) in 0..1.
        attribution: (C, H, W).
        said: the class that is explained.

    Example:
        >>> explanation(torch.zeros(8, 8, 3).numpy(), torch.rand(3, 8, 8), "tabby")
        Left the picture, in the middle its DGA heatmap for the class tabby, ...
    """
    shown = plots.steps(picture, 63), plots.steps(plots.overlay(picture, attribution), 63)
    row = [shown[0], plots.heatmap(attribution), shown[1]]
    columns = ["the picture", f"DGA: why {said}?", "its relevant parts"]
    figure = plots.grid([row], columns=columns, panel=2.2, bar="magnitude")
    plots.show(
        figure,
        f"Left the picture, in the middle its DGA heatmap for the class {said}, bright where "
        "pixels speak for it, right the picture in colour where the heatmap is bright, and dark "
        "elsewhere.",
    )


def methods(picture: Pixels, maps: Mapping[str, Tensor]) -> None:
    """Heatmaps of several methods side by side.

    Args:
        picture: (H, W, 3) in 0..1.
        maps: label -> attribution (1, C, H, W).

    Example:
        >>> methods(torch.zeros(8, 8, 3).numpy(), {"DGA": torch.rand(1, 3, 8, 8)})
        Heatmaps of the photograph by DGA: ...
    """
    row = [plots.heatmap(a[0]) for a in maps.values()]
    figure = plots.grid([row], columns=list(maps), panel=PANEL, bar="magnitude")
    names = ", ".join(maps)
    plots.show(figure, f"Heatmaps of the photograph by {names}: they differ in where and how "
                       "widely they are bright.")  # fmt: skip


def curves(model: Classifier, x: Tensor, maps: Mapping[str, Tensor]) -> None:
    """MoRF and LeRF of one picture: how fast the probability falls, and how long it holds.

    Args:
        model: see `photograph`.
        x: (1, C, H, W).
        maps: label -> attribution (1, C, H, W).

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> curves(model, x, {"random order": torch.rand(x.shape)})
        Two panels of curves, ...
    """
    shares = metrics.SHARES
    figure = Figure(figsize=(9.8, 3.6), dpi=100)
    titles = {
        "morf": "MoRF, most relevant first: lower is better",
        "lerf": "LeRF, least relevant first: higher is better",
    }
    for k, (order, title) in enumerate(titles.items()):
        axes = figure.add_subplot(1, 2, k + 1)
        for name, heat in maps.items():
            curve = metrics.pixel_perturbation(model, x, heat, None, order)[0]  # type: ignore[arg-type]
            axes.plot([100 * s for s in shares], curve, color=_COLOURS[name], lw=2.5, label=name)
        axes.set(xlabel="% of the pixels painted grey", ylabel="probability of the class")
        axes.set_title(title, fontsize=12)
        axes.set_ylim(-0.02, 1.02)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=10)
    figure.tight_layout(w_pad=3)
    plots.show(
        figure,
        "Two panels of curves, the probability of the class against the share of pixels painted "
        f"grey, for {', '.join(maps)}. Left, most relevant pixels first: the lower the better. "
        "Right, least relevant first: the higher the better.",
    )


def removed(model: Classifier, x: Tensor, attribution: Tensor, top: float, kept: float) -> None:
    """The picture, without its most relevant pixels, and with nothing but them.

    Each with the class that is then most probable; in the middle with the picture's own as well.

    Args:
        model: see `photograph`.
        x, attribution: (1, C, H, W).
        top: share of the pixels that the second panel lacks.
        kept: share of the pixels that the third panel keeps.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> removed(model, x, torch.rand(x.shape), 0.1, 0.3)
        all pixels: cat (100%); without the top 10%: ...
    """
    grey = torch.zeros_like(x)  # 0 is the mean colour
    gone = metrics.top_pixels(attribution, top)[:, None]
    stays = metrics.top_pixels(attribution, kept)[:, None]
    seen = torch.cat([x, torch.where(gone, grey, x), torch.where(stays, x, grey)])
    with torch.no_grad():
        p = model(seen).softmax(1)
    asked = int(p[0].argmax())
    said = [_sure(model, row, row.argmax()) for row in p]
    if p[1].argmax() != asked:
        said[1] += f", {_sure(model, p[1], asked)}"
    titles = ["all pixels", f"without the top {top:.0%}", f"only the top {kept:.0%}"]
    columns = [f"{title}:\n{name}" for title, name in zip(titles, said, strict=True)]
    figure = _titled(list(model.preprocess.restore(seen)), columns)
    plots.show(figure, "; ".join(column.replace("\n", " ") for column in columns) + ".")


def _sure(model: Classifier, p: Tensor, k: int | Tensor) -> str:
    return f"{model.classes[int(k)]} ({p[k]:.0%})"


def two_networks(picture: Pixels, maps: Mapping[str, Tensor]) -> None:
    """One picture, explained for two networks.

    Args:
        picture: (H, W, 3) in 0..1.
        maps: question -> attribution (C, H, W).

    Example:
        >>> two_networks(torch.zeros(8, 8, 3).numpy(), {"why cat?": torch.rand(3, 8, 8)})
        A drawn cat on a meadow. ...
    """
    questions(
        picture,
        maps,
        "A drawn cat on a meadow. The heatmap of the network that names objects is bright on its "
        "face; that of the network that names scenes is bright around the cat, mostly on the sky.",
    )


def questions(picture: Pixels, maps: Mapping[str, Tensor], alt: str) -> None:
    """One picture beside its heatmaps.

    Args:
        picture: (H, W, 3) in 0..1.
        maps: question -> attribution (C, H, W).
        alt: what the figure shows.

    Example:
        >>> questions(torch.zeros(8, 8, 3).numpy(), {"why cat?": torch.rand(3, 8, 8)}, "A map.")
        A map.
    """
    row = [picture, *(plots.heatmap(a) for a in maps.values())]
    figure = plots.grid([row], columns=["picture", *maps], panel=PANEL, bar="magnitude")
    plots.show(figure, alt)


def alone(picture: Pixels, title: str) -> None:
    """One picture under its title.

    Args:
        picture: (H, W, 3) in 0..1.
        title: what it shows.

    Example:
        >>> alone(torch.zeros(8, 8, 3).numpy(), "nothing")
        A picture: nothing.
    """
    plots.show(_titled([picture], [title]), f"A picture: {title}.")


def _titled(pictures: Sequence[Pixels], titles: Sequence[str]) -> Figure:
    """A row of pictures under titles of up to two lines."""
    figure = Figure(figsize=(2.22 * len(pictures), 2.73), dpi=100)
    for k, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        axes = figure.add_axes((k / len(pictures) + 0.005, 0.01, 1 / len(pictures) - 0.01, 0.82))
        axes.imshow(plots.steps(picture, 63), vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(title, fontsize=11)
    return figure
