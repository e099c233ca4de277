"""The table of claims in README and in the last lesson is what the lessons print."""

from __future__ import annotations

import nbformat
import pytest
from claims import BEGIN, CLAIMS, LAST, ROOT, filled, holds, row


def test_tables_are_what_the_lessons_print():
    readme = (ROOT / "README.md").read_text()
    assert readme == filled(readme, "notebooks/")
    (cell,) = [c for c in nbformat.read(LAST, 4).cells if BEGIN in c.source]
    assert cell.source == filled(cell.source, "")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.says)
def test_a_claim_names_its_lesson_and_gives_a_verdict(claim):
    text = row(claim, "notebooks/")
    assert f"](notebooks/{claim.lesson}.ipynb)" in text
    assert text.count("**") == 2


def test_verdicts_depend_on_the_numbers():
    fig2 = CLAIMS[1]
    assert fig2.verdict(0.03, 0.25, 0.37) == "not reproduced"
    assert fig2.verdict(0.5, 0.25, 0.37) == "reproduced"
    assert fig2.verdict(0.3, 0.25, 0.37) == "partly"
    assert holds(True) == "reproduced" and holds(False) == "not reproduced"
