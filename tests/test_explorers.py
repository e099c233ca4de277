"""The explorers in a kernel: what a user's hand does is setting the value of a control."""

from __future__ import annotations

import base64
import io
import re
from datetime import datetime, timezone

import numpy as np
import pytest
import torch
from PIL import Image

import dga
from dga.lessons import explorer as explorer_module
from dga.lessons import explorers
from dga.zoo.loading import SHIPPED

CAT, CAR = "0 cat, meadow", "3 car, desert"
KINDS = {
    "explore_method": {"Picture": CAR, "Network": "vgg", "Class": 2, "Method": "ig"},
    "explore_noise": {"Noise": 0.1, "Picture": CAR},
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
    "explore_methods": {"Top %": 30, "Show": "picture", "Picture": CAR, "Class": 1},
}
DRAWN = dga.load_images("figures").images
FIGURES = {CAT: DRAWN[0], CAR: DRAWN[3]}


def small(kind, *arguments, **options):
    """An explorer of drawn pictures, which are 64 pixels wide, and the shipped networks."""
    options = {"pictures": FIGURES, "network": "resnet", **options}
    return getattr(explorers, f"explore_{kind}")(*arguments, **options)


def looks(explorer):
    assert explorer.panels
    return [(picture.value, caption.value) for picture, caption in explorer._cells]


@pytest.mark.parametrize("kind", KINDS)
def test_every_control_changes_the_pictures(kind):
    explorer = small(kind.removeprefix("explore_"))
    count = len(explorer._cells)
    for name, value in KINDS[kind].items():
        before, text = looks(explorer), explorer.text
        explorer.controls[name].value = value
        assert looks(explorer) != before, name
        if name != "Show":
            assert explorer.text != text, name
        assert not explorer.text.startswith("Not possible")
    assert len(explorer.panels) == len(explorer._cells) == count  # their room was kept
    assert kind.removeprefix("explore_") in repr(explorer)
    assert len(repr(explorer)) <= 110  # ipywidgets cuts there
    assert all(control.description for control in explorer.controls.values())
    assert all(panel.alt.strip() for panel in explorer.panels)
    assert len(explorer.still()) <= 60_000
    assert not re.search(r": [,.]", explorer._choices())  # a name without its value


def test_every_kind_is_tested():
    made = {
        name
        for name, value in vars(explorers).items()
        if callable(value) and getattr(value, "__annotations__", {}).get("return") == "Explorer"
    }
    assert made == set(KINDS)


def test_photographs_and_their_network_come_first():
    explorer = explorers.explore_method("gi")
    photographs = ("cat photograph (chelsea)", "coffee", "rocket", "astronaut")
    assert explorer.controls["Picture"].options[:5] == (*photographs, CAT)
    networks = explorer.controls["Network"].options
    assert networks[:2] == ("efficientnet_lite0", "resnet") and set(networks[1:]) == set(SHIPPED)
    assert "says tiger cat" in explorer.text
    assert explorer.panels[0].picture.shape == (224, 224, 3)
    assert len(explorer.still()) <= 60_000
    explorer.controls["Network"].value = "vgg"  # a photograph, a network of drawn pictures
    assert explorer.panels[0].picture.shape == (64, 64, 3)
    explorer.controls["Picture"].value = CAT
    explorer.controls["Network"].value = "efficientnet_lite0"
    assert explorer.panels[0].picture.shape == (224, 224, 3)
    assert not explorer.text.startswith("Not possible")


def test_without_the_packages_the_shipped_ones_are_left(monkeypatch):
    monkeypatch.setattr(explorer_module, "find_spec", lambda name: None)
    explorer = explorers.explore_method("gi")
    assert explorer.controls["Picture"].value == CAT
    assert explorer.controls["Network"].value == "resnet"


@pytest.mark.parametrize("baseline", ["grey", "black"])
def test_the_path_ends_as_integrated_gradients(baseline):
    explorer = small("path")
    explorer.controls["Baseline"].value = baseline
    explorer.controls["Step"].value = 31
    shown = explorer._shown
    start = shown.model.preprocess(np.zeros((64, 64, 3), np.uint8)) if baseline == "black" else None
    whole = dga.integrated_gradients(shown.model, shown.x, baseline=start)
    (known,) = [v for key, v in explorer._results.items() if baseline in key]
    last, total = known[2][-1]
    near(last, whole)
    assert abs(total - whole.sum()) < 1e-3
    assert f"sum so far is {total:.2f}" in explorer.text


def near(small, whole):
    """What is kept for the eye has 8 bits."""
    whole = whole.sum(1, keepdim=True)
    torch.testing.assert_close(small.float(), whole, rtol=0.01, atol=1e-6)


