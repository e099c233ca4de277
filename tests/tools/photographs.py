"""Table 1 on real photographs, with controls, for days if need be: it goes on where it stopped.

python tests/tools/photographs.py run NETWORK [FILL ...]   evaluates; keeps build/photographs
python tests/tools/photographs.py table                    adds it to data/results/photographs*.csv

Two cores share the work under `torchrun --nproc-per-node 2 tests/tools/photographs.py run ...`.

NETWORK is squeezenet1_1 or efficientnet_lite0, FILL mean (default), blur or linear; several fills
share their maps and go together. The photographs are those of the optional folder (DGA_REAL), in an
order drawn once: the table takes the batches that every method has done, and says how many pictures
that are. What is stored stays: where build/photographs is lost, --after N leaves the first N out.
photographs_scores.csv holds a score for each picture, photographs_curves.csv the mean curves,
photographs.csv what is made of the scores: means, intervals, differences to DGA.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import dga
from dga.experiments.comparison import compared
from dga.experiments.evaluation import CONTROLS, TABLE, Evaluation, find_pictures
from dga.experiments.processes import group
from dga.filling import Fill
from dga.zoo.files import DATA, real_folder, write_atomically

ROOT = Path(__file__).parent.parent.parent
KEPT = ROOT / "build" / "photographs"
NETWORKS = ("squeezenet1_1", "efficientnet_lite0")
Key = tuple[str, ...]
Curve = list[float]
METHODS = (*TABLE, *(name for name in CONTROLS if name not in TABLE))
SCORES = ["network", "fill", "measure", "picture", *METHODS]
CURVES = ["network", "method", "fill", "measure", "curve"]


def shuffled(folder: Path, after: int = 0) -> Path:
    """Links to photographs in a drawn order: any first part of them is a fair sample."""
    links = KEPT / f"after_{after}"
    links.mkdir(parents=True, exist_ok=True)
    names = find_pictures(folder)
    random.Random(0).shuffle(names)
    for k, name in enumerate(names[after:], after):
        with suppress(FileExistsError):  # of an earlier run, or of the process beside
            (links / f"{k:03}_{Path(name).name}").symlink_to(folder / name)
    return links


def evaluation(network: str, fills: Sequence[Fill], after: int) -> Evaluation:
    folder = real_folder()
    if folder is None:
        raise SystemExit("name a folder of real photographs in the environment variable DGA_REAL")
    weights = folder / f"{network}_imagenet.pt"
    model: Any = dga.load_model(network, weights if weights.exists() else "default")
    output = KEPT / f"{network}-{'+'.join(fills)}-{after}.csv"
    return Evaluation(model, shuffled(folder, after), output, methods=METHODS, fills=fills)


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


def stored(name: str, header: list[str]) -> list[list[str]]:
    """Rows of data/results/NAME.csv below the header, none where there is no file."""
    path = DATA / "results" / f"{name}.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        found, *rows = csv.reader(file)
    if found != header:
        raise SystemExit(f"{path} has other columns than {','.join(header)}: delete it to begin")
    return rows


def table() -> None:
    """Adds the pictures of build/photographs that are not stored yet."""
    scores: dict[Key, dict[str, list[str]]] = {}  # picture -> a score for each method
    for network, fill, measure, picture, *values in stored("photographs_scores", SCORES):
        scores.setdefault((network, fill, measure), {})[picture] = values
    means = {
        tuple(key): torch.tensor([float(value) for value in curve.split()]).double()
        for *key, curve in stored("photographs_curves", CURVES)
    }
    for parts in sorted(KEPT.glob("*.parts")):
        network = parts.name.split("-")[0]
        curves = done(parts)
        for fill, measure in dict.fromkeys(key[1:] for key in curves):
            of = scores.setdefault((network, fill, measure), {})
            new = [p for p in curves[METHODS[0], fill, measure] if p not in of]
            for method in METHODS if new else ():
                added = torch.tensor([curves[method, fill, measure][p] for p in new]).double()
                key = (network, method, fill, measure)
                before = len(of) * means[key] if of else 0
                means[key] = (before + added.sum(0)) / (len(of) + len(new))
            for picture in new:
                each = [curves[m, fill, measure][picture] for m in METHODS]
                of[picture] = [f"{sum(curve) / len(curve):.5f}" for curve in each]
    if not scores:
        raise SystemExit("no batch is done yet: run first")
    rows = [SCORES, *([*key, p, *v] for key in scores for p, v in scores[key].items())]
    lines = [CURVES, *([*key, " ".join(f"{v:.5f}" for v in means[key])] for key in means)]
    for name, content in (("_scores", rows), ("_curves", lines), ("", compared_scores(rows))):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(content)
        write_atomically(DATA / "results" / f"photographs{name}.csv", text.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("network", nargs="?", choices=NETWORKS)
    parser.add_argument("fills", nargs="*", metavar="FILL", help="mean (default), blur, linear")
    parser.add_argument("--after", type=int, default=0, metavar="N", help="leave out the first N")
    options = parser.parse_args()
    if options.what == "table":
        table()
    elif options.network is None:
        parser.error("run needs a network: " + " or ".join(NETWORKS))
    else:
        with group() as processes:
            wanted = evaluation(options.network, options.fills or ["mean"], options.after)
            wanted.run(processes, progress=processes.rank == 0)


if __name__ == "__main__":
    main()
