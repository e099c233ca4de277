"""Table 1 on a folder: the same numbers in memory and from a folder, resume, bad input."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil

import pytest
import torch
from networks import build, picture
from PIL import Image
from torch import nn

import dga
from dga import controls, metrics, significance
from dga.__main__ import main
from dga.experiments import class_activation, comparison, evaluation
from dga.experiments.evaluation import CONTROLS, evaluate_folder, perturbation_scores
from dga.zoo.files import alone_in
from dga.zoo.preprocessing import resize_and_crop

METHODS = ("random", "gi", "dga")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven pictures in two subfolders, and a file that is not a picture."""
    path = tmp_path_factory.mktemp("pictures")
    pictures = dga.load_images("test", 7)
    for k, image in enumerate(pictures.images):
        (path / f"part{k // 4}").mkdir(exist_ok=True)
        Image.fromarray(image).save(path / f"part{k // 4}" / f"{k}.png")
    (path / "notes.txt").write_text("not a picture")
    return path


def small(name="cnn"):
    """A network for pictures of 16 x 16, so that runs take seconds."""
    network = build(name).float()
    network.preprocess = resize_and_crop(16, 16, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    return network


@pytest.fixture(scope="module")
def model():
    return small()


def read(path):
    return list(csv.DictReader(path.open()))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_gives_what_memory_gives(folder, model, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "_FEWEST", 7)
    fills = ("mean", "blur")
    results = evaluate_folder(
        model, folder, tmp_path / "t.csv", methods=METHODS, batch=3, fills=fills
    )
    x = model.preprocess(dga.load_images("test", 7).images)
    for fill in fills:
        same = perturbation_scores(model, x, METHODS, batch=3, fill=fill)
        for name, order in itertools.product(METHODS, ("lerf", "morf")):
            torch.testing.assert_close(
                results[name, fill, order], same[name][order].double(), rtol=1e-4, atol=1e-5
            )
    rows = read(tmp_path / "t.csv")
    assert len(rows) == 3 * 2 * 4
    values = results["gi", "blur", "lerf"]
    mean, low, high = metrics.bootstrap_interval(values)
    (row,) = [r for r in rows if (r["method"], r["fill"], r["measure"]) == ("gi", "blur", "lerf")]
    assert float(row["mean"]) == pytest.approx(mean.item(), abs=1e-5)
    gaps = {
        key: metrics.bootstrap_interval(results["dga", key[1], key[2]] - scores)
        for key, scores in results.items() if key[0] != "dga"
    }  # fmt: skip
    together = significance.holm_intervals([tuple(map(float, gap)) for gap in gaps.values()])
    pair = dict(zip(gaps, together, strict=True))["gi", "blur", "lerf"]
    for key, value in zip(("dga_minus", "dga_minus_low", "dga_minus_high"), pair, strict=True):
        assert float(row[key]) == pytest.approx(value, abs=1e-5)
    text = (tmp_path / "t.md").read_text()
    assert f"| Gradient*Input | {mean:.3f} [{low:.3f}, {high:.3f}]" in text.split("blur")[1]
    assert "Holm's correction for 16 comparisons" in text


def test_stored_curves_are_those_of_the_measures(folder, model, tmp_path):
    evaluate_folder(model, folder, tmp_path / "t.csv", methods=("gi",), limit=2, fills=("linear",))
    rows = read(tmp_path / "t.parts" / "000000-gi.csv")
    assert [row["measure"] for row in rows] == 2 * list(evaluation.MEASURES)
    x = model.preprocess(dga.load_images("test", 2).images)
    heat = dga.gradient_times_input(model, x)
    for row, (k, order, shares) in zip(
        rows, [(k, *m) for k in range(2) for m in evaluation.MEASURES.values()], strict=True
    ):
        stored = torch.tensor([float(value) for value in row["curve"].split()])
        expected = dga.pixel_perturbation(
            model, x, heat, None, order, shares=shares, fill="linear"
        )[k]
        torch.testing.assert_close(stored, expected, rtol=1e-4, atol=1e-4)
        assert row["picture"] == f"part0/{k}.png" and row["fill"] == "linear"
        assert int(row["target"]) == model(x).argmax(1)[k]


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
            gone[:, :, order[: round(share / 10 * 256)]] = 0
            curve.append(model(gone.view_as(one)).softmax(1)[0, target].item())
        assert scores[k].item() == pytest.approx(sum(curve) / 11, abs=1e-5)


def counting(monkeypatch, stop_after=None, error=KeyboardInterrupt):
    """Notes which units are computed; interrupts after so many."""
    done, plain = [], evaluation.attribute

    def attribute(name, *args, first=0):
        if len(done) == stop_after:
            raise error
        done.append((name, first))
        return plain(name, *args, first=first)

    monkeypatch.setattr(evaluation, "attribute", attribute)
    return done


@pytest.mark.parametrize("after", [0, 1, 4, 8])
def test_interrupted_and_resumed_gives_the_same_bytes(folder, model, tmp_path, monkeypatch, after):
    evaluate_folder(model, folder, tmp_path / "whole.csv", methods=METHODS, batch=3)
    output = tmp_path / "t.csv"
    with monkeypatch.context() as patch:
        done = counting(patch, after)
        with pytest.raises(KeyboardInterrupt):
            evaluate_folder(model, folder, output, methods=METHODS, batch=3)
    assert not output.exists() and len(done) == after
    with monkeypatch.context() as patch:
        rest = counting(patch)
        evaluate_folder(model, folder, output, methods=METHODS, batch=3)
        assert sorted(done + rest) == sorted((m, b) for m in METHODS for b in (0, 3, 6))
        rest.clear()
        evaluate_folder(model, folder, output, methods=METHODS, batch=3)
        assert rest == []
    assert contents(tmp_path / "t.parts") == contents(tmp_path / "whole.parts")
    for end in (".csv", ".md"):
        same = (tmp_path / f"whole{end}").read_bytes()
        assert output.with_suffix(end).read_bytes() == same
    with monkeypatch.context() as patch:
        more = counting(patch)
        evaluate_folder(model, folder, output, methods=(*METHODS, "g"), batch=3)
        assert {name for name, _ in more} == {"g"}


def test_a_file_that_was_being_written_is_not_taken_for_finished(folder, model, tmp_path):
    output = tmp_path / "t.csv"
    evaluate_folder(model, folder, output, methods=("gi",), batch=4)
    file = output.with_suffix(".parts") / "000004-gi.csv"
    content = file.read_bytes()
    file.rename(file.with_name(f".{file.name}.123.part"))
    evaluate_folder(model, folder, output, methods=("gi",), batch=4)
    assert file.read_bytes() == content


def changed_weights(model):
    other = small()
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    return other


def changed_buffer(model):
    other = small("residual")
    next(b for n, b in other.named_buffers() if "running_mean" in n)[0] += 1
    return other


def prepared_otherwise(model):
    other, plain = small(), model.preprocess
    other.preprocess = lambda photo: plain(photo) * 1.01
    return other


@pytest.mark.parametrize(
    ("what", "change", "options"),
    [
        ("weights", changed_weights, {}),
        ("weights", changed_buffer, {}),
        ("network", lambda m: small("residual"), {}),
        ("preprocessing", prepared_otherwise, {}),
        ("precision", lambda m: small().double(), {}),
        ("precision", None, {"precision": "bfloat16"}),
        ("batch", None, {"batch": 2}),
        ("fills", None, {"fills": ("mean", "blur")}),
        ("seed", None, {"seed": 1}),
        ("pictures", None, {"limit": 1}),
        ("dga", None, {"version": "9"}),
    ],
)
def test_other_settings_are_named_and_not_mixed(
    folder, model, tmp_path, monkeypatch, what, change, options
):
    given = {"methods": ("random",), "limit": 2}
    base = small("residual") if change is changed_buffer else model
    evaluate_folder(base, folder, tmp_path / "t.csv", **given)
    before = contents(tmp_path / "t.parts")
    monkeypatch.setattr(evaluation, "__version__", options.pop("version", dga.__version__))
    with dga.precision(options.pop("precision", None)):
        with pytest.raises(ValueError, match=f"was made with other settings.*{what} "):
            evaluate_folder(
                change(model) if change else model, folder, tmp_path / "t.csv", **given | options
            )
    assert contents(tmp_path / "t.parts") == before


def test_other_contents_of_a_picture_are_noticed(folder, model, tmp_path):
    mine = tmp_path / "pictures"
    shutil.copytree(folder, mine)
    evaluate_folder(model, mine, tmp_path / "t.csv", methods=("random",))
    Image.fromarray(dga.load_images("test", 9).images[8]).save(mine / "part0" / "1.png")
    with pytest.raises(ValueError, match="other settings: contents "):
        evaluate_folder(model, mine, tmp_path / "t.csv", methods=("random",))


def test_a_method_that_does_not_fit_and_a_picture_that_cannot_be_read(folder, tmp_path):
    smooth = dga.load_model("smooth")
    broken = tmp_path / "pictures"
    broken.mkdir()
    for k in range(2):
        Image.open(folder / "part0" / f"{k}.png").save(broken / f"{k}.png")
    (broken / "1b.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning) as warned:
        results = evaluate_folder(smooth, broken, tmp_path / "t.csv", methods=("fg", "gi", "g"))
    said = " ".join(str(w.message) for w in warned)
    assert "FullGrad is left out: layer '3'" in said and "1b.png" in said
    assert {name for name, *_ in results} == {"gi", "g"}
    assert {len(values) for values in results.values()} == {2}
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no method fits"):
        evaluate_folder(smooth, broken, tmp_path / "u.csv", methods=("fg",))
    for k in range(2):
        (broken / f"{k}.png").unlink()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no picture that can be read"):
        evaluate_folder(smooth, broken, tmp_path / "v.csv", methods=("gi",))


def test_a_later_error_stops_the_run_and_names_method_and_pictures(
    folder, model, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        counting(patch, 5, ValueError("out of luck"))
        with pytest.raises(RuntimeError) as error:
            evaluate_folder(model, folder, tmp_path / "t.csv", methods=METHODS, batch=3)
    said = str(error.value)
    assert "DGA failed on pictures 3 to 5 (part0/3.png to part1/5.png): out of luck" in said
    kept = sorted(contents(tmp_path / "t.parts"))
    assert kept == ["000000-dga.csv", "000000-gi.csv", "000000-random.csv", "000003-gi.csv",
                    "000003-random.csv", "settings.json"]  # fmt: skip
    assert "t.parts" in said and not (tmp_path / "t.csv").exists()


def copied(folder, to):
    """The seven pictures in one folder, of which one is broken."""
    to.mkdir()
    for path in sorted(folder.rglob("*.png")):
        shutil.copy(path, to)
    (to / "2.png").write_bytes((to / "2.png").read_bytes()[:99])
    return to


def test_a_repaired_picture_gets_its_turn_and_the_count_is_said_every_time(
    folder, model, tmp_path, monkeypatch
):
    broken, output = copied(folder, tmp_path / "pictures"), tmp_path / "t.csv"
    given = {"methods": METHODS[:2], "batch": 3}
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"6 of 7 pictures, without 2\.png") as warned:
            evaluate_folder(model, broken, output, **given)
        assert any("left out: photo" in str(w.message) for w in warned)
        assert {row["pictures"] for row in read(output)} == {"6"}
        assert "\n6 of 7 pictures, without 2.png.\n" in (tmp_path / "t.md").read_text()
    shutil.copy(folder / "part0" / "2.png", broken)
    done = counting(monkeypatch)
    evaluate_folder(model, broken, output, **given)
    assert sorted(done) == [("gi", 0), ("random", 0)]  # its batch alone
    evaluate_folder(model, broken, tmp_path / "fresh.csv", **given)
    assert contents(tmp_path / "t.parts") == contents(tmp_path / "fresh.parts")
    assert output.read_bytes() == (tmp_path / "fresh.csv").read_bytes()
    assert (tmp_path / "t.md").read_bytes() == (tmp_path / "fresh.md").read_bytes()


def test_a_method_added_after_a_repair_is_compared_on_the_same_pictures(folder, model, tmp_path):
    broken, output = copied(folder, tmp_path / "pictures"), tmp_path / "t.csv"
    with pytest.warns(UserWarning, match="6 of 7"):
        evaluate_folder(model, broken, output, methods=("random",), batch=3)
    shutil.copy(folder / "part0" / "2.png", broken)
    results = evaluate_folder(model, broken, output, methods=("random", "gi"), batch=3)
    assert {len(values) for values in results.values()} == {7}


def rename(folder):
    (folder / "0.png").rename(folder / "00.png")


def swap(folder):
    first, second = ((folder / name).read_bytes() for name in ("0.png", "1.png"))
    (folder / "0.png").write_bytes(second)
    (folder / "1.png").write_bytes(first)


def exchange(folder):
    shutil.copy(folder / "1.png", folder / "9.png")
    (folder / "0.png").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename, "contents 0.png not there any more; contents 00.png new"),
        (swap, "contents 0.png, 1.png changed"),
        (lambda f: shutil.copy(f / "1.png", f / "9.png"), "pictures 7, now 8; contents 9.png new"),
        (lambda f: (f / "5.png").unlink(), "pictures 7, now 6; contents 5.png not there"),
        (exchange, "contents 0.png not there any more; contents 9.png new"),
    ],
)
def test_no_score_of_another_picture_is_used(folder, model, tmp_path, change, said):
    mine, output = copied(folder, tmp_path / "pictures"), tmp_path / "t.csv"
    with pytest.warns(UserWarning):
        evaluate_folder(model, mine, output, methods=("random",))
    before = contents(tmp_path / "t.parts")
    change(mine)
    with pytest.raises(ValueError, match="was made with other settings") as error:
        evaluate_folder(model, mine, output, methods=("random",))
    assert said in str(error.value) and contents(tmp_path / "t.parts") == before


