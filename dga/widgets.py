"""Explorers for the lessons: a few controls, one picture, one line of text.

Each function returns an `Explorer`, which a notebook shows as the last expression of a cell:

explore         one method, on any picture, network and class
noise           how maps move when the picture gets noisy
path            Integrated Gradients along its path
biases          the bias terms of a network, layer by layer
masks           weak and extreme positive contributors
distillation    the distilled sequence and its running sum
comparison      all methods side by side, and their most relevant pixels
perturbation    pixels taken away by rank, and the probability that is left

The maths is in the modules they call. Everything works with ipywidgets 7.7.1 (Colab) and 8.
"""

from __future__ import annotations

import html
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from ipywidgets import (
    HTML,
    BoundedFloatText,
    Box,
    Dropdown,
    FileUpload,
    FloatProgress,
    FloatSlider,
    IntSlider,
    Layout,
    SelectionSlider,
    VBox,
)
from ipywidgets import Image as Picture
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn

from dga import plots
from dga.data import load_images, load_photo
from dga.distillation import distill
from dga.full_gradient import bias_attributions, saliency, uniform_fullgrad
from dga.gradients import gradient
from dga.masks import extreme_positive_contributor_mask, weak_contributor_mask
from dga.methods import METHODS
from dga.metrics import pixel_perturbation, top_pixels
from dga.models import SHIPPED, load_model
from dga.plots import Pixels
from dga.render import OBJECTS, SCENES
from dga.validation import check_choice, check_count

Photo = Image.Image | NDArray[np.uint8]
Networks = Mapping[str, nn.Module]
Photos = Mapping[str, Photo]
Rows = Sequence[Mapping[str, Pixels]]

STEPS = 30
NOISE = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_SLOW = 0.2  # seconds after which a progress bar is shown
_REMEMBERED = 8 * 3 * 64 * 64  # features of the results kept: eight of the shipped pictures


