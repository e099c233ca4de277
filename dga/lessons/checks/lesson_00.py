"""Checks of the exercises of lesson 00."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import dga
from dga import metrics
from dga.lessons.figures import start_here
from dga.zoo.loading import Classifier
from dga.zoo.pictures import ImageSet


def two_objects(model: Classifier, pair: ImageSet, *answers: Any) -> str:
    """What to say about two heatmaps of one picture, each asked for one of its objects.

    Right ones are drawn, and what lies on each object is measured.

    Args:
        model: that was asked.
        pair: of split "two"; the last picture counts.
        answers: the two attributions, or None.

    Example:
        >>> two_objects(dga.load_model("vgg"), dga.load_images("two", 1), None, None)
        'Replace the two Nones above, and run both cells again.'
    """
    if any(a is None for a in answers):
        return "Replace the two Nones above, and run both cells again."
    assert pair.second_labels is not None and pair.second_masks is not None
    x = model.preprocess(pair.images[-1])
    classes = int(pair.labels[-1]), int(pair.second_labels[-1])
    right = [dga.distilled_gradient_aggregation(model, x, target) for target in classes]
    for name, a, mine, other in zip(
        ("why_first", "why_second"), answers, right, right[::-1], strict=True
    ):
        if not isinstance(a, Tensor) or a.shape != x.shape:
            return f"Not yet: {name} is not an attribution of the shape of the picture."
        if torch.allclose(a, other):
            return f"Not yet: {name} asks for the other object."
        if not torch.allclose(a, mine):
            return f"Not yet: {name} asks for a class that is neither of the two."
    names = [model.classes[k] for k in classes]
    start_here.questions(
        model.preprocess.restore(x)[0],
        {f"why {name}?": a[0] for name, a in zip(names, right, strict=True)},
        f"The picture, and its heatmaps for {names[0]} and for {names[1]}.",
    )
    masks = pair.masks[-1:], pair.second_masks[-1:]
    said = []
    for name, a in zip(names, right, strict=True):
        on = [f"{100 * float(metrics.energy_inside(a, mask)):.0f} %" for mask in masks]
        said.append(
            f"of the map for {name}, {on[0]} lie on the {names[0]} and {on[1]} on the {names[1]}"
        )
    return f"Right: {'; '.join(said)}."


def fewest_pixels(model: Classifier, x: Tensor, method: Any, percent: Any) -> str:
    """What to say about a choice of method and share of pixels that keep the prediction.

    Args:
        model: whose prediction is to be kept.
        x: (1, C, H, W).
        method: that ranks the pixels.
        percent: how many of them stay, 1 to 100.

    Example:
        >>> fewest_pixels(dga.load_model("vgg"), torch.zeros(1, 3, 64, 64), None, None)
        'Choose a method and a whole number of percent above.'
    """
    if method is None or percent is None:
        return "Choose a method and a whole number of percent above."
    if not isinstance(percent, int) or not 1 <= percent <= 100:
        return f"percent must be a whole number from 1 to 100, not {percent!r}."
    heat = method(model, x)
    shares = [1 - k / 100 for k in range(1, 101)]  # removed, least relevant first
    curve = metrics.pixel_perturbation(model, x, heat, None, "lerf", shares=shares[::-1])[0]
    kept = dict(zip(range(100, 0, -1), curve.tolist(), strict=True))
    if kept[percent] < 0.5:
        return f"Not yet: with its top {percent} % of the pixels the class has {kept[percent]:.2f}."
    name = getattr(method, "__name__", "your method").replace("_", " ")
    if any(p >= 0.5 for k, p in kept.items() if k < percent):
        return (
            f"It holds, with probability {kept[percent]:.2f}. By {name} fewer will do as well: "
            "try again, or another method."
        )
    return f"Right: {percent} %, and by {name} no fewer will do. Can another method do with fewer?"
