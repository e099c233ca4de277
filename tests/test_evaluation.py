"""Table 1 on a folder: the same numbers in memory and from a folder, resume, bad input."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from PIL import Image

import dga
from dga import metrics
from dga.__main__ import main
from dga.experiments import evaluation
from dga.experiments.evaluation import evaluate_folder, perturbation_scores

METHODS = ("random", "gi", "dga")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven pictures in two subfolders, one of them no picture at all."""
    path = tmp_path_factory.mktemp("pictures")
    pictures = dga.load_images("test", 7)
    for k, image in enumerate(pictures.images):
        (path / f"part{k // 4}").mkdir(exist_ok=True)
        Image.fromarray(image).save(path / f"part{k // 4}" / f"{k}.png")
    (path / "notes.txt").write_text("not a picture")
    return path


@pytest.fixture(scope="module")
def model():
    return dga.load_model("vgg")


def read(path):
    return list(csv.DictReader(path.open()))


def test_a_folder_gives_what_memory_gives(folder, model, tmp_path):
    results = evaluate_folder(model, folder, tmp_path / "t.csv", methods=METHODS, batch=3)
    x = model.preprocess(dga.load_images("test", 7).images)
    same = perturbation_scores(model, x, METHODS, batch=3)
    for name in METHODS:
        for order in ("lerf", "morf"):
            torch.testing.assert_close(
                results[name][order], same[name][order].double(), rtol=1e-5, atol=1e-6
            )
    rows = read(tmp_path / "t.csv")
    assert [row["method"] for row in rows] == [m for m in METHODS for _ in range(2)]
    mean, low, high = metrics.bootstrap_interval(same["dga"]["lerf"])
    (row,) = [r for r in rows if (r["method"], r["order"]) == ("dga", "lerf")]
    assert float(row["mean"]) == pytest.approx(mean.item(), abs=1e-5)
    assert float(row["low"]) == pytest.approx(low.item(), abs=1e-5)
    assert f"| DGA | {mean:.3f} [{low:.3f}, {high:.3f}] |" in (tmp_path / "t.md").read_text()


def test_scores_against_a_loop_over_single_pictures(model):
    x = model.preprocess(dga.load_images("test", 3).images)
    scores = perturbation_scores(model, x, ("gi",), batch=2)["gi"]["lerf"]
    for k in range(3):
        one = x[k : k + 1]
        target = model(one).argmax(1)
        curve = []
        order = dga.gradient_times_input(model, one, target).sum(1).flatten().argsort()
        for share in range(11):
            gone = one.clone().flatten(2)
            gone[:, :, order[: round(share / 10 * 4096)]] = 0
            curve.append(model(gone.view_as(one)).softmax(1)[0, target].item())
        assert scores[k].item() == pytest.approx(sum(curve) / 11, abs=1e-5)


@pytest.mark.parametrize("cut", ["between units", "within a unit"])
def test_resume_computes_only_what_is_missing(folder, model, tmp_path, monkeypatch, cut):
    whole = evaluate_folder(model, folder, tmp_path / "whole.csv", methods=METHODS, batch=3)
    done, plain = [], evaluation.attribute

    def stops(name, *args, first, **kwargs):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append((name, first))
        return plain(name, *args, first=first, **kwargs)

    output = tmp_path / "t.csv"
    monkeypatch.setattr(evaluation, "attribute", stops)
    with pytest.raises(KeyboardInterrupt):
        evaluate_folder(model, folder, output, methods=METHODS, batch=3)
    assert not output.exists()
    log = tmp_path / "t.pictures.csv"
    if cut == "within a unit":  # the machine went down while the last block was written
        log.write_text(log.read_text()[:-20])
        done.pop()
    monkeypatch.setattr(
        evaluation,
        "attribute",
        lambda name, *a, first, **k: (
            done.append((name, first)) or plain(name, *a, first=first, **k)
        ),
    )
    results = evaluate_folder(model, folder, output, methods=METHODS, batch=3)
    assert sorted(done) == sorted((m, b) for m in METHODS for b in (0, 3, 6))  # nothing twice
    for name in METHODS:
        assert torch.equal(results[name]["lerf"], whole[name]["lerf"])
    assert output.read_text() == (tmp_path / "whole.csv").read_text()
    done.clear()
    evaluate_folder(model, folder, output, methods=(*METHODS, "g"), batch=3)  # one more method
    assert {name for name, _ in done} == {"g"}


def test_other_settings_are_not_mixed(folder, model, tmp_path):
    evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",), limit=2)
    before = (tmp_path / "t.pictures.csv").read_text()
    with pytest.raises(ValueError, match="was made with other settings"):
        evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",), limit=3)
    assert (tmp_path / "t.pictures.csv").read_text() == before


def test_a_method_that_does_not_fit_and_a_picture_that_cannot_be_read(folder, tmp_path):
    smooth = dga.load_model("smooth")
    broken = tmp_path / "pictures"
    broken.mkdir()
    for k in range(2):
        Image.open(folder / "part0" / f"{k}.png").save(broken / f"{k}.png")
    (broken / "1b.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning) as warned:
        results = evaluate_folder(smooth, broken, tmp_path / "t.csv", methods=("fg", "gi"))
    said = " ".join(str(w.message) for w in warned)
    assert "FullGrad is left out: layer '3'" in said and "1b.png" in said
    assert list(results) == ["gi"] and len(results["gi"]["lerf"]) == 2


def test_random_order_does_not_depend_on_the_batch(model):
    x = torch.zeros(4, 3, 8, 8)
    whole = evaluation.attribute("random", model, x)
    assert torch.equal(whole[2:], evaluation.attribute("random", model, x[2:], first=2))
    assert len(whole.unique()) > 700


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "nowhere"], "--images 'nowhere' is not a folder"),
        (["--images", "."], "holds no pictures"),
        (["--images", "{folder}", "--output", "t.txt"], "must end in .csv"),
        (["--images", "{folder}", "--output", "no/t.csv"], "does not exist"),
        (["--images", "{folder}", "--limit", "0"], "limit must be at least 1"),
        (["--images", "{folder}", "--methods", "gi", "gi"], "names one twice"),
    ],
)
def test_bad_input_on_the_command_line(folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = [a.replace("{folder}", str(folder)) for a in arguments]
    assert main(["evaluate", "--model", "vgg", *given]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_command_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "--model", "vgg", "--images", str(folder), "--methods", "random", "gi"]
    assert main(command) == 0
    assert "| Gradient*Input | " in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scores"]["gi"]["lerf"][0] == pytest.approx(
        float(read(tmp_path / "table.csv")[2]["mean"]), abs=1e-6
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "table.csv", "table.md", "table.pictures.csv",
    ]  # fmt: skip
