"""Explorers for the lessons: a few controls, one picture, one line of text.

Each function returns an `Explorer`, which a notebook shows as the last expression of a cell:

    explore_method         one method, on any picture, network and class
    explore_noise          how maps move when the picture gets noisy
    explore_path           Integrated Gradients along its path
    explore_biases         the bias terms of a network, layer by layer
    explore_masks          weak and extreme positive contributors
    explore_distillation   the distilled sequence and its running sum
    explore_methods        all methods side by side, and their most relevant pixels
    explore_perturbation   pixels removed by rank, and the probability that is left

The maths is in the modules they call. Everything works with ipywidgets 7.7.1 (Colab) and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ipywidgets import (
    BoundedFloatText,
    Dropdown,
    FloatSlider,
    IntSlider,
    SelectionSlider,
)
from PIL import Image, ImageFilter
from torch import Tensor

from dga.bias_terms import bias_attributions
from dga.distillation import distill
from dga.full_gradient import _saliency, uniform_fullgrad
from dga.gradients import gradient
from dga.lessons import plots
from dga.lessons.explorer import Explorer, Networks, Photos, Rows, Shown, _percent
from dga.lessons.plots import Pixels
from dga.masks import extreme_positive_contributor_mask, weak_contributor_mask
from dga.methods import METHODS
from dga.metrics import pixel_perturbation, top_pixels
from dga.validation import check_choice

STEPS = 30
NOISE = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def _attribution(short: str, shown: Shown, bar: Callable) -> Tensor:
    return METHODS[short].function(shown.model, shown.x, shown.target, progress=bar)


def _attributions(methods: Sequence[str], shown: Shown, bar: Callable) -> dict[str, Tensor]:
    """By short name, without those methods that do not fit the network."""
    known = {}
    for k in bar(range(len(methods))):
        try:
            known[methods[k]] = _attribution(methods[k], shown, lambda steps, **_: steps)
        except ValueError:  # said by _left_out
            continue
    return known


def _left_out(methods: Sequence[str], known: Mapping[str, Tensor]) -> str:
    missing = [METHODS[key].label for key in methods if key not in known]
    return f" Not possible on this network: {', '.join(missing)}." if missing else ""


def _heatmap(attribution: Tensor) -> Pixels:
    """Of (1, C, H, W): blue-white-red if it has negative values."""
    return plots.heatmap(attribution[0], signed=bool((attribution < 0).any()))


def _grey(mask: Tensor) -> Pixels:
    """A mask or blend (1, C, H, W), 0..1: white where all channels stay."""
    return mask[0].float().mean(0).cpu().numpy()[..., None].repeat(3, 2)


def explore_method(
    method: str = "dga",
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """One method on any picture, network and class; with upload.

    Args:
        method: short name, see `dga.METHODS`.
        network, picture: the first choice; a name (None for "resnet", or for the first of your
            own) and a position.
        networks: by name, to choose from; None for the shipped ones.
        pictures: PIL images or uint8 (H, W, 3) by name; None for the shipped figures.

    Example:
        >>> explorer = explore_method("gi", "resnet")
        >>> explorer.controls["Class"].value = 3  # why a boat?
        >>> explorer.text.split("?")[0]
        'The network says cat (100.0 %). Why boat'
    """
    check_choice("method", method, tuple(METHODS))
    choice = Dropdown(
        options=[(m.label, key) for key, m in METHODS.items()], value=method, description="Method"
    )

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Tensor:
        return _attribution(values["Method"], shown, bar)

    def draw(
        shown: Shown, attribution: Tensor, values: dict[str, Any], bar: Callable
    ) -> tuple[Rows, str]:
        scores = shown.scores(shown.x)[0]
        row = {
            "picture": shown.photo,
            METHODS[values["Method"]].label: _heatmap(attribution),
            "relevant parts": plots.overlay(shown.photo, attribution[0]),
        }
        said = shown.model.classes[int(scores.argmax())]
        sure = _percent(scores.softmax(0).max())
        return [row], (
            f"The network says {said} ({sure}). Why {shown.label}? Its "
            f"score is {scores[shown.target]:.2f}; the attributions sum to {attribution.sum():.2f}."
        )

    return Explorer(
        "method", networks, pictures, network, picture, compute, draw,
        slow=[choice], choose_class=True, height=256,
    )  # fmt: skip


def explore_noise(
    methods: Sequence[str] = ("g", "ig", "fg", "dga"),
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """How far the maps of several methods move when noise is added to the picture.

    Args:
        methods: short names, see `dga.METHODS`.
        network, picture, networks, pictures: see `explore_method`.

    Example:
        >>> explorer = explore_noise(["g", "ig"])
        >>> explorer.controls["Noise"].value = 0.1
        >>> explorer.text.split(":")[0]
        'Noise 0.1. How far each map moved'
    """
    for method in methods:
        check_choice("methods", method, tuple(METHODS))
    strength = SelectionSlider(
        options=[(f"{level:g}", level) for level in NOISE], value=NOISE[0], description="Noise",
        continuous_update=False,
    )  # fmt: skip

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> dict[float, Any]:
        return {0.0: maps(shown, 0.0, bar)}

    def maps(shown: Shown, level: float, bar: Callable) -> dict[str, Tensor]:
        random = torch.randn(shown.x.shape, generator=torch.Generator().manual_seed(0))
        x = shown.x + level * random.to(shown.x)
        near = Shown(shown.model, x, shown.photo, shown.target)
        return {"x": x, **_attributions(methods, near, bar)}

    def draw(shown: Shown, known: dict, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        level = values["Noise"]
        if level not in known:
            known[level] = maps(shown, level, bar)
        now, before = known[level], known[0.0]
        fit = [key for key in methods if key in now]
        row = {"picture": shown.look(now["x"])}
        row |= {METHODS[key].label: _heatmap(now[key]) for key in fit}
        moved = [
            f"{METHODS[key].label} {_percent((now[key] - before[key]).norm() / before[key].norm())}"
            for key in fit
        ]
        said = f"Noise {level:g}. How far each map moved: {', '.join(moved)}."
        return [row], said + _left_out(methods, now)

    return Explorer("noise", networks, pictures, network, picture, compute, draw, fast=[strength])


def explore_path(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """Integrated Gradients along the straight line from a baseline, 31 steps by the midpoint rule.

    Args:
        network, picture, networks, pictures: see `explore_method`.

    Example:
        >>> explorer = explore_path("resnet")
        >>> explorer.controls["Step"].value = 31
        >>> explorer.text.split(":")[0]
        'Step 31 of 31'
    """
    count = STEPS + 1
    baseline = Dropdown(options=["grey", "black", "white", "blurred"], description="Baseline")
    step = IntSlider(value=1, min=1, max=count, description="Step")

    def start(shown: Shown, name: str) -> Tensor:
        if name == "grey":
            return torch.zeros_like(shown.x)
        pixels = np.rint(shown.photo * 255).astype(np.uint8)
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(len(pixels) / 12))
        colour = {"black": pixels * 0, "white": pixels * 0 + 255, "blurred": np.asarray(blurred)}
        return shown.model.preprocess(colour[name]).to(shown.x)

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        origin = start(shown, values["Baseline"])
        way = (torch.arange(count).to(shown.x).view(-1, 1, 1, 1) + 0.5) / count
        points = origin + way * (shown.x - origin)
        parts = [points[k : k + 8] for k in bar(range(0, count, 8))]
        gradients = torch.cat([gradient(shown.model, part, shown.target) for part in parts])
        score = torch.cat([shown.scores(part)[:, shown.target] for part in parts])
        ends = shown.scores(torch.cat([origin, shown.x]))[:, shown.target]
        terms = (shown.x - origin) * gradients / count
        return points, terms, terms.cumsum(0), score.tolist(), (ends[1] - ends[0]).item()

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        points, terms, sums, score, rise = known
        k = values["Step"] - 1
        row = {
            f"point {k + 1} of {count}": shown.look(points[k : k + 1]),
            "its term": _heatmap(terms[k : k + 1]),
            "sum so far": _heatmap(sums[k : k + 1]),
            f"score of {shown.label}": plots.trace(score, k),
        }
        return [row], (
            f"Step {k + 1} of {count}: score {score[k]:.2f}. This term adds {terms[k].sum():.2f}; "
            f"the sum so far is {sums[k].sum():.2f}, of a rise of the score of {rise:.2f}."
        )

    return Explorer(
        "path", networks, pictures, network, picture, compute, draw, slow=[baseline], fast=[step]
    )


def explore_biases(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """The bias terms of a network, layer by layer, and FullGrad's sum of them.

    Args:
        network, picture, networks, pictures: see `explore_method`.

    Example:
        >>> explorer = explore_biases("vgg")
        >>> explorer.controls["Layer"].value = 10
        >>> explorer.text.split(",")[0]
        'Layer 23'
    """
    layer = IntSlider(value=1, min=1, max=1, description="Layer")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        terms = bias_attributions(shown.model, shown.x, shown.target)
        local = shown.x * gradient(shown.model, shown.x, shown.target)
        total, sums = _saliency(local, shown.x.shape[2:]), []
        for term in terms.values():
            if term.dim() == 4:
                total = total + _saliency(term, shown.x.shape[2:])
            sums.append(total)
        return local, list(terms.items()), sums

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        local, terms, sums = known
        layer.max = len(terms)
        at = min(values["Layer"], len(terms)) - 1
        name, term = terms[at]
        spatial = term.dim() == 4
        row = {
            "picture": shown.photo,
            "input * gradient": plots.heatmap(local[0], signed=True),
            f"bias term {at + 1} of {len(terms)}": (
                plots.heatmap(term[0], signed=True) if spatial else np.ones_like(shown.photo)
            ),
            "FullGrad up to here": plots.heatmap(sums[at][0]),
        }
        place = f"{tuple(term.shape[1:])}" if spatial else "no place in the picture"
        so_far = sum(t.sum() for _, t in terms[: at + 1])
        score = shown.scores(shown.x)[0, shown.target]
        return [row], (
            f"Layer {name}, {place}: its bias terms sum to {term.sum():.2f}. input * gradient "
            f"{local.sum():.2f} + all biases up to here {so_far:.2f} = {local.sum() + so_far:.2f}, "
            f"of a score of {score:.2f}."
        )

    return Explorer("biases", networks, pictures, network, picture, compute, draw, fast=[layer])


def explore_masks(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """The contributor masks of one local attribution, their blend, and what is left of the picture.

    Args:
        network, picture, networks, pictures: see `explore_method`.

    Example:
        >>> explorer = explore_masks("resnet")
        >>> explorer.controls["Share"].value = 0.2
        >>> explorer.text.split(",")[0]
        'White stays. The weak contributor mask keeps 80.0 % of the features'
    """
    share = FloatSlider(value=0.5, min=0, max=1, step=0.01, description="Share")
    quantile = FloatSlider(value=0.9, min=0, max=1, step=0.01, description="Quantile q")
    step = IntSlider(value=15, min=0, max=STEPS, description="Step n")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Tensor:
        return uniform_fullgrad(shown.model, shown.x, shown.target)

    def draw(shown: Shown, phi: Tensor, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        weak = weak_contributor_mask(phi, values["Share"])
        extreme = extreme_positive_contributor_mask(phi, values["Quantile q"])
        time = values["Step n"] / STEPS
        blend = time * weak.to(phi.dtype) + (1 - time) * extreme.to(phi.dtype)
        left = blend * shown.x
        row = {
            "Uniform FullGrad": plots.heatmap(phi[0], signed=True),
            "weak contributors off": _grey(weak),
            "extreme positive off": _grey(extreme),
            f"blend, n = {values['Step n']}": _grey(blend),
            "picture * blend": shown.look(left),
        }
        before, after = shown.scores(torch.cat([shown.x, left]))[:, shown.target].tolist()
        return [row], (
            f"White stays. The weak contributor mask keeps {_percent(weak.float().mean())} of the "
            f"features, the extreme positive one {_percent(extreme.float().mean())}. Score of "
            f"{shown.label}: {before:.2f} before, {after:.2f} after."
        )

    return Explorer(
        "masks", networks, pictures, network, picture, compute, draw, fast=[share, quantile, step]
    )


def explore_distillation(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """The distilled sequence, step by step, and the running sum that ends as the DGA map.

    Args:
        network, picture, networks, pictures: see `explore_method`.

    Example:
        >>> explorer = explore_distillation("resnet")
        >>> explorer.controls["Step n"].value = 30
        >>> explorer.text.split(":")[0]
        'Step 30 of 30'
    """
    total = IntSlider(value=STEPS, min=1, max=60, description="Steps N", continuous_update=False)
    quantile = FloatSlider(
        value=0.9, min=0, max=1, step=0.01, description="Quantile q", continuous_update=False
    )
    which = Dropdown(
        options=[("both", "both"), ("weak only", "weak"), ("extreme only", "extreme")],
        description="Masks",
    )
    step = IntSlider(value=0, min=0, max=STEPS, description="Step n")
    scale = BoundedFloatText(value=0, min=-1, max=1, step=0.1, description="beta")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        steps = list(
            distill(
                shown.model, shown.x, shown.target, steps=values["Steps N"],
                epc_quantile=values["Quantile q"], masks=values["Masks"], progress=bar,
            )
        )  # fmt: skip
        phi = torch.cat([s.attribution for s in steps])
        score = [s.score.item() for s in steps]
        return steps, phi.clamp(min=0).cumsum(0), phi.clamp(max=0).cumsum(0), score

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        steps, positive, negative, score = known
        step.max = len(steps) - 1
        n = min(values["Step n"], step.max)
        now = steps[n]
        running = (positive[n] + values["beta"] * negative[n])[None]
        before = (positive[n - 1] + values["beta"] * negative[n - 1]).sum() if n else 0
        row = {
            f"distilled input {n}": shown.look(now.distilled),
            "Uniform FullGrad": plots.heatmap(now.attribution[0], signed=True),
            "weak mask": _grey(now.weak),
            "extreme mask": _grey(now.extreme),
            f"sum of 0 to {n}": _heatmap(running),
            f"score of {shown.label}": plots.trace(score, n),
        }
        return [row], (
            f"Step {n} of {now.steps}: score {score[n]:.2f}. Next input: {n / now.steps:.2f} * "
            f"weak + {1 - n / now.steps:.2f} * extreme, times the picture. This step adds "
            f"{running.sum() - before:.2f} to the sum."
        )

    return Explorer(
        "distillation", networks, pictures, network, picture, compute, draw,
        slow=[total, quantile, which], fast=[step, scale], height=160,
    )  # fmt: skip


def explore_methods(
    methods: Sequence[str] = ("gi", "gbp", "ig", "gig", "fg", "dga"),
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """All methods side by side, and the most relevant pixels by each.

    Args:
        methods: short names, see `dga.METHODS`.
        network, picture, networks, pictures: see `explore_method`.

    Example:
        >>> explorer = explore_methods(["gi", "fg"])
        >>> explorer.controls["Top %"].value = 25
        >>> explorer.text.split(":")[0]
        'Probability of cat with only the top 25 % of the pixels by each method'
    """
    for method in methods:
        check_choice("methods", method, tuple(METHODS))
    top = IntSlider(value=10, min=1, max=100, description="Top %")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> dict[str, Tensor]:
        return _attributions(methods, shown, bar)

    def draw(
        shown: Shown, known: dict[str, Tensor], values: dict[str, Any], bar: Callable
    ) -> tuple[Rows, str]:
        share = values["Top %"] / 100
        attributions = torch.cat(list(known.values()))
        kept = top_pixels(attributions, share)
        probability = shown.scores(shown.x * kept[:, None]).softmax(1)[:, shown.target]
        first: dict[str, Pixels] = {"picture": shown.photo}
        second: dict[str, Pixels] = {f"top {values['Top %']} %": shown.photo * 0 + 1}
        says = []
        for k, (key, attribution) in enumerate(known.items()):
            label = METHODS[key].label
            first[label] = _heatmap(attribution)
            second[label] = np.where(kept[k].cpu().numpy()[..., None], shown.photo, 0.5)
            says.append(f"{label} {probability[k]:.2f}")
        return [first, second], (
            f"Probability of {shown.label} with only the top {values['Top %']} % of the pixels by "
            f"each method: {', '.join(says)}.{_left_out(methods, known)}"
        )

    return Explorer(
        "methods", networks, pictures, network, picture, compute, draw,
        fast=[top], choose_class=True, height=144,
    )  # fmt: skip


def explore_perturbation(
    method: str = "dga",
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """Pixels removed in the order of their relevance, and the curve of the probability.

    Args:
        method: short name, see `dga.METHODS`.
        network, picture, networks, pictures: see `explore_method`.

    Example:
        >>> explorer = explore_perturbation("gi")
        >>> explorer.controls["Removed %"].value = 60
        >>> explorer.text.split(" the prob")[0]
        'Without 60 % of the pixels'
    """
    check_choice("method", method, tuple(METHODS))
    choice = Dropdown(
        options=[(m.label, key) for key, m in METHODS.items()], value=method, description="Method"
    )
    order = Dropdown(
        options=[("most relevant first", "morf"), ("least relevant first", "lerf")],
        description="Order",
    )
    removed = IntSlider(value=10, min=0, max=100, description="Removed %")
    shares = [k / 100 for k in range(101)]

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        attribution = _attribution(values["Method"], shown, bar)
        curve = pixel_perturbation(
            shown.model, shown.x, attribution, shown.target, values["Order"], shares=shares
        )[0]
        return attribution, curve.tolist(), curve.mean().item()

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        attribution, curve, score = known
        k = values["Removed %"]
        if values["Order"] == "morf":
            gone = top_pixels(attribution, k / 100)
        else:
            gone = ~top_pixels(attribution, 1 - k / 100)
        row = {
            METHODS[values["Method"]].label: _heatmap(attribution),
            f"{k} % removed": shown.look(shown.x * ~gone[:, None]),
            f"probability of {shown.label}": plots.trace(curve, k),
        }
        return [row], (
            f"Without {k} % of the pixels the probability of {shown.label} is {curve[k]:.2f}. Mean "
            f"over the whole curve: {score:.2f}."
        )

    return Explorer(
        "perturbation", networks, pictures, network, picture, compute, draw,
        slow=[choice, order], fast=[removed], height=224,
    )  # fmt: skip
