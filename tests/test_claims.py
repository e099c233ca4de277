"""The generated tables of the results page are what was stored, by the rule of the page."""

from __future__ import annotations

import re

import pytest
import torch
from claims import RESULTS, ROOT, Row, against, claims, controls, filled, verdict, verdicts

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


def test_the_best_rival_is_the_one_that_counts():
    noise = torch.randn(200, generator=torch.Generator().manual_seed(0)) / 100
    values = {
        "net": {"dga": torch.full((200,), 0.5), "ig": 0.4 + noise, "fg": 0.6 - noise},
        "other": {"dga": 0.5 + noise, "ig": 0.5 - noise.flip(0), "fg": torch.zeros(200)},
    }
    net, other = against(values, 1)
    assert (net[0], other[0]) == ("net", "other")
    assert net[1].startswith("DGA 0.50, FG 0.60, difference [-0.10") and net[2] == "not reproduced"
    assert other[1].startswith("DGA 0.50, IG 0.50, difference [-0.00") and other[2] == "tie"
    lower = against(values, -1)[0]  # the difference is printed as it is, not by who is better
    assert lower[1].startswith("DGA 0.50, IG 0.40, difference [+0.09")
    assert lower[2] == "not reproduced"
    (best, _) = against(values, 1, one="fg", rivals=("ig", "dga"))
    assert best[1].startswith("FG 0.60, DGA 0.50, difference [+0.09") and best[2] == "reproduced"


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
        (
            "SqueezeNet 1.1",
            "DGA / Captum IG, frozen, channels-last",
            "{} times as long on the same",
        ),
    ):
        median = re.search(rf"{network}, [^|]*\| {other} \| [^|]*\| (\S+) ", page)[1]
        assert words.format(median) in readme