def test_the_distillation_ends_as_dga():
    explorer = small("distillation", picture=1)
    assert explorer.panels
    shown = explorer._shown
    (steps,) = explorer._results.values()
    plain = dga.distilled_gradient_aggregation(shown.model, shown.x)
    near(steps[-1]["sums"][0], plain)
    assert sum(s["adds"][0] for s in steps) == pytest.approx(plain.sum().item(), rel=1e-4)
    half = dga.distilled_gradient_aggregation(shown.model, shown.x, negative_scale=0.5)
    explorer.controls["beta"].value = 0.5
    explorer.controls["Step n"].value = 30
    assert explorer.panels[4].value == f"sum {half.sum():.2f}"
    assert len(steps) == 31


@pytest.mark.parametrize("network", ["efficientnet_lite0", "resnet"])
def test_the_biases_add_up_to_the_score_and_the_map_is_fullgrad(network):
    explorer = small("biases", network=network)
    explorer.controls["Layer"].value = explorer.controls["Layer"].max
    total, score = re.findall(r"= (-?[\d.]+), of a score of (-?[\d.]+)\.", explorer.text)[0]
    assert total == score
    shown, ((_, known, _, _),) = explorer._shown, explorer._results.values()
    near(known[-1][3], dga.fullgrad(shown.model, shown.x))
    assert explorer.panels[4].title == "running sum" and explorer.panels[4].value.startswith(total)


def test_the_noise_moves_nothing_at_zero():
    assert set(re.findall(r"([\d.]+) %", small("noise").text)) == {"0.0"}


def test_fewer_steps_pull_the_step_along():
    explorer = small("distillation")
    explorer.controls["Step n"].value = 25
    explorer.controls["Steps N"].value = 10
    assert explorer.controls["Step n"].value == 10
    assert explorer.text.startswith("Step 10 of 10")


def test_the_curve_of_removed_pixels_is_the_measure():
    explorer = small("perturbation", "gi")
    shares = [k / 100 for k in range(0, 101, 2)]
    assert explorer.panels
    shown, ((attribution, points),) = explorer._shown, explorer._results.values()
    curve = dga.metrics.pixel_perturbation(shown.model, shown.x, attribution, shares=shares)
    torch.testing.assert_close(torch.tensor(points), curve[0])


def test_a_method_that_does_not_fit_says_so():
    explorer = small("method", network="smooth", method="dga")
    explorer.controls["Method"].value = "fg"
    assert explorer.text.startswith("Not possible here: layer")
    assert [panel.title for panel in explorer.panels] == ["picture", "…", "…"]
    explorer.controls["Method"].value = "ig"
    assert explorer.text.startswith("The network says")
    assert "Not possible on this network: Guided Backprop, FullGrad" in (
        small("methods", network="smooth").text
    )


class Broken(torch.nn.Module):
    """A network of a user's own with a bug."""

    def __init__(self, error, fails=10**6):
        super().__init__()
        inner = dga.load_model("vgg")
        self.inner, self.error, self.fails = inner, error, fails
        self.classes, self.preprocess = inner.classes, inner.preprocess

    def forward(self, x):
        self.fails -= 1
        if self.fails >= 0:
            raise self.error
        return self.inner(x)


