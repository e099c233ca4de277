"""Quantiles that miss ties, and rules for the masks under which the score does not zig-zag."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

import dga
from dga.lessons.checks.judgement import reason
from dga.lessons.checks.task import Wrong, _run
from dga.zoo.loading import Classifier

_NEVER = {
    "A": "try to find such features: at or below the interpolated quantile lie at least as many "
    "values as counting removes",
}


def counterexample(phi: Any, share: Any, more: str) -> None:
    """Whether counting and an interpolated quantile disagree about which features stay.

    Args:
        phi: two to six numbers, no two of one size.
        share: above 0, at most 1; at 0 counting removes nobody, and any quantile the weakest.
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
    if not 0 < share <= 1:
        raise Wrong("the share must lie above 0, and be at most 1")
    if len(v.unique()) < len(v):
        raise Wrong("two of the sizes are equal: that is the trap of lesson 04; find another one")
    counted = (v[None, :] <= v[:, None]).sum(1) / len(v) > share
    quantile = v > v.quantile(share)
    if torch.equal(counted, quantile):
        raise Wrong(
            f"both keep the features {torch.as_tensor(phi)[counted].tolist()}: where between two "
            "of the sizes does the quantile lie, and where would counting cut?"
        )
    reason(more, "B", _NEVER)
    print("Right.")


Rule = Callable[[int, int, Tensor, Tensor, Tensor], Any]
CALL = "f(n, N, weak, extreme, last)"
PICTURES = (0, 3, 4)  # cat, car, butterfly
_STEPS, _LOOKS, _QUANTILE = 30, 9, 0.9
_REST = 0.25  # what may be left of the paper's zig-zag
_WEAKER = 0.1  # by how much, at least, the newly loudest come out weaker at each step
_STAYS = 0.4  # how much of that, at least, is still gone one step later
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


def paper(n: int, N: int, weak: Tensor, extreme: Tensor, last: Tensor) -> Tensor:
    """The paper's rule for the mask of the next distilled input.

    Args:
        n, N: the step, and how many there are.
        weak, extreme: WC and EPC of this step, 0 and 1, of the shape of the picture.
        last: the mask that made this step's input; all ones at first.

    Example:
        >>> one = torch.ones(2)
        >>> paper(15, 30, one, 0 * one, one)
        tensor([0.5000, 0.5000])
    """
    return n / N * weak + (1 - n / N) * extreme


