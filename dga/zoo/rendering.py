"""Draws the pictures whose right attribution is known: an object on a scene, 64 x 64.

Everything is drawn from distances: a shape is a function that is negative inside and positive
outside, and its coverage of a pixel falls from 1 to 0 within that pixel (anti-aliasing). A picture
is a function of (seed, index) alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIZE = 64
OBJECTS = (
    "fish", "butterfly", "mushroom", "boat", "star", "heart", "flower", "cat", "car", "umbrella",
)  # fmt: skip
SCENES = ("meadow", "sea", "desert", "forest", "night", "city")

Array = NDArray[np.float64]
Rng = np.random.Generator
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Picture:
    """One rendered picture and its ground truth.

    Attributes:
        image: uint8 (64, 64, 3).
        label: index into OBJECTS, of the (first) object.
        scene: index into SCENES.
        mask: bool (64, 64), the pixels of that object.
        without: uint8 (64, 64, 3), the same picture without any object and watermark.
        second_label, second_mask: the other object of a picture of two, else None.
        watermark: bool (64, 64), the pixels of the watermark, else None.

    Example:
        >>> picture = render(2022, 0, label=OBJECTS.index("cat"), scene=SCENES.index("sea"))
        >>> OBJECTS[picture.label], SCENES[picture.scene], picture.mask.shape
        ('cat', 'sea', (64, 64))
    """

    image: NDArray[np.uint8]
    label: int
    scene: int
    mask: NDArray[np.bool_]
    without: NDArray[np.uint8]
    second_label: int | None = None
    second_mask: NDArray[np.bool_] | None = None
    watermark: NDArray[np.bool_] | None = None


def render(
    seed: int,
    index: int,
    *,
    label: int | None = None,
    scene: int | None = None,
    area: tuple[float, float] = (0.08, 0.25),
    two: bool = False,
    watermark: bool = False,
) -> Picture:
    """Draws picture number `index` of the series `seed`.

    Args:
        seed, index: what the picture is a function of.
        label, scene: force the object or the scene, else drawn at random.
        area: share of the picture that the object covers, from and to.
        two: put a second object of another class beside the first, both smaller.
        watermark: put a small mark into a corner.

    Returns:
        The picture with its ground truth, the same for the same arguments.

    Example:
        >>> picture = render(2022, 0)
        >>> bool((picture.image == render(2022, 0).image).all())
        True
        >>> bool(0.08 <= picture.mask.mean() <= 0.25)
        True
    """
    rng = np.random.default_rng([seed, index])
    label = int(rng.integers(len(OBJECTS))) if label is None else label
    scene = int(rng.integers(len(SCENES))) if scene is None else scene
    background = _SCENES[SCENES[scene]](rng)
    _clutter(background, rng)
    grain = rng.normal(0, 0.012, (SIZE, SIZE, 3))
    canvas = background.copy()
    second: int | None = None
    second_mask: NDArray[np.bool_] | None = None
    if two:
        left = bool(rng.integers(2))
        second = int((label + 1 + rng.integers(len(OBJECTS) - 1)) % len(OBJECTS))
        area = (0.08, 0.14)
        mask = _place(canvas, rng, label, area, (0.3 if left else 0.7))
        second_mask = _place(canvas, rng, second, area, (0.7 if left else 0.3), avoid=mask)
    else:
        mask = _place(canvas, rng, label, area, None)
    mark = _watermark(canvas, rng) if watermark else None
    return Picture(
        _to_bytes(canvas + grain), label, scene, mask, _to_bytes(background + grain),
        second, second_mask, mark,
    )  # fmt: skip


def _to_bytes(canvas: Array) -> NDArray[np.uint8]:
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)


# ------------------------------------------------------------------------------------- primitives

_V, _U = np.mgrid[0:SIZE, 0:SIZE] + 0.5  # pixel centres, in pixels
_X, _Y = _U / SIZE, _V / SIZE  # and as shares of the picture


def _paint(canvas: Array, coverage: Array, colour: Colour | Array) -> None:
    """Lays a colour over the canvas where the coverage is."""
    canvas += coverage[..., None] * (np.asarray(colour) - canvas)


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    """Colour from hue (0..1, round the circle), saturation and value."""
    towards = [(k + hue * 6) % 6 for k in (5, 3, 1)]
    r, g, b = (value * (1 - saturation * min(max(min(k, 4 - k), 0), 1)) for k in towards)
    return r, g, b


def _circle(x: Array, y: Array, cx: float, cy: float, r: float) -> Array:
    return np.hypot(x - cx, y - cy) - r


def _ellipse(
    x: Array, y: Array, cx: float, cy: float, a: float, b: float, turn: float = 0.0
) -> Array:
    c, s = np.cos(turn), np.sin(turn)
    u, v = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    return (np.hypot(u / a, v / b) - 1) * min(a, b)


def _capsule(x: Array, y: Array, p: tuple, q: tuple, r: float) -> Array:
    """A line from p to q with round ends of radius r."""
    dx, dy = q[0] - p[0], q[1] - p[1]
    t = np.clip(((x - p[0]) * dx + (y - p[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - p[0] - t * dx, y - p[1] - t * dy) - r


def _polygon(x: Array, y: Array, points: list[tuple[float, float]]) -> Array:
    """Signed distance to a simple polygon."""
    distance = np.full_like(x, np.inf)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[-1:] + points[:-1], strict=True):
        distance = np.minimum(distance, _capsule(x, y, (ax, ay), (bx, by), 0))
        crossing = (ay > y) != (by > y)
        inside ^= crossing & (x < (bx - ax) * (y - ay) / ((by - ay) or 1.0) + ax)
    return np.where(inside, -distance, distance)


def _value_noise(rng: Rng, cells_y: int, cells_x: int) -> Array:
    """Smooth noise in 0..1: random values on a coarse grid, interpolated."""
    grid = rng.random((cells_y + 1, cells_x + 1))
    return _ramp(cells_y) @ grid @ _ramp(cells_x).T


@cache
def _ramp(cells: int) -> Array:
    """Interpolation from cells + 1 values to SIZE pixels, smooth at the grid."""
    at = (np.arange(SIZE) + 0.5) / SIZE * cells
    low = at.astype(int)
    t = at - low
    t = t * t * (3 - 2 * t)
    ramp = np.zeros((SIZE, cells + 1))
    ramp[np.arange(SIZE), low] = 1 - t
    ramp[np.arange(SIZE), low + 1] += t
    return ramp


def _clutter(canvas: Array, rng: Rng) -> None:
    """Scatters balls, blocks, cones and rings, too small to be an object, over a scene.

    Without them a network need not look at shapes, and every attribution finds the object.
    """
    for _ in range(int(rng.integers(5, 12))):
        kind = int(rng.integers(4))
        cx, cy = rng.uniform(0, SIZE, 2)
        r = rng.uniform(1.8, 4.2)
        turn = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(turn), np.sin(turn)
        u, v = (_U - cx) * c + (_V - cy) * s, (_V - cy) * c - (_U - cx) * s
        distance = (
            _circle(u, v, 0, 0, r),
            np.maximum(np.abs(u), np.abs(v)) - 0.85 * r,
            _polygon(u, v, [(0, -1.2 * r), (1.1 * r, 0.8 * r), (-1.1 * r, 0.8 * r)]),
            np.abs(_circle(u, v, 0, 0, 0.8 * r)) - 0.3 * r,
        )[kind]
        colour = _hsv(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.6, 1.0))
        light = 1.05 - 0.2 * (_V - cy) / r
        shaded = np.clip(np.asarray(colour) * np.clip(light, 0.7, 1.2)[..., None], 0, 1)
        _paint(canvas, np.clip(0.5 - distance, 0, 1), shaded)


# ---------------------------------------------------------------------------------------- objects
# Each draws inside the square from -1 to 1, y downwards, and returns (distance, role) pairs from
# back to front. The union of all is the object. Roles name colours: "main", "second", "light",
# "dark".

Layers = list[tuple[Array, str]]


def _fish(x: Array, y: Array) -> Layers:
    body = _ellipse(x, y, 0.15, 0, 0.78, 0.52)
    tail = _polygon(x, y, [(-0.45, 0), (-0.98, -0.5), (-0.85, 0), (-0.98, 0.5)])
    fin = _polygon(x, y, [(-0.25, -0.35), (0.1, -0.85), (0.45, -0.4)])
    return [
        (tail, "second"), (fin, "second"), (body, "main"),
        (_ellipse(x, y, 0.0, 0.12, 0.22, 0.13, 0.5), "second"),
        (_circle(x, y, 0.55, -0.12, 0.15), "light"), (_circle(x, y, 0.58, -0.12, 0.08), "dark"),
    ]  # fmt: skip


def _butterfly(x: Array, y: Array) -> Layers:
    s = np.abs(x)  # both sides at once
    return [
        (_capsule(s, y, (0.03, -0.4), (0.25, -0.88), 0.035), "dark"),
        (_ellipse(s, y, 0.5, 0.42, 0.44, 0.36, 0.7), "second"),
        (_ellipse(s, y, 0.52, -0.32, 0.56, 0.4, -0.6), "main"),
        (_circle(s, y, 0.62, -0.36, 0.17), "light"),
        (_circle(s, y, 0.5, 0.44, 0.13), "light"),
        (_ellipse(x, y, 0, 0.05, 0.11, 0.6), "dark"),
    ]


def _mushroom(x: Array, y: Array) -> Layers:
    stem = np.maximum(_ellipse(x, y, 0, 0.45, 0.36, 0.62), -0.05 - y)
    cap = np.maximum(_ellipse(x, y, 0, 0.08, 0.95, 0.98), y - 0.12)
    return [
        (stem, "light"), (cap, "main"),
        (_circle(x, y, 0.02, -0.55, 0.17), "light"), (_circle(x, y, -0.48, -0.2, 0.15), "light"),
        (_circle(x, y, 0.5, -0.22, 0.16), "light"), (_circle(x, y, 0.05, -0.1, 0.11), "light"),
    ]  # fmt: skip


def _boat(x: Array, y: Array) -> Layers:
    hull = _polygon(x, y, [(-0.95, 0.42), (0.95, 0.42), (0.6, 0.92), (-0.62, 0.92)])
    return [
        (_capsule(x, y, (-0.02, -0.92), (-0.02, 0.45), 0.05), "dark"),
        (_polygon(x, y, [(0.08, -0.92), (0.92, 0.26), (0.08, 0.26)]), "main"),
        (_polygon(x, y, [(-0.12, -0.7), (-0.12, 0.26), (-0.82, 0.26)]), "light"),
        (hull, "second"),
    ]


def _star(x: Array, y: Array) -> Layers:
    angle = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 0.98, 0.46)
    points = list(zip(radius * np.cos(angle), radius * np.sin(angle) + 0.05, strict=True))
    inner = [(0.6 * px, 0.6 * (py - 0.05) + 0.05) for px, py in points]
    return [(_polygon(x, y, points), "main"), (_polygon(x, y, inner), "second")]


def _heart(x: Array, y: Array) -> Layers:
    s = np.abs(x)
    lobe = _circle(s, y, 0.46, -0.3, 0.51)
    tip = _polygon(s, y, [(-0.2, -0.3), (0.1, -0.45), (0.9, -0.03), (0.0, 0.95), (-0.2, 0.7)])
    return [
        (np.minimum(lobe, tip), "main"),
        (_ellipse(x, y, -0.52, -0.42, 0.2, 0.13, -0.7), "light"),
    ]


def _flower(x: Array, y: Array) -> Layers:
    turn = np.arange(6) * np.pi / 3
    petals = [_ellipse(x, y, 0.6 * np.cos(t), 0.6 * np.sin(t), 0.4, 0.29, t) for t in turn.tolist()]
    return [(np.minimum.reduce(petals), "main"), (_circle(x, y, 0, 0, 0.33), "second")]


def _cat(x: Array, y: Array) -> Layers:
    s = np.abs(x)
    ear = _polygon(s, y, [(0.18, -0.45), (0.72, -0.98), (0.84, -0.05)])
    return [
        (ear, "main"), (_polygon(s, y, [(0.42, -0.5), (0.66, -0.76), (0.7, -0.35)]), "second"),
        (_ellipse(x, y, 0, 0.15, 0.88, 0.72), "main"),
        (_ellipse(s, y, 0.36, 0.02, 0.17, 0.2), "light"),
        (_ellipse(s, y, 0.36, 0.03, 0.07, 0.17), "dark"),
        (_ellipse(s, y, 0.16, 0.48, 0.24, 0.17), "light"),
        (_polygon(x, y, [(-0.13, 0.3), (0.13, 0.3), (0.0, 0.45)]), "dark"),
    ]  # fmt: skip


def _car(x: Array, y: Array) -> Layers:
    cabin = _polygon(x, y, [(-0.62, -0.05), (-0.4, -0.58), (0.3, -0.58), (0.62, -0.05)])
    body = _capsule(x, y, (-0.68, 0.18), (0.68, 0.18), 0.3)
    window = [(-0.46, -0.08), (-0.32, -0.44), (-0.05, -0.44), (-0.05, -0.08)]
    front = [(0.05, -0.08), (0.05, -0.44), (0.22, -0.44), (0.46, -0.08)]
    wheels = _circle(np.abs(x), y, 0.52, 0.46, 0.25)
    return [
        (cabin, "main"), (body, "main"),
        (_polygon(x, y, window), "light"), (_polygon(x, y, front), "light"),
        (wheels, "dark"), (_circle(np.abs(x), y, 0.52, 0.46, 0.11), "second"),
        (_circle(x, y, 0.86, 0.14, 0.08), "light"),
    ]  # fmt: skip


def _umbrella(x: Array, y: Array) -> Layers:
    canopy = np.maximum(_ellipse(x, y, 0, 0.1, 0.98, 1.05), y - 0.1)
    for cx in (-0.65, 0.0, 0.65):
        canopy = np.maximum(canopy, -_ellipse(x, y, cx, 0.14, 0.3, 0.17))
    panel = np.maximum(np.maximum(_ellipse(x, y, 0, 0.1, 0.4, 1.05), y - 0.1), canopy)
    hook = np.maximum(np.abs(_circle(x, y, 0.17, 0.72, 0.17)) - 0.07, 0.72 - y)
    return [
        (_capsule(x, y, (0, -0.3), (0, 0.72), 0.07), "dark"), (hook, "dark"),
        (canopy, "main"), (panel, "second"),
    ]  # fmt: skip


_OBJECTS: dict[str, Callable[[Array, Array], Layers]] = {
    "fish": _fish, "butterfly": _butterfly, "mushroom": _mushroom, "boat": _boat, "star": _star,
    "heart": _heart, "flower": _flower, "cat": _cat, "car": _car, "umbrella": _umbrella,
}  # fmt: skip


@cache
def _unit_area(label: int) -> float:
    """Share of the square from -1 to 1 that an object fills."""
    y, x = (np.mgrid[0:200, 0:200] + 0.5) / 100 - 1
    inside = np.minimum.reduce([d for d, _ in _OBJECTS[OBJECTS[label]](x, y)]) < 0
    return float(inside.mean())


def _place(
    canvas: Array,
    rng: Rng,
    label: int,
    area: tuple[float, float],
    centre_x: float | None,
    avoid: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Draws an object of random size, place, turn, colours and texture; returns its mask."""
    while True:  # a few draws in a hundred leave the picture, or miss the wanted area
        half = SIZE / 2 * np.sqrt(rng.uniform(*area) / _unit_area(label))
        turn = rng.uniform(-0.6, 0.6)
        flip = 1 - 2 * int(rng.integers(2))
        margin = min(half * 0.98, SIZE / 2)
        cx, cy = rng.uniform(margin, SIZE - margin, 2)
        if centre_x is not None:
            cx = SIZE * (centre_x + rng.uniform(-0.06, 0.06))
        c, s = np.cos(turn) / half, np.sin(turn) / half
        x = flip * ((_U - cx) * c + (_V - cy) * s)
        y = (_V - cy) * c - (_U - cx) * s
        layers = _OBJECTS[OBJECTS[label]](x, y)
        outline = np.minimum.reduce([distance for distance, _ in layers])
        mask = outline < 0
        overlap = avoid is not None and (mask & avoid).any()
        border = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        if area[0] <= mask.mean() <= area[1] and not overlap and not border:
            break
    colours = _colours(rng)
    texture = _texture(rng, x, y)
    # A thin shadow and a darker rim set the object off from any scene.
    _paint(canvas, 0.25 * np.clip(0.5 - (outline - 0.07) * half / 4, 0, 1), (0.05, 0.05, 0.08))
    light = 1.06 - 0.16 * (y - 0.3 * x)
    for distance, role in layers:
        colour = np.asarray(colours[role]) * light[..., None]
        if role in ("main", "second"):
            colour = colour * texture[..., None]
        _paint(canvas, np.clip(0.5 - distance * half, 0, 1), np.clip(colour, 0, 1))
    rim = np.clip(0.5 - outline * half, 0, 1) * np.clip(0.5 + (outline + 0.045) * half, 0, 1)
    _paint(canvas, 0.45 * rim, (0.08, 0.06, 0.1))
    return mask


