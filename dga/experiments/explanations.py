"""Photographs explained: a picture each, which says how it was made and is not made twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from PIL import Image
from torch import Tensor

from dga import __version__
from dga.engine import Progress
from dga.experiments.evaluation import fingerprint
from dga.methods import METHODS
from dga.zoo.loading import find_class
from dga.zoo.photographs import PHOTOGRAPHS, find_pictures, load_photo

_SOFTWARE = f"dga {__version__}"


def plan(photos: Sequence[str], output: Path | None = None) -> tuple[list[tuple[str, Path]], bool]:
    """What is explained, and the picture that each explanation becomes.

    Args:
        photos: see `load_photo`; or folders, searched with their subfolders.
        output: for one photograph the picture (None: heat.png); for several, or a folder, the
            folder of the pictures (None: heat), PHOTO.png each.

    Returns:
        (photograph, picture) in order, none twice; and whether `output` is a folder.

    Raises:
        ValueError: if a photograph is not there, or a picture would destroy one, or a file that
            is no explanation.

    Example:
        >>> plan(["chelsea", "https://example.org/dog.jpg?size=2"])[0][1][1].as_posix()
        'heat/dog.jpg.png'
    """
    folders = [Path(p) for p in photos if p not in PHOTOGRAPHS and os.path.isdir(p)]
    several = len(photos) > 1 or bool(folders)
    pairs = _several(photos, output or Path("heat")) if several else {}
    if not several:
        output = output or Path("heat.png")
        if output.suffix.lower() != ".png":
            raise ValueError(f"output {str(output)!r} must end in .png")
        pairs = {photos[0]: output}
    for photo in pairs:
        if not _elsewhere(photo) and not os.path.isfile(photo):
            load_photo(photo)  # says what is wrong
    own = {_identity(photo) for photo in pairs if not _elsewhere(photo)}
    for picture in pairs.values():
        if picture.exists() and _identity(picture) in own:
            raise ValueError(f"output {str(picture)!r} is a photograph to explain: choose another")
        check_png("output", picture)
    return list(pairs.items()), several


def check_png(argument: str, path: Path) -> None:
    """Raises unless a picture can be written there without destroying one that is not ours.

    Args:
        argument: what the path is called in the message.
        path: of the picture.

    Raises:
        ValueError: see above.

    Example:
        >>> check_png("output", Path("new.png"))
        >>> check_png("output", Path("new.jpg"))
        Traceback (most recent call last):
        ValueError: output 'new.jpg' must end in .png
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"{argument} {str(path)!r} must end in .png")
    if path.is_dir() or (path.exists() and path.stat().st_size and not _told(path)):
        raise ValueError(
            f"{argument} {str(path)!r} is there already, and is no picture of ours: choose another "
            "name, or move it away"
        )


def metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as text for a PNG, by which `check_png` knows it again.

    Example:
        >>> sorted(metadata({"method": "ig"}))
        ['Software', 'dga:method']
    """
    # A path may hold bytes that are no text.
    told = {key: str(v).encode(errors="backslashreplace").decode() for key, v in facts.items()}
    return {"Software": _SOFTWARE, **{f"dga:{key}": value for key, value in told.items()}}


class Explaining:
    """Explanations by one network, one method and its options.

    Args:
        model: as `load_model` gives it, on its device.
        weights: where they came from, for the record.
        method: a key of `METHODS`.
        settings: options of the method.
        target: a class name or index; None for the predicted class of every photograph.

    Raises:
        ValueError: if there is no such class.

    Example:
        >>> import dga
        >>> explaining = Explaining(dga.load_model("vgg"), "default", "gi", {}, "cat")
        >>> photo = Image.fromarray(dga.load_images("figures", 1).images[0])
        >>> png, report = explaining(photo, "0")
        >>> report["target"]
        {'class': 'cat', 'index': 7}
    """

    def __init__(
        self, model: Any, weights: str, method: str, settings: Mapping[str, Any],
        target: str | None = None,
    ) -> None:  # fmt: skip
        self._model, self._method, self._settings = model, METHODS[method], dict(settings)
        self._target = None if target is None else find_class(model.classes, target)
        self._facts = {"model": model.name, "weights": weights, "method": method}
        self._made = json.dumps(
            [
                fingerprint(model), self._facts, self._settings, self._target, __version__,
                torch.__version__,
            ]
        )  # fmt: skip

    def predict(self, photo: Image.Image) -> list[dict[str, Any]]:
        """The five likeliest classes, each with name, index and probability.

        Example:
            >>> import dga
            >>> explaining = Explaining(dga.load_model("vgg"), "default", "gi", {})
            >>> photo = Image.fromarray(dga.load_images("figures", 1).images[0])
            >>> explaining.predict(photo)[0]["class"]
            'cat'
        """
        return self._ranked(self._probabilities(self._inputs(photo)))

    def known(self, photo: Image.Image, picture: Path) -> dict[str, Any] | None:
        """The report of an explanation that is there already, made of the same and with the same.

        Args:
            photo: to explain.
            picture: perhaps of an earlier run.

        Example:
            >>> import dga
            >>> explaining = Explaining(dga.load_model("vgg"), "default", "gi", {})
            >>> explaining.known(Image.new("RGB", (64, 64)), Path("nowhere.png")) is None
            True
        """
        told = _told(picture) or {}
        if told.get("dga:made") != self._digest(photo):
            return None
        return {**json.loads(told["dga:report"]), "seconds": 0.0}

    def __call__(
        self, photo: Image.Image, name: str, progress: Progress = False
    ) -> tuple[bytes, dict[str, Any]]:
        """A PNG of photograph, heatmap and overlay, and the report that it holds as text.

        Args:
            photo: to explain.
            name: of it, for the report.
            progress: show a progress bar.
        """
        from dga.lessons import plots  # matplotlib, which takes a second, only now

        inputs = self._inputs(photo)
        probabilities = self._probabilities(inputs)
        target = int(probabilities.argmax()) if self._target is None else self._target
        began = time.perf_counter()
        attribution = self._method.function(
            self._model, inputs, target, **self._settings, progress=progress
        )
        seconds = time.perf_counter() - began
        label = self._model.classes[target]
        report = {
            **self._facts, "options": self._settings, "target": {"class": label, "index": target},
            "version": __version__, "photo": name, "predictions": self._ranked(probabilities),
        }  # fmt: skip
        picture = self._model.preprocess.restore(inputs)[0]
        title = f"{label} ({probabilities[target]:.0%})"
        figure = plots.explanation(picture, attribution[0].cpu(), title, self._method.label)
        facts = {
            **self._facts, "target": f"{target} {label}", "options": json.dumps(self._settings),
            "version": __version__, "made": self._digest(photo), "report": json.dumps(report),
        }  # fmt: skip
        return plots.png(figure, metadata(facts)), {**report, "seconds": round(seconds, 3)}

    def _inputs(self, photo: Image.Image) -> Tensor:
        return self._model.preprocess(photo).to(next(self._model.parameters()).device)  # type: ignore[no-any-return]

    def _probabilities(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return self._model(inputs).softmax(1)[0].cpu()  # type: ignore[no-any-return]

    def _ranked(self, probabilities: Tensor) -> list[dict[str, Any]]:
        top = probabilities.topk(min(5, len(probabilities)))
        return [
            {"class": self._model.classes[k], "index": k, "probability": round(p, 6)}
            for k, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]

    def _digest(self, photo: Image.Image) -> str:
        """Of all that a picture depends on."""
        content = hashlib.sha256(f"{self._made} {photo.mode} {photo.size}".encode())
        content.update(photo.tobytes())
        return content.hexdigest()


def _several(photos: Sequence[str], output: Path) -> dict[str, Path]:
    if output.exists() and not output.is_dir():
        raise ValueError(f"output {str(output)!r} is a file; several photographs need a folder")
    if output.suffix.lower() == ".png" and not output.exists():
        raise ValueError(f"output {str(output)!r} is no folder, which several photographs need")
    pairs: dict[str, Path] = {}
    taken: set[str] = set()
    for photo in photos:
        if photo in PHOTOGRAPHS or not os.path.isdir(photo):
            found = {photo: Path(photo).name}
            if _elsewhere(photo):
                name = urlsplit(photo).path.rpartition("/")[2]
                found = {photo: re.sub(r"[^\w.-]", "_", name).strip(".") or "photo"}
        else:
            if output.exists() and output.samefile(photo):
                raise ValueError(f"output {str(output)!r} is the folder of the photographs")
            below = Path(os.path.abspath(output))
            # Explanations of an earlier run are no photographs.
            found = {
                os.path.join(photo, name): name
                for name in find_pictures(Path(photo))
                if below not in Path(os.path.abspath(os.path.join(photo, name))).parents
                or below in Path(os.path.abspath(photo)).parents
            }
        for source, name in found.items():
            if source not in pairs:
                free, k = name, 1
                while free.casefold() in taken:  # of another folder
                    k += 1
                    free = f"{name}-{k}"
                taken.add(free.casefold())
                pairs[source] = output / f"{free}.png"
    return pairs


def _elsewhere(photo: str) -> bool:
    return photo in PHOTOGRAPHS or photo.startswith(("http://", "https://"))


def _identity(path: str | Path) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_dev, about.st_ino


def _told(picture: Path) -> dict[str, Any] | None:
    """The text in a PNG of ours."""
    try:
        with Image.open(picture) as image:
            told = {str(key): value for key, value in image.info.items()}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return told if str(told.get("Software", "")).startswith("dga ") else None
