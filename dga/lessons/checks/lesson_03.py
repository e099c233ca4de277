"""Lesson 03: a score taken apart with a pencil, Uniform FullGrad, and a constant nobody sees.

These print what is wrong, so that the lesson runs on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import dga
from dga.lessons.checks import full_gradient
from dga.lessons.checks.examples import gradient, score
from dga.lessons.checks.task import Wrong
from dga.zoo.loading import Classifier

# What each part is, and what people write for it.
_PENCIL: dict[str, tuple[float, dict[float, str]]] = {
    "the input's part": (3.5, {
        2.0: "that is the sum of the input, or of the gradient; <g, x> multiplies them, then adds",
        4.0: "unit 3 is off and has no say; and the slope by x2 is negative",
        5.0: "the slope by x2 is negative: unit 2 subtracts x2",
        3.1: "that is the whole score",
    }),
    "the first layer's part": (-0.7, {
        -1.4: "that is the sum of the biases; each counts as much as the score moves with it",
        -0.8: "the score moves 1.5 times as fast as the bias of unit 2: its weight to the score",
        0.5: "unit 3 is off, so its bias has no say",
        -1.3: "unit 3 is off, so its bias has no say",
        0.7: "the sign: the bias of unit 1 is -1, and it is the larger part",
        1.3: "the sign: the bias of unit 1 is -1",
    }),
    "the last bias's part": (0.3, {
        1.0: "that is the slope; the part is the slope times the bias",
        0.0: "the score moves with the last bias, one to one",
    }),
}  # fmt: skip


def pencil(inputs: float | None, first: float | None, last: float | None) -> None:
    """Says whether the three parts of the tiny network's score are right.

    Args:
        inputs, first, last: what the input, the first layer's biases and the last bias put in.

    Example:
        >>> pencil(None, None, None)
        Write three numbers in place of None.
        >>> pencil(3.5, -1.4, 0.3)  # doctest: +ELLIPSIS
        Not yet, the first layer's part: that is the sum of the biases; ...
    """
    answers = (inputs, first, last)
    if any(a is None for a in answers):
        print("Write three numbers in place of None.")
        return
    for answer, (part, (right, mistakes)) in zip(answers, _PENCIL.items(), strict=True):
        if not _near(answer, right):
            why = [words for value, words in mistakes.items() if _near(answer, value)]
            print(f"Not yet, {part}: {why[0] if why else f'{answer} is not it'}.")
            return
    print("Right. The three add up to the score.")


def _near(a: Any, b: float) -> bool:
    return isinstance(a, int | float) and abs(a - b) < 1e-6


def _one_rest(scores: Callable[..., Tensor], of_batch: bool = False) -> Callable[..., Tensor]:
    """UFG with <g, x> of the whole batch, divided by the features of one picture or of all."""

    def attribution(model: Classifier, x: Tensor, target: Tensor) -> Tensor:
        local = x * gradient(model, x, target)
        rest = (scores(model, x, target) - local.sum()).detach()
        return local + rest.view(-1, 1, 1, 1) / (x.numel() if of_batch else x[0].numel())

    return attribution


def _first(model: Classifier, x: Tensor, target: Tensor) -> Tensor:
    return score(model, x, target)[:1]


def _crossed(model: Classifier, x: Tensor, target: Tensor) -> Tensor:
    return model(x)[:, target].sum()


def _sum(model: Classifier, x: Tensor, target: Tensor) -> Tensor:
    return score(model, x, target).sum()


_WHOLE = "<g, x> is summed over the whole batch; every picture has its own rest"
_ALL = ", and d counts the features of one picture"
_FIRST = "every picture gets the rest of the first score; every picture has its own"
MIXED_UP = {
    _WHOLE: _one_rest(score),
    _WHOLE + _ALL: _one_rest(score, of_batch=True),
    _FIRST: _one_rest(_first),
    _FIRST + _ALL: _one_rest(_first, of_batch=True),
    "[:, target] takes every target of every picture; each has one, see torch.gather": _one_rest(
        _crossed
    ),
    "one rest is shared by the whole batch; every picture has its own": _one_rest(
        _sum, of_batch=True
    ),
}


def uniform_fullgrad(answer: Callable[..., Any]) -> None:
    """Says whether a function is Uniform FullGrad, or which mistake it is.

    Args:
        answer: f(model, x, target) -> attribution of the shape of x; target is (B,).

    Example:
        >>> uniform_fullgrad(lambda model, x, target: dga.uniform_fullgrad(model, x, target))
        Right.
        >>> uniform_fullgrad(lambda model, x, target: x * dga.gradient(model, x, target))
        Not yet: the bias sum is missing: this is Gradient*Input
        >>> for mistake in MIXED_UP.values():  # doctest: +ELLIPSIS
        ...     uniform_fullgrad(mistake)
        Not yet: <g, x> is summed over the whole batch; every picture has its own rest
        Not yet: <g, x> is summed over the whole batch; every picture has its own rest, and d ...
        Not yet: every picture gets the rest of the first score; every picture has its own
        Not yet: every picture gets the rest of the first score; every picture has its own, and ...
        Not yet: [:, target] takes every target of every picture; each has one, see torch.gather
        Not yet: one rest is shared by the whole batch; every picture has its own
    """
    task = full_gradient.uniform_fullgrad
    try:
        replace(task, mistakes={**task.mistakes, **MIXED_UP})(answer)
    except Wrong as wrong:
        print(f"Not yet: {wrong}")


def silent(answer: Callable[..., Any], model: Classifier, x: Tensor, target: int) -> None:
    """Says whether a network was changed so that no probability moved, but UFG lost its constant c.

    Args:
        answer: f(model, x, target) -> a function from inputs to scores.
        model, x, target: the network, the picture (1, C, H, W), and the class that is explained.

    Example:
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> rest = model(x)[0, 7].item() - dga.gradient_times_input(model, x, 7).sum().item()
        >>> silent(lambda model, x, target: lambda z: model(z) - rest, model, x, 7)
        Right. No probability moved, and the map now sums to 15.19, not to 13.40.
        >>> silent(lambda model, x, target: None, model, x, 7)
        Not yet: the function must return a new network, something to call with pictures.
    """
    try:
        print(_silent(answer, model, x, target))
    except Wrong as wrong:
        print(f"Not yet: {wrong}")


def _silent(answer: Callable[..., Any], model: Classifier, x: Tensor, target: int) -> str:
    try:
        changed = answer(model, x.clone(), target)
    except Exception as error:
        raise Wrong(_said(error)) from None
    if not callable(changed):
        raise Wrong("the function must return a new network, something to call with pictures.")
    seen = torch.cat([x, x.flip(3), 0 * x])
    with torch.no_grad():
        before = model(seen)
        try:
            after = changed(seen)
        except Exception as error:
            raise Wrong(_said(error)) from None
    if not isinstance(after, Tensor) or after.shape != before.shape:
        raise Wrong(f"the new network must return scores of shape {tuple(before.shape)}.")
    moved = (before.softmax(1) - after.softmax(1)).abs().max().item()
    if not moved <= 1e-4:
        others = torch.arange(before.shape[1]) != target
        alone = torch.allclose(before[:, others], after[:, others], atol=1e-4)
        hint = " You changed one score; softmax compares all." if alone else ""
        raise Wrong(f"a probability moved by {moved:.2f}.{hint}")
    rest, new = (_rest(net, x, target) for net in (model, changed))
    if not abs(new) <= 0.01:
        if abs(new - rest) < 0.01:
            raise Wrong(f"the biases' part is still {new:.2f}, as it was.")
        if abs(new - 2 * rest) < 0.01:
            raise Wrong(f"the biases' part has doubled, to {new:.2f}: turn the sign.")
        raise Wrong(f"the biases' part was {rest:.2f} and is {new:.2f}; 0 is wanted.")
    with torch.no_grad():
        old = model(x)[0, target].item()
    total = dga.uniform_fullgrad(changed, x, target).sum().item() + 0.0
    return f"Right. No probability moved, and the map now sums to {total:.2f}, not to {old:.2f}."


def _said(error: Exception) -> str:
    return f"it stopped with {''.join(traceback.format_exception_only(error)).strip()}"


def _rest(model: Callable[..., Tensor], x: Tensor, target: int) -> float:
    """f - <g, x>."""
    with torch.no_grad():
        score = model(x)[0, target].item()
    return score - dga.gradient_times_input(model, x, target).sum().item()
