"""Attribution from gradients along a path that leads from a baseline to the picture.

integrated_gradients           (x - x') * integral of df/dx along the straight line
guided_integrated_gradients    the same sum along a path that takes small gradients first
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor

from dga.engine import Engine, Progress, ticks, wide_dtype
from dga.masks import _order_statistic
from dga.validation import Model, Targets, check_count, check_share

Baseline = Tensor | float | None


@overload
def integrated_gradients(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = ...,
    baseline: Baseline = ...,
    return_delta: Literal[False] = ...,
    extra_args: Sequence[Any] = ...,
    progress: Progress = ...,
) -> Tensor: ...
@overload
def integrated_gradients(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = ...,
    baseline: Baseline = ...,
    return_delta: Literal[True],
    extra_args: Sequence[Any] = ...,
    progress: Progress = ...,
) -> tuple[Tensor, Tensor]: ...
def integrated_gradients(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = 31,
    baseline: Baseline = None,
    return_delta: bool = False,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Integrated Gradients (Sundararajan et al., 2017), by the midpoint rule.

    Args:
        model, inputs, targets, extra_args: see `gradient`.
        steps: points on the path, one pass each. The default of 31 costs what DGA's N = 30 costs.
        baseline: where the path starts: None for 0 (the mean colour in normalised space), a
            number, or a tensor that broadcasts to `inputs`.
        return_delta: also return the convergence delta, sum(attribution) - (f(x) - f(baseline)),
            which completeness says is 0 in the limit.
        progress: show a progress bar, tqdm's or that of a function called like tqdm.

    Returns:
        Signed attribution, same shape as `inputs`; with `return_delta` also the delta, (B,).

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> model, x = torch.nn.Linear(2, 3), torch.rand(1, 2)
        >>> heat, delta = dga.integrated_gradients(model, x, 1, return_delta=True)
        >>> bool(delta.abs() < 1e-6)
        True
    """
    check_count("steps", steps)
    engine = Engine(model, inputs, targets, extra_args)
    x = engine.inputs
    start = _baseline(baseline, x)
    local = engine.repeated(engine.score_and_gradient)
    # A sum of many short numbers would stop growing.
    total = torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
    for k in ticks(range(steps), progress, "Integrated Gradients"):
        alpha = (k + 0.5) / steps
        total += local(start + alpha * (x - start))[1]
    attribution = engine.finished((x - start) * total / steps)
    if not return_delta:
        return attribution
    delta = attribution.flatten(1).sum(1) - (engine.score(x) - engine.score(start))
    return attribution, delta


def guided_integrated_gradients(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = 31,
    baseline: Baseline = None,
    fraction: float = 0.25,
    max_dist: float = 0.02,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """Guided Integrated Gradients (Kapishnikov et al., 2021), the anchored path of its Algorithm 1.

    At every step the features with the smallest gradients move towards the input first, so that
    noisy large gradients off the object are crossed late, while no feature strays further than
    `max_dist` from the straight line.

    Args:
        model, inputs, targets, steps, baseline, extra_args, progress: see
            `integrated_gradients`.
        fraction: share of the features moved at a time, in (0, 1].
        max_dist: how far a feature may be ahead of or behind the straight line, as a share of its
            whole path, in 0..1. With 0 this is the left Riemann sum of Integrated Gradients.

    Returns:
        Signed attribution, same shape as `inputs`.

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> model, x = torch.nn.Linear(2, 3), torch.rand(1, 2)
        >>> guided = dga.guided_integrated_gradients(model, x, 1, max_dist=0.5)
        >>> torch.allclose(guided, dga.integrated_gradients(model, x, 1), atol=1e-6)
        True
    """
    check_count("steps", steps)
    check_share("max_dist", max_dist)
    check_share("fraction", fraction)
    if fraction == 0:
        raise ValueError("fraction must be above 0")
    engine = Engine(model, inputs, targets, extra_args)
    start = _baseline(baseline, engine.inputs)
    # One row per picture. `at` is where each feature stands on its own path from baseline to input,
    # 0..1, in float64 where the device has it: positions are compared, rounding must not decide.
    wide = wide_dtype(start.device)
    span = (engine.inputs - start).to(wide).flatten(1)
    at = torch.zeros_like(span)
    total = torch.zeros_like(span)
    local = engine.repeated(engine.score_and_gradient)
    for k in ticks(range(steps), progress, "Guided IG"):
        position = (start.flatten(1) + at * span).to(start.dtype).view(start.shape)
        gradient = local(position)[1].to(wide).flatten(1)
        moved = _advance(at, span.abs(), gradient.abs(), (k + 1) / steps, fraction, max_dist)
        total += (moved - at) * span * gradient
        at = moved
    return engine.finished(total.view(inputs.shape))


def _advance(
    at: Tensor, span: Tensor, magnitude: Tensor, alpha: float, fraction: float, max_dist: float
) -> Tensor:
    """Moves features, smallest gradient first, until each picture has gone `alpha` of its path.

    Args:
        at: (B, d), 0..1, where every feature stands.
        span: (B, d), length of its whole path.
        magnitude: (B, d), of the gradient.

    Returns:
        The new `at`.
    """
    behind, ahead = max(alpha - max_dist, 0.0), min(alpha + max_dist, 1.0)
    at = at.clamp(min=behind)
    magnitude = magnitude.nan_to_num(
        nan=torch.finfo(magnitude.dtype).max
    )  # a NaN is comparable with nothing
    total = span.sum(1)
    remaining = total * (1 - alpha)
    # A feature without a path to go counts as arrived, as in the authors' code.
    open_ = (at < ahead) & (span > 0)
    d = span.shape[1]
    closed, tiny = 1e-9 if span.dtype == torch.float64 else 1e-5, torch.finfo(span.dtype).tiny
    rank = min(math.floor(fraction * (d - 1)), d - 1)  # numpy's quantile(..., method="lower")
    while True:
        gap = (span * (1 - at)).sum(1) - remaining
        active = (gap > closed * torch.maximum(total, remaining).clamp(min=tiny)) & open_.any(1)
        if not active.any():
            return at
        cost = magnitude.masked_fill(~open_, math.inf)
        # Where fewer than `fraction` of the features are still open, the quantile is infinite and
        # all of them are chosen.
        threshold = _order_statistic(cost, rank)[:, None]
        chosen = (cost <= threshold) & open_ & active[:, None]
        reach = (span * (ahead - at) * chosen).sum(1)
        gamma = torch.where(reach > 0, gap / reach, torch.inf)
        part = gamma.clamp(max=1)[:, None]
        goal = torch.where(part < 1, at + part * (ahead - at), torch.full_like(at, ahead))
        at = torch.where(chosen, goal, at)
        # A picture that has closed its gap with part of a move is finished; the others lose the
        # features that have gone as far as they may.
        open_ = open_ & ~chosen & (gamma > 1)[:, None]


def _baseline(baseline: Baseline, x: Tensor) -> Tensor:
    """The baseline as a batch like `x`."""
    if baseline is None:
        return torch.zeros_like(x)
    try:
        value = torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
        value = value.detach().as_subclass(Tensor)
        start = torch.empty_like(x).copy_(value.expand_as(x))
    except (TypeError, ValueError, RuntimeError) as error:
        got = tuple(baseline.shape) if isinstance(baseline, Tensor) else repr(baseline)
        raise ValueError(
            f"baseline must be None, a number, or a tensor that broadcasts to {tuple(x.shape)}, "
            f"got {got}"
        ) from error
    if not torch.isfinite(start).all():
        raise ValueError("baseline holds values that are not finite (NaN or infinity)")
    return start
