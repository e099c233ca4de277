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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dga.engine import Engine, Progress, check_finite, finished, ticks
from dga.full_gradient import _spread_evenly
from dga.masks import (
    Masks,
    Unit,
    _combined_mask,
    check_unit,
    extreme_positive_contributor_mask,
    weak_contributor_mask,
)
from dga.validation import Model, Targets, check_choice, check_count, check_number, check_share


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
    masks: Masks
    unit: Unit

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
        share = self.n / self.steps
        mask = _combined_mask(self.attribution, share, self.epc_quantile, self.masks, self.unit)
        return mask.expand_as(self.attribution)


def distill(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = 30,
    epc_quantile: float = 0.9,
    masks: Masks = "both",
    unit: Unit = "feature",
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Iterator[DistillationStep]:
    """The distilled sequence: N + 1 steps, each with its local attribution and masks.

    Args:
        model, inputs, targets, extra_args: see `gradient`. The target is resolved once, on
            `inputs`, never on a distilled input.
        steps: N, 1 or more; that is N + 1 passes, for n = 0 .. N. (The path methods count passes:
            their default of 31 costs what DGA's 30 costs.)
        epc_quantile: q, 0..1: attributions above this quantile are extreme.
        masks: "both"; "weak" (Eq. 6, the weight n/N included, so that x~(1) = 0); or "extreme".
        unit: "feature" ranks all C*H*W features, as the paper does; "pixel" ranks pixels.
        progress: show a progress bar, tqdm's or that of a function called like tqdm.

    Yields:
        DistillationStep for n = 0 .. N. Arguments are checked at the call, before the first step.
        The model must not be changed between two steps.

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> sequence = dga.distill(model, torch.rand(1, 3, 2, 2), steps=4)
        >>> [step.n for step in sequence]
        [0, 1, 2, 3, 4]
    """
    check_count("steps", steps)
    check_share("epc_quantile", epc_quantile)
    check_choice("masks", masks, ("both", "weak", "extreme"))
    engine = Engine(model, inputs, targets, extra_args)
    check_unit(engine.inputs, unit)

    def local_attribution(x: Tensor) -> tuple[Tensor, Tensor]:
        score, gradient = engine.score_and_gradient(x)
        return score, _spread_evenly(x, score, gradient)

    def sequence() -> Iterator[DistillationStep]:
        local = engine.repeated(local_attribution)
        x = engine.inputs
        for n in ticks(range(steps + 1), progress, "Distilling"):
            score, phi = local(x)  # (1)
            check_finite(phi.flatten(1)[:, 0])  # the residual, of all features, is part of each
            M = _combined_mask(phi, n / steps, epc_quantile, masks, unit)  # (3)
            # What is handed out belongs to the caller, who may change it: nothing here reads it
            # again, and the original is not handed out.
            shown = engine.inputs.clone() if n == 0 else x
            yield DistillationStep(n, steps, shown, phi, score, epc_quantile, masks, unit)
            x = (engine.inputs * M).to(inputs.dtype)  # (4), M * x: always the original

    return sequence()


def distilled_gradient_aggregation(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = 30,
    epc_quantile: float = 0.9,
    negative_scale: float = 0.0,
    masks: Masks = "both",
    unit: Unit = "feature",
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """Distilled Gradient Aggregation (Algorithm 1): the sum over the distilled sequence.

    Costs N + 1 forward and backward passes. The map is not complete: it does not sum to the score.
    The sequence is made of ranks, so single float32 maps depend on rounding; the same call on the
    same machine gives the same bits.

    Args:
        model, inputs, targets, steps, epc_quantile, masks, unit, extra_args, progress: see
            `distill`.
        negative_scale: beta, weight of negative attribution in the sum.

    Returns:
        Attribution, same shape, dtype and device as `inputs`; >= 0 with the default beta of 0.

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> dga.distilled_gradient_aggregation(model, torch.rand(1, 3, 2, 2)).shape
        torch.Size([1, 3, 2, 2])
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
        extra_args=extra_args,
        progress=progress,
    ):
        # (2); in place, since what the sequence hands out is ours to change
        part = F.leaky_relu_(step.attribution, negative_scale)
        total = part if total is None else total.add_(part)
    assert total is not None
    return finished(total, inputs.dtype)
