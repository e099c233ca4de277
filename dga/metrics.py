"""How good is an attribution? Pixel perturbation, and agreement with a known ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

from dga.engine import Engine, wide_dtype
from dga.filling import FILLS, Fill, filler
from dga.randomization import cascading_randomization
from dga.validation import Model, Targets, check_choice, check_count, check_share

__all__ = [
    "Order",
    "SHARES",
    "bootstrap_interval",
    "cascading_randomization",
    "check_attribution",
    "energy_inside",
    "pixel_perturbation",
    "pointing",
    "rank_correlation",
    "remove_top",
    "top_pixels",
    "top_precision",
]

SHARES = tuple(k / 10 for k in range(11))


Order = Literal["morf", "lerf", "both"]


def pixel_perturbation(
    model: Model,
    inputs: Tensor,
    attribution: Tensor,
    targets: Targets = None,
    order: Order = "morf",
    *,
    shares: Sequence[float] = SHARES,
    fill: Fill = "mean",
    seed: int = 0,
    extra_args: Sequence[Any] = (),
) -> Tensor:
    """Pixel perturbation (DGA, Table 1): the target's probability while pixels are removed.

    The channel sum of the signed attribution ranks the pixels; ties are broken at random. The score
    of Table 1 is the mean of the curve. What is measured is the softmax probability of the target
    class; the sigmoid where the model has one score; the output itself where its rows are
    probabilities; and the value of the callable where `targets` is one.

    Args:
        model, targets, extra_args: see `gradient`; the target is settled on the untouched picture.
        inputs: (B, C, H, W), normalised.
        attribution: same shape as `inputs`.
        order: "morf" removes the most relevant pixels first (lower is better), "lerf" the least
            relevant first (higher is better), "both" gives LeRF and MoRF and shares the passes
            that both need.
        shares: shares of the pixels removed, 0..1; round(share * H * W) pixels.
        fill: what a removed pixel becomes: "mean" (0 in normalised space, the mean colour), "blur"
            (the picture blurred) or "linear" (the weighted mean of its neighbours, and a little
            noise, as in ROAD), see `dga.filling`.
        seed: of the order among ties and of the noise; the same for every picture, so that results
            do not depend on the batch.

    Returns:
        The curve, (B, len(shares)): mean probability of the target at each share. With "both"
        (2, B, len(shares)): LeRF, MoRF.

    Raises:
        TypeError, ValueError: see `gradient`; if attribution and inputs do not fit each other.

    Example:
        >>> import dga, torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> x = torch.rand(5, 3, 2, 2)
        >>> curve = dga.pixel_perturbation(model, x, dga.gradient(model, x), shares=(0, 0.5, 1))
        >>> curve.shape
        torch.Size([5, 3])
    """
    check_choice("order", order, ("morf", "lerf", "both"))
    check_choice("fill", fill, FILLS)
    if isinstance(shares, Real) or len(shares) == 0:
        raise ValueError(f"shares must hold one or more shares from 0 to 1, got {shares!r}")
    shares = [float(share) for share in shares]
    for share in shares:
        check_share("shares", share)
    check_count("seed", seed, 0)
    check_attribution(inputs, attribution)
    engine = Engine(model, inputs, targets, extra_args)
    x = engine.inputs
    pixels = x.shape[2] * x.shape[3]
    ranks = _pixel_ranks(attribution.detach(), seed)
    removing = filler(fill, x, seed)

    @cache  # nothing or everything removed is the same picture in both orders
    def probability(removed: int, morf: bool) -> Tensor:
        if not removed:
            return engine.probability(x)
        rank = pixels - 1 - ranks if morf else ranks
        return engine.probability(removing((rank >= removed).view(-1, 1, *x.shape[2:])))

    def curve(morf: bool) -> Tensor:
        counts = [round(share * pixels) for share in shares]
        return torch.stack([probability(r, morf and 0 < r < pixels) for r in counts], 1)

    if order == "both":
        return torch.stack([curve(False), curve(True)])
    return curve(order == "morf")


def _pixel_ranks(attribution: Tensor, seed: int) -> Tensor:
    """The rank of every pixel in its picture, 0 for the least relevant, (B, H*W)."""
    relevance = _relevance(attribution)
    pixels = relevance.shape[1]
    generator = torch.Generator("cpu").manual_seed(seed)
    shuffle = torch.randperm(pixels, generator=generator, device="cpu").to(relevance.device)
    # A stable sort keeps the shuffled order among equals.
    order = shuffle[relevance[:, shuffle].argsort(dim=1, stable=True)]
    places = torch.arange(pixels, device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _check_finite(attribution: Tensor) -> None:
    if not torch.isfinite(attribution).all():
        raise ValueError("attribution holds values that are not finite (NaN or infinity)")


def _relevance(attribution: Tensor) -> Tensor:
    """The channel sum of every pixel, (B, H*W), in float32 at least: short numbers overflow."""
    _check_finite(attribution)
    wide = torch.promote_types(attribution.dtype, torch.float32)
    return attribution.to(wide).sum(1).flatten(1)


def top_pixels(attribution: Tensor, share: float = 0.1, *, seed: int = 0) -> Tensor:
    """The most relevant pixels of each picture (DGA, Fig. 5).

    Args:
        attribution: (B, C, H, W).
        share: of the pixels, 0..1; round(share * H * W) of them.
        seed: of the order among ties.

    Returns:
        bool, (B, H, W).

    Example:
        >>> import torch
        >>> top_pixels(torch.tensor([[[[1.0, 5.0], [-9.0, 0.0]]]]), 0.25)
        tensor([[[False,  True],
                 [False, False]]])
    """
    check_share("share", share)
    b, _, h, w = attribution.shape
    return (_pixel_ranks(attribution, seed) >= h * w - round(share * h * w)).view(b, h, w)


def top_precision(attribution: Tensor, mask: Tensor, share: float = 0.1) -> Tensor:
    """Which share of the most relevant pixels lies inside the mask.

    Args:
        attribution: (B, C, H, W).
        mask: bool, (B, H, W), the pixels that are the right answer.
        share: how many pixels count as most relevant.

    Returns:
        (B,), 0..1; a random ranking gives the share of the picture that the mask covers.

    Example:
        >>> import torch
        >>> top_precision(torch.tensor([[[[4.0, 3.0]]]]), torch.tensor([[[True, False]]]), 1)
        tensor([0.5000])
    """
    _check_mask(attribution, mask)
    if not round(share * mask[0].numel()):
        raise ValueError(f"share {share} of {mask[0].numel()} pixels is none")
    top = top_pixels(attribution, share)
    return (top & mask).flatten(1).sum(1) / top.flatten(1).sum(1)


def energy_inside(attribution: Tensor, mask: Tensor) -> Tensor:
    """Which share of the positive relevance (of the channel sums) lies inside the mask.

    Args:
        attribution: (B, C, H, W).
        mask: bool, (B, H, W).

    Returns:
        (B,), 0..1; NaN where a picture has no positive relevance.

    Example:
        >>> import torch
        >>> energy_inside(torch.tensor([[[[3.0, 1.0]]]]), torch.tensor([[[True, False]]]))
        tensor([0.7500])
    """
    _check_mask(attribution, mask)
    energy = _relevance(attribution).clamp(min=0)
    return (energy * mask.flatten(1)).sum(1) / energy.sum(1)


def pointing(attribution: Tensor, mask: Tensor) -> Tensor:
    """The pointing game: whether the one most relevant pixel lies inside the mask.

    Args:
        attribution: (B, C, H, W).
        mask: bool, (B, H, W).

    Returns:
        bool, (B,).

    Example:
        >>> import torch
        >>> pointing(torch.tensor([[[[3.0, 1.0]]]]), torch.tensor([[[True, False]]]))
        tensor([True])
    """
    _check_mask(attribution, mask)
    best = _relevance(attribution).argmax(1, keepdim=True)
    return mask.flatten(1).gather(1, best)[:, 0]


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of the pixels of two attributions; ties share their mean rank.

    Args:
        first, second: (B, C, H, W).

    Returns:
        (B,), -1..1; NaN where a map is constant.

    Example:
        >>> import torch
        >>> a = torch.rand(1, 3, 4, 4)
        >>> rank_correlation(a, -2 * a)
        tensor([-1.], dtype=torch.float64)
    """
    if first.shape != second.shape or first.dim() != 4:
        raise ValueError(
            f"first has shape {tuple(first.shape)}, second {tuple(second.shape)}: the same "
            "(B, C, H, W) is needed"
        )
    # On the CPU: not every GPU has float64, and ranks of a large picture need it.
    ranks = [_mean_ranks(_relevance(a.detach()).cpu()) for a in (first, second)]
    a, b = (r - r.mean(1, keepdim=True) for r in ranks)
    correlation = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return correlation.to(wide_dtype(first.device)).to(first.device)


