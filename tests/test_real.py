"""The main job on real photographs with a real network (optional folder, see conftest)."""

from __future__ import annotations

import csv

import pytest
import torch

import dga
from dga import metrics
from dga.experiments.evaluation import perturbation_scores
from dga.zoo.files import DATA

STORED = DATA / "results" / "photographs_scores.csv"


def stored(network, fill="mean"):
    """Rows of LeRF and MoRF, a column for every method."""
    with open(STORED, newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["network"], r["fill"]) == (network, fill)]
    return [row for row in rows if row["measure"] in ("lerf", "morf")]


@pytest.mark.parametrize("other", ["gi", "ig", "gig"])
def test_dga_leads_on_lerf_and_is_level_on_morf(other):
    """On all photographs, by their stored scores; four pictures of them are scored again below."""
    rows = stored("squeezenet1_1")
    lows = {}
    for measure in ("lerf", "morf"):
        gaps = [float(r["dga"]) - float(r[other]) for r in rows if r["measure"] == measure]
        assert len(gaps) >= 128
        _, lows[measure], _ = metrics.bootstrap_interval(torch.tensor(gaps))
    assert lows["lerf"] > 0.2 and lows["morf"] <= 0.005


def test_residual_equals_explicit_on_the_real_network(real):
    import measure

    model, x = measure.real_photographs(2)
    model, x = model.double(), x.double()
    residual = dga.uniform_fullgrad(model, x)
    explicit = dga.uniform_fullgrad(model, x, bias="explicit")
    torch.testing.assert_close(residual, explicit, rtol=1e-9, atol=1e-12)


def test_same_call_same_bits_on_the_real_network(real):
    import measure

    model, x = measure.real_photographs(2)
    first = dga.distilled_gradient_aggregation(model, x, steps=5)
    assert torch.equal(first, dga.distilled_gradient_aggregation(model, x, steps=5))


@pytest.mark.parametrize(
    ("network", "methods"),
    [
        ("squeezenet1_1", ("gi", "ig", "gig", "fg", "dga", "centre")),
        ("efficientnet_lite0", ("gi", "fg")),
    ],
)
def test_four_pictures_of_the_stored_run_again(real, network, methods):
    """The scores of Table 1 on photographs are what these networks and pictures give today."""
    rows = stored(network)
    names = list(dict.fromkeys(r["picture"] for r in rows))[1::13][:4]
    paths = {path.name: path for path in real.rglob("*.JPEG")}
    weights = real / f"{network}_imagenet.pt"
    model = dga.load_model(network, weights if weights.exists() else "default")
    x = torch.cat([model.preprocess(dga.load_photo(paths[name])) for name in names])
    scores = perturbation_scores(model, x, methods)
    rows = [row for row in rows if row["picture"] in names]
    for method in methods:
        gaps = [
            float(scores[method][row["measure"]][names.index(row["picture"])]) - float(row[method])
            for row in rows
        ]
        # Nearly equal values change places. Another batch size rounds otherwise and flips ranks,
        # on which guided paths and masks feed: DGA's LeRF of one picture moves by up to 0.06, its
        # mean over pictures hardly.
        most = {"gig": 0.02, "dga": 0.1}.get(method, 0.003)
        assert max(map(abs, gaps)) < most and abs(sum(gaps) / len(gaps)) < 0.03, method


def test_the_table_of_photographs_is_made_of_its_scores():
    import photographs

    results = DATA / "results"
    with open(STORED, newline="") as file:
        scores = list(csv.reader(file))
    last = [scores[0], *(row for row in scores if row[:2] == scores[-1][:2])]
    with open(results / "photographs.csv", newline="") as file:
        stored = list(csv.reader(file))
    made = photographs.compared_scores(last)
    assert made[0] == stored[0]
    assert made[1:] == [row for row in stored if [row[0], row[2]] == scores[-1][:2]]
    with open(results / "photographs_curves.csv", newline="") as file:
        curves = {tuple(r[:4]): r[4].split() for r in csv.reader(file)}
    for network, method, fill, measure, mean, *_ in stored[1:]:
        curve = [float(v) for v in curves[network, method, fill, measure]]
        assert sum(curve) / len(curve) == pytest.approx(float(mean), abs=2e-5)


def test_a_second_run_adds_only_pictures_that_are_not_stored(tmp_path, monkeypatch):
    import photographs

    def write(path, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows(rows)

    def part(first, pictures):
        for method in photographs.METHODS:
            rows = [[f"{k:03}_{p}", "mean", "lerf", c] for k, (p, c) in enumerate(pictures.items())]
            path = tmp_path / "kept" / "some-mean-2.parts" / f"{first:06}-{method}.csv"
            write(path, [["picture", "fill", "measure", "curve"], *rows])

    monkeypatch.setattr(photographs, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(photographs, "DATA", tmp_path)
    results = tmp_path / "results"
    methods = len(photographs.METHODS)
    stored = [["some", "mean", "lerf", p, *[v] * methods] for p, v in (("a", "1"), ("b", "2"))]
    write(results / "photographs_scores.csv", [photographs.SCORES, *stored])
    curves = [["some", m, "mean", "lerf", "1.5 1.5"] for m in photographs.METHODS]
    write(results / "photographs_curves.csv", [photographs.CURVES, *curves])
    part(0, {"b": "7 7", "c": "3 6"})  # b is stored: only c is new
    for _ in range(2):  # what is added is not added again
        photographs.table()
        with open(results / "photographs_scores.csv", newline="") as file:
            assert [row[3:5] for row in csv.reader(file)][1:] == [
                ["a", "1"],
                ["b", "2"],
                ["c", "4.50000"],
            ]
        with open(results / "photographs_curves.csv", newline="") as file:
            assert {row[4] for row in list(csv.reader(file))[1:]} == {"2.00000 3.00000"}
        with open(results / "photographs.csv", newline="") as file:
            assert {row["mean"] for row in csv.DictReader(file)} == {"2.500000"}
    write(results / "photographs_curves.csv", [["other", "columns"]])
    with pytest.raises(SystemExit, match="other columns"):
        photographs.table()