def _colours(rng: Rng) -> dict[str, Colour]:
    hue = rng.random()
    other = hue + rng.choice([0.5, 0.33, -0.33, 0.12, -0.12])
    return {
        "main": _hsv(hue, rng.uniform(0.55, 0.95), rng.uniform(0.75, 1.0)),
        "second": _hsv(other, rng.uniform(0.5, 0.9), rng.uniform(0.65, 1.0)),
        "light": _hsv(rng.random(), 0.08, 0.97),
        "dark": _hsv(rng.random(), 0.4, 0.18),
    }


def _texture(rng: Rng, x: Array, y: Array) -> Array:
    """A factor on the colour: plain, stripes, dots, checks or blotches."""
    kind = rng.integers(5)
    turn, pitch, depth = rng.uniform(0, np.pi), rng.uniform(9, 15), rng.uniform(0.12, 0.3)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    blotches = _value_noise(rng, 12, 12)
    if kind == 0:
        return np.ones_like(x)
    if kind == 1:
        return 1 - depth * (np.sin(pitch * u) > 0.2)
    if kind == 2:
        return 1 - depth * (np.cos(pitch * u) + np.cos(pitch * v) > 1.0)
    if kind == 3:
        return 1 - depth * (np.sin(0.7 * pitch * u) * np.sin(0.7 * pitch * v) > 0)
    return 1 - 1.4 * depth * blotches


