"""One task of an assignment: the truth, the mistakes people make with it, and what is said.

An answer that equals a mistake is told so by name, any other wrong one by its shape or by the first
value that differs.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from dga.lessons.checks.as_found import Found
from dga.lessons.checks.own_work import watched


class Wrong(AssertionError):
    """A wrong answer; a notebook shows the sentence and no traceback.

    Example:
        >>> raise Wrong("the sign is turned")
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: the sign is turned
    """

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet: {self}"]


EMPTY = "Write the function, and run the cell again."


def complaint(answer: Any, like: Tensor) -> str | None:
    """What is wrong with a learner's map or pictures before they are looked at; None if nothing.

    Args:
        answer: what the learner's function returned.
        like: a tensor of the wanted shape.

    Example:
        >>> complaint(None, torch.zeros(2))
        'Write the function, and run the cell again.'
        >>> complaint(torch.zeros(3), torch.zeros(2))
        'Not yet: return a tensor of the shape of x, (2,).'
    """
    if answer is None:
        return EMPTY
    if not isinstance(answer, Tensor) or answer.shape != like.shape:
        return f"Not yet: return a tensor of the shape of x, {tuple(like.shape)}."
    if not torch.isfinite(answer).all():
        return "Not yet: it holds values that are not finite."
    return None


def mapped(
    answer: Callable[..., Any], model: Any, x: Tensor, target: Tensor, most: int
) -> Tensor | str:
    """A learner's map of x, or what is wrong with it.

    Args:
        answer: f(model, x, target); the model that it gets counts the pictures it is asked about.
        model, x, target: see `dga.gradient`.
        most: that may go through the model.

    Example:
        >>> import dga
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
        >>> x = torch.ones(1, 3, 1, 1)
        >>> mapped(dga.gradient, model, x, torch.tensor([0]), 1).shape
        torch.Size([1, 3, 1, 1])
        >>> mapped(lambda f, x, t: (f(x), f(x), x)[2], model, x, torch.tensor([0]), 1)
        'Not yet: 2 pictures went through the network, 1 are allowed.'
    """
    passed: list[int] = []
    # A module: a function, into which nobody sees, is passed once more to see what it keeps.
    counted = torch.nn.Sequential(model)
    counted.register_forward_pre_hook(lambda _, given: passed.append(len(given[0])))
    mine = answer(counted, x.clone(), target.clone())
    if wrong := complaint(mine, x):
        return wrong
    if sum(passed) > most:
        return f"Not yet: {sum(passed)} pictures went through the network, {most} are allowed."
    result: Tensor = mine.detach()
    return result


@dataclass(frozen=True)
class Task:
    """One task of an assignment; called with the learner's function.

    Attributes:
        call: how the function is called, for messages.
        cases: the arguments of each example.
        truth: the right function.
        mistakes: what to say -> the function that is wrong in this manner.
        yourself: functions of the package that would be the answer, and may not be called.

    Example:
        >>> double = Task(
        ...     "f(x)",
        ...     lambda: [(torch.tensor([1.0, 3.0]),)],
        ...     lambda x: 2 * x,
        ...     {"this is the square": lambda x: x**2},
        ... )
        >>> double(lambda x: x + x)
        Right.
        >>> double(lambda x: x * x)
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: this is the square
    """

    call: str
    cases: Callable[[], Sequence[tuple]]
    truth: Callable[..., Any]
    mistakes: Mapping[str, Callable[..., Any]]
    yourself: Sequence[Callable[..., Any]] = ()

    def __call__(self, answer: Callable[..., Any]) -> None:
        """Prints that the answer is right.

        Raises:
            Wrong: with the reason.
        """
        if not callable(answer):
            raise Wrong(f"a function is needed, {self.call}; this is {type(answer).__name__}")
        given = [_run(answer, case, self.yourself) for case in self.cases()]
        right = self._made(self.truth)
        for got, wanted in zip(given, right, strict=True):
            _same_kind(got, wanted, self.call)
        if all(map(_equal, given, right)):
            print("Right.")
            return
        for message, mistake in self.mistakes.items():
            if all(map(_equal, given, self._made(mistake))):
                raise Wrong(message)
        for got, wanted in zip(given, right, strict=True):
            if not _equal(got, wanted):
                raise Wrong(_first_difference(got, wanted))

    @cached_property
    def _kept(self) -> dict[Callable[..., Any], list[Any]]:
        return {}

    def _made(self, known: Callable[..., Any]) -> list[Any]:
        """What the truth or a mistake makes of the cases; kept, as the next answer needs it too."""
        if known not in self._kept:
            self._kept[known] = [known(*case) for case in self.cases()]
        return self._kept[known]


def _run(answer: Callable[..., Any], case: tuple, yourself: Sequence[Callable] = ()) -> Any:
    """The learner's result; an exception is shown as theirs, from their first line on."""
    found = [Found(argument) for argument in case if isinstance(argument, nn.Module)]
    try:
        with watched(yourself) as called:
            result = answer(*(a.clone() if isinstance(a, Tensor) else a for a in case))
    except Exception as error:
        [model.changed() for model in found]  # the next answer is not blamed for it
        frames = error.__traceback__ and error.__traceback__.tb_next  # without this function
        text = getattr(error, "as_told", None)  # by another process, when assignments are graded
        text = text or "".join(traceback.format_exception(type(error), error, frames)).rstrip()
        raise Wrong(f"your function stopped with an exception.\n{text}") from None
    for left in [model.changed() for model in found]:
        if left:
            raise Wrong(left)
    if called:
        raise Wrong(f"dga.{called[0]} is the answer itself: write it yourself")
    return result


