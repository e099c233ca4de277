"""Who answers a task by asking the package for its own answer is told so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def watched(answers: Sequence[Callable[..., Any]]) -> Iterator[list[str]]:
    """Names those of the functions that are called inside, however they were imported.

    Args:
        answers: Python functions.

    Example:
        >>> def double(x):
        ...     return 2 * x
        >>> with watched([double]) as called:
        ...     _ = list(map(double, [1, 2]))
        >>> called
        ['double']
    """
    names = {answer.__code__: answer.__name__ for answer in answers}  # type: ignore[attr-defined]
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        name = names.get(frame.f_code)
        if event == "call" and name is not None and name not in called:
            called.append(name)

    if not names:
        yield called
        return
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(before)
