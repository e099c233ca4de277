"""Networks: small ones of our own with trained weights, and any torchvision classifier.

A loaded network is a plain module with three more attributes: `name`, `classes` (names, in the
order of the scores) and `preprocess` (from a picture to its input, see `dga.zoo.preprocessing`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dga.zoo.architectures import VGG, Inception, ResNet, Smooth
from dga.zoo.files import DATA, real_folder
from dga.zoo.preprocessing import Preprocess, resize_and_crop
from dga.zoo.rendering import OBJECTS, SCENES, SIZE

# Mean and spread of the training pictures.
SHAPES = resize_and_crop(SIZE, SIZE, mean=(0.495, 0.516, 0.489), std=(0.286, 0.267, 0.273))


@dataclass(frozen=True)
class Shipped:
    """What a network of our own is, and what it was trained to name."""

    build: Callable[[int], nn.Module]
    classes: tuple[str, ...]
    task: str


SHIPPED = {
    "vgg": Shipped(VGG, OBJECTS, "object"),
    "resnet": Shipped(ResNet, OBJECTS, "object"),
    "inception": Shipped(Inception, OBJECTS, "object"),
    "smooth": Shipped(Smooth, OBJECTS, "object"),
    "scene": Shipped(ResNet, SCENES, "scene"),
    "clever-hans": Shipped(ResNet, OBJECTS, "object, with a watermark on one class"),
}


def build_shipped(name: str) -> nn.Module:
    """One of our own networks with fresh weights, in training mode."""
    shipped = SHIPPED[name]
    model = shipped.build(len(shipped.classes))
    return _describe(model, name, shipped.classes, SHAPES)


def load_model(name: str, weights: str | Path | None = "default") -> nn.Module:
    """A classifier by name, in evaluation mode.

    Args:
        name: one of ours ("vgg", "resnet", "inception", "smooth", "scene", "clever-hans"; shipped,
            nothing is fetched) or any torchvision classifier ("resnet18", "squeezenet1_1", ...).
        weights: "default" for trained ones (torchvision's are downloaded once, with a progress bar,
            and cached), the path of a state dict, or None for random weights.

    Returns:
        The network, with the attributes `name`, `classes` and `preprocess`.

    Raises:
        ValueError: for an unknown name, or weights that cannot be had or do not fit.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    model, fetch = _shipped(name) if name in SHIPPED else _torchvision(name, weights)
    if weights == "default":
        state = fetch()
    elif weights is not None:
        state = _read_state(Path(weights))
    else:
        return model.eval()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        problem = " ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise ValueError(f"weights {str(weights)!r} do not fit {name}: {problem}") from error
    return model.eval()


def squeezenet(download: bool = False) -> nn.Module | None:
    """SqueezeNet 1.1, trained on ImageNet, if its weights are on this machine.

    They are taken from torchvision's cache, or in 8 bits from the optional folder of real
    photographs.

    Args:
        download: fetch them (5 MB, once) where they are in neither place.

    Returns:
        As `load_model`, or None.

    Raises:
        ValueError: if they should be downloaded and cannot be.
    """
    from torchvision.models import SqueezeNet1_1_Weights

    name, folder = "squeezenet1_1", real_folder()
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    if (cache / SqueezeNet1_1_Weights.DEFAULT.url.rsplit("/", 1)[-1]).is_file():
        return load_model(name)
    if folder is not None:
        return load_model(name, folder / f"{name}_imagenet.pt")
    return load_model(name) if download else None


def find_class(classes: tuple[str, ...], wanted: str | int) -> int:
    """The index of a class from its index or its name.

    Case does not matter; a name of which only some words are known is found if it is the only one
    ("tabby cat" finds "tabby").

    Raises:
        ValueError: with near or matching names, if there is no such class or several.
    """
    text = str(wanted).strip()
    if re.fullmatch(r"-?[0-9]+", text):
        if not 0 <= int(text) < len(classes):
            raise ValueError(f"target {text} is out of range: 0 to {len(classes) - 1}")
        return int(text)
    words = set(text.lower().replace("-", " ").split())
    if not words:
        raise ValueError("target is empty; a class name or index is needed")
    named = [(k, c.lower()) for k, c in enumerate(classes)]
    found = [k for k, c in named if c == text.lower()]
    found = found or [k for k, c in named if words <= set(c.replace("-", " ").split())]
    found = found or [k for k, c in named if set(c.replace("-", " ").split()) <= words]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{k} {classes[k]}" for k in found[:8])
        raise ValueError(f"target {text!r} fits several classes: {listed}")
    near = get_close_matches(text.lower(), [c for _, c in named], n=3, cutoff=0.5)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise ValueError(f"target {text!r} is not a class of this network{hint}")


def _describe(
    model: nn.Module, name: str, classes: tuple[str, ...], preprocess: Preprocess
) -> nn.Module:
    at: Any = model
    at.name, at.classes, at.preprocess = name, classes, preprocess
    return model


def _shipped(name: str) -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    return build_shipped(name), lambda: _read_state(DATA / "networks" / f"{name}.pt")


def _torchvision(
    name: str, weights: str | Path | None
) -> tuple[nn.Module, Callable[[], dict[str, Tensor]]]:
    from torchvision import models

    # Segmentation, detection and video networks carry their package in the name.
    names = [n for n in models.list_models(module=models) if not n.startswith("quantized_")]
    if name not in names:
        near = get_close_matches(name, [*SHIPPED, *names], n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"ours are {', '.join(SHIPPED)}"
        raise ValueError(f"name {name!r} is neither ours nor a torchvision classifier; {hint}")
    trained = models.get_model_weights(name).DEFAULT
    # Inception-v3 and GoogLeNet are built as their trained weights want them: with auxiliary
    # classifiers, which evaluation mode ignores.
    special: dict[str, Any] = (
        {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    )
    if name in ("inception_v3", "googlenet") and weights is not None:
        special["transform_input"] = True
    if "min_size" in trained.meta and name.startswith("vit_"):
        special["image_size"] = trained.meta["min_size"][0]
    model = models.get_model(name, weights=None, **special)
    transform = trained.transforms()
    preprocess = Preprocess(
        transform, transform.crop_size[0], tuple(transform.mean), tuple(transform.std)
    )
    _describe(model, name, tuple(trained.meta["categories"]), preprocess)

    def fetch() -> dict[str, Tensor]:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        file = trained.url.rsplit("/", 1)[-1]
        try:
            return trained.get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"weights of {name} could not be downloaded ({error}). Put the file {file} into "
                f"{folder}, or give its path: weights=PATH"
            ) from error

    return model, fetch


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"weights {str(path)!r} is not a file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no state dict makes the unpickler raise
        raise ValueError(
            f"weights {str(path)!r} cannot be read as a state dict: {type(error).__name__}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"weights {str(path)!r} is not a state dict (a dict of tensors by name)")
    # Shipped weights are stored in half precision; integers (batch counters) stay what they are.
    return {
        key: value.float() if isinstance(value, Tensor) and value.dtype == torch.half else value
        for key, value in state.items()
    }
