"""Pictures of attributions: colours, overlays, figures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

from dga.controls import CONTROLS
from dga.methods import METHODS

Pixels = NDArray[np.float32]
MAGNITUDE, SIGNED = "cividis", "bwr"  # bwr: blue - white - red
# Each attribution is scaled to this percentile of its sizes, so that a few pixels do not blacken
# the rest.
PERCENTILE = 99.0
PANEL = 2.2  # inches
OWN_SCALE = "each map on\nits own scale"  # beside a colour bar
# One colour a method in every figure.
COLOURS = {"random": "#7f7f7f", **{name: method.colour for name, method in METHODS.items()}}
LABELS = {name: method.label for name, method in {**METHODS, **CONTROLS}.items()}
LABELS["gradcam"] = "Grad-CAM"


def relevance(attribution: Tensor, *, signed: bool = False) -> Pixels:
    """One number per pixel, for the eye: the channel sum, scaled.

    Args:
        attribution: (C, H, W) or (B, C, H, W).
        signed: keep negative values, else only the positive part is shown.

    Returns:
        (H, W) or (B, H, W), 0..1, or -1..1 if signed.

    Example:
        >>> import torch
        >>> attribution = torch.tensor([[[1.0, -2.0]], [[1.0, -2.0]], [[2.0, 0.0]]])  # (3, 1, 2)
        >>> relevance(attribution).tolist()
        [[1.0, 0.0]]
        >>> relevance(attribution, signed=True).tolist()
        [[1.0, -1.0]]
    """
    values = attribution.detach().cpu().float().numpy().sum(-3)
    if not signed:
        values = values.clip(0)
    top = np.percentile(np.abs(values), PERCENTILE, axis=(-2, -1), keepdims=True)
    top = np.where(top > 0, top, np.abs(values).max((-2, -1), keepdims=True))
    scaled: Pixels = np.clip(values / np.where(top > 0, top, 1), -1, 1).astype(np.float32)
    return scaled


def heatmap(attribution: Tensor, *, signed: bool = False) -> Pixels:
    """An attribution (C, H, W) as colours (H, W, 3) in 0..1: cividis, or blue-white-red.

    Args:
        attribution: (C, H, W).
        signed: show negative values too, in blue.

    Example:
        >>> import torch
        >>> colours = heatmap(torch.tensor([[[2.0, -2.0, 0.0]]]), signed=True)
        >>> colours[0].round(1).tolist()  # red, blue, white
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]
    """
    values = relevance(attribution, signed=signed)
    return colours(values, signed=signed)


def colours(values: Pixels, *, signed: bool = False) -> Pixels:
    """Numbers (H, W) as colours (H, W, 3) in 0..1.

    Args:
        values: 0..1, or -1..1 if signed.
        signed: blue-white-red, else cividis.

    Example:
        >>> colours(np.array([[-1.0, 0.0]]), signed=True)[0].round(1).tolist()  # blue, white
        [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if signed:
        return matplotlib.colormaps[SIGNED](values / 2 + 0.5)[..., :3].astype(np.float32)
    return matplotlib.colormaps[MAGNITUDE](values)[..., :3].astype(np.float32)


def steps(picture: Pixels, levels: int) -> Pixels:
    """A picture in fewer shades, for a smaller file.

    Args:
        picture: in 0..1.
        levels: one less than the shades of a channel; of 63 the eye sees nothing.

    Example:
        >>> steps(np.array([0.1, 0.4, 1.0]), 2).tolist()
        [0.0, 0.5, 1.0]
    """
    return (np.round(picture * levels) / levels).astype(np.float32)


def overlay(picture: Pixels, attribution: Tensor) -> Pixels:
    """The picture in its own colours where it is relevant, dark and grey elsewhere.

    For the eye only: the relevance is blurred over a hundredth of the picture, so that parts show
    and not single pixels.

    Args:
        picture: (H, W, 3) in 0..1.
        attribution: (C, H, W).

    Returns:
        (H, W, 3) in 0..1.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> picture = model.preprocess.restore(x)[0]
        >>> overlay(picture, dga.gradient_times_input(model, x)[0]).shape
        (64, 64, 3)
    """
    values = Image.fromarray(np.rint(relevance(attribution) * 255).astype(np.uint8))
    blurred = values.filter(ImageFilter.GaussianBlur(max(1.0, picture.shape[1] / 100)))
    weight = np.asarray(blurred, dtype=np.float32)
    top = max(float(np.percentile(weight, 97)), 1.0)
    weight = np.clip(weight / top, 0, 1)[..., None] ** 1.5
    grey = 0.12 + 0.3 * picture.mean(-1, keepdims=True)
    mixed: Pixels = weight * picture + (1 - weight) * grey
    return mixed


def grid(
    rows: Sequence[Sequence[Pixels]],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    panel: float = PANEL,
    bar: Literal["magnitude", "signed"] | None = None,
    scale: str = OWN_SCALE,
) -> Figure:
    """Pictures side by side, named above the columns and before the rows.

    Args:
        rows: pictures (H, W, 3) in 0..1.
        columns, labels: names of the columns and rows.
        panel: width of one picture in inches.
        bar: a colour bar on the right that says what the colours of the heatmaps mean.
        scale: which maps may be compared, beside the bar.

    Example:
        >>> import dga
        >>> pictures = dga.load_images("figures", 4).images / 255
        >>> figure = grid([pictures[:2], pictures[2:]], columns=["left", "right"])
        >>> [axes.get_title() for axes in figure.axes]
        ['left', 'right', '', '']
    """
    width = max(len(row) for row in rows)
    top, left, gap = 0.32 if columns else 0.05, 0.3 if labels else 0.05, 0.06
    height, _, _ = rows[0][0].shape
    size = (panel, panel * height / rows[0][0].shape[1])
    right = 1.25 if bar else 0
    figure = Figure(
        figsize=(left + width * (size[0] + gap) + right, top + len(rows) * (size[1] + gap)),
        dpi=100,
    )
    w, h = figure.get_size_inches()
    if bar:
        colour_bar(figure, (w - right + 0.12, h - top - size[1]), size[1], bar, scale)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            x, y = left + c * (size[0] + gap), h - top - (r + 1) * (size[1] + gap) + gap
            axes = figure.add_axes((x / w, y / h, size[0] / w, size[1] / h))
            axes.imshow(picture, interpolation="nearest", vmin=0, vmax=1)
            axes.set_axis_off()
            if r == 0 and c < len(columns):
                axes.set_title(columns[c], fontsize=11, pad=5)
            if c == 0 and r < len(labels):
                axes.text(-0.04, 0.5, labels[r], rotation=90, fontsize=11,
                          ha="right", va="center", transform=axes.transAxes)  # fmt: skip
    return figure


def colour_bar(
    figure: Figure,
    corner: tuple[float, float],
    height: float,
    kind: Literal["magnitude", "signed"] = "magnitude",
    scale: str = OWN_SCALE,
) -> None:
    """A colour bar that says what the colours of heatmaps mean.

    Args:
        figure: to draw on.
        corner: lower left, in inches; the bar and its words take 1.1 to the right.
        height: in inches.
        kind, scale: as `bar` and `scale` of `grid`.

    Example:
        >>> figure = Figure(figsize=(2, 2))
        >>> colour_bar(figure, (0.2, 0.2), 1.6)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['speaks for', '0 or less']
    """
    w, h = figure.get_size_inches()
    signed = kind == "signed"
    box = (corner[0] / w, corner[1] / h, 0.14 / w, height / h)
    axes = figure.add_axes(box, label="colour bar")
    levels = np.linspace(-1.0 if signed else 0.0, 1.0, 64, dtype=np.float32)[::-1, None]
    axes.imshow(colours(levels, signed=signed), aspect="auto")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    if signed:
        axes.set_yticks([0, 31.5, 63], ["speaks for", "0", "speaks\nagainst"], fontsize=10)
    else:
        axes.set_yticks([0, 63], ["speaks for", "0 or less"], fontsize=10)
    axes.text(1.6, 0.7 if signed else 0.5, scale, fontsize=9, color="0.3", va="center",
              transform=axes.transAxes)  # fmt: skip
    top, *_, bottom = axes.get_yticklabels()  # inside the figure, however low it is
    top.set_verticalalignment("top")
    bottom.set_verticalalignment("bottom")


def panel(axes: Axes, picture: Pixels, title: str) -> None:
    """A picture with its title in a thin frame, on axes that are there already.

    Args:
        axes: to draw on.
        picture: (H, W, 3) in 0..1.
        title: above it.

    Example:
        >>> axes = Figure().subplots()
        >>> panel(axes, np.zeros((8, 8, 3), np.float32), "black")
        >>> axes.get_title()
        'black'
    """
    axes.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=11, pad=5)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")


