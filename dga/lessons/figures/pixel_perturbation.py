"""Figures of lesson 06: an impostor, pictures that lose their pixels, and what the measure owes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
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
from dga import controls
from dga.filling import filler
from dga.lessons import plots
from dga.lessons.figures import differences
from dga.lessons.plots import LABELS, Pixels
from dga.metrics import SHARES, top_pixels

_CONTROLS = {
    "random order": controls.random_order,
    "blurred random order": controls.blurred_random,
    "centre blob": controls.centre_blob,
    "edges": controls.edges,
}
_LERF, _MORF, _GREY, _CONTROL = "#00224e", "#b5651d", "#7f7f7f", "#444444"
_LETTERS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#a6761d")
_BLOCKS = (
    ("random", "random-blurred", "edges", "centre"),
    ("gbp", "gi", "ig", "gig", "ig-cut", "fg", "gradcam"),
)
_FILLED = (("random", "edges", "centre"), ("ig", "gig", "ig-cut", "fg", "gradcam"))
_MARKS = "os^D"
_PANEL = 2.26  # inches: 226 pixels
_LEGEND: Any = {"frameon": False, "labelcolor": "linecolor", "fontsize": 11.5}
_FEW = 12  # levels of a photograph, which keeps the file small
_MOST = 1e5  # pictures; more are not drawn

Cell = tuple[Pixels, str]  # a picture and its title


def covered(model: Any, pictures: Mapping[str, Tensor], target: Tensor) -> None:
    """A photograph, whole and with parts removed, and the probability that is left.

    Args:
        model: with `preprocess` and `classes`.
        pictures: name -> (1, C, H, W).
        target: (1,).

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> target = model(x).argmax(1)
        >>> covered(model, {"whole": x, "gone": 0 * x}, target)  # doctest: +ELLIPSIS
        A photograph, whole and with parts grey. Probability of cat: whole ...
    """
    left = {name: _probability(model, x, target) for name, x in pictures.items()}
    cells = [(_look(model, x), f"{name}, p {left[name]:.2f}") for name, x in pictures.items()]
    axes = _panels([cells])[0]
    axes.set_ylabel("what is left", fontsize=12)
    figure: Any = axes.get_figure()
    said = ", ".join(f"{name} {p:.2f}" for name, p in left.items())
    plots.show(
        figure,
        "A photograph, whole and with parts grey. "
        f"Probability of {model.classes[int(target)]}: {said}.",
    )


def suspects(model: Any, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Five maps of one picture by letter; one of them uses no network.

    Args:
        model: a network.
        x: (1, C, H, W).
        target: (1,).

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> list(suspects(model, x, torch.tensor([0])))
        ['A', 'B', 'C', 'D', 'E']
    """
    return {
        "A": dga.guided_backprop(model, x, target),
        "B": dga.distilled_gradient_aggregation(model, x, target),
        "C": dga.integrated_gradients(model, x, target),
        "D": x.abs() * controls.random_order(model, x),
        "E": dga.fullgrad(model, x, target),
    }


def nameless(model: Any, x: Tensor, maps: Mapping[str, Tensor]) -> None:
    """A photograph and its heatmaps, which bear letters.

    Args:
        model: with `preprocess`.
        x: (1, C, H, W).
        maps: letter -> attribution, as `x`.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> nameless(model, x, {"A": x})
        A photograph and 1 heatmaps that bear letters only.
    """
    cells = [(_look(model, x), "photograph"), *((_heat(a), name) for name, a in maps.items())]
    panels = _panels([cells[k : k + 3] for k in range(0, len(cells), 3)], bar="0 or less")
    figure: Any = panels[0].get_figure()
    plots.show(figure, f"A photograph and {len(maps)} heatmaps that bear letters only.")


def film(model: Any, x: Tensor, attribution: Tensor, curves: Tensor) -> None:
    """What is left of a photograph, most and least relevant pixels first, and the two curves.

    Args:
        model: with `preprocess` and `classes`.
        x, attribution: (1, C, H, W).
        curves: LeRF and MoRF, (2, 11).

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> film(model, x, x, torch.rand(2, 11))  # doctest: +ELLIPSIS
        Two rows of three pictures...
    """
    shown = (1, 4, 8)  # tenths
    remove = filler("mean", x)
    words = ("least relevant first", "most relevant first")
    rows: list[list[Cell]] = []
    for row, sign in ((1, 1), (0, -1)):
        rows.append([])
        for k in shown:
            kept = ~top_pixels(sign * attribution, SHARES[k])[:, None]
            title = f"{SHARES[k]:.0%} removed, p {float(curves[row, k]):.2f}"
            rows[-1].append((_look(model, remove(kept)), title))
    panels = _panels(rows, below=2.5)
    figure: Any = panels[0].get_figure()
    for row, colour, axes in ((1, _MORF, panels[0]), (0, _LERF, panels[3])):
        axes.set_ylabel(words[row], fontsize=12, color=colour)
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((0.85 / wide, 0.55 / high, (wide - 1.1) / wide, 1.75 / high))
    _curves(
        axes, dict(zip(words, curves, strict=True)), dict(zip(words, (_LERF, _MORF), strict=True))
    )
    axes.set_ylabel("probability of the class")
    axes.legend(loc="upper right", **_LEGEND)
    plots.show(
        figure,
        "Two rows of three pictures, with 10, 40 and 80 % of their pixels grey. Most relevant "
        "first the rims of the eyes and the nose go at once, least relevant first the background "
        f"does. Below, the probability over the share removed: after four tenths it has gone from "
        f"{float(curves[0, 0]):.2f} to {float(curves[1, 4]):.2f}, most relevant first, and to "
        f"{float(curves[0, 4]):.2f}, least relevant first.",
    )


