"""Figures of lesson 01: gradients, where they jump, and how far they are from contributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

import dga
from dga import metrics
from dga.lessons import plots
from dga.lessons.plots import Pixels
from dga.methods import METHODS
from dga.zoo.loading import Classifier

PANEL = 2.24  # inches: one pixel of a 224 x 224 photograph is one of the figure
EYE = (52, 38, 56)  # row, column and side of a square around an eye of the cat
_INK, _TANGENT, _FAINT = "#00224e", "#c23b22", "#a5a5a5"


def dust(model: Classifier, x: Tensor, target: int) -> None:
    """The photograph, its gradient, and both around one eye, enlarged.

    Args:
        model: the network.
        x: one picture, (1, 3, 224, 224).
        target: the class.

    Example:
        >>> model, x = dga.load_model("resnet"), torch.rand(1, 3, 224, 224)
        >>> dust(model, x, 0)
        A tabby cat; its gradient, ...
    """
    photo = model.preprocess.restore(x)[0]
    values = dga.gradient(model, x, target)[0].sum(0)
    map_ = _signed(values, _limit(values))
    figure = _sheet(
        [[photo, map_, _cut(photo), _cut(map_)]],
        ["photograph", "gradient", "one eye", "gradient at the eye"],
    )
    for axes in figure.axes[:2]:
        _frame(axes)
    _bar(figure, ("lowers the score", "0", "raises the score"), "making this pixel brighter ...")
    plots.show(
        figure,
        "A tabby cat; its gradient, red and blue specks all over, a little denser on the face; one "
        "eye enlarged; the gradient there, where red and blue pixels lie side by side.",
    )


def folded_sheet(tiny: nn.Sequential, x2: float) -> None:
    """The score over two inputs as a surface, its slope from above, and a walk across the folds.

    Args:
        tiny: see `pencil.two_inputs`.
        x2: where the walk goes, along x1.

    Example:
        >>> from dga.lessons.figures import pencil
        >>> folded_sheet(pencil.two_inputs(), 0.9)
        Left: the score over two inputs, ...
    """
    side = torch.linspace(-0.5, 2, 251, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="xy")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    score = tiny(points).detach().view(251, 251)
    slope = dga.gradient(tiny, points, 0)[:, 0].view(251, 251)
    folds = tiny[0](points).detach().T.reshape(3, 251, 251)

    figure = Figure(figsize=(10, 3.7))
    sheet: Any = figure.add_axes((0.0, 0.03, 0.33, 0.86), projection="3d")
    shade = matplotlib.colormaps[plots.SIGNED]((slope / 7 + 0.5).numpy())
    sheet.plot_surface(x, y, score, facecolors=shade, rcount=126, ccount=126, antialiased=False)
    line = torch.stack([side, torch.full_like(side, x2)], 1)
    along = tiny(line).detach()[:, 0]
    sheet.plot(side, line[:, 1], along + 0.05, color=_INK, lw=2.5, zorder=10)
    sheet.set(xlabel="$x_1$", ylabel="$x_2$", xticks=[0, 1, 2], yticks=[0, 1, 2], zticks=[0, 2, 4])
    sheet.set_zlabel("score", labelpad=-2)
    sheet.tick_params(pad=-1)
    sheet.view_init(elev=38, azim=-118)
    sheet.set_box_aspect((1, 1, 0.8), zoom=0.9)
    figure.text(0.165, 0.915, "the score: a folded sheet", fontsize=11, ha="center")

    above = figure.add_axes((0.41, 0.15, 0.22, 0.72))
    mesh = above.pcolormesh(side, side, slope, cmap=plots.SIGNED, vmin=-3.5, vmax=3.5)
    for unit in folds:  # each ReLU switches where its input is zero
        above.contour(side, side, unit, levels=[0], colors="k", linewidths=0.8)
    above.axhline(x2, color=_INK, lw=2.5)
    above.text(-0.42, x2 + 0.07, "walk", color=_INK, fontsize=10, weight="bold")
    above.set(xlabel="$x_1$", ylabel="$x_2$", xticks=[0, 1, 2], yticks=[0, 1, 2])
    above.set_title("its slope $\\partial f/\\partial x_1$, from above", fontsize=11)
    figure.colorbar(mesh, cax=figure.add_axes((0.64, 0.15, 0.01, 0.72)), ticks=[-3.5, 0, 3.5])

    upper = figure.add_axes((0.75, 0.56, 0.23, 0.31))
    lower = figure.add_axes((0.75, 0.15, 0.23, 0.31), sharex=upper)
    upper.plot(side, along, color=_INK, lw=2)
    lower.step(side, dga.gradient(tiny, line, 0)[:, 0], where="mid", color=_TANGENT, lw=2)
    upper.set_ylabel("score", fontsize=10)
    lower.set_ylabel("slope", fontsize=10)
    lower.set(xlabel="$x_1$, along the walk", ylim=(-0.3, 2.9), yticks=[0, 1, 2])
    upper.set_title("folds above, steps below", fontsize=11)
    upper.tick_params(labelbottom=False)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    plots.show(
        figure,
        "Left: the score over two inputs, a surface of flat facets that meet in folds. Middle: the "
        "same from above, cut by three straight lines into seven regions, each of one colour. "
        "Right: along a walk the score bends at every line, and its slope jumps.",
    )


def neighbours(model: Classifier, x: Tensor, near: Tensor, target: int) -> None:
    """Two photographs that look the same, and the gradient of each at the eye, on one scale.

    Args:
        model: the network.
        x, near: one picture and its neighbour, (1, 3, 224, 224).
        target: the class.

    Example:
        >>> model, x = dga.load_model("resnet"), torch.rand(1, 3, 224, 224)
        >>> neighbours(model, x, x + 0.01, 0)
        The eye of the cat with noise ...
    """
    eye = _cut(model.preprocess.restore(near)[0])
    values = [dga.gradient(model, one, target)[0].sum(0) for one in (x, near)]
    top = _limit(values[0])
    maps = [_cut(_signed(v, top)) for v in (values[0], values[1], values[1] - values[0])]
    moved = float(_cut(values[1] - values[0]).norm() / _cut(values[0]).norm())
    columns = ["the eye + noise", "before", "after", f"after - before: {moved:.2f} of before"]
    figure = _sheet([[eye, *maps]], columns)
    _bar(figure, (f"{-top:.2f}", "0", f"{top:.2f}"), "gradient at the eye, one scale")
    plots.show(
        figure,
        "The eye of the cat with noise that nobody sees; the gradient there before and after the "
        "noise was added; and their difference, in colours a little paler. At the eye its norm is "
        f"{moved:.2f} of that of the gradient before.",
    )


def calmer(maps: Mapping[str, Tensor]) -> None:
    """Maps of the cat, whole and at the eye, each scaled to itself.

    Args:
        maps: by title, (1, 3, 224, 224).

    Example:
        >>> calmer({"gradient": torch.randn(1, 3, 224, 224)})
        1 maps of the cat, ...
    """
    sums = [a[0].sum(0) for a in maps.values()]
    drawn = [_signed(v, _limit(v)) for v in sums]
    figure = _sheet([drawn, [_cut(d) for d in drawn]], list(maps), ["whole", "at the eye"])
    for axes in figure.axes[: len(drawn)]:
        _frame(axes)
    _bar(
        figure, ("lowers the score", "0", "raises the score"),
        "making this pixel brighter ... (each map on its own scale)",
    )  # fmt: skip
    plots.show(
        figure,
        f"{len(maps)} maps of the cat, from the gradient to the mean over most copies, whole and "
        "at one eye. With more copies specks gather at the eye, the bridge of the nose and the "
        "muzzle, in patches of one sign; blue and red stay mixed.",
    )


def contributions(rows: Mapping[str, tuple[Classifier, Tensor, int]], mask: Tensor) -> None:
    """Gradient, Gradient*Input and its top 10 %, of a photograph and of a drawn picture.

    Args:
        rows: label -> network, one picture (1, 3, H, W), class; the drawn picture last.
        mask: bool, (H, W), the object of the drawn picture.

    Example:
        >>> model = dga.load_model("resnet")
        >>> one = model, torch.rand(1, 3, 64, 64), 0
        >>> contributions({"first": one, "second": one}, torch.eye(64).bool())
        Two rows, the cat and a drawn picture ...
    """
    drawn = []
    for model, x, target in rows.values():
        picture = model.preprocess.restore(x)[0]
        g = dga.gradient(model, x, target)
        sums = [g[0].sum(0), (x * g)[0].sum(0)]
        top = metrics.top_pixels(x * g)[0].numpy()[..., None]
        grey = 0.12 + 0.3 * plots.steps(picture.mean(-1, keepdims=True), 12)
        maps = [_signed(v, _limit(v)) for v in sums]
        drawn.append([picture, *maps, np.where(top, picture, grey)])
    figure = _sheet(drawn, ["picture", "gradient", "Gradient*Input", "its top 10 %"], list(rows))
    for axes in figure.axes[-4:]:
        axes.contour(mask, levels=[0.5], colors="#f5d800" if axes is figure.axes[-1] else "k",
                     linewidths=0.8)  # fmt: skip
    _bar(figure, ("negative", "0", "positive"), "each map on its own scale")
    plots.show(
        figure,
        "Two rows, the cat and a drawn picture with its object outlined. Gradient and "
        "Gradient*Input are red and blue specks, denser on the object; the top 10 % of the latter "
        "are scattered dots, many on the face of the cat and on the drawn object, some far off.",
    )


def in_sixes(method: Callable[..., Tensor], model: Classifier, x: Tensor, target: Tensor) -> Tensor:
    """A method on many pictures, six at a time: less memory.

    Args:
        method: (model, inputs, targets) -> attribution.
        model: the network.
        x: (B, C, H, W).
        target: (B,).

    Returns:
        (B, C, H, W).

    Example:
        >>> model, x = nn.Linear(3, 2), torch.rand(7, 3)
        >>> in_sixes(dga.gradient, model, x, torch.zeros(7).long()).shape
        torch.Size([7, 3])
    """
    parts = zip(x.split(6), target.split(6), strict=True)
    return torch.cat([method(model, a, b) for a, b in parts])


def hits(differences: Mapping[str, Tensor], base: str) -> None:
    """Paired differences of the share of the top 10 % on the object, with intervals.

    Args:
        differences: short name of a method -> its share minus that of `base`, (pictures,).
        base: what is subtracted, in words.

    Example:
        >>> hits({"gi": torch.linspace(0.1, 0.3, 20)}, "the gradient")
        Mean differences with 95 % intervals, minus the gradient: Gradient*Input +0.20.
    """
    figure = Figure(figsize=(7.2, 0.8 + 0.6 * len(differences)), layout="constrained")
    axes = figure.subplots()
    for k, (short, values) in enumerate(differences.items()):
        mean, low, high = (v.item() for v in metrics.bootstrap_interval(values))
        colour = plots.COLOURS[short]
        axes.plot([low, high], [k, k], color=colour, lw=3, solid_capstyle="butt")
        axes.plot(mean, k, "o", color=colour, ms=9)
        axes.text(mean, k - 0.16, f"{mean:+.2f}", ha="center", va="bottom", fontsize=11)
    axes.axvline(0, color="0.5", lw=1)
    labels = [METHODS[short].label for short in differences]
    axes.set_yticks(range(len(labels)), labels, fontsize=11)
    axes.set(ylim=(len(labels) - 0.6, -0.7), ylabel="method")
    axes.set_xlabel(f"share of the top 10 % on the object, minus that of {base}", fontsize=11)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    words = "; ".join(
        f"{label} {v.mean():+.2f}" for label, v in zip(labels, differences.values(), strict=True)
    )
    plots.show(figure, f"Mean differences with 95 % intervals, minus {base}: {words}.")


def slope_and_rise(model: Classifier, x: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
    """What Gradient*Input adds up to, and by how much the score rises from grey.

    Args:
        model: the network.
        x: (B, C, H, W).
        target: (B,); None for the predicted classes.

    Returns:
        Both (B,).

    Example:
        >>> linear = nn.Linear(3, 2)
        >>> slope, rise = slope_and_rise(linear, torch.rand(4, 3), torch.tensor([0, 1, 1, 0]))
        >>> torch.allclose(slope, rise, atol=1e-6)
        True
    """
    slopes, rises = [], []
    for k in range(len(x)):  # one at a time: less memory
        one = x[k : k + 1]
        with torch.no_grad():
            score, start = model(torch.cat([one, 0 * one]))
        t = int(score.argmax() if target is None else target[k])
        slopes.append(dga.gradient_times_input(model, one, t).sum())
        rises.append(score[t] - start[t])
    return torch.stack(slopes), torch.stack(rises)


def too_little_too_much(sets: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Two cartoons of a climb with its last slope, and slope against rise of real pictures.

    Args:
        sets: label -> sum of Gradient*Input, and rise of the score from grey, (pictures,) each.

    Example:
        >>> points = torch.rand(5), torch.rand(5)
        >>> too_little_too_much({"drawn": points, "photographs": points})
        Left: a curve that climbs and levels off; ...
    """
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    early, late, real = figure.subplots(1, 3)
    t = np.linspace(0, 1, 201)
    for axes, f, title in (
        (early, np.tanh(3.2 * t) / np.tanh(3.2), "levels off: too little"),
        (late, t**4, "climbs late: too much"),
    ):
        _climb(axes, t, f, (f[-1] - f[-2]) / (t[-1] - t[-2]), title)
    widest = 1.1 * max(float(rise.max()) for _, rise in sets.values())
    real.plot([0, widest], [0, widest], color="0.6", lw=1)
    real.axhline(0, color="0.8", lw=0.8)
    for (label, (slope, rise)), colour, marker in zip(
        sets.items(), (plots.COLOURS["gi"], _INK), "os", strict=True
    ):
        real.plot(rise, slope, marker, color=colour, ms=5, mec="white", mew=0.5, label=label)
    real.set_title(f"{sum(len(rise) for _, rise in sets.values())} pictures", fontsize=11)
    real.set_xlabel("rise of the score, from grey", fontsize=10)
    real.set_ylabel("sum of Gradient*Input", fontsize=10)
    real.set(xlim=(0, widest))
    real.text(0.05, 0.75, "too much", transform=real.transAxes, color=_TANGENT, fontsize=10)
    real.text(0.98, 0.2, "too little", transform=real.transAxes, color=_TANGENT, fontsize=10,
              ha="right")  # fmt: skip
    real.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2,
                frameon=False, handletextpad=0.1)  # fmt: skip
    real.spines[["top", "right"]].set_visible(False)
    plots.show(
        figure,
        "Left: a curve that climbs and levels off; its tangent at the end is nearly flat. Middle: "
        "a curve that climbs late; its tangent falls far below the start. Right: the sum of "
        "Gradient*Input against the rise of the score. Drawn pictures scatter on both sides of "
        "the diagonal, photographs lie near zero.",
    )


