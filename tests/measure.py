"""Tables of the paper, on this machine: python tests/measure.py real|shipped|figure|stability

real        LeRF and MoRF of all methods on the optional folder of real photographs
shipped     LeRF, MoRF and localisation on the shipped test set, for every shipped network
figure      draws data/figures/photographs.png, the picture in the README
stability   how much single float32 maps of the shipped networks differ from float64 ones
"""

from __future__ import annotations

import argparse
import copy
import csv
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

import dga
from dga import metrics, plots
from dga.data import DATA, load_photo, real_folder, write_atomically
from dga.models import SHIPPED


def random_attribution(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(inputs.shape, generator=generator, dtype=inputs.dtype)


# 31 passes each for the path methods: what DGA takes with N = 30.
METHODS: dict[str, Callable] = {
    "random": random_attribution,
    "G*I": dga.gradient_times_input,
    "GBP": dga.guided_backprop,
    "IG": dga.integrated_gradients,
    "FG": dga.fullgrad,
    "GIG": dga.guided_integrated_gradients,
    "DGA": dga.distilled_gradient_aggregation,
}


def real_photographs(limit: int | None = None) -> tuple[nn.Module, Tensor]:
    """The network of the optional folder and its photographs as inputs."""
    folder = real_folder()
    if folder is None:
        raise SystemExit("name a folder of real photographs in the environment variable DGA_REAL")
    model = dga.load_model("squeezenet1_1", folder / "squeezenet1_1_imagenet.pt")
    with open(folder / "labels.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)][:limit]
    photos = [load_photo(folder / "photos" / name) for name in names]
    return model, torch.cat([model.preprocess(photo) for photo in photos])


def scores(
    model: nn.Module,
    inputs: Tensor,
    methods: tuple[str, ...],
    *,
    masks: Tensor | None = None,
    batch: int = 10,
) -> dict[str, dict[str, Tensor]]:
    """Per method: LeRF and MoRF of every picture, and localisation where masks are known."""
    out: dict[str, dict[str, list[Tensor]]] = {m: {} for m in methods}
    starts = range(0, len(inputs), batch)
    for start in tqdm(starts, desc="batches of pictures", leave=False):
        x = inputs[start : start + batch]
        with torch.no_grad():
            targets = model(x).argmax(1)
        for name in methods:
            attribution = METHODS[name](model, x, targets)
            row = {
                order: metrics.pixel_perturbation(model, x, targets, attribution, order)[1]
                for order in ("lerf", "morf")
            }
            if masks is not None:
                known = masks[start : start + batch]
                row["top10"] = metrics.top_precision(attribution, known)
                row["energy"] = metrics.energy_inside(attribution, known)
            for key, value in row.items():
                out[name].setdefault(key, []).append(value)
    return {m: {k: torch.cat(v) for k, v in rows.items()} for m, rows in out.items()}


def table(title: str, results: dict[str, dict[str, Tensor]]) -> None:
    columns = list(next(iter(results.values())))
    print(f"\n{title}\n{'':8}" + "".join(f"{c:>24}" for c in columns))
    for name, values in results.items():
        cells = []
        for column in columns:
            mean, low, high = metrics.bootstrap_interval(values[column].nan_to_num(0))
            cells.append(f"{mean:9.3f} [{low:.3f}, {high:.3f}]")
        print(f"{name:8}" + "".join(f"{cell:>24}" for cell in cells))


def real(limit: int | None) -> None:
    model, inputs = real_photographs(limit)
    began = time.monotonic()
    results = scores(model, inputs, tuple(METHODS))
    table(f"{len(inputs)} photographs, SqueezeNet 1.1, predicted class", results)
    print("\nDGA minus the others, paired:")
    for name in results:
        if name != "DGA":
            parts = [
                "{:+.3f} [{:+.3f}, {:+.3f}]".format(
                    *metrics.bootstrap_interval(results["DGA"][key] - results[name][key])
                )
                for key in ("lerf", "morf")
            ]
            print(f"{name:8} LeRF {parts[0]}   MoRF {parts[1]}")
    print(f"{time.monotonic() - began:.0f} s")


def figure() -> None:
    """scikit-image's cat, cup and rocket, explained by IG and by DGA."""
    model, _ = real_photographs(1)
    names = ("chelsea", "coffee", "rocket")
    x = torch.cat([model.preprocess(load_photo(name)) for name in names])
    maps = {
        "Integrated Gradients": dga.integrated_gradients(model, x),
        "DGA": dga.distilled_gradient_aggregation(model, x),
    }
    said = [model.classes[k] for k in model(x).argmax(1).tolist()]
    drawn = plots.compare(model.preprocess.restore(x), maps, labels=said, panel=2.6)
    content = plots.png(drawn, {"Description": "8-bit SqueezeNet 1.1, predicted class"})
    path = DATA / "figures" / "photographs.png"
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, content)
    print(f"{path}: predicted {', '.join(said)}")


def shipped(limit: int | None, only: list[str]) -> None:
    test = dga.load_images("test", limit)
    for name in only or SHIPPED:
        model = dga.load_model(name)
        inputs, masks = model.preprocess(test.images), test.masks
        if name == "scene":
            masks = ~masks  # the right answer is everything but the object
        methods = ["random", "G*I", "IG", "DGA"]
        if name != "smooth":
            methods.insert(3, "FG")
        covered = masks.float().mean()
        title = f"{name}: {len(test)} pictures, right answer covers {covered:.3f}"
        table(title, scores(model, inputs, tuple(methods), masks=masks, batch=50))
        if name == "clever-hans":
            clever_hans(model, limit or 200)


def clever_hans(model: nn.Module, count: int) -> None:
    """Pictures of every class with the watermark: where does the attribution lie?"""
    marked = dga.load_images("watermark", count)
    x = model.preprocess(marked.images)
    rows = {"watermark": marked.watermarks, "object": marked.masks,
            "scene": ~(marked.watermarks | marked.masks)}  # fmt: skip
    print("share of positive relevance on (and share of the picture), watermarked pictures:")
    for name in ("IG", "FG", "DGA"):
        a = torch.cat([METHODS[name](model, part) for part in x.split(50)])
        shares = {k: metrics.energy_inside(a, mask).nanmean() for k, mask in rows.items()}
        print(
            f"{name:8}", {k: f"{v:.3f} ({rows[k].float().mean():.3f})" for k, v in shares.items()}
        )
    said = torch.cat([model(part).argmax(1) for part in x.split(50)])
    clean = torch.cat([model(part).argmax(1) for part in model.preprocess(
        dga.load_images("test", count).images).split(50)])  # fmt: skip
    print("predicted with watermark:", torch.bincount(said, minlength=10).tolist())
    print("predicted without       :", torch.bincount(clean, minlength=10).tolist())


def stability(limit: int | None) -> None:
    test = dga.load_images("test", limit or 50)
    for name in SHIPPED:
        model = dga.load_model(name)
        x = model.preprocess(test.images)
        single = dga.distilled_gradient_aggregation(model, x)
        double = dga.distilled_gradient_aggregation(copy.deepcopy(model).double(), x.double())
        change = (single - double).flatten(1).norm(dim=1) / double.flatten(1).norm(dim=1)
        ranks = [spearman(a, b) for a, b in zip(single.sum(1), double.sum(1), strict=True)]
        began = time.perf_counter()
        for k in range(3):
            dga.distilled_gradient_aggregation(model, x[k : k + 1])
        each = (time.perf_counter() - began) / 3
        print(
            f"{name:12} relative change float32 - float64: median {change.median():.2e}, "
            f"over 1 %: {(change > 0.01).float().mean():.2f} of maps; rank correlation: "
            f"mean {sum(ranks) / len(ranks):.4f}, least {min(ranks):.3f}; {each:.3f} s a picture"
        )


def spearman(a: Tensor, b: Tensor) -> float:
    ranks = [v.flatten().double().argsort().argsort().double() for v in (a, b)]
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["real", "shipped", "figure", "stability"])
    parser.add_argument("--limit", type=int, help="number of pictures")
    parser.add_argument("--network", action="append", default=[], choices=list(SHIPPED))
    arguments = parser.parse_args()
    if arguments.what == "real":
        real(arguments.limit)
    elif arguments.what == "figure":
        figure()
    elif arguments.what == "shipped":
        shipped(arguments.limit, arguments.network)
    else:
        stability(arguments.limit)
