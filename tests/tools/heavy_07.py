"""ROAR of lesson 07 with more methods, shares and trials: python tests/tools/heavy_07.py

Writes data/results/roar.csv (about 10 minutes on one thread). Every training is kept beside it as
soon as it is done, in roar.csv.resume: an interrupted run goes on where it stopped.

Columns: ranking; kind, what the number is:
pictures    accuracy of a network trained and tested on the pictures with their top pixels removed
holes       accuracy of one that sees only where the removed pixels were
borrowed    accuracy of one that sees the holes of the picture it is to name in another picture
morf, lerf  pixel perturbation of the first network
and the share removed, the trial (seed of the retrained network), and the value.
"""

from __future__ import annotations

import argparse
import csv
import io

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur
from tqdm.auto import tqdm

import dga
from dga import metrics
from dga.experiments.evaluation import attribute
from dga.zoo.files import DATA, write_atomically

METHODS = ("random", "gi", "gbp", "ig", "fg", "gig", "dga")
SHARES, TRIALS = (0.1, 0.3, 0.5, 0.7, 0.9), 3
HOLES = (("holes", 0.5), ("borrowed", 0.1), ("borrowed", 0.5))
COLUMNS = ("ranking", "kind", "share", "trial", "value")


# As in the lesson, from here ...
def small(images: NDArray[np.uint8]) -> Tensor:
    x = torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float() / 255
    return (F.avg_pool2d(x, 2) - 0.5) / 0.27


def network() -> nn.Module:
    layers: list[nn.Module] = []
    for before, width in ((3, 12), (12, 24), (24, 48), (48, 64)):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
                   nn.ReLU(), nn.MaxPool2d(2)]  # fmt: skip
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 2 * 2, 10))


def fit(x: Tensor, y: Tensor, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = network()
    adam = torch.optim.Adam(model.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 5e-3, total_steps=6 * len(x) // 50)
    for _ in range(6):
        for k, some in enumerate(torch.randperm(len(x)).split(50)):
            batch = x[some].flip(3) if k % 2 else x[some]
            adam.zero_grad()
            F.cross_entropy(model(batch), y[some]).backward()
            adam.step()
            rate.step()
    return model.eval()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        said = torch.cat([model(part).argmax(1) for part in x.split(100)])
    return (said == y).float().mean().item()


def holes_of(a: Tensor, share: float) -> Tensor:
    return metrics.top_pixels(a, share)[:, None].float().expand(-1, 3, -1, -1)


def borrowed(x: Tensor, a: Tensor, share: float) -> Tensor:
    other = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    return torch.where(holes_of(a, share) > 0, other.mean((2, 3), keepdim=True), other)


# ... to here.
def spread(maps: Tensor) -> Tensor:
    """One value a pixel -> the shape of the pictures."""
    return maps[:, None].expand(-1, 3, -1, -1) / 3


def sobel(x: Tensor) -> Tensor:
    grey = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    edges = F.conv2d(grey, torch.stack([kernel, kernel.T])[:, None])
    return spread(edges.norm(dim=1))


def centre(x: Tensor) -> Tensor:
    at = torch.arange(32) - 15.5
    distance = (at[:, None] ** 2 + at[None] ** 2).sqrt()
    return spread(-distance.expand(len(x), -1, -1))


def rankings(x: Tensor, masks: Tensor, model: nn.Module, first: int) -> dict[str, Tensor]:
    maps = {
        name: torch.cat([attribute(name, model, part, first=first + 100 * k)
                         for k, part in enumerate(tqdm(x.split(100), name, leave=False))])
        for name in METHODS
    }  # fmt: skip
    objects = F.avg_pool2d(masks[:, None].float(), 2)[:, 0]
    return maps | {
        "edges": sobel(x),
        "centre": centre(x),
        "blurred random": gaussian_blur(maps["random"], 13, 2.0),
        "blurred ig": gaussian_blur(maps["ig"], 13, 2.0),
        "object": spread(objects),
        "blurred object": gaussian_blur(spread(objects), 25, 4.0),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    path = DATA / "results" / "roar.csv"
    path.parent.mkdir(exist_ok=True)
    kept = path.with_name("roar.csv.resume")
    done: dict[tuple[str, ...], str] = {}
    if kept.exists():
        for row in csv.reader(kept.read_text().splitlines()):
            done[tuple(row[:4])] = row[4]
    train, test = dga.load_images("train", 1000), dga.load_images("test")
    x, y, xt, yt = small(train.images), train.labels, small(test.images), test.labels
    model = fit(x, y, 0)
    train_maps = rankings(x, train.masks, model, 0)
    test_maps = rankings(xt, test.masks, model, 100_000)
    said = model(xt).argmax(1).detach()

    def keep(ranking: str, kind: str, share: object, trial: object, value: float) -> None:
        done[ranking, kind, str(share), str(trial)] = f"{value:.4f}"
        with open(kept, "a") as file:
            file.write(f"{ranking},{kind},{share},{trial},{value:.4f}\n")

    for trial in range(TRIALS):
        if ("none", "pictures", "0.0", str(trial)) not in done:
            keep("none", "pictures", 0.0, trial, accuracy(fit(x, y, trial + 1), xt, yt))
    for name, maps in test_maps.items():
        for order in ("morf", "lerf"):
            if (name, order, "", "") not in done:
                score = dga.pixel_perturbation(model, xt, maps, said, order)
                keep(name, order, "", "", score.mean().item())
    jobs = [("pictures", share, trial, name) for trial in range(TRIALS) for share in SHARES
            for name in train_maps]  # fmt: skip
    holes = [(kind, share, 0, name) for kind, share in HOLES for name in train_maps]
    for kind, share, trial, name in tqdm(jobs[: len(jobs) // 3] + holes + jobs[len(jobs) // 3 :]):
        if (name, kind, str(share), str(trial)) in done:
            continue
        a, b = train_maps[name], test_maps[name]
        if kind == "pictures":
            inputs = [metrics.remove_top(x, a, share), metrics.remove_top(xt, b, share)]
        elif kind == "holes":
            inputs = [holes_of(m, share) for m in (a, b)]
        else:
            inputs = [borrowed(x, a, share), borrowed(xt, b, share)]
        keep(name, kind, share, trial, accuracy(fit(inputs[0], y, trial + 1), inputs[1], yt))
    text = io.StringIO(newline="")
    text.write("# made by python tests/tools/heavy_07.py\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*key, value] for key, value in sorted(done.items()))
    write_atomically(path, text.getvalue().encode())
    kept.unlink()


if __name__ == "__main__":
    main()
