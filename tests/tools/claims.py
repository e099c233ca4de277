"""The generated tables of notebooks/results.md: python tests/tools/claims.py

The table of claims sets what the paper says beside our largest stored run of it. The rule was
written before the numbers were seen: *reproduced* if the interval of DGA minus its best rival, on
the same pictures and corrected by Holm, lies on DGA's side of 0; *tie* if it holds 0; *not
reproduced* if it lies on the other side. The correction is over all comparisons of the table that
a row is taken from, or over the parts of the row. A claim with parts has a verdict for each.
The table of photographs is data/results/photographs.csv, that of speed the stored benchmark. Each
goes between its markers in the page; a test checks that the page is what they say.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import dga
from dga.experiments import benchmark
from dga.experiments.evaluation import LABELS
from dga.lessons.figures import differences
from dga.lessons.figures import roar as figures
from dga.metrics import bootstrap_interval
from dga.significance import Interval, holm_intervals
from dga.zoo.files import DATA, write_atomically

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "notebooks" / "results.md"
RIVALS = ("gi", "gbp", "ig", "fg", "gig")  # of Table 1
RETRAINED = ("gi", "ig", "fg")  # of Fig. 6, as far as they were retrained here
SHORT = {"gi": "G\\*I", "gbp": "GBP", "ig": "IG", "fg": "FG", "gig": "GIG", "dga": "DGA"}
NETWORKS = {"squeezenet1_1": "SqueezeNet 1.1", "efficientnet_lite0": "EfficientNet-Lite0"}
DRAWN = "500 drawn pictures"
# What removed pixels become: the paper's grey, noisy linear imputation as in ROAD, a blur.
HOLES = differences.FILLS | {"blur": "blurred holes"}
BEYOND = {"reproduced": "holds", "tie": "tie", "not reproduced": "does not hold"}  # the paper
Part = tuple[str, str, str]  # of a claim: its name, what was found, the verdict


@dataclass(frozen=True)
class Row:
    """A claim, where a lesson deals with it, what was found, and the verdict or verdicts."""

    says: str
    lesson: str
    ours: str
    verdict: str

    def __str__(self) -> str:
        (path,) = RESULTS.parent.glob(f"{self.lesson}_*.ipynb")
        link = f"[{self.lesson}]({path.name})"
        return f"| {self.says} | {link} | {self.ours} | **{self.verdict}** |"


def verdict(low: float, high: float) -> str:
    """By the rule, of an interval that is above 0 where DGA, or the claim, is right."""
    return "reproduced" if low > 0 else "not reproduced" if high < 0 else "tie"


def read(name: str) -> list[dict[str, str]]:
    with open(DATA / "results" / name, newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def columns(name: str, key: str, column: str, **wanted: str) -> dict[str, dict[str, Tensor]]:
    """Network -> method -> (pictures,) of a stored run, from its rows in which `key` is as asked.

    A key is a column such as "noise"; `wanted` names its value and those of others.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for r in read(name):
        if all(r[k] == v for k, v in wanted.items()):
            found.setdefault(r["network"], {}).setdefault(r[key], []).append(float(r[column]))
    return {n: {m: torch.tensor(v) for m, v in of.items()} for n, of in found.items()}


def together(differences: Sequence[Tensor]) -> list[Interval]:
    """Mean of each and its interval, corrected for their number."""
    found = [bootstrap_interval(d) for d in differences]
    return holm_intervals([(float(m), float(low), float(high)) for m, low, high in found])


def against(
    values: Mapping[str, Mapping[str, Tensor]],
    sign: int,
    digits: int = 2,
    one: str = "dga",
    rivals: Sequence[str] = RIVALS,
) -> list[Part]:
    """One method beside its best rival, for each part (network) of a claim.

    `sign` is 1 where high values are good, else -1.
    """
    best = {
        name: max((r for r in rivals if r in of), key=lambda r: sign * float(of[r].nanmean()))
        for name, of in values.items()
    }
    gaps = together([sign * (of[one] - of[best[name]]) for name, of in values.items()])
    parts = []
    for (name, of), gap in zip(values.items(), gaps, strict=True):
        means = [f"{SHORT[m]} {float(of[m].nanmean()):.{digits}f}" for m in (one, best[name])]
        low, high = sorted(sign * end for end in gap[1:])  # of the difference as it is
        text = f"{', '.join(means)}, difference [{low:+.{digits + 1}f}, {high:+.{digits + 1}f}]"
        parts.append((name, text, verdict(*gap[1:])))
    return parts


