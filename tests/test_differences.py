"""The one way to show differences: right of 0 DGA is better, full marks where 0 is excluded."""

import csv

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from dga.lessons.figures import differences


@pytest.mark.parametrize(
    ("measure", "dga", "other", "better"),
    [
        ("lerf", 0.6, 0.5, True),
        ("high lerf", 0.6, 0.5, True),
        ("morf", 0.6, 0.5, False),
        ("fine morf", 0.4, 0.5, True),
        ("top", 0.4, 0.5, False),
    ],
)
def test_positive_is_where_dga_is_better(measure, dga, other, better):
    found = differences.ahead(measure, torch.tensor([dga]), torch.tensor([other]))
    assert (found > 0).item() is better


def test_photographs_have_the_sign_of_their_means():
    """The stored table has DGA minus the method; of MoRF the figure has the method minus DGA."""
    found, networks = differences.photographs()
    with differences.PHOTOGRAPHS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["fill"] == "mean"]
    means = {(r["measure"], r["method"], r["network"]): float(r["mean"]) for r in rows}
    assert set(found) == {key for key in means if key[1] != "dga"}
    for (measure, method, network), (mean, low, high) in found.items():
        dga, other = means[measure, "dga", network], means[measure, method, network]
        right = dga - other if "lerf" in measure else other - dga
        assert mean == pytest.approx(right, abs=3e-6) and low <= mean <= high
        assert networks[network].endswith(" photographs")


def test_grey_and_filled_are_of_the_same_photographs_and_agree_with_the_stored_table():
    found, kinds = differences.grey_and_filled()
    with differences.PHOTOGRAPHS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dga_minus"]]
    checked = 0
    for kind in kinds:
        network, fill = kind.rsplit(" ", 1)
        both = {kinds[f"{network} {f}"].rsplit(", ", 1)[1] for f in differences.FILLS}
        assert len(both) == 1
        for row in rows:
            if (row["network"], row["fill"]) != (network, fill):
                continue
            if both != {f"{row['pictures']} photographs"}:
                continue  # the table has more photographs with this filling than with the other
            sign = 1 if "lerf" in row["measure"] else -1
            stored = sorted(sign * float(row[f"dga_minus{end}"]) for end in ("_low", "", "_high"))
            mine = found[row["measure"], row["method"], kind]
            assert sorted(mine) == pytest.approx(stored, abs=2e-4)
            checked += 1
    assert checked > 0


def test_marks_and_words_say_the_same():
    found = {
        ("morf", "a", "vgg"): (0.2, 0.1, 0.3),
        ("morf", "b", "vgg"): (0.2, -0.1, 0.5),
        ("morf", "c", "vgg"): (-0.2, -0.3, -0.1),
        ("morf", "c", "resnet"): (0.1, 0.0, 0.2),
    }
    axes = Figure().subplots()
    rows = [{"a": "one"}, {"b": "two", "c": "three"}]
    networks = {"vgg": "vgg, 3 pictures", "resnet": "resnet, 4 pictures"}
    words = differences.panel(axes, found, "morf", rows, networks)
    assert words == (
        "DGA better than one. DGA worse than three on vgg. "
        "DGA undecided against two; three on resnet"
    )
    marks = [line for line in axes.lines if line.get_marker() in "os"]
    looks = [(line.get_color(), to_hex(line.get_markerfacecolor())) for line in marks]
    assert looks == [
        (differences.DGA, to_hex(differences.DGA)),
        (differences.UNDECIDED, "#ffffff"),
        (differences.OTHER, to_hex(differences.OTHER)),
        (differences.UNDECIDED, "#ffffff"),
    ]
    low, high = axes.get_xlim()
    assert low < 0 < high
