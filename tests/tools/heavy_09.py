"""Results of lesson 09: DGA with one part changed, picture by picture.

python tests/tools/heavy_09.py photographs   writes data/results/ablations.csv
python tests/tools/heavy_09.py drawn         writes data/results/grid.csv, about eleven minutes

The photographs are those of the optional folder (DGA_REAL) in the drawn order of photographs.py,
explained by SqueezeNet 1.1. That run needs half a minute a photograph on one thread; it writes
what it has after every four, and goes on where it stopped. One mask alone, random masks and x*g are
in the results of photographs.py.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator
from typing import Any

import torch
from photographs import ROOT
from photographs import shuffled as in_drawn_order
from torch import Tensor, nn
from tqdm.auto import tqdm

import dga
from dga.experiments.evaluation import MEASURES, ORDERS, find_pictures
from dga.zoo.files import DATA, real_folder, write_atomically

NETWORKS = ("resnet", "vgg", "inception")
STEPS, QUANTILES, BETAS = (1, 5, 10, 30), (0.5, 0.7, 0.9, 1.0), (0.0, 0.5, 1.0)
CURVE = (2, 20, 60)  # more steps at the paper's q
INTERIOR = tuple(k / 10 for k in range(1, 10))
PAPER = (30, 0.9)
PICTURES, BATCH = 100, 25
KEPT = ROOT / "build" / "ablations"
PHOTOGRAPHS, AT_ONCE = 96, 4
COLUMNS = ("network", "setting", "measure")

Setting = tuple[int, float, dict[str, Any]]


def on_drawn() -> list[Setting]:
    """N, q and the other options of every sequence to run on drawn pictures."""
    grid: list[Setting] = [(n, q, {}) for n in STEPS for q in QUANTILES]
    grid += [(n, PAPER[1], {}) for n in CURVE]
    others: tuple[dict[str, Any], ...] = (
        {"masks": "weak"},
        {"masks": "extreme"},
        {"unit": "pixel"},
    )
    return grid + [(*PAPER, options) for options in others]


def on_photographs() -> list[Setting]:
    """The same for photographs: one knob at a time."""
    settings: list[Setting] = [(n, PAPER[1], {}) for n in (30, 1, 5, 10, 20, 60)]
    settings += [(PAPER[0], q, {}) for q in (0.5, 0.7, 1.0)]
    return [*settings, (*PAPER, {"unit": "pixel"})]


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
        late = (positive + negative).clamp(min=0)
        found |= {"step 0": first, "Eq. 10": positive - first, "cut at the end": late}
    return found


def dimmed(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """DGA whose masks are one number: their mean, so that every feature is dimmed alike."""
    steps, q = PAPER
    look, total = x, torch.zeros_like(x)
    for n in range(steps + 1):
        total += dga.uniform_fullgrad(model, look, target).clamp(min=0)
        share = n / steps
        look = (share * (1 - share) + (1 - share) * q) * x
    return total


def drawn() -> None:
    images = dga.load_images("test", PICTURES).images
    rows: dict[tuple[str, str, str], list[int]] = {}
    for name in NETWORKS:
        model: Any = dga.load_model(name)
        for x in model.preprocess(images).split(BATCH):
            with torch.no_grad():
                target = model(x).argmax(1)
            # Nothing and everything removed is the same for every map.
            ends = dga.pixel_perturbation(model, x, x, target, shares=(0, 1)).sum(1)
            for setting in tqdm(on_drawn(), desc=f"{name}, {BATCH} pictures", leave=False):
                for label, attribution in maps(model, x, target, *setting).items():
                    for order in ORDERS:
                        curve = dga.pixel_perturbation(
                            model, x, attribution, target, order, shares=INTERIOR
                        )
                        score = (curve.sum(1) + ends) / (len(INTERIOR) + 2)
                        rows.setdefault((name, label, order), []).extend(
                            (1000 * score).round().int().tolist()
                        )
        write("grid.csv", "drawn", ("network", "setting", "order"), rows)  # after every network


def photographs() -> None:
    folder = real_folder()
    if folder is None:
        raise SystemExit("name a folder of real photographs in the environment variable DGA_REAL")
    model: Any = dga.load_model("squeezenet1_1", folder / "squeezenet1_1_imagenet.pt")
    links = in_drawn_order(folder)
    names = find_pictures(links)[:PHOTOGRAPHS]
    KEPT.mkdir(parents=True, exist_ok=True)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for start in tqdm(range(0, len(names), AT_ONCE), desc="photographs", unit_scale=AT_ONCE):
        part = KEPT / f"{start:03}.csv"
        if not part.exists():
            some = [dga.load_photo(links / name) for name in names[start : start + AT_ONCE]]
            x = torch.cat([model.preprocess(photo) for photo in some])
            lines = (",".join(map(str, line)) + "\n" for line in measured(model, x))
            write_atomically(part, "".join(lines).encode())
        with part.open(newline="") as file:
            for label, measure, *values in csv.reader(file):
                rows.setdefault(("squeezenet1_1", label, measure), []).extend(values)
        write("ablations.csv", "photographs", COLUMNS, rows)


def measured(model: nn.Module, x: Tensor) -> Iterator[tuple[str, ...]]:
    """Setting, measure, and the score of every picture."""
    with torch.no_grad():
        target = model(x).argmax(1)
    found = {"dimmed": dimmed(model, x, target)}
    for setting in on_photographs():
        found |= maps(model, x, target, *setting)
    for label, attribution in found.items():
        curves: dict[tuple[str, float], Tensor] = {}
        for order in ORDERS:
            shares = sorted({s for o, some in MEASURES.values() if o == order for s in some})
            curve = dga.pixel_perturbation(model, x, attribution, target, order, shares=shares)
            curves |= {(order, s): curve[:, k] for k, s in enumerate(shares)}
        for measure, (order, shares_of_it) in MEASURES.items():
            score = torch.stack([curves[order, s] for s in shares_of_it]).mean(0)
            yield label, measure, *(f"{value:.5f}" for value in score.tolist())


def write(name: str, what: str, columns: tuple[str, ...], rows: dict[Any, list[Any]]) -> None:
    text = io.StringIO(newline="")
    text.write(f"# made by python tests/tools/heavy_09.py {what}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *range(max(map(len, rows.values())))])
    writer.writerows([*key, *values] for key, values in rows.items())
    write_atomically(DATA / "results" / name, text.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["photographs", "drawn"])
    what = parser.parse_args().what
    torch.set_num_threads(1)
    (photographs if what == "photographs" else drawn)()


if __name__ == "__main__":
    main()
