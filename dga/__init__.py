"""Distilled Gradient Aggregation: which pixels made an image classifier say what it said.

Every attribution method is a function with one signature:

    method(model, inputs, targets=None, **options) -> attribution, same shape as inputs
"""

from dga.data import image_folder, load_images, load_photo
from dga.distillation import distill, distilled_gradient_aggregation
from dga.engine import precision
from dga.full_gradient import bias_attributions, fullgrad, uniform_fullgrad
from dga.gradients import gradient, gradient_times_input, guided_backprop, smoothgrad
from dga.masks import extreme_positive_contributor_mask, weak_contributor_mask
from dga.metrics import pixel_perturbation
from dga.models import load_model
from dga.paths import guided_integrated_gradients, integrated_gradients
from dga.streaming import attribute_many

__version__ = "0.1.0"

__all__ = [
    # pictures and networks
    "load_images",
    "image_folder",
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
    "weak_contributor_mask",
    "extreme_positive_contributor_mask",
    "distill",
    "distilled_gradient_aggregation",
    # many pictures, and in which precision
    "attribute_many",
    "precision",
    # evaluation
    "pixel_perturbation",
]
