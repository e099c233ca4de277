"""Distilled Gradient Aggregation: which pixels made an image classifier say what it said.

Every attribution method is a function with one signature:

    method(model, inputs, targets=None, **options) -> attribution, same shape as inputs
"""

from dga.distillation import DistillationStep, distill, distilled_gradient_aggregation
from dga.full_gradient import bias_attributions, fullgrad, uniform_fullgrad
from dga.gradients import gradient, gradient_times_input, guided_backprop, smoothgrad
from dga.masks import extreme_positive_contributor_mask, weak_contributor_mask
from dga.metrics import pixel_perturbation
from dga.paths import guided_integrated_gradients, integrated_gradients

__version__ = "0.1.0"