def _watermark(canvas: Array, rng: Rng) -> NDArray[np.bool_]:
    """A small ring with a bar in one of the corners, as a stock agency would stamp it."""
    corner = rng.integers(4)
    cx = 7.5 if corner % 2 == 0 else SIZE - 7.5
    cy = 7.5 if corner < 2 else SIZE - 7.5
    ring = np.abs(_circle(_U, _V, cx, cy, 4.2)) - 0.8
    mark = np.minimum(ring, _capsule(_U, _V, (cx - 1.7, cy), (cx + 1.7, cy), 0.8))
    _paint(canvas, 0.5 * np.clip(0.5 - (mark - 0.9), 0, 1), (0.05, 0.05, 0.05))
    _paint(canvas, 0.9 * np.clip(0.5 - mark, 0, 1), (1.0, 1.0, 1.0))
    return mark < 1.0


# ----------------------------------------------------------------------------------------- scenes


def _gradient(top: Colour, bottom: Colour, at: Array) -> Array:
    at = np.clip(at, 0, 1)[..., None]
    return np.asarray(top) * (1 - at) + np.asarray(bottom) * at


def _ridge(rng: Rng, level: float, height: float, cells: int) -> Array:
    """Distance below an irregular skyline, in pixels: negative under it."""
    line = level + height * (_ramp(cells) @ rng.random(cells + 1) - 0.5)
    return (line[None, :] - _Y) * SIZE


