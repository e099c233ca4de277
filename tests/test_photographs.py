"""Photographs as people have them: damaged, deep, narrow, oddly named; folders with links."""

from __future__ import annotations

import io
import os
import random
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

import dga
from dga.experiments import evaluation
from dga.zoo import photographs
from dga.zoo.photographs import find_pictures, to_rgb
from dga.zoo.preprocessing import resize_and_crop

NOISE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def exif(*tags, orientation=6):
    """EXIF in which tags have types of another kind than Pillow expects."""
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", orientation, 0)), *tags])
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(16)


BROKEN = {
    "unit in words": exif((0x0128, 2, 4, b"inch")),
    "resolution in words": exif((0x011A, 2, 4, b"72in")),
    "a program that is a number": exif((0x0131, 5, 1, struct.pack("<I", 8))),
    "an endless tag": exif((0x010F, 2, 2**32 - 1, struct.pack("<I", 2**31))),
}


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Tag data larger than file")
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("what", BROKEN)
def test_sound_pixels_with_broken_exif_are_read_and_turned(kind, what):
    lossless = {"webp": {"lossless": True}}.get(kind, {})
    photo = dga.load_photo(saved(Image.fromarray(NOISE), kind, exif=BROKEN[what], **lossless))
    plain = Image.open(io.BytesIO(saved(Image.fromarray(NOISE), kind, **lossless)))
    assert np.array_equal(np.asarray(photo), np.rot90(np.asarray(plain.convert("RGB")), -1))
    assert not photo.getexif(), "nobody turns it again"


