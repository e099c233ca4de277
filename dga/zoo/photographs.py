"""Photographs: from a file, an address, bytes, or scikit-image; and all that a folder holds."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

Image.init()  # all formats now: photographs are read in threads
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
# Pillow only recognises these, or hands them to another program (EPS to Ghostscript).
_NOT_READ = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"))
_PNG = b"\x89PNG\r\n\x1a\n"  # with which such a file begins
# Two copies, as turning upright needs, take less than a gigabyte.
_MOST_PIXELS = 110_000_000
_MOST_ROWS = 1_000_000  # each of which takes memory of its own
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The depths that cameras, scanners and masks have, in bits.
_DEPTHS = (1, 2, 4, 8, 10, 12, 14, 16, 24, 31)


def load_photo(source: str | Path | bytes) -> Image.Image:
    """A photograph, turned upright, as an RGB image.

    Args:
        source: a path, a URL (http or https), the bytes of an image file, or the name of one of
            scikit-image's bundled photographs (chelsea, coffee, rocket, astronaut), which are free
            to use and need no network.

    Returns:
        PIL image.

    Raises:
        ValueError: naming the source, if it cannot be read as an image, has more than 110 million
            pixels or a side of more than a million, or a depth that Pillow would show black.
        TypeError: if the source is none of these.

    Example:
        >>> import dga
        >>> dga.load_photo("chelsea").size  # width and height
        (451, 300)
    """
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), f"of {len(source)} bytes")
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
    file = os.path.expanduser(text)
    if not os.path.isfile(file):
        names = ", ".join(PHOTOGRAPHS)
        raise ValueError(
            f"photo {text!r} is not a file; a path, a URL, or one of {names} is needed"
        )
    return _open(file, repr(text))


def _open(file: Any, label: str) -> Image.Image:
    try:
        return _decoded(file)
    except Exception as error:  # a damaged file makes the decoders raise anything at all
        with suppress(Exception):
            return _decoded(io.BytesIO(_without_metadata(file)))
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # whose message holds an object
            reason = "it is damaged, or of a kind that Pillow does not read"
        raise ValueError(f"photo {label} cannot be read as an image: {reason[:200]}") from error


def _decoded(file: Any) -> Image.Image:
    formats = [name for name in list(Image.OPEN) if name not in _NOT_READ]
    with Image.open(file, formats=formats) as photo:
        return _upright(photo)


def _without_metadata(file: Any) -> bytes:
    """A PNG or AVIF file without its EXIF, any damage in which Pillow takes for that of all."""
    with open(file, "rb") if isinstance(file, str) else io.BytesIO(file.getvalue()) as opened:
        content = opened.read(len(_PNG))
        if content != _PNG and content[4:] != b"ftyp":
            raise ValueError("neither a PNG nor an AVIF file")
        content += opened.read()
    if not content.startswith(_PNG):
        # An item of another kind is not looked at; which way is up stands elsewhere.
        return re.sub(rb"(infe.{8})Exif", rb"\1none", content, flags=re.DOTALL)
    kept, start = [_PNG], len(_PNG)
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        name = content[start + 4 : start + 8]
        if name[:1].isupper() or name == b"tRNS":  # the chunks that hold the picture
            kept.append(content[start:end])
        start = end
    return b"".join(kept)


def _upright(photo: Any) -> Image.Image:
    width, height = photo.size
    if width * height > _MOST_PIXELS:
        raise ValueError(
            f"{width} x {height} are more than {_MOST_PIXELS:,} pixels; make it smaller"
        )
    if height > _MOST_ROWS or width > _MOST_ROWS:
        raise ValueError(f"{width} x {height}: a side has more than {_MOST_ROWS:,} pixels")
    orientation = None
    if photo.format == "TIFF":
        # Strips that are missing would be black, without a word from Pillow.
        if max(extents[3] for _, extents, *_ in photo.tile) < photo.tag_v2[0x0101]:
            raise ValueError("it holds fewer rows than it says")
        # Pillow turns it after loading, and fails on tags of a wrong type.
        orientation = photo.tag_v2.get(0x0112) or _orientation(photo)
        photo.load_end = lambda: None
    wide = ";16" in str(photo.tile)  # how the file stores a colour, told only before loading
    photo.load()
    if wide and not photo.mode.startswith("I"):
        # Pillow keeps the upper byte of each colour: nearly nothing of 14 bits or fewer.
        colours = [band for band in photo.getbands() if band not in "AX"]
        if max(photo.getchannel(band).getextrema()[1] for band in colours) < 64:
            raise ValueError("its colours use a part of 16 bits only; save it with 8 bits a colour")
    turn = _TURNS.get(orientation or _orientation(photo))
    upright = to_rgb(photo if turn is None else photo.transpose(turn))
    if upright is photo:  # a plain image, without its file
        upright = photo.copy()
    # Not `ImageOps.exif_transpose`, which writes EXIF anew and fails on tags of a wrong type.
    for key in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
        upright.info.pop(key, None)
    return upright


def _orientation(photo: Image.Image) -> Any:
    """As EXIF or XMP says; 1, as it lies, where they are damaged: the pixels may be sound."""
    try:
        value = photo.getexif().get(0x0112, 1)
        return value if isinstance(value, int) else 1
    except Exception:  # Pillow's readers of metadata raise anything at all
        return 1


def to_rgb(photo: Image.Image) -> Image.Image:
    """Any image as 8-bit RGB: deeper ones are scaled, transparent parts are laid on white.

    Deeper images seldom say how many of their bits they use (a scanner's 12 bits come in 16). The
    range is taken to be that of the smallest usual depth which holds the brightest pixel.

    Args:
        photo: of any mode but floating point.

    Raises:
        ValueError: if the image holds floating-point or negative values, or is empty.

    Example:
        >>> clear = Image.new("RGBA", (1, 1), (255, 0, 0, 0))
        >>> to_rgb(clear).getpixel((0, 0))
        (255, 255, 255)
        >>> to_rgb(Image.new("I;16", (1, 1), 4095)).getpixel((0, 0))  # the white of 12 bits
        (255, 255, 255)
    """
    if not photo.width or not photo.height:
        raise ValueError(f"photo is empty: {photo.width} x {photo.height} pixels")
    if photo.mode.startswith("I"):
        photo = _eight_bits(photo.convert("I"))
    elif photo.mode == "F":
        raise ValueError("photo holds floating-point values; an image of 8 or 16 bits is needed")
    if photo.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in photo.info:
        if photo.mode == "La":
            photo = photo.convert("LA")
        clear = photo if photo.mode == "RGBA" else photo.convert("RGBA")
        photo = Image.new("RGB", photo.size, "white")
        photo.paste(clear, mask=clear)
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def _eight_bits(photo: Image.Image) -> Image.Image:
    low, high = photo.getextrema()
    if low < 0:  # type: ignore[operator]
        raise ValueError(f"photo holds values from {low} to {high}; 8 or 16 bits are needed")
    white = next(2**bits - 1 for bits in _DEPTHS if high < 2**bits)  # type: ignore[operator]
    # A linear function is all that Pillow applies to integers; the half rounds.
    return photo.point(lambda value: value * (255 / white) + 0.5).convert("L")


def find_pictures(folder: str | Path) -> list[str]:
    """Every picture below a folder, sorted, as paths relative to it with slashes.

    What Pillow can read by its name, with what packages have added to it (pillow-heif, say). Hidden
    folders and files are left out (names with a dot in front, and `__MACOSX`); a file or folder
    that several links lead to counts once. One warning tells of all that is left out otherwise.

    Args:
        folder: searched with its subfolders.

    Raises:
        ValueError: if it is not a folder, cannot be read, or holds no pictures.

    Example:
        >>> find_pictures(Path("nowhere"))
        Traceback (most recent call last):
        ValueError: folder 'nowhere' is not a folder
    """
    label, root = f"folder {str(folder)!r}", os.fspath(folder)
    if not os.path.isdir(root):
        raise ValueError(f"{label} is not a folder")
    formats = Image.registered_extensions()
    kinds = {kind for kind, f in formats.items() if f in Image.OPEN and f not in _NOT_READ}
    files, unread = _walk(root)
    found = sorted(name for name in files if _kind(name) in kinds)
    others = Counter(_kind(name) or "no ending" for name in files if _kind(name) not in kinds)
    told = []
    if others:
        counts = ", ".join(f"{kind!r} {count}" for kind, count in others.most_common(8))
        told.append(f"files of kinds that Pillow does not read ({counts})")
    if unread:
        more = f" and {len(unread) - 8} more" if len(unread) > 8 else ""
        told.append(", ".join(unread[:8]) + more)
    if not found:
        besides = f": it has {'; '.join(told)}" if told else ""
        raise ValueError(f"{label} holds no pictures{besides}")
    if told:
        # From this line whoever calls: Python shows the same warning once.
        warnings.warn(f"{label}: left out {'; '.join(told)}", stacklevel=1)
    return found


def _kind(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _walk(root: str) -> tuple[list[str], list[str]]:
    """The files below a folder, and what could not be read, each with the reason."""
    files: dict[str, str] = {}  # by where they really are
    unread: list[str] = []
    seen: set[str] = set()
    above = os.path.join(os.path.realpath(root), "")
    todo: list[str] = [""]
    links: list[str] = []
    while todo or links:
        # Links last, so that what lies in the folder itself has its own name.
        name = todo.pop() if todo else links.pop(0)
        path = os.path.join(root, name)
        real = os.path.realpath(path)
        if os.path.isfile(path):
            files.setdefault(real, name)
            continue
        # A link to a folder that holds this one would lead everywhere.
        if real in seen or (name and above.startswith(os.path.join(real, ""))):
            continue
        seen.add(real)
        try:
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            if not name:
                raise ValueError(f"folder {root!r} cannot be read: {error.strerror}") from error
            unread.append(f"{name!r} ({error.strerror})")
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            inside = f"{name}/{entry.name}" if name else entry.name
            if entry.is_symlink():
                links.append(inside)
            else:
                todo.append(inside)
    return list(files.values()), unread
