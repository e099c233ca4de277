"""The map of the series: how DGA goes round, with the box of one lesson lit."""

from __future__ import annotations

from typing import Literal, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dga.lessons import plots
from dga.validation import check_choice

Box = Literal["gradient", "biases", "masks", "distilled", "sum"]

# Name -> centre, width, words, lesson.
_PLAIN = {
    "picture": (0.75, 2.55, 1.2, "picture $x$"),
    "attribution": (6.3, 2.55, 1.5, "local\nattribution $\\phi$"),
    "map": (10.4, 2.55, 1.2, "DGA map"),
}
_LESSONS: dict[str, tuple[float, float, float, str]] = {
    "distilled": (2.5, 2.55, 1.5, "distilled\ninput $\\tilde{x}$\n(04, 05)"),
    "gradient": (4.4, 3.1, 1.55, "gradient $\\cdot\\, \\tilde{x}$\n(01, 02)"),
    "biases": (4.4, 2.0, 1.55, "biases\n(03)"),
    "sum": (8.5, 2.55, 1.6, "add up the\npositive parts\n(05)"),
    "masks": (4.4, 0.5, 3.2, "masks: first hide the top\nfeatures, later the weakest (04)"),
}
_LIT, _PALE, _INK, _LINE = "#fee838", "#eef1f6", "#00224e", "#5a6270"


def draw(lit: Box | None = None) -> Figure:
    """The flow chart of DGA, 1,100 x 390 pixels.

    Args:
        lit: the box to light, None for none.

    Raises:
        ValueError: for another name.

    Example:
        >>> draw("masks").get_size_inches().tolist()
        [11.0, 3.9]
    """
    if lit is not None:
        check_choice("lit", lit, get_args(Box))
    figure = Figure(figsize=(11, 3.9), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 11.1), ylim=(-0.1, 3.8))
    axes.set_axis_off()
    for x, y, width, words in _PLAIN.values():
        box(axes, x, y, width, words, "white")
    for name, (x, y, width, words) in _LESSONS.items():
        box(axes, x, y, width, words, _LIT if name == lit else _PALE)
    for start, end in (
        ((1.4, 2.55), (1.7, 2.55)),
        ((3.3, 2.65), (3.58, 3.0)), ((3.3, 2.45), (3.58, 2.1)),
        ((5.22, 3.0), (5.5, 2.7)), ((5.22, 2.1), (5.5, 2.4)),
        ((7.1, 2.55), (7.65, 2.55)),
        ((9.35, 2.55), (9.75, 2.55)),
    ):  # fmt: skip
        arrow(axes, start, end)
    # Round the loop: from the attribution to the masks, and back to the next distilled input.
    axes.plot([6.3, 6.3], [2.1, 0.5], color=_LINE, lw=2)
    arrow(axes, (6.32, 0.5), (6.05, 0.5))
    axes.plot([2.75, 2.5], [0.5, 0.5], color=_LINE, lw=2)
    arrow(axes, (2.5, 0.48), (2.5, 2.05))
    axes.text(
        2.42,
        1.2,
        "mask $\\times$ the\n$original$ picture",
        ha="right",
        va="center",
        fontsize=11,
        color=_LINE,
    )
    axes.text(6.4, 1.2, "rank its features", ha="left", va="center", fontsize=11, color=_LINE)
    axes.text(4.4, 1.28, "31 times round", ha="center", va="center", fontsize=11, color=_LINE)
    return figure


def show(lit: Box | None = None) -> None:
    """Shows the flow chart in a notebook.

    Args:
        lit: see `draw`.

    Example:
        >>> show("masks")  # outside a notebook
        Flow chart of DGA. The picture is the first distilled input. ... Lit here: masks.
    """
    here = {
        "gradient": "gradient times input", "biases": "biases", "masks": "masks",
        "distilled": "distilled input", "sum": "sum",
    }  # fmt: skip
    alt = (
        "Flow chart of DGA. The picture is the first distilled input. Its gradient times input "
        "and the biases of the network make a local attribution. The positive parts of all local "
        "attributions are added up to the DGA map. The attribution also ranks the features: masks "
        "hide first the top ones, later the weakest, and the picture times the mask is the next "
        "distilled input, 31 times round."
    )
    plots.show(draw(lit), alt + (f" Lit here: {here[lit]}." if lit else ""))


def box(axes: Axes, x: float, y: float, width: float, words: str, colour: str) -> None:
    """A rounded box with words, its middle at (x, y).

    Example:
        >>> axes = Figure().subplots()
        >>> box(axes, 0.5, 0.5, 0.4, "one look", "white")
        >>> axes.texts[0].get_text()
        'one look'
    """
    height = 0.42 + 0.22 * words.count("\n") + 0.18
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height,
            boxstyle="round,pad=0.02,rounding_size=0.1", fc=colour, ec=_INK, lw=1.5,
        )
    )  # fmt: skip
    axes.text(x, y, words, ha="center", va="center", fontsize=12, color=_INK, linespacing=1.15)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], head: bool = True
) -> None:
    """A line from start to end, with a head or without.

    Example:
        >>> arrow(Figure().subplots(), (0, 0), (1, 1))
    """
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>" if head else "-", "color": _LINE, "lw": 2}
    )
