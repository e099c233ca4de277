"""Lesson 02: Integrated Gradients from any baseline, and steps of one's own.

Unlike the tasks of the assignments these print what is wrong, so that the lesson runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import dga
from dga.lessons.checks.examples import (
    ABSOLUTE,
    SOFTMAX,
    gradient,
    network,
    pictures,
    probability,
    score,
)
from dga.lessons.checks.task import Task, Wrong
from dga.lessons.figures.paths import PHOTOGRAPHS, walk

STEPS = 31
MOST_OFF = 1.0  # of the score; even steps are off by twice as much and more


def _mean(shift: float = 0.5, of: Callable = score, from_zero: bool = False) -> Callable:
    def slope(model: nn.Module, x: Tensor, target: Tensor, start: Tensor, steps: int) -> Tensor:
        origin = 0 * start if from_zero else start
        points = [origin + (k + shift) / steps * (x - origin) for k in range(steps)]
        return sum(gradient(model, point, target, of) for point in points) / steps  # type: ignore

    return slope


def _cases() -> list[tuple]:
    x, target = pictures()
    start = torch.rand(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    return [(network(), x, target, start, steps) for steps in (1, 4)]


_ANY_BASELINE = Task(
    "f(model, x, target, start, steps)",
    _cases,
    lambda m, x, t, s, n: (x - s) * _mean()(m, x, t, s, n),
    {
        "the factor x - start is missing: a slope times a distance is a rise": _mean(),
        "this is the sum over the steps; take their mean": lambda m, x, t, s, n: (
            n * (x - s) * _mean()(m, x, t, s, n)
        ),
        "you multiply by x; the distance that a feature goes is x - start": lambda m, x, t, s, n: (
            x * _mean()(m, x, t, s, n)
        ),
        "the sign is turned: the path goes from start to x, x - start": lambda m, x, t, s, n: (
            (s - x) * _mean()(m, x, t, s, n)
        ),
        "your path still begins at grey; begin at start": lambda m, x, t, s, n: (
            (x - s) * _mean(from_zero=True)(m, x, t, s, n)
        ),
        "this is still IG from grey: use start": lambda m, x, t, s, n: (
            x * _mean(from_zero=True)(m, x, t, s, n)
        ),
        "you take the slope at x only: walk": lambda m, x, t, s, n: (x - s) * gradient(m, x, t),
        "these are the left ends of the steps: add one half to k": lambda m, x, t, s, n: (
            (x - s) * _mean(0.0)(m, x, t, s, n)
        ),
        "these are the right ends of the steps: k + 1/2, not k + 1": lambda m, x, t, s, n: (
            (x - s) * _mean(1.0)(m, x, t, s, n)
        ),
        SOFTMAX: lambda m, x, t, s, n: (x - s) * _mean(of=probability)(m, x, t, s, n),
        ABSOLUTE: lambda m, x, t, s, n: ((x - s) * _mean()(m, x, t, s, n)).abs(),
    },
)


def ig_from(answer: Callable[..., Any]) -> None:
    """Prints whether a function is Integrated Gradients from any baseline, or which mistake it is.

    Args:
        answer: f(model, x, target, start, steps) -> attribution of the shape of x.

    Example:
        >>> ig_from(
        ...     lambda model, x, target, start, steps: dga.integrated_gradients(
        ...         model, x, target, baseline=start, steps=steps
        ...     )
        ... )
        Right.
        >>> ig_from(lambda *_: None)
        Not yet: f(model, x, target, start, steps) returns nothing yet
    """
    try:
        _ANY_BASELINE(answer)
    except Wrong as wrong:
        print(f"Not yet: {wrong}")


def places(
    answer: Callable[[int], Any], model: Any, photographs: Sequence[str] = PHOTOGRAPHS
) -> None:
    """Prints how far IG's sum is off with steps of one's own, on several photographs.

    One photograph is not enough: a small delta can be luck.

    Args:
        answer: f(steps) -> the edges of the steps (steps + 1,), from 0 to 1.
        model: as `dga.load_model` gives it.
        photographs: names that `dga.load_photo` knows.

    Example:
        >>> model = dga.load_model("resnet")
        >>> places(lambda steps: None, model)
        Not yet: a tensor of 32 edges is needed, from 0 to 1.
        >>> places(lambda steps: torch.linspace(0, 1, steps + 1).flip(0), model)
        Not yet: the edges must begin at 0, grow, and end at 1.
    """
    edges = answer(STEPS)
    if not isinstance(edges, Tensor) or edges.shape != (STEPS + 1,):
        print(f"Not yet: a tensor of {STEPS + 1} edges is needed, from 0 to 1.")
        return
    edges = edges.float()
    ends = torch.tensor([0.0, 1.0])
    if not torch.allclose(edges[[0, -1]], ends, atol=1e-6) or bool((edges.diff() <= 0).any()):
        print("Not yet: the edges must begin at 0, grow, and end at 1.")
        return
    off = []
    for name in photographs:
        x = model.preprocess(dga.load_photo(name))
        with torch.no_grad():
            target = int(model(x).argmax())
        path = walk(model, x, target, edges)
        total = float(path.terms.sum())
        off.append(abs(total - path.rise))
        print(f"{name:10} rise {path.rise:5.1f}   sum of IG {total:5.1f}")
    mean = sum(off) / len(off)
    verdict = "Right" if mean <= MOST_OFF else f"Not yet, at most {MOST_OFF} is asked"
    print(f"{verdict}: on average the sum is off by {mean:.1f}.")
