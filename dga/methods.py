"""The table of methods: short name -> function, label, colour in figures, options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from dga.distillation import distilled_gradient_aggregation
from dga.full_gradient import fullgrad, uniform_fullgrad
from dga.gradients import gradient, gradient_times_input, guided_backprop, smoothgrad
from dga.paths import guided_integrated_gradients, integrated_gradients
from dga.stable import stable_distilled_gradient_aggregation


@dataclass(frozen=True)
class Method:
    """An attribution method, as the command line, figures and lessons know it.

    Attributes:
        function: (model, inputs, targets=None, **options) -> attribution.
        label: what a figure or table calls it.
        colour: its colour in every figure.

    Example:
        >>> import dga
        >>> dga.METHODS["dga"].label, "steps" in dga.METHODS["ig"].options
        ('DGA', True)
    """

    function: Callable[..., Tensor]
    label: str
    colour: str

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword-only options of the function."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


METHODS = {
    "g": Method(gradient, "Gradient", "#999999"),
    "gi": Method(gradient_times_input, "Gradient*Input", "#e69f00"),
    "smoothgrad": Method(smoothgrad, "SmoothGrad", "#b2912f"),
    "gbp": Method(guided_backprop, "Guided Backprop", "#cc79a7"),
    "ig": Method(integrated_gradients, "Integrated Gradients", "#56a0d3"),
    "gig": Method(guided_integrated_gradients, "Guided IG", "#8c6d9e"),
    "fg": Method(fullgrad, "FullGrad", "#00224e"),
    "ufg": Method(uniform_fullgrad, "Uniform FullGrad", "#5b7f3a"),
    "dga": Method(distilled_gradient_aggregation, "DGA", "#c23b22"),
    "stable": Method(stable_distilled_gradient_aggregation, "Stable DGA (ours)", "#0f8b6d"),
}