def test_parts_of_an_earlier_version_are_read(folder, model, tmp_path, monkeypatch):
    """Before digests of single files were kept, settings.json had none."""
    evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",))
    file = tmp_path / "t.parts" / "settings.json"
    old = json.loads(file.read_text())
    assert len(old.pop("files")) == 7
    file.write_text(json.dumps(old))
    done = counting(monkeypatch)
    evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",))
    assert not done and len(json.loads(file.read_text())["files"]) == 7


@pytest.mark.parametrize("content", [b"", b"{", b"[]", None])
def test_settings_that_are_lost_are_named(folder, model, tmp_path, content):
    evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",))
    file = tmp_path / "t.parts" / "settings.json"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(ValueError, match=r"settings\.json is missing or damaged"):
        evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",))
    for unit in (tmp_path / "t.parts").glob("*-*"):  # without curves there is nothing to mix
        unit.unlink()
    evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",))


@pytest.mark.parametrize("damage", ["empty", "half", "twice", "a line less", "other", "NUL"])
def test_a_damaged_unit_is_computed_again(folder, model, tmp_path, monkeypatch, damage):
    given = {"methods": ("random", "gi"), "batch": 4}
    evaluate_folder(model, folder, tmp_path / "t.csv", **given)
    file = tmp_path / "t.parts" / "000004-gi.csv"
    content = file.read_bytes()
    lines = content.splitlines(keepends=True)
    file.write_bytes({
        "empty": b"", "half": content[: len(content) // 2 + 3], "twice": content + lines[1],
        "a line less": b"".join(lines[:-1]), "NUL": content.replace(b"0.", b"\0", 1),
        "other": content.replace(b"part1/4.png", b"part1/9.png"),
    }[damage])  # fmt: skip
    done = counting(monkeypatch)
    evaluate_folder(model, folder, tmp_path / "t.csv", **given)
    assert done == [("gi", 4)] and file.read_bytes() == content


@pytest.mark.parametrize("name", ["t.csv", "t.md", "t.parts"])
def test_a_file_of_another_kind_is_not_destroyed(folder, model, tmp_path, name):
    (tmp_path / name).write_bytes(b"name,age\n")
    with pytest.raises(ValueError, match=f"output.*{name}"):
        evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",))
    assert contents(tmp_path) == {name: b"name,age\n"}
    if name != "t.parts":
        (tmp_path / name).write_bytes(b"")  # an empty one was made for it
        evaluate_folder(model, folder, tmp_path / "t.csv", methods=("random",))


def test_names_of_any_bytes(model, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    names = ["caf\udce9.png", "a\rb.png", 'c\n"d.png', "e\u2028f.png", "g,h.png"]
    for name, image in zip(names, dga.load_images("test", 5).images, strict=True):
        Image.fromarray(image).save(tmp_path / "x.png")
        try:
            (tmp_path / "x.png").rename(pictures / name)
        except (OSError, UnicodeError):
            pytest.skip("this file system has no such names")
    for _ in range(2):
        results = evaluate_folder(model, pictures, tmp_path / "t.csv", methods=("random", "gi"))
        assert {len(values) for values in results.values()} == {5}


@pytest.mark.parametrize("begins", range(6))
def test_two_at_once_count_no_picture_twice(folder, model, tmp_path, monkeypatch, begins):
    """The second begins, and ends, while the first is at any of its units."""
    given = {"methods": ("random", "gi"), "batch": 3}
    evaluate_folder(model, folder, tmp_path / "one.csv", **given)
    output, calls, plain = tmp_path / "run[1].csv", itertools.count(), evaluation.attribute

    def attribute(*arguments, **options):
        if next(calls) == begins:
            evaluate_folder(model, folder, output, **given)
        return plain(*arguments, **options)

    monkeypatch.setattr(evaluation, "attribute", attribute)
    with pytest.warns(UserWarning, match=r"another evaluation is at work in .*counts once") as told:
        evaluate_folder(model, folder, output, **given)
    assert sum("another" in str(one.message) for one in told) == 1  # the second says it
    assert next(calls) == 7  # only the unit during which the second began is computed twice
    assert contents(tmp_path / "run[1].parts") == contents(tmp_path / "one.parts")
    assert output.read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert len(list(tmp_path.iterdir())) == 6  # nothing else is left


def test_a_second_one_begins_at_the_end_so_that_two_share_the_work(
    folder, model, tmp_path, monkeypatch
):
    output, taken, plain = tmp_path / "t.csv", [], evaluation.attribute
    evaluate_folder(model, folder, output, methods=("random",), batch=3)

    def attribute(method, *arguments, first=0, **options):
        taken.append((first, method))
        return plain(method, *arguments, first=first, **options)

    monkeypatch.setattr(evaluation, "attribute", attribute)
    with alone_in(tmp_path / "t.parts"), pytest.warns(UserWarning, match="begins at the end"):
        evaluate_folder(model, folder, output, methods=("random", "gi", "gbp"), batch=3)
    assert taken == [(start, name) for start in (6, 3, 0) for name in ("gi", "gbp")]


def test_other_settings_that_came_meanwhile_are_not_mixed(folder, model, tmp_path):
    """Both evaluations looked when there was nothing yet."""
    first = evaluation.Evaluation(model, folder, tmp_path / "t.csv", methods=("random",))
    second = evaluation.Evaluation(model, folder, tmp_path / "t.csv", methods=("random",), seed=1)
    first.run()
    before = contents(tmp_path / "t.parts")
    with pytest.raises(ValueError, match="was made with other settings: seed 0, now 1"):
        second.run()
    assert contents(tmp_path / "t.parts") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "t.md", "t.parts"]


def test_many_without_sysconf(model, monkeypatch):
    """As on Windows, where nothing tells how much memory there is."""
    monkeypatch.delattr(os, "sysconf")
    assert len(list(dga.attribute_many(dga.gradient, model, torch.rand(3, 3, 16, 16)))) == 3


def test_random_order_does_not_depend_on_the_batch(model):
    x = torch.zeros(4, 3, 8, 8)
    whole = evaluation.attribute("random", model, x)
    assert torch.equal(whole[2:], evaluation.attribute("random", model, x[2:], first=2))
    assert len(whole.unique()) > 700


# ----------------------------------------------------------------------------------------- controls


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_are_methods(name):
    if name == "gradcam":
        pytest.importorskip("captum")
    network, x = build("residual").float(), picture().float()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    heat = evaluation.attribute(name, network, x, 1)
    assert heat.shape == x.shape and heat.dtype == x.dtype and heat.isfinite().all()
    assert not heat.requires_grad and heat.flatten(1).std(1).min() > 0
    one = evaluation.attribute(name, network, x[1:2], 1, first=1)
    torch.testing.assert_close(one[0], heat[1], rtol=1e-3, atol=1e-4)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_default_device_of_the_user(folder, model, tmp_path):
    names = [name for name in CONTROLS if name != "gradcam"]
    x = model.preprocess(dga.load_images("test", 2).images)
    expected = [evaluation.attribute(name, model, x, 1) for name in names]
    evaluate_folder(model, folder, tmp_path / "one.csv", methods=METHODS, limit=2)
    torch.set_default_device("meta")
    try:
        got = [evaluation.attribute(name, model, x, 1) for name in names]
        evaluate_folder(model, folder, tmp_path / "two[1].csv", methods=METHODS, limit=2)
    finally:
        torch.set_default_device(None)
    assert all(map(torch.equal, got, expected))
    assert contents(tmp_path / "one.parts") == contents(tmp_path / "two[1].parts")


def test_dga_loop_with_both_parts_put_back_is_dga():
    network, x = build("residual"), picture()
    ours = controls._distilled(network, x, None, steps=6, epc_quantile=0.8)
    dga_itself = dga.distilled_gradient_aggregation(network, x, steps=6, epc_quantile=0.8)
    torch.testing.assert_close(ours, dga_itself)
    free = nn.Sequential(nn.Flatten(), nn.Linear(192, 8, bias=False), nn.ReLU(),
                         nn.Linear(8, 3, bias=False)).double()  # fmt: skip
    torch.testing.assert_close(  # no bias: x*g is Uniform FullGrad
        controls.dga_gradient_times_input(free, x, 1, steps=5),
        dga.distilled_gradient_aggregation(free, x, 1, steps=5),
    )
    other = controls.dga_gradient_times_input(network, x, steps=6, epc_quantile=0.8)
    assert not torch.allclose(other, ours)


def test_random_masks_have_the_sizes_of_dga_and_are_fresh_at_every_step():
    kept = []

    def network(inputs):
        kept.append(inputs.detach()[0].flatten() != 0)
        return inputs.flatten(1)[:, :3] * 2

    controls.dga_random_masks(network, picture(), 1, steps=4)
    x0, x1, x2, x3, x4 = kept[-5:]
    d = len(x0)
    # EPC keeps 9 of 10. WC keeps 1 - n/N, among them those that EPC takes: nothing stays away.
    assert x0.all() and x1.sum() == int(0.9 * d)
    assert x2.all() and x3.all()
    assert x4.all()  # step 3 weighs both masks
    draws = [controls._uniform(picture(), 0, n) for n in range(3)]
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[1], draws[2])


