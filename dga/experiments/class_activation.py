"""Grad-CAM, from Captum, with the signature of the methods: what many people compare with."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from dga.engine import Engine
from dga.validation import Model, Targets


def grad_cam(model: Model, inputs: Tensor, targets: Targets = None) -> Tensor:
    """Grad-CAM (Selvaraju et al., 2017) by Captum, its signs kept, enlarged to the picture.

    At the last layer that gives a picture and is not one channel for each class.

    Raises:
        ValueError: if Captum is not installed, or if there is no such layer.

    Example:
        >>> import torch
        >>> grad_cam(lambda x: x, torch.rand(1, 3, 4, 4))
        Traceback (most recent call last):
        ValueError: Grad-CAM needs a torch.nn.Module, got function
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"Grad-CAM needs a torch.nn.Module, got {type(model).__name__}")
    if find_spec("captum") is None:
        raise ValueError("Grad-CAM comes from Captum: pip install captum")
    from captum.attr import LayerAttribution, LayerGradCam

    engine = Engine(model, inputs, targets)
    cam = LayerGradCam(model, _last_picture(model, inputs[:1]))
    coarse = cam.attribute(inputs, target=engine.targets).detach()
    size = tuple(inputs.shape[2:])
    return LayerAttribution.interpolate(coarse, size, "bilinear").expand_as(inputs).contiguous()


def _last_picture(model: nn.Module, inputs: Tensor) -> nn.Module:
    """The layer that finishes last of those whose output has height and width."""

    def look(module: nn.Module, _: Any, output: Any) -> None:
        shape = output.shape if isinstance(output, Tensor) else ()
        if len(shape) == 4 and min(shape[2:]) > 1 and module is not model:
            outputs.append((module, shape[1]))

    outputs: list[tuple[nn.Module, int]] = []
    hooks = [module.register_forward_hook(look) for module in model.modules()]
    try:
        with torch.no_grad():
            classes = model(inputs).shape[1]
    finally:
        for hook in hooks:
            hook.remove()
    found = [module for module, channels in outputs if channels != classes]
    if not found:
        raise ValueError(f"model ({type(model).__name__}) has no layer that gives a picture")
    return found[-1]
