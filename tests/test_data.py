"""The shipped pictures: rebuilt equal, true to what is promised of them; photographs; folders."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

import dga
from dga.zoo.files import DATA
from dga.zoo.loading import SHAPES
from dga.zoo.photographs import PHOTOGRAPHS
from dga.zoo.pictures import FIGURES, TEST, write_pictures
from dga.zoo.preprocessing import resize_and_crop
from dga.zoo.rendering import OBJECTS, SCENES, render

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("split", "rows"), [("test", TEST), ("figures", FIGURES)])
def test_rebuilt_pictures_are_equal(split, rows, tmp_path):
    write_pictures(split, rows, tmp_path)
    for name in (f"{split}.png", f"{split}_masks.png"):
        shipped = np.asarray(Image.open(DATA / "pictures" / name))
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), shipped)
    table = (DATA / "pictures" / f"{split}.csv").read_text()
    assert (tmp_path / f"{split}.csv").read_text() == table
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [f"{split}.png", f"{split}_masks.png", f"{split}.csv"]
    )


def test_test_set():
    test = dga.load_images()
    assert len(test) == 500 and test.images.shape == (500, 64, 64, 3)
    area = test.masks.float().mean((1, 2))
    assert 0.08 <= area.min() and area.max() <= 0.25
    assert (test.labels.bincount() == 50).all()
    assert len(test.scenes.unique()) == len(SCENES) and test.scenes.bincount().min() >= 80
    size = sum(p.stat().st_size for p in (DATA / "pictures").iterdir())
    assert size <= 5_000_000


def test_without_differs_on_object_and_shadow_only():
    some = dga.load_images("test", 20, without=True)
    changed = torch.from_numpy((some.images != some.without).any(-1))
    inside = (changed & some.masks).sum() / some.masks.sum()
    assert inside > 0.98  # a colour can coincide
    for k in range(20):
        near = torch.nn.functional.max_pool2d(some.masks[k].float()[None], 27, 1, 13)[0] > 0
        assert not (changed[k] & ~near).any()


def test_pictures_depend_on_seed_and_index_alone():
    first = render(5, 17)
    render(5, 18)
    again = render(5, 17)
    assert np.array_equal(first.image, again.image) and first.label == again.label
    assert not np.array_equal(first.image, render(6, 17).image)


def test_two_objects():
    two = dga.load_images("two", 10)
    assert (two.labels != two.second_labels).all()
    assert not (two.masks & two.second_masks).any()
    for masks in (two.masks, two.second_masks):
        assert 0.08 <= masks.float().mean((1, 2)).min()


def test_watermark_is_small_and_in_a_corner():
    marked = dga.load_images("watermark", 10)
    share = marked.watermarks.float().mean((1, 2))
    assert 0.005 < share.min() and share.max() < 0.03
    middle = marked.watermarks[:, 16:-16].any() | marked.watermarks[:, :, 16:-16].any()
    assert not middle


def test_small_objects_are_small():
    area = dga.load_images("small", 10).masks.float().mean((1, 2))
    assert 0.04 <= area.min() and area.max() <= 0.06


def test_figures_show_every_object_and_scene():
    figures = dga.load_images("figures")
    assert len(figures) == 12
    assert len(figures.labels.unique()) == len(OBJECTS)
    assert len(figures.scenes.unique()) == len(SCENES)


def test_load_images_errors():
    with pytest.raises(ValueError, match="split must be one of 'test'"):
        dga.load_images("validation")
    with pytest.raises(ValueError, match="split 'figures' has 12 pictures"):
        dga.load_images("figures", 13)
    with pytest.raises(ValueError, match="count must be at least 1"):
        dga.load_images("test", 0)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_bundled_photographs(name):
    pytest.importorskip("skimage")
    assert dga.load_photo(name).mode == "RGB"


def test_load_photo_from_path_and_bytes_turned_upright(tmp_path):
    image = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    buffer = io.BytesIO()
    image.save(buffer, "png", exif=exif)
    path = tmp_path / "photo.png"
    path.write_bytes(buffer.getvalue())
    for source in (path, str(path), buffer.getvalue()):
        assert dga.load_photo(source).size == (4, 6)
    image.convert("L").save(path)
    assert dga.load_photo(path).mode == "RGB"


def test_load_photo_of_other_depths():
    def png(array, mode=None):
        buffer = io.BytesIO()
        Image.fromarray(array, mode).save(buffer, "png")
        return dga.load_photo(buffer.getvalue())

    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    assert np.abs(np.asarray(png(ramp))[..., 0] - ramp / 257.0).max() <= 1
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[..., 0] = 255  # red, and fully transparent
    assert (np.asarray(png(clear)) == 255).all()


def test_load_photo_errors(tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    for source, message in [
        (tmp_path / "none.jpg", "is not a file"),
        (text, "cannot be read as an image"),
        (b"rubbish", "7 bytes cannot be read as an image"),
        (b"", "0 bytes cannot be read"),
        ("http://127.0.0.1:9/cat.jpg", "could not be fetched"),
        ("http://127.0.0.1:9/a cat.jpg", "http://127.0.0.1:9/a cat.jpg could not be fetched"),
        ("http://[::1", "could not be fetched"),
        ("x" * 5000, "is not a file"),
    ]:
        with pytest.raises(ValueError, match=message):
            dga.load_photo(source)
    with pytest.raises(TypeError, match="got int"):
        dga.load_photo(3)


@pytest.mark.parametrize("name", ["resnet18", "inception_v3", "efficientnet_b0", "swin_t"])
def test_preprocess_is_torchvisions(name):
    from torchvision.models import get_model_weights

    pytest.importorskip("skimage")
    transform = get_model_weights(name).DEFAULT.transforms()
    ours = dga.load_model(name, None).preprocess
    for photo in map(dga.load_photo, PHOTOGRAPHS):
        for turned in (photo, photo.rotate(90, expand=True)):
            torch.testing.assert_close(ours(turned)[0], transform(turned), rtol=0, atol=1e-5)


def test_preprocess_and_back():
    pytest.importorskip("skimage")
    photo = dga.load_photo("coffee")
    ours = resize_and_crop(224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    x = ours(photo)
    assert x.shape == (1, 3, 224, 224)
    back = ours.restore(x)[0]
    seen = transforms.CenterCrop(224)(transforms.Resize(256)(photo))
    assert np.abs(back - np.asarray(seen) / 255).max() < 1e-5


def test_preprocess_small_narrow_and_shipped_pictures():
    ours = resize_and_crop(32, 40, (0.5,) * 3, (0.5,) * 3)
    assert ours(Image.new("RGB", (3, 200))).shape == (1, 3, 32, 32)
    assert ours(Image.new("L", (200, 3), 255)).max() == 1
    images = dga.load_images("test", 3).images
    x = SHAPES(images)
    assert x.shape == (3, 3, 64, 64)
    assert np.array_equal(np.rint(SHAPES.restore(x) * 255), images)
    with pytest.raises(ValueError, match="uint8"):
        SHAPES(images.astype(float))


@pytest.mark.parametrize("name", ["distillation_cat", "distillation_drawn"])
def test_an_animation_shows_every_distilled_input_and_stops(name):
    path = ROOT / "notebooks" / "pictures" / f"{name}.gif"
    assert path.stat().st_size <= 1_500_000
    with Image.open(path) as animation:
        assert animation.n_frames == 31
        assert animation.info["loop"] == 2  # played three times, then it rests on the result
        frames = []
        for k in range(31):
            animation.seek(k)
            frames.append(np.asarray(animation.convert("L"), dtype=float))
    left, right = (slice(10, 234), slice(244, 468))  # the distilled input, the sum
    light = [frame[40:250, right].mean() for frame in frames]
    assert light[-1] > light[15] > light[0], "the sum grows"
    assert all(np.abs(a - b)[40:250, left].any() for a, b in itertools.pairwise(frames))