def compare(
    pictures: Sequence[Pixels] | Pixels,
    attributions: Mapping[str, Tensor],
    *,
    labels: Sequence[str] = (),
    signed: bool = False,
    panel: float = PANEL,
    bar: bool = False,
) -> Figure:
    """Every picture beside its heatmaps by several methods, each map on its own scale.

    Args:
        pictures: B pictures (H, W, 3) in 0..1.
        attributions: name of the method -> (B, C, H, W).
        labels: names of the pictures.
        signed: show negative values too.
        panel: width of one picture in inches.
        bar: with a colour bar.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 2).images)
        >>> heat = {"Gradient": dga.gradient(model, x)}
        >>> figure = compare(model.preprocess.restore(x), heat, labels=["cat", "boat"])
        >>> len(figure.axes)
        4
    """
    rows = [
        [picture, *(heatmap(a[k], signed=signed) for a in attributions.values())]
        for k, picture in enumerate(pictures)
    ]
    kind: Literal["magnitude", "signed"] | None = None
    if bar:
        kind = "signed" if signed else "magnitude"
    return grid(rows, columns=["picture", *attributions], labels=labels, panel=panel, bar=kind)


def explanation(picture: Pixels, attribution: Tensor, title: str, method: str) -> Figure:
    """Photograph, heatmap and overlay of one picture.

    Args:
        picture: (H, W, 3) in 0..1.
        attribution: (C, H, W); shown with its signs if it has negative values.
        title, method: stand above the picture and above the heatmap.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_photo("rocket"))
        >>> heat = dga.gradient_times_input(model, x)
        >>> figure = explanation(model.preprocess.restore(x)[0], heat[0], "rocket", "G*I")
        >>> [axes.get_title() for axes in figure.axes]
        ['rocket', 'G*I', 'relevant parts']
    """
    signed = bool((attribution < 0).any())
    figure = grid(
        [[picture, heatmap(attribution, signed=signed), overlay(picture, attribution)]],
        columns=[title, method, "relevant parts"],
        panel=3.2,
    )
    return figure


