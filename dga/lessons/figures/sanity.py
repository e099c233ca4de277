"""Figures of lesson 08: the cheat, two questions, forgetting, fill-in, noise, the object."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dga.lessons import plots
from dga.lessons.figures import differences
from dga.lessons.plots import LABELS, Pixels
from dga.metrics import bootstrap_interval
from dga.zoo.files import DATA

PANEL = 1.6  # inches
NETWORKS = {"vgg": "o", "resnet": "s", "inception": "^"}
CONTROL = "#7f7f7f"
STAGES = {"10": "last\nlayer", "7.conv1": "from\nblock 7", "5.conv1": "from\nblock 5",
          "3.conv1": "from\nblock 3", "0": "all"}  # fmt: skip
_SHORT = {"ig": "IG", "ig-cut": "IG, negatives cut", "gig": "Guided IG", "edges": "edges (control)",
          "centre": "centre blob (control)", "random": "random (control)"}  # fmt: skip

Row = dict[str, str]
Paired = Mapping[tuple[str, str], Tensor]  # (method, network) -> (pictures,)


def pictures(shown: Sequence[Pixels], names: Sequence[str]) -> None:
    """Pictures in a row with a name above each.

    Example:
        >>> import dga
        >>> pictures(dga.load_images("figures", 2).images / 255, ["cat", "boat"])
        Drawn pictures: cat; boat.
    """
    figure = plots.grid([list(shown)], columns=names, panel=PANEL + 0.4)
    said = "; ".join(" ".join(name.split()) for name in names)
    plots.show(figure, f"Drawn pictures: {said}.")


def caught(shown: Sequence[Pixels], maps: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Marked pictures beside their heatmaps for the class that the mark stands for.

    Args:
        shown: pictures (H, W, 3).
        maps: short name -> (B, C, H, W).
        names: of the pictures.

    Example:
        >>> import dga
        >>> one = dga.load_images("watermark", 1).images / 255
        >>> caught(one, {"ig": torch.rand(1, 3, 64, 64)}, ["fish"])  # doctest: +ELLIPSIS
        Pictures with a round mark in a corner ...
    """
    named = {_name(method): a for method, a in maps.items()}
    figure = plots.compare(shown, named, labels=names, panel=PANEL, bar=True)
    plots.show(
        figure,
        "Pictures with a round mark in a corner beside heatmaps for umbrella by IG, FullGrad and "
        "DGA. IG and DGA are brightest on the mark, DGA with specks elsewhere; FullGrad is a broad "
        "blob, brightest at the mark.",
    )


def two_questions(picture: Pixels, maps: Mapping[str, Tensor], asked: Sequence[str]) -> None:
    """One picture with two objects, and what each method answers for either.

    Args:
        picture: (H, W, 3).
        maps: short name -> (2, C, H, W), one for each question.
        asked: the two classes.

    Example:
        >>> import dga
        >>> picture = dga.load_images("two", 1).images[0] / 255
        >>> two_questions(picture, {"ig": torch.rand(2, 3, 64, 64)}, ["car", "mushroom"])
        Two rows of heatmaps of one picture, why car, and why mushroom, by IG.
    """
    rows = [[picture, *(plots.heatmap(a[k]) for a in maps.values())] for k in range(2)]
    names = [_name(method) for method in maps]
    figure = plots.grid(
        rows, columns=["the picture", *names], labels=[f"why {name}?" for name in asked],
        panel=PANEL - 0.2, bar="magnitude",
    )  # fmt: skip
    plots.show(figure, f"Two rows of heatmaps of one picture, why {asked[0]}, and why {asked[1]}, "
                       f"by {', '.join(names)}.")  # fmt: skip


def asked() -> None:
    """How much lies on the object asked for, of what lies on the two; and DGA minus each method.

    Example:
        >>> asked()  # doctest: +ELLIPSIS
        Share of the relevance on the object asked for, ...
    """
    answers = [r for r in stored("classes") if r["named"] == "1.0000"]
    methods = ("random", "edges", "fg", "gbp", "gi", "ig", "ig-cut", "gig", "ufg-cut",
               "dga-gi", "dga-random", "dga", "gradcam")  # fmt: skip
    values = _table(answers, methods, "share")
    figure = Figure(figsize=(9.8, 5.4), layout="constrained", dpi=100)
    left, right = figure.subplots(1, 2, sharey=True)
    _forest(left, values, methods)
    left.axvline(0.5, color="0.6", ls=":")
    left.set(xlabel="share on the object asked for", xlim=(0.4, 1.0))
    left.set_title("the same map for both: 1/2", fontsize=11)
    rows = {m: _name(m) for m in methods}  # that of DGA stays empty on the right
    found = differences.intervals(_found("share", values, [m for m in methods if m != "dga"]))
    told = differences.panel(right, found, "share", [rows], _networks(values))
    right.set_xlabel("how much better DGA is")
    differences.legend(figure, _networks(values))
    plots.show(
        figure,
        "Share of the relevance on the object asked for, of what lies on the two. The controls are "
        "at exactly one half on every network, FullGrad is not far above, the other methods well "
        f"above, Grad-CAM highest. On the right: {told}.",
    )