def _mean_ranks(values: Tensor) -> Tensor:
    """Rank of every value in its row, the mean rank among equals, in float64 if there is one."""
    ordered = values.sort(1).values.contiguous()
    below = torch.searchsorted(ordered, values.contiguous())
    upto = torch.searchsorted(ordered, values.contiguous(), right=True)
    return (below + upto).to(wide_dtype(values.device)) / 2


def remove_top(inputs: Tensor, attribution: Tensor, share: float, *, seed: int = 0) -> Tensor:
    """ROAR's pictures: the most relevant pixels replaced by the mean colour of the picture.

    Args:
        inputs, attribution: (B, C, H, W).
        share: of the pixels, 0..1.
        seed: of the order among ties.

    Returns:
        A copy of `inputs`.

    Example:
        >>> import torch
        >>> x = torch.tensor([[[[8.0, 2.0]]]])
        >>> remove_top(x, attribution=x, share=0.5)
        tensor([[[[5., 2.]]]])
    """
    check_attribution(inputs, attribution)
    top = top_pixels(attribution, share, seed=seed)[:, None]
    return torch.where(top, inputs.mean((2, 3), keepdim=True), inputs)


def _check_mask(attribution: Tensor, mask: Tensor) -> None:
    wanted = (len(attribution), *attribution.shape[2:])
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != wanted:
        raise ValueError(f"mask must be a bool tensor of shape {tuple(wanted)}")


