"""The generated tables of the results page are what was stored, by the rule of the page."""

from __future__ import annotations

import re

import pytest
from claims import RESULTS, ROOT, Row, claims, controls, filled, verdict, verdicts, widened

NAMES = ("claims", "controls", "photographs", "speed")


@pytest.fixture(scope="module")
def page():
    return RESULTS.read_text()


def test_the_page_is_what_was_stored_and_a_changed_number_is_seen(page):
    changed = page
    for name in NAMES:
        table = page.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
        number = re.search(r"\d\.\d\d", table)[0]
        changed = changed.replace(table, table.replace(number, "7.77"))
    assert changed != page == filled(changed)


def test_the_tables_live_once():
    says = [row.says for row in (*claims(), *controls())]
    for path in (ROOT / "README.md", *(ROOT / "notebooks").rglob("*.ipynb")):
        text = path.read_text()
        assert not any(f"<!-- {name} -->" in text for name in NAMES), path.name
        assert not any(claim in text for claim in says), path.name


def test_the_rule():
    assert verdict(0.01, 0.2) == "reproduced"
    assert verdict(-0.01, 0.2) == verdict(0.0, 0.2) == "tie"
    assert verdict(-0.2, -0.01) == "not reproduced"


def test_parts_have_a_verdict_each():
    assert verdicts([("a", "", "tie"), ("b", "", "tie")]) == "tie"
    assert verdicts([("a", "", "tie"), ("b", "", "reproduced")]) == "tie (`a`), reproduced (`b`)"


def test_a_correction_widens():
    low, high = widened(0.5, 0.4, 0.7, 1)
    assert (low, high) == (pytest.approx(0.4), pytest.approx(0.7))
    low, high = widened(0.5, 0.4, 0.7, 10)
    # The normal quantiles of 1 - 0.025 / 10 and 0.975.
    assert 0.5 - low == pytest.approx(0.1 * 2.80703 / 1.95996, abs=1e-4)
    assert high - 0.5 == pytest.approx(0.2 * 2.80703 / 1.95996, abs=1e-4)


def test_a_row_links_its_lesson():
    assert str(Row("A", "06", "b", "tie")) == (
        "| A | [06](06_pixel_perturbation.ipynb) | b | **tie** |"
    )


def test_the_readme_says_what_was_measured(page):
    readme = " ".join((ROOT / "README.md").read_text().split())
    for network, other, words in (
        ("MobileNet-v2", "DGA / bare loop", "on MobileNet-v2 it takes {} times a bare loop"),
        ("SqueezeNet 1.1", "DGA / bare loop", "on SqueezeNet 1.1 {} times,"),
        ("SqueezeNet 1.1", "DGA / Captum IG, as called", "{} times as long as Captum"),
    ):
        median = re.search(rf"{network}, [^|]*\| {other} \| [^|]*\| (\S+) ", page)[1]
        assert words.format(median) in readme
