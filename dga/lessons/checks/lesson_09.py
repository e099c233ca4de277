"""Checks of the exercises of lesson 09: a referee's answer, and masks of one's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

import dga
from dga.lessons.checks.task import EMPTY, Wrong, choice

PHOTOGRAPH, N = "coffee", 10  # not the cat of the lesson; eleven looks, to save time
_REFEREE = {
    "A": "Near a ceiling any two maps that are not bad lie close together. More pictures may show "
    "which is ahead by a hair; they do not lift the ceiling.",
    "B": "A tie is news only where the measure can tell maps apart. Ask for the ends of the curves "
    "and for pictures on which LeRF is far from its ceiling.",
    "C": "A tie at the ceiling is no evidence for the cheap method either: on photographs, with "
    "grey holes, one look loses much of LeRF.",
    "D": "An eye likes tidy maps, and nobody knows what the network owes to tidiness.",
}


def referee(answer: Any) -> None:
    """What to ask of a paper that reports a tie.

    Args:
        answer: a letter.

    Example:
        >>> referee("B")  # doctest: +ELLIPSIS
        Right. A tie is news only where ...
        >>> referee(None)
        Write one letter, A, B, C, D, in quotation marks.
    """
    if answer is None:
        print("Write one letter, A, B, C, D, in quotation marks.")
        return
    try:
        choice(answer, "B", _REFEREE)
    except Wrong as wrong:
        print(f"Not yet: {wrong}")


def own_masks(answer: Callable[..., Any]) -> None:
    """Measures eleven looks through a learner's masks, beside those of the paper and random ones.

    Args:
        answer: the learner's mask(phi, share), of attributions (1, 3, H, W), that returns numbers
            0..1 which broadcast to them.

    Example:
        >>> own_masks(lambda phi, share: None)
        Write the function, and run the cell again.
        >>> own_masks(lambda phi, share: phi[:, :, :5])
        Not yet: the mask must broadcast to (1, 3, 224, 224), this has shape (1, 3, 5, 224).
        >>> own_masks(lambda phi, share: 2 * torch.ones_like(phi))
        Not yet: a mask dims, it holds numbers from 0 to 1.
    """
    model, x, target = _example()
    first = dga.uniform_fullgrad(model, x, target)
    trial = answer(first.clone(), 0.5)
    if trial is None:
        print(EMPTY)
        return
    trial = torch.as_tensor(trial)
    try:
        torch.broadcast_to(trial, x.shape)
    except RuntimeError:
        print(
            f"Not yet: the mask must broadcast to {tuple(x.shape)}, this has shape "
            f"{tuple(trial.shape)}."
        )
        return
    if not torch.isfinite(trial.float()).all() or trial.min() < 0 or trial.max() > 1:
        print("Not yet: a mask dims, it holds numbers from 0 to 1.")
        return
    scores = {"yours": _worth(answer), **_known()}
    print(f"{'':16}{'LeRF':>8}{'MoRF':>8}   looks alike")
    for name, (lerf, morf, alike) in scores.items():
        print(f"{name:16}{lerf:8.2f}{morf:8.2f}{alike:10.2f}")
    print("LeRF: higher is better, MoRF: lower. One photograph decides nothing.")


def _paper(phi: Tensor, share: float) -> Tensor:
    weak = dga.weak_contributor_mask(phi, share).to(phi)
    return share * weak + (1 - share) * dga.extreme_positive_contributor_mask(phi, 0.9).to(phi)


@cache
def _example() -> tuple[Any, Tensor, Tensor]:
    model = dga.load_model("efficientnet_lite0")
    x = model.preprocess(dga.load_photo(PHOTOGRAPH))
    with torch.no_grad():
        return model, x, model(x).argmax(1)


@cache
def _known() -> dict[str, tuple[float, float, float]]:
    generator = torch.Generator().manual_seed(0)

    def at_random(phi: Tensor, share: float) -> Tensor:
        return _paper(torch.rand(phi.shape, generator=generator), share)

    return {"the paper's": _worth(_paper), "random masks": _worth(at_random)}


def _worth(mask: Callable[..., Any]) -> tuple[float, float, float]:
    """LeRF, MoRF, and the mean correlation of each look with the next."""
    model, x, target = _example()
    look, maps = x, []
    for n in range(N + 1):
        maps.append(dga.uniform_fullgrad(model, look, target))
        look = torch.as_tensor(mask(maps[-1].clone(), n / N)).to(x) * x
    phi = torch.cat(maps).flatten(1)
    alike = sum(float(torch.corrcoef(phi[n : n + 2])[0, 1]) for n in range(N)) / N
    total = phi.clamp(min=0).sum(0).view_as(x)
    lerf, morf = dga.pixel_perturbation(model, x, total, target, "both").mean(2)[:, 0].tolist()
    return lerf, morf, alike
