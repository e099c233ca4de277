"""A baseline that hides an object, and a report on Integrated Gradients to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

import dga
from dga import metrics
from dga.lessons.checks.judgement import Verdicts, reason
from dga.lessons.checks.task import Wrong
from dga.zoo.loading import Classifier

PICTURE = 7  # of the figures: a heart of nearly one colour
_MOST = 0.4
_WHY = {
    "A": "the network is the same and so is the picture; ask dga.gradient whether it still looks "
    "at the heart",
    "C": "the score of the baseline is one number for the whole picture; it cannot move the map "
    "from one place to another",
}


@cache
def _heart() -> tuple[Classifier, Tensor, Tensor, Tensor]:
    """The network, the picture (1, 3, 64, 64), bytes (64, 64, 3) and object (1, 64, 64)."""
    pictures = dga.load_images("figures", PICTURE + 1)
    net = dga.load_model("resnet").double()
    images = pictures.images[PICTURE:]
    x = net.preprocess(images).double()
    return net, x, torch.from_numpy(images[0].copy()), pictures.masks[PICTURE:]


def hiding_colour(colour: Sequence[int], because: str) -> None:
    """Measures which share of the top 10 % by IG from a plain baseline lies in the heart.

    Args:
        colour: red, green and blue of the baseline, 0..255.
        because: the letter of the reason.

    Raises:
        Wrong: if the heart is still found, or the reason is another one.

    Example:
        >>> hiding_colour((0, 0), "B")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: a colour is three whole numbers from 0 to 255
    """
    try:
        plain = np.asarray(colour)
        good = plain.shape == (3,) and plain.dtype.kind in "iu" and 0 <= plain.min()
        good = good and plain.max() <= 255
    except Exception:
        good = False
    if not good:
        raise Wrong("a colour is three whole numbers from 0 to 255")
    net, x, image, inside = _heart()
    flat = np.broadcast_to(plain.astype(np.uint8), (64, 64, 3)).copy()
    baseline = net.preprocess(flat).double()
    with torch.no_grad():
        target = net(x).argmax(1)
    found = float(
        metrics.top_precision(
            dga.integrated_gradients(net, x, target, baseline=baseline, steps=15), inside
        )
    )
    if found > _MOST:
        pixels = image.double().sub(torch.from_numpy(plain)).norm(dim=2)
        heart, rest = pixels[inside[0]].median(), pixels[~inside[0]].median()
        nearer = (
            "this colour looks more like the meadow and the sky than like the heart, so it hides "
            "them" if rest < heart else "most of the heart still has a long way to go from it"
        )  # fmt: skip
        raise Wrong(
            f"{found:.0%} of the top 10 % lie in the heart, at most {_MOST:.0%} may: {nearer}"
        )
    reason(because, "B", _WHY)
    print(f"Right. {found:.0%} of the top 10 % are left in the heart.")


ig_report = Verdicts(
    ("follows", "open", "false"),
    {"1": "open", "2": "follows", "3": "open", "4": "false", "5": "open", "6": "false"},
    {
        ("1", "follows"): "with 15 steps delta is larger again: what would a lucky hit look like?",
        ("1", "false"): "nothing in the report proves that 7 steps are too few for the map, "
        "either: how different are the maps?",
        ("2", "open"): "a sum of attributions is the rise plus delta, by the definition of delta",
        ("2", "false"): "a sum of attributions is the rise plus delta, by the definition of delta",
        ("3", "follows"): "completeness is one equation for 12,288 numbers. Which wrong maps "
        "satisfy it as well?",
        ("3", "false"): "a complete map may be right; does the delta tell?",
        ("4", "follows"): "signs: does anything forbid large positive and large negative parts?",
        ("4", "open"): "the report has the numbers: the sum and the rise agree. What else would "
        "completeness ask for?",
        ("5", "follows"): "a black pixel from a black baseline: what is x - x' there?",
        ("5", "false"): "the zero does not show that the network uses them, either: the factor in "
        "front of the integral is 0 whatever the gradient",
        ("6", "follows"): "put the baseline itself into the formula: what is its map?",
        ("6", "open"): "completeness says what the attributions add up to. Is f(x') in it?",
    },
)
