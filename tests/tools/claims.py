"""The generated tables of notebooks/results.md: python tests/tools/claims.py

The table of claims sets what the paper says beside our largest stored run of it. The rule was
written before the numbers were seen: *reproduced* if the interval of DGA minus its best rival, on
the same pictures and corrected for the number of comparisons, lies on DGA's side of 0; *tie* if it
holds 0; *not reproduced* if it lies on the other side. A claim with parts has a verdict for each.
The table of photographs is data/results/photographs.csv, that of speed the stored benchmark. Each
goes between its markers in the page; a test checks that the page is what they say.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import dga
from dga.experiments import benchmark
from dga.experiments.evaluation import LABELS
from dga.lessons.figures import roar as figures
from dga.metrics import bootstrap_interval
from dga.zoo.files import DATA, write_atomically

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "notebooks" / "results.md"
RIVALS = ("gi", "gbp", "ig", "fg", "gig")  # of Table 1
RETRAINED = ("gi", "ig", "fg")  # of Fig. 6, as far as they were retrained here
SHORT = {"gi": "G\\*I", "gbp": "GBP", "ig": "IG", "fg": "FG", "gig": "GIG", "dga": "DGA"}
NETWORKS = {"squeezenet1_1": "SqueezeNet 1.1", "efficientnet_lite0": "EfficientNet-Lite0"}
DRAWN = "500 drawn pictures"
# What removed pixels become: the paper's grey, or noisy linear imputation as in ROAD.
FILLED = {"mean": "", "linear": " (filled in)"}


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


def widened(mean: float, low: float, high: float, comparisons: int) -> tuple[float, float]:
    """A 95 % interval as wide as Bonferroni's correction asks, its two sides in proportion."""
    normal = torch.distributions.Normal(0.0, 1.0)
    wanted = normal.icdf(torch.tensor(1 - 0.025 / comparisons)) / normal.icdf(torch.tensor(0.975))
    return mean - float(wanted) * (mean - low), mean + float(wanted) * (high - mean)


