"""How far invisible noise moves a map, against LeRF and MoRF: the search for a stable DGA.

python tests/tools/frontier.py findings                      why plain DGA moves
python tests/tools/frontier.py search NETWORK [VARIANT ...]  few pictures, smaller; all by default
python tests/tools/frontier.py confirm NETWORK [VARIANT ...] other pictures, smaller
python tests/tools/frontier.py whole NETWORK [VARIANT ...]   half of these, not smaller
python tests/tools/frontier.py seeds NETWORK [VARIANT ...]   how far another seed moves the map
python tests/tools/frontier.py worth NETWORK [VARIANT ...]   LeRF and MoRF only, of 128 others
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
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import dga
from dga.engine import Engine
from dga.filling import blurred
from dga.full_gradient import _spread_evenly
from dga.metrics import bootstrap_interval
from dga.significance import holm_intervals
from dga.zoo.files import DATA, real_folder, write_atomically
from dga.zoo.photographs import load_photo

KEPT = Path(__file__).parent.parent.parent / "build" / "frontier"
NETWORKS = ("resnet", "squeezenet1_1", "efficientnet_lite0")
STAGES = ("search", "confirm", "whole", "seeds", "worth")
# "Not worse than plain DGA" means by no more than this; written before the stage "worth" was run.
MARGINS = {"lerf": 0.05, "morf": 0.02}
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
    quasi: bool = False,
    value_ramps: bool = False,
    epc_from_first: bool = False,
    running: bool = False,
    seed: int = 0,
) -> Tensor:
    """The sketch of a stable DGA with every knob that was tried.

    Looks without masks give the ranks, once; then `masked` looks at inputs masked by soft ramps of
    the ranks plus `jitter` times a uniform draw. jitter=inf: the masks do not ask the network.
    quasi: evenly spread draws, not independent ones. value_ramps: ramps over values, not ranks.
    epc_from_first: EPC ranks the one look at x. running: masked looks have their say in the ranks.
    """
    engine = Engine(model, inputs, targets)
    x, generator = engine.inputs, torch.Generator().manual_seed(seed)
    total, ranked = torch.zeros_like(x), torch.zeros_like(x)
    last, drawn = torch.zeros(0), 0
    starts: list[Tensor] = []

    def spread(which: int) -> Tensor:
        """Uniform in 0..1: at each feature, successive draws fill the interval evenly."""
        nonlocal drawn
        while len(starts) <= which:
            starts.append(torch.rand(x.shape[1:], generator=generator))
        drawn += 1
        # Kronecker's sequences of two numbers that no small fraction approximates.
        step = (0.7548776662, 0.5698402910, 0.6180339887)[which]
        return ((starts[which] + step * drawn) % 1).clamp(1e-6, 1 - 1e-6).to(x)

    def normal(n: int) -> Tensor:
        nonlocal last
        if antithetic and n and n % 2 == 0:
            return -last
        if quasi:
            return torch.special.ndtri(spread(2))
        last = torch.randn(x.shape[1:], generator=generator).to(x)
        return last

    def uniform(which: int) -> Tensor:
        if quasi:
            return spread(which)
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

    def places(values: Tensor) -> Tensor:
        smooth = blurred(values, rank_blur) if rank_blur else values
        if not value_ramps:
            return mid_ranks(smooth)
        low, high = smooth.flatten(1).quantile(torch.tensor([0.02, 0.98]).to(x), 1)
        shape = (-1, *[1] * (x.dim() - 1))
        return ((smooth - low.view(shape)) / (high - low).view(shape)).clamp(0, 1)

    first = torch.zeros_like(x)
    for n in range(plain):
        ranked += look(1.0, sigma * normal(n) if n else 0.0)
        first = first if n else ranked.clone()
    weak, extreme = places(ranked.abs()), places(first if epc_from_first else ranked)
    for j in range(masked):
        share = j / masked
        if jitter == float("inf"):
            a, b = uniform(0).expand_as(x), uniform(1).expand_as(x)
        else:
            a = cdf_of_sum(weak + jitter * uniform(0), jitter)
            b = cdf_of_sum(extreme + jitter * uniform(1), jitter)
        wc = ((a - share) / ramp + 0.5).clamp(0, 1)
        epc = ((quantile - b) / ramp + 0.5).clamp(0, 1)
        noise = noise_under_masks * normal(j) if noise_under_masks else 0.0
        phi = look(share * wc + (1 - share) * epc, noise)
        if running:
            ranked += phi
            weak, extreme = places(ranked.abs()), places(ranked)
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


def damped(model: Any, x: Tensor, targets: Any, *, steps: int = 60, kept: float = 0.8) -> Tensor:
    """DGA that ranks a fading mean of its looks, so that the last one does not decide alone."""
    engine = Engine(model, x, targets)
    x = engine.inputs
    total, mean, z = torch.zeros_like(x), None, x
    for n in range(steps + 1):
        phi = _spread_evenly(z, *engine.score_and_gradient(z))
        total += phi.clamp(min=0)
        mean = phi if mean is None else kept * mean + (1 - kept) * phi
        share = n / steps
        weak = ((mid_ranks(mean.abs()) - share) / 0.5 + 0.5).clamp(0, 1)
        extreme = ((0.9 - mid_ranks(mean)) / 0.5 + 0.5).clamp(0, 1)
        z = (share * weak + (1 - share) * extreme) * x
    return total


def with_blur(method: Callable[..., Tensor], share: float, **options: Any) -> Callable[..., Tensor]:
    return lambda *a: blurred(method(*a, **options), share)


def averaged(copies: int, sigma: float, **options: Any) -> Callable[..., Tensor]:
    """DGA of so many noisy copies, added up."""

    def method(model: Any, x: Tensor, targets: Any, *, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(x)
        for _ in range(copies):
            z = x + sigma * torch.randn(x.shape[1:], generator=generator).to(x)
            total += dga.distilled_gradient_aggregation(model, z, targets, **options)
        return total

    return method


_STABLE = dga.stable_distilled_gradient_aggregation
_DGA, _IG = dga.distilled_gradient_aggregation, dga.integrated_gradients
INF = float("inf")
SEEDED = ("dga-2-copies", "stable-15", "stable", "stable-61", "sketch")
# What `dga.stable` is, with knobs.
_CHOSEN = partial(two_stages, noise_under_masks=0.3, rank_blur=0.04, jitter=3.0)
# name: passes, method
VARIANTS: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "ig": (31, _IG),
    "dga": (31, _DGA),
    "dga-60": (61, partial(_DGA, steps=60)),
    "dga-122": (123, partial(_DGA, steps=122)),
    "dga-2-copies": (62, averaged(2, 0.05)),
    "stable-15": (31, partial(_STABLE, steps=15)),
    "stable": (61, _STABLE),
    "stable-61": (123, partial(_STABLE, steps=61)),
    "sketch": (61, two_stages),
    "noisy-masks": (61, partial(two_stages, noise_under_masks=0.3)),
    "jitter-inf": (61, partial(two_stages, jitter=INF, noise_under_masks=0.3)),
    "jitter-3": (61, partial(two_stages, jitter=3.0, noise_under_masks=0.3)),
    "ranks-blurred": (61, partial(two_stages, rank_blur=0.01, noise_under_masks=0.3)),
    "map-blurred": (61, partial(two_stages, rank_blur=0.01, noise_under_masks=0.3, map_blur=0.01)),
    "dga-60-blurred": (61, with_blur(_DGA, 0.01, steps=60)),
    "ig-blurred": (31, with_blur(_IG, 0.01)),
    "noise-apart": (61, partial(two_stages, noise_under_masks=0.3, noise_counts=False)),
    "apart-blurred-1": (
        61,
        partial(two_stages, noise_under_masks=0.3, noise_counts=False, rank_blur=0.01),
    ),
    "apart-blurred-2": (
        61,
        partial(two_stages, noise_under_masks=0.3, noise_counts=False, rank_blur=0.02),
    ),
    "apart-blurred-2-jitter-2": (
        61,
        partial(two_stages, noise_under_masks=0.3, noise_counts=False, rank_blur=0.02, jitter=2.0),
    ),
    "apart-jitter-2": (
        61,
        partial(two_stages, noise_under_masks=0.3, noise_counts=False, jitter=2.0),
    ),
    "apart-sigma-.6": (
        61,
        partial(two_stages, sigma=0.6, noise_under_masks=0.6, noise_counts=False),
    ),
    "apart-few-plain": (
        61,
        partial(two_stages, plain=16, masked=45, noise_under_masks=0.3, noise_counts=False),
    ),
    "blurred-2-jitter-2": (
        61,
        partial(two_stages, noise_under_masks=0.3, rank_blur=0.02, jitter=2.0),
    ),
    "blurred-2-jitter-2-sigma-.15": (
        61,
        partial(two_stages, sigma=0.15, noise_under_masks=0.15, rank_blur=0.02, jitter=2.0),
    ),
    "blurred-2-jitter-2-sigma-.6": (
        61,
        partial(two_stages, sigma=0.6, noise_under_masks=0.6, rank_blur=0.02, jitter=2.0),
    ),
    "blurred-4-jitter-3": (61, _CHOSEN),
    "jitter-6": (61, partial(_CHOSEN, jitter=6.0)),
    "blurred-8": (61, partial(_CHOSEN, rank_blur=0.08)),
    "blurred-8-jitter-6": (61, partial(_CHOSEN, rank_blur=0.08, jitter=6.0)),
    "blurred-8-jitter-6-map-blurred-.004": (
        61,
        partial(_CHOSEN, rank_blur=0.08, jitter=6.0, map_blur=0.004),
    ),
    "jitter-6-beta-0": (61, partial(_CHOSEN, jitter=6.0, beta=0.0)),
    "jitter-6-map-blurred-.003": (61, partial(_CHOSEN, jitter=6.0, map_blur=0.003)),
    "jitter-6-map-blurred-.004": (61, partial(_CHOSEN, jitter=6.0, map_blur=0.004)),
    "jitter-6-map-blurred-.005": (61, partial(_CHOSEN, jitter=6.0, map_blur=0.005)),
    "quasi": (61, partial(_CHOSEN, quasi=True)),
    "value-ramps": (61, partial(_CHOSEN, value_ramps=True)),
    "epc-from-first": (61, partial(_CHOSEN, epc_from_first=True)),
    "ranks-running": (61, partial(_CHOSEN, running=True)),
    "damped": (61, damped),
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
    """The pictures of the search, or the others that confirm; photographs smaller, or whole."""
    if name == "resnet":
        images = dga.load_images("test", 200).images
        some = {"search": range(8), "worth": range(48, 176)}.get(stage, range(16, 48))
        return {f"test {k}": model.preprocess(images[k]) for k in some}
    folder = real_folder()
    assert folder is not None
    paths = sorted((folder / ("photos" if stage == "search" else "more_photos")).iterdir())
    random.Random(0).shuffle(paths)
    first, end = {"search": (0, 8), "worth": (32, 160), "whole": (0, 16)}.get(stage, (0, 32))
    found = {p.name: model.preprocess(load_photo(p)) for p in paths[first:end]}
    return found if stage == "whole" else {key: F.avg_pool2d(v, 2) for key, v in found.items()}


def judged(
    model: Any, x: Tensor, targets: Tensor, method: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """Maps, and LeRF and MoRF of every picture."""
    map_ = method(model, x, targets)
    return map_, dga.pixel_perturbation(model, x, map_, targets, "both").double().mean(2).T


def measured(
    model: Any, x: Tensor, targets: Tensor, method: Callable[..., Tensor], numbers: range
) -> Tensor:
    """LeRF, MoRF and how far each noise moves the map, of every picture."""
    map_, scores = judged(model, x, targets, method)
    noise = [torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(n)) for n in numbers]
    gaps = [moved(method(model, x + level * torch.stack(noise), targets), map_) for level in NOISES]
    return torch.cat([scores, torch.stack(gaps, 1)], 1)


def moved(maps: Tensor, from_: Tensor) -> Tensor:
    maps, from_ = maps.double(), from_.double()
    return (maps - from_).flatten(1).norm(dim=1) / from_.flatten(1).norm(dim=1)


def reseeded(model: Any, x: Tensor, targets: Tensor, method: Callable[..., Tensor]) -> Tensor:
    """How far another seed moves the map of every picture."""
    first, other = (method(model, x, targets, seed=seed) for seed in (0, 1))
    return moved(other, first).unsqueeze(1)


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
            targets, method = Engine(model, x).targets, VARIANTS[variant][1]
            if stage == "seeds":
                rows = reseeded(model, x, targets, method)
            elif stage == "worth":
                rows = judged(model, x, targets, method)[1]
            else:
                rows = measured(model, x, targets, method, part)
            named = [keys[k] for k in part]
            lines = [
                [key, *(f"{v:.5f}" for v in r)] for key, r in zip(named, rows.tolist(), strict=True)
            ]
            write(path, lines)
            print(stage, name, variant, start, file=sys.stderr, flush=True)


def findings(name: str) -> None:
    """Why DGA moves, in float64, medians over four pictures, written as they are found."""
    model = network(name).double()
    x = torch.cat(list(pictures(name, model, "search").values())[:4]).double()
    targets = Engine(model, x).targets
    seeds = [torch.Generator().manual_seed(k) for k in range(len(x))]
    noise = torch.stack([torch.randn(x.shape[1:], generator=g) for g in seeds]).to(x)
    rows: list[list[Any]] = []

    def far(a: Tensor, b: Tensor) -> float:
        gap, length = (a - b).flatten(1).norm(dim=1), b.flatten(1).norm(dim=1)
        return float((gap / length.clamp(min=1e-300)).median())

    def note(finding: int, what: str, value: float) -> None:
        rows.append([finding, what, f"{value:.4g}"])
        write(KEPT / "findings" / f"{name}.csv", rows)

    def sequence(z: Tensor) -> list[Any]:
        return list(dga.distill(model, z, targets))

    def summed(steps: list[Any]) -> Tensor:
        return sum((s.attribution.clamp(min=0) for s in steps), torch.zeros_like(x))

    def frozen(z: Tensor) -> Tensor:
        """DGA of z with the masks of the clean run."""
        inputs = [z, *(s.mask * z for s in clean[:-1])]
        looks = [dga.uniform_fullgrad(model, i, targets) for i in inputs]
        return sum((phi.clamp(min=0) for phi in looks), torch.zeros_like(x))

    clean = sequence(x)
    map_, local = summed(clean), clean[0].attribution
    for level in (0.001, 0.01, 0.1):
        moved = dga.uniform_fullgrad(model, x + level * noise, targets)
        note(1, f"UFG moved by {level}", far(moved, local))
    noisy = sequence(x + 0.001 * noise)
    flips = [
        torch.cat([(a.weak != b.weak).flatten(1), (a.extreme != b.extreme).flatten(1)], 1)
        for a, b in zip(noisy, clean, strict=True)
    ]
    for n in range(6):
        note(2, f"entries flipped in the masks of step {n}", float(flips[n].double().mean()))
        note(2, f"distilled input {n} moved", far(noisy[n].distilled, clean[n].distilled))
        note(2, f"attribution {n} moved", far(noisy[n].attribution, clean[n].attribution))
    for apart in (1, 2):
        shares = [
            float((~a.extreme & ~b.extreme).sum() / (~a.extreme).sum())
            for a, b in zip(clean[:10], clean[apart : 10 + apart], strict=True)
        ]
        note(4, f"of what EPC removes, removed again {apart} later", sum(shares) / len(shares))
    plain_ig = _IG(model, x, targets)
    for level in NOISES:
        z = x + level * noise
        note(5, f"masks frozen, moved by {level}", far(frozen(z), map_))
        note(5, f"IG moved by {level}", far(_IG(model, z, targets), plain_ig))
    for level in (1e-10, 1e-6, 1e-4, 1e-2):
        note(3, f"DGA moved by {level}", far(summed(sequence(x + level * noise)), map_))


def write(path: Path, rows: list[list[Any]], about: str = "") -> None:
    text = io.StringIO(newline="")
    text.write(about)
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())


def kept(stage: str, name: str) -> dict[str, dict[str, list[float]]]:
    """Variant -> picture -> LeRF, MoRF, moved by each noise."""
    scores: dict[str, dict[str, list[float]]] = {}
    for path in sorted((KEPT / stage / name).glob("*.csv")):
        of = scores.setdefault(path.stem[:-4], {})
        with open(path, newline="") as file:
            of.update({row[0]: [float(v) for v in row[1:]] for row in csv.reader(file)})
    return scores


REFERENCE = {31: "dga", 61: "dga-60", 62: "dga-60", 123: "dga-122", 124: "dga-122"}


def table(stages: tuple[str, ...], file: str) -> None:
    """Means, medians of what noise moves, and differences to plain DGA of equal passes (Holm).

    Of the pictures that every variant has done.
    """
    header = ["stage", "network", "method", "passes", "pictures", "lerf", "morf"]
    header += [f"moved_{level}" for level in NOISES]
    header += [f"{m}_minus_dga{end}" for m in ("lerf", "morf") for end in ("", "_low", "_high")]
    header += ["moved_by_seed"]
    rows: list[list[Any]] = [header]
    for stage, name in product(stages, NETWORKS):
        done, seeds = kept(stage, name), kept("seeds", name)
        every = set.intersection(*map(set, done.values())) if done else set()
        scores = {v: {key: of[key] for key in sorted(every)} for v, of in done.items() if every}
        found: dict[tuple[str, int], tuple[float, float, float]] = {}
        for variant, of in scores.items():
            plain = scores.get(REFERENCE[VARIANTS[variant][0]], {})
            if plain is of or not plain:
                continue
            for measure in (0, 1):
                gaps = torch.tensor([of[key][measure] - plain[key][measure] for key in plain])
                mean, low, high = map(float, bootstrap_interval(gaps))
                found[variant, measure] = mean, low, high
        corrected = dict(zip(found, holm_intervals(list(found.values())), strict=True))
        for variant in (v for v in VARIANTS if v in scores):
            values = torch.tensor(list(scores[variant].values())).double()
            row: list[Any] = [stage, name, variant, VARIANTS[variant][0], len(values)]
            row += [f"{v:.4f}" for v in values[:, :2].mean(0).tolist()]
            row += [f"{v:.4f}" for v in values[:, 2:].quantile(0.5, 0).tolist()]
            for measure in (0, 1):
                gap = corrected.get((variant, measure))
                row += [f"{v:.4f}" for v in gap] if gap else [""] * 3
            seeded = seeds.get(variant, {})
            seeded = seeded if stage == "confirm" and every <= set(seeded) else {}
            row += [f"{median([v for key in every for v in seeded[key]]):.4f}" if seeded else ""]
            rows.append(row)
    command = f"# python tests/tools/frontier.py {', '.join(stages)} NETWORK, then table\n"
    write(DATA / "results" / file, rows, command)


def worth() -> None:
    """LeRF and MoRF of stable DGA minus those of plain DGA with as many passes, and margins."""
    rows: list[list[Any]] = [["network", "pictures", "measure", "dga", "stable", "stable_minus_dga",
                              "low", "high", "margin"]]  # fmt: skip
    ends: list[tuple[float, float, float]] = []
    for name in NETWORKS:
        done = kept("worth", name)
        if not {"dga-60", "stable"} <= set(done):
            continue
        both = sorted(set(done["dga-60"]) & set(done["stable"]))
        plain, ours = (torch.tensor([done[v][key] for key in both]) for v in ("dga-60", "stable"))
        for k, (measure, margin) in enumerate(MARGINS.items()):
            means = [f"{float(v[:, k].mean()):.4f}" for v in (plain, ours)]
            rows.append([name, len(both), measure, *means, margin])
            mean, low, high = map(float, bootstrap_interval(ours[:, k] - plain[:, k]))
            ends.append((mean, low, high))
    for row, interval in zip(rows[1:], holm_intervals(ends), strict=True):
        row[5:5] = [f"{v:.4f}" for v in interval]
    command = "# python tests/tools/frontier.py worth NETWORK dga-60 stable, then table\n"
    write(DATA / "results" / "stability_worth.csv", rows, command)


def tables() -> None:
    worth()
    table(("search",), "stability_search.csv")
    table(("confirm", "whole"), "stability.csv")  # and of seeds a column
    rows: list[list[Any]] = [["network", "finding", "what", "value"]]
    for name in NETWORKS:
        path = KEPT / "findings" / f"{name}.csv"
        if path.exists():
            with open(path, newline="") as file:
                rows += [[name, *row] for row in csv.reader(file)]
    command = "# python tests/tools/frontier.py findings NETWORK, then table\n"
    if len(rows) > 1:
        write(DATA / "results" / "stability_findings.csv", rows, command)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["findings", *STAGES, "table", "show"])
    parser.add_argument("network", nargs="?", choices=NETWORKS)
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    options = parser.parse_args()
    if options.what == "show":
        for stage in STAGES[:3]:
            for name in NETWORKS:
                for v, of in kept(stage, name).items():
                    t = torch.tensor(list(of.values()))
                    print(
                        f"{stage:8}{name:20}{v:18}{len(t):4}",
                        *(f"{a:.3f}" for a in t[:, :2].mean(0)),
                        *(f"{100 * a:5.1f}" for a in t[:, 2:].quantile(0.5, 0)),
                    )
        return
    if options.what == "table":
        tables()
        return
    if options.network is None:
        parser.error(f"{options.what} of which NETWORK?")
    if options.what == "findings":
        findings(options.network)
        return
    every = [name for name in VARIANTS if options.what != "seeds" or name in SEEDED]
    run(options.what, options.network, options.variants or every)


if __name__ == "__main__":
    main()
