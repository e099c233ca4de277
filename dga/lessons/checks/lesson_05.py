"""Checks of the exercises of lesson 05: Algorithm 1 from memory, and a design for eight looks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

import dga
from dga.lessons.checks.aggregation import distilled_gradient_aggregation
from dga.lessons.checks.task import EMPTY, Wrong, mapped

MOST = 8  # looks
PHOTOGRAPHS = ("coffee", "rocket")  # not the cat, on which the lesson's figures are drawn
_TIE = 0.02  # what rounding alone can move LeRF and MoRF of a single map


def from_memory(answer: Callable[..., Any]) -> None:
    """Says whether this is Algorithm 1, or which mistake it is.

    Args:
        answer: the learner's f(model, x, target, N, q, beta).

    Example:
        >>> from_memory(lambda model, x, target, N, q, beta: None)
        Write the function, and run the cell again.
        >>> from_memory(lambda model, x, target, N, q, beta: x.abs())  # doctest: +ELLIPSIS
        Not yet: the value at ...
    """
    model, x, target, *settings = distilled_gradient_aggregation.cases()[0]
    try:
        if answer(model, x, target, *settings) is None:
            print(EMPTY)
            return
    except Exception:  # told below, from the learner's first line on
        pass
    try:
        distilled_gradient_aggregation(answer)
    except Wrong as wrong:
        print(f"Not yet: {wrong}")


def eight_looks(answer: Callable[..., Any]) -> None:
    """Measures a learner's map of two photographs beside DGA with as many looks, and with 31.

    Args:
        answer: the learner's f(model, x, target), of one picture (1, 3, H, W); the model is a
            function that counts the pictures that go through it.

    Example:
        >>> eight_looks(lambda model, x, target: None)
        Write the function, and run the cell again.
        >>> eight_looks(lambda model, x, target: x[0])
        Not yet: return a tensor of the shape of x, (1, 3, 224, 224).
    """
    model = _network()
    scores: dict[str, list[Tensor]] = {"yours": [], "DGA, 8 looks": [], "DGA, 31 looks": []}
    for name in PHOTOGRAPHS:
        x, target = _photograph(name)
        mine = mapped(answer, model, x, target, MOST)
        if isinstance(mine, str):
            print(mine)
            return
        scores["yours"].append(_worth(model, x, target, mine.to(x)))
        for row, steps in (("DGA, 8 looks", MOST - 1), ("DGA, 31 looks", 30)):
            scores[row].append(_known(name, steps))
    print(f"{'':14}" + "".join(f"{name:>16}" for name in PHOTOGRAPHS))
    for row, values in scores.items():
        cells = "".join(f"{f'{v[0]:.2f} / {v[1]:.2f}':>16}" for v in values)
        print(f"{row:14}{cells}")
    print("LeRF (higher is better) / MoRF (lower is better).", _verdict(scores))


def _verdict(scores: dict[str, list[Tensor]]) -> str:
    """LeRF and MoRF of the learner's map against DGA with as many looks."""
    found = []
    for k, sign in enumerate((1, -1)):  # LeRF, MoRF
        pairs = zip(scores["yours"], scores["DGA, 8 looks"], strict=True)
        lead = sum(float(sign * (mine - its)[k]) for mine, its in pairs) / len(PHOTOGRAPHS)
        found.append("level" if abs(lead) < _TIE else "ahead" if lead > 0 else "behind")
    goal = "reached" if found[0] == "ahead" and found[1] != "behind" else "not reached"
    return (
        f"Yours against 8 looks of DGA, LeRF: {found[0]}, MoRF: {found[1]}: goal {goal}. "
        "Two photographs decide nothing."
    )


@cache
def _network() -> Any:
    return dga.load_model("efficientnet_lite0")


@cache
def _photograph(name: str) -> tuple[Tensor, Tensor]:
    """A photograph, (1, 3, H, W), and the class that the network names."""
    model = _network()
    x = model.preprocess(dga.load_photo(name))
    with torch.no_grad():
        return x, model(x).argmax(1)


@cache
def _known(name: str, steps: int) -> Tensor:
    """What DGA is worth on a photograph."""
    model, (x, target) = _network(), _photograph(name)
    a = dga.distilled_gradient_aggregation(model, x, target, steps=steps)
    return _worth(model, x, target, a)


def _worth(model: Any, x: Tensor, target: Tensor, a: Tensor) -> Tensor:
    """LeRF and MoRF of one map."""
    return dga.pixel_perturbation(model, x, a, target, "both").mean(2)[:, 0]