def read(name: str) -> list[dict[str, str]]:
    with open(DATA / "results" / name, newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def paired(values: Tensor, comparisons: int = 1) -> tuple[float, float, float]:
    """Mean of differences and its corrected interval."""
    level = 1 - 0.05 / comparisons
    mean, low, high = bootstrap_interval(values, level=level)
    return float(mean), float(low), float(high)


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
    """Fig. 2 on three networks and 20 pictures: the maps, and their LeRF."""
    values = {
        (r["network"], r["method"], float(r["noise"]), r["picture"], what): float(r[what])
        for r in read("08_noise.csv")
        for what in ("correlation", "lerf")
    }
    networks = list(dict.fromkeys(key[0] for key in values))
    pictures = sorted({key[3] for key in values})

    def column(network: str, method: str, level: float, what: str) -> Tensor:
        return torch.tensor([values[network, method, level, p, what] for p in pictures])

    maps, falls = [], []
    for network in networks:
        at = {m: column(network, m, 0.1, "correlation") for m in ("fg", "ig", "dga")}
        worst = min(at["ig"].mean(), at["dga"].mean())
        rival = "ig" if at["ig"].mean() == worst else "dga"
        _, low, high = paired(at[rival] - at["fg"], 2 * len(networks))
        maps.append((network, f"FG {at['fg'].mean():.2f}, IG {at['ig'].mean():.2f}, "
                     f"DGA {at['dga'].mean():.2f}", verdict(low, high)))  # fmt: skip
        lost = {m: column(network, m, 0.0, "lerf") - column(network, m, 0.4, "lerf")
                for m in ("fg", "ig", "dga")}  # fmt: skip
        rival = max(("ig", "dga"), key=lambda m: float(lost[m].mean()))
        _, low, high = paired(lost["fg"] - lost[rival], 2 * len(networks))
        falls.append((network, ", ".join(f"{SHORT[m]} {float(v.mean()):.2f}"
                      for m, v in lost.items()), verdict(low, high)))  # fmt: skip
    return [
        Row(
            "FullGrad's map changes under small noise more than those of IG and DGA (Fig. 2)",
            "08", "rank correlation with the map without noise, at noise 0.1: " + parts(maps),
            verdicts(maps),
        ),
        Row(
            "Under noise FullGrad's pixel perturbation score falls more than those of IG and DGA "
            "(Fig. 2)", "08", "LeRF lost at noise 0.4 (up to 0.1 none loses 0.02): " + parts(falls),
            verdicts(falls),
        ),
    ]  # fmt: skip


def parts(found: list[tuple[str, str, str]]) -> str:
    return "; ".join(f"`{name}` {text}" for name, text, _ in found)


def verdicts(found: list[tuple[str, str, str]]) -> str:
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
    found = []
    for n in (15, 27):
        _, low, high = paired(weak[n] - both[n], 2)
        found.append((f"step {n}", f"{weak[n].mean():.2f} against {both[n].mean():.2f}",
                      verdict(low, high)))  # fmt: skip
    return Row(
        "With weak contributor masks alone the steps mark the same features again more than with "
        "extreme ones as well (Fig. 4)", "04", "overlap of the strongest 5 % with the step before, weak only "
        "against both masks: " + parts(found), verdicts(found),
    )  # fmt: skip


def table1() -> list[Row]:
    """Table 1: photographs with two ImageNet networks, drawn pictures with three of ours."""
    photographs = [
        {**r, "network": NETWORKS[r["network"]] + FILLED[r["fill"]],
         "on": f"{r['pictures']} photographs"}
        for r in read("photographs.csv")
        if r["fill"] in FILLED
    ]  # fmt: skip
    drawn = [{**r, "network": f"`{r['network']}`", "on": DRAWN} for r in read("table1.csv")]
    rows = []
    networks = list(dict.fromkeys(r["network"] for r in (*photographs, *drawn)))
    for order, sign in (("lerf", 1), ("morf", -1)):
        for network in networks:
            of = {
                r["method"]: r
                for r in (*photographs, *drawn)
                if r["network"] == network and r["measure"] == order
            }
            best = max(RIVALS, key=lambda m: sign * float(of[m]["mean"]))
            mean, low, high = (float(of[best][f"dga_minus{end}"]) for end in ("", "_low", "_high"))
            low, high = widened(mean, low, high, 2 * len(networks))
            name = {"lerf": "LeRF", "morf": "MoRF"}[order]
            means = ", ".join(f"{SHORT[m]} {float(of[m]['mean']):.3f}" for m in ("dga", *RIVALS))
            rows.append(Row(
                f"DGA has the best {name} of all methods (Table 1)", "06",
                f"{network}, {of['dga']['on']}: {means}; DGA minus {SHORT[best]} "
                f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
                verdict(*((low, high) if sign > 0 else (-high, -low))),
            ))  # fmt: skip
    return rows


def roar() -> Row:
    """Fig. 6 on CIFAR-10: retrained accuracies against the rival that hurts most."""
    cells, known = figures.stored(), figures.shares()
    found = []
    for share in known:
        right = {m: cells["pictures", m, share] for m in (*RETRAINED, "dga")}
        best = min(RETRAINED, key=lambda m: float(right[m].double().mean()))
        gap = figures.interval(right[best], right["dga"], len(known))
        means = f"DGA {right['dga'].double().mean():.3f}, {SHORT[best]} "
        means += f"{right[best].double().mean():.3f}"
        found.append((f"{float(share):.0%} removed", means, verdict(gap.low, gap.high)))
    seeds, pictures = right["dga"].shape
    return Row(
        "Retrained without the top pixels by DGA, networks do worst (ROAR, Fig. 6)", "07",
        f"CIFAR-10, {pictures:,} test pictures, {seeds} seeds, DGA beside the rival that lowers "
        "the retrained accuracy most: " + parts(found), verdicts(found),
    )  # fmt: skip


def top_ten() -> Row:
    """Fig. 5: the share of the top 10 % on the object, against the best rival."""
    rows = [r for r in read("08_localisation.csv") if r["split"] == "test"]
    found = []
    for network in dict.fromkeys(r["network"] for r in rows):
        of = {
            m: torch.tensor([float(r["top10"]) for r in rows
                             if r["network"] == network and r["method"] == m])
            for m in ("gi", "gbp", "ig", "fg", "dga")
        }  # fmt: skip
        best = max((m for m in of if m != "dga"), key=lambda m: float(of[m].mean()))
        _, low, high = paired(of["dga"] - of[best], 3)
        found.append((network, f"DGA {of['dga'].mean():.2f}, {SHORT[best]} "
                      f"{of[best].mean():.2f}", verdict(low, high)))  # fmt: skip
    return Row(
        "The top 10 % of the pixels by DGA lie on the object better than by any rival (Fig. 5)",
        "08", "share on the object, 100 drawn pictures: " + parts(found), verdicts(found),
    )  # fmt: skip


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
    comparisons = len(questions) * len(NETWORKS) * 2
    found = []
    for method, says, lesson in questions:
        for order, sign in (("lerf", 1), ("morf", -1)):
            cells = []
            for r in rows:
                if r["method"] == method and r["measure"] == order:
                    mean, low, high = (float(r[f"dga_minus{e}"]) for e in ("", "_low", "_high"))
                    low, high = widened(mean, low, high, comparisons)
                    cells.append((NETWORKS[r["network"]], f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
                                  verdict(*((low, high) if sign > 0 else (-high, -low)))))  # fmt: skip
            said = {"reproduced": "yes", "not reproduced": "no, the reverse", "tie": "tie"}
            cells = [(name, text, said[v]) for name, text, v in cells]
            name = {"lerf": "LeRF", "morf": "MoRF"}[order]
            found.append(Row(f"{says}: {name}", lesson, parts(cells), verdicts(cells)))
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
    return "\n".join([f"| {first} | lesson | here | |\n|---|---|---|---|", *map(str, rows)])


def photographs() -> str:
    """Mean and 95 % interval of every method; * where it differs from DGA after correction."""
    titles = {"lerf": "LeRF", "high lerf": "LeRF, 90 to 99 %",
              "morf": "MoRF", "fine morf": "MoRF, 0 to 10 %"}  # fmt: skip
    blocks = []
    rows = read("photographs.csv")
    for network, fill in dict.fromkeys((r["network"], r["fill"]) for r in rows):
        here = {(r["method"], r["measure"]): r for r in rows
                if (r["network"], r["fill"]) == (network, fill)}  # fmt: skip
        count = here["dga", "lerf"]["pictures"]
        lines = [
            f"{NETWORKS[network]}, {count} photographs, removed pixels filled with: {fill}\n",
            "| | " + " | ".join(titles.values()) + " |",
            "|---" * 5 + "|",
        ]
        for method in dict.fromkeys(m for m, _ in here):
            cells = []
            for measure in titles:
                r = here[method, measure]
                star = "\\*" if r["p_holm"] and float(r["p_holm"]) < 0.05 else ""
                cells.append(f"{float(r['mean']):.3f} [{float(r['low']):.3f}, "
                             f"{float(r['high']):.3f}]{star}")  # fmt: skip
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
