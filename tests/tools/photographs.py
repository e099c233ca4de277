"""Table 1 on real photographs, with controls, for days if need be: it goes on where it stopped.

python tests/tools/photographs.py run NETWORK [FILL ...]   evaluates; keeps build/photographs
python tests/tools/photographs.py table                    writes data/results/photographs*.csv

NETWORK is squeezenet1_1 or efficientnet_lite0, FILL mean (default), blur or linear; several fills
share their maps and go together. The photographs are those of the optional folder (DGA_REAL), in an
order drawn once: the table takes the batches that every method has done, and says how many pictures
that are. photographs_scores.csv holds a score for each picture, photographs_curves.csv the mean
curves, photographs.csv what is made of the scores: means, intervals, differences to DGA.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import dga
from dga.experiments.comparison import compared
from dga.experiments.evaluation import CONTROLS, TABLE, Evaluation, find_pictures
from dga.filling import Fill
from dga.zoo.files import DATA, real_folder, write_atomically

ROOT = Path(__file__).parent.parent.parent
KEPT = ROOT / "build" / "photographs"
NETWORKS = ("squeezenet1_1", "efficientnet_lite0")
Key = tuple[str, ...]
Curve = list[float]
METHODS = (*TABLE, *(name for name in CONTROLS if name not in TABLE))


def shuffled(folder: Path) -> Path:
    """Links to all photographs in a drawn order: any first part of them is a fair sample."""
    links = KEPT / "in_drawn_order"
    links.mkdir(parents=True, exist_ok=True)
    names = find_pictures(folder)
    random.Random(0).shuffle(names)
    for k, name in enumerate(names):
        link = links / f"{k:03}_{Path(name).name}"
        if not link.exists():
            link.symlink_to(folder / name)
    return links


def evaluation(network: str, fills: Sequence[Fill]) -> Evaluation:
    folder = real_folder()
    if folder is None:
        raise SystemExit("name a folder of real photographs in the environment variable DGA_REAL")
    weights = folder / f"{network}_imagenet.pt"
    model: Any = dga.load_model(network, weights if weights.exists() else "default")
    output = KEPT / f"{network}-{'+'.join(fills)}.csv"
    return Evaluation(model, shuffled(folder), output, methods=METHODS, fills=fills)


def done(parts: Path) -> dict[Key, dict[str, Curve]]:
    """(method, fill, measure) -> picture -> curve, of the batches that every method has done."""
    starts = sorted({path.name[:6] for path in parts.glob("*-*.csv")})
    whole = [s for s in starts if all((parts / f"{s}-{m}.csv").exists() for m in METHODS)]
    curves: dict[Key, dict[str, Curve]] = {}
    for method in METHODS:
        for start in whole:
            with open(parts / f"{start}-{method}.csv", newline="") as file:
                for row in csv.DictReader(file):
                    key = (method, row["fill"], row["measure"])
                    curve = [float(value) for value in row["curve"].split()]
                    curves.setdefault(key, {})[row["picture"][4:]] = curve
    return curves


def compared_scores(scores: list[list[str]]) -> list[list[str]]:
    """Rows of photographs.csv from rows of photographs_scores.csv, both with their header."""
    measured: dict[str, dict[Key, list[float]]] = {}
    for network, fill, measure, _, *values in scores[1:]:
        of = measured.setdefault(network + fill, {})
        for method, value in zip(METHODS, values, strict=True):
            of.setdefault((network, method, fill, measure), []).append(float(value))
    rows: list[list[str]] = []
    for of in measured.values():
        (network,) = {key[0] for key in of}
        by_method = sorted(of, key=lambda key: METHODS.index(key[1]))
        table = compared({key[1:]: torch.tensor(of[key]).double() for key in by_method})
        header, *lines = csv.reader(io.StringIO(table))
        rows = rows or [["network", *header]]
        rows += [[network, *line] for line in lines]
    return rows


def table() -> None:
    scores = [["network", "fill", "measure", "picture", *METHODS]]
    means = [["network", "method", "fill", "measure", "curve"]]
    for network in NETWORKS:
        for parts in sorted(KEPT.glob(f"{network}-*.parts"), reverse=True):  # mean comes first
            curves = done(parts)
            for (method, fill, measure), of in curves.items():
                mean = torch.tensor(list(of.values())).double().mean(0)
                text = " ".join(f"{v:.5f}" for v in mean.tolist())
                means.append([network, method, fill, measure, text])
            for fill, measure in dict.fromkeys(key[1:] for key in curves):
                for picture in curves[METHODS[0], fill, measure]:
                    each = [curves[m, fill, measure][picture] for m in METHODS]
                    values = [f"{sum(curve) / len(curve):.5f}" for curve in each]
                    scores.append([network, fill, measure, picture, *values])
    if len(scores) == 1:
        raise SystemExit("no batch is done yet: run first")
    for name, rows in (("_scores", scores), ("_curves", means), ("", compared_scores(scores))):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_atomically(DATA / "results" / f"photographs{name}.csv", text.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("network", nargs="?", choices=NETWORKS)
    parser.add_argument("fills", nargs="*", metavar="FILL", help="mean (default), blur, linear")
    options = parser.parse_args()
    if options.what == "table":
        table()
    elif options.network is None:
        parser.error("run needs a network: " + " or ".join(NETWORKS))
    else:
        evaluation(options.network, options.fills or ["mean"]).run(progress=True)


if __name__ == "__main__":
    main()
