"""Results that lesson 08 reads: python tests/tools/heavy_08.py PART ... [--pictures N] [--work DIR]

localisation    how much of a map lies on the object
classes         two objects in a picture: how much lies on the one that was asked for
cascade         resnet's layers randomised one after another, three draws
cascade_looks   the same for the sum of many cut looks, whose zeros differ: a control for the cut
fill            ends of LeRF and MoRF where removed pixels are grey, what was behind, or imputed
noise_networks  maps of noisy pictures: rank correlation with the clean map, LeRF and MoRF
quantus         sensitivity-max and infidelity by Quantus

A unit of work, ten pictures of one job, is one file in DIR: an interrupted run goes on where it
stopped, and a larger one reuses a smaller. Each part writes data/results/08_PART.csv when all its
units are there. 2 to 40 minutes a part on one thread.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

import dga
from dga import metrics
from dga.experiments.evaluation import attribute
from dga.metrics import pixel_perturbation
from dga.zoo.files import DATA, write_atomically
from dga.zoo.loading import Classifier
from dga.zoo.pictures import ImageSet

BLOCK = 10  # pictures
NETWORKS = ("vgg", "resnet", "inception")
METHODS = ("edges", "centre", "gi", "gbp", "ig", "fg", "dga")
FEW = ("gi", "gbp", "ig", "ig-cut", "fg", "gig", "dga", "dga-random", "gradcam")
ALL = ("random", "random-blurred", "centre", "edges", *FEW, "ufg-cut", "dga-gi")
NOISE = (0.0, 0.02, 0.1, 0.4)
TOP, BOTTOM = (0.02, 0.05, 0.1, 0.2), (0.8, 0.9, 0.95)  # removed in MoRF and in LeRF
LOOKS = 31  # of DGA
STAGES = ("10", "7.conv1", "5.conv1", "3.conv1", "0")  # of resnet

Row = dict[str, object]
Job = tuple[str, ...]


def maps(
    methods: Sequence[str], model: nn.Module, x: Tensor, target: Tensor, first: int
) -> dict[str, Tensor]:
    """An attribution by each method; the cut of IG does not compute IG again.

    The blob in the centre, negative everywhere, is lifted to 0: shares count what is positive.
    """
    found: dict[str, Tensor] = {}
    for name in methods:
        cut = name == "ig-cut" and "ig" in found
        found[name] = (
            found["ig"].clamp(min=0) if cut else attribute(name, model, x, target, first=first)
        )
    if "centre" in found:
        found["centre"] = found["centre"] - found["centre"].amin()
    return found


def localisation(job: Job, start: int) -> Iterator[Row]:
    name, split = job
    model, x, target, pictures = _start(name, split, start)
    for method, a in maps(METHODS, model, x, target, start).items():
        curves = pixel_perturbation(model, x, a, target, "both").mean(2)
        values = {
            "top10": metrics.top_precision(a, pictures.masks),
            "energy": metrics.energy_inside(a, pictures.masks),
            "pointing": metrics.pointing(a, pictures.masks),
            "lerf": curves[0],
            "morf": curves[1],
        }
        yield from _rows(start, values, network=name, split=split, method=method)


def classes(job: Job, start: int) -> Iterator[Row]:
    """`share` is that on the object asked for, of what lies on either, over both questions.

    A map that is the same for both classes therefore gets 1/2, on every picture.
    """
    (name,) = job
    model, x, _, pictures = _start(name, "two", start)
    assert pictures.second_labels is not None and pictures.second_masks is not None
    labels = torch.stack([pictures.labels, pictures.second_labels])
    masks = torch.stack([pictures.masks, pictures.second_masks])
    with torch.no_grad():
        best = model(x).topk(2).indices.sort(1).values
    named = (best == labels.T.sort(1).values).all(1)
    asked = [maps(ALL, model, x, label, start) for label in labels]
    for method in ALL:
        pair = [a[method] for a in asked]
        on = torch.stack(
            [torch.stack([metrics.energy_inside(a, m) for m in masks]) for a in pair]
        )  # (asked, object, pictures)
        both = on.sum(1)
        values = {
            "named": named,
            "share": ((on[0, 0] / both[0]) + (on[1, 1] / both[1])) / 2,
            "asked": (on[0, 0] + on[1, 1]) / 2,
            "other": (on[0, 1] + on[1, 0]) / 2,
            "correlation": metrics.rank_correlation(*pair),
        }
        yield from _rows(start, values, network=name, method=method)


def cascade(job: Job, start: int) -> Iterator[Row]:
    """Signed and unsigned maps after some layers, from the last to the first."""
    yield from _cascade(
        job, start, partial(maps, ("edges", "gi", "gbp", "ig", "ig-cut", "fg", "dga", "gradcam"))
    )


def cascade_looks(job: Job, start: int) -> Iterator[Row]:
    """As `cascade`, for as many cut looks as DGA's. A sign that flips no longer makes a zero."""
    yield from _cascade(job, start, lambda *given: {"gi-cut-looks": cut_looks(*given)})


