"""Networks: small ones of our own with trained weights, and any torchvision classifier.

A loaded network is a plain module with three more attributes: `name`, `classes` (names, in the
order of the scores) and `preprocess` (from a picture to its input, see `dga.data.Preprocess`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dga.data import DATA, Preprocess, real_folder
from dga.render import OBJECTS, SCENES, SIZE

# Mean and spread of the training pictures.
SHAPES = Preprocess(SIZE, SIZE, mean=(0.495, 0.516, 0.489), std=(0.286, 0.267, 0.273))


class VGG(nn.Sequential):
    """Plain convolutions with biases, max pooling, two linear layers: VGG-16 in small."""

    def __init__(self, classes: int) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for width in (16, 32, 64, 128):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers += [nn.MaxPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(128 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, classes)]
        super().__init__(*layers)
        for layer in self:  # without batch norm, the default initialisation does not start to learn
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)


class _Residual(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride > 1 or before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return self.relu(y)


class ResNet(nn.Sequential):
    """Residual blocks with batch normalisation and in-place ReLU: ResNet-18 in small."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
            _Residual(16, 16, 1), _Residual(16, 32, 2),
            _Residual(32, 64, 2), _Residual(64, 64, 1), _Residual(64, 96, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes),
        )  # fmt: skip


class _ConvBN(nn.Module):
    """Convolution, batch normalisation and a functional ReLU, as in torchvision's Inception-v3."""

    def __init__(self, before: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Branches(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        part = width // 4
        self.one = _ConvBN(before, part, 1)
        self.three = nn.Sequential(_ConvBN(before, part, 1), _ConvBN(part, part, 3))
        self.five = nn.Sequential(
            _ConvBN(before, part, 1), _ConvBN(part, part, 3), _ConvBN(part, part, 3)
        )
        self.pool = _ConvBN(before, part, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, 3, 1, 1)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(pooled)], 1)


class Inception(nn.Sequential):
    """Parallel branches of several sizes, concatenated: Inception-v3 in small."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            _ConvBN(3, 16, 3), nn.MaxPool2d(2), _ConvBN(16, 48, 3), nn.MaxPool2d(2),
            _Branches(48, 128), _Branches(128, 128), nn.MaxPool2d(2), _Branches(128, 192),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, classes),
        )  # fmt: skip


class _ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels at every position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _SmoothBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = _ChannelNorm(width)
        self.expand = nn.Conv2d(width, 3 * width, 1)
        self.gelu = nn.GELU()
        self.reduce = nn.Conv2d(3 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.reduce(self.gelu(self.expand(self.norm(self.depthwise(x)))))


class Smooth(nn.Sequential):
    """GELU and LayerNorm, nothing piecewise linear: ConvNeXt in small."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 3, 2, 1), nn.GELU(), nn.Conv2d(32, 64, 3, 2, 1), _ChannelNorm(64),
            _SmoothBlock(64), _SmoothBlock(64),
            _ChannelNorm(64), nn.Conv2d(64, 112, 2, 2), _SmoothBlock(112), _SmoothBlock(112),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(112), nn.Linear(112, classes),
        )  # fmt: skip


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
    raise ValueError(f"target {text!r} is no class of this network{hint}")


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
        transform.crop_size[0], transform.resize_size[0],
        tuple(transform.mean), tuple(transform.std), transform.interpolation.value,
    )  # fmt: skip
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
        raise ValueError(f"weights {str(path)!r} is no file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no state dict makes the unpickler raise
        raise ValueError(
            f"weights {str(path)!r} cannot be read as a state dict: {type(error).__name__}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"weights {str(path)!r} holds no state dict (a dict of tensors by name)")
    # Shipped weights are stored in half precision; integers (batch counters) stay what they are.
    return {
        key: value.float() if isinstance(value, Tensor) and value.dtype == torch.half else value
        for key, value in state.items()
    }
