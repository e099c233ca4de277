"""A photograph from a file, an address, bytes, or those that come with scikit-image."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")


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
        TypeError: if the source is none of these.

    Example:
        >>> import dga
        >>> dga.load_photo("chelsea").size  # width and height
        (451, 300)
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
        raise ValueError(
            f"photo {text!r} is not a file; a path, a URL, or one of {names} is needed"
        )
    return _open(text, text)


def _open(file: Any, label: str) -> Image.Image:
    try:
        return to_rgb(ImageOps.exif_transpose(Image.open(file)))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"photo {label} cannot be read as an image: {error}") from error


def to_rgb(photo: Image.Image) -> Image.Image:
    """Any image as 8-bit RGB: 16 bits are scaled, transparent parts are laid on white.

    Args:
        photo: of any mode but floating point.

    Raises:
        ValueError: if the image holds floating-point values.

    Example:
        >>> clear = Image.new("RGBA", (1, 1), (255, 0, 0, 0))
        >>> to_rgb(clear).getpixel((0, 0))
        (255, 255, 255)
    """
    if photo.mode.startswith("I"):
        wide = np.asarray(photo).astype(np.int64)
        photo = Image.fromarray((wide // 257).clip(0, 255).astype(np.uint8))
    elif photo.mode == "F":
        raise ValueError("photo holds floating-point values; an image of 8 or 16 bits is needed")
    if photo.mode in ("RGBA", "LA", "PA") or "transparency" in photo.info:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return photo.convert("RGB")