WRITTEN = {0x0128: (3, 1, 2), 0x011A: (5, 1, 72.0), 0x0131: (2, 4, "dga"), 0x010F: (2, 4, "dga")}


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it repairs
@pytest.mark.parametrize("kind", ["tiff", "avif"])
@pytest.mark.parametrize("what", [*BROKEN, "a pointer that is a number", "no header"])
def test_sound_pixels_beside_exif_that_pillow_would_not_write(kind, what):
    if kind.upper() not in Image.SAVE:
        pytest.skip(f"Pillow without {kind}")
    tags = Image.Exif()
    tags[0x0112] = 6
    for tag, (_, _, value) in WRITTEN.items():
        tags[tag] = value
    tags.get_ifd(0x8769)[0x829A] = 0.01
    content = saved(Image.fromarray(NOISE), kind, exif=tags.tobytes())
    right = np.asarray(dga.load_photo(content))
    assert right.shape == (24, 16, 3)
    if kind == "tiff":
        assert np.array_equal(right, np.rot90(NOISE, -1))
        if what == "no header":
            return  # it is the picture's own
    header = b"II*\0" if b"II*\0" in content else b"MM\0*"
    form = ("<" if header == b"II*\0" else ">") + "HHI"
    if what == "no header":
        before, after = header, b"none"
    else:
        entries = BROKEN.get(what, exif((0x8769, 5, 1, bytes(4))))[16:40]
        parts = [struct.unpack("<HHI", entries[k : k + 8]) for k in (0, 12)]
        tag, *other = next(part for part in parts if part[0] != 0x0112)
        before = struct.pack(form, tag, *WRITTEN.get(tag, (4, 1))[:2])
        after = struct.pack(form, tag, *other)
    assert content.count(before) == 1
    assert np.array_equal(np.asarray(dga.load_photo(content.replace(before, after))), right)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_every_orientation_is_that_of_pillow(kind):
    from PIL import ImageOps

    for orientation in range(10):
        content = saved(Image.fromarray(NOISE), kind, exif=exif(orientation=orientation))
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        assert np.array_equal(np.asarray(dga.load_photo(content)), np.asarray(upright))


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        lambda png: png[:33] + chunk(b"eXIf", b"MM\0*")[:-4] + b"0000" + png[33:],
        lambda png: png[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21))) + png[33:],
        lambda png: (
            png[:33]
            + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\nzz"))
            + png[33:]
        ),
    ],
    ids=["wrong sum", "huge text", "no hex"],
)
def test_png_with_broken_metadata_is_read(damage):
    content = damage(saved(Image.fromarray(NOISE), "png"))
    assert np.array_equal(np.asarray(dga.load_photo(content)), NOISE)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_part_of_16_bits_is_scaled(kind, bits):
    grey = NOISE[..., 0].copy()
    grey[0, 0] = 255
    deep = np.rint(grey / 255 * (2**bits - 1)).astype(np.uint16)
    seen = np.asarray(dga.load_photo(saved(Image.fromarray(deep), kind)))
    assert np.abs(seen[..., 1].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I;16N", "I"])
def test_deep_modes_are_scaled(mode):
    image = Image.new(mode, (3, 2), 4095)
    image.putpixel((0, 0), 2048)
    assert to_rgb(image).getpixel((2, 1)) == (255,) * 3
    assert to_rgb(image).getpixel((0, 0)) == (128,) * 3


@pytest.mark.parametrize(("white", "seen"), [(1, 255), (255, 255), (2**24 - 1, 255), (2**30, 128)])
def test_32_bits_are_scaled(white, seen):
    content = saved(Image.new("I", (2, 2), white), "tiff")
    assert dga.load_photo(content).getpixel((0, 0)) == (seen,) * 3


def deep_png(values):
    """A PNG file with 16 bits for each of three colours, which Pillow cannot write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return photographs._PNG + b"".join(chunk(*part) for part in parts)


def test_deep_colours_are_read_or_refused_but_never_black():
    seen = np.asarray(dga.load_photo(deep_png(NOISE.astype(np.uint16) * 257)))
    assert np.array_equal(seen, NOISE)
    for shift in (4, 8):
        with pytest.raises(ValueError, match="a part of 16 bits only"):
            dga.load_photo(deep_png(NOISE.astype(np.uint16) << (8 - shift)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("F", (2, 2)), "floating-point values"),
        (Image.new("I", (2, 2), -5), "values from -5 to -5"),
    ],
)
def test_what_has_no_evident_range_is_refused_by_name(image, message, tmp_path):
    image.save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=rf"photo '.*deep\.tif'.*{message}"):
        dga.load_photo(tmp_path / "deep.tif")


def test_transparent_parts_are_white_in_every_mode():
    for mode in ("RGBA", "LA", "RGBa", "La", "PA"):
        clear = Image.new(mode, (2, 2))
        if mode == "PA":
            clear.putpalette([0, 0, 0])
        assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255), mode


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    for size in ((12_000, 12_000), (60_000, 60_000)):
        head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        parts = (b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")
        (tmp_path / "bomb.png").write_bytes(
            photographs._PNG + b"".join(chunk(*part) for part in parts)
        )
        began = time.perf_counter()
        with warnings.catch_warnings(), pytest.raises(ValueError, match=r"bomb\.png'.*pixels"):
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            dga.load_photo(tmp_path / "bomb.png")
        assert time.perf_counter() - began < 2


def test_a_tiff_with_missing_rows_is_refused(tmp_path):
    content = bytearray(saved(Image.fromarray(NOISE), "tiff"))
    at = content.index(struct.pack("<HHI", 257, 4, 1))
    content[at + 8] = 200  # rows, of which 16 are there
    assert Image.open(io.BytesIO(bytes(content))).convert("RGB").getpixel((0, 150)) == (0, 0, 0)
    with pytest.raises(ValueError, match="fewer rows than it says"):
        dga.load_photo(bytes(content))


def test_programs_are_not_started_for_a_picture(tmp_path):
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ValueError, match=r"a\.eps' cannot be read as an image: it is damaged, or"):
        dga.load_photo(tmp_path / "a.eps")


@pytest.mark.parametrize("size", [(65_500, 1), (1, 65_500), (33, 1)])
def test_a_strip_is_cropped_before_it_is_resized(size, monkeypatch):
    ours = resize_and_crop(224, 256, (0.5,) * 3, (0.5,) * 3)
    largest = []
    resize = Image.Image.resize

    def watched(self, to, *arguments, **options):
        largest.append(to[0] * to[1])
        return resize(self, to, *arguments, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    strip = Image.new("RGB", size, "white")
    strip.paste("black", (0, 0, size[0] // 4, size[1] // 4))  # far from the middle
    assert (ours(strip) == 1).all()
    assert (ours(np.asarray(strip)) == 1).all()
    assert max(largest) <= 32 * 256 * 256


def test_pictures_that_are_no_strips_are_prepared_as_before():
    ours = resize_and_crop(32, 40, (0.5,) * 3, (0.5,) * 3)
    for size in ((24, 16), (320, 10), (10, 320)):
        picture = Image.fromarray(NOISE).resize(size)
        assert (ours(picture) == ours.transform(picture)[None]).all()
    with pytest.raises(ValueError, match="photo is empty: 0 x 5 pixels"):
        ours(Image.new("RGB", (0, 5)))


def put(folder, *names):
    for name in names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.fromarray(NOISE).save(path, "png")


@pytest.mark.filterwarnings("error")
def test_hidden_folders_and_files_are_not_pictures(tmp_path):
    root = tmp_path / ".kept"  # the folder itself may be called anything
    put(root, "a.jpg", "b/c.PNG", ".ipynb_checkpoints/a-checkpoint.jpg", ".git/x.png")
    put(root, "__MACOSX/a.jpg", "b/.hidden.png", "b/._c.png")
    assert find_pictures(root) == ["a.jpg", "b/c.PNG"] == find_pictures(str(root))
    assert evaluation.find_pictures is find_pictures, "one walk for all"


@pytest.mark.filterwarnings("error")
def test_links_are_followed_once(tmp_path):
    root, far = tmp_path / "root", tmp_path / "far"
    put(root, "real/a.png", "z/b.png")
    put(far, "c.png", "deep/d.png")
    links = {
        "real/up": root, "real/self": root / "real", "above": tmp_path, "A": root / "z",
        "far": far, "far2": far, "deep": far / "deep", "one.png": far / "c.png",
        "two.png": root / "real" / "a.png",
    }  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)
    (far / "back").symlink_to(root)
    found = find_pictures(root)
    assert {"real/a.png", "z/b.png"} <= set(found)
    assert len(found) == 4 == len({os.path.realpath(root / name) for name in found})


def test_what_cannot_be_read_is_named_in_one_line(tmp_path, monkeypatch):
    put(tmp_path, "a.png", "shut/b.png", "x.avif", "y.jp2", "z.jfif", "g.gif")
    for name in ("h.heic", "i.HEIC", "t.txt", "README"):
        (tmp_path / name).write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("shut"):  # who is allowed everything may read such a folder
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.warns(UserWarning) as told:
        found = find_pictures(tmp_path)
    assert found == ["a.png", "g.gif", "x.avif", "y.jp2", "z.jfif"]
    (text,) = [str(warning.message) for warning in told]
    for part in ("'.heic' 2", "'.txt' 1", "no ending' 1", "'shut' (Permission denied)", "'loop'"):
        assert part in text
    assert "'gone.png' (No such file" in text and "\n" not in text
    with pytest.raises(ValueError, match=r"holds no pictures: it has .*'b\.heic'|'\.heic' 1"):
        (tmp_path / "only").mkdir()
        (tmp_path / "only" / "b.heic").write_text("")
        find_pictures(tmp_path / "only")


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "scandir", lambda _: (_ for _ in ()).throw(PermissionError(13, "No")))
    with pytest.raises(ValueError, match=r"folder '.*' cannot be read: No"):
        find_pictures(tmp_path)
    for wrong in (tmp_path / "none", "nul\0", "x" * 5000):
        with pytest.raises(ValueError, match="is not a folder"):
            find_pictures(wrong)


@pytest.mark.parametrize(
    "name", ["caf\udce9.png", "a\nb.png", "a\rb.png", "a\u2028b.png", "猫.png"]
)
def test_odd_names_are_found_and_told_in_one_line(name, tmp_path):
    put(tmp_path, name)
    assert find_pictures(tmp_path) == [name]
    assert np.array_equal(np.asarray(dga.load_photo(tmp_path / name)), NOISE)
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(ValueError) as error:
        dga.load_photo(tmp_path / name)
    assert len(str(error.value).splitlines()) == 1
    str(error.value).encode("utf-8")
    assert repr(name)[1:-1] in str(error.value)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    put(tmp_path, "a.png")
    assert dga.load_photo("~/a.png").size == (24, 16)


def flipped(content, rng):
    """Bytes changed, the end missing: as disks and networks leave files."""
    content = bytearray(content)
    if rng.random() < 0.15:
        return bytes(content[: rng.randrange(len(content))])
    for _ in range(rng.choice((1, 2, 8))):
        near = min(len(content), rng.choice((120, len(content))))
        content[rng.randrange(near)] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    return bytes(content)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it repairs
def test_damaged_files_are_read_or_refused_by_name(tmp_path):
    rng, read, refused = random.Random(0), 0, 0
    image = Image.fromarray(NOISE)
    kinds = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "TGA", "SGI", "JPEG2000", "DDS")
    files = {kind: saved(image, kind) for kind in kinds if kind in Image.SAVE}
    files |= {f"{kind} with EXIF": saved(image, kind, exif=exif()) for kind in kinds[:4]}
    files["16 bits"] = saved(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257), "PNG")
    for _ in range(60):
        for kind, content in files.items():
            path = tmp_path / f"{kind}.bin"
            path.write_bytes(flipped(content, rng))
            try:
                assert dga.load_photo(path).mode == "RGB"
                read += 1
            except ValueError as error:
                assert path.name in str(error) and " at 0x" not in str(error)
                assert "\n" not in str(error)
                refused += 1
    assert read > 50 and refused > 50
