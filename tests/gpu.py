"""Everything that needs a GPU, in one go: python tests/gpu.py [--pictures 2000]

1. the tests that other machines skip
2. the table of `python -m dga benchmark` on the GPU
3. one order statistic a row by kthvalue, topk and sort
4. Table 1 (3 networks, 7 methods, 11 shares, both orders) on so many pictures, extrapolated to
   the 50,000 of ImageNet's validation set
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
import torchvision
from PIL import Image

import dga
from dga.engine import precision
from dga.experiments import benchmark
from dga.experiments.evaluation import TABLE, evaluate_folder
from dga.masks import _order_statistic
from dga.zoo.preprocessing import resize_and_crop

NETWORKS = {"vgg16": 224, "resnet18": 224, "inception_v3": 299}


def selection() -> None:
    """Microseconds for rank 0.5 * d, one batch of 224 x 224 pictures."""
    d = 3 * 224 * 224
    rank = d // 2
    ways = {
        "kthvalue": lambda rows: rows.kthvalue(rank + 1, dim=1).values,
        "topk": lambda rows: rows.topk(d - rank, dim=1, sorted=False).values.amin(1),
        "sort": lambda rows: rows.sort(dim=1).values[:, rank],
        "ours": lambda rows: _order_statistic(rows, rank),
    }
    for batch in (1, 16, 64):
        rows = torch.randn(batch, d, device="cuda")
        expected = rows.sort(dim=1).values[:, rank]
        said = []
        for name, way in ways.items():
            assert torch.equal(way(rows), expected), name
            times = sorted(benchmark.seconds(partial(way, rows)) for _ in range(20))
            said.append(f"{name} {1e6 * times[10]:.0f}")
        print(f"batch {batch:2}: {', '.join(said)} microseconds")


def protocol(pictures: int, batch: int, chosen: str) -> None:
    """Hours for 50,000 pictures, files read and decoded as in a real run."""
    images = dga.load_images("test").images
    hours = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        for k in range(pictures):
            image = Image.fromarray(images[k % len(images)]).resize((500, 375))
            image.save(folder / f"{k:05}.jpg", quality=90)
        for network, size in NETWORKS.items():
            options = {"init_weights": False} if network == "inception_v3" else {}
            model = torchvision.models.get_model(network, weights=None, **options).eval().cuda()
            model.preprocess = resize_and_crop(
                size, round(size * 8 / 7), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
            )
            began = time.perf_counter()
            with precision(chosen):
                evaluate_folder(
                    model, folder, Path(name) / f"{network}.csv", batch=batch, progress=True
                )
            taken = (time.perf_counter() - began) / 3600 * 50_000 / pictures
            print(f"{network}, {chosen}, batch {batch}: {taken:.2f} hours for 50,000 pictures")
            hours += taken
    print(f"Table 1, {len(TABLE)} rows with the random order: {hours:.2f} hours (reach: 1)")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "tf32", "bfloat16"))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU: run on a machine with CUDA")
    tests = [sys.executable, "-m", "pytest", "-q", "tests", "-k", "gpu or recorded or tf32 or sync"]
    failed = subprocess.run(tests, check=False).returncode
    device = torch.device("cuda")
    print(benchmark.machine(device))
    print(benchmark.table(benchmark.measure(device, progress=True)), flush=True)
    selection()
    protocol(options.pictures, options.batch, options.precision)
    sys.exit(failed)


if __name__ == "__main__":
    main()