@dataclass(frozen=True)
class Shown:
    """What an explorer looks at: x is (1, C, H, W), photo what a person sees, 0..1."""

    model: Any
    x: Tensor
    photo: Pixels
    target: int

    @property
    def label(self) -> str:
        return str(self.model.classes[self.target])

    def look(self, x: Tensor) -> Pixels:
        """An input (1, C, H, W) as a person sees it."""
        return self.model.preprocess.restore(x)[0]  # type: ignore[no-any-return]

    def scores(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            scores: Tensor = self.model(x)
        return scores


class Explorer(VBox):
    """Controls above a picture and a line of text.

    Attributes:
        controls: by their visible names, "Picture", "Network", ... Setting the `value` of one does
            what a user's hand would.
        image: the picture, an `ipywidgets.Image` with PNG bytes.
        text: what the line says.
    """

    def __init__(
        self,
        name: str,
        networks: Networks | None,
        pictures: Photos | None,
        network: str | None,
        picture: int,
        compute: Callable[[Shown, dict[str, Any], Callable], Any],
        draw: Callable[[Shown, Any, dict[str, Any], Callable], tuple[Rows, str]],
        *,
        slow: Sequence[Any] = (),
        fast: Sequence[Any] = (),
        choose_class: bool = False,
        height: int = 192,
    ) -> None:
        """A new explorer.

        Args:
            name: of the kind, a CSS class for tests.
            networks, pictures: to choose from, by name; None for the shipped ones.
            network, picture: the first choice, a name (None for the first) and a position.
            compute: what a change of source or of a slow control needs: (shown, values, bar), where
                `bar` is called like tqdm.
            draw: what any change needs: (shown, what was computed, values, bar) -> pictures and a
                text.
            slow, fast: controls.
            choose_class: offer a choice of the class and of a photograph of one's own.
            height: of the pictures on the screen.
        """
        self._networks = dict(networks) if networks else {key: None for key in SHIPPED}
        photos = dict(pictures) if pictures else _figures()
        network = network or ("resnet" if networks is None else next(iter(self._networks)))
        check_choice("network", network, tuple(self._networks))
        check_count("picture", picture, 0)
        if picture >= len(photos):
            raise ValueError(
                f"picture is {picture}, but there are {len(photos)}: 0 to {len(photos) - 1}"
            )
        self._photos = photos
        self._compute, self._draw, self._height = compute, draw, height
        self._results: OrderedDict[tuple, Any] = OrderedDict()
        self._shown: Shown | None = None

        source: list[Any] = [
            Dropdown(options=list(photos), value=list(photos)[picture], description="Picture"),
            Dropdown(options=list(self._networks), value=network, description="Network"),
        ]
        if choose_class:
            source.append(Dropdown(options=[("predicted", -1)], value=-1, description="Class"))
        self.controls = {control.description: control for control in (*source, *slow, *fast)}
        for control in self.controls.values():
            control.style.description_width = "6.5em"
            control.layout.width = "23em"
        upload = []
        if choose_class:
            self.upload = FileUpload(accept="image/*", multiple=False, description="Own photo")
            self.upload.observe(self._take_photo, "value")
            upload = [self.upload]
        self.image = Picture(format="png", layout=Layout(max_width="100%", object_fit="contain"))
        self.image.add_class("dga-picture")
        self._bar = FloatProgress(min=0, max=1, layout=Layout(width="22em", visibility="hidden"))
        self._line = HTML()
        wrap = Layout(flex_flow="row wrap", align_items="center")
        super().__init__(
            [
                Box([*source, *upload], layout=wrap),
                Box([*slow, *fast], layout=wrap),
                self._bar,
                self.image,
                self._line,
            ]
        )
        self.add_class("dga-explorer")
        self.add_class(f"dga-{name}")
        self._name = name
        self._redraws = [control.description for control in (*slow, *fast)]
        self._recomputes = [control.description for control in slow]
        self._renewing = False
        self._renew()
        for control in source:
            control.observe(self._renew, "value")
        for control in (*slow, *fast):
            control.observe(self._redraw, "value")

    def __repr__(self) -> str:
        return (
            f"Explorer {self._name!r}: run this cell to use it. The figure near it says the same."
        )

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self.controls[name].value for name in names}

    def _renew(self, change: Any = None) -> None:
        """Another picture, network or class."""
        if self._renewing:
            return
        self._renewing = True  # setting the options of "Class" calls this again
        try:
            name, key = self.controls["Network"].value, self.controls["Picture"].value
            model: Any = self._networks[name] or _shipped(name)
            classes = self.controls.get("Class")
            x = model.preprocess(self._photos[key])
            x = x.to(next(model.parameters()))
            with torch.inference_mode():
                probability = model(x)[0].softmax(0)
            target = int(probability.argmax())
            if classes is not None:
                named = classes.value if change is not None and change["owner"] is classes else -1
                best = probability.topk(min(len(probability), 20))
                classes.options = [("predicted", -1)] + [
                    (f"{model.classes[k]} ({_percent(p)})", k)
                    for k, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
                ]
                classes.value = named
                target = named if named >= 0 else target
            photo = model.preprocess.restore(x)[0]
            self._shown = Shown(model, x, photo, target)
            self._source = (name, key, target)
        finally:
            self._renewing = False
        self._redraw()

    def _redraw(self, _: Any = None) -> None:
        shown, values = self._shown, self.values(self._redraws)
        assert shown is not None
        key = (*self._source, *self.values(self._recomputes).values())
        try:
            if key not in self._results:
                self._results[key] = self._compute(shown, values, self.bar)
                while len(self._results) > max(1, _REMEMBERED // shown.x.numel()):
                    self._results.popitem(last=False)
            self._results.move_to_end(key)
            rows, text = self._draw(shown, self._results[key], values, self.bar)
        except ValueError as error:  # a method that does not fit the network says why
            rows, text = [{"picture": shown.photo}], f"Not possible here: {error}"
        self.image.value = plots.strip(rows, self._height)
        self._say(text)

    def _take_photo(self, change: Any) -> None:
        uploaded = change["new"]
        if not uploaded:
            return
        # A dict of files by name in ipywidgets 7, a tuple of files in 8.
        if isinstance(uploaded, dict):
            name, file = next(iter(uploaded.items()))
        else:
            name, file = uploaded[0]["name"], uploaded[0]
        try:
            photo = load_photo(bytes(file["content"]))
        except ValueError as error:
            self._say(f"{name}: {error}")
            return
        self._photos[name] = photo
        self._results.clear()  # a photograph of the same name may have been uploaded before
        chooser = self.controls["Picture"]
        self._renewing = True  # once, when all is set
        chooser.options = list(self._photos)
        chooser.value = name
        self._renewing = False
        self._renew()

    def _say(self, text: str) -> None:
        self.text = text
        self._line.value = f'<div role="status" aria-live="polite">{html.escape(text)}</div>'

    def bar(self, steps: range, **_: Any) -> Iterator[int]:
        """Called like tqdm: shows how far a computation is, once it takes long."""
        began = time.monotonic()
        try:
            for done, step in enumerate(steps):
                if time.monotonic() - began > _SLOW:
                    self._bar.layout.visibility = "visible"
                    self._bar.value = done / len(steps)
                yield step
        finally:
            self._bar.layout.visibility = "hidden"


@cache
def _shipped(name: str) -> nn.Module:
    return load_model(name)


def _figures() -> dict[str, Photo]:
    pictures = load_images("figures")
    rows = zip(pictures.images, pictures.labels.tolist(), pictures.scenes.tolist(), strict=True)
    return {
        f"{k} {OBJECTS[label]}, {SCENES[scene]}": image
        for k, (image, label, scene) in enumerate(rows)
    }


def _attribution(short: str, shown: Shown, bar: Callable) -> Tensor:
    method = METHODS[short]
    progress = {"progress": bar} if method.many_passes else {}
    return method.function(shown.model, shown.x, shown.target, **progress)


def _attributions(methods: Sequence[str], shown: Shown, bar: Callable) -> dict[str, Tensor]:
    """By short name, without those methods that do not fit the network."""
    known = {}
    for k in bar(range(len(methods))):
        try:
            known[methods[k]] = _attribution(methods[k], shown, lambda steps, **_: steps)
        except ValueError:  # said by _left_out
            continue
    return known


def _left_out(methods: Sequence[str], known: Mapping[str, Tensor]) -> str:
    missing = [METHODS[key].label for key in methods if key not in known]
    return f" Not possible on this network: {', '.join(missing)}." if missing else ""


def _heatmap(attribution: Tensor) -> Pixels:
    """Of (1, C, H, W): blue-white-red if it has negative values."""
    return plots.heatmap(attribution[0], signed=bool((attribution < 0).any()))


def _percent(share: Tensor | float) -> str:
    return f"{100 * float(share):.1f} %"


def _grey(mask: Tensor) -> Pixels:
    """A mask or blend (1, C, H, W), 0..1: white where all channels stay."""
    return mask[0].float().mean(0).cpu().numpy()[..., None].repeat(3, 2)


def explore(
    method: str = "dga",
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """One method on any picture, network and class; with upload.

    Args:
        method: short name, see `dga.methods.METHODS`.
        network, picture: the first choice; a name (None for "resnet", or for the first of your
            own) and a position.
        networks: by name, to choose from; None for the shipped ones.
        pictures: PIL images or uint8 (H, W, 3) by name; None for the shipped figures.
    """
    check_choice("method", method, tuple(METHODS))
    choice = Dropdown(
        options=[(m.label, key) for key, m in METHODS.items()], value=method, description="Method"
    )

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Tensor:
        return _attribution(values["Method"], shown, bar)

    def draw(
        shown: Shown, attribution: Tensor, values: dict[str, Any], bar: Callable
    ) -> tuple[Rows, str]:
        scores = shown.scores(shown.x)[0]
        row = {
            "picture": shown.photo,
            METHODS[values["Method"]].label: _heatmap(attribution),
            "relevant parts": plots.overlay(shown.photo, attribution[0]),
        }
        said = shown.model.classes[int(scores.argmax())]
        sure = _percent(scores.softmax(0).max())
        return [row], (
            f"The network says {said} ({sure}). Why {shown.label}? Its "
            f"score is {scores[shown.target]:.2f}; the attributions sum to {attribution.sum():.2f}."
        )

    return Explorer(
        "explore", networks, pictures, network, picture, compute, draw,
        slow=[choice], choose_class=True, height=256,
    )  # fmt: skip


def noise(
    methods: Sequence[str] = ("g", "ig", "fg", "dga"),
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """How far the maps of several methods move when noise is added to the picture.

    Args:
        methods: short names, see `dga.methods.METHODS`.
        network, picture, networks, pictures: see `explore`.
    """
    for method in methods:
        check_choice("methods", method, tuple(METHODS))
    strength = SelectionSlider(
        options=[(f"{level:g}", level) for level in NOISE], value=NOISE[0], description="Noise",
        continuous_update=False,
    )  # fmt: skip

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> dict[float, Any]:
        return {0.0: maps(shown, 0.0, bar)}

    def maps(shown: Shown, level: float, bar: Callable) -> dict[str, Tensor]:
        random = torch.randn(shown.x.shape, generator=torch.Generator().manual_seed(0))
        x = shown.x + level * random.to(shown.x)
        near = Shown(shown.model, x, shown.photo, shown.target)
        return {"x": x, **_attributions(methods, near, bar)}

    def draw(shown: Shown, known: dict, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        level = values["Noise"]
        if level not in known:
            known[level] = maps(shown, level, bar)
        now, before = known[level], known[0.0]
        fit = [key for key in methods if key in now]
        row = {"picture": shown.look(now["x"])}
        row |= {METHODS[key].label: _heatmap(now[key]) for key in fit}
        moved = [
            f"{METHODS[key].label} {_percent((now[key] - before[key]).norm() / before[key].norm())}"
            for key in fit
        ]
        said = f"Noise {level:g}. How far each map moved: {', '.join(moved)}."
        return [row], said + _left_out(methods, now)

    return Explorer("noise", networks, pictures, network, picture, compute, draw, fast=[strength])


def path(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """Integrated Gradients along the straight line from a baseline, 31 steps by the midpoint rule.

    Args:
        network, picture, networks, pictures: see `explore`.
    """
    count = STEPS + 1
    baseline = Dropdown(options=["grey", "black", "white", "blurred"], description="Baseline")
    step = IntSlider(value=1, min=1, max=count, description="Step")

    def start(shown: Shown, name: str) -> Tensor:
        if name == "grey":
            return torch.zeros_like(shown.x)
        pixels = np.rint(shown.photo * 255).astype(np.uint8)
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(len(pixels) / 12))
        colour = {"black": pixels * 0, "white": pixels * 0 + 255, "blurred": np.asarray(blurred)}
        return shown.model.preprocess(colour[name]).to(shown.x)

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        origin = start(shown, values["Baseline"])
        way = (torch.arange(count).to(shown.x).view(-1, 1, 1, 1) + 0.5) / count
        points = origin + way * (shown.x - origin)
        parts = [points[k : k + 8] for k in bar(range(0, count, 8))]
        gradients = torch.cat([gradient(shown.model, part, shown.target) for part in parts])
        score = torch.cat([shown.scores(part)[:, shown.target] for part in parts])
        ends = shown.scores(torch.cat([origin, shown.x]))[:, shown.target]
        terms = (shown.x - origin) * gradients / count
        return points, terms, terms.cumsum(0), score.tolist(), (ends[1] - ends[0]).item()

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        points, terms, sums, score, rise = known
        k = values["Step"] - 1
        row = {
            f"point {k + 1} of {count}": shown.look(points[k : k + 1]),
            "its term": _heatmap(terms[k : k + 1]),
            "sum so far": _heatmap(sums[k : k + 1]),
            f"score of {shown.label}": plots.trace(score, k),
        }
        return [row], (
            f"Step {k + 1} of {count}: score {score[k]:.2f}. This term adds {terms[k].sum():.2f}; "
            f"the sum so far is {sums[k].sum():.2f}, of a rise of the score of {rise:.2f}."
        )

    return Explorer(
        "path", networks, pictures, network, picture, compute, draw, slow=[baseline], fast=[step]
    )


def biases(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """The bias terms of a network, layer by layer, and FullGrad's sum of them.

    Args:
        network, picture, networks, pictures: see `explore`.
    """
    layer = IntSlider(value=1, min=1, max=1, description="Layer")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        terms = bias_attributions(shown.model, shown.x, shown.target)
        local = shown.x * gradient(shown.model, shown.x, shown.target)
        total, sums = saliency(local, shown.x.shape[2:]), []
        for term in terms.values():
            if term.dim() == 4:
                total = total + saliency(term, shown.x.shape[2:])
            sums.append(total)
        return local, list(terms.items()), sums

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        local, terms, sums = known
        layer.max = len(terms)
        at = min(values["Layer"], len(terms)) - 1
        name, term = terms[at]
        spatial = term.dim() == 4
        row = {
            "picture": shown.photo,
            "input * gradient": plots.heatmap(local[0], signed=True),
            f"bias term {at + 1} of {len(terms)}": (
                plots.heatmap(term[0], signed=True) if spatial else np.ones_like(shown.photo)
            ),
            "FullGrad up to here": plots.heatmap(sums[at][0]),
        }
        place = f"{tuple(term.shape[1:])}" if spatial else "no place in the picture"
        so_far = sum(t.sum() for _, t in terms[: at + 1])
        score = shown.scores(shown.x)[0, shown.target]
        return [row], (
            f"Layer {name}, {place}: its bias terms sum to {term.sum():.2f}. input * gradient "
            f"{local.sum():.2f} + all biases up to here {so_far:.2f} = {local.sum() + so_far:.2f}, "
            f"of a score of {score:.2f}."
        )

    return Explorer("biases", networks, pictures, network, picture, compute, draw, fast=[layer])


def masks(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """The contributor masks of one local attribution, their blend, and what is left of the picture.

    Args:
        network, picture, networks, pictures: see `explore`.
    """
    share = FloatSlider(value=0.5, min=0, max=1, step=0.01, description="Share")
    quantile = FloatSlider(value=0.9, min=0, max=1, step=0.01, description="Quantile q")
    step = IntSlider(value=15, min=0, max=STEPS, description="Step n")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Tensor:
        return uniform_fullgrad(shown.model, shown.x, shown.target)

    def draw(shown: Shown, phi: Tensor, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        weak = weak_contributor_mask(phi, values["Share"])
        extreme = extreme_positive_contributor_mask(phi, values["Quantile q"])
        time = values["Step n"] / STEPS
        blend = time * weak.to(phi.dtype) + (1 - time) * extreme.to(phi.dtype)
        left = blend * shown.x
        row = {
            "Uniform FullGrad": plots.heatmap(phi[0], signed=True),
            "weak contributors off": _grey(weak),
            "extreme positive off": _grey(extreme),
            f"blend, n = {values['Step n']}": _grey(blend),
            "picture * blend": shown.look(left),
        }
        before, after = shown.scores(torch.cat([shown.x, left]))[:, shown.target].tolist()
        return [row], (
            f"White stays. The weak contributor mask keeps {_percent(weak.float().mean())} of the "
            f"features, the extreme positive one {_percent(extreme.float().mean())}. Score of "
            f"{shown.label}: {before:.2f} before, {after:.2f} after."
        )

    return Explorer(
        "masks", networks, pictures, network, picture, compute, draw, fast=[share, quantile, step]
    )


def distillation(
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """The distilled sequence, step by step, and the running sum that ends as the DGA map.

    Args:
        network, picture, networks, pictures: see `explore`.
    """
    total = IntSlider(value=STEPS, min=1, max=60, description="Steps N", continuous_update=False)
    quantile = FloatSlider(
        value=0.9, min=0, max=1, step=0.01, description="Quantile q", continuous_update=False
    )
    which = Dropdown(
        options=[("both", "both"), ("weak only", "weak"), ("extreme only", "extreme")],
        description="Masks",
    )
    step = IntSlider(value=0, min=0, max=STEPS, description="Step n")
    scale = BoundedFloatText(value=0, min=-1, max=1, step=0.1, description="beta")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        steps = list(
            distill(
                shown.model, shown.x, shown.target, steps=values["Steps N"],
                epc_quantile=values["Quantile q"], masks=values["Masks"], progress=bar,
            )
        )  # fmt: skip
        phi = torch.cat([s.attribution for s in steps])
        score = [s.score.item() for s in steps]
        return steps, phi.clamp(min=0).cumsum(0), phi.clamp(max=0).cumsum(0), score

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        steps, positive, negative, score = known
        step.max = len(steps) - 1
        n = min(values["Step n"], step.max)
        now = steps[n]
        running = (positive[n] + values["beta"] * negative[n])[None]
        before = (positive[n - 1] + values["beta"] * negative[n - 1]).sum() if n else 0
        row = {
            f"distilled input {n}": shown.look(now.distilled),
            "Uniform FullGrad": plots.heatmap(now.attribution[0], signed=True),
            "weak mask": _grey(now.weak),
            "extreme mask": _grey(now.extreme),
            f"sum of 0 to {n}": _heatmap(running),
            f"score of {shown.label}": plots.trace(score, n),
        }
        return [row], (
            f"Step {n} of {now.steps}: score {score[n]:.2f}. Next input: {n / now.steps:.2f} * "
            f"weak + {1 - n / now.steps:.2f} * extreme, times the picture. This step adds "
            f"{running.sum() - before:.2f} to the sum."
        )

    return Explorer(
        "distillation", networks, pictures, network, picture, compute, draw,
        slow=[total, quantile, which], fast=[step, scale], height=160,
    )  # fmt: skip


def comparison(
    methods: Sequence[str] = ("gi", "gbp", "ig", "gig", "fg", "dga"),
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """All methods side by side, and the most relevant pixels by each.

    Args:
        methods: short names, see `dga.methods.METHODS`.
        network, picture, networks, pictures: see `explore`.
    """
    for method in methods:
        check_choice("methods", method, tuple(METHODS))
    top = IntSlider(value=10, min=1, max=100, description="Top %")

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> dict[str, Tensor]:
        return _attributions(methods, shown, bar)

    def draw(
        shown: Shown, known: dict[str, Tensor], values: dict[str, Any], bar: Callable
    ) -> tuple[Rows, str]:
        share = values["Top %"] / 100
        attributions = torch.cat(list(known.values()))
        kept = top_pixels(attributions, share)
        probability = shown.scores(shown.x * kept[:, None]).softmax(1)[:, shown.target]
        first: dict[str, Pixels] = {"picture": shown.photo}
        second: dict[str, Pixels] = {f"top {values['Top %']} %": shown.photo * 0 + 1}
        says = []
        for k, (key, attribution) in enumerate(known.items()):
            label = METHODS[key].label
            first[label] = _heatmap(attribution)
            second[label] = np.where(kept[k].cpu().numpy()[..., None], shown.photo, 0.5)
            says.append(f"{label} {probability[k]:.2f}")
        return [first, second], (
            f"Probability of {shown.label} with only the top {values['Top %']} % of the pixels by "
            f"each method: {', '.join(says)}.{_left_out(methods, known)}"
        )

    return Explorer(
        "comparison", networks, pictures, network, picture, compute, draw,
        fast=[top], choose_class=True, height=144,
    )  # fmt: skip


def perturbation(
    method: str = "dga",
    network: str | None = None,
    picture: int = 0,
    *,
    networks: Networks | None = None,
    pictures: Photos | None = None,
) -> Explorer:
    """Pixels taken away in the order of their relevance, and the curve of the probability.

    Args:
        method: short name, see `dga.methods.METHODS`.
        network, picture, networks, pictures: see `explore`.
    """
    check_choice("method", method, tuple(METHODS))
    choice = Dropdown(
        options=[(m.label, key) for key, m in METHODS.items()], value=method, description="Method"
    )
    order = Dropdown(
        options=[("most relevant first", "morf"), ("least relevant first", "lerf")],
        description="Order",
    )
    removed = IntSlider(value=10, min=0, max=100, description="Removed %")
    shares = [k / 100 for k in range(101)]

    def compute(shown: Shown, values: dict[str, Any], bar: Callable) -> Any:
        attribution = _attribution(values["Method"], shown, bar)
        curve, score = pixel_perturbation(
            shown.model, shown.x, shown.target, attribution, values["Order"], shares=shares
        )
        return attribution, curve[0].tolist(), score.item()

    def draw(shown: Shown, known: Any, values: dict[str, Any], bar: Callable) -> tuple[Rows, str]:
        attribution, curve, score = known
        k = values["Removed %"]
        if values["Order"] == "morf":
            gone = top_pixels(attribution, k / 100)
        else:
            gone = ~top_pixels(attribution, 1 - k / 100)
        row = {
            METHODS[values["Method"]].label: _heatmap(attribution),
            f"{k} % removed": shown.look(shown.x * ~gone[:, None]),
            f"probability of {shown.label}": plots.trace(curve, k),
        }
        return [row], (
            f"Without {k} % of the pixels the probability of {shown.label} is {curve[k]:.2f}. Mean "
            f"over the whole curve: {score:.2f}."
        )

    return Explorer(
        "perturbation", networks, pictures, network, picture, compute, draw,
        slow=[choice, order], fast=[removed], height=224,
    )  # fmt: skip
