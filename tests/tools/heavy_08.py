"""Results that lesson 08 reads, too slow for a lesson: python tests/tools/heavy_08.py [PART ...]

localisation    all methods on 100 pictures by three networks, and on small objects
noise           maps of noisy pictures: rank correlation with the clean map, LeRF and MoRF
cascade         layers randomised one after another, in vgg
random_labels   two networks trained on true labels and one on shuffled ones (and a figure)

Each part writes data/results/08_PART.csv and takes two to five minutes on one thread.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

import dga
from dga import metrics
from dga.experiments.evaluation import attribute
from dga.lessons import plots
from dga.zoo.architectures import ResNet
from dga.zoo.files import DATA, write_atomically

NETWORKS = ("vgg", "resnet", "inception")
METHODS = ("gi", "gbp", "ig", "fg", "dga")
NOISE = (0.02, 0.1, 0.4)
EPOCHS, LEARNING_RATE, BATCH = 40, 4e-3, 50

Row = dict[str, object]


def localisation() -> Iterator[Row]:
    """Needs about 0.2 s a picture, network and many-pass method."""
    jobs = [*((name, "test") for name in NETWORKS), ("resnet", "small")]
    for name, split in tqdm(jobs, desc="networks"):
        model, pictures = dga.load_model(name), dga.load_images(split, 100)
        for start in tqdm(range(0, len(pictures), 10), desc=name, leave=False):
            x = model.preprocess(pictures.images[start : start + 10])
            mask = pictures.masks[start : start + 10]
            target = model(x).argmax(1)
            for method in METHODS:
                a = attribute(method, model, x, target, first=start)
                values = {
                    "top10": metrics.top_precision(a, mask),
                    "energy": metrics.energy_inside(a, mask),
                    "pointing": metrics.pointing(a, mask),
                    **_scores(model, x, target, a),
                }
                yield from _rows(start, values, network=name, split=split, method=method)


def noise() -> Iterator[Row]:
    """Every map explains the noisy picture and is tested on it."""
    pictures = dga.load_images("test", 20)
    for name in tqdm(NETWORKS, desc="networks"):
        model = dga.load_model(name)
        x = model.preprocess(pictures.images)
        target = model(x).argmax(1)
        random = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        for method in tqdm(("gi", "ig", "fg", "dga"), desc=name, leave=False):
            clean = attribute(method, model, x, target)
            for level in (0.0, *NOISE):
                near = x + level * random
                a = attribute(method, model, near, target) if level else clean
                values = {
                    "correlation": metrics.rank_correlation(a, clean),
                    **_scores(model, near, target, a),
                }
                yield from _rows(0, values, network=name, method=method, noise=level)


def cascade() -> Iterator[Row]:
    """Signed and unsigned maps after each layer of vgg, from the last to the first."""
    pictures = dga.load_images("figures", 6)
    model = dga.load_model("vgg")
    x = model.preprocess(pictures.images)
    target = model(x).argmax(1)
    before = {method: attribute(method, model, x, target) for method in METHODS}
    for layer, copy in tqdm(metrics.cascading_randomization(model), desc="layers"):
        for method in METHODS:
            a, old = attribute(method, copy, x, target), before[method]
            values = {
                "correlation": metrics.rank_correlation(a, old),
                "unsigned": metrics.rank_correlation(
                    a.sum(1, keepdim=True).abs(), old.sum(1, keepdim=True).abs()
                ),
                "energy": metrics.energy_inside(a, pictures.masks),
            }
            yield from _rows(0, values, layer=layer, method=method)


def random_labels() -> Iterator[Row]:
    """The same 600 small pictures (32 x 32) and network; only the labels or the start differ."""
    train, test = dga.load_images("train", 600), dga.load_images("test", 200)
    preprocess = dga.load_model("resnet").preprocess
    x, unseen = (F.avg_pool2d(preprocess(s.images), 2) for s in (train, test))
    shuffled = train.labels[torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    few = slice(0, 40)
    mask = F.avg_pool2d(train.masks[few, None].float(), 2)[:, 0] > 0.5
    first: dict[str, Tensor] = {}
    maps: dict[str, Tensor] = {}
    jobs = [("true", train.labels, 0), ("again", train.labels, 1), ("random", shuffled, 0)]
    for name, labels, seed in tqdm(jobs, desc="networks"):
        model = _fit(x, labels, seed, name)
        accuracy = [
            f"{(model(part).argmax(1) == truth).float().mean():.3f}"
            for part, truth in ((x, labels), (unseen, test.labels))
        ]
        for method in METHODS:
            a = attribute(method, model, x[few])
            first.setdefault(method, a)
            maps[f"{method} {name}"] = a
            values = {
                "correlation": metrics.rank_correlation(a, first[method]),
                "energy": metrics.energy_inside(a, mask),
            }
            fixed = {"network": name, "train": accuracy[0], "test": accuracy[1]}
            yield from _rows(0, values, **fixed, method=method)
    some = [7, 8, 2]
    columns = {
        f"{label}, {words}": maps[f"{method} {name}"][some]
        for method, label in (("ig", "IG"), ("dga", "DGA"))
        for name, words in (("true", "true labels"), ("random", "shuffled"))
    }
    figure = plots.compare(preprocess.restore(x[few][some]), columns, panel=1.9)
    write_atomically(DATA / "figures" / "random_labels.png", plots.png(figure))


def _fit(x: Tensor, labels: Tensor, seed: int, name: str) -> nn.Module:
    torch.manual_seed(seed)
    model = ResNet(10)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=EPOCHS * (len(x) // BATCH)
    )
    bar = tqdm(range(EPOCHS), desc=f"training, {name} labels", leave=False)
    for _ in bar:
        for pick in torch.randperm(len(x)).view(-1, BATCH):
            loss = F.cross_entropy(model(x[pick]), labels[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    return model.eval()


def _scores(model: nn.Module, x: Tensor, target: Tensor, a: Tensor) -> dict[str, Tensor]:
    orders = ("lerf", "morf")
    return {o: metrics.pixel_perturbation(model, x, a, target, o).mean(1) for o in orders}


def _rows(start: int, values: dict[str, Tensor], **fixed: object) -> Iterator[Row]:
    count = len(next(iter(values.values())))
    for k in range(count):
        numbers = {key: f"{float(value[k]):.4f}" for key, value in values.items()}
        yield {**fixed, "picture": start + k, **numbers}


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "localisation": localisation,
    "noise": noise,
    "cascade": cascade,
    "random_labels": random_labels,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="all if none is named")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for part in parts:
        rows = list(PARTS[part]())
        text = io.StringIO(newline="")
        text.write("# made by python tests/tools/heavy_08.py\n")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (DATA / "results").mkdir(exist_ok=True)
        write_atomically(DATA / "results" / f"08_{part}.csv", text.getvalue().encode())


if __name__ == "__main__":
    main()
