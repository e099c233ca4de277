"""How far invisible noise moves a map, against LeRF and MoRF: the search for a stable DGA.

python tests/tools/frontier.py findings                      why plain DGA moves
python tests/tools/frontier.py search NETWORK [VARIANT ...]  few pictures, smaller; all by default
python tests/tools/frontier.py confirm NETWORK [VARIANT ...] other pictures, whole
python tests/tools/frontier.py table                         data/results/stability*.csv of them

NETWORK is squeezenet1_1 or efficientnet_lite0 (photographs of the optional folder DGA_REAL) or
resnet (ours, on drawn pictures). A run goes on where it stopped; build/frontier keeps its batches.
"Moved" is the relative L2 change of a map when Gaussian noise is added to the normalised input.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import dga
from dga.engine import Engine
from dga.filling import blurred
from dga.full_gradient import _spread_evenly
from dga.zoo.files import DATA, real_folder, write_atomically
from dga.zoo.photographs import load_photo

KEPT = Path(__file__).parent.parent.parent / "build" / "frontier"
NETWORKS = ("resnet", "squeezenet1_1", "efficientnet_lite0")
NOISES = (0.001, 0.01, 0.05)

# ------------------------------------------------------------------------------------ the variants


def two_stages(
    model: Any,
    inputs: Tensor,
    targets: Any = None,
    *,
    plain: int = 31,
    masked: int = 30,
    quantile: float = 0.9,
    ramp: float = 0.5,
    jitter: float = 1.0,
    beta: float = 0.2,
    sigma: float = 0.3,
    noise_under_masks: float = 0.0,
    antithetic: bool = False,
    rank_blur: float = 0.0,
    grain: int = 1,
    map_blur: float = 0.0,
    noise_counts: bool = True,
) -> Tensor:
    """The sketch of a stable DGA with every knob that was tried.

    Looks without masks give the ranks, once; then `masked` looks at inputs masked by soft ramps of
    the ranks plus `jitter` times a uniform draw. jitter=inf: the masks do not ask the network.
    """
    engine = Engine(model, inputs, targets)
    x, generator = engine.inputs, torch.Generator().manual_seed(0)
    total, ranked = torch.zeros_like(x), torch.zeros_like(x)
    last = torch.zeros(0)

    def normal(n: int) -> Tensor:
        nonlocal last
        if antithetic and n % 2 == 1:
            return -last
        last = torch.randn(x.shape[1:], generator=generator).to(x)
        return last

    def uniform() -> Tensor:
        c, h, w = x.shape[1:]
        if grain == 1:
            return torch.rand(x.shape[1:], generator=generator).to(x)
        small = torch.rand((1, c, -(-h // grain) + 1, -(-w // grain) + 1), generator=generator)
        a, b = (int(v) for v in torch.randint(grain, (2,), generator=generator))
        return F.interpolate(small, scale_factor=grain)[0, :, a : a + h, b : b + w].to(x)

    def look(mask: Tensor | float, noise: Tensor | float) -> Tensor:
        z = mask * x + noise
        score, gradient = engine.score_and_gradient(z)
        phi = _spread_evenly(z, score, gradient)
        without = phi - noise * gradient  # what the picture itself gave
        total.add_(F.leaky_relu(phi if noise_counts else without, beta))
        return without

    for n in range(plain):
        ranked += look(1.0, sigma * normal(n) if n else 0.0)
    if rank_blur:
        magnitude, signed = blurred(ranked.abs(), rank_blur), blurred(ranked, rank_blur)
    else:
        magnitude, signed = ranked.abs(), ranked
    weak, extreme = mid_ranks(magnitude), mid_ranks(signed)
    for j in range(masked):
        share = j / masked
        if jitter == float("inf"):
            a, b = uniform().expand_as(x), uniform().expand_as(x)
        else:
            a = cdf_of_sum(weak + jitter * uniform(), jitter)
            b = cdf_of_sum(extreme + jitter * uniform(), jitter)
        wc = ((a - share) / ramp + 0.5).clamp(0, 1)
        epc = ((quantile - b) / ramp + 0.5).clamp(0, 1)
        noise = noise_under_masks * normal(j) if noise_under_masks else 0.0
        look(share * wc + (1 - share) * epc, noise)
    if map_blur:
        total = blurred(total, map_blur)
    return total.contiguous()


def mid_ranks(values: Tensor) -> Tensor:
    rows = values.flatten(1).contiguous()
    ordered = rows.sort(1).values
    below = torch.searchsorted(ordered, rows)
    upto = torch.searchsorted(ordered, rows, right=True)
    return ((below + upto) / (2 * rows.shape[1])).to(values).view(values.shape)


def cdf_of_sum(s: Tensor, jitter: float) -> Tensor:
    """Of a uniform number in 0..1 plus one in 0..jitter."""
    if not jitter:
        return s
    square = lambda v: v.clamp(min=0).square()  # noqa: E731
    return (square(s) - square(s - 1) - square(s - jitter) + square(s - 1 - jitter)) / (2 * jitter)


def with_blur(method: Callable[..., Tensor], share: float, **options: Any) -> Callable[..., Tensor]:
    return lambda *a: blurred(method(*a, **options), share)


def averaged(copies: int, sigma: float, **options: Any) -> Callable[..., Tensor]:
    """DGA of so many noisy copies, added up."""

    def method(model: Any, x: Tensor, targets: Any) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        total = torch.zeros_like(x)
        for _ in range(copies):
            z = x + sigma * torch.randn(x.shape[1:], generator=generator).to(x)
            total += dga.distilled_gradient_aggregation(model, z, targets, **options)
        return total

    return method


_DGA, _IG = dga.distilled_gradient_aggregation, dga.integrated_gradients
INF = float("inf")
# name: passes, method
VARIANTS: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "ig": (31, _IG),
    "dga": (31, _DGA),
    "dga-60": (61, partial(_DGA, steps=60)),
    "sketch": (61, two_stages),
    "noisy-masks": (61, partial(two_stages, noise_under_masks=0.3)),
    "jitter-inf": (61, partial(two_stages, jitter=INF, noise_under_masks=0.3)),
    "jitter-3": (61, partial(two_stages, jitter=3.0, noise_under_masks=0.3)),
    "ranks-blurred": (61, partial(two_stages, rank_blur=0.01, noise_under_masks=0.3)),
    "map-blurred": (61, partial(two_stages, rank_blur=0.01, noise_under_masks=0.3, map_blur=0.01)),
    "dga-60-blurred": (61, with_blur(_DGA, 0.01, steps=60)),
    "ig-blurred": (31, with_blur(_IG, 0.01)),
    "dga-copies-2": (62, averaged(2, 0.3)),
    "noise-apart": (61, partial(two_stages, noise_under_masks=0.3, noise_counts=False)),
    "all-apart": (61, partial(two_stages, jitter=INF, noise_under_masks=0.3, noise_counts=False)),
    "sigma-.6": (61, partial(two_stages, sigma=0.6, noise_under_masks=0.6)),
    "antithetic": (61, partial(two_stages, noise_under_masks=0.3, antithetic=True)),
    "few-plain": (61, partial(two_stages, plain=16, masked=45, noise_under_masks=0.3)),
    "grain-4": (61, partial(two_stages, grain=4, noise_under_masks=0.3)),
    "beta-0": (61, partial(two_stages, beta=0.0, noise_under_masks=0.3)),
}

# ------------------------------------------------------------------------------- networks, pictures


def network(name: str) -> Any:
    folder = real_folder()
    if name == "resnet":
        return dga.load_model(name)
    if folder is None:
        raise SystemExit("name a folder of real photographs in the environment variable DGA_REAL")
    weights = folder / f"{name}_imagenet.pt"
    return dga.load_model(name, weights if weights.exists() else "default")


def pictures(name: str, model: Any, stage: str) -> dict[str, Tensor]:
    """The pictures of the search, or the others that confirm."""
    if name == "resnet":
        images = dga.load_images("test", 60).images
        some = range(8) if stage == "search" else range(16, 48)
        return {f"test {k}": model.preprocess(images[k]) for k in some}
    folder = real_folder()
    assert folder is not None
    paths = sorted((folder / ("photos" if stage == "search" else "more_photos")).iterdir())
    random.Random(0).shuffle(paths)
    x = {p.name: model.preprocess(load_photo(p)) for p in paths[: 4 if stage == "search" else 16]}
    if stage == "search":  # smaller: the middle, halved
        return {key: F.avg_pool2d(v, 2) for key, v in x.items()}
    return x


def measured(model: Any, x: Tensor, method: Callable[..., Tensor], numbers: range) -> list[Any]:
    """LeRF, MoRF and how far each noise moves the map, of every picture."""
    targets = Engine(model, x).targets
    noise = [torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(n)) for n in numbers]
    copies = [x, *(x + level * torch.stack(noise) for level in NOISES)]
    maps = [method(model, z, targets).double() for z in copies]
    curves = dga.pixel_perturbation(model, x, maps[0].to(x), targets, "both").double().mean(2)
    moved = [((m - maps[0]).flatten(1).norm(dim=1) / maps[0].flatten(1).norm(dim=1)) for m in maps[1:]]
    return torch.stack([*curves, *moved], 1).tolist()


def run(stage: str, name: str, wanted: list[str], batch: int = 4) -> None:
    model = network(name)
    found = pictures(name, model, stage)
    keys = list(found)
    for start in range(0, len(keys), batch):
        part = range(start, min(start + batch, len(keys)))
        for variant in wanted:
            path = KEPT / stage / name / f"{variant}-{start:03}.csv"
            if path.exists():
                continue
            x = torch.cat([found[keys[k]] for k in part])
            rows = measured(model, x, VARIANTS[variant][1], part)
            lines = [[keys[k], *(f"{v:.5f}" for v in row)] for k, row in zip(part, rows, strict=True)]
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows(lines)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.getvalue().encode())
            print(stage, name, variant, start, file=sys.stderr, flush=True)


def kept(stage: str, name: str) -> dict[str, dict[str, list[float]]]:
    """Variant -> picture -> LeRF, MoRF, moved by each noise."""
    scores: dict[str, dict[str, list[float]]] = {}
    for path in sorted((KEPT / stage / name).glob("*.csv")):
        of = scores.setdefault(path.stem[:-4], {})
        with open(path, newline="") as file:
            of.update({row[0]: [float(v) for v in row[1:]] for row in csv.reader(file)})
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["search", "confirm", "show"])
    parser.add_argument("network", nargs="?", choices=NETWORKS)
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    options = parser.parse_args()
    if options.what == "show":
        for stage in ("search", "confirm"):
            for name in NETWORKS:
                for v, of in kept(stage, name).items():
                    t = torch.tensor(list(of.values()))
                    print(f"{stage:8}{name:20}{v:18}{len(t):4}", *(f"{a:.3f}" for a in t[:, :2].mean(0)),
                          *(f"{100*a:5.1f}" for a in t[:, 2:].median(0).values))
        return
    run(options.what, options.network, options.variants or list(VARIANTS))


if __name__ == "__main__":
    main()
