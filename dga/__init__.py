"""Distilled Gradient Aggregation: which pixels made an image classifier say what it said.

Every attribution method is a function with one signature:

    method(model, inputs, targets=None, **options) -> attribution, same shape as inputs

The modules of this folder are the method, tensors in and tensors out. `dga.zoo` holds what is
explained (photographs, drawn pictures, networks), `dga.lessons` what teaching needs, and
`dga.experiments` long runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dga.interruption import end_at_once, is_the_command

if is_the_command():
    end_at_once()

from dga import metrics
from dga.batches import attribute_many
from dga.bias_terms import bias_attributions
from dga.distillation import distill, distilled_gradient_aggregation
from dga.engine import precision
from dga.full_gradient import fullgrad, uniform_fullgrad, uniform_share
from dga.gradients import gradient, gradient_times_input, guided_backprop, smoothgrad
from dga.masks import extreme_positive_contributor_mask, weak_contributor_mask
from dga.methods import METHODS
from dga.metrics import pixel_perturbation
from dga.paths import guided_integrated_gradients, integrated_gradients
from dga.stable import stable_distilled_gradient_aggregation

if TYPE_CHECKING:
    from dga.zoo.loading import load_model
    from dga.zoo.photographs import load_photo
    from dga.zoo.pictures import load_images

__version__ = "0.1.0"

__all__ = [
    # pictures and networks
    "load_images",
    "load_photo",
    "load_model",
    # attribution, in the order of the lessons
    "gradient",
    "gradient_times_input",
    "smoothgrad",
    "guided_backprop",
    "integrated_gradients",
    "guided_integrated_gradients",
    "bias_attributions",
    "fullgrad",
    "uniform_fullgrad",
    "uniform_share",
    "weak_contributor_mask",
    "extreme_positive_contributor_mask",
    "distill",
    "distilled_gradient_aggregation",
    "stable_distilled_gradient_aggregation",
    "METHODS",
    # many pictures, and in which precision
    "attribute_many",
    "precision",
    # evaluation
    "pixel_perturbation",
    "metrics",
]

# Loaded when first asked for: they need torchvision and PIL, the methods do not.
_LAZY = {"load_images": "pictures", "load_photo": "photographs", "load_model": "loading"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'dga' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"dga.zoo.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
