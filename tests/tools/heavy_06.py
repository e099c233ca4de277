"""Table 1 on all shipped test pictures, for lesson 06: python tests/tools/heavy_06.py [NETWORK ...]

Writes data/results/table1.csv (mean, 95 % bootstrap interval, and DGA minus the method, paired,
with Holm's correction over the table of a network)
and table1_curves.csv (the mean curves). A network that is named replaces its own rows only, so an
interrupted run goes on with the next name. About 8 minutes of one thread for a network.
"""

from __future__ import annotations

import argparse
import csv
import io
import time

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur
from tqdm.auto import tqdm

import dga
from dga import metrics
from dga.experiments.evaluation import TABLE, attribute
from dga.significance import holm_intervals
from dga.zoo.files import DATA, write_atomically

NETWORKS = ("vgg", "resnet", "inception")
FINE = tuple(k / 100 for k in range(11))
BLUR = {"blurred ig": "ig", "blurred dga": "dga"}  # Gaussian, sigma of 2 pixels
COLUMNS = ("network", "method", "measure", "mean", "low", "high",
           "dga_minus", "dga_minus_low", "dga_minus_high", "pictures")  # fmt: skip
CURVE_COLUMNS = ("network", "method", "order", "share", "mean")


def centre(inputs: Tensor) -> Tensor:
    """A blob in the middle of every picture: it never saw the network, nor the picture."""
    h, w = inputs.shape[2:]
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    distance = (row - (h - 1) / 2) ** 2 + (column - (w - 1) / 2) ** 2
    return -distance.to(inputs).expand_as(inputs)


def curves(
    model: nn.Module, inputs: Tensor, batch: int, label: str
) -> dict[str, dict[str, Tensor]]:
    """Method -> order -> curves, (pictures, shares): "lerf" and "morf" coarse, "fine" MoRF."""
    parts: dict[str, dict[str, list[Tensor]]] = {}
    shares = sorted({*metrics.SHARES, *FINE})
    for start in tqdm(range(0, len(inputs), batch), desc=label):
        x = inputs[start : start + batch]
        with torch.no_grad():
            targets = model(x).argmax(1)
        maps = {name: attribute(name, model, x, targets, first=start) for name in TABLE}
        for name, of in BLUR.items():
            maps[name] = gaussian_blur(maps[of], 13, 2.0)
        maps["centre"] = centre(x)
        for name, a in maps.items():
            lerf = dga.pixel_perturbation(model, x, a, targets, "lerf")
            morf = dga.pixel_perturbation(model, x, a, targets, "morf", shares=shares)
            found = {
                "lerf": lerf,
                "morf": morf[:, [shares.index(s) for s in metrics.SHARES]],
                "fine": morf[:, [shares.index(s) for s in FINE]],
            }
            for order, curve in found.items():
                parts.setdefault(name, {}).setdefault(order, []).append(curve)
    return {m: {o: torch.cat(c) for o, c in orders.items()} for m, orders in parts.items()}


def rows(network: str, found: dict[str, dict[str, Tensor]]) -> tuple[list[tuple], list[tuple]]:
    """Rows of the table, and of the curves."""
    table, lines = [], []
    keys = [(name, order) for name, orders in found.items() for order in orders if name != "dga"]
    gaps = [metrics.bootstrap_interval((found["dga"][o] - found[m][o]).mean(1)) for m, o in keys]
    corrected = dict(zip(keys, holm_intervals([tuple(map(float, g)) for g in gaps]), strict=True))
    for name, orders in found.items():
        for order, curve in orders.items():
            score = curve.mean(1)
            numbers = [f"{v:.4f}" for v in metrics.bootstrap_interval(score)]
            pairs = [f"{v:.4f}" for v in corrected.get((name, order), (0.0, 0.0, 0.0))]
            table.append((network, name, order, *numbers, *pairs, len(score)))
            shares = FINE if order == "fine" else metrics.SHARES
            means = curve.mean(0).tolist()
            lines += [
                (network, name, order, s, f"{v:.4f}") for s, v in zip(shares, means, strict=True)
            ]
    return table, lines


def merge(name: str, columns: tuple[str, ...], network: str, new: list[tuple]) -> None:
    """Writes a table in which the rows of one network are new."""
    path = DATA / "results" / name
    old: list[tuple] = []
    if path.exists():
        with open(path, newline="") as file:
            old = [tuple(row) for row in csv.reader(file) if not row[0].startswith("#")][1:]
    kept = {n: [row for row in old if row[0] == n] for n in NETWORKS} | {network: new}
    text = io.StringIO(newline="")
    text.write("# made by python tests/tools/heavy_06.py\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(row for n in NETWORKS for row in kept[n])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--limit", type=int, help="the first so many pictures")
    parser.add_argument("--batch", type=int, default=25, help="pictures at a time")
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - set(NETWORKS):
        parser.error(f"unknown network: {', '.join(unknown)}")
    pictures = dga.load_images("test", arguments.limit)
    for network in arguments.networks or NETWORKS:
        began = time.process_time()
        model = dga.load_model(network)
        found = curves(model, model.preprocess(pictures.images), arguments.batch, network)
        table, lines = rows(network, found)
        merge("table1.csv", COLUMNS, network, table)
        merge("table1_curves.csv", CURVE_COLUMNS, network, lines)
        print(f"{network}: {(time.process_time() - began) / 60:.1f} minutes of processor time")


if __name__ == "__main__":
    main()