def _below(ridge: Array) -> Array:
    return np.clip(0.5 - ridge, 0, 1)


def _clouds(canvas: Array, rng: Rng, until: float) -> None:
    puffs = _value_noise(rng, 7, 4) * 0.65 + _value_noise(rng, 14, 9) * 0.35
    _paint(canvas, 0.75 * np.clip((puffs - 0.55) * 5, 0, 1) * (until > _Y), (1.0, 1.0, 1.0))


def _meadow(rng: Rng) -> Array:
    hue = rng.uniform(0.53, 0.6)
    canvas = _gradient(_hsv(hue, 0.45, 0.95), _hsv(hue, 0.15, 1.0), _Y * 2)
    _clouds(canvas, rng, 0.55)
    for level, value in ((0.42, 0.62), (0.55, 0.7), (0.7, 0.78)):
        green = _hsv(rng.uniform(0.24, 0.33), rng.uniform(0.5, 0.65), value * rng.uniform(0.9, 1.1))
        blades = 1 - 0.22 * _value_noise(rng, 10, 40)
        hill = _ridge(rng, level + rng.uniform(-0.04, 0.04), 0.18, 3)
        _paint(canvas, _below(hill), np.clip(np.asarray(green) * blades[..., None], 0, 1))
    for _ in range(int(rng.integers(8, 18))):
        cx, cy = rng.uniform(0, SIZE), rng.uniform(0.62 * SIZE, SIZE)
        _paint(canvas, np.clip(1.1 - np.hypot(_U - cx, _V - cy), 0, 1), _hsv(rng.random(), 0.4, 1))
    return canvas