def bootstrap_interval(
    values: Tensor, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean over pictures with a percentile bootstrap interval.

    Methods measured on the same pictures are compared in pairs: give the differences, or several
    columns; all columns are resampled together.

    Args:
        values: (pictures,) or (pictures, columns).
        resamples: how often pictures are drawn, with replacement.
        level: of the interval, 0..1.
        seed: of the draws.

    Returns:
        Mean, lower and upper end, each () or (columns,), float64 on the CPU.

    Example:
        >>> import torch
        >>> mean, low, high = bootstrap_interval(torch.arange(100.0))
        >>> bool(low < mean < high)
        True
    """
    check_count("resamples", resamples)
    check_share("level", level)
    if not isinstance(values, Tensor) or len(values) == 0:
        raise ValueError("values must be a tensor with one row a picture")
    values = values.detach().cpu().double()
    generator = torch.Generator("cpu").manual_seed(seed)
    size = (resamples, len(values))
    pick = torch.randint(len(values), size, generator=generator, device="cpu")
    means = values[pick].mean(1)
    edges = [(1 - level) / 2, (1 + level) / 2]
    low, high = means.quantile(torch.tensor(edges, dtype=torch.float64, device="cpu"), dim=0)
    return values.mean(0), low, high


def check_attribution(inputs: Tensor, attribution: Tensor) -> None:
    """Raises unless `attribution` is a finite tensor with the shape of image `inputs`."""
    if not isinstance(attribution, Tensor) or not attribution.is_floating_point():
        got = attribution.dtype if isinstance(attribution, Tensor) else type(attribution).__name__
        raise TypeError(f"attribution must be a floating-point tensor, got {got}")
    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        raise ValueError("inputs must be a tensor of shape (B, C, H, W)")
    if attribution.shape != inputs.shape:
        raise ValueError(
            f"attribution has shape {tuple(attribution.shape)}, inputs {tuple(inputs.shape)}: "
            "they must be the same"
        )
    if attribution.device != inputs.device:
        raise ValueError(f"attribution is on {attribution.device}, inputs on {inputs.device}")
    _check_finite(attribution)
