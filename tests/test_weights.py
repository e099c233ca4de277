"""Weights as programs and networks leave them: damaged, of another network, not to be had."""

from __future__ import annotations

import io
import random
import ssl
import urllib.error

import pytest
import torch
from torch import nn

import dga
from dga.zoo.checkpoints import load_state, read_state


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 5))


def load(path, model=None):
    model = model or tiny()
    load_state(model, read_state(path), f"weights {str(path)!r}", "tiny")
    return model


def refused(path, model=None):
    with pytest.raises(ValueError) as error:
        load(path, model)
    told = str(error.value)
    assert told.startswith(f"weights {str(path)!r}") and "\n" not in told
    return told.removeprefix(f"weights {str(path)!r} ")


@pytest.mark.parametrize(
    "first", ["", "module.", "_orig_mod.", "model.", "module._orig_mod.model."]
)
@pytest.mark.parametrize(
    ("kind", "nested"), [("pt", None), ("pt", "state_dict"), ("pt", "model"), ("safetensors", None)]
)
def test_prefixes_and_nesting(first, nested, kind, tmp_path):
    path = tmp_path / f"mine.{kind}"
    state = {first + key: value + 1 for key, value in tiny().state_dict().items()}
    if kind == "pt":
        torch.save({nested: state, "epoch": 3} if nested else state, path)
    else:
        pytest.importorskip("safetensors.torch").save_file(state, path)
    for (key, mine), value in zip(load(path).state_dict().items(), state.values(), strict=True):
        assert torch.equal(mine, value), key


def test_a_whole_pickled_model_is_refused_with_advice(tmp_path):
    torch.save(tiny(), tmp_path / "whole.pt")
    told = refused(tmp_path / "whole.pt")
    assert "whole pickled model or other objects (torch.nn.modules.container.Sequential)" in told
    assert "save model.state_dict() alone" in told


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_model_is_refused_with_advice(tmp_path):
    torch.jit.script(tiny().eval()).save(tmp_path / "scripted.pt")
    assert "TorchScript archive; save model.state_dict()" in refused(tmp_path / "scripted.pt")


def test_another_number_of_classes_is_said_in_classes(tmp_path):
    torch.save(nn.Sequential(*list(tiny())[:3], nn.Linear(4, 37)).state_dict(), tmp_path / "a.pt")
    assert refused(tmp_path / "a.pt").startswith("do not fit tiny: they are for 37 classes, not 5")
    made = dga.load_model("squeezenet1_1", None).state_dict()
    for key in ("classifier.1.weight", "classifier.1.bias"):
        made[key] = made[key][:200]
    torch.save(made, tmp_path / "b.pt")
    with pytest.raises(ValueError, match="squeezenet1_1: they are for 200 classes, not 1000"):
        dga.load_model("squeezenet1_1", tmp_path / "b.pt")


def test_another_network_is_told_by_what_the_file_holds(tmp_path):
    torch.save(dga.load_model("resnet18", None).state_dict(), tmp_path / "a.pt")
    told = refused(tmp_path / "a.pt")
    assert "they are of another network, 122 tensors (conv1.weight (64, 3, 7, 7)," in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({0: torch.zeros(2), 1: torch.zeros(2)}, "its names are of type int"),
        ({"a": torch.zeros(2), "epoch": 3}, "it holds epoch (int)"),
        ({"a\nb\u2028": 3}, r"it holds a\nb\u2028 (int)"),
        ({"a\nb": torch.zeros(2)}, r"1 tensors (a\nb (2,))"),
        ([torch.zeros(2)], "it holds a list"),
        (torch.zeros(2), "it holds a Tensor"),
        ({}, "it is empty"),
        ({"state_dict": {}}, "it is empty"),
    ],
)
def test_what_does_not_fit_is_told_by_what_it_holds(content, message, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    assert message in refused(tmp_path / "a.pt")


def test_a_dict_that_holds_itself_ends(tmp_path):
    inner: dict = {}
    inner["model"] = inner
    torch.save(inner, tmp_path / "a.pt")
    assert "is not a state dict" in refused(tmp_path / "a.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(value, tmp_path):
    state = tiny().state_dict()
    state["3.weight"][2, 1] = value
    torch.save(state, tmp_path / "a.pt")
    model = tiny()
    assert refused(tmp_path / "a.pt", model) == "are broken: 3.weight hold NaN or infinite values"
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), tiny().parameters(), strict=True)
    )


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(
    "change",
    [lambda v: v.mul(100).to(torch.int8), lambda v: v.to_sparse(), lambda v: v.to("meta")],
    ids=["integers", "sparse", "without values"],
)
def test_tensors_of_another_kind_are_refused(change, tmp_path):
    state = tiny().state_dict()
    state["3.weight"] = change(state["3.weight"])
    torch.save(state, tmp_path / "a.pt")
    assert "do not fit tiny" in refused(tmp_path / "a.pt")


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    torch.save(dga.load_model("vgg").state_dict(), tmp_path / "a.pt")
    assert dga.load_model("vgg", "~/a.pt").name == "vgg"
    with pytest.raises(ValueError, match=r"weights '~/b\.pt' is not a file"):
        dga.load_model("vgg", "~/b.pt")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Torch's cache, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    reach(monkeypatch, urllib.error.URLError(OSError("Name or service not known")))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def reach(monkeypatch, error):
    def urlopen(*_, **__):
        raise error

    monkeypatch.setattr("torch.hub.urlopen", urlopen)


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", "half", "flipped"])
def test_a_damaged_file_in_the_cache_is_to_be_deleted(content, cache):
    file = cache / "squeezenet1_1-b8a52dc0.pth"
    if isinstance(content, str):
        torch.save(dga.load_model("squeezenet1_1", None).state_dict(), file)
        whole = file.read_bytes()
        middle = len(whole) // 2
        content = whole[:middle] + (b"" if content == "half" else bytes(5000) + whole[middle:])
    file.write_bytes(content)
    with pytest.raises(ValueError) as error:
        dga.load_model("squeezenet1_1")
    expected = f"weights of squeezenet1_1: {str(file)!r} is damaged: delete it, and load it again"
    assert str(error.value) == expected
    assert file.read_bytes() == content, "it is for its owner to delete"