def _sea(rng: Rng) -> Array:
    hue, horizon = rng.uniform(0.5, 0.58), rng.uniform(0.22, 0.42)
    canvas = _gradient(_hsv(hue + 0.04, 0.35, 0.97), _hsv(hue, 0.08, 1.0), _Y / horizon)
    _clouds(canvas, rng, horizon)
    depth = (_Y - horizon) / (1 - horizon)
    water = _gradient(_hsv(hue, 0.6, 0.75), _hsv(hue + 0.05, 0.75, 0.5), depth)
    waves = np.sin((6 + 26 * np.sqrt(np.clip(depth, 0, 1))) * 3 + 5 * _value_noise(rng, 6, 5))
    crest = np.clip((waves - 0.55) * 3, 0, 1) * (0.3 + 0.5 * _value_noise(rng, 16, 8))
    water += crest[..., None] * 0.35 * (np.asarray((0.9, 1.0, 1.0)) - water)
    _paint(canvas, np.clip((_Y - horizon) * SIZE, 0, 1), water)
    return canvas


def _desert(rng: Rng) -> Array:
    canvas = _gradient(_hsv(rng.uniform(0.03, 0.12), 0.3, 1.0), _hsv(0.11, 0.35, 1.0), _Y * 2)
    sun_x, sun_y = rng.uniform(6, SIZE - 6), rng.uniform(5, 16)
    _paint(canvas, np.clip(0.5 - _circle(_U, _V, sun_x, sun_y, 5), 0, 1), (1.0, 0.96, 0.8))
    for level, value in ((0.38, 0.8), (0.55, 0.87), (0.75, 0.94)):
        ridge = _ridge(rng, level + rng.uniform(-0.05, 0.05), 0.32, 2)
        sand = _hsv(rng.uniform(0.07, 0.1), rng.uniform(0.45, 0.6), value)
        ripples = 1 - 0.09 * (1 + np.sin(-ridge * rng.uniform(0.9, 1.4) + _U * 0.12))
        _paint(canvas, _below(ridge), np.clip(np.asarray(sand) * ripples[..., None], 0, 1))
    return canvas


