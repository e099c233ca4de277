"""The one way to show differences: how much better DGA is than others on the same pictures.

Right of 0 DGA is better, for every measure. A mark is full and coloured where its interval excludes
0, hollow and grey where it holds 0. All intervals hold together, by Holm's correction.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from dga.lessons import plots
from dga.metrics import bootstrap_interval
from dga.significance import Interval, holm_intervals
from dga.zoo.files import DATA

PHOTOGRAPHS = DATA / "results/photographs.csv"
SCORES = DATA / "results/photographs_scores.csv"
MEASURES = {
    "lerf": "LeRF",
    "morf": "MoRF",
    "fine morf": "MoRF, first 10 %",
    "high lerf": "LeRF, last 10 %",
}
NETWORKS = {
    "efficientnet_lite0": "EfficientNet-Lite0",
    "squeezenet1_1": "SqueezeNet 1.1",
    "resnet18": "ResNet-18",
    "vgg16": "VGG-16",
    "mobilenet_v2": "MobileNet v2",
}
FILLS = {"mean": "grey holes", "linear": "holes filled in"}
DGA, OTHER, UNDECIDED = plots.COLOURS["dga"], "#00224e", "#7f7f7f"
# A circle is the first network and a square the second, also where each is there with two fillings.
_MARKS = {1: "o", 2: "os", 3: "os^", 4: "o^sD"}

Found = Mapping[tuple[str, str, str], Interval]  # (panel, row, network) -> how much better DGA is
Blocks = Sequence[Mapping[str, str]]  # rows from the top, key -> words, and gaps between blocks


def ahead(measure: str, dga: Tensor, other: Tensor) -> Tensor:
    """How much better DGA is, picture by picture; of MoRF less is better.

    Args:
        measure: a key of `MEASURES`, or another of which more is better.
        dga, other: scores of the same pictures.

    Example:
        >>> import torch
        >>> ahead("morf", torch.tensor([0.25]), torch.tensor([0.5]))
        tensor([0.2500])
    """
    return other - dga if measure in ("morf", "fine morf") else dga - other


def intervals(
    differences: Mapping[tuple[str, str, str], Tensor],
) -> dict[tuple[str, str, str], Interval]:
    """Mean and interval of differences, (pictures,) each, corrected for all of them together.

    Example:
        >>> import torch
        >>> mean, low, high = intervals({("lerf", "ig", "vgg"): torch.linspace(-1, 1, 50)})[
        ...     "lerf", "ig", "vgg"]
        >>> low < 0 < high
        True
    """
    found = [tuple(map(float, bootstrap_interval(values))) for values in differences.values()]
    return dict(zip(differences, holm_intervals(found), strict=True))  # type: ignore[arg-type]


def photographs() -> tuple[dict[tuple[str, str, str], Interval], dict[str, str]]:
    """The stored run on photographs with grey holes, whose intervals are corrected already.

    Returns:
        Measure, method and network -> how much better DGA is; and the words of each network, with
        its number of photographs.

    Example:
        >>> found, networks = photographs()
        >>> found["lerf", "random", "squeezenet1_1"][0] > 0
        True
    """
    with PHOTOGRAPHS.open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["fill"] == "mean"]
    found, words = {}, {}
    for row in table:
        network = row["network"]
        words[network] = f"{NETWORKS.get(network, network)}, {row['pictures']} photographs"
        if row["method"] != "dga":
            mean, low, high = (float(row[f"dga_minus{end}"]) for end in ("", "_low", "_high"))
            if row["measure"] in ("morf", "fine morf"):
                mean, low, high = -mean, -high, -low
            found[row["measure"], row["method"], network] = Interval(mean, low, high)
    return found, words


def grey_and_filled() -> tuple[dict[tuple[str, str, str], Interval], dict[str, str]]:
    """Grey holes and holes filled in, on the photographs that were measured with both.

    Corrected as the stored run is: for all comparisons of one network and one filling.

    Returns:
        As `photographs`, with "NETWORK FILL" in place of the network.

    Example:
        >>> found, kinds = grey_and_filled()
        >>> found["morf", "random", "squeezenet1_1 linear"][0] > 0
        True
    """
    with SCORES.open(newline="") as file:
        table = list(csv.DictReader(file))
    pictures: dict[tuple[str, str], set[str]] = {}
    for row in table:
        pictures.setdefault((row["network"], row["fill"]), set()).add(row["picture"])
    found: dict[tuple[str, str, str], Interval] = {}
    words = {}
    for network in dict.fromkeys(row["network"] for row in table):
        shared = set.intersection(*(pictures.get((network, fill), set()) for fill in FILLS))
        for fill, name in FILLS.items() if shared else ():
            kind = f"{network} {fill}"
            words[kind] = f"{NETWORKS.get(network, network)}, {name}, {len(shared)} photographs"
            family = {}
            for measure in MEASURES:
                rows = [
                    row
                    for row in table
                    if row["picture"] in shared
                    and (row["network"], row["fill"], row["measure"]) == (network, fill, measure)
                ]
                scores = {method: torch.tensor([float(row[method]) for row in rows]).double()
                          for method in list(table[0])[4:]}  # fmt: skip
                for method, own in scores.items():
                    if method != "dga":
                        family[measure, method, kind] = ahead(measure, scores["dga"], own)
            found |= intervals(family)
    return found, words


def show(
    found: Found,
    panels: Mapping[str, str],
    blocks: Blocks,
    networks: Mapping[str, str],
    said: str,
    *,
    columns: int = 4,
    ylabel: str = "DGA against",
    verdicts: str = "",
) -> None:
    """A panel a measure, a row a method or variant, a mark a network.

    Args:
        found: what is shown; what it lacks is left out.
        panels: key -> title.
        blocks: the rows.
        networks: key -> words of the legend, with the number of pictures.
        said: begins the alt text, which then says all verdicts.
        columns: panels side by side, at most.
        ylabel: what the rows are.
        verdicts: ends the alt text where they hang on rounding.

    Example:
        >>> found, networks = photographs()
        >>> show(found, {"lerf": "LeRF"}, [{"ig": "IG"}], networks, "IG on photographs.")
        ... # doctest: +ELLIPSIS
        IG on photographs. LeRF. DGA better than IG...
    """
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    rows = sum(len(block) for block in blocks) + 0.6 * (len(blocks) - 1)
    high = 1.25 + lines * (0.5 + rows * (0.17 + 0.105 * len(networks)))
    figure = Figure(figsize=(10.4, high), layout="constrained", dpi=100)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    words = []
    for axes, (key, title) in zip(grid.flat, panels.items(), strict=False):
        words.append(f"{title}. {panel(axes, found, key, blocks, networks)}")
        axes.set_title(title, fontsize=11.5, weight="bold", pad=19)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for line in grid:
        line[0].set_ylabel(ylabel, fontsize=11)
    note = "" if len(panels) == 1 else "  (each panel on its own scale)"
    figure.supxlabel(f"how much better DGA is{note}", fontsize=11)
    legend(figure, networks)
    plots.show(figure, f"{said} {verdicts or '. '.join(words) + '.'}")


def panel(
    axes: Axes,
    found: Found,
    key: str,
    blocks: Blocks,
    networks: Mapping[str, str],
) -> str:
    """Draws one panel, and says its verdicts.

    Args:
        axes: to draw on.
        found, blocks, networks: see `show`.
        key: of the panel.

    Example:
        >>> from matplotlib.figure import Figure
        >>> found = {("lerf", "ig", "vgg"): (0.2, 0.1, 0.3)}
        >>> panel(Figure().subplots(), found, "lerf", [{"ig": "IG"}], {"vgg": "vgg"})
        'DGA better than IG'
    """
    marks, ticks = _MARKS[len(networks)], dict[float, str]()
    verdicts: dict[str, list[str]] = {"better than": [], "worse than": [], "undecided against": []}
    place = -1.0
    for block in blocks:
        for row, words in block.items():
            place += 1
            ticks[place] = words
            here = [network for network in networks if (key, row, network) in found]
            judged = {}
            for network in here:
                k = list(networks).index(network)
                spread = (k - (len(networks) - 1) / 2) * 0.66 / len(networks)
                y = place + (spread if len(here) > 1 else 0)
                judged[network] = _draw(axes, y, found[key, row, network], marks[k])
            for verdict in dict.fromkeys(judged.values()):
                some = [network for network in here if judged[network] == verdict]
                names = " and ".join(networks[network].rsplit(", ", 1)[0] for network in some)
                on = "" if len(some) == len(here) else f" on {names}"
                plain = words.replace("\\cdot", "*").replace("\\", "").replace("$", "")
                verdicts[verdict].append(" ".join(plain.split()) + on)
        place += 0.6
    axes.axvline(0, color="black", lw=1.1, zorder=0)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -0.25 * right), max(right, -0.25 * left))  # 0 and both sides show
    axes.locator_params(axis="x", nbins=4)
    axes.set_ylim(place - 0.05, -0.6)
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=10.5)
    at: dict[str, Any] = {"y": 1.015, "fontsize": 10, "transform": axes.transAxes}
    axes.text(1, s="DGA better →", color=DGA, ha="right", **at)
    axes.text(0, s="← the other", color=OTHER, **at)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=10)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    told = (f"DGA {verdict} {'; '.join(names)}" for verdict, names in verdicts.items() if names)
    return ". ".join(told)


def legend(figure: Figure, networks: Mapping[str, str]) -> None:
    """Says above a figure which mark is which network, and what marks and lines mean.

    Example:
        >>> from matplotlib.figure import Figure
        >>> legend(Figure(layout="constrained"), {"vgg": "vgg, 100 pictures"})
    """
    handles = [
        Line2D([], [], marker=mark, color="0.25", ls="", label=words)
        for mark, words in zip(_MARKS[len(networks)], networks.values(), strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3 if len(handles) < 4 else 2,
        frameon=False, fontsize=10.5,
        title="line: 95 % interval, corrected for all comparisons     hollow: holds 0, undecided",
        title_fontsize=10.5,
    )  # fmt: skip


def _draw(axes: Axes, y: float, interval: Interval, mark: str) -> str:
    mean, low, high = interval
    undecided = low <= 0 <= high
    colour = UNDECIDED if undecided else DGA if mean > 0 else OTHER
    axes.plot((low, high), (y, y), color=colour, lw=2, solid_capstyle="butt")
    axes.plot(mean, y, mark, color=colour, mfc="white" if undecided else colour, ms=6,
              clip_on=False)  # fmt: skip
    return "undecided against" if undecided else "better than" if mean > 0 else "worse than"