def _same_kind(got: Any, wanted: Any, call: str) -> None:
    if got is None or got is NotImplemented:
        raise Wrong(f"{call} returns nothing yet")
    if isinstance(wanted, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(wanted):
            size = f"{len(got)}" if isinstance(got, list | tuple) else type(got).__name__
            raise Wrong(f"{call} must return {len(wanted)} things, this is {size}")
        for a, b in zip(got, wanted, strict=True):
            _same_kind(a, b, call)
        return
    if not isinstance(wanted, Tensor) or not wanted.dim():
        if not isinstance(got, int | float | bool) and not (
            isinstance(got, Tensor) and not got.dim()
        ):
            raise Wrong(f"{call} must return a number, this is {type(got).__name__}")
        return
    if not isinstance(got, Tensor):
        raise Wrong(f"{call} must return a tensor, this is {type(got).__name__}")
    if got.shape != wanted.shape:
        raise Wrong(f"{call} must return shape {tuple(wanted.shape)}, this has {tuple(got.shape)}")
    if got.dtype != wanted.dtype:
        raise Wrong(f"{call} must return {wanted.dtype}, this is {got.dtype}")


def _equal(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, list | tuple):
        return len(got) == len(wanted) and all(map(_equal, got, wanted))
    a, b = (torch.as_tensor(v).detach().double() for v in (got, wanted))
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)


def _first_difference(got: Any, wanted: Any) -> str:
    if isinstance(wanted, list | tuple):
        k = next(k for k in range(len(wanted)) if not _equal(got[k], wanted[k]))
        return f"number {k}: {_first_difference(got[k], wanted[k])}"
    a, b = (torch.as_tensor(v).detach().double() for v in (got, wanted))
    differs = ~torch.isclose(a, b, rtol=1e-6, atol=1e-9)
    if not a.dim():
        return f"the value is {a:.6g}, right is {b:.6g}"
    place = tuple(differs.nonzero()[0].tolist())
    share = differs.double().mean()
    return (
        f"the value at {list(place)} is {a[place] + 0.0:.6g}, right is {b[place]:.6g} "
        f"({share:.0%} of the values differ)"
    )


def prediction(answer: Any, choices: str) -> None:
    """Whether one of the choices was made; a prediction need not be right.

    Args:
        answer: the learner's letter.
        choices: all letters.

    Raises:
        Wrong: if not.

    Example:
        >>> prediction("b", "ABC")
        Noted. Now run on and see.
    """
    if not isinstance(answer, str) or len(answer) != 1 or answer.upper() not in choices:
        raise Wrong(f"write one letter, {', '.join(choices)}, in quotation marks")
    print("Noted. Now run on and see.")


def choice(answer: Any, right: str, why: Mapping[str, str]) -> None:
    """A question with one right letter, found out by measuring.

    Args:
        answer: the learner's letter.
        right: the right one.
        why: explains each letter.

    Raises:
        Wrong: with the explanation of the letter.

    Example:
        >>> choice("a", "A", {"A": "Weak features go first.", "B": "They go last."})
        Right. Weak features go first.
    """
    if not isinstance(answer, str) or answer.upper() not in why:
        raise Wrong(f"write one letter, {', '.join(why)}, in quotation marks")
    if answer.upper() != right:
        raise Wrong(why[answer.upper()])
    print(f"Right. {why[right]}")
