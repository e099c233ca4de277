"""Five functions that claim to be the input gradient, and which mistake each of them is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dga.lessons.checks.examples import gradient, predicted, probability
from dga.lessons.checks.judgement import words_for_all
from dga.lessons.checks.task import Wrong


def _neighbours(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(8, *x.shape[1:], generator=generator, dtype=torch.float64).to(x)
    return torch.stack([gradient(model, x + one, target) for one in noise]).mean(0)


_FUNCTIONS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "right": gradient,
    "softmax": lambda model, x, target: gradient(model, x, target, probability),
    "class": lambda model, x, target: gradient(model, x, predicted(model, x)),
    "batch": lambda model, x, target: gradient(model, x, target) / len(x),
    "unsigned": lambda model, x, target: gradient(model, x, target).abs(),
    "neighbours": _neighbours,
}
# What to try for whom was taken for what; told when all others are known.
_TRIALS = {
    "right": "it is not right. Compare it with a finite difference, or with dga.gradient: for one "
    "picture and for several, and for classes that are not the predicted one",
    "softmax": "the ten probabilities add up to 1, always, so their ten gradients would add up to "
    "0. Those of this one do not",
    "class": "if it did not look at `target`, two classes would give the same map. They do not",
    "batch": "if it were a mean over the batch, a picture alone would give another map than the "
    "same picture among others. It does not",
    "unsigned": "without signs no value would be negative. Some are",
    "neighbours": "on a linear network, torch.nn.Flatten and torch.nn.Linear, all neighbours have "
    "one gradient, so this mistake would not show there. What is wrong with it does show there, "
    "or it is wrong nowhere",
}
_WHO = {"A": "batch", "B": "softmax", "C": "neighbours", "D": "right", "E": "class"}


def suspects() -> dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]]:
    """The five functions, by letter; each takes model, x (B, C, H, W) and target (B,).

    Example:
        >>> sorted(suspects())
        ['A', 'B', 'C', 'D', 'E']
    """
    return {letter: _FUNCTIONS[kind] for letter, kind in _WHO.items()}


def line_up(answer: Any) -> None:
    """Whether every suspect is known for what it is.

    Who is wrong, and how many are, is not said while there are several: else letter after letter
    could be guessed without an experiment.

    Args:
        answer: from the letter to one of right, softmax, class, batch, unsigned, neighbours.

    Raises:
        Wrong: with a trial that the only wrong one does not pass.

    Example:
        >>> line_up(dict.fromkeys("ABCDE", "right"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: two or more of the five are something else. ...
    """
    words_for_all(answer, _WHO, _FUNCTIONS)
    wrong = [letter for letter, kind in _WHO.items() if answer[letter] != kind]
    if len(wrong) > 1:
        raise Wrong(
            "two or more of the five are something else. Ask of each: what would the mistake you "
            "name change that no other does? Try it"
        )
    if wrong:
        raise Wrong(f"four are right, but suspect {wrong[0]}: {_TRIALS[answer[wrong[0]]]}")
    print("Right.")
