"""Quantiles that miss ties, and rules for the masks under which the score does not zig-zag."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

import dga
from dga.lessons.checks.judgement import reason
from dga.lessons.checks.task import Wrong
from dga.zoo.loading import Classifier

_NEVER = {
    "A": "try to find such features: the share s of d values lies below the interpolated quantile "
    "at most",
}


def counterexample(phi: Any, share: Any, more: str) -> None:
    """Whether counting and an interpolated quantile disagree about which features stay.

    Args:
        phi: two to six numbers.
        share: 0 to 1.
        more: A, the quantile can also keep features that counting removes, or B, it cannot.

    Raises:
        Wrong: if they agree, or the letter is wrong.

    Example:
        >>> counterexample([1.0, 2.0, 3.0, 4.0], 0.5, "B")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: both keep the features [3.0, 4.0]: ...
    """
    try:
        v = torch.as_tensor(phi, dtype=torch.float64).abs()
        share = float(share)
    except Exception:
        raise Wrong("phi must be a list of numbers, and share a number") from None
    if v.dim() != 1 or not 2 <= len(v) <= 6 or not torch.isfinite(v).all():
        raise Wrong("phi must hold two to six finite numbers")
    if not 0 <= share <= 1:
        raise Wrong("the share must lie between 0 and 1")
    counted = (v[None, :] <= v[:, None]).sum(1) / len(v) > share
    quantile = v > v.quantile(share)
    if torch.equal(counted, quantile):
        raise Wrong(
            f"both keep the features {torch.as_tensor(phi)[counted].tolist()}: what does counting "
            "do with equal features, and where does a quantile lie between two of them?"
        )
    reason(more, "B", _NEVER)
    print("Right.")


Rule = Callable[[int, int, Tensor, Tensor, Tensor], Any]
PICTURES = (0, 3, 4)  # cat, car, butterfly
_STEPS, _LOOKS, _QUANTILE = 30, 9, 0.9
_REST = 0.25  # what may be left of the paper's zig-zag
_WHY = {
    "A": "the same network on the same distilled input gives the same score; and your rule, with "
    "the same network, has no zig-zag",
    "C": "the weights move in one direction, by 1/30 a step; the score turns at every step",
}


@cache
def _drawn() -> tuple[Classifier, Tensor, Tensor]:
    net = dga.load_model("resnet").double()
    x = net.preprocess(dga.load_images("figures", 5).images[list(PICTURES)]).double()
    with torch.no_grad():
        return net, x, net(x).argmax(1)


def paper(n: int, N: int, weak: Tensor, extreme: Tensor, previous: Tensor) -> Tensor:
    """The paper's rule for the mask of the next distilled input.

    Args:
        n, N: the step, and how many there are.
        weak, extreme: WC and EPC of this step, 0 and 1, of the shape of the picture.
        previous: the mask that made this step's input; all ones at first.

    Example:
        >>> one = torch.ones(2)
        >>> paper(15, 30, one, 0 * one, one)
        tensor([0.5000, 0.5000])
    """
    return n / N * weak + (1 - n / N) * extreme


def scores_under(rule: Rule, looks: int = _LOOKS) -> Tensor:
    """The scores of the first distilled inputs, (3, looks), of a cat, a car and a butterfly.

    Args:
        rule: like `paper`.
        looks: how many.

    Example:
        >>> tuple(scores_under(paper, 2).shape)
        (3, 2)
    """
    net, x, target = _drawn()
    z, mask, scores = x, torch.ones_like(x), []
    for n in range(looks):
        with torch.no_grad():
            scores.append(net(z).gather(1, target[:, None])[:, 0])
        phi = dga.uniform_fullgrad(net, z, target)
        weak = dga.weak_contributor_mask(phi, n / _STEPS).double()
        extreme = dga.extreme_positive_contributor_mask(phi, _QUANTILE).double()
        new = rule(n, _STEPS, weak, extreme, mask.clone())
        if not isinstance(new, Tensor) or new.shape != x.shape:
            raise Wrong("the rule must return a mask of the shape of `weak`")
        mask = new.detach().double()
        if not (mask.isfinite().all() and mask.min() > -1e-9 and mask.max() < 1 + 1e-9):
            raise Wrong(f"at n = {n} the mask leaves 0 .. 1")
        z = mask * x
    return torch.stack(scores, 1)


def turning(scores: Tensor) -> Tensor:
    """How far scores (B, looks) turn back, on average: 0 if they only rise or only fall; (B,).

    Example:
        >>> turning(torch.tensor([[0.0, 2.0, 0.0, 2.0], [0.0, 1.0, 2.0, 3.0]]))
        tensor([2., 0.])
    """
    before, after = scores.diff(dim=1)[:, :-1], scores.diff(dim=1)[:, 1:]
    turns = before * after < 0
    return (torch.minimum(before.abs(), after.abs()) * turns).mean(1)


@cache
def _papers_turning() -> float:
    return turning(scores_under(paper)).mean().item()


def steady_rule(rule: Rule, because: str) -> None:
    """Whether a rule for the masks uses EPC and has hardly any zig-zag, on three drawn pictures.

    Args:
        rule: f(n, N, weak, extreme, previous) -> mask, 0..1.
        because: the letter of the reason for the zig-zag.

    Raises:
        Wrong: with what is wrong.

    Example:
        >>> steady_rule(None, "B")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: a function is needed, f(n, N, weak, extreme, previous)
    """
    if not callable(rule):
        raise Wrong("a function is needed, f(n, N, weak, extreme, previous)")
    if rule(0, _STEPS, *torch.ones(3, 1, 1, 1, 1)) is None:
        raise Wrong("f(n, N, weak, extreme, previous) returns nothing yet")
    dimmed: list[float] = []

    def watched(n: int, N: int, weak: Tensor, extreme: Tensor, previous: Tensor) -> Any:
        mask = rule(n, N, weak, extreme, previous)
        if not n and isinstance(mask, Tensor) and mask.shape == extreme.shape:
            dimmed.append((mask[extreme == 1].mean() - mask[extreme == 0].mean()).item())
        return mask

    scores = scores_under(watched)
    if dimmed[0] < 0.15:
        raise Wrong(
            f"at n = 0 the loudest features are weaker by {dimmed[0]:.2f} only: EPC must have a say"
        )
    left = turning(scores).mean().item() / _papers_turning()
    if left > _REST:
        path = ", ".join(f"{v:.0f}" for v in scores[0, :6].tolist())
        raise Wrong(
            f"{left:.0%} of the paper's zig-zag are left, at most {_REST:.0%} may be. The cat's "
            f"scores: {path}. Who was sent out, and is back at the next step?"
        )
    reason(because, "B", _WHY)
    print(f"Right. {left:.0%} of the zig-zag are left.")
