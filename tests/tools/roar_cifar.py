"""ROAR on real pictures (DGA, Fig. 6): remove, retrain, name. It goes on where it stopped.

python tests/tools/roar_cifar.py run      trains; keeps what is done in build/roar
python tests/tools/roar_cifar.py table    writes data/results/roar_cifar.csv

12,000 pictures of CIFAR-10 from the optional folder (DGA_REAL), 10,000 to learn, 2,000 to be named.
Every ranking is made once, by the first network, of the class that it predicts. Then the pixels
that it puts first become the mean colour, in all pictures, and a fresh network learns from what is
left. The network is small and residual, with batch norm: one core trains it in half a minute.

Columns of the table: ranking, "none" for pictures left whole; kind, what a network sees; share
removed; seed of the network; accuracy; right, for each of the 2,000 pictures one bit, in
hexadecimal. Kinds:
pictures    the picture without its top pixels; retrained
holes       only where pixels were removed; retrained
mean, road  the picture without its top pixels, filled with the mean colour, or with what is around
            (noisy linear imputation, arXiv 2202.00449); the first network, not retrained
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from dga.experiments.evaluation import attribute
from dga.filling import filler
from dga.metrics import top_pixels
from dga.zoo.files import DATA, real_folder, write_atomically

KEPT = Path(__file__).parent.parent.parent / "build" / "roar"
RANKINGS = ("random", "edges", "centre", "gi", "ig", "ig-cut", "fg", "dga")
SHARES, SEEDS, FIRST = (0.1, 0.3, 0.5, 0.7, 0.9), (0, 1, 2), 1000
# In this order, so that what is done at any time is comparable.
PARTS = (("pictures", 0.5), ("pictures", 0.1), ("pictures", 0.9), ("holes", 0.5),
         ("pictures", 0.3), ("pictures", 0.7))  # fmt: skip
EPOCHS, BATCH = 8, 100


class Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.way = nn.Sequential()
        if stride > 1 or before != width:
            self.way = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.body(x) + self.way(x))


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def fit(x: Tensor, y: Tensor, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = EPOCHS * len(x) // BATCH
    sgd = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(sgd, 0.2, total_steps=steps)
    for _ in range(EPOCHS):
        for some in torch.randperm(len(x)).split(BATCH):
            batch = x[some].to(memory_format=torch.channels_last)
            flip = torch.rand(len(some)) < 0.5
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
            sgd.zero_grad()
            F.cross_entropy(model(batch), y[some]).backward()
            sgd.step()
            rate.step()
    return model.eval()


def named_right(model: nn.Module, x: Tensor, y: Tensor) -> str:
    with torch.no_grad():
        said = torch.cat([model(part).argmax(1) for part in x.split(500)])
    return np.packbits((said == y).numpy()).tobytes().hex()


def pictures(part: str) -> tuple[Tensor, Tensor]:
    """(n, 3, 32, 32), 0 is the mean colour, and classes (n,)."""
    folder = real_folder()
    if folder is None:
        raise SystemExit("name a folder of real photographs in the environment variable DGA_REAL")
    with zipfile.ZipFile(folder / "cifar10_12000.zip") as file:
        names = sorted(name for name in file.namelist() if name.startswith(part + "/"))
        names = [name for name in names if name.endswith(".jpg")]
        seen = np.stack([np.asarray(Image.open(io.BytesIO(file.read(n)))) for n in names])
    classes = sorted({name.split("/")[1] for name in names})
    labels = torch.tensor([classes.index(name.split("/")[1]) for name in names])
    x = torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.491, 0.482, 0.447]), torch.tensor([0.247, 0.243, 0.262])
    return (x - mean[:, None, None]) / std[:, None, None], labels


def shown(kind: str, x: Tensor, maps: Tensor, share: float) -> Tensor:
    """What the network sees of the pictures x."""
    gone = torch.cat([top_pixels(part, share) for part in maps.split(500)])[:, None]
    if kind == "holes":
        return gone.float().expand(-1, 3, -1, -1)
    if kind == "road":
        return filler("linear", x)(~gone)
    return x.masked_fill(gone, 0)


def ranked(name: str, model: nn.Module, x: Tensor, first: int) -> Tensor:
    """What a method says of each pixel, (n, 1, 32, 32)."""
    parts = enumerate(tqdm(x.split(250), name, leave=False))
    return torch.cat([
        attribute(name, model, part, first=first + 250 * k).sum(1, keepdim=True)
        for k, part in parts
    ])  # fmt: skip


def run() -> None:
    torch.set_num_threads(1)
    KEPT.mkdir(parents=True, exist_ok=True)
    (x, y), (xt, yt) = pictures("train"), pictures("test")
    first = network()
    if not (KEPT / "first.pt").exists():
        torch.save(fit(x, y, FIRST).state_dict(), KEPT / "first.pt")
    first.load_state_dict(torch.load(KEPT / "first.pt", weights_only=True))
    first.eval()

    def maps(name: str) -> tuple[Tensor, Tensor]:
        path = KEPT / f"{name}.pt"
        if not path.exists():
            made = ranked(name, first, x, 0), ranked(name, first, xt, 100_000)
            torch.save(made, path)
        return torch.load(path, weights_only=True)  # type: ignore[no-any-return]

    units = [("none", "pictures", 0.0, seed) for seed in (FIRST, *SEEDS)]
    units += [(name, kind, share, FIRST) for kind in ("mean", "road") for share in SHARES
              for name in RANKINGS]  # fmt: skip
    units += [(name, kind, share, seed) for kind, share in PARTS for seed in SEEDS
              for name in RANKINGS]  # fmt: skip
    for name, kind, share, seed in tqdm(units, "Retraining"):
        path = KEPT / f"{name},{kind},{share},{seed}.txt"
        if path.exists():
            continue
        seen, seen_test = x, xt
        if name != "none":
            a, b = maps(name)
            seen = shown(kind, x, a, share) if seed != FIRST else x
            seen_test = shown(kind, xt, b, share)
        model = first if seed == FIRST else fit(seen, y, seed)
        write_atomically(path, named_right(model, seen_test, yt).encode())


def table() -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ranking", "kind", "share", "seed", "accuracy", "right"])
    for path in sorted(KEPT.glob("*,*.txt")):
        right = path.read_text()
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(right), dtype=np.uint8))
        writer.writerow([*path.name.removesuffix(".txt").split(","), f"{bits.mean():.4f}", right])
    write_atomically(DATA / "results" / "roar_cifar.csv", text.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run", "table"])
    {"run": run, "table": table}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
