"""Check of the exercise of lesson 12: a change to the two stages, judged by three numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import dga
from dga.lessons.checks.own_work import watched
from dga.lessons.checks.task import mapped

MOST = 62  # pictures through the network
_NOISE = 0.001
_TIE = 0.05  # another seed alone moves LeRF of one photograph as far
_LESS = 0.9  # of the movement before: anything above is luck

Method = Callable[[Any, Tensor, Tensor], Tensor]


def change(mine: Method, before: Method) -> None:
    """How far noise moves a learner's map, its LeRF and its MoRF, beside the lesson's two stages.

    On a photograph that the lesson does not show, at half size.

    Args:
        mine, before: f(model, x, target) of one picture (1, 3, H, W); the model is a function that
            counts the pictures that go through it.

    Example:
        >>> change(lambda model, x, target: None, dga.gradient)
        Write the function, and run the cell again.
        >>> change(lambda model, x, target: x[0], dga.gradient)
        Not yet: return a tensor of the shape of x, (1, 3, 112, 112).
    """
    model = dga.load_model("efficientnet_lite0")
    x = F.avg_pool2d(model.preprocess(dga.load_photo("coffee")), 2)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        target = model(x).argmax(1)
    with watched([dga.stable_distilled_gradient_aggregation]) as called:
        clean = mapped(mine, model, x, target, MOST)
    if called:
        print("Not yet: that is the package's own version: change the lesson's two stages.")
        return
    if isinstance(clean, str):
        print(clean)
        return
    scores = {}
    for name, method in (("yours", mine), ("the lesson's", before)):
        a = clean if method is mine else method(model, x, target).detach()
        b = method(model, x + _NOISE * noise, target).detach()
        lerf, morf = (
            dga.pixel_perturbation(model, x, a.to(x), target, "both").mean(2)[:, 0].tolist()
        )
        scores[name] = _moved(a, b), lerf, morf
        print(f"{name:13} moved by {scores[name][0]:.0%}, LeRF {lerf:.2f}, MoRF {morf:.2f}")
    print(_verdict(*scores.values()))


def _moved(clean: Tensor, noisy: Tensor) -> float:
    """How far noise moves what LeRF and MoRF rank, one value a pixel.

    Less their mean: a constant would only make the map longer, so that the change looks small.
    """
    a, b = (heat.sum(1) - heat.sum(1).mean() for heat in (clean, noisy))
    return float((b - a).norm() / a.norm().clamp(min=1e-30))


def _verdict(mine: tuple[float, ...], before: tuple[float, ...]) -> str:
    lost = [
        measure
        for measure, loss in (("LeRF", before[1] - mine[1]), ("MoRF", mine[2] - before[2]))
        if loss > _TIE
    ]
    if not mine[0] <= _LESS * before[0]:
        return "Not yet: noise moves it as far as before, or nearly."
    if lost:
        return f"Not yet: it moves less, and pays with {' and '.join(lost)}."
    return "Right: it moves less and pays no more than chance. One photograph: now try another."
