"""The explorer: a few controls, one picture, one line of text, for any computation and drawing.

Everything works with ipywidgets 7.7.1 (Colab) and 8.
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
    Box,
    Dropdown,
    FileUpload,
    FloatProgress,
    Layout,
    VBox,
)
from ipywidgets import Image as Picture
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dga.lessons import plots
from dga.lessons.plots import Pixels
from dga.validation import check_choice, check_count
from dga.zoo.loading import SHIPPED, load_model
from dga.zoo.photographs import load_photo
from dga.zoo.pictures import load_images
from dga.zoo.rendering import OBJECTS, SCENES

Photo = Image.Image | NDArray[np.uint8]
Networks = Mapping[str, nn.Module]
Photos = Mapping[str, Photo]
Rows = Sequence[Mapping[str, Pixels]]

_SLOW = 0.2  # seconds after which a progress bar is shown
_REMEMBERED = 8 * 3 * 64 * 64  # features of the results kept: eight of the shipped pictures


@dataclass(frozen=True)
class Shown:
    """What an explorer looks at.

    Attributes:
        model: as `dga.load_model` gives it.
        x: the input (1, C, H, W).
        photo: the picture (H, W, 3) in 0..1, as a person sees it.
        target: the class that is explained.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_images("figures", 1).images)
        >>> shown = Shown(model, x, model.preprocess.restore(x)[0], target=7)
        >>> shown.label, tuple(shown.scores(x).shape)
        ('cat', (1, 10))
    """

    model: Any
    x: Tensor
    photo: Pixels
    target: int

    @property
    def label(self) -> str:
        """The name of the class that is explained."""
        return str(self.model.classes[self.target])

    def look(self, x: Tensor) -> Pixels:
        """An input (1, C, H, W) as a person sees it."""
        return self.model.preprocess.restore(x)[0]  # type: ignore[no-any-return]

    def scores(self, x: Tensor) -> Tensor:
        """The scores (B, classes) of inputs (B, C, H, W)."""
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

    Example:
        >>> from ipywidgets import IntSlider
        >>> explorer = Explorer(
        ...     "brightness", None, None, "resnet", 0,
        ...     compute=lambda shown, values, bar: shown.photo,
        ...     draw=lambda shown, photo, values, bar: (
        ...         [{"darker": photo * values["Percent"] / 100}], f"{values['Percent']} %"
        ...     ),
        ...     fast=[IntSlider(value=100, description="Percent")],
        ... )
        >>> explorer.controls["Percent"].value = 40
        >>> explorer.text
        '40 %'
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
        """The values of these controls, by their visible names."""
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


def _percent(share: Tensor | float) -> str:
    return f"{100 * float(share):.1f} %"