def judged(curves: Mapping[str, Tensor], random: Tensor) -> None:
    """LeRF and MoRF of nameless maps, beside a random order.

    Args:
        curves: letter -> LeRF and MoRF, (2, 11).
        random: the same of a random order.

    Example:
        >>> judged({"A": torch.rand(2, 11)}, torch.rand(2, 11))  # doctest: +ELLIPSIS
        Left, the probability over the share removed, most relevant first: ...
    """
    figure = Figure(figsize=(10.4, 3.6), dpi=100)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(0.07, 0.15, 0.89, 0.9, wspace=0.34)
    tints = dict(zip(curves, _LETTERS, strict=False)) | {"random": _GREY}
    words = []
    titles = ("MoRF, most relevant first: low is good", "LeRF, least relevant first: high is good")
    for axes, row, title in zip(panels, (1, 0), titles, strict=True):
        shown = {name: c[row] for name, c in curves.items()} | {"random": random[row]}
        _curves(axes, shown, tints)
        means = {name: float(c.mean()) for name, c in shown.items()}
        order = sorted(means, key=lambda name: -means[name])
        for place, name in enumerate(order):
            axes.text(1.03, 0.97 - 0.12 * place, f"{name} {means[name]:.2f}", color=tints[name],
                      fontsize=11.5, va="top", transform=axes.transAxes)  # fmt: skip
        axes.set_title(title, fontsize=12)
        words.append(", ".join(f"{name} {means[name]:.2f}" for name in order))
    panels[0].set_ylabel("probability of the class")
    plots.show(
        figure,
        f"Left, the probability over the share removed, most relevant first: means {words[0]}. "
        f"Right, least relevant first: means {words[1]}.",
    )


def knowing_nothing(model: Any, x: Tensor, target: Tensor) -> None:
    """Four controls on one picture, and what their most relevant three tenths leave.

    Args:
        model: with `preprocess`.
        x: (1, C, H, W).
        target: (1,).

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> knowing_nothing(model, x, torch.tensor([0]))  # doctest: +ELLIPSIS
        Four maps, random order, blurred random order, ...
    """
    maps, left, said = [], [], []
    for name, method in _CONTROLS.items():
        a = method(model, x)
        kept = x * top_pixels(a, 0.3)[:, None]
        p = _probability(model, kept, target)
        maps.append((_heat(a - a.amin()), name))
        left.append((_look(model, kept), f"p {p:.2f}"))
        said.append(f"{name} {p:.2f}")
    panels = _panels([maps, left], bar="least")
    panels[0].set_ylabel("map", fontsize=12)
    panels[4].set_ylabel("its top 30 %", fontsize=12)
    figure: Any = panels[0].get_figure()
    plots.show(
        figure,
        f"Four maps, {', '.join(_CONTROLS)}; below, the photograph with only their most relevant "
        f"30 % of the pixels. Probability that is left: {', '.join(said)}.",
    )


def against_dga(blocks: Sequence[Sequence[str]] = _BLOCKS) -> None:
    """DGA against controls and methods on real photographs, from the stored run.

    Args:
        blocks: short names, from the top.

    Example:
        >>> against_dga([("random", "ig")])  # doctest: +ELLIPSIS
        DGA against controls and methods on photographs. ...
    """
    _show(differences.photographs(), blocks, "DGA against controls and methods on photographs.")


