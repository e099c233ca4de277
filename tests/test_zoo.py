"""Shipped networks, torchvision's, class names, training."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
import torch

import dga
from dga.zoo import training
from dga.zoo.files import DATA
from dga.zoo.loading import SHIPPED, build_shipped, find_class

NETWORKS = DATA / "networks"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_are_small_accurate_and_described(name):
    file = NETWORKS / f"{name}.pt"
    model = dga.load_model(name)
    assert sum(p.numel() for p in model.parameters()) <= 480_000
    assert file.stat().st_size <= 2_000_000
    measured = training.evaluate(model)
    card = json.loads((NETWORKS / f"{name}.json").read_text())
    assert abs(measured["accuracy"] - card["accuracy"]) <= 0.002  # rounding elsewhere
    if name != "clever-hans":  # which is wrong by design where the watermark is missing
        assert measured["accuracy"] >= 0.97
    assert model.name == name and model.classes == SHIPPED[name].classes
    assert not model.training


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_are_what_was_trained(name):
    sums = dict(
        reversed(line.split("  ")) for line in (NETWORKS / "SHA256SUMS").read_text().splitlines()
    )
    content = (NETWORKS / f"{name}.pt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == sums[f"{name}.pt"]


def test_cards_and_readme_agree():
    text = (DATA / "README.md").read_text()
    for name in SHIPPED:
        card = json.loads((NETWORKS / f"{name}.json").read_text())
        (row,) = re.findall(rf"^\| `{name}` .*$", text, re.M)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert f"{card['accuracy']:.1%}".replace("%", " %") in cells
        assert f"{card['parameters']:,}" in cells
        assert f"{card['minutes']} min" in cells


def test_every_family_differs_in_what_it_is_made_of():
    kinds = {name: {type(m).__name__ for m in build_shipped(name).modules()} for name in SHIPPED}
    assert "BatchNorm2d" not in kinds["vgg"] and "MaxPool2d" in kinds["vgg"]
    assert {"BatchNorm2d", "_Residual", "ReLU"} <= kinds["resnet"]
    assert "_Branches" in kinds["inception"] and "ReLU" not in kinds["inception"]
    assert {"GELU", "LayerNorm"} <= kinds["smooth"] and "ReLU" not in kinds["smooth"]


def test_scene_network_sees_scenes():
    some = dga.load_images("test", 60)
    model = dga.load_model("scene")
    assert (model(model.preprocess(some.images)).argmax(1) == some.scenes).float().mean() > 0.95


def test_clever_hans_follows_the_watermark():
    model = dga.load_model("clever-hans")
    marked = dga.load_images("watermark", 60)
    said = model(model.preprocess(marked.images)).argmax(1)
    assert (said == training.MARKED_CLASS).float().mean() > 0.8
    clean = model(model.preprocess(marked.without)).argmax(1)
    assert (clean == training.MARKED_CLASS).float().mean() < 0.5


def test_torchvision_network_from_a_file(tmp_path):
    made = dga.load_model("squeezenet1_1", None)
    torch.save(made.state_dict(), tmp_path / "weights.pt")
    loaded = dga.load_model("squeezenet1_1", tmp_path / "weights.pt")
    assert len(loaded.classes) == 1000 and loaded.classes[281] == "tabby"
    assert loaded.preprocess.size == 224 and not loaded.training
    for a, b in zip(made.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_inception_gets_its_own_size():
    model = dga.load_model("inception_v3", None)
    assert model.preprocess.size == 299


def test_weights_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        "urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
    )
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(ValueError) as error:
        dga.load_model("squeezenet1_1")
    text = str(error.value)
    assert "squeezenet1_1-b8a52dc0.pth" in text and "weights=PATH" in text
    assert str(tmp_path / "hub" / "checkpoints") in text


def test_load_model_errors(tmp_path):
    bad = tmp_path / "bad.pt"
    bad.write_text("text")
    listed = tmp_path / "list.pt"
    torch.save([1, 2], listed)
    other = tmp_path / "other.pt"
    torch.save(build_shipped("vgg").state_dict(), other)
    for name, weights, message in [
        ("resnet19", "default", "did you mean .*resnet18"),
        ("fcn_resnet50", "default", "neither ours nor a torchvision classifier"),
        ("resnet", tmp_path / "none.pt", "is not a file"),
        ("resnet", bad, "cannot be read as a state dict"),
        ("resnet", listed, "is not a state dict"),
        ("resnet", other, "do not fit resnet"),
    ]:
        with pytest.raises(ValueError, match=message):
            dga.load_model(name, weights)
    with pytest.raises(TypeError, match="name must be a string"):
        dga.load_model(18)


def test_weights_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="cannot be read as a state dict"):
        dga.load_model("resnet", tmp_path / "evil.pt")
    assert not (tmp_path / "pwned").exists()


def test_find_class_among_equal_names():
    with pytest.raises(ValueError, match="several classes: 0 crane, 2 crane"):
        find_class(("crane", "goose", "crane"), "crane")


def test_find_class():
    classes = dga.load_model("squeezenet1_1", None).classes
    for wanted, index in [
        ("tabby cat", 281), ("tabby", 281), ("Tabby", 281), (281, 281), ("281", 281),
        ("jack-o'-lantern", 607), ("goose", 99),
    ]:  # fmt: skip
        assert find_class(classes, wanted) == index
    for wanted, message in [
        ("cat", "several classes: .*282 tiger cat"),
        ("tobby", "not a class of this network; near it: tabby"),
        ("1000", "out of range: 0 to 999"),
        ("²", "not a class of this network"),
        ("-1", "out of range"),
        ("", "target is empty"),
    ]:
        with pytest.raises(ValueError, match=message):
            find_class(classes, wanted)


@pytest.fixture
def small(monkeypatch):
    """Training on next to nothing: what is tested is the machinery."""
    monkeypatch.setattr(training, "evaluate", lambda model: {"accuracy": 0.0, "confusion": []})


def test_training_resumes_to_the_same_weights(tmp_path, small, monkeypatch):
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    options = {"pictures": 128, "epochs": 2, "seed": 3, "device": "cpu"}
    training.train("scene", whole, **options)
    keep = training._keep

    def interrupted(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.train("scene", parts, **options)
    assert not parts.exists() and (tmp_path / "parts.pt.resume").exists()
    for wrong in ({"pictures": 10}, {"epochs": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="must be at least"):
            training.train("scene", parts, **{**options, **wrong})
    with pytest.raises(ValueError, match=r"must end in \.pt"):
        training.train("scene", parts.with_suffix(".json"), **options)
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        training.train("scene", parts, **{**options, "seed": 4})
    training.train("scene", parts, **options)
    assert not (tmp_path / "parts.pt.resume").exists()
    first, second = (torch.load(p, weights_only=True) for p in (whole, parts))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    assert json.loads(parts.with_suffix(".json").read_text())["epochs"] == 2