def test_edges_centre_and_blur_by_eye():
    step = torch.zeros(1, 3, 8, 8)
    step[..., 4:] = 1
    found = controls.edges(None, step)[0, 0]
    assert found[:, 3:5].min() == 4 and found[:, :3].max() == 0 == found[:, 5:].max()
    blob = controls.centre_blob(None, torch.zeros(1, 3, 5, 7))[0, 1]
    assert blob.argmax() == 2 * 7 + 3 and blob[2, 2] == blob[2, 4] == -1
    rough = controls.random_order(None, torch.zeros(1, 1, 40, 40))
    soft = controls.blurred_random(None, torch.zeros(1, 1, 40, 40))
    jumps = [(m.diff(dim=3).std() / m.std()).item() for m in (rough, soft)]
    assert jumps[1] < 0.6 < jumps[0]


def test_grad_cam_by_hand():
    """The mean gradient of every channel weights the last picture; class scores are not it."""
    pytest.importorskip("captum")
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    model = nn.Sequential(features, nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    heat = class_activation.grad_cam(model, x, 1)
    weights = model[1].weight[1, :, 0, 0] / 64  # gradient of the mean of a 1x1 convolution
    expected = (weights[:, None, None] * features(x)).sum(1, keepdim=True).expand_as(x)
    torch.testing.assert_close(heat, expected)


# --------------------------------------------------------------------------------------- statistics


def test_holm_intervals_by_hand():
    """Three intervals of half a width 1.96: the farthest gets 0.05 / 3, the next 0.05 / 2, ..."""
    given = [(2.5, 2.5 - 1.96, 2.5 + 1.96), (2.3, 2.3 - 1.96, 2.3 + 1.96), (0.1, -1.86, 2.06)]
    first, second, third = significance.holm_intervals(given)
    assert first == pytest.approx((2.5, 2.5 - 2.394, 2.5 + 2.394), abs=1e-3)
    assert second == pytest.approx((2.3, 2.3 - 2.241, 2.3 + 2.241), abs=1e-3)
    assert third == pytest.approx(given[2], abs=1e-3)
    # What comes after an interval that holds 0 holds it too, however narrow it was.
    missed = significance.holm_intervals([(v, v - 1.96, v + 1.96) for v in (2.1, 2.2, 9.0)])
    assert [low <= 0 <= high for _, low, high in missed] == [True, True, False]
    assert significance.holm_intervals([]) == []
    assert significance.holm_intervals([(0.0, 0.0, 0.0)]) == [(0.0, 0.0, 0.0)]


def test_holm_intervals_agree_with_holms_p_values():
    """An interval excludes 0 where Holm's corrected p-value of the same normal is below 0.05."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.distributions.Normal(0.0, 1.0)
    for _ in range(200):
        z = 2.5 * torch.randn(8, generator=generator).double()
        p = (2 * (1 - normal.cdf(z.abs()))).tolist()
        found = significance.holm_intervals(
            [(float(v), float(v) - 1.96, float(v) + 1.96) for v in z]
        )
        excluded = [not low <= 0 <= high for _, low, high in found]
        order = sorted(range(8), key=p.__getitem__)
        rejected = [False] * 8
        for passed, k in enumerate(order):
            if p[k] > 0.05 / (8 - passed):
                break
            rejected[k] = True
        assert excluded == rejected


def test_nothing_is_found_where_nothing_differs():
    """One in twenty tables of sixteen equal methods shows a difference, and not one in two."""
    z = torch.randn(2000, 16, generator=torch.Generator().manual_seed(0)).tolist()
    tables = [significance.holm_intervals([(v, v - 1.96, v + 1.96) for v in row]) for row in z]
    some = [any(not low <= 0 <= high for _, low, high in table) for table in tables]
    assert sum(some) / len(some) == pytest.approx(0.05, abs=0.015)


# ------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "nowhere"], "--images 'nowhere' is not a folder"),
        (["--images", "."], "--images '.' holds no pictures"),
        (["--images", "{folder}", "--output", "t.txt"], "--output 't.txt' must end in .csv"),
        (["--images", "{folder}", "--output", "no/t.csv"], "--output: the folder"),
        (["--images", "{folder}", "--limit", "0"], "--limit must be at least 1"),
        (["--images", "{folder}", "--batch", "0"], "--batch must be at least 1"),
        (["--images", "{folder}", "--methods", "gi", "gi"], "--methods must hold"),
        (["--images", "{folder}", "--fill", "blur", "blur"], "--fill must hold"),
        (["--images", "{folder}", "--fill", "grey"], "invalid choice: 'grey'"),
    ],
)
def test_bad_input_on_the_command_line(folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = [a.replace("{folder}", str(folder)) for a in arguments]
    try:
        code = main(["evaluate", "--model", "vgg", *given])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_library_speaks_of_its_own_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"^folder 'nowhere' is not a folder"):
        evaluation.find_pictures(type(tmp_path)("nowhere"))


def test_command_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "--model", "vgg", "--images", str(folder), "--methods", "random", "gi",
               "--device", "cpu"]  # fmt: skip
    assert main(command) == 0
    assert "| Gradient*Input | " in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (row,) = [r for r in read(tmp_path / "table.csv") if r["method"] == "gi"][:1]
    assert report["scores"]["gi"]["mean"]["lerf"][0] == pytest.approx(float(row["mean"]), abs=1e-6)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["table.csv", "table.md", "table.parts"]


def test_command_line_with_controls_and_fills(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dga.__main__.load_model", lambda *_: small())
    command = ["evaluate", "--model", "vgg", "--images", str(folder), "--methods", "dga", "random",
               "--limit", "2", "--controls", "--fill", "mean", "blur", "linear", "--device", "cpu",
               "--output", str(tmp_path / "t.csv")]  # fmt: skip
    assert main(command) == 0
    out = capsys.readouterr().out
    for name in CONTROLS:
        assert out.count(f"| {CONTROLS[name].label} |") == 3 or name == "gradcam"
    rows = read(tmp_path / "t.csv")
    assert {row["fill"] for row in rows} == {"mean", "blur", "linear"}
    assert {row["pictures"] for row in rows} == {"2"}


def test_a_network_of_other_layers_or_another_forward_does_not_go_on(tmp_path):
    """Weights are not all: these three have the same."""

    class Turned(nn.Sequential):
        def forward(self, x):
            return -super().forward(x)

    def network(kind, act):
        torch.manual_seed(0)
        model = kind(nn.Conv2d(3, 8, 3), act, nn.Flatten(), nn.Linear(8 * 36, 4)).eval()
        model.name, model.preprocess = "mine", resize_and_crop(8, 8, (0.5,) * 3, (0.2,) * 3)
        return model

    prints = [
        evaluation.fingerprint(network(kind, act))
        for kind, act in (
            (nn.Sequential, nn.ReLU()),
            (nn.Sequential, nn.ReLU()),
            (nn.Sequential, nn.LeakyReLU(0.1)),
            (nn.Sequential, nn.LeakyReLU(0.2)),
            (Turned, nn.ReLU()),
        )
    ]
    assert prints[0] == prints[1]
    assert all(a != b for a, b in itertools.combinations(prints[1:], 2))
    assert prints[4]["answers"] != prints[0]["answers"]


def test_nothing_is_compared_on_few_pictures_or_on_what_was_not_measured():
    def table(gi, dga_scores):
        return comparison.markdown(
            {("gi", "mean", "lerf"): gi, ("dga", "mean", "lerf"): dga_scores}, {}
        )

    few = torch.rand(9)
    assert "*" not in table(few, few + 0.1) and "fewer than 10" in table(few, few + 0.1)
    many = torch.rand(10)
    assert "]*" in table(many, many + 0.1)
    many[3] = float("nan")
    assert "]*" not in table(many, torch.rand(10))
    nan = float("nan")
    others = [(1.0, 0.4, 1.6), (0.5, 0.1, 0.9)]
    found = significance.holm_intervals([*others, (nan, nan, nan)])
    assert found[0].low > 0 and found[2].low != found[2].low