def levels(methods: Sequence[str] = ("dga", "fg", "centre", "ig", "random")) -> None:
    """LeRF and MoRF themselves, of a few methods, from the same run.

    Args:
        methods: short names, from the top.

    Example:
        >>> levels(["dga"])  # doctest: +ELLIPSIS
        | mean height of the curve | LeRF, SqueezeNet 1.1 | LeRF, EfficientNet-Lite0 | MoRF, ...
    """
    with differences.PHOTOGRAPHS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["fill"] == "mean"]
    found = {(r["measure"], r["network"], r["method"]): f"{float(r['mean']):.2f}" for r in rows}
    columns = {
        (measure, network): f"{differences.MEASURES[measure]}, {differences.NETWORKS[network]}"
        for measure in ("lerf", "morf")
        for network in dict.fromkeys(row["network"] for row in rows)
    }
    lines = [[LABELS[m], *(found[(*column, m)] for column in columns)] for m in methods]
    plots.table([["mean height of the curve", *columns.values()], *lines])


def two_fills(blocks: Sequence[Sequence[str]] = _FILLED) -> None:
    """The same differences with grey holes and with holes filled in, on the same photographs.

    Args:
        blocks: short names, from the top.

    Example:
        >>> two_fills([("random", "ig")])  # doctest: +ELLIPSIS
        DGA against others with grey holes and with holes filled in. ...
    """
    said = "DGA against others with grey holes and with holes filled in."
    _show(differences.grey_and_filled(), blocks, said)


def pictures_needed(
    methods: Sequence[str] = ("ig", "centre", "fg", "gradcam", "dga-random", "dga-gi"),
) -> None:
    """How many photographs tell a method from DGA by LeRF, four times in five.

    From the means and standard deviations of the stored scores, picture by picture.

    Args:
        methods: short names, from the top.

    Example:
        >>> pictures_needed(("ig",))  # doctest: +ELLIPSIS
        Photographs needed to tell a method from DGA ...
    """
    scores = _lerf()
    names = {network: differences.NETWORKS.get(network, network) for network in scores}
    figure = Figure(figsize=(9.4, 1.3 + 0.5 * len(methods)), dpi=100)
    axes = figure.subplots()
    high = figure.get_size_inches()[1]
    figure.subplots_adjust(0.22, 0.62 / high, 0.97, 1 - 0.42 / high)
    words = []
    for place, method in enumerate(methods):
        for k, (network, name) in enumerate(names.items()):
            own, dgas = scores[network][method], scores[network]["dga"]
            delta = dgas - own
            paired = float(8 * delta.var() / delta.mean() ** 2)
            apart = float(8 * (own.var() + dgas.var()) / delta.mean() ** 2)
            y = place + (k - (len(names) - 1) / 2) * 0.68 / len(names)
            axes.plot([min(n, _MOST) for n in (paired, apart)], [y, y], color="0.75", lw=1.2)
            for n, face in ((paired, _CONTROL), (apart, "white")):
                if n < _MOST:
                    axes.plot(max(n, 2), y, _MARKS[k], color=_CONTROL, mfc=face, ms=6.5)
            if paired >= _MOST:
                axes.text(0.85 * _MOST, y, f"{name}: more →", ha="right", va="center",
                          color=_CONTROL, fontsize=10)  # fmt: skip
            words.append(f"{LABELS[method]}, {name}: {_rounded(paired)}, {_rounded(apart)}")
    axes.set(xscale="log", xlim=(1.6, _MOST), ylim=(len(methods) - 0.45, -0.55))
    axes.set_xticks([2, 10, 100, 1000, 10_000], ["2 or less", "10", "100", "1,000", "10,000"])
    axes.set_xlabel("photographs needed, by LeRF")
    axes.set_yticks(range(len(methods)), [LABELS[name] for name in methods])
    axes.set_ylabel("DGA against", fontsize=11)
    axes.grid(axis="x", color="0.9")
    _plain(axes)
    legend = "     ".join(f"{'●■▲◆'[k]} {name}" for k, name in enumerate(names.values()))
    axes.set_title(f"filled: in pairs     hollow: two separate means     {legend}", fontsize=10.5,
                   color="0.25")  # fmt: skip
    plots.show(
        figure,
        "Photographs needed to tell a method from DGA by LeRF, in pairs and by two separate "
        f"means. {'; '.join(words)}.",
    )


def filled(model: Any, x: Tensor, target: Tensor) -> None:
    """Single pixels and one square, as many, removed: grey, and filled in from the neighbours.

    Args:
        model: with `preprocess`.
        x: (1, C, H, W).
        target: (1,).

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> filled(model, x, torch.tensor([0]))  # doctest: +ELLIPSIS
        Three tenths of a photograph removed, ...
    """
    height, width = x.shape[2:]
    side = 0.3**0.5 / 2  # half of it, as a share
    square = torch.ones(1, 1, height, width, dtype=torch.bool)
    square[..., round(height * (0.5 - side)) : round(height * (0.5 + side)),
           round(width * (0.5 - side)) : round(width * (0.5 + side))] = False  # fmt: skip
    holes = {"specks": ~top_pixels(controls.random_order(model, x), 0.3)[:, None], "square": square}
    cells, said = [], []
    for name, kept in holes.items():
        for fill, word in (("mean", "grey"), ("linear", "filled")):
            z = filler(fill, x)(kept)  # type: ignore[arg-type]
            p = _probability(model, z, target)
            cells.append((_look(model, z), f"{name}, {word}, p {p:.2f}"))
            said.append(f"{name} {word} {p:.2f}")
    axes = _panels([cells])[0]
    axes.set_ylabel("what is left", fontsize=12)
    figure: Any = axes.get_figure()
    plots.show(
        figure,
        "Three tenths of a photograph removed, as single pixels and as one square, each grey and "
        "filled in from the neighbours. Filled specks can hardly be seen, the filled square is a "
        f"smear. Probability: {', '.join(said)}.",
    )


