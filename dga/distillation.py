"""Distilled Gradient Aggregation (Jeon, Jeong and Choi, NeurIPS 2022), Algorithm 1.

    x~(0) = x; out = 0
    for n = 0 .. N:
        phi = UFG(x~(n))                                             (1) local attribution
        out += max(phi, 0) + beta * min(phi, 0)                      (2) aggregation
        M = (n/N) * WC(phi, n/N) + (1 - n/N) * EPC(phi, q)           (3) the combined mask
        x~(n+1) = M * x                                              (4) distilled input
    return out

The paper's Eq. 10 sums n = 1..N, without beta and divided by a constant; this is Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dga.engine import Engine, Progress, ticks
from dga.full_gradient import _spread_evenly
from dga.masks import (
    _combined_mask,
    _largest_count,
    _ranked,
    check_unit,
    extreme_positive_contributor_mask,
    weak_contributor_mask,
)
from dga.validation import Targets, check_choice, check_count, check_number, check_share


@dataclass(frozen=True)
class DistillationStep:
    """Step n of N: a distilled input, what the network saw in it, and what is masked next.

    Attributes:
        n, steps: the step, 0..N, and N.
        distilled: x~(n), same shape as the inputs.
        attribution: Uniform FullGrad of x~(n), signed, never below float32.
        score: f(x~(n)), (B,).
        weak, extreme: the two masks of this attribution, bool (made when asked for).
        mask: M, what the original input is multiplied with to give x~(n+1), 0..1.
    """

    n: int
    steps: int
    distilled: Tensor
    attribution: Tensor
    score: Tensor
    epc_quantile: float
    masks: str
    unit: str

    @cached_property
    def weak(self) -> Tensor:
        return weak_contributor_mask(self.attribution, self.n / self.steps, unit=self.unit)

    @cached_property
    def extreme(self) -> Tensor:
        return extreme_positive_contributor_mask(
            self.attribution, self.epc_quantile, unit=self.unit
        )

    @cached_property
    def mask(self) -> Tensor:
        d = _ranked(self.attribution[:1], self.unit).numel()
        time = self.n / self.steps
        return _combined_mask(
            self.attribution,
            time,
            _largest_count(time, d),
            self.epc_quantile,
            self.masks,
            self.unit,
        ).expand_as(self.attribution)


def distill(
    model: nn.Module,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = 30,
    epc_quantile: float = 0.9,
    masks: str = "both",
    unit: str = "feature",
    progress: Progress = False,
) -> Iterator[DistillationStep]:
    """The distilled sequence: N + 1 steps, each with its local attribution and masks.

    Args:
        model: classifier in evaluation mode, (B, C, H, W) -> (B, classes).
        inputs: (B, C, H, W), normalised.
        targets: None (class predicted for `inputs`), an int, or integers (B,). Resolved once.
        steps: N, 1 or more.
        epc_quantile: q, 0..1: attributions above this quantile are extreme.
        masks: "both"; "weak" (Eq. 6, the weight n/N included, so that x~(1) = 0); or "extreme".
        unit: "feature" ranks all C*H*W features, as the paper does; "pixel" ranks pixels.
        progress: show a progress bar, tqdm's or that of a function called like tqdm.

    Yields:
        DistillationStep for n = 0 .. N. Arguments are checked at the call, before the first step.
        The model must not be changed between two steps; it is not copied.
    """
    check_count("steps", steps)
    check_share("epc_quantile", epc_quantile)
    check_choice("masks", masks, ("both", "weak", "extreme"))
    engine = Engine(model, inputs, targets)
    check_unit(engine.inputs, unit)
    d = _ranked(engine.inputs[:1], unit).numel()

    def attribute(x: Tensor) -> tuple[Tensor, Tensor]:
        score, gradient = engine.score_and_gradient(x)
        return score, _spread_evenly(x, score, gradient)  # (1)

    def attribute_and_mask(
        x: Tensor, time: float | Tensor, count: int | Tensor
    ) -> tuple[Tensor, ...]:
        score, phi = attribute(x)
        mask = _combined_mask(phi, time, count, epc_quantile, masks, unit)  # (3)
        masked = mask.mul_(engine.inputs) if mask.shape == phi.shape else mask * engine.inputs
        return score, phi, masked.to(inputs.dtype)  # (4), always the original

    def sequence() -> Iterator[DistillationStep]:
        step = engine.repeated(attribute_and_mask)
        x = engine.inputs
        for n in ticks(range(steps + 1), progress, "Distilling"):
            if n < steps:
                score, phi, following = step(x, n / steps, _largest_count(n / steps, d))
            else:  # the mask of step N is 0 and would distil an empty picture
                score, phi = attribute(x)
            _check_finite(phi)
            # What is handed out belongs to the caller, who may change it: nothing here reads it
            # again, and the original is not handed out.
            shown = x.clone() if n == 0 else x
            yield DistillationStep(n, steps, shown, phi, score, epc_quantile, masks, unit)
            x = following

    return sequence()


def _check_finite(phi: Tensor) -> None:
    # The residual holds every value of a picture and is part of each of its features.
    if not torch.isfinite(phi.flatten(2)[:, 0, 0] if phi.dim() > 2 else phi[:, 0]).all():
        raise ValueError("model returned a score or gradient that is not finite (NaN or infinity)")


def distilled_gradient_aggregation(
    model: nn.Module,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = 30,
    epc_quantile: float = 0.9,
    negative_scale: float = 0.0,
    masks: str = "both",
    unit: str = "feature",
    progress: Progress = False,
) -> Tensor:
    """Distilled Gradient Aggregation (Algorithm 1): the sum over the distilled sequence.

    Costs N + 1 forward and backward passes. The map is not complete: it does not sum to the score.
    The sequence is made of ranks, so single float32 maps depend on rounding; the same call on the
    same machine gives the same bits.

    Args:
        model, inputs, targets, steps, epc_quantile, masks, unit, progress: see `distill`.
        negative_scale: beta, weight of negative attribution in the sum.

    Returns:
        Attribution, same shape, dtype and device as `inputs`; >= 0 with the default beta of 0.
    """
    check_number("negative_scale", negative_scale)
    total = None
    for step in distill(
        model,
        inputs,
        targets,
        steps=steps,
        epc_quantile=epc_quantile,
        masks=masks,
        unit=unit,
        progress=progress,
    ):
        # (2); in place, since what the sequence hands out is ours to change
        part = F.leaky_relu_(step.attribution, negative_scale)
        total = part if total is None else total.add_(part)
    assert total is not None
    return total.to(inputs.dtype).contiguous()