def cascade() -> None:
    """Rank correlation with the trained network's map while layers are randomised.

    Example:
        >>> cascade()  # doctest: +ELLIPSIS
        Two panels of rank correlation ...
    """
    rows, looks = stored("cascade"), stored("cascade_looks")
    names = {m: _name(m) for m in ("edges", "gbp", "fg", "ig", "ig-cut", "dga")}
    names["gi-cut-looks"] = f"31 cut looks\n({_count(looks)} pictures)"
    styles = {"ig-cut": ":", "gi-cut-looks": "--"}
    figure = Figure(figsize=(9.8, 4.4), layout="constrained", dpi=100)
    titles = {"correlation": "with signs", "unsigned": "sizes only"}
    for axes, (column, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(),
                                     strict=True):  # fmt: skip
        axes.axhline(0, color="0.8", lw=1)
        ends = {}
        for method in names:
            colour = _colour(method)
            lines = []
            for draw in sorted({r["draw"] for r in rows}):
                some = [r for r in rows + looks if (r["method"], r["draw"]) == (method, draw)]
                cells = [[float(r[column]) for r in some if r["layer"] == s] for s in STAGES]
                lines.append(torch.tensor(cells).T)  # (pictures, stages)
            for line in lines:
                axes.plot(range(6), [1, *line.nanmean(0)], color=colour, lw=0.7, alpha=0.6)
            mean, low, high = bootstrap_interval(torch.stack(lines).nanmean(0))
            axes.plot(range(6), [1, *mean], f"o{styles.get(method, '-')}", color=colour, lw=2.2,
                      ms=4)  # fmt: skip
            axes.fill_between(range(1, 6), low, high, color=colour, alpha=0.25, lw=0)
            ends[method] = float(mean[-1])
        below = 2.0
        for method in sorted(ends, key=lambda m: -ends[m]):
            below = min(ends[method], below)  # labels keep apart
            axes.plot([5.06, 5.3], [ends[method], below], color=_colour(method), lw=0.7)
            axes.text(5.36, below + 0.035, names[method], color=_colour(method), va="top",
                      fontsize=10)  # fmt: skip
            below -= 0.07 * (1 + names[method].count("\n"))
        axes.set_xticks(range(6), ["nothing", *STAGES.values()])
        axes.set(xlim=(-0.1, 7.8), ylim=(-0.3, 1.08), xlabel="what is random, from the end on")
        axes.set_ylabel("rank correlation")
        axes.set_title(f"{title}, {_count(rows)} pictures, resnet", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("band: 95 % interval; thin lines: one draw each", fontsize=10, color="0.3")
    plots.show(
        figure,
        "Two panels of rank correlation with the map of the trained network against what is "
        "random, from the last layer to all; a band is a 95 % interval, a thin line one draw. With "
        "signs, IG falls to 0 at once, FullGrad and DGA later, Guided Backprop slowest. By sizes "
        "alone, IG stays close below DGA. The sum of 31 cut looks starts half-way between DGA "
        "and IG with its negatives cut, and ends near the latter. Edges stay at 1.",
    )


def fill_in() -> None:
    """How much better DGA is than each method, for three ways to remove a pixel.

    Example:
        >>> fill_in()  # doctest: +ELLIPSIS
        DGA against five methods ...
    """
    rows = stored("fill")
    fills = {"mean": "grey", "linear": "neighbours", "behind": "behind"}
    methods = ("edges", "fg", "ig", "ig-cut", "dga-random")
    others = {m: _name(m) for m in methods}
    values: dict[tuple[str, str, str], Tensor] = {}
    panels = {}
    for measure, word in (("lerf", "LeRF, last fifth"), ("morf", "MoRF, first fifth")):
        for fill, words in fills.items():
            some = [r for r in rows if r["fill"] == fill and r["measure"] == measure]
            panels[f"{measure} {fill}"] = f"{word}: {words}"
            table = {
                (m, n): torch.tensor([float(r[m]) for r in some if r["network"] == n])
                for n in NETWORKS for m in (*methods, "dga")
            }  # fmt: skip
            found = _found(measure, table, others)
            values |= {(f"{measure} {fill}", m, n): v for (_, m, n), v in found.items()}
    differences.show(
        differences.intervals(values), panels, [others], _networks(table),
        "DGA against five methods on three networks, by the mean of LeRF where 80, 90 and 95 % are "
        "removed, above, and by that of MoRF where 2, 5, 10 and 20 % are, below; removed pixels "
        "become grey, their neighbours, or what was behind the object.",
        columns=3,
    )  # fmt: skip


def noise() -> None:
    """How well maps and their LeRF hold under strong noise, DGA against each method.

    Example:
        >>> noise()  # doctest: +ELLIPSIS
        What is kept at noise 0.4, ...
    """
    rows = stored("noise_networks")
    others = {m: _name(m) for m in ("edges", "fg", "gbp", "ig")}
    clean, noisy = ([r for r in rows if float(r["noise"]) == level] for level in (0, 0.4))
    found: dict[tuple[str, str, str], Tensor] = {}
    for column in ("correlation", "lerf"):
        before, after = (_table(some, (*others, "dga"), column) for some in (clean, noisy))
        kept = {key: after[key] - before[key] for key in after}
        found |= _found(column, kept, others)
    panels = {"correlation": "the map (rank correlation)", "lerf": "its LeRF"}
    differences.show(
        differences.intervals(found), panels, [others], _networks(kept),
        "What is kept at noise 0.4, DGA against four methods on three networks.",
    )  # fmt: skip


def on_the_object() -> None:
    """Three measures of how well the map lies on the object, DGA minus each method.

    Example:
        >>> on_the_object()  # doctest: +ELLIPSIS
        How much lies on the object, ...
    """
    rows = [r for r in stored("localisation") if r["split"] == "test"]
    methods = ("edges", "centre", "gi", "gbp", "ig", "fg")
    titles = {"pointing": "best pixel", "top10": "top tenth", "energy": "all positive relevance"}
    others = {m: _name(m) for m in methods}
    found: dict[tuple[str, str, str], Tensor] = {}
    for column in titles:
        values = _table(rows, (*methods, "dga"), column)
        found |= _found(column, values, others)
    differences.show(
        differences.intervals(found), titles, [others], _networks(values),
        "How much lies on the object, DGA against two controls and four methods on three networks.",
    )  # fmt: skip


def stored(part: str) -> list[Row]:
    """A stored result of `tests/tools/heavy_08.py`.

    Args:
        part: its name, such as "noise_networks".

    Example:
        >>> sorted(stored("noise_networks")[0])[:3]
        ['correlation', 'lerf', 'method']
    """
    with open(DATA / "results" / f"08_{part}.csv", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def _table(rows: Sequence[Row], methods: Sequence[str], column: str) -> Paired:
    return {
        (m, n): torch.tensor(
            [float(r[column]) for r in rows if r["method"] == m and r["network"] == n]
        )
        for m in methods
        for n in NETWORKS
    }


def _found(
    measure: str, values: Paired, others: Iterable[str]
) -> dict[tuple[str, str, str], Tensor]:
    """How much better DGA is than others, picture by picture."""
    return {
        (measure, m, n): differences.ahead(measure, values["dga", n], values[m, n])
        for m in others for n in NETWORKS
    }  # fmt: skip


def _networks(values: Paired) -> dict[str, str]:
    return {n: f"{n}, {len(values['dga', n])} pictures" for n in NETWORKS}


def _forest(axes: Axes, values: Paired, methods: Sequence[str]) -> None:
    """Means of each method with their intervals, each for itself."""
    for row, method in enumerate(methods):
        for k, (network, marker) in enumerate(NETWORKS.items()):
            if (method, network) not in values:
                continue
            mean, low, high = bootstrap_interval(values[method, network])
            y, colour = row + 0.24 * (k - 1), _colour(method)
            axes.plot([low, high], [y, y], color=colour, lw=1.5)
            axes.plot(mean, y, marker, color=colour, ms=5)
    axes.set_yticks(range(len(methods)), [_name(m) for m in methods], fontsize=10)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _count(rows: Sequence[Row]) -> int:
    return len({r["picture"] for r in rows})


def _name(method: str) -> str:
    return _SHORT.get(method, LABELS[method])


def _colour(method: str) -> str:
    shared = {"ig-cut": "ig", "gi-cut-looks": "gi"}
    return plots.COLOURS.get(shared.get(method, method), CONTROL)
