"""Tasks without a formula: predictions, and statements to be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dga.lessons.checks.task import Wrong


def words_for_all(answer: Any, items: Mapping[str, Any], words: Mapping[str, Any]) -> None:
    """Whether an answer is a dictionary with one of the words for every item.

    Args:
        answer: what the learner wrote.
        items: the keys that it needs.
        words: the values that it may have.

    Raises:
        Wrong: if not.

    Example:
        >>> words_for_all({"a": "up"}, {"a": 0}, {"up": 0, "down": 0})
        >>> words_for_all({"a": "?"}, {"a": 0}, {"up": 0, "down": 0})
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: 'a' needs one of up, down in quotation marks, not '?'
    """
    if not isinstance(answer, Mapping) or set(answer) != set(items):
        raise Wrong(f"a dictionary is needed, with an answer for each of {', '.join(items)}")
    for item in items:
        if not isinstance(answer[item], str) or answer[item] not in words:
            raise Wrong(
                f"{item!r} needs one of {', '.join(words)} in quotation marks, not {answer[item]!r}"
            )


def predictions(answer: Any, items: str, words: str) -> None:
    """Whether something was predicted for every item; a prediction need not be right.

    Args:
        answer: the learner's dictionary.
        items: what is predicted, separated by commas.
        words: what may be predicted, separated by commas.

    Raises:
        Wrong: if not.

    Example:
        >>> predictions({"a": "up", "b": "up"}, "a, b", "up, down")
        Noted. Now run on and see.
    """
    words_for_all(answer, *(dict.fromkeys(text.split(", ")) for text in (items, words)))
    print("Noted. Now run on and see.")


def reason(given: Any, right: str, why: Mapping[str, str]) -> None:
    """Whether the right reason was picked.

    Args:
        given: the learner's letter.
        right: the right one.
        why: what is wrong with each of the others.

    Raises:
        Wrong: with what is wrong about the letter.

    Example:
        >>> reason("a", "A", {"B": "look again"})
        >>> reason("B", "A", {"B": "look again"})
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: the reason: look again
    """
    letters = sorted({right, *why})
    if not isinstance(given, str) or given.upper() not in letters:
        raise Wrong(f"the reason must be one letter, {', '.join(letters)}, in quotation marks")
    if given.upper() != right:
        raise Wrong(f"the reason: {why[given.upper()]}")


@dataclass(frozen=True)
class Verdicts:
    """Statements that are judged with a word each; called with the learner's dictionary.

    Attributes:
        words: the words that may be given.
        right: the right word for each statement.
        mistakes: (statement, wrong word) -> where to look, without the right word.

    Example:
        >>> sky = Verdicts(("yes", "no"), {"a": "yes"}, {("a", "no"): "look up"})
        >>> sky({"a": "yes"})
        Right.
        >>> sky({"a": "no"})
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: statement a: look up
    """

    words: tuple[str, ...]
    right: Mapping[str, str]
    mistakes: Mapping[tuple[str, str], str]

    def __call__(self, answer: Any) -> None:
        """Prints that all are right.

        Raises:
            Wrong: with what speaks against the first wrong one, and how many there are.
        """
        words_for_all(answer, self.right, dict.fromkeys(self.words))
        wrong = [item for item, word in self.right.items() if answer[item] != word]
        if not wrong:
            print("Right.")
            return
        more = f" ({len(wrong)} are still wrong)" if len(wrong) > 1 else ""
        raise Wrong(f"statement {wrong[0]}{more}: {self.mistakes[wrong[0], answer[wrong[0]]]}")