# ------------------------------------------------------------------------------- the stored results


def _show(
    run: tuple[differences.Found, Mapping[str, str]], blocks: Sequence[Sequence[str]], said: str
) -> None:
    found, networks = run
    panels = {name: differences.MEASURES[name] for name in ("lerf", "morf", "fine morf")}
    words = [{name: LABELS[name] for name in block} for block in blocks]
    differences.show(found, panels, words, networks, said)


def _lerf() -> dict[str, dict[str, Tensor]]:
    """Network -> method -> LeRF of each photograph, with grey holes."""
    with differences.SCORES.open(newline="") as file:
        table = [row for row in csv.DictReader(file)
                 if row["fill"] == "mean" and row["measure"] == "lerf"]  # fmt: skip
    return {
        network: {
            method: torch.tensor([float(r[method]) for r in table if r["network"] == network])
            for method in list(table[0])[4:]
        }
        for network in dict.fromkeys(row["network"] for row in table)
    }


def _rounded(n: float) -> str:
    if n > _MOST:
        return f"more than {_MOST / 1000:.0f} thousand"
    return f"{max(n, 2):.0f}" if n < 1000 else f"{n / 1000:.0f} thousand"


# ------------------------------------------------------------------------------------------ drawing


def _probability(model: Any, x: Tensor, target: Tensor) -> float:
    with torch.no_grad():
        return float(model(x).softmax(1)[0, int(target)])


def _panels(rows: Sequence[Sequence[Cell]], *, bar: str = "", below: float = 0) -> list[Axes]:
    """Axes with titled pictures of one size, row by row, and room below in inches."""
    columns = max(map(len, rows))
    pitch, step = _PANEL + 0.08, _PANEL + 0.32
    size = (0.35 + columns * pitch + (1.0 if bar else 0), len(rows) * step + 0.05 + below)
    figure = Figure(figsize=size, dpi=100)
    wide, high = size
    drawn = []
    for r, row in enumerate(rows):
        for c, (picture, title) in enumerate(row):
            box = ((0.33 + c * pitch) / wide, 1 - (r + 1) * step / high)
            axes = figure.add_axes((*box, _PANEL / wide, _PANEL / high))
            axes.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(title, fontsize=11.5, pad=5)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("0.8")
            drawn.append(axes)
    if bar:
        place = ((0.33 + columns * pitch) / wide, 1 - step / high, 0.13 / wide, _PANEL / high)
        side = figure.add_axes(place)
        figure.colorbar(ScalarMappable(Normalize(0, 1), plots.MAGNITUDE), cax=side, ticks=[0, 1])
        side.set_yticklabels([bar, "most\nrelevant"], fontsize=10)
    return drawn


def _heat(attribution: Tensor) -> Pixels:
    """The positive part over squares of 2 x 2 pixels, in 10 steps: a smaller file."""
    relevance = F.avg_pool2d(attribution.sum(1).clamp(min=0), 2)[0].numpy()
    top = np.percentile(relevance, plots.PERCENTILE)
    steps = np.round(np.clip(relevance / (top or 1), 0, 1) * 10) / 10
    heat: Pixels = plots.colours(steps.astype(np.float32))
    return heat.repeat(2, 0).repeat(2, 1)


def _look(model: Any, x: Tensor) -> Pixels:
    """A picture in few levels."""
    picture = model.preprocess.restore(x)[0]
    return np.asarray((picture * (_FEW - 1)).round() / (_FEW - 1), dtype=np.float32)


def _curves(axes: Axes, curves: Mapping[str, Tensor], tints: Mapping[str, str]) -> None:
    for name, curve in curves.items():
        style = ":" if name == "random" else "-"
        axes.plot(SHARES, curve.tolist(), style, color=tints[name], lw=2.2, label=name)
    top = max(float(curve.max()) for curve in curves.values())
    axes.set(xlim=(0, 1), ylim=(0, 1.08 * top), xlabel="share of the pixels removed")
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10.5)
    axes.xaxis.label.set_fontsize(11)
    axes.yaxis.label.set_fontsize(11)
