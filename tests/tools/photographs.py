"""Table 1 on real photographs, with controls, for days if need be: it goes on where it stopped.

python tests/tools/photographs.py run NETWORK [FILL ...]   evaluates; keeps build/photographs
python tests/tools/photographs.py table                    writes data/results/photographs.csv

NETWORK is squeezenet1_1 or efficientnet_lite0, FILL mean (default), blur or linear; several fills
share their maps and go together. The photographs are those of the optional folder (DGA_REAL), in an
order drawn once: the table takes the batches that every method has done, and says how many pictures
that are.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
from collections.abc import Iterator, Sequence
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


def done(parts: Path) -> Iterator[list[str]]:
    """The table's lines of one run, of the batches that every method has done."""
    starts = sorted({path.name[:6] for path in parts.glob("*-*.csv")})
    whole = [s for s in starts if all((parts / f"{s}-{m}.csv").exists() for m in METHODS)]
    if not whole:
        return
    scores: dict[tuple[str, str, str], list[float]] = {}
    for method in METHODS:
        for start in whole:
            with open(parts / f"{start}-{method}.csv", newline="") as file:
                for row in csv.DictReader(file):
                    curve = [float(value) for value in row["curve"].split()]
                    mean = sum(curve) / len(curve)
                    scores.setdefault((method, row["fill"], row["measure"]), []).append(mean)

    measured = {key: torch.tensor(values, dtype=torch.float64) for key, values in scores.items()}
    yield from csv.reader(io.StringIO(compared(measured)))


def table() -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    header: list[str] = []
    for network in NETWORKS:
        for parts in sorted(KEPT.glob(f"{network}-*.parts"), reverse=True):  # mean comes first
            lines = list(done(parts))
            if lines and not header:
                header = ["network", *lines[0]]
                writer.writerow(header)
            writer.writerows([network, *line] for line in lines[1:])
    if not header:
        raise SystemExit("no batch is done yet: run first")
    write_atomically(DATA / "results" / "photographs.csv", text.getvalue().encode())


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
