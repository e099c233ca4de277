"""The drawn pictures with their ground truth: shipped, or a series rendered now."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dga.validation import check_choice, check_count
from dga.zoo.files import DATA, write_atomically
from dga.zoo.rendering import OBJECTS, SCENES, SIZE, Picture, render

# Every series of pictures has a seed of its own; training pictures are never shown to a reader.
SEEDS = {"train": 1, "test": 2022, "two": 3, "watermark": 4, "figures": 7}


class Row(NamedTuple):
    """What a shipped picture is made from: a line of its table.

    Attributes:
        seed, number: of `dga.zoo.rendering.render`.
        label, scene: indices into `dga.zoo.rendering.OBJECTS` and `SCENES`.

    Example:
        >>> Row(seed=7, number=57, label=7, scene=0).render().image.shape
        (64, 64, 3)
    """

    seed: int
    number: int
    label: int
    scene: int

    def render(self) -> Picture:
        """The picture, with its ground truth."""
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
        labels, scenes: int64 (B,), indices into `dga.zoo.rendering.OBJECTS` and `SCENES`.
        masks: bool (B, 64, 64), the pixels of the object.
        without: uint8 (B, 64, 64, 3), the same pictures without object and watermark, or None
            where they were not asked for.
        second_labels, second_masks: the other object, in split "two".
        watermarks: bool (B, 64, 64), the pixels of the watermark, in split "watermark".

    Example:
        >>> import dga
        >>> pictures = dga.load_images("figures", 3)
        >>> len(pictures), pictures.images.shape, tuple(pictures.masks.shape)
        (3, (3, 64, 64, 3), (3, 64, 64))
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

    Raises:
        ValueError: for another split, or more pictures than are shipped.

    Example:
        >>> import dga
        >>> from dga.zoo.rendering import OBJECTS
        >>> pictures = dga.load_images("two", 2)
        >>> [OBJECTS[k] for k in pictures.labels], [OBJECTS[k] for k in pictures.second_labels]
        (['car', 'umbrella'], ['mushroom', 'car'])
    """
    check_choice("split", split, ("test", "figures", "two", "watermark", "small", "train"))
    if count is not None:
        check_count("count", count)
    if split not in ("test", "figures"):
        return _stack([_series(split, index) for index in range(count or 100)])
    with open(DATA / "pictures" / f"{split}.csv", newline="", encoding="utf-8") as file:
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
    """Renders a shipped split: a sheet of pictures, a sheet of masks, and a table.

    Args:
        split: the name of the files.
        rows: what the pictures are made from.
        folder: where the files go; it is made if need be.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_pictures("one", FIGURES[:1], Path(folder))
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['one.csv', 'one.png', 'one_masks.png']
    """
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