def cut_looks(model: nn.Module, x: Tensor, target: Tensor, first: int) -> Tensor:
    """Gradient*Input at noisy copies of the pictures, each with its negatives cut, summed.

    Args:
        model, x, target: as for every method.
        first: number of the first picture, the seed of the noise.

    Returns:
        Shaped like x.
    """
    random = torch.Generator().manual_seed(first)
    total = torch.zeros_like(x)
    for _ in range(LOOKS):
        near = x + NOISE[-1] * torch.randn(x.shape, generator=random)
        total += dga.gradient_times_input(model, near, target).clamp(min=0)
    return total


def _cascade(
    job: Job, start: int, explain: Callable[[nn.Module, Tensor, Tensor, int], dict[str, Tensor]]
) -> Iterator[Row]:
    name, draw = job
    model, x, target, pictures = _start(name, "test", start)
    before = explain(model, x, target, start)
    networks = metrics.cascading_randomization(model, seed=1000 * int(draw))
    for layer, copy in networks:
        if layer not in STAGES:
            continue
        for method, a in explain(copy, x, target, start).items():
            sizes = [m.sum(1, keepdim=True).abs() for m in (a, before[method])]
            values = {
                "correlation": metrics.rank_correlation(a, before[method]),
                "unsigned": metrics.rank_correlation(*sizes),
                "energy": metrics.energy_inside(a, pictures.masks),
            }
            yield from _rows(start, values, network=name, draw=draw, layer=layer, method=method)


def fill(job: Job, start: int) -> Iterator[Row]:
    """A row holds all methods: MoRF is the mean over `TOP`, LeRF over `BOTTOM`."""
    (name,) = job
    model, x, target, pictures = _start(name, "test", start, without=True)
    behind = model.preprocess(pictures.without)
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    for method, a in maps(ALL, model, x, target, start).items():
        for order, shares in (("morf", TOP), ("lerf", BOTTOM)):
            for kind in ("mean", "linear"):
                curve = pixel_perturbation(model, x, a, target, order, shares=shares, fill=kind)
                found.setdefault((kind, order), {})[method] = curve.mean(1)
            curve = behind_instead(model, x, behind, a, target, order, shares)
            found.setdefault(("behind", order), {})[method] = curve.mean(1)
    for (kind, order), values in found.items():
        yield from _rows(start, values, network=name, fill=kind, measure=order)


def behind_instead(
    model: nn.Module,
    x: Tensor,
    behind: Tensor,
    a: Tensor,
    target: Tensor,
    order: str,
    shares: Sequence[float],
) -> Tensor:
    """Pixel perturbation where a removed pixel becomes what was behind the object."""
    signed = a if order == "morf" else -a
    curve = []
    for share in shares:
        gone = metrics.top_pixels(signed, share)[:, None]
        with torch.no_grad():
            p = model(torch.where(gone, behind, x)).softmax(1)
        curve.append(p.gather(1, target[:, None])[:, 0])
    return torch.stack(curve, 1)


def noise(job: Job, start: int) -> Iterator[Row]:
    """Every map explains the noisy picture and is tested on it."""
    (name,) = job
    model, x, target, _ = _start(name, "test", start)
    random = torch.randn(x.shape, generator=torch.Generator().manual_seed(start))
    methods = ("edges", "gi", "gbp", "ig", "ig-cut", "fg", "dga")
    clean = maps(methods, model, x, target, start)
    for level in NOISE:
        near = x + level * random
        for method, a in (maps(methods, model, near, target, start) if level else clean).items():
            curves = pixel_perturbation(model, near, a, target, "both").mean(2)
            values = {
                "correlation": metrics.rank_correlation(a, clean[method]),
                "lerf": curves[0],
                "morf": curves[1],
            }
            yield from _rows(start, values, network=name, method=method, noise=level)


