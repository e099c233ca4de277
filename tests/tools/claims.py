"""The generated tables of notebooks/results.md: python tests/tools/claims.py

The table of claims sets what the paper says beside what the lessons print, from their committed
outputs; the table of speed is the stored benchmark. Each goes between its markers in the page. A
test checks that the page is what they say.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat

from dga.experiments import benchmark
from dga.zoo.files import DATA, write_atomically

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "notebooks" / "results.md"


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, and how to read our answer from the output of a lesson.

    Attributes:
        says: the statement, and where it is made.
        lesson, cell: file name without ending, and ids of the cells that print the numbers.
        pattern: its groups are the numbers, in the output of that cell.
        ours: a sentence with {0}, {1}, ... for the numbers.
        verdict: of the numbers: "reproduced", "partly" or "not reproduced".
    """

    says: str
    lesson: str
    cell: str
    pattern: str
    ours: str
    verdict: Callable[..., str]


def holds(yes: bool, partly: bool = False) -> str:
    return "reproduced" if yes else "partly" if partly else "not reproduced"


RIVALS = (
    r"Gradient\*Input", "Guided Backprop", "Integrated Gradients", "FullGrad", "Guided IG", "DGA",
)  # fmt: skip

CLAIMS: list[Claim] = [
    Claim(
        "One forward and one backward pass give Uniform FullGrad, as the sum over all biases does (Eq. 2)",
        "03_fullgrad", "fullgrad-28",
        r"the boxes: \(4\) ([-\d.]+), \(5\) ([-\d.]+),",
        "layer by layer {0}, by subtraction {1}",
        lambda a, b: holds(a == b),
    ),
    Claim(
        "FullGrad changes under small noise, IG and DGA stay stable (Fig. 2)",
        "03_fullgrad", "fullgrad-22",
        r"resnet FullGrad +moved +\S+ +(\S+) .*resnet IG +moved +\S+ +(\S+) .*"
        r"resnet DGA +moved +\S+ +(\S+) ",
        "noise 0.1 moves the map of FullGrad by {0}, of IG by {1}, of DGA by {2} of its magnitude",
        lambda fg, ig, dga: holds(fg > max(ig, dga), fg > min(ig, dga)),
    ),
    Claim(
        "Under noise the pixel perturbation score of FullGrad falls, those of IG and DGA do not (Fig. 2)",
        "03_fullgrad", "fullgrad-23",
        r"FullGrad +LeRF at 0.4 less that at 0: mean (\S+), 95 % interval (\S+) to (\S+),.*"
        r"IG +LeRF at 0.4 less that at 0: mean (\S+), 95 % interval (\S+) to (\S+),.*"
        r"DGA +LeRF at 0.4 less that at 0: mean (\S+), 95 % interval (\S+) to (\S+),",
        "up to noise 0.1 none does; at 0.4 LeRF changes by {0} [{1}, {2}] for FullGrad, {3} [{4}, {5}] for IG, "
        "{6} [{7}, {8}] for DGA",
        lambda *v: holds(False, v[2] < 0 <= min(v[5], v[8])),
    ),
    Claim(
        "Where f is linear and only x1 moves, IG of x2 moves as well, if the region does not hold the "
        "baseline (Fig. 3)",
        "02_integrated_gradients", "integrated-26",
        r"B +1 +\S+ to \S+ +(\S+) to (\S+) +\S+ to \S+ +(\S+) to (\S+)",
        "IG of x2 goes from {0} to {1}, Uniform FullGrad stays at {2}",
        lambda low, high, a, b: holds(low < high and a == b),
    ),
    Claim(
        "With weak contributor masks alone the sequence saturates, extreme ones cure that (Fig. 4)",
        "04_contributor_masks", "masks-26",
        r"   15 +(\S+) +\S+ +(\S+) .*   27 +(\S+) +\S+ +(\S+) ",
        "overlap of the strongest 5 % with the step before: {0} against {1} with both masks at step 15, {2} "
        "against {3} at step 27",
        lambda w15, b15, w27, b27: holds(w15 > 2 * b15 and w27 > 2 * b27, w15 > b15),
    ),
    *(
        Claim(
            f"DGA has the best {order} of all methods: {family} (Table 1)",
            "06_pixel_perturbation", "perturbation-14 perturbation-15",
            "".join(
                rf"{network} +{name} +\S+ \[.*?\] +{lerf} \[.*?\] +\S+ \[.*?\] +{morf} \[.*?\]\s.*?"
                for name in RIVALS
            ),
            f"`{network}`, 500 pictures: DGA {{5}}; " + ", ".join(
                f"{short} {{{k}}}" for k, short in enumerate(("G\\*I", "GBP", "IG", "FG", "GIG"))
            ),
            lambda *v, sign=sign: holds(
                sign * v[5] > max(sign * other for other in v[:5]),
                sign * v[5] >= sorted(sign * other for other in v[:5])[-2],
            ),
        )
        for order, lerf, morf, sign in (("LeRF", r"(\S+)", r"\S+", 1), ("MoRF", r"\S+", r"(\S+)", -1))
        for family, network in (("VGG", "vgg"), ("ResNet", "resnet"), ("Inception", "inception"))
    ),
    Claim(
        "Retrained without the top pixels by DGA, networks do worst (ROAR, Fig. 6)",
        "07_roar", "roar-22",
        r"ROAR  IG +(\S+) .*?mean (\S+)\nROAR  FG .*?ROAR  DGA +(\S+) .*?mean (\S+)",
        "accuracy without 10 %: DGA {2}, IG {0}; mean over five shares: DGA {3}, IG {1}; holes with the outline "
        "of the object tell the class",
        lambda ig, mean, dga, dga_mean: holds(dga < ig and dga_mean < mean, dga < ig),
    ),
    Claim(
        "The top 10 % of the pixels by DGA lie on the object (Fig. 5)",
        "08_ground_truth_and_sanity", "truth-13",
        r"resnet +Integrated Gradients +pointing \S+ \[.*?\] +top 10 (\S+) .*?"
        r"resnet +DGA +pointing \S+ \[.*?\] +top 10 (\S+) .*?"
        r"inception +FullGrad +pointing \S+ \[.*?\] +top 10 (\S+) .*?"
        r"inception +DGA +pointing \S+ \[.*?\] +top 10 (\S+) ",
        "share on the object, `resnet`: DGA {1}, IG {0}; `inception`: DGA {3}, FullGrad {2}",
        lambda ig, first, fg, second: holds(first > ig and second > fg, first > ig),
    ),
    Claim(
        "N = 30, q = 0.9, beta = 0 is the best setting (appendix)",
        "09_hyperparameters", "hyper-16",
        r"resnet +q = 1.0 +LeRF (\S+) .*?resnet +beta = 0.5 +LeRF \S+ \[.*?\] +MoRF (\S+) ",
        "on `resnet` another q changes LeRF by {0}, another beta MoRF by {1}: it is a compromise of the two",
        lambda lerf, morf: holds(lerf <= 0 and morf >= 0),
    ),
]  # fmt: skip


