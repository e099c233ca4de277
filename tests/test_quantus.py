"""Agreement with Quantus, the evaluation library: pixel flipping on the same ranking."""

from __future__ import annotations

import warnings

import pytest
import torch

import dga

quantus = pytest.importorskip("quantus", reason="pip install quantus")


def flipping(model, x, targets, attribution, parts):
    """Probabilities after 1/parts, 2/parts, ... of the pixels are removed, by Quantus."""
    # It flips features, not pixels, so many at a time as divide the pixels: every third step ends
    # with a whole number of pixels, since the three equal values of a pixel are neighbours.
    metric = quantus.PixelFlipping(
        features_in_step=x[0, 0].numel() // parts, perturb_baseline=0.0, normalise=False,
        disable_warnings=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = metric(
            model=model, x_batch=x.numpy(), y_batch=targets.numpy(),
            a_batch=attribution.sum(1, keepdim=True).numpy(), softmax=True, channel_first=True,
        )  # fmt: skip
    return torch.tensor(curve)[:, 2::3]


@pytest.mark.parametrize("parts", [8, 16])
@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_pixel_flipping_agrees(parts, order):
    model = dga.load_model("resnet")
    x = model.preprocess(dga.load_images("test", 5).images)
    targets = model(x).argmax(1)
    attribution = dga.integrated_gradients(model, x, targets, steps=5)
    shares = [k / parts for k in range(1, parts + 1)]
    ours = dga.pixel_perturbation(model, x, attribution, targets, order, shares=shares)
    theirs = flipping(model, x, targets, attribution if order == "morf" else -attribution, parts)
    torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-5)


def explain(model, inputs, targets, **_):
    """A method of ours as Quantus wants it: arrays in, arrays out."""
    x, y = torch.as_tensor(inputs), torch.as_tensor(targets)
    return dga.distilled_gradient_aggregation(model, x, y, steps=3).numpy()


def test_as_an_explain_func():
    model = dga.load_model("vgg")
    x = model.preprocess(dga.load_images("test", 2).images)
    metric = quantus.PixelFlipping(features_in_step=4096, disable_warnings=True, normalise=False)
    scores = metric(
        model=model, x_batch=x.numpy(), y_batch=model(x).argmax(1).numpy(), explain_func=explain,
        channel_first=True,
    )  # fmt: skip
    assert len(scores) == 2