ERRORS = [
    ValueError("no such thing"),
    RuntimeError("mat1 and mat2\nshapes"),
    KeyError("x"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_another_network_stays_when_one_raises(kind):
    bad = {repr(error): Broken(error) for error in ERRORS} | {"plain": torch.nn.ReLU()}
    networks = {"good": dga.load_model("resnet"), **bad}
    explorer = small(kind.removeprefix("explore_"), network=None, networks=networks)
    good, rooms = looks(explorer), len(explorer.panels)
    for name in bad:
        explorer.controls["Network"].value = name
        for _ in range(2):
            assert explorer.text.startswith("Not possible here: ") and "\n" not in explorer.text
            assert [panel.title for panel in explorer.panels] == ["…"] * rooms
            if "Class" in explorer.controls:
                assert explorer.controls["Class"].options == (("predicted", -1),)
            # Another setting asks the network again, and shows none of the old one's results.
            control = explorer.controls[next(c for c in KINDS[kind] if c in explorer._redraws)]
            before, control.value = control.value, KINDS[kind][control.description]
            assert explorer.text.startswith("Not possible here: ")
            control.value = before
    explorer.controls["Network"].value = "good"
    assert looks(explorer) == good


def test_a_network_that_recovers_is_asked_again():
    explorer = small("method", "gi", network=None, networks={"mine": Broken(OSError("no"), 1)})
    assert explorer.text == "Not possible here: OSError no"
    explorer.controls["Method"].value = "g"
    assert "says cat" in explorer.text


def test_an_error_while_drawing_is_shown():
    explorer = small("method", "gi")
    assert explorer.panels
    explorer._draw = lambda *_: 1 / 0
    explorer._redraw()
    assert explorer.text == "Not possible here: ZeroDivisionError division by zero"
    assert [panel.title for panel in explorer.panels] == ["picture", "…", "…"]


def photo(colour, kind="png", size=(90, 70)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("version", [7, 8])
def test_a_photo_of_ones_own(version, monkeypatch):
    explorer = small("method", "gi")

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
    first = looks(explorer)
    upload("mine.png", photo("blue"))  # another one of the same name
    assert looks(explorer) != first
    known = looks(explorer)
    upload("notes.txt", b"no picture")
    assert explorer.text.startswith("Not possible here: notes.txt: ")
    assert looks(explorer) == known
    for error, said in ((KeyboardInterrupt(), "it was stopped"), (MemoryError(), "MemoryError")):
        with monkeypatch.context() as patch:
            patch.setattr(explorer_module, "load_photo", Broken(error))
            upload("huge.png", photo("red"))
        assert explorer.text == f"Not possible here: huge.png: {said}" and looks(explorer) == known
    upload(CAT, photo("green"))  # a name that is taken
    assert explorer.controls["Picture"].value == f"{CAT} (yours)"
    explorer.controls["Picture"].value = CAT
    assert "says cat" in explorer.text


def test_a_large_photo_is_kept_small_and_the_same_one_can_come_again():
    explorer = small("method", "gi")
    content = photo("red", "jpeg", (6000, 4000))
    file = {"name": "mine.jpg", "type": "image/jpeg", "size": len(content)}
    upload = explorer.upload
    for _ in range(2):
        if isinstance(upload.value, dict):  # ipywidgets 7; what the browser sends
            upload.metadata, upload.data = [file], [content]
            upload._counter += 1
        else:
            moment = datetime.now(timezone.utc)
            upload.value = ({**file, "content": memoryview(content), "last_modified": moment},)
        assert not upload.value
        explorer.controls["Picture"].value = CAT
    assert explorer._photos["mine.jpg"].size == (1024, 683)
    assert explorer.controls["Picture"].options == (CAT, CAR, "mine.jpg")


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
        ({"picture": 16}, "picture is 16, but there are 16"),
        ({"picture": -1}, "picture"),
        ({"method": "lime"}, "method must be one of .*, got 'lime'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        explorers.explore_method(**arguments)


def test_a_progress_bar_shows_only_while_it_takes_long(monkeypatch):
    explorer = small("method", "g")
    assert explorer.text
    clock = iter(range(1000))
    monkeypatch.setattr(explorer_module.time, "monotonic", lambda: next(clock))
    seen = []
    for _ in explorer.bar(range(2)):
        for _ in explorer.bar(range(4), desc="inside"):
            seen.append((explorer._bar.layout.visibility, explorer._bar.value))
            assert "dga-busy" in explorer._grid._dom_classes
    assert seen == [("visible", k / 8) for k in range(8)]
    assert explorer._bar.layout.visibility == "hidden"
    assert "dga-busy" not in explorer._grid._dom_classes
    monkeypatch.setattr(explorer_module.time, "monotonic", lambda: 0)
    assert list(explorer.bar(range(2))) == [0, 1]
    assert explorer._bar.layout.visibility == "hidden"


def test_models_are_left_as_they_were():
    model = dga.load_model("vgg")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explorer = small("distillation", network=None, networks={"mine": model})
    explorer.controls["Steps N"].value = 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_noise_leaves_out_what_does_not_fit_the_network():
    explorer = small("noise", ("g", "fg"), network="smooth")
    assert "Gradient 0.0 %" in explorer.text and "Not possible on this network: FullGrad" in (
        explorer.text
    )
    assert [panel.title for panel in explorer.panels][1:] == [
        "Gradient",
        "FullGrad: not possible here",
    ]
    before = looks(explorer)
    explorer.controls["Noise"].value = 0.1
    assert looks(explorer) != before


def test_without_a_browser_a_still_is_shown_beside_the_widget(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    explorer = small("path")
    data, metadata = explorer._repr_mimebundle_()
    content = base64.b64decode(data["image/jpeg"])
    assert Image.open(io.BytesIO(content)).width == 748 and len(content) <= 60_000
    assert "Step 1 of 31" in metadata["image/jpeg"]["alt"]
    assert "run all cells above" in data["text/plain"]
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id


def test_in_jupyterlab_nothing_is_computed_until_it_is_seen(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
    explorer = small("path")
    assert set(explorer._repr_mimebundle_()) == {
        "text/plain",
        "application/vnd.jupyter.widget-view+json",
    }
    assert explorer._shown is None
    explorer._view_count = 1  # what the browser sends
    assert explorer._shown is not None and explorer._text.startswith("Step 1 of 31")