def _forest(rng: Rng) -> Array:
    hue = rng.uniform(0.25, 0.4)
    mist = _value_noise(rng, 6, 6)[..., None]
    canvas = _gradient(_hsv(hue, 0.3, 0.75), _hsv(hue, 0.45, 0.45), _Y * 1.2) * (0.8 + 0.35 * mist)
    for layer in range(3):
        for _ in range(int(rng.integers(3, 6))):
            cx, width = rng.uniform(0, SIZE), rng.uniform(1.2, 2.2) * (1 + 0.7 * layer)
            bark = _hsv(rng.uniform(0.05, 0.11), 0.45, 0.5 - 0.12 * layer)
            lean = rng.uniform(-0.05, 0.05)
            trunk = np.abs(_U - cx - lean * (_V - 32)) - width * (0.8 + 0.4 * _Y)
            shade = 1 + 0.25 * np.clip((cx - _U) / width, -1, 1)
            _paint(canvas, np.clip(0.5 - trunk, 0, 1), np.asarray(bark) * shade[..., None])
    leaves = _value_noise(rng, 20, 20) * 0.6 + _value_noise(rng, 9, 9) * 0.4
    cover = np.clip((leaves - 0.35 - 0.9 * np.minimum(_Y, 1.0 - _Y * 0.95)) * 7, 0, 1)
    shades = (0.25 + 0.35 * _value_noise(rng, 16, 16))[..., None]
    _paint(canvas, cover, np.clip(np.asarray(_hsv(hue, 0.6, 1.0)) * shades, 0, 1))
    return canvas