def quantus(job: Job, start: int) -> Iterator[Row]:
    """Sensitivity-max in a cube of half side 0.02; infidelity over patches of 8 x 8 that turn grey.

    Infidelity asks for differences of the score, so a map may first be multiplied by the best
    constant for each picture (`scaled`): 0 is perfect, 1 no better than an empty map.
    """
    import quantus as q

    (name,) = job
    model, x, target, _ = _start(name, "test", start)
    common = {"disable_warnings": True, "normalise": False, "abs": False}
    losses: dict[str, str | Callable[..., np.ndarray]] = {"infidelity": "mse", "scaled": _scaled}
    for method in ALL:

        def explain(
            model: nn.Module, inputs: np.ndarray, targets: np.ndarray, method: str = method,
            **_: object,
        ) -> np.ndarray:  # fmt: skip
            z, y = (torch.as_tensor(v) for v in (inputs, targets))
            result: np.ndarray = maps([method], model, z.to(x), y, start)[method].numpy()
            return result

        batch = {
            "model": model, "x_batch": x.numpy(), "y_batch": target.numpy(), "channel_first": True,
            "a_batch": explain(model, x.numpy(), target.numpy()), "softmax": False,
        }  # fmt: skip
        values = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.random.seed(start)
            measure = q.MaxSensitivity(nr_samples=10, lower_bound=0.02, **common)
            values["sensitivity"] = torch.tensor(measure(explain_func=explain, **batch))
            for key, loss in losses.items():
                measure = q.Infidelity(
                    loss_func=loss, perturb_patch_sizes=[8], n_perturb_samples=1,
                    perturb_baseline=0.0, **common,
                )  # fmt: skip
                values[key] = torch.tensor(np.array(measure(**batch)))
        yield from _rows(start, values, network=name, method=method)


def _scaled(a: np.ndarray, b: np.ndarray, **_: object) -> np.ndarray:
    """What is left of the differences `a` after the best multiple of the sums `b`, a share."""
    inner = (a * b).sum(-1) ** 2
    both: np.ndarray = (a**2).sum(-1) * (b**2).sum(-1)
    return 1 - np.divide(inner, both, out=np.zeros_like(inner), where=both > 0)


def _start(
    name: str, split: str, start: int, without: bool = False
) -> tuple[Classifier, Tensor, Tensor, ImageSet]:
    """The network, ten pictures, the classes that it names, and the truth about them."""
    model = dga.load_model(name)
    whole = dga.load_images(split, start + BLOCK, without=without)
    pictures = ImageSet(*(None if v is None else v[start:] for v in vars(whole).values()))
    x = model.preprocess(pictures.images)
    with torch.no_grad():
        return model, x, model(x).argmax(1), pictures


def _rows(start: int, values: dict[str, Tensor], **fixed: object) -> Iterator[Row]:
    count = len(next(iter(values.values())))
    for k in range(count):
        numbers = {key: f"{float(value[k]):.4f}" for key, value in values.items()}
        yield {**fixed, "picture": start + k, **numbers}


@dataclass(frozen=True)
class Part:
    """What is measured, on what, and on how many pictures of each job."""

    measure: Callable[[Job, int], Iterator[Row]]
    jobs: tuple[Job, ...]
    pictures: int


EACH = tuple((name,) for name in NETWORKS)
DRAWS = tuple(("resnet", str(draw)) for draw in range(3))
PARTS = {
    "localisation": Part(
        localisation, (*((name, "test") for name in NETWORKS), ("resnet", "small")), 100
    ),
    "classes": Part(classes, EACH, 100),
    "cascade": Part(cascade, DRAWS, 50),
    "cascade_looks": Part(cascade_looks, DRAWS, 30),
    "fill": Part(fill, EACH, 500),
    "noise_networks": Part(noise, EACH, 50),
    "quantus": Part(quantus, (("resnet",),), 30),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help="all if none is named")
    parser.add_argument("--pictures", type=int, help="of each job, a multiple of 10")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "heavy_08")
    arguments = parser.parse_args()
    names = arguments.parts or list(PARTS)
    if unknown := set(names) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    arguments.work.mkdir(parents=True, exist_ok=True)
    for name in names:
        part = PARTS[name]
        starts = range(0, arguments.pictures or part.pictures, BLOCK)
        units = [(job, start) for start in starts for job in part.jobs]
        rows: dict[Job, list[Row]] = {job: [] for job in part.jobs}
        for job, start in tqdm(units, desc=name):
            path = arguments.work / f"{name}-{'-'.join(job)}-{start}.json"
            if not path.exists():
                write_atomically(path, json.dumps(list(part.measure(job, start))).encode())
            rows[job] += json.loads(path.read_text())
        _write(name, [row for job in part.jobs for row in rows[job]])


def _write(part: str, rows: list[Row]) -> None:
    text = io.StringIO(newline="")
    text.write("# made by python tests/tools/heavy_08.py\n")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(DATA / "results" / f"08_{part}.csv", text.getvalue().encode())


if __name__ == "__main__":
    main()