def _played(rule: Rule, looks: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (3, looks) of the inputs, EPC of each (looks, 3, C, H, W), and the masks made there.

    The masks begin with that of the picture, which is 1 everywhere: (looks + 1, 3, C, H, W).
    """
    net, x, target = _drawn()
    masks, scores, stays = [torch.ones_like(x)], [], []
    for n in range(looks):
        z = masks[-1] * x
        with torch.no_grad():
            scores.append(net(z).gather(1, target[:, None])[:, 0])
        phi = dga.uniform_fullgrad(net, z, target)
        weak = dga.weak_contributor_mask(phi, n / _STEPS).double()
        stays.append(dga.extreme_positive_contributor_mask(phi, _QUANTILE).double())
        new = _run(rule, (n, _STEPS, weak, stays[-1], masks[-1]))
        if new is None:
            raise Wrong(f"{CALL} returns nothing yet")
        if not isinstance(new, Tensor) or new.shape != x.shape:
            raise Wrong("the rule must return a mask of the shape of `weak`")
        masks.append(new.detach().to(x))
        if not (
            masks[-1].isfinite().all() and -1e-9 < masks[-1].min() <= masks[-1].max() < 1 + 1e-9
        ):
            raise Wrong(f"at n = {n} the mask leaves 0 .. 1")
    return torch.stack(scores, 1), torch.stack(stays), torch.stack(masks)


def scores_under(rule: Rule, looks: int = _LOOKS) -> Tensor:
    """The scores of the first distilled inputs, (3, looks), of a cat, a car and a butterfly.

    Args:
        rule: like `paper`.
        looks: how many.

    Example:
        >>> tuple(scores_under(paper, 2).shape)
        (3, 2)
    """
    return _played(rule, looks)[0]


def turning(scores: Tensor) -> Tensor:
    """How far scores (B, looks) turn back, on average: 0 if they only rise or only fall; (B,).

    Example:
        >>> turning(torch.tensor([[0.0, 2.0, 0.0, 2.0], [0.0, 1.0, 2.0, 3.0]]))
        tensor([2., 0.])
    """
    before, after = scores.diff(dim=1)[:, :-1], scores.diff(dim=1)[:, 1:]
    turns = before * after < 0
    return (torch.minimum(before.abs(), after.abs()) * turns).mean(1)


def weaker(stays: Tensor, masks: Tensor) -> list[float | None]:
    """By how much those come out weaker, on average, who are newly among the loudest of a step.

    Args:
        stays: EPC of each step, 1 or 0, (looks, ...).
        masks: the mask before the first step, and that of each step, (looks + 1, ...).

    Returns:
        For each step that; None where nobody is new.

    Example:
        >>> stays = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
        >>> weaker(stays, torch.tensor([[1.0, 1.0], [0.5, 1.0], [1.0, 1.0]]))
        [0.5, None]
    """
    before = torch.cat([torch.ones_like(stays[:1]), stays[:-1]])
    new = (stays == 0) & (before == 1)
    lost = masks[:-1] - masks[1:]
    return [lost[n][new[n]].mean().item() if new[n].any() else None for n in range(len(new))]


def still_gone(stays: Tensor, masks: Tensor) -> float:
    """How much of what the loudest lost is still gone one step later, on average over the steps.

    Only those count who are no longer among the loudest then: 0 if they are back whole, 1 if
    nothing is given back.

    Args:
        stays, masks: see `weaker`.

    Example:
        >>> stays = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> still_gone(stays, torch.tensor([[1.0, 1.0], [0.5, 1.0], [0.75, 0.5]]))
        0.5
    """
    shares = []
    for n in range(len(stays) - 1):
        out = (stays[n] == 0) & (stays[n + 1] == 1) & (masks[n + 1] < masks[n])
        lost = (masks[n] - masks[n + 1])[out].sum()
        if lost > 0:
            shares.append(((masks[n] - masks[n + 2])[out].sum() / lost).item())
    return sum(shares) / len(shares) if shares else 0.0


@cache
def _papers() -> tuple[float, float]:
    """Of the paper's rule: the turning of its scores, and how much of the picture it keeps."""
    scores, _, masks = _played(paper, _LOOKS)
    return turning(scores).mean().item(), masks[1:].mean().item()


def steady_rule(rule: Rule, because: str) -> None:
    """Whether a rule for the masks sends the loudest out, and hardly lets the score zig-zag.

    Measured on three drawn pictures: who is newly among the loudest must come out weaker at every
    step, and stay so for a while; no more of the picture may go than by the paper's rule.

    Args:
        rule: f(n, N, weak, extreme, last) -> mask, 0..1.
        because: the letter of the reason for the zig-zag.

    Raises:
        Wrong: with what is wrong.

    Example:
        >>> steady_rule(None, "B")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: a function is needed, f(n, N, weak, extreme, last)
    """
    if not callable(rule):
        raise Wrong(f"a function is needed, {CALL}")
    scores, stays, masks = _played(rule, _LOOKS)
    zigzag, kept = _papers()
    for n, lost in enumerate(weaker(stays, masks)):
        if lost is not None and lost < _WEAKER:
            raise Wrong(
                f"at n = {n} those who are newly among the loudest come out weaker by {lost:.2f}, "
                f"and must by {_WEAKER}: EPC has a say at every step"
            )
    mine = masks[1:].mean().item()
    if mine < kept - 0.005:
        raise Wrong(
            f"your masks are {mine:.2f} on average, the paper's {kept:.2f}: a picture that fades "
            "has no zig-zag either. Who went out long ago must come back in the end"
        )
    left = turning(scores).mean().item() / zigzag
    path = ", ".join(f"{v:.0f}" for v in scores[0].tolist())
    if left > _REST:
        raise Wrong(
            f"{left:.0%} of the paper's zig-zag are left, at most {_REST:.0%} may be. The cat's "
            f"scores: {path}. Who was sent out, and is back at the next step?"
        )
    gone = still_gone(stays, masks)
    if gone < _STAYS:
        raise Wrong(
            f"of what the loudest lose at a step {gone:.0%} are still gone at the next, at least "
            f"{_STAYS:.0%} must be. Weaker masks turn the score less, but those who were sent out "
            "still come back at once. What could a rule remember?"
        )
    reason(because, "B", _WHY)
    print(f"Right. {left:.0%} of the zig-zag is left. The cat's scores: {path}.")
