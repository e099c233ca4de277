"""From a picture to what a network takes, and back to what a person sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision import transforms

from dga.zoo.photographs import to_rgb

_LONGEST = 32  # times the width


@dataclass(frozen=True)
class Preprocess:
    """From a photograph to the input of a network, as it was trained, and back to colours.

    Attributes:
        transform: from an RGB image to the normalised input (3, size, size), as the library that
            trained the network has it.
        size: height and width of the network's input.
        mean, std: of the normalisation, per channel, of values in 0..1.

    Example:
        >>> import dga
        >>> model = dga.load_model("resnet")
        >>> x = model.preprocess(dga.load_photo("coffee"))
        >>> tuple(x.shape), model.preprocess.restore(x).shape
        ((1, 3, 64, 64), (1, 64, 64, 3))
    """

    transform: Callable[[Image.Image], Tensor]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, picture: Image.Image | NDArray[np.uint8]) -> Tensor:
        """A photograph, or uint8 pictures (B, H, W, 3) or (H, W, 3) -> (B, 3, size, size).

        Photographs are resized and cropped as the network was trained; of a strip more than 32
        times as long as wide, the middle is taken first. Arrays that already have the network's
        size are taken as they are.

        Raises:
            TypeError: if the picture is neither an image nor an array.
            ValueError: for an array of another shape or dtype.
        """
        if isinstance(picture, Image.Image):
            return self._resized(picture)[None]
        if not isinstance(picture, np.ndarray):
            raise TypeError(
                f"picture must be a PIL image or an array, got {type(picture).__name__}"
            )
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
            return torch.stack([self._resized(Image.fromarray(one)) for one in batch])
        x = torch.from_numpy(batch.copy()).permute(0, 3, 1, 2).float() / 255
        return ((x - _column(self.mean)) / _column(self.std)).contiguous()

    def _resized(self, picture: Image.Image) -> Tensor:
        # A pixel's width becomes the network's: uncropped, a strip would grow to gigabytes.
        picture = to_rgb(picture)
        width, height = picture.size
        inside = min(width, _LONGEST * height), min(height, _LONGEST * width)
        if inside != picture.size:
            left, top = (width - inside[0]) // 2, (height - inside[1]) // 2
            picture = picture.crop((left, top, left + inside[0], top + inside[1]))
        return self.transform(picture)

    def restore(self, inputs: Tensor) -> NDArray[np.float32]:
        """Normalised inputs (B, 3, H, W) -> pictures (B, H, W, 3) in 0..1."""
        x = inputs.detach().cpu().float() * _column(self.std) + _column(self.mean)
        return x.clamp(0, 1).permute(0, 2, 3, 1).numpy()


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, device="cpu").view(1, 3, 1, 1)


def resize_and_crop(
    size: int,
    resize: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    interpolation: str = "bilinear",
) -> Preprocess:
    """The usual preparation: the shorter side to `resize`, the central square of `size`.

    Args:
        size, resize: in pixels.
        mean, std: of the normalisation, per channel, of values in 0..1.
        interpolation: a name that torchvision knows, such as "bilinear" or "bicubic".

    Example:
        >>> preprocess = resize_and_crop(224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        >>> preprocess(Image.new("RGB", (640, 480))).shape
        torch.Size([1, 3, 224, 224])
    """
    transform = transforms.Compose(
        [
            transforms.Resize(resize, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return Preprocess(transform, size, mean, std)