def _climb(axes: Axes, t: np.ndarray, f: np.ndarray, slope: float, title: str) -> None:
    """A score over the contrast, its tangent at the end, and what each says of the climb."""
    axes.plot(t, f, color=_INK, lw=2.5)
    axes.plot([0, 1], [f[-1] - slope, f[-1]], color=_TANGENT, lw=2, ls="--")
    for at, low, colour, words in (
        (1.08, f[0], _INK, "rise"), (1.34, f[-1] - slope, _TANGENT, "slope\nsays"),
    ):  # fmt: skip
        arrow = {"arrowstyle": "<->", "color": colour, "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (at, low), (at, f[-1]), arrowprops=arrow, annotation_clip=False)
        axes.text(at, f[-1] + 0.1, words, color=colour, fontsize=10, ha="center")
    axes.set_title(title, fontsize=11, pad=14)
    axes.set_xlabel("contrast of the picture", fontsize=10)
    axes.set_ylabel("score", fontsize=10)
    axes.set(yticks=[0, 1], xlim=(-0.03, 1.5), ylim=(min(-0.2, f[-1] - slope - 0.2), 1.6))
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.spines[["top", "right"]].set_visible(False)


def promises(model: Classifier, x: Tensor, promised: Tensor, fell: Tensor) -> None:
    """What the gradient promises of every patch, and what its removal does.

    Args:
        model: the network.
        x: one picture, (1, 3, 224, 224).
        promised, fell: by patch, (7, 7).

    Example:
        >>> model, x = dga.load_model("resnet"), torch.rand(1, 3, 224, 224)
        >>> promises(model, x, torch.randn(7, 7), torch.randn(7, 7))
        A 7 by 7 grid of patches of the cat, ...
    """
    limit = float(torch.cat([promised, fell]).abs().max())
    photo = model.preprocess.restore(x)[0]
    size = len(photo) // len(fell)
    shown = []
    for values in (promised, fell):
        patches = np.kron(_signed(values, limit), np.ones((size, size, 1)))
        shown.append(0.3 * plots.steps(photo.mean(-1, keepdims=True), 12) + 0.7 * patches)
    figure = _sheet([shown], ["promised: sum of x * g", "measured"])
    w, h = figure.get_size_inches()
    left = w + 0.75
    figure.set_size_inches(left + 2.3, h)
    for axes in figure.axes:
        box = axes.get_position(original=True)
        share = w / (left + 2.3)
        axes.set_position((box.x0 * share, box.y0, box.width * share, box.height))
    axes = figure.add_axes((left / (left + 2.3), 0.2, 2.2 / (left + 2.3), 0.68))
    axes.axhline(0, color="0.8", lw=0.8)
    axes.axvline(0, color="0.8", lw=0.8)
    axes.plot([-limit, limit], [-limit, limit], color="0.6", lw=1)
    axes.plot(promised.flatten(), fell.flatten(), "o", color=plots.COLOURS["gi"], ms=5)
    axes.set(xlim=(-1.1 * limit, 1.1 * limit), ylim=(-1.1 * limit, 1.1 * limit))
    axes.set_xlabel("promised", fontsize=10)
    axes.set_ylabel("measured", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    _bar(figure, (f"{-limit:.1f}", "0", f"{limit:.1f}"), "fall of the score", 0.35)
    plots.show(
        figure,
        "A 7 by 7 grid of patches of the cat, coloured by the fall that Gradient*Input promises, "
        "and by the fall that painting the patch grey causes; and one against the other: 49 dots, "
        "widely scattered round the diagonal, in all four quadrants.",
    )


def _limit(values: Tensor) -> float:
    """The size that is drawn in full colour; few pixels are above it."""
    return float(np.percentile(values.abs().numpy(), plots.PERCENTILE))


def _signed(values: Tensor, limit: float) -> Pixels:
    """Channel sums (H, W) as blue-white-red, from -limit to limit."""
    levels = 6  # of each sign: dust of few colours makes a small file
    shade = np.rint(levels * (values / limit).clamp(-1, 1).numpy()) / levels / 2 + 0.5
    return matplotlib.colormaps[plots.SIGNED](shade)[..., :3].astype(np.float32)


def _cut(picture: Any) -> Any:
    row, column, side = EYE
    return picture[row : row + side, column : column + side]


def _frame(axes: Axes) -> None:
    row, column, side = EYE
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, ec="#f5d800", lw=2))


def _sheet(
    rows: Sequence[Sequence[Pixels]], columns: Sequence[str], labels: Sequence[str] = ()
) -> Figure:
    """`plots.grid` with room for a colour bar below."""
    figure = plots.grid(rows, columns=columns, labels=labels, panel=PANEL)
    (w, h), room = figure.get_size_inches(), 0.72
    figure.set_size_inches(w, h + room)
    for axes in figure.axes:
        box = axes.get_position(original=True)  # before the aspect is applied
        axes.set_position(
            (box.x0, (box.y0 * h + room) / (h + room), box.width, box.height * h / (h + room))
        )
    return figure


def _bar(figure: Figure, words: tuple[str, str, str], label: str, middle: float = 0.5) -> None:
    """Blue-white-red, along the bottom."""
    w, h = figure.get_size_inches()
    axes = figure.add_axes((middle - 1.6 / w, 0.34 / h, 3.2 / w, 0.12 / h))
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), plots.SIGNED), cax=axes, orientation="horizontal"
    )
    bar.set_ticks([-1, 0, 1], labels=words, fontsize=10)
    bar.ax.tick_params(length=2, pad=2)
    axes.set_title(label, fontsize=10, pad=3)
