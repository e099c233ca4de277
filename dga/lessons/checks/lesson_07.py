"""Checks of the exercises of lesson 07: keep and retrain, and a plan for a comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dga import metrics
from dga.lessons.checks.task import complaint

# Of the stored run, roughly: the variance over pictures of the difference of two rankings, without
# what seeds add to it; that of one picture's answer over seeds; and the standard deviation by which
# a whole training is better or worse.
_PICTURE, _ANSWER, _TRAINING = 0.1, 0.07, 0.004
_ALL = 10_000  # test pictures of CIFAR-10
_GAP, _SECONDS = 0.01, 30  # to be told apart; a training
_HOURS = 1.0
_POWER = 1.96 + 0.84  # standard errors: the interval, and a real gap found in four plans of five


def keep(answer: Callable[..., Any]) -> None:
    """Says whether this keeps the top pixels and hides the others, or which mistake it is.

    Args:
        answer: the learner's f(x, a, share), of pictures and attributions (B, 3, H, W).

    Example:
        >>> keep(lambda x, a, share: None)
        Write the function, and run the cell again.
        >>> keep(lambda x, a, share: x * metrics.top_pixels(a, share)[:, None])
        Right.
        >>> keep(lambda x, a, share: x * ~metrics.top_pixels(a, share)[:, None])
        Not yet: these are ROAR's pictures, the top pixels are gone.
    """
    generator = torch.Generator().manual_seed(0)
    x, a = (torch.randn(4, 3, 10, 10, generator=generator) for _ in range(2))
    found = answer(x.clone(), a.clone(), 0.3)
    if wrong := complaint(found, x):
        print(wrong)
        return
    top = metrics.top_pixels(a, 0.3)[:, None]
    pixels = a.sum(1, keepdim=True)
    known = {
        "Right.": x * top,
        "Not yet: these are ROAR's pictures, the top pixels are gone.": x * ~top,
        "Not yet: the share is what stays, not what goes.": x * metrics.top_pixels(a, 0.7)[:, None],
        "Not yet: one ranking for the whole batch; each picture has its own.": (
            x * (pixels > pixels.quantile(0.7))
        ),
        "Not yet: features were ranked; a pixel is the sum over its channels.": (
            x * (a > a.flatten(1).quantile(0.7, 1).view(-1, 1, 1, 1))
        ),
        "Not yet: magnitudes were ranked; signs are kept.": (
            x * metrics.top_pixels(pixels.abs(), 0.3)[:, None]
        ),
    }
    for words, right in known.items():
        if torch.isclose(right, found.to(right)).all():
            print(words)
            return
    print("Not yet: neither right nor one of the usual mistakes.")


def plan(pictures: Any, seeds: Any) -> None:
    """Says what a plan to tell two rankings apart can tell, and what it costs.

    Args:
        pictures: to be named by every network.
        seeds: trainings for each ranking.

    Example:
        >>> plan(None, None)
        Replace the two Nones, and run the cell again.
        >>> plan(2000, 3)  # doctest: +ELLIPSIS
        Not yet: four times in five you find a gap of 0.026. ...
    """
    if pictures is None or seeds is None:
        print("Replace the two Nones, and run the cell again.")
        return
    for value in (pictures, seeds):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            print("Not yet: pictures and seeds are whole numbers, 1 or more.")
            return
    hours = 2 * seeds * _SECONDS / 3600
    tested, trained = _PICTURE / pictures, 2 * (_ANSWER / pictures + _TRAINING**2) / seeds
    found = _POWER * (tested + trained) ** 0.5
    larger = "test pictures" if tested > trained else "seeds"
    said = (
        f"four times in five you find a gap of {found:.3f}. "
        f"The larger part comes from the {larger}; {hours:.2f} hours."
    )
    if pictures > _ALL:
        print(f"Not yet: CIFAR-10 has {_ALL:,} test pictures.")
    elif seeds == 1:
        print(f"Not yet: one seed cannot show how far seeds differ. Here {said}")
    elif hours > _HOURS:
        print(f"Not yet: that takes more than an hour; {said}")
    elif found > _GAP:
        print(f"Not yet: {said}")
    else:
        print(f"A plan: {said}")