def printed(lesson: str, cell: str) -> str:
    """The text that one cell of a lesson, or several, printed."""
    book = nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", 4)
    found = [c for c in book.cells if c.id in cell.split()]
    return "".join(output.get("text", "") for c in found for output in c.outputs)


def row(claim: Claim) -> str:
    text = printed(claim.lesson, claim.cell)
    match = re.search(claim.pattern, text, re.S)
    if match is None:
        raise ValueError(
            f"{claim.lesson}, cell {claim.cell}: nothing like {claim.pattern!r} in\n{text}"
        )
    verdict = claim.verdict(*(float(value) for value in match.groups()))
    ours = claim.ours.format(*match.groups())
    lesson = f"[{claim.lesson[:2]}]({claim.lesson}.ipynb)"
    return f"| {claim.says} | {lesson} | {ours} | **{verdict}** |"


def claims_table() -> str:
    head = "| the paper | lesson | here | |\n|---|---|---|---|"
    return "\n".join([head, *(row(claim) for claim in CLAIMS)])


def speed_table() -> str:
    """The rows of the stored benchmark."""
    stored = json.loads((DATA / "results" / "benchmark.json").read_text())["rows"]
    fields = [field.name for field in dataclasses.fields(benchmark.Row)]
    return benchmark.table(
        [benchmark.Row(**{name: row[name] for name in fields}) for row in stored]
    )


def filled(text: str) -> str:
    """The page with every generated table as it is today."""
    for name, table in (("claims", claims_table()), ("speed", speed_table())):
        before, rest = text.split(f"<!-- {name} -->")
        after = rest.split(f"<!-- /{name} -->")[1]
        text = f"{before}<!-- {name} -->\n\n{table}\n\n<!-- /{name} -->{after}"
    return text


def main() -> None:
    write_atomically(RESULTS, filled(RESULTS.read_text()).encode())


if __name__ == "__main__":
    main()
