"""Tables of the paper, on this machine: python tests/tools/measure.py WHAT

real        LeRF and MoRF of all methods on the optional folder of real photographs
shipped     LeRF, MoRF and localisation on the shipped test set, for every shipped network
quantus     time of pixel flipping against Quantus (pip install quantus)
stability   how much single float32 maps of the shipped networks differ from float64 ones
"""

from __future__ import annotations

import argparse
import copy
import csv
import time

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

import dga
from dga import metrics
from dga.experiments.evaluation import attribute, perturbation_scores
from dga.zoo.files import real_folder
from dga.zoo.loading import SHIPPED
from dga.zoo.photographs import load_photo


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
    model: nn.Module, inputs: Tensor, methods: tuple[str, ...], masks: Tensor, batch: int = 50
) -> dict[str, dict[str, Tensor]]:
    """Per method: LeRF and MoRF of every picture, and localisation."""
    out = perturbation_scores(model, inputs, methods, batch=batch, progress=True)
    for name in tqdm(methods, desc="Localisation", leave=False):
        maps = [
            attribute(name, model, inputs[k : k + batch], first=k)
            for k in range(0, len(inputs), batch)
        ]
        out[name]["top10"] = metrics.top_precision(torch.cat(maps), masks)
        out[name]["energy"] = metrics.energy_inside(torch.cat(maps), masks)
    return out


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
    results = perturbation_scores(model, inputs, batch=10, progress=True)
    table(f"{len(inputs)} photographs, SqueezeNet 1.1, predicted class", results)
    print("\nDGA minus the others, paired:")
    for name in results:
        if name != "dga":
            parts = [
                "{:+.3f} [{:+.3f}, {:+.3f}]".format(
                    *metrics.bootstrap_interval(results["dga"][key] - results[name][key])
                )
                for key in ("lerf", "morf")
            ]
            print(f"{name:8} LeRF {parts[0]}   MoRF {parts[1]}")
    print(f"{time.monotonic() - began:.0f} s")


def shipped(limit: int | None, only: list[str]) -> None:
    test = dga.load_images("test", limit)
    for name in only or SHIPPED:
        model = dga.load_model(name)
        inputs, masks = model.preprocess(test.images), test.masks
        if name == "scene":
            masks = ~masks  # the right answer is everything but the object
        methods = ["random", "gi", "ig", "dga"]
        if name != "smooth":
            methods.insert(3, "fg")
        covered = masks.float().mean()
        title = f"{name}: {len(test)} pictures, right answer covers {covered:.3f}"
        table(title, scores(model, inputs, tuple(methods), masks))
        if name == "clever-hans":
            clever_hans(model, limit or 200)


def clever_hans(model: nn.Module, count: int) -> None:
    """Pictures of every class with the watermark: where does the attribution lie?"""
    marked = dga.load_images("watermark", count)
    x = model.preprocess(marked.images)
    rows = {"watermark": marked.watermarks, "object": marked.masks,
            "scene": ~(marked.watermarks | marked.masks)}  # fmt: skip
    print("share of positive relevance on (and share of the picture), watermarked pictures:")
    for name in ("ig", "fg", "dga"):
        a = torch.cat([attribute(name, model, part) for part in x.split(50)])
        shares = {k: metrics.energy_inside(a, mask).nanmean() for k, mask in rows.items()}
        print(
            f"{name:8}", {k: f"{v:.3f} ({rows[k].float().mean():.3f})" for k, v in shares.items()}
        )
    said = torch.cat([model(part).argmax(1) for part in x.split(50)])
    clean = torch.cat([model(part).argmax(1) for part in model.preprocess(
        dga.load_images("test", count).images).split(50)])  # fmt: skip
    print("predicted with watermark:", torch.bincount(said, minlength=10).tolist())
    print("predicted without       :", torch.bincount(clean, minlength=10).tolist())


def quantus_speed() -> None:
    """Pixel flipping of the same ranking by Quantus and by us, as many steps each; median of 5."""
    import quantus

    model = dga.load_model("resnet")
    x = model.preprocess(dga.load_images("test", 20).images)
    targets = model(x).argmax(1)
    a = dga.gradient_times_input(model, x, targets)
    flip = quantus.PixelFlipping(
        features_in_step=512, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    data = {"x_batch": x.numpy(), "y_batch": targets.numpy(),
            "a_batch": a.sum(1, keepdim=True).numpy(), "softmax": True}  # fmt: skip
    shares = [k / 24 for k in range(1, 25)]
    times: dict[str, list[float]] = {"Quantus": [], "dga": []}
    for _ in range(5):
        for name, run in (
            ("Quantus", lambda: flip(model=model, **data)),
            ("dga", lambda: dga.pixel_perturbation(model, x, a, targets, "morf", shares=shares)),
        ):
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    ratios = sorted(q / d for q, d in zip(times["Quantus"], times["dga"], strict=True))
    low, _, middle, _, high = ratios
    print(f"24 steps, 20 pictures: time of Quantus / dga {middle:.1f} ({low:.1f} to {high:.1f})")


def stability(limit: int | None) -> None:
    test = dga.load_images("test", limit or 50)
    for name in SHIPPED:
        model = dga.load_model(name)
        x = model.preprocess(test.images)
        single = dga.distilled_gradient_aggregation(model, x)
        double = dga.distilled_gradient_aggregation(copy.deepcopy(model).double(), x.double())
        change = (single - double).flatten(1).norm(dim=1) / double.flatten(1).norm(dim=1)
        ranks = metrics.rank_correlation(single, double)
        began = time.perf_counter()
        for k in range(3):
            dga.distilled_gradient_aggregation(model, x[k : k + 1])
        each = (time.perf_counter() - began) / 3
        print(
            f"{name:12} relative change float32 - float64: median {change.median():.2e}, "
            f"over 1 %: {(change > 0.01).float().mean():.2f} of maps; rank correlation: "
            f"mean {ranks.mean():.4f}, least {ranks.min():.3f}; {each:.3f} s a picture"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["real", "shipped", "stability", "quantus"])
    parser.add_argument("--limit", type=int, help="number of pictures")
    parser.add_argument("--network", action="append", default=[], choices=list(SHIPPED))
    arguments = parser.parse_args()
    if arguments.what == "real":
        real(arguments.limit)
    elif arguments.what == "quantus":
        quantus_speed()
    elif arguments.what == "shipped":
        shipped(arguments.limit, arguments.network)
    else:
        stability(arguments.limit)
