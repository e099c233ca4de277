"""Contributor masks: which features of a distilled input stay (DGA, Eq. 4, 5, 7, 8).

Both masks count, for every feature, how many features have an attribution no larger than its own,
and compare that count, as a share of all d features, with a threshold. Counting is a matter of one
order statistic per picture: with the values sorted ascending, the features whose share is at most s
are exactly those below v_(r+1), where r is the largest integer with r/d <= s. Ties count in full.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dga.selection import order_statistic
from dga.validation import check_choice, check_share


def weak_contributor_mask(attribution: Tensor, share: float, *, unit: str = "feature") -> Tensor:
    """Masks the weakest contributors (Eq. 4, 5).

    Feature j is False if |{k : |phi_k| <= |phi_j|}| / d <= share, else True; per picture.

    Args:
        attribution: (B, ...), signed.
        share: 0..1; n/N at step n of N.
        unit: "feature" ranks the d = C*H*W features, as the paper does; "pixel" ranks pixels by
            their channel sum, so that the channels of a pixel stay or go together.

    Returns:
        bool, same shape as `attribution`; True where the feature stays.
    """
    check_share("share", share)
    values = _values(attribution, unit).abs()
    return _every_channel(values >= _first_above(values, share), attribution)


def extreme_positive_contributor_mask(
    attribution: Tensor, quantile: float, *, unit: str = "feature"
) -> Tensor:
    """Masks the extreme positive contributors (Eq. 7, 8).

    Feature j is True if |{k : phi_k <= phi_j}| / d <= quantile, else False; per picture.

    Args:
        attribution: (B, ...), signed.
        quantile: 0..1, q in the paper.
        unit: see `weak_contributor_mask`.

    Returns:
        bool, same shape as `attribution`; True where the feature stays.
    """
    check_share("quantile", quantile)
    values = _values(attribution, unit)
    return _every_channel(values < _first_above(values, quantile), attribution)


def _values(attribution: Tensor, unit: str) -> Tensor:
    check_choice("unit", unit, ("feature", "pixel"))
    if not isinstance(attribution, Tensor) or not attribution.is_floating_point():
        raise TypeError("attribution must be a floating-point tensor")
    if attribution.dim() < 2 or attribution.numel() == 0:
        raise ValueError(
            f"attribution has shape {tuple(attribution.shape)}; (B, C, H, W) or (B, features) "
            "is needed"
        )
    if unit == "pixel" and attribution.dim() < 3:
        raise ValueError(
            f"attribution has shape {tuple(attribution.shape)}, which has no pixels: use "
            'unit="feature"'
        )
    if not torch.isfinite(attribution.sum(dtype=torch.float64)):
        raise ValueError("attribution holds values that are not finite (NaN or infinity)")
    values = attribution.detach()
    return values.sum(1, keepdim=True) if unit == "pixel" else values


def _every_channel(mask: Tensor, attribution: Tensor) -> Tensor:
    return mask if mask.shape == attribution.shape else mask.expand_as(attribution).clone()


def _first_above(values: Tensor, share: float) -> Tensor:
    """v_(r+1) of every picture, shaped to broadcast; infinity if all features count (r = d)."""
    rows = _rows(values)
    d = rows.shape[1]
    r = _largest_count(share, d)
    v = torch.full_like(rows[:, 0], math.inf) if r == d else order_statistic(rows, r)
    return v.view(-1, *[1] * (values.dim() - 1))


def _largest_count(share: float, d: int) -> int:
    """The largest integer r with r/d <= share, the division rounded as float64 rounds it."""
    r = min(math.floor(share * d) + 1, d)  # share*d may round either way
    while r / d > share:
        r -= 1
    return r


def _rows(values: Tensor) -> Tensor:
    """(B, d), in whatever order memory holds the features: a rank does not ask."""
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.flatten(1)
