"""A map that sees no network, beside Integrated Gradients at LeRF."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

import dga
from dga import metrics
from dga.lessons.checks.blindfold import no_network
from dga.lessons.checks.judgement import reason
from dga.lessons.checks.own_work import watched
from dga.lessons.checks.task import Wrong
from dga.zoo.loading import Classifier

_FIRST, _COUNT = 100, 12  # test pictures that no figure shows
_CLEAR = 0.02  # rounding alone can move an end of the interval by as much
_WHY = {
    "A": "your map was made without any network. What could it explain about one?",
    "C": "MoRF and the known object were not measured here, and one measure cannot convict a map",
    "D": "the interval is of the same pictures, and it lies above 0: that is no luck with them",
}


@cache
def _pictures() -> tuple[Classifier, Tensor, Tensor]:
    net = dga.load_model("inception")
    x = net.preprocess(dga.load_images("test", _FIRST + _COUNT).images[_FIRST:])
    with torch.no_grad():
        return net, x, net(x).argmax(1)


def _lerf(a: Tensor) -> Tensor:
    net, x, target = _pictures()
    return dga.pixel_perturbation(net, x, a, target, "lerf").mean(1)


@cache
def _ig() -> Tensor:
    net, x, target = _pictures()
    return _lerf(dga.integrated_gradients(net, x, target))


def _ahead(a: Tensor) -> tuple[float, float, float]:
    """By how much LeRF is above that of IG: mean, low, high."""
    mean, low, high = metrics.bootstrap_interval(_lerf(a) - _ig())
    return float(mean), float(low), float(high)


def blind_map(answer: Callable[[Tensor], Any], follows: str) -> None:
    """Whether a map made of twelve pictures alone has a higher LeRF than IG, beyond luck.

    Args:
        answer: the learner's f(x), of normalised pictures (B, 3, H, W), to a map of their shape.
        follows: the letter of what follows from it.

    Raises:
        Wrong: with what is wrong.

    Example:
        >>> blind_map(lambda x: x[0], "B")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: f(x) must return a tensor of shape (12, 3, 64, 64)
    """
    if not callable(answer):
        raise Wrong("a function is needed, f(x)")
    x = _pictures()[1]
    with no_network(), watched([dga.load_images]) as called:
        a = answer(x.clone())
    if called:
        raise Wrong("pictures were loaded, which come with their objects: make the map of x alone")
    if a is None:
        raise Wrong("f(x) returns nothing yet")
    if not isinstance(a, Tensor) or a.shape != x.shape:
        raise Wrong(f"f(x) must return a tensor of shape {tuple(x.shape)}")
    a = a.detach().float()
    if not a.isfinite().all():
        raise Wrong("the map holds values that are not finite")
    mean, low, high = _ahead(a)
    if low <= _CLEAR:
        said = f"LeRF minus that of IG is {mean:+.2f} [{low:+.2f}, {high:+.2f}]"
        raise Wrong(f"{said}: {_advice(a, mean)}")
    reason(follows, "B", _WHY)
    print(f"Right. LeRF minus that of IG is {mean:+.1f} [{low:+.1f}, {high:+.1f}].")


def _advice(a: Tensor, mean: float) -> str:
    if float(a.sum(1).flatten(1).std(dim=1).max()) < 1e-9:
        return "all pixels are equal, so the order is drawn at random"
    if _ahead(-a)[0] > mean + 0.1:
        return "turned round it would do better: what stays to the end must be worth most"
    if _ahead(gaussian_blur(a, 21, 5.0))[0] > mean + 0.1:
        return "the pixels that stay to the end are scattered. What does a network see in grain?"
    if len(a) > 1 and torch.allclose(a, a[:1].expand_as(a)):
        return (
            "it is one and the same map for every picture, so it misses the objects that lie "
            "elsewhere. What in a picture tells where its object is?"
        )
    return (
        f"the interval must lie above {_CLEAR}. On which pictures does it lose, and what is there?"
    )
