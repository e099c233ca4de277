"""Checks of the exercises of lesson 04: a mask of pixels, and weights for the two masks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import cache
from numbers import Real
from typing import Any

import torch
from torch import Tensor

import dga
from dga import metrics
from dga.lessons.checks.task import Task, Wrong
from dga.lessons.figures.masks import measured
from dga.significance import holm_intervals

_STEPS, _QUANTILE = 30, 0.9  # as in the paper
# Nearer to 0 than this an interval says nothing: rounding alone moves means by as much.
_HAIR = 0.005
_MEASURES = {  # words, and whether more is better
    "lerf": ("LeRF", True),
    "morf": ("MoRF", False),
    "fine morf": ("MoRF, first 10 % of the pixels", False),
    "top": ("top 10 % in the object", True),
}
_EMPTY = "Write the function above, and run both cells again."


def _cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(4)
    phi = torch.randint(-4, 5, (2, 3, 4, 4), generator=generator).double()
    phi[1] *= 10  # louder than the other picture
    return [(phi, share) for share in (0.0, 0.25, 0.5, 0.75)]


def _stays(values: Tensor, share: float) -> Tensor:
    """Whether more than a share of the values of a picture is no larger; (B, 1 or C, H, W)."""
    v = values.flatten(1)
    counted = (v[:, None, :] <= v[:, :, None]).double().mean(2)
    return (counted > share).view_as(values)


def _spread(mask: Tensor) -> Tensor:
    return mask.expand(-1, 3, -1, -1)


def _sum(phi: Tensor) -> Tensor:
    return phi.sum(1, keepdim=True)


_PIXELS = Task(
    "weak_pixel_mask(phi, share)",
    _cases,
    lambda phi, share: _spread(_stays(_sum(phi).abs(), share)).double(),
    {
        "this ranks features: sum over the channels first, and rank the sums": (
            lambda phi, share: _stays(phi.abs(), share).double()
        ),
        "add the channels up first, then take the magnitude: +3 and -3 in one pixel cancel": (
            lambda phi, share: _spread(_stays(_sum(phi.abs()), share)).double()
        ),
        "magnitudes are ranked: the absolute value is forgotten": (
            lambda phi, share: _spread(_stays(_sum(phi), share)).double()
        ),
        "the weak pixels go: 1 is for those that stay": (
            lambda phi, share: 1 - _spread(_stays(_sum(phi).abs(), share)).double()
        ),
        "every picture has its own ranking: this ranks the whole batch": (
            lambda phi, share: _spread(
                _stays(_sum(phi).abs().view(1, 1, -1, 4), share).view(-1, 1, 4, 4)
            ).double()
        ),
    },
)


def pixel_mask(answer: Callable[[Tensor, float], Any]) -> None:
    """Says whether a function is the weak contributor mask that ranks pixels.

    Args:
        answer: from an attribution (B, 3, H, W) and a share to 0 and 1, or False and True, of the
            same shape.

    Example:
        >>> pixel_mask(lambda phi, share: dga.weak_contributor_mask(phi, share, unit="pixel"))
        Right. The three colours of a pixel go together now.
        >>> pixel_mask(lambda phi, share: dga.weak_contributor_mask(phi, share))
        Not yet: this ranks features: sum over the channels first, and rank the sums
    """

    def numbers(phi: Tensor, share: float) -> Any:
        mask = answer(phi, share)
        return mask.to(phi) if isinstance(mask, Tensor) else mask

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the task's own praise
            _PIXELS(numbers if callable(answer) else answer)
    except Wrong as error:
        empty = str(error).endswith("returns nothing yet")
        print(_EMPTY if empty else f"Not yet: {error}")
        return
    print("Right. The three colours of a pixel go together now.")


def weights(answer: Callable[[float], Any]) -> None:
    """Runs DGA with other weights of the two masks on twelve drawn pictures, against the paper's.

    Says of each measure how much better its mean became, and whether that is better, worse or
    undecided: where the interval of the paired differences, corrected for all measures, comes near
    0. Of MoRF less is better, so there the sign is turned: plus is always better for the answer.

    Args:
        answer: from the time t = n/N, 0..1, to the weights of WC and EPC, each 0..1.

    Example:
        >>> weights(lambda t: (t, 1 - t))
        These are the paper's own weights. Change them.
        >>> weights(lambda t: (1, 1))
        Not yet: at t = 0.00 the weights add up to 2: a feature that both masks keep would be
        stronger than in the picture. At most 1 is wanted.
    """
    pairs = []
    for n in range(_STEPS):
        t = n / _STEPS
        pair = answer(t)
        if pair is None:
            print(_EMPTY)
            return
        wrong = _what_is_wrong(pair, t)
        if wrong:
            print(f"Not yet: {wrong}")
            return
        pairs.append((float(pair[0]), float(pair[1])))
    paper = [(n / _STEPS, 1 - n / _STEPS) for n in range(_STEPS)]
    if torch.allclose(torch.tensor(pairs), torch.tensor(paper)):
        print("These are the paper's own weights. Change them.")
        return
    mine, theirs = _scores(tuple(pairs)), _scores(tuple(paper))
    found = []
    for measure, (_, more) in _MEASURES.items():
        gain = mine[measure] - theirs[measure] if more else theirs[measure] - mine[measure]
        mean, low, high = map(float, metrics.bootstrap_interval(gain))
        found.append((mean, low, high))
    print("Yours against the paper's; plus is better for yours.")
    for (words, _), (mean, low, high) in zip(
        _MEASURES.values(), holm_intervals(found), strict=True
    ):
        verdict = "better" if low > _HAIR else "worse" if high < -_HAIR else "undecided"
        print(f"{words:31} {round(mean, 2) + 0.0:+.2f}  {verdict}")  # never -0.00


def _what_is_wrong(pair: Any, t: float) -> str:
    at = f"at t = {t:.2f}"
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return f"two weights are wanted {at}, that of WC and that of EPC."
    if not all(isinstance(w, Real) for w in pair):
        return f"{at} the weights are not both numbers."
    if not all(0 <= w <= 1 for w in pair):
        return f"{at} a weight is outside 0 .. 1."
    if sum(pair) > 1 + 1e-9:
        return (
            f"{at} the weights add up to {sum(pair):g}: a feature that both masks keep would be\n"
            "stronger than in the picture. At most 1 is wanted."
        )
    return ""


@cache
def _scores(pairs: tuple[tuple[float, float], ...]) -> dict[str, Tensor]:
    """Algorithm 1 with these weights, measured on the twelve pictures."""
    pictures = dga.load_images("figures")
    model = dga.load_model("resnet")
    every = model.preprocess(pictures.images)
    parts = []
    for first in range(0, len(every), 6):  # few at a time: less memory
        x, objects = every[first : first + 6], pictures.masks[first : first + 6]
        with torch.no_grad():
            target = model(x).argmax(1)
        total, z = torch.zeros_like(x), x
        for n in range(_STEPS + 1):
            phi = dga.uniform_fullgrad(model, z, target)
            total += phi.clamp(min=0)
            if n < _STEPS:  # what comes after the last look is not looked at
                weak = dga.weak_contributor_mask(phi, n / _STEPS).to(x)
                extreme = dga.extreme_positive_contributor_mask(phi, _QUANTILE).to(x)
                z = (pairs[n][0] * weak + pairs[n][1] * extreme) * x
        parts.append(measured(model, x, target, total, objects))
    return {measure: torch.cat([part[measure] for part in parts]) for measure in _MEASURES}
