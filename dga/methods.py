"""The table of methods: short name -> function and the name a figure or table shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from dga.distillation import distilled_gradient_aggregation
from dga.full_gradient import fullgrad, uniform_fullgrad
from dga.gradients import gradient, gradient_times_input, guided_backprop, smoothgrad
from dga.paths import guided_integrated_gradients, integrated_gradients


@dataclass(frozen=True)
class Method:
    """A method: the function, its label, and whether it makes many passes (and shows progress)."""

    function: Callable[..., Tensor]
    label: str
    many_passes: bool = False


METHODS = {
    "g": Method(gradient, "Gradient"),
    "gi": Method(gradient_times_input, "Gradient*Input"),
    "smoothgrad": Method(smoothgrad, "SmoothGrad", True),
    "gbp": Method(guided_backprop, "Guided Backprop"),
    "ig": Method(integrated_gradients, "Integrated Gradients", True),
    "gig": Method(guided_integrated_gradients, "Guided IG", True),
    "fg": Method(fullgrad, "FullGrad"),
    "ufg": Method(uniform_fullgrad, "Uniform FullGrad"),
    "dga": Method(distilled_gradient_aggregation, "DGA", True),
}
