"""The generated tables of the results page are what the lessons print and the benchmark stored."""

from __future__ import annotations

import re

import pytest
from claims import CLAIMS, RESULTS, ROOT, filled, holds, row


def test_the_page_is_what_was_printed_and_stored():
    assert RESULTS.read_text() == filled(RESULTS.read_text())


def test_a_changed_number_in_a_table_is_seen():
    page = RESULTS.read_text()
    for name in ("claims", "speed"):
        table = page.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
        number = re.search(r"\d\.\d\d", table)[0]
        changed = page.replace(table, table.replace(number, "7.77"))
        assert changed != page == filled(changed)


def test_the_tables_live_once():
    others = [ROOT / "README.md", *(ROOT / "notebooks").rglob("*.ipynb")]
    for path in others:
        text = path.read_text()
        assert "<!-- claims -->" not in text and "<!-- speed -->" not in text, path.name
        assert not any(claim.says in text for claim in CLAIMS), path.name


def test_the_readme_says_the_same():
    readme, page = " ".join((ROOT / "README.md").read_text().split()), RESULTS.read_text()
    verdicts = [row(claim).split("**")[1] for claim in CLAIMS]
    count = {verdict: verdicts.count(verdict) for verdict in set(verdicts)}
    assert f"Of {len(CLAIMS)} claims," in readme
    assert (
        f"{count['reproduced']} are reproduced, {count['partly']} in part and "
        f"{count['not reproduced']} not" in readme
    )
    bare, captum = (
        float(re.search(rf"batch 8 \| DGA / {other} \| [^|]*\| (\S+) ", page)[1])
        for other in ("bare loop", "Captum IG")
    )
    assert f"takes {bare:.2f} times a bare loop" in readme
    assert f"takes {1 / captum:.1f} times as long as DGA" in readme


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.says)
def test_a_claim_names_its_lesson_and_gives_a_verdict(claim):
    text = row(claim)
    assert f"]({claim.lesson}.ipynb)" in text
    assert text.count("**") == 2


def test_verdicts_depend_on_the_numbers():
    fig2 = CLAIMS[1]
    assert fig2.verdict(0.03, 0.25, 0.37) == "not reproduced"
    assert fig2.verdict(0.5, 0.25, 0.37) == "reproduced"
    assert fig2.verdict(0.3, 0.25, 0.37) == "partly"
    assert holds(True) == "reproduced" and holds(False) == "not reproduced"
