"""Explorers for the lessons: a few controls, a line of text and some pictures.

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
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ipywidgets import BoundedFloatText, Dropdown, FloatSlider, IntSlider, SelectionSlider
from PIL import Image, ImageFilter
from torch import Tensor

from dga.bias_terms import bias_attributions
from dga.distillation import distill
from dga.full_gradient import _saliency, uniform_fullgrad
from dga.gradients import gradient
from dga.lessons import plots
from dga.lessons.explorer import Drawn, Explorer, Networks, Photos, Shown, _percent
from dga.lessons.panels import Panel, blank, curve, heat, mask
from dga.masks import extreme_positive_contributor_mask, weak_contributor_mask
from dga.methods import METHODS
from dga.metrics import pixel_perturbation, top_pixels
from dga.validation import check_choice

STEPS = 30
NOISE = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
REMOVED = range(0, 101, 2)  # percent


def _attribution(short: str, shown: Shown, bar: Callable) -> Tensor:
    return METHODS[short].function(shown.model, shown.x, shown.target, progress=bar)


def _attributions(methods: Sequence[str], shown: Shown, bar: Callable) -> dict[str, Tensor]:
    """By short name, without those methods that do not fit the network."""
    known, reasons = {}, []
    for k in bar(range(len(methods))):
        try:
            known[methods[k]] = _attribution(methods[k], shown, bar)
        except Exception as error:  # said by _left_out
            reasons.append(error)
    if not known:
        raise reasons[0]
    return known


def _left_out(methods: Sequence[str], known: Mapping[str, Tensor]) -> str:
    missing = [METHODS[key].label for key in methods if key not in known]
    return f" Not possible on this network: {', '.join(missing)}." if missing else ""


def _small(maps: Tensor) -> Tensor:
    """Channel sums (B, 1, H, W) in a sixth of the memory: what the eye needs."""
    return maps.sum(1, keepdim=True).to(torch.bfloat16)


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
        network, picture: the first choice; a name (None for the first) and a position.
        networks: by name, to choose from; None for EfficientNet-Lite0, where its package is
            installed, and the shipped ones.
        pictures: PIL images or uint8 (H, W, 3) by name; None for the photographs that come with
            scikit-image, where it is installed, and the shipped figures.

    Example:
        >>> explorer = explore_method("gi", "resnet", picture=4)
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

    def draw(shown: Shown, attribution: Tensor, values: dict[str, Any], bar: Callable) -> Drawn:
        scores = shown.scores(shown.x)[0]
        said = shown.model.classes[int(scores.argmax())]
        sure = _percent(scores.softmax(0).max())
        label = METHODS[values["Method"]].label
        drawn = [
            Panel("picture", shown.photo, f"{said}, {sure}"),
            heat(label, attribution, f"sum {attribution.sum():.2f}"),
            Panel("relevant parts", plots.overlay(shown.photo, attribution[0]), f"by {label}"),
        ]
        return drawn, (
            f"The network says {said} ({sure}). Why {shown.label}? Its "
            f"score is {scores[shown.target]:.2f}; the attributions sum to {attribution.sum():.2f}."
        )

    return Explorer(
        "method", networks, pictures, network, picture, compute, draw,
        slow=[choice], choose_class=True, count=3,
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
        >>> explorer = explore_noise(["g", "gi"])
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

    def draw(shown: Shown, known: dict, values: dict[str, Any], bar: Callable) -> Drawn:
        level = values["Noise"]
        if level not in known:
            known[level] = maps(shown, level, bar)
        now, before = known[level], known[0.0]
        drawn, moved = [Panel("picture", shown.look(now["x"]), f"noise {level:g}")], []
        for key in methods:
            label = METHODS[key].label
            if key not in now:
                drawn.append(blank(f"{label}: not possible here"))
                continue
            by = _percent((now[key] - before[key]).norm() / before[key].norm())
            drawn.append(heat(label, now[key], f"moved by {by}"))
            moved.append(f"{label} {by}")
        said = f"Noise {level:g}. How far each map moved: {', '.join(moved)}."
        return drawn, said + _left_out(methods, now)

    return Explorer(
        "noise", networks, pictures, network, picture, compute, draw,
        fast=[strength], count=len(methods) + 1,
    )  # fmt: skip


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
        total, score, terms, sums = torch.zeros_like(shown.x), [], [], []
        for k in bar(range(count)):
            here = origin + (k + 0.5) / count * (shown.x - origin)
            score.append(shown.scores(here)[0, shown.target].item())
            term = (shown.x - origin) * gradient(shown.model, here, shown.target) / count
            total = total + term
            terms.append((_small(term), term.sum().item()))
            sums.append((_small(total), total.sum().item()))
        ends = shown.scores(torch.cat([origin, shown.x]))[:, shown.target]
        return origin, terms, sums, score, (ends[1] - ends[0]).item()

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> Drawn:
        origin, terms, sums, score, rise = known
        k = values["Step"] - 1
        (term, adds), (total, so_far) = terms[k], sums[k]
        here = origin + (k + 0.5) / count * (shown.x - origin)
        drawn = [
            Panel(f"point {k + 1} of {count}", shown.look(here), f"score {score[k]:.2f}"),
            heat("its term", term, f"adds {adds:.2f}"),
            heat("sum so far", total, f"{so_far:.2f} of a rise of {rise:.2f}"),
            curve(f"score of {shown.label}", score, k, "along the path"),
        ]
        return drawn, (
            f"Step {k + 1} of {count}: score {score[k]:.2f}. This term adds {adds:.2f}; "
            f"the sum so far is {so_far:.2f}, of a rise of the score of {rise:.2f}."
        )

    return Explorer(
        "path", networks, pictures, network, picture, compute, draw,
        slow=[baseline], fast=[step], count=4,
    )  # fmt: skip


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
        'Module 23'
    """
    layer = IntSlider(value=1, min=1, max=1, description="Layer")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        size = shown.x.shape[2:]
        local = shown.x * gradient(shown.model, shown.x, shown.target)
        saliency, sums, known = _saliency(local, size), [local.sum().item()], []
        for name, term in bias_attributions(shown.model, shown.x, shown.target).items():
            spatial = term.dim() == 4
            if spatial:  # enlarged when the channels are one: that is the same, and light
                one = _saliency(term, term.shape[2:])
                saliency = saliency + F.interpolate(one, size, mode="bilinear", align_corners=True)
            sums.append(sums[-1] + term.sum().item())
            small = _small(term) if spatial else None
            known.append((name, tuple(term.shape[1:]), small, saliency.to(torch.bfloat16)))
        return local, known, sums, shown.scores(shown.x)[0, shown.target].item()

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> Drawn:
        local, terms, sums, score = known
        layer.max = len(terms)
        at = min(values["Layer"], len(terms))
        name, shape, term, saliency = terms[at - 1]
        adds = sums[at] - sums[at - 1]
        title = f"bias term {at} of {len(terms)}"
        drawn = [
            Panel("picture", shown.photo, f"score of {shown.label} {score:.2f}"),
            heat("input * gradient", local, f"sum {sums[0]:.2f}"),
            blank(title) if term is None else heat(title, term, f"sum {adds:.2f}"),
            heat("FullGrad up to here", saliency, f"{at} of {len(terms)} layers"),
            curve("running sum", sums, at, f"{sums[at]:.2f} of {score:.2f}"),
        ]
        place = f"{shape}" if term is not None else "no place in the picture"
        return drawn, (
            f"Module {name}, {place}: its bias terms sum to {adds:.2f}. input * gradient "
            f"{sums[0]:.2f} + all biases up to here {sums[at] - sums[0]:.2f} = {sums[at]:.2f}, "
            f"of a score of {score:.2f}."
        )

    return Explorer(
        "biases", networks, pictures, network, picture, compute, draw, fast=[layer], count=5
    )


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

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> tuple[Tensor, float]:
        phi = uniform_fullgrad(shown.model, shown.x, shown.target)
        return phi, shown.scores(shown.x)[0, shown.target].item()

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> Drawn:
        phi, before = known
        weak = weak_contributor_mask(phi, values["Share"])
        extreme = extreme_positive_contributor_mask(phi, values["Quantile q"])
        part = values["Step n"] / STEPS
        blend = part * weak.to(phi.dtype) + (1 - part) * extreme.to(phi.dtype)
        left = blend * shown.x
        after = shown.scores(left)[0, shown.target].item()
        kept = [_percent(one.float().mean()) for one in (weak, extreme)]
        drawn = [
            heat("Uniform FullGrad", phi, f"sum {phi.sum():.2f}"),
            mask("weak contributors off", weak, f"keeps {kept[0]}"),
            mask("extreme positive off", extreme, f"keeps {kept[1]}"),
            mask(
                f"blend, n = {values['Step n']}", blend, f"{part:.2f} weak, {1 - part:.2f} extreme"
            ),
            Panel("picture * blend", shown.look(left), f"score {before:.2f}, now {after:.2f}"),
        ]
        return drawn, (
            f"White stays. The weak contributor mask keeps {kept[0]} of the features, the extreme "
            f"positive one {kept[1]}. Score of {shown.label}: {before:.2f} before, {after:.2f} "
            "after."
        )

    return Explorer(
        "masks", networks, pictures, network, picture, compute, draw,
        fast=[share, quantile, step], count=5,
    )  # fmt: skip


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

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> list[dict[str, Any]]:
        positive, negative = torch.zeros_like(shown.x), torch.zeros_like(shown.x)
        steps = []
        for step in distill(
            shown.model, shown.x, shown.target, steps=values["Steps N"],
            epc_quantile=values["Quantile q"], masks=values["Masks"], progress=bar,
        ):  # fmt: skip
            phi = step.attribution
            positive, negative = positive + phi.clamp(min=0), negative + phi.clamp(max=0)
            steps.append({
                "score": step.score.item(),
                "input": np.rint(shown.look(step.distilled) * 255).astype(np.uint8),
                "local": _small(phi),
                "adds": (phi.clamp(min=0).sum().item(), phi.clamp(max=0).sum().item()),
                "masks": [_small(m.float() / m.shape[1]) for m in (step.weak, step.extreme)],
                "kept": [_percent(m.float().mean()) for m in (step.weak, step.extreme)],
                "sums": (_small(positive), _small(negative)),
            })  # fmt: skip
        return steps

    def draw(shown: Shown, steps: Any, values: dict[str, Any], bar: Callable) -> Drawn:
        step.max = last = len(steps) - 1
        n = min(values["Step n"], last)
        now, beta = steps[n], values["beta"]
        adds = [positive + beta * negative for positive, negative in (s["adds"] for s in steps)]
        running = now["sums"][0].float() + beta * now["sums"][1].float()
        score = [s["score"] for s in steps]
        photo = now["input"].astype(np.float32) / np.float32(255)
        drawn = [
            Panel(f"distilled input {n}", photo, f"score {score[n]:.2f}"),
            heat("Uniform FullGrad", now["local"], f"sum {sum(now['adds']):.2f}"),
            mask("weak mask", now["masks"][0], f"keeps {now['kept'][0]}"),
            mask("extreme mask", now["masks"][1], f"keeps {now['kept'][1]}"),
            heat(f"sum of 0 to {n}", running, f"sum {sum(adds[: n + 1]):.2f}"),
            curve(f"score of {shown.label}", score, n, f"step {n} of {last}"),
        ]
        return drawn, (
            f"Step {n} of {last}: score {score[n]:.2f}. Next input: {n / last:.2f} * "
            f"weak + {1 - n / last:.2f} * extreme, times the picture. This step adds "
            f"{adds[n]:.2f} to the sum."
        )

    return Explorer(
        "distillation", networks, pictures, network, picture, compute, draw,
        slow=[total, quantile, which], fast=[step, scale], count=6,
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
        >>> explorer = explore_methods(["gi", "fg"], "resnet", picture=4)
        >>> explorer.controls["Top %"].value = 25
        >>> explorer.text.split(":")[0]
        'Probability of cat with only the top 25 % of the pixels by each method'
    """
    for method in methods:
        check_choice("methods", method, tuple(METHODS))
    top = IntSlider(value=10, min=1, max=100, description="Top %")
    look = Dropdown(options=["map", "picture"], description="Show")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> dict[str, Tensor]:
        return _attributions(methods, shown, bar)

    def draw(
        shown: Shown, known: dict[str, Tensor], values: dict[str, Any], bar: Callable
    ) -> Drawn:
        share = values["Top %"] / 100
        kept = top_pixels(torch.cat(list(known.values())), share)
        probability = iter(shown.scores(shown.x * kept[:, None]).softmax(1)[:, shown.target])
        drawn, says = [Panel("picture", shown.photo, shown.label)], []
        for key, keep in zip(known, kept.cpu().numpy()[..., None], strict=True):
            label, p = METHODS[key].label, _percent(next(probability))
            panel = heat(label, known[key], f"probability {p}")
            if values["Show"] == "picture":
                panel = Panel(label, np.where(keep, shown.photo, 0.5), panel.value)
            else:  # what is not among them fades
                faded = np.where(keep, panel.picture, 0.3 * panel.picture + 0.7 * 0.93)
                panel = replace(panel, picture=faded)
            drawn.append(panel)
            says.append(f"{label} {p}")
        drawn += [
            blank(f"{METHODS[key].label}: not possible here") for key in methods if key not in known
        ]
        return drawn, (
            f"Probability of {shown.label} with only the top {values['Top %']} % of the pixels by "
            f"each method: {', '.join(says)}.{_left_out(methods, known)}"
        )

    return Explorer(
        "methods", networks, pictures, network, picture, compute, draw,
        fast=[look, top], choose_class=True, count=len(methods) + 1,
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
    removed = IntSlider(value=10, min=0, max=100, step=REMOVED.step, description="Removed %")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        attribution = _attribution(values["Method"], shown, bar)
        points = [
            pixel_perturbation(
                shown.model, shown.x, attribution, shown.target, values["Order"],
                shares=[REMOVED[k] / 100],
            ).item()
            for k in bar(range(len(REMOVED)))
        ]  # fmt: skip
        return attribution, points

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> Drawn:
        attribution, points = known
        percent = values["Removed %"]
        k = REMOVED.index(percent)
        if values["Order"] == "morf":
            gone = top_pixels(attribution, percent / 100)
        else:
            gone = ~top_pixels(attribution, 1 - percent / 100)
        now, mean = f"{points[k]:.2f}", sum(points) / len(points)
        label = METHODS[values["Method"]].label
        left = shown.look(shown.x * ~gone[:, None])
        drawn = [
            Panel("picture", shown.photo, shown.label),
            heat(label, attribution, order.label),
            Panel(f"{percent} % removed", left, f"probability {now}"),
            curve(f"probability of {shown.label}", points, k, f"mean {mean:.2f}"),
        ]
        return drawn, (
            f"Without {percent} % of the pixels the probability of {shown.label} is {now}. Mean "
            f"over the whole curve: {mean:.2f}."
        )

    return Explorer(
        "perturbation", networks, pictures, network, picture, compute, draw,
        slow=[choice, order], fast=[removed], count=4,
    )  # fmt: skip
