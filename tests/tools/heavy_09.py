"""The grid of lesson 09: python tests/tools/heavy_09.py

LeRF and MoRF of every setting on the first 100 test pictures and three networks, picture by
picture, in thousandths, to data/results/grid.csv. About eleven minutes on one thread.
"""

from __future__ import annotations

import argparse
import csv
import io
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

import dga
from dga.zoo.files import DATA, write_atomically

NETWORKS = ("resnet", "vgg", "inception")
STEPS, QUANTILES, BETAS = (1, 5, 10, 30), (0.5, 0.7, 0.9, 1.0), (0.0, 0.5, 1.0)
CURVE = (2, 20, 60)  # more steps at the paper's q
INTERIOR = tuple(k / 10 for k in range(1, 10))
PAPER = (30, 0.9)
PICTURES, BATCH = 100, 25


def settings() -> list[tuple[int, float, dict[str, Any]]]:
    """N, q and the other options of every sequence to run."""
    grid: list = [(n, q, {}) for n in STEPS for q in QUANTILES] + [(n, PAPER[1], {}) for n in CURVE]
    others: tuple[dict[str, Any], ...] = (
        {"masks": "weak"},
        {"masks": "extreme"},
        {"unit": "pixel"},
    )
    return grid + [(*PAPER, options) for options in others]


def maps(
    model: nn.Module, x: Tensor, target: Tensor, steps: int, q: float, options: dict[str, Any]
) -> dict[str, Tensor]:
    """All maps that one distilled sequence gives: every beta is a sum of the same two sums."""
    positive, negative = torch.zeros_like(x), torch.zeros_like(x)
    for step in dga.distill(model, x, target, steps=steps, epc_quantile=q, **options):
        positive += step.attribution.clamp(min=0)
        negative += step.attribution.clamp(max=0)
        if step.n == 0:
            first = positive.clone()
    if options:
        return {" ".join(options.values()): positive}
    found = {f"N={steps} q={q} beta={b}": positive + b * negative
             for b in (BETAS if steps == PAPER[0] else BETAS[:1])}  # fmt: skip
    if (steps, q) == PAPER:
        found |= {"step 0": first, "Eq. 10": positive - first}
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    images = dga.load_images("test", PICTURES).images
    rows: dict[tuple[str, str, str], list[int]] = {}
    for name in NETWORKS:
        model: Any = dga.load_model(name)
        for x in model.preprocess(images).split(BATCH):
            with torch.no_grad():
                target = model(x).argmax(1)
            # Nothing and everything removed is the same for every map.
            ends = dga.pixel_perturbation(model, x, x, target, shares=(0, 1)).sum(1)
            for setting in tqdm(settings(), desc=f"{name}, {BATCH} pictures", leave=False):
                for label, attribution in maps(model, x, target, *setting).items():
                    for order in ("lerf", "morf"):
                        curve = dga.pixel_perturbation(
                            model, x, attribution, target, order, shares=INTERIOR
                        )
                        score = (curve.sum(1) + ends) / (len(INTERIOR) + 2)
                        rows.setdefault((name, label, order), []).extend(
                            (1000 * score).round().int().tolist()
                        )
        write(rows)  # after every network


def write(rows: dict[tuple[str, str, str], list[int]]) -> None:
    text = io.StringIO(newline="")
    text.write("# made by python tests/tools/heavy_09.py\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "setting", "order", *range(PICTURES)])
    writer.writerows([*key, *values] for key, values in rows.items())
    folder = DATA / "results"
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "grid.csv", text.getvalue().encode())


if __name__ == "__main__":
    main()