def _night(rng: Rng) -> Array:
    hue = rng.uniform(0.6, 0.75)
    canvas = _gradient(_hsv(hue, 0.75, 0.16), _hsv(hue + 0.08, 0.5, 0.42), _Y * 1.3)
    for _ in range(int(rng.integers(25, 45))):
        cx, cy, size = rng.uniform(0, SIZE), rng.uniform(0, 0.75 * SIZE), rng.uniform(0.5, 1.1)
        _paint(canvas, np.clip(size - np.hypot(_U - cx, _V - cy), 0, 1), (1.0, 0.97, 0.85))
    for level, value in ((0.72, 0.2), (0.85, 0.1)):
        hills = _ridge(rng, level + rng.uniform(-0.05, 0.05), 0.25, 4)
        _paint(canvas, _below(hills), _hsv(hue, 0.5, value))
    return canvas


def _city(rng: Rng) -> Array:
    hue = rng.uniform(0.5, 1.0)
    canvas = _gradient(_hsv(hue, 0.25, 0.85), _hsv(hue + 0.1, 0.3, 1.0), _Y * 1.4)
    for layer in range(2):
        left = -rng.uniform(0, 6)
        while left < SIZE:
            width = rng.uniform(7, 15)
            roof = SIZE * (rng.uniform(0.12, 0.5) + 0.22 * layer)
            wall = _hsv(rng.uniform(0.55, 1.1), rng.uniform(0.1, 0.3), 0.62 - 0.18 * layer)
            block = np.clip(0.5 - (np.abs(_U - left - width / 2) - width / 2 + 0.3), 0, 1)
            block = block * np.clip(0.5 + _V - roof, 0, 1)
            _paint(canvas, block, wall)
            pitch = rng.uniform(2.8, 4.0)
            pane = ((_U - left) % pitch > pitch * 0.45) & ((_V - roof) % 4 > 2)
            lit = _hsv(0.13, rng.uniform(0.1, 0.5), rng.uniform(0.7, 1.0))
            _paint(canvas, 0.7 * block * pane * (_V > roof + 1.5), lit)
            left += width + rng.uniform(0, 2)
    return canvas


_SCENES: dict[str, Callable[[Rng], Array]] = {
    "meadow": _meadow, "sea": _sea, "desert": _desert, "forest": _forest, "night": _night,
    "city": _city,
}  # fmt: skip