def identity() -> Row:
    """Uniform FullGrad by subtraction and over all layers, on a shipped network in float64."""
    model = dga.load_model("resnet").double()
    x = model.preprocess(dga.load_images("figures", 2).images).double()
    residual = dga.uniform_fullgrad(model, x)
    gap = float((residual - dga.uniform_fullgrad(model, x, bias="explicit")).abs().max())
    share = gap / float(residual.abs().max())
    return Row(
        "One forward and one backward pass give Uniform FullGrad, as the sum over all biases "
        "does (Eq. 2)", "03", "the two differ by less than 1e-9 of the largest attribution"
        if share < 1e-9 else f"the two differ by {share:.1e} of the largest attribution",
        "reproduced" if share < 1e-9 else "not reproduced",
    )  # fmt: skip


def noise() -> list[Row]:
    """Fig. 2, network by network: the maps, and their LeRF."""
    file, rivals = "08_noise_networks.csv", ("ig", "dga")
    maps = columns(file, "method", "correlation", noise="0.1")
    before, after = (columns(file, "method", "lerf", noise=level) for level in ("0.0", "0.4"))
    lost = {n: {m: v - after[n][m] for m, v in of.items()} for n, of in before.items()}
    number = f"{len(maps['resnet']['fg'])} drawn pictures"
    kept = against(maps, -1, one="fg", rivals=rivals)
    falls = against(lost, 1, one="fg", rivals=rivals)
    return [
        Row(
            "FullGrad's map changes under small noise more than those of IG and DGA (Fig. 2)", "08",
            f"rank correlation, which blur alone lifts, with the map without noise, at noise 0.1, {number}, FG beside the "
            f"one of the two that changes more: {told(kept)}", verdicts(kept),
        ),
        Row(
            "Under noise FullGrad's pixel perturbation score falls more than those of IG and DGA "
            "(Fig. 2)", "08", f"LeRF lost at noise 0.4, {number}, FG beside the one of the two that "
            f"loses more: {told(falls)}", verdicts(falls),
        ),
    ]  # fmt: skip


def told(found: Sequence[Part]) -> str:
    return "; ".join(f"`{name}` {text}" for name, text, _ in found)


def verdicts(found: Sequence[Part]) -> str:
    """One for all parts if they agree, else each with its name."""
    said = {v for *_, v in found}
    return said.pop() if len(said) == 1 else ", ".join(f"{v} (`{name}`)" for name, _, v in found)


def weak_masks_repeat() -> Row:
    """Fig. 4: of the strongest 5 % of features, the share that was among them one step before."""
    model = dga.load_model("resnet")
    x = model.preprocess(dga.load_images("figures").images)

    def overlap(masks: str) -> dict[int, Tensor]:
        tops = []
        for step in dga.distill(model, x, masks=masks):  # type: ignore[arg-type]
            phi = step.attribution.flatten(1)
            top = torch.zeros_like(phi, dtype=torch.bool)
            tops.append(top.scatter_(1, phi.topk(round(0.05 * phi.shape[1]), 1).indices, True))
        return {
            n: (tops[n] & tops[n - 1]).float().sum(1) / tops[n].float().sum(1) for n in (15, 27)
        }

    weak, both = overlap("weak"), overlap("both")
    gaps = together([weak[n] - both[n] for n in (15, 27)])
    found = [
        (
            f"step {n}",
            f"{weak[n].mean():.2f} against {both[n].mean():.2f}, difference "
            f"[{low:+.2f}, {high:+.2f}]",
            verdict(low, high),
        )
        for n, (_, low, high) in zip((15, 27), gaps, strict=True)
    ]
    return Row(
        "With weak contributor masks alone the steps mark the same features again more than with "
        "extreme ones as well (Fig. 4)", "04", f"`resnet`, {len(x)} drawn pictures, overlap of the strongest 5 % with the step before, weak only "
        "against both masks: " + told(found), verdicts(found),
    )  # fmt: skip


def table1() -> list[Row]:
    """Table 1: photographs with two ImageNet networks, drawn pictures with three of ours."""
    photographs = [
        {**r, "network": NETWORKS[r["network"]], "on": f"{r['pictures']} photographs"}
        for r in read("photographs.csv")
    ]
    drawn = [
        {**r, "network": f"`{r['network']}`", "on": DRAWN, "fill": "mean"}
        for r in read("table1.csv")
    ]
    rows = []
    runs = dict.fromkeys((r["fill"], r["network"]) for r in (*photographs, *drawn))
    kinds = [(order, *run) for order in ("lerf", "morf") for run in runs]
    # What the paper measured comes first, other holes behind it.
    for order, fill, network in sorted(kinds, key=lambda kind: (kind[0], kind[1] != "mean")):
        sign = {"lerf": 1, "morf": -1}[order]
        of = {
            r["method"]: r
            for r in (*photographs, *drawn)
            if (r["network"], r["fill"], r["measure"]) == (network, fill, order)
        }
        best = max(RIVALS, key=lambda m: sign * float(of[m]["mean"]))
        mean, low, high = difference(of[best])
        name = {"lerf": "LeRF", "morf": "MoRF"}[order]
        means = ", ".join(f"{SHORT[m]} {float(of[m]['mean']):.3f}" for m in ("dga", *RIVALS))
        found = verdict(*((low, high) if sign > 0 else (-high, -low)))
        rows.append(Row(
                f"DGA has the best {name} of all methods (Table 1)" if fill == "mean"
                else f"DGA has the best {name}, with {HOLES[fill]} (beyond the paper)", "06",
                f"{network}, {of['dga']['on']}: {means}; DGA minus {SHORT[best]} "
                f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
                found if fill == "mean" else BEYOND[found],
            ))  # fmt: skip
    return rows


