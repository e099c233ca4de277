"""Two tables to be refereed: one of ROAR, one of LeRF and MoRF."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from dga.lessons.checks.judgement import Verdicts
from dga.lessons.checks.task import Wrong

# What is claimed to be wrong with the table: why it is not (None: it is wrong indeed).
_CLAIMS: dict[str, str | None] = {
    "A": None,
    "B": "with more pixels gone less is left to learn from, whatever the order",
    "C": None,
    "D": None,
    "E": "IG may have taken out at 30 % whatever told the classes apart: then nothing more falls",
    "F": None,
    "G": "new weights are the idea of ROAR: what can a network still learn without these pixels?",
    "H": None,
    "I": "a control that knows nothing of the network shows what the measure pays for by itself",
    "J": "if the test pictures were whole, the retrained network would meet unusual pictures",
}
_AREAS = {
    "A": "the column of 0 %", "C": "the smallest numbers", "D": "a row, read from left to right",
    "F": "the text, before the training", "H": "the text about what is significant",
}  # fmt: skip
_ACCURACY, _PICTURES = 0.28, 500
_ONE = math.sqrt(_ACCURACY * (1 - _ACCURACY) / _PICTURES)


def roar_table(faults: Any, error: Any) -> None:
    """Whether the faults of the table are found, and the error of a difference.

    Args:
        faults: the letters of the claims that are right, such as "AB".
        error: the standard error of the difference of two accuracies near 0.28.

    Raises:
        Wrong: with what is wrong.

    Example:
        >>> roar_table("B", 0.01)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: B is no fault: with more pixels gone less is left ...
    """
    if not isinstance(faults, str) or not set(faults.upper()) <= set(_CLAIMS) or not faults:
        raise Wrong(f"write letters from {''.join(_CLAIMS)} in quotation marks, such as 'AB'")
    for letter in sorted(set(faults.upper())):
        if _CLAIMS[letter] is not None:
            raise Wrong(f"{letter} is no fault: {_CLAIMS[letter]}")
    missed = [area for letter, area in _AREAS.items() if letter not in faults.upper()]
    if missed:
        more = "one more is there" if len(missed) == 1 else f"{len(missed)} more are there"
        raise Wrong(f"those are faults, but {more}. Look at {missed[0]}")
    if not isinstance(error, Real) or isinstance(error, bool):
        raise Wrong("error must be a number")
    for value, words in (
        (_ONE, "that is the error of one accuracy; both accuracies of a difference have one"),
        (2 * _ONE, "errors of independent numbers do not add up; their squares do"),
        (math.sqrt(_ACCURACY * (1 - _ACCURACY)), "that is the spread of one picture, not of the "
         "mean of 500"),
        (_ONE**2 * 2, "that is the variance; take the root"),
    ):  # fmt: skip
        if abs(float(error) / value - 1) < 0.1:
            raise Wrong(words)
    if not abs(float(error) / (math.sqrt(2) * _ONE) - 1) <= 0.1:
        raise Wrong(
            f"{float(error):.3g} is not the error. A picture is right or wrong: what is the "
            "variance of that, of the mean of 500 such, and of the difference of two such means?"
        )
    print("Right.")


table_1 = Verdicts(
    ("follows", "open", "false"),
    {"1": "follows", "2": "follows", "3": "open", "4": "open", "5": "false", "6": "open",
     "7": "open", "8": "open"},
    {
        ("1", "open"): "it is about the numbers of the table and nothing more: compare them",
        ("1", "false"): "go through the three LeRF rows once more",
        ("2", "open"): "there is no interval, but you can bound it: a mean probability of 0.03 "
        "over 50,000 pictures, each between 0 and 1. How large can its standard error be at most?",
        ("2", "false"): "a mean probability of 0.03 over 50,000 pictures, each between 0 and 1: "
        "how large can its standard error be at most?",
        ("3", "follows"): "which row of the table is a method with random masks?",
        ("3", "false"): "does any row of the table speak against it?",
        ("4", "follows"): "which row of the table is a map that sees no network?",
        ("4", "false"): "does any row of the table speak against it?",
        ("5", "follows"): "look at FG: its place in LeRF, and its place in MoRF",
        ("5", "open"): "one pair of methods is enough to decide it: look at FG",
        ("6", "follows"): "what do the three networks of the table have in common?",
        ("6", "false"): "does any row of the table speak against it?",
        ("7", "follows"): "different networks are unequally sure of whole pictures, and lose their "
        "certainty at different speeds. Is a lower number the merit of the map?",
        ("7", "false"): "the numbers do not speak against it; they do not speak about it",
        ("8", "follows"): "two measures are in the table. Is either of them the object?",
        ("8", "false"): "does any row of the table speak against it?",
    },
)  # fmt: skip
