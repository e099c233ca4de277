"""Pictures: the shipped ones with their ground truth, any image folder, a photograph."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from dga.render import OBJECTS, SCENES, SIZE, Picture, render
from dga.validation import check_choice, check_count

PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
_PACKAGED = Path(__file__).parent / "_data"  # inside an installed wheel
DATA = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parent.parent / "data"

# Every series of pictures has a seed of its own; training pictures are never shown to a reader.
SEEDS = {"train": 1, "test": 2022, "two": 3, "watermark": 4, "figures": 7}


class Row(NamedTuple):
    """What a shipped picture is made from."""

    seed: int
    number: int
    label: int
    scene: int

    def render(self) -> Picture:
        return render(self.seed, self.number, label=self.label, scene=self.scene)


TEST = [Row(SEEDS["test"], k, k % len(OBJECTS), k // 10 % len(SCENES)) for k in range(500)]
# Picked by hand, (number, object, scene).
_PICKED = (
    (57, "cat", "meadow"), (43, "boat", "sea"), (12, "mushroom", "forest"), (8, "car", "desert"),
    (31, "butterfly", "night"), (29, "umbrella", "city"), (44, "star", "desert"),
    (15, "heart", "meadow"), (16, "flower", "sea"), (10, "fish", "sea"), (30, "fish", "forest"),
    (37, "cat", "night"),
)  # fmt: skip
FIGURES = [
    Row(SEEDS["figures"], number, OBJECTS.index(label), SCENES.index(scene))
    for number, label, scene in _PICKED
]
_SHEET_COLUMNS = 25
# The case where DGA loses to IG on localisation is kept: small objects.
_SMALL_AREA = (0.04, 0.06)


@dataclass(frozen=True)
class ImageSet:
    """Pictures and their ground truth, aligned by position.

    Attributes:
        images: uint8 (B, 64, 64, 3).
        labels, scenes: int64 (B,), indices into `dga.data.OBJECTS` and `SCENES`.
        masks: bool (B, 64, 64), the pixels of the object.
        without: uint8 (B, 64, 64, 3), the same pictures without object and watermark, or None
            where they were not asked for.
        second_labels, second_masks: the other object, in split "two".
        watermarks: bool (B, 64, 64), the pixels of the watermark, in split "watermark".
    """

    images: NDArray[np.uint8]
    labels: Tensor
    scenes: Tensor
    masks: Tensor
    without: NDArray[np.uint8] | None = None
    second_labels: Tensor | None = None
    second_masks: Tensor | None = None
    watermarks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


def load_images(
    split: str = "test", count: int | None = None, *, without: bool = False
) -> ImageSet:
    """The shipped pictures with their ground truth, or a series rendered now.

    Args:
        split: "test" (500, shipped), "figures" (12 hand-picked, shipped), "two" (two objects of
            different classes), "watermark" (a mark in a corner), "small" (objects of 4 to 6 % of
            the picture), or "train". All but the first two are rendered, about 5 ms each.
        count: how many; None for all that are shipped, or 100 rendered ones.
        without: also give the pictures without their object (rendered).

    Returns:
        ImageSet.
    """
    check_choice("split", split, ("test", "figures", "two", "watermark", "small", "train"))
    if count is not None:
        check_count("count", count)
    if split not in ("test", "figures"):
        return _stack([_series(split, index) for index in range(count or 100)])
    with open(DATA / "pictures" / f"{split}.csv", newline="") as file:
        rows = [Row(*(int(row[key]) for key in Row._fields)) for row in csv.DictReader(file)]
    if count is not None and count > len(rows):
        raise ValueError(f"count is {count}, but split {split!r} has {len(rows)} pictures")
    rows = rows[:count]
    images = _cut(DATA / "pictures" / f"{split}.png", len(rows))
    masks = _cut(DATA / "pictures" / f"{split}_masks.png", len(rows))
    return ImageSet(
        images,
        torch.tensor([row.label for row in rows]),
        torch.tensor([row.scene for row in rows]),
        torch.from_numpy(masks > 0),
        np.stack([row.render().without for row in rows]) if without else None,
    )


def _series(split: str, index: int) -> Picture:
    if split == "two":
        return render(SEEDS["two"], index, two=True)
    if split == "watermark":
        return render(SEEDS["watermark"], index, watermark=True)
    if split == "small":
        return render(SEEDS["test"], 10_000 + index, area=_SMALL_AREA)
    return render(SEEDS["train"], index)


def _stack(pictures: list[Picture]) -> ImageSet:
    def optional(name: str) -> Any:
        values = [getattr(picture, name) for picture in pictures]
        return None if values[0] is None else torch.from_numpy(np.stack(values))

    return ImageSet(
        np.stack([p.image for p in pictures]),
        torch.tensor([p.label for p in pictures]),
        torch.tensor([p.scene for p in pictures]),
        torch.from_numpy(np.stack([p.mask for p in pictures])),
        np.stack([p.without for p in pictures]),
        optional("second_label"),
        optional("second_mask"),
        optional("watermark"),
    )


def _cut(path: Path, count: int) -> NDArray[np.uint8]:
    """The first tiles of a sheet of pictures, row by row."""
    sheet = np.asarray(Image.open(path))
    at = [divmod(k, _SHEET_COLUMNS) for k in range(count)]
    return np.stack([sheet[r * SIZE : (r + 1) * SIZE, c * SIZE : (c + 1) * SIZE] for r, c in at])


def write_pictures(split: str, rows: list[Row], folder: Path) -> None:
    """Renders a shipped split: a sheet of pictures, a sheet of masks, and a table."""
    pictures = [row.render() for row in rows]
    columns = min(_SHEET_COLUMNS, len(rows))
    height = -(-len(rows) // columns) * SIZE
    sheet = np.zeros((height, _SHEET_COLUMNS * SIZE, 3), np.uint8)
    masks = np.zeros((height, _SHEET_COLUMNS * SIZE), np.uint8)
    for k, picture in enumerate(pictures):
        r, c = divmod(k, _SHEET_COLUMNS)
        tile = np.s_[r * SIZE : (r + 1) * SIZE, c * SIZE : (c + 1) * SIZE]
        sheet[tile] = picture.image
        masks[tile] = picture.mask * np.uint8(255)
    folder.mkdir(parents=True, exist_ok=True)
    width = columns * SIZE
    write_atomically(folder / f"{split}.png", _png(Image.fromarray(sheet[:, :width])))
    write_atomically(
        folder / f"{split}_masks.png", _png(Image.fromarray(masks[:, :width]).convert("1"))
    )
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*Row._fields, "object_name", "scene_name"])
    for row in rows:
        writer.writerow([*row, OBJECTS[row.label], SCENES[row.scene]])
    write_atomically(folder / f"{split}.csv", table.getvalue().encode())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that it is there in full or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Preprocess:
    """From a picture to what a network takes, and back to what a person sees.

    Attributes:
        size: height and width of the network's input.
        resize: length of the shorter side before the central crop.
        mean, std: per channel, of values in 0..1.
        interpolation: of the resizing, "bilinear" or "bicubic".
    """

    size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"

    def __call__(self, picture: Image.Image | NDArray[np.uint8]) -> Tensor:
        """A photograph, or uint8 pictures (B, H, W, 3) or (H, W, 3) -> (B, 3, size, size).

        Photographs are resized and cropped as the network was trained; arrays that already have
        the network's size are taken as they are.
        """
        if not isinstance(picture, Image.Image | np.ndarray):
            raise TypeError(
                f"picture must be a PIL image or an array, got {type(picture).__name__}"
            )
        if isinstance(picture, Image.Image):
            picture = np.asarray(self.crop(picture))
        if (
            not picture.size
            or picture.dtype != np.uint8
            or picture.ndim not in (3, 4)
            or picture.shape[-1] != 3
        ):
            raise ValueError(
                f"picture is {picture.dtype} {picture.shape}; a PIL image or uint8 (B, H, W, 3) "
                "is needed"
            )
        batch = picture if picture.ndim == 4 else picture[None]
        if batch.shape[1:3] != (self.size, self.size):
            batch = np.stack([np.asarray(self.crop(Image.fromarray(one))) for one in batch])
        x = torch.from_numpy(batch.copy()).permute(0, 3, 1, 2).float() / 255
        return ((x - self._column(self.mean)) / self._column(self.std)).contiguous()

    def crop(self, photo: Image.Image) -> Image.Image:
        """The part of a photograph that the network will see, in its resolution."""
        photo = _to_rgb(photo)
        width, height = (int(self.resize * side / min(photo.size)) for side in photo.size)
        photo = photo.resize((width, height), Image.Resampling[self.interpolation.upper()])
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return photo.crop((left, top, left + self.size, top + self.size))

    def restore(self, inputs: Tensor) -> NDArray[np.float32]:
        """Normalised inputs (B, 3, H, W) -> pictures (B, H, W, 3) in 0..1."""
        x = inputs.detach().cpu().float() * self._column(self.std) + self._column(self.mean)
        return x.clamp(0, 1).permute(0, 2, 3, 1).numpy()

    @staticmethod
    def _column(values: tuple[float, float, float]) -> Tensor:
        return torch.tensor(values).view(1, 3, 1, 1)


def load_photo(source: str | Path | bytes) -> Image.Image:
    """A photograph, turned upright, as an RGB image.

    Args:
        source: a path, a URL (http or https), the bytes of an image file, or the name of one of
            scikit-image's bundled photographs (chelsea, coffee, rocket, astronaut), which are free
            to use and need no network.

    Returns:
        PIL image.

    Raises:
        ValueError: naming the source, if it cannot be read as an image.
    """
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), f"{len(source)} bytes")
    if not isinstance(source, str | Path):
        raise TypeError(f"source must be a path, URL, name or bytes, got {type(source).__name__}")
    text = str(source)
    if text in PHOTOGRAPHS:
        try:
            from skimage import data
        except ImportError as error:
            raise ValueError(
                f"photograph {text!r} comes with scikit-image: pip install scikit-image"
            ) from error
        return Image.fromarray(getattr(data, text)())
    if text.startswith(("http://", "https://")):
        from http.client import HTTPException
        from urllib.request import Request, urlopen

        try:
            with urlopen(Request(text, headers={"User-Agent": "dga"}), timeout=20) as answer:
                content = answer.read()
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a malformed address
            raise ValueError(f"photo {text} could not be fetched: {error}") from error
        return _open(io.BytesIO(content), text)
    if not os.path.isfile(text):
        names = ", ".join(PHOTOGRAPHS)
        raise ValueError(f"photo {text!r} is no file; a path, a URL, or one of {names} is needed")
    return _open(text, text)


def _open(file: Any, label: str) -> Image.Image:
    try:
        return _to_rgb(ImageOps.exif_transpose(Image.open(file)))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"photo {label} cannot be read as an image: {error}") from error


def _to_rgb(photo: Image.Image) -> Image.Image:
    """Any image as 8-bit RGB: 16 bits are scaled, transparent parts are laid on white."""
    if photo.mode.startswith("I"):
        wide = np.asarray(photo).astype(np.int64)
        photo = Image.fromarray((wide // 257).clip(0, 255).astype(np.uint8))
    elif photo.mode == "F":
        raise ValueError("photo holds floating-point values; an image of 8 or 16 bits is needed")
    if photo.mode in ("RGBA", "LA", "PA") or "transparency" in photo.info:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return photo.convert("RGB")


def image_folder(path: str | Path, preprocess: Preprocess) -> Any:
    """Your own pictures: one folder per class, as torchvision's ImageFolder wants them.

    Args:
        path: the folder.
        preprocess: of the network that will see them, `model.preprocess`.

    Returns:
        torchvision ImageFolder of (inputs (3, H, W), label) pairs; `.classes` holds the names.
    """
    from torchvision.datasets import ImageFolder

    if not Path(path).is_dir():
        raise ValueError(f"path {str(path)!r} is no folder")
    try:
        return ImageFolder(str(path), partial(_single, preprocess), loader=load_photo)
    except FileNotFoundError as error:
        raise ValueError(f"path {str(path)!r} holds no folders of pictures: {error}") from error


def _single(preprocess: Preprocess, photo: Image.Image) -> Tensor:
    return preprocess(photo)[0]


def real_folder() -> Path | None:
    """The optional folder of real photographs (environment variable DGA_REAL), or None."""
    named = os.environ.get("DGA_REAL", "../shared/real")
    folder = Path(__file__).parent.parent / named  # an absolute path stays what it is
    return folder if (folder / "labels.csv").is_file() else None