def difference(row: Mapping[str, str]) -> Interval:
    """DGA minus a method as stored, corrected for all comparisons of its table."""
    mean, low, high = (float(row[f"dga_minus{end}"]) for end in ("", "_low", "_high"))
    return Interval(mean, low, high)


def roar() -> Row:
    """Fig. 6 on CIFAR-10: retrained accuracies against the rival that hurts most."""
    cells, known = figures.stored(), figures.shares()
    names, means, gaps = [], [], []
    for share in known:
        right = {m: cells["pictures", m, share] for m in (*RETRAINED, "dga")}
        best = min(RETRAINED, key=lambda m: float(right[m].double().mean()))
        gaps.append(figures.interval(right[best], right["dga"]))
        names.append(f"{float(share):.0%} removed")
        means.append(", ".join(f"{SHORT[m]} {right[m].double().mean():.3f}" for m in ("dga", best)))
    verdicts_ = [verdict(low, high) for _, low, high in holm_intervals(gaps)]
    found = list(zip(names, means, verdicts_, strict=True))
    seeds, pictures = right["dga"].shape
    return Row(
        "Retrained without the top pixels by DGA, networks do worst (ROAR, Fig. 6)", "07",
        f"CIFAR-10, {pictures:,} test pictures, {seeds} seeds, DGA beside the rival that lowers "
        "the retrained accuracy most: " + told(found), verdicts(found),
    )  # fmt: skip


def top_ten() -> Row:
    """Fig. 5: the share of the top 10 % on the object, against the best rival."""
    found = against(columns("08_localisation.csv", "method", "top10", split="test"), 1)
    return Row(
        "The top 10 % of the pixels by DGA lie on the object better than by any rival (Fig. 5)",
        "08", "share on the object, 100 drawn pictures: " + told(found), verdicts(found),
    )  # fmt: skip


def answered(question: str, lesson: str, lead: str, found: Sequence[Part]) -> Row:
    """A row whose verdicts answer a question that the paper does not ask."""
    words = {"reproduced": "yes", "not reproduced": "no, the reverse", "tie": "tie"}
    found = [(name, text, words[v]) for name, text, v in found]
    return Row(question, lesson, lead + told(found), verdicts(found))


def controls() -> list[Row]:
    """What the paper does not say but its conclusion needs, on photographs."""
    rows = [r for r in read("photographs.csv") if r["fill"] == "mean"]
    questions = (
        ("dga-random", "DGA's masks are better than random ones of the same schedule", "04"),
        ("dga-weak", "Both masks are better than weak contributor masks alone", "04"),
        ("dga-extreme", "Both masks are better than extreme contributor masks alone", "04"),
        ("dga-gi", "DGA with Uniform FullGrad is better than with x\\*g", "05"),
        ("centre", "DGA is better than a blob in the centre", "06"),
    )
    found = []
    for method, says, lesson in questions:
        for order, sign in (("lerf", 1), ("morf", -1)):
            cells = []
            for r in rows:
                if r["method"] == method and r["measure"] == order:
                    mean, low, high = difference(r)
                    cells.append((NETWORKS[r["network"]], f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
                                  verdict(*((low, high) if sign > 0 else (-high, -low)))))  # fmt: skip
            name = {"lerf": "LeRF", "morf": "MoRF"}[order]
            found.append(answered(f"{says}: {name}", lesson, "", cells))
    return found + sanity()