def test_a_sound_file_in_the_cache_needs_no_network(cache):
    made = dga.load_model("squeezenet1_1", None)
    torch.save(made.state_dict(), cache / "squeezenet1_1-b8a52dc0.pth")
    loaded = dga.load_model("squeezenet1_1")
    assert torch.equal(loaded.features[0].weight, made.features[0].weight)


def test_what_is_downloaded_is_compared_with_its_sum(cache, monkeypatch):
    class Answer(io.BytesIO):
        def info(self):
            return self

        def get_all(self, _):
            return ["5"]

    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: Answer(b"wrong"))
    with pytest.raises(ValueError, match=r"could not be downloaded \(invalid hash value"):
        dga.load_model("squeezenet1_1")
    assert not list(cache.iterdir())


def test_certificates_are_told_from_no_network(cache, monkeypatch):
    with pytest.raises(ValueError, match=r"could not be downloaded \(.*not known") as error:
        dga.load_model("squeezenet1_1")
    assert "not trusted" not in str(error.value) and "weights=PATH" in str(error.value)
    wrong = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    reach(monkeypatch, urllib.error.URLError(wrong))
    with pytest.raises(ValueError, match="certificate is not trusted here") as error:
        dga.load_model("squeezenet1_1")
    assert "SSL_CERT_FILE" in str(error.value) and "weights=PATH" in str(error.value)


def test_timms_damaged_file_and_certificates(monkeypatch, tmp_path):
    timm = pytest.importorskip("timm")
    create, kept = timm.create_model, str(tmp_path / "model.safetensors")

    def failing(error):
        def made(name, pretrained=False):
            if pretrained:
                raise error
            return create(name)

        monkeypatch.setattr(timm, "create_model", made)

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: kept)
    failing(RuntimeError("Error while deserializing header"))
    with pytest.raises(ValueError, match=r"model\.safetensors' is damaged: delete it"):
        dga.load_model("timm/resnet18")
    failing(OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    with pytest.raises(ValueError, match="certificate is not trusted here"):
        dga.load_model("timm/resnet18")


def test_densenets_file_has_older_names(cache):
    made = dga.load_model("densenet121", None).state_dict()
    old = {
        key.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1")
        .replace("conv2", "conv.2") if "denselayer" in key else key: value
        for key, value in made.items()
    }  # fmt: skip
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, cache / "densenet121-a639ec97.pth")
    loaded = dga.load_model("densenet121").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in made.items())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_files_are_loaded_or_refused_by_name(tmp_path):
    """Bytes changed in every part of a file, also in what `weights_only` interprets."""
    rng, files = random.Random(0), {}
    for name, content, options in (
        ("zip.pt", tiny().state_dict(), {}),
        ("old.pth", tiny().state_dict(), {"_use_new_zipfile_serialization": False}),
        ("nested.ckpt", {"epoch": 3, "state_dict": tiny().state_dict()}, {}),
    ):
        torch.save(content, tmp_path / name, **options)
        files[name] = (tmp_path / name).read_bytes()
    safetensors = pytest.importorskip("safetensors.torch")
    files["a.safetensors"] = safetensors.save(tiny().state_dict())
    loaded = failed = 0
    for _ in range(60):
        for name, content in files.items():
            changed = bytearray(content)
            for _ in range(rng.choice((1, 2, 8))):
                near = min(len(changed), rng.choice((900, len(changed))))
                changed[rng.randrange(near)] = rng.choice((0, 1, 255, rng.randrange(256)))
            (tmp_path / name).write_bytes(changed)
            try:
                model = load(tmp_path / name)
                assert all(value.isfinite().all() for value in model.state_dict().values())
                loaded += 1
            except ValueError as error:
                assert str(tmp_path / name) in str(error) and "\n" not in str(error)
                failed += 1
    assert loaded > 10 and failed > 100
