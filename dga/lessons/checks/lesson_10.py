"""Checks of the exercises of lesson 10: an adapter for somebody's network, and three clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class Camera(nn.Module):
    """Somebody else's network: takes pixels 0..255, returns a dictionary.

    Example:
        >>> sorted(Camera()(torch.zeros(1, 3, 8, 8)))
        ['probabilities', 'scores']
    """

    def __init__(self) -> None:
        super().__init__()
        weights = torch.randn(10, 3 * 64, generator=torch.Generator().manual_seed(0))
        self.weights = nn.Parameter(weights / 50)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Scores and probabilities, (B, 10) each, of pixels (B, 3, 8, 8)."""
        scores = (pixels / 255).flatten(1) @ self.weights.T
        return {"scores": scores, "probabilities": scores.softmax(1)}


def adapter(answer: Callable[[nn.Module, Tensor], Any]) -> None:
    """Says whether the scores of a camera come out for normalised inputs, or what is wrong.

    Args:
        answer: the learner's f(camera, x).

    Example:
        >>> adapter(lambda camera, x: None)
        Write the function, and run the cell again.
        >>> adapter(lambda camera, x: camera(x)["scores"])
        Not yet: x is still normalised: undo that first.
    """
    camera = Camera().eval()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    got = answer(camera, x.clone())
    if got is None:
        print("Write the function, and run the cell again.")
        return
    if not isinstance(got, Tensor):
        print(f"Not yet: dga needs a tensor, the scores; this is {type(got).__name__}.")
        return
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    inputs = {
        "": 255 * (x * std + mean),
        "x is still normalised: undo that first.": x,
        "undo the normalisation, and only then multiply by 255.": 255 * x,
        "your pixels are 0..1, the camera wants 0..255.": x * std + mean,
        "255 goes with the mean as well.": 255 * x * std + mean,
        "multiply by std and add the mean.": 255 * (x - mean) / std,
        "the mean comes after std.": 255 * (x + mean) * std,
    }
    for words, pixels in inputs.items():
        wanted = camera(pixels)
        for key in wanted:
            if got.shape == wanted[key].shape and torch.allclose(got, wanted[key], atol=1e-6):
                if not words and key == "scores":
                    print("Right.")
                else:
                    print(f"Not yet: {words or 'these are probabilities, take the scores.'}")
                return
    print("Not yet: neither right nor a usual mistake.")


_CLIENTS = {
    "pedestrian": ("IG", "amounts that add up need a complete method, and a difference of scores"),
    "marker": ("IG", "a small mark hides under a blob, and DGA spreads around small things"),
    "crop": ("DGA", "which pixels are enough is LeRF: with grey, DGA leads these three"),
}


def clients(answer: dict[str, str | None]) -> None:
    """Which method for whom.

    Args:
        answer: client -> "IG", "DGA" or "FullGrad".

    Example:
        >>> clients({"pedestrian": "IG", "marker": "FullGrad", "crop": None})
        pedestrian: yes: amounts that add up need a complete method, and a difference of scores.
        marker: think again.
        crop: write "IG", "DGA" or "FullGrad".
    """
    for client, (right, why) in _CLIENTS.items():
        given = answer.get(client)
        if given not in ("IG", "DGA", "FullGrad"):
            print(f'{client}: write "IG", "DGA" or "FullGrad".')
        else:
            print(f"{client}: {f'yes: {why}' if given == right else 'think again'}.")