def sanity() -> list[Row]:
    """The checks of lesson 08, on drawn pictures, of which the truth is known."""
    found = []
    asked = columns("08_classes.csv", "method", "share", named="1.0000")
    found.append(answered(
        "Asked for one of two objects, DGA marks it more than any rival does", "08",
        "share on the object asked for, 1/2 is blind: ", against(asked, 1),
    ))  # fmt: skip
    fills = {"linear": "their neighbours", "behind": "what is behind the object"}
    ends = {  # not the whole curve, as in Table 1
        "lerf": (1, "LeRF, last fifth (80 to 95 % removed)"),
        "morf": (-1, "MoRF, first fifth (2 to 20 % removed)"),
    }
    for order, (sign, name) in ends.items():
        for fill, words in fills.items():
            rows = [r for r in read("08_fill.csv") if (r["fill"], r["measure"]) == (fill, order)]
            networks = dict.fromkeys(r["network"] for r in rows)
            values = {
                n: {m: torch.tensor([float(r[m]) for r in rows if r["network"] == n])
                    for m in ("dga", *RIVALS)}
                for n in networks
            }  # fmt: skip
            count = len(values["resnet"]["dga"])
            found.append(answered(
                f"With removed pixels replaced by {words} DGA has the best {name}", "08",
                f"{count} drawn pictures: ", against(values, sign),
            ))  # fmt: skip
    random = {
        words: {
            m: torch.stack([
                columns("08_cascade.csv", "method", "unsigned", layer=layer, draw=draw)["resnet"][m]
                for draw in ("0", "1", "2")
            ]).mean(0)
            for m in ("dga", "gi", "gbp", "ig", "fg")
        }
        for words, layer in (("last layer", "10"), ("all layers", "0"))
    }  # fmt: skip
    found.append(answered(
        "With layers made random DGA's map is less like the trained network's than any rival's",
        "08", "rank correlation of sizes, `resnet`, 50 drawn pictures, mean of three draws: ",
        against(random, -1),
    ))  # fmt: skip
    measures = {
        "sensitivity": "DGA's map changes less than any rival's in a small cube around the picture "
        "(sensitivity-max)",
        "scaled": "DGA's sums over patches follow the score better than any rival's (infidelity, "
        "best multiple)",
    }
    for column, says in measures.items():
        values = columns("08_quantus.csv", "method", column)
        count = len(values["resnet"]["dga"])
        found.append(answered(says, "08", f"{count} drawn pictures: ", against(values, -1)))
    return found


CLAIMS: list[Callable[[], Row | list[Row]]] = [
    identity, noise, weak_masks_repeat, table1, roar, top_ten,
]  # fmt: skip


def claims() -> list[Row]:
    found: list[Row] = []
    for make in CLAIMS:
        made = make()
        found += made if isinstance(made, list) else [made]
    return found


def _table(rows: list[Row], first: str) -> str:
    head = f"| {first} | lesson | here | verdict |\n|---|---|---|---|"
    return "\n".join([head, *map(str, rows)])


def photographs() -> str:
    """Mean and 95 % interval of every method; marked where it differs from DGA, corrected."""
    titles = {"lerf": "LeRF", "high lerf": "LeRF, 90 to 99 %",
              "morf": "MoRF", "fine morf": "MoRF, 0 to 10 %"}  # fmt: skip
    blocks = []
    rows = read("photographs.csv")
    for network, fill in dict.fromkeys((r["network"], r["fill"]) for r in rows):
        here = {(r["method"], r["measure"]): r for r in rows
                if (r["network"], r["fill"]) == (network, fill)}  # fmt: skip
        count = here["dga", "lerf"]["pictures"]
        lines = [
            f"{NETWORKS[network]}, {count} photographs, {HOLES[fill]}\n",
            "| | " + " | ".join(titles.values()) + " |",
            "|---" * 5 + "|",
        ]
        for method in dict.fromkeys(m for m, _ in here):
            cells = []
            for measure in titles:
                r = here[method, measure]
                _, low, high = difference(r) if r["dga_minus"] else (0.0, 0.0, 0.0)
                better = high < 0 if measure in ("lerf", "high lerf") else low > 0
                mark = "" if low <= 0 <= high else " ▲" if better else " ▼"
                cells.append(f"{float(r['mean']):.3f} [{float(r['low']):.3f}, "
                             f"{float(r['high']):.3f}]{mark}")  # fmt: skip
            lines.append(f"| {LABELS[method].replace('*', chr(92) + '*')} | "
                         + " | ".join(cells) + " |")  # fmt: skip
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def speed() -> str:
    """The rows of the stored benchmark."""
    stored = json.loads((DATA / "results" / "benchmark.json").read_text())["rows"]
    fields = [field.name for field in dataclasses.fields(benchmark.Row)]
    return benchmark.table(
        [benchmark.Row(**{name: row[name] for name in fields}) for row in stored]
    )


def filled(text: str) -> str:
    """The page with every generated table as it is today."""
    tables = {
        "claims": _table(claims(), "the paper"),
        "controls": _table(controls(), "the question"),
        "photographs": photographs(),
        "speed": speed(),
    }
    for name, table in tables.items():
        before, rest = text.split(f"<!-- {name} -->")
        after = rest.split(f"<!-- /{name} -->")[1]
        text = f"{before}<!-- {name} -->\n\n{table}\n\n<!-- /{name} -->{after}"
    return text


def main() -> None:
    write_atomically(RESULTS, filled(RESULTS.read_text()).encode())


if __name__ == "__main__":
    main()
