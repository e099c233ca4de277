"""Draws what is committed as a file: python tests/tools/figures.py (or `make figures`)

data/figures/photographs.png        three photographs by three methods, in the README
notebooks/pictures/distillation_cat.gif, distillation_drawn.gif
                                    the 31 distilled inputs and their sum, in lessons 00 and 05
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

import dga
from dga.lessons import plots
from dga.zoo.files import DATA, write_atomically
from dga.zoo.loading import Classifier

NETWORK = "efficientnet_lite0"
PICTURES = Path(__file__).parent.parent.parent / "notebooks" / "pictures"
MOST = 1_500_000  # bytes of an animation
SIDE, GAP, TITLE = 224, 10, 34  # pixels
COLOURS = 48  # of a frame: specks do not compress


def photographs() -> None:
    """Integrated Gradients, FullGrad and DGA on three photographs of scikit-image."""
    model = dga.load_model(NETWORK)
    photos = [dga.load_photo(name) for name in ("chelsea", "coffee", "rocket")]
    x = torch.cat([model.preprocess(photo) for photo in photos])
    said = [model.classes[k] for k in model(x).argmax(1).tolist()]
    maps = {
        "Integrated Gradients": dga.integrated_gradients(model, x),
        "FullGrad": dga.fullgrad(model, x),
        "DGA": dga.distilled_gradient_aggregation(model, x),
    }
    drawn = plots.compare(model.preprocess.restore(x), maps, labels=said, panel=2.3, bar=True)
    content = plots.png(drawn, {"Description": f"{NETWORK}, predicted class"})
    write_atomically(DATA / "figures" / "photographs.png", content)


def distillation(name: str, model: Classifier, x: Tensor) -> None:
    """The distilled sequence of one picture as an animation that plays three times."""
    steps = list(dga.distill(model, x))
    sums = torch.cat([step.attribution.clamp(min=0) for step in steps]).cumsum(0)
    top = np.percentile(sums[-1].sum(0).numpy(), plots.PERCENTILE)
    frames = []
    for step, total in zip(steps, sums, strict=True):
        # On the scale of the last sum, so that one sees it grow.
        share = np.clip(total.sum(0).numpy() / top, 0, 1)
        look = model.preprocess.restore(step.distilled)[0]
        frames.append(_frame(look, plots.colours(share), step.n, step.steps))
    buffer = io.BytesIO()
    first, *others = [frame.quantize(COLOURS, dither=Image.Dither.NONE) for frame in frames]
    durations = [1200, 1000, 1000, *[350] * (len(frames) - 4), 4000]  # milliseconds
    first.save(buffer, "gif", save_all=True, append_images=others, duration=durations, loop=2)
    if buffer.tell() > MOST:
        raise ValueError(f"{name} has {buffer.tell()} bytes, more than {MOST}")
    PICTURES.mkdir(exist_ok=True)
    write_atomically(PICTURES / f"{name}.gif", buffer.getvalue())
    print(f"{name}.gif: {len(frames)} frames, {buffer.tell() / 1e6:.2f} MB")


def _frame(look: NDArray, heat: NDArray, n: int, steps: int) -> Image.Image:
    frame = Image.new("RGB", (2 * SIDE + 3 * GAP, SIDE + TITLE + 3 * GAP), "white")
    draw = ImageDraw.Draw(frame)
    panels = ((f"distilled input {n} of {steps}", look), ("sum of the positive parts", heat))
    for k, (title, pixels) in enumerate(panels):
        x = GAP + k * (SIDE + GAP)
        image = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
        if image.width == SIDE:
            image = image.reduce(2)
        frame.paste(image.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, TITLE))
        middle = (x + SIDE / 2, TITLE / 2)
        draw.text(middle, title, "black", plots.font(16), anchor="mm")
    done = GAP + (2 * SIDE + GAP) * n / steps
    y = SIDE + TITLE + 1.5 * GAP
    draw.rectangle((GAP, y, 2 * SIDE + 2 * GAP, y + 6), "#e3e6ec")
    draw.rectangle((GAP, y, done, y + 6), "#00224e")
    return frame


def main() -> None:
    photographs()
    model = dga.load_model(NETWORK)
    distillation("distillation_cat", model, model.preprocess(dga.load_photo("chelsea")))
    model = dga.load_model("resnet")
    x = model.preprocess(dga.load_images("figures", 1).images)
    distillation("distillation_drawn", model, x)


if __name__ == "__main__":
    main()
