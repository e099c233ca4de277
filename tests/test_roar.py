"""Lesson 07: the stored run of ROAR, its intervals, and the checks of the exercises."""

from __future__ import annotations

import csv

import pytest
import torch

from dga import metrics
from dga.lessons.checks import lesson_07
from dga.lessons.figures import roar


def test_the_stored_accuracies_are_those_of_the_stored_pictures():
    rows = list(csv.DictReader(roar.STORED.open(newline="")))
    cells = roar.stored()
    assert sum(len(right) for right in cells.values()) == len(rows)
    for row in rows:
        bits = bin(int(row["right"], 16)).count("1")
        assert float(row["accuracy"]) == pytest.approx(bits / 2000, abs=5e-5)


def test_a_share_is_shown_when_all_rankings_have_all_seeds():
    right = torch.ones(3, 4, dtype=torch.bool)
    cells = {("pictures", m, s): right for m in (*roar.RIVALS, "dga") for s in ("0.1", "0.5")}
    assert roar.shares(cells) == ["0.1", "0.5"]
    cells["pictures", "ig", "0.1"] = right[:2]
    assert roar.shares(cells) == ["0.5"]
    del cells["pictures", "dga", "0.5"]
    assert roar.shares(cells) == []


def test_intervals_hold_pictures_and_seeds():
    cells = roar.stored()
    one, other = (cells["pictures", name, "0.5"] for name in ("dga", "ig"))
    difference = one.double().mean(0) - other.double().mean(0)
    of_pictures = 1.96 * float(difference.std()) / 2000**0.5
    i = roar.interval(one, other)
    assert i.mean == pytest.approx(float(difference.mean()))
    seeds = 1.96 * (2 / 3 * roar._training_variance()) ** 0.5
    assert i.high - i.mean == pytest.approx((of_pictures**2 + seeds**2) ** 0.5, rel=1e-3)
    # A bootstrap over both, which finds two thirds of the variance of three seeds.
    generator = torch.Generator().manual_seed(0)
    means = torch.stack([
        (one[torch.randint(3, (3,), generator=generator)].double().mean(0)
         - other[torch.randint(3, (3,), generator=generator)].double().mean(0))[
            torch.randint(2000, (2000,), generator=generator)].mean()
        for _ in range(1000)
    ])  # fmt: skip
    assert 0.75 < (1.96 * float(means.std())) / (i.high - i.mean) < 1.25


def test_what_the_lesson_says_of_the_stored_run():
    cells = roar.stored()
    right = cells["first", "none", "0.0"][0]

    def share(name: str, where: torch.Tensor) -> float:
        removed = "0.0" if name == "none" else "0.5"
        return float(cells["pictures", name, removed][:, where].double().mean())

    for name in ("gi", "ig", "dga"):  # the old network's answers, mistakes included
        assert share(name, right) > share("none", right)
        assert share(name, ~right) < share("none", ~right) / 2

    def alike(name: str, at: str) -> roar.Interval:
        return roar.interval(cells["pictures", name, at] == right)

    usual = alike("none", "0.0")
    for at in roar.shares():  # DGA's holes leak most, at every share; the controls' do not
        others = [alike(name, at).mean for name in roar.RIVALS]
        assert alike("dga", at).mean > max(others)
        assert alike("dga", at).low > usual.high
        assert max(alike(name, at).mean for name in ("random", "edges", "centre")) < usual.mean
    told = {name: roar.interval(cells["holes", name, "0.5"]) for name in (*roar.RIVALS, "dga")}
    assert min(told[name].low for name in ("edges", "gi", "ig", "dga")) > 0.45
    assert told["random"].low < 0.1 < told["random"].high
    assert told["centre"].low < 0.1 < told["centre"].high
    assert (
        roar.interval(cells["pictures", "dga", "0.5"], cells["pictures", "random", "0.5"]).low > 0
    )
    assert roar.interval(cells["road", "dga", "0.5"], cells["road", "ig", "0.5"]).high < 0
    few = roar.interval(cells["road", "dga", "0.1"], cells["road", "ig", "0.1"])
    assert few.low <= 0 <= few.high


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, a, s: x * metrics.top_pixels(a, s)[:, None], "Right."),
        (lambda x, a, s: x * ~metrics.top_pixels(a, s)[:, None], "ROAR's pictures"),
        (lambda x, a, s: x * metrics.top_pixels(a, 1 - s)[:, None], "the share is what stays"),
        (lambda x, a, s: x * (a.sum(1, True) > a.sum(1, True).quantile(0.7)), "whole batch"),
        (lambda x, a, s: x * (a > a.flatten(1).quantile(0.7, 1).view(-1, 1, 1, 1)), "channels"),
        (lambda x, a, s: x * metrics.top_pixels(a.sum(1, True).abs(), s)[:, None], "magnitudes"),
        (lambda x, a, s: x[0], "the shape of x"),
        (lambda x, a, s: 2 * x, "neither right"),
        (lambda x, a, s: None, "Write the function"),
    ],
)
def test_keep_names_mistakes(answer, words, capsys):
    lesson_07.keep(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ((10_000, 30), "A plan"),
        ((10_000, 10), "Not yet: four times in five you find a gap of 0.011"),
        ((2000, 50), "The larger part comes from the test pictures"),
        ((10_000, 2), "The larger part comes from the seeds"),
        ((10_000, 1), "one seed"),
        ((20_000, 30), "has 10,000 test pictures"),
        ((10_000, 70), "more than an hour"),
        ((0.5, 3), "whole numbers"),
        ((None, 3), "Replace"),
    ],
)
def test_plans(plan, words, capsys):
    lesson_07.plan(*plan)
    assert words in capsys.readouterr().out
