"""Does a map change with the class it is asked for? Measured on a network of the learner's."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dga
from dga import metrics
from dga.lessons.checks.examples import network, pictures
from dga.lessons.checks.task import Task, Wrong

METHODS = {"G*I": dga.gradient_times_input, "FullGrad": dga.fullgrad,
           "DGA": dga.distilled_gradient_aggregation}  # fmt: skip
_TRAIN, _EPOCHS = 400, 15


def small(images: np.ndarray) -> Tensor:
    """Pictures (B, 64, 64, 3) of bytes as inputs (B, 3, 32, 32), about -2 to 2.

    Example:
        >>> tuple(small(np.zeros((2, 64, 64, 3), dtype=np.uint8)).shape)
        (2, 3, 32, 32)
    """
    x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255
    return (F.avg_pool2d(x, 2) - 0.5) / 0.27


@cache
def _pictures() -> tuple[Tensor, Tensor]:
    drawn = dga.load_images("test", 500)
    return small(drawn.images), drawn.labels


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """Trains a network on 400 pictures of 32 x 32, prints how it does on 100 others, returns it.

    Args:
        model: from (B, 3, 32, 32) to ten scores (B, 10).
        seed: of the order of the pictures.

    Example:
        >>> trained(nn.Linear(3, 10))
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: the network must turn (B, 3, 32, 32) into (B, 10)
    """
    x, y = _pictures()
    try:
        fits = tuple(model(x[:2]).shape) == (2, 10)
    except Exception:
        fits = False
    if not fits:
        raise Wrong("the network must turn (B, 3, 32, 32) into (B, 10)")
    generator = torch.Generator().manual_seed(seed)
    steps = _EPOCHS * _TRAIN // 40
    adam = torch.optim.Adam(model.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 5e-3, total_steps=steps)
    model.train()
    for k in range(steps):
        if k % (_TRAIN // 40) == 0:
            order = torch.randperm(_TRAIN, generator=generator).split(40)
        some = order[k % (_TRAIN // 40)]
        adam.zero_grad()
        F.cross_entropy(model(x[some].flip(3) if k % 2 else x[some]), y[some]).backward()
        adam.step()
        rate.step()
    model.zero_grad()
    model.eval()
    print(f"right on {_right(model):.0%} of 100 new pictures; by chance 10%")
    return model


def _right(model: Callable[[Tensor], Tensor]) -> float:
    x, y = _pictures()
    with torch.no_grad():
        return (model(x[_TRAIN:]).argmax(1) == y[_TRAIN:]).float().mean().item()


def _cases() -> list[tuple]:
    x, first = pictures()
    return [(dga.gradient_times_input, network(), x, first, (first + 1) % 4)]


def _sizes(method: Callable[..., Tensor], *more: Any) -> Tensor:
    return method(*more).abs()


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    pairs = zip(a.sum(1).flatten(1), b.sum(1).flatten(1), strict=True)
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])


class_similarity = Task(
    "f(method, model, x, first, second)",
    _cases,
    lambda method, m, x, s, t: metrics.rank_correlation(
        _sizes(method, m, x, s), _sizes(method, m, x, t)
    ),
    {
        "values are correlated; ranks are asked for: metrics.rank_correlation": (
            lambda method, m, x, s, t: _pearson(_sizes(method, m, x, s), _sizes(method, m, x, t))
        ),
        "values are correlated, with their signs; the ranks of the sizes are asked for": (
            lambda method, m, x, s, t: _pearson(method(m, x, s), method(m, x, t))
        ),
        "both maps are of one class": lambda method, m, x, s, t: metrics.rank_correlation(
            method(m, x, s), method(m, x, s)
        ),
        "signs are left in, and a turned sign passes for another place: compare the sizes": (
            lambda method, m, x, s, t: metrics.rank_correlation(method(m, x, s), method(m, x, t))
        ),
        "sizes are those of the features: take them before the channels are added": (
            lambda method, m, x, s, t: metrics.rank_correlation(
                method(m, x, s).sum(1, True).abs(), method(m, x, t).sum(1, True).abs()
            )
        ),
    },
)


def class_sensitivity(answer: Callable[..., Any], model: nn.Module, least: str) -> None:
    """Whether the right similarity is measured, and the method found that sees the class least.

    Args:
        answer: the learner's f(method, model, x, first, second) -> (B,).
        model: the learner's trained network.
        least: one of G*I, FullGrad, DGA.

    Raises:
        Wrong: with what is wrong.

    Example:
        >>> class_sensitivity(class_similarity.truth, None, "Grad-CAM")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: least must be one of G*I, FullGrad, DGA, not 'Grad-CAM'
    """
    if least not in METHODS:
        raise Wrong(f"least must be one of {', '.join(METHODS)}, not {least!r}")
    with contextlib.redirect_stdout(io.StringIO()):  # the task's own praise
        class_similarity(answer)
    if not callable(model) or _right(model) < 0.4:
        raise Wrong("the network is right on fewer than 40 % of new pictures: train another one")
    two = dga.load_images("two", 10)
    x = small(two.images)
    alike = {name: class_similarity.truth(method, model, x, two.labels, two.second_labels).mean()
             for name, method in METHODS.items()}  # fmt: skip
    highest = max(alike, key=lambda name: alike[name].item())
    if not alike[least] >= alike[highest] - 0.02:
        raise Wrong(
            f"with {least} the sizes in both maps have a rank correlation of {alike[least]:.2f}; "
            "another method of the three has more. A map that ignores the class would have 1"
        )
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in alike.items())
    print(f"Right. {numbers}")
