"""The explorers in a kernel: what a user's hand does is setting the value of a control."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

import dga
from dga.lessons import explorer as explorer_module
from dga.lessons import explorers

KINDS = {
    "explore_method": {"Picture": "3 car, desert", "Network": "vgg", "Class": 2, "Method": "ig"},
    "explore_noise": {"Noise": 0.1, "Picture": "3 car, desert"},
    "explore_path": {"Step": 20, "Baseline": "black", "Network": "smooth"},
    "explore_biases": {"Layer": 4, "Network": "vgg"},
    "explore_masks": {"Share": 0.8, "Quantile q": 0.5, "Step n": 3},
    "explore_distillation": {
        "Step n": 7,
        "Steps N": 9,
        "Quantile q": 0.5,
        "Masks": "weak",
        "beta": 0.5,
    },
    "explore_perturbation": {"Removed %": 20, "Method": "fg", "Order": "lerf"},
    "explore_methods": {"Top %": 30, "Picture": "3 car, desert", "Class": 1},
}


def picture(explorer) -> Image.Image:
    return Image.open(io.BytesIO(explorer.image.value))


@pytest.mark.parametrize("kind", KINDS)
def test_every_control_changes_the_picture(kind):
    explorer = getattr(explorers, kind)()
    assert picture(explorer).width > 400
    for name, value in KINDS[kind].items():
        before, text = explorer.image.value, explorer.text
        explorer.controls[name].value = value
        assert explorer.image.value != before, name
        assert explorer.text != text, name
    assert kind.removeprefix("explore_") in repr(explorer)
    assert len(repr(explorer)) <= 110  # ipywidgets cuts there
    assert all(control.description for control in explorer.controls.values())


def test_every_kind_is_tested():
    made = {
        name
        for name, value in vars(explorers).items()
        if callable(value) and getattr(value, "__annotations__", {}).get("return") == "Explorer"
    }
    assert made == set(KINDS)


@pytest.mark.parametrize("baseline", ["grey", "black"])
def test_the_path_ends_as_integrated_gradients(baseline):
    explorer = explorers.explore_path()
    explorer.controls["Baseline"].value = baseline
    explorer.controls["Step"].value = 31
    shown = explorer._shown
    start = shown.model.preprocess(np.zeros((64, 64, 3), np.uint8)) if baseline == "black" else None
    whole = dga.integrated_gradients(shown.model, shown.x, baseline=start)
    (known,) = [v for key, v in explorer._results.items() if baseline in key]
    torch.testing.assert_close(known[2][-1:], whole, rtol=1e-3, atol=1e-5)
    assert f"sum so far is {whole.sum():.2f}"[:-1] in explorer.text


def test_the_distillation_ends_as_dga():
    explorer = explorers.explore_distillation(picture=3)
    shown = explorer._shown
    ((_, positive, negative, score),) = explorer._results.values()
    plain = dga.distilled_gradient_aggregation(shown.model, shown.x)
    torch.testing.assert_close(positive[-1:], plain, rtol=1e-4, atol=1e-6)
    half = dga.distilled_gradient_aggregation(shown.model, shown.x, negative_scale=0.5)
    torch.testing.assert_close((positive + 0.5 * negative)[-1:], half, rtol=1e-4, atol=1e-6)
    assert len(score) == 31


def test_the_biases_add_up_to_the_score():
    explorer = explorers.explore_biases()
    explorer.controls["Layer"].value = 99  # clamped to the last one
    total, score = re.findall(r"= (-?[\d.]+), of a score of (-?[\d.]+)\.", explorer.text)[0]
    assert total == score


def test_the_noise_moves_nothing_at_zero():
    assert set(re.findall(r"([\d.]+) %", explorers.explore_noise().text)) == {"0.0"}


def test_fewer_steps_pull_the_step_along():
    explorer = explorers.explore_distillation()
    explorer.controls["Step n"].value = 25
    explorer.controls["Steps N"].value = 10
    assert explorer.controls["Step n"].value == 10
    assert explorer.text.startswith("Step 10 of 10")


def test_a_method_that_does_not_fit_says_so():
    explorer = explorers.explore_method(network="smooth", method="dga")
    explorer.controls["Method"].value = "fg"
    assert explorer.text.startswith("Not possible here: layer")
    explorer.controls["Method"].value = "ig"
    assert explorer.text.startswith("The network says")
    assert "Not possible on this network: Guided Backprop, FullGrad" in (
        explorers.explore_methods(network="smooth").text
    )


def photo(colour, kind="png"):
    buffer = io.BytesIO()
    Image.new("RGB", (90, 70), colour).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("version", [7, 8])
def test_a_photo_of_ones_own(version):
    explorer = explorers.explore_method()

    def upload(name, content):
        # What the front end sends, as ipywidgets 7 and 8 hand it on.
        new = (
            {name: {"metadata": {}, "content": content}}
            if version == 7
            else ({"name": name, "type": "image/png", "content": memoryview(content)},)
        )
        explorer._take_photo({"new": new})

    upload("mine.png", photo("red"))
    assert explorer.controls["Picture"].value == "mine.png"
    first = explorer.image.value
    upload("mine.png", photo("blue"))  # another one of the same name
    assert explorer.image.value != first
    known = explorer.image.value
    upload("notes.txt", b"no picture")
    assert "notes.txt" in explorer.text and "cannot be read" in explorer.text
    assert explorer.image.value == known
    explorer.controls["Picture"].value = "0 cat, meadow"
    assert "says cat" in explorer.text


def test_own_networks_and_pictures():
    model = dga.load_model("squeezenet1_1", None)
    photos = {"a wall": Image.new("RGB", (300, 240), "white")}
    explorer = explorers.explore_method("gi", networks={"mine": model}, pictures=photos)
    assert explorer.controls["Picture"].options == ("a wall",)
    assert len(explorer.controls["Class"].options) == 21  # of 1000, the best


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "alexnet"}, "network must be one of .*, got 'alexnet'"),
        ({"picture": 12}, "picture is 12, but there are 12"),
        ({"picture": -1}, "picture"),
        ({"method": "lime"}, "method must be one of .*, got 'lime'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        explorers.explore_method(**arguments)


def test_a_progress_bar_shows_only_while_it_takes_long(monkeypatch):
    explorer = explorers.explore_method(method="g")
    seen = []
    clock = iter(range(1000))
    monkeypatch.setattr(explorer_module.time, "monotonic", lambda: next(clock))
    for _ in explorer.bar(range(4)):
        seen.append(explorer._bar.layout.visibility)
    assert seen == ["visible"] * 4 and explorer._bar.layout.visibility == "hidden"
    monkeypatch.setattr(explorer_module.time, "monotonic", lambda: 0)
    assert list(explorer.bar(range(2))) == [0, 1]
    assert explorer._bar.layout.visibility == "hidden"


def test_models_are_left_as_they_were():
    model = dga.load_model("vgg")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explorer = explorers.explore_distillation(networks={"mine": model})
    explorer.controls["Steps N"].value = 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_noise_leaves_out_what_does_not_fit_the_network():
    explorer = explorers.explore_noise(("g", "fg"), network="smooth")
    assert "Gradient 0.0 %" in explorer.text and "Not possible on this network: FullGrad" in (
        explorer.text
    )
    before = explorer.image.value
    explorer.controls["Noise"].value = 0.1
    assert explorer.image.value != before