def strip(rows: Sequence[Mapping[str, Pixels]], height: int = 192) -> bytes:
    """Titled pictures side by side as PNG bytes, in a few milliseconds: what widgets show.

    Args:
        rows: each maps the titles to pictures (H, W, 3) in 0..1.
        height: of every picture, in screen pixels.

    Example:
        >>> import dga
        >>> cat, boat = dga.load_images("figures", 2).images / 255
        >>> content = strip([{"cat": cat, "boat": boat}], height=96)
        >>> Image.open(io.BytesIO(content)).size  # with gaps and titles
        (208, 120)
    """
    gap, title = 8, 24
    scaled = [[(name, _scaled(picture, height)) for name, picture in row.items()] for row in rows]
    width = max(sum(image.width + gap for _, image in row) for row in scaled)
    sheet = Image.new("RGB", (width, len(rows) * (title + height)), "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(scaled):
        x, y = 0, r * (title + height)
        for name, image in row:
            sheet.paste(image, (x, y + title))
            frame = (x, y + title, x + image.width - 1, y + title + image.height - 1)
            draw.rectangle(frame, outline="#d9d9d9")  # most of a signed map is white
            draw.text((x + image.width / 2, y + title / 2), name, "black", font(13), anchor="mm")
            x += image.width + gap
    buffer = io.BytesIO()
    sheet.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _scaled(picture: Pixels, height: int) -> Image.Image:
    image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    size = (round(image.width * height / image.height), height)
    smaller = height < image.height
    return image.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.NEAREST)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font of matplotlib's figures, for drawing with Pillow.

    Args:
        size: in pixels.

    Example:
        >>> font(16).getname()
        ('DejaVu Sans', 'Book')
    """
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def trace(values: Sequence[float], at: int, height: int = 192, width: int = 288) -> Pixels:
    """A curve with a marker at one of its points: for `strip`.

    Args:
        values: the curve, from left to right.
        at: the position of the marker in `values`.
        height, width: of the picture, in pixels.

    Returns:
        (height, width, 3) in 0..1.

    Example:
        >>> trace([0.9, 0.7, 0.1], at=1).shape
        (192, 288, 3)
    """
    fine = 2  # drawn larger, then averaged, for smooth lines
    image = Image.new("RGB", (fine * width, fine * height), "white")
    draw = ImageDraw.Draw(image)
    low, high = min(values), max(values)
    left, right, top, bottom = 52 * fine, (width - 10) * fine, 12 * fine, (height - 12) * fine

    def point(k: int) -> tuple[float, float]:
        share = (values[k] - low) / ((high - low) or 1)
        return left + (right - left) * k / max(len(values) - 1, 1), bottom + (top - bottom) * share

    for value, level in ((high, top), (low, bottom)):
        draw.line((left, level, right, level), "#d9d9d9", fine)
        draw.text((left - 5 * fine, level), f"{value:.2f}", "black", font(11 * fine), anchor="rm")
    points = [point(k) for k in range(len(values))]
    draw.line(points, "#a5a5a5", 2 * fine)
    draw.line([*points[: at + 1]], "#00224e", 3 * fine)
    (x, y), r = points[at], 5 * fine
    draw.ellipse((x - r, y - r, x + r, y + r), "#c23b22")
    image = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def show(figure: Figure | Path, alt: str) -> None:
    """Shows a figure in a notebook, with a description for those who cannot see it.

    Outside a notebook the description is printed.

    Args:
        figure: drawn, or a PNG file.
        alt: the description.

    Example:
        >>> show(grid([[np.zeros((8, 8, 3))]]), "a black square")
        a black square
    """
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:  # type: ignore[no-untyped-call]
        print(alt)
        return
    content = figure.read_bytes() if isinstance(figure, Path) else png(figure)
    data = {"image/png": content, "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


def png(figure: Figure, metadata: Mapping[str, Any] | None = None, dpi: int = 100) -> bytes:
    """A figure as PNG bytes, with text metadata.

    Args:
        figure: drawn.
        metadata: by PNG keyword, such as "Description".
        dpi: pixels an inch.

    Example:
        >>> content = png(grid([[np.zeros((8, 8, 3))]]), {"Description": "a black square"})
        >>> Image.open(io.BytesIO(content)).text["Description"]
        'a black square'
    """
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=dpi,
        metadata={k: str(v) for k, v in (metadata or {}).items()},
        pil_kwargs={"optimize": True},  # a tenth smaller: lessons carry their figures
    )
    return buffer.getvalue()


def table(lines: Sequence[Sequence[str]]) -> None:
    """Shows Markdown in a notebook, and prints the same as text outside.

    Args:
        lines: the head, and the rows.

    Example:
        >>> table([["method", "LeRF"], ["DGA", "0.4"]])
        | method | LeRF |
        | --- | --- |
        | DGA | 0.4 |
    """
    from IPython import get_ipython
    from IPython.display import display

    marked = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    text = "\n".join(f"| {' | '.join(line)} |" for line in marked)
    if get_ipython() is None:  # type: ignore[no-untyped-call]
        print(text)
    else:
        display({"text/markdown": text, "text/plain": text}, raw=True)
