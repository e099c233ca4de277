"""Contributor masks: which features of a distilled input stay (DGA, Eq. 4, 5, 7, 8).

Both masks count, for every feature, how many features have an attribution no larger than its own,
and compare that count, as a share of all d features, with a threshold. Counting is a matter of one
order statistic per picture: with the values sorted ascending, the features whose share is at most s
are exactly those below v_(r+1), where r is the largest integer with r/d <= s. Ties count in full.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dga.validation import check_choice, check_share

Unit = Literal["feature", "pixel"]
Masks = Literal["both", "weak", "extreme"]


def weak_contributor_mask(attribution: Tensor, share: float, *, unit: Unit = "feature") -> Tensor:
    """Masks the weakest contributors (Eq. 4, 5).

    Feature j is False if |{k : |phi_k| <= |phi_j|}| / d <= share, else True; per picture.

    Args:
        attribution: (B, ...), signed.
        share: 0..1; n/N at step n of N.
        unit: "feature" ranks the d = C*H*W features, as the paper does; "pixel" ranks pixels by
            their channel sum, so that the channels of a pixel stay or go together.

    Returns:
        bool, same shape as `attribution`; True where the feature stays.

    Raises:
        TypeError, ValueError: for another share or unit, or an attribution that is not finite.

    Example:
        >>> import dga, torch
        >>> dga.weak_contributor_mask(torch.tensor([[1.0, -4.0, 2.0, -3.0]]), 0.5)
        tensor([[False,  True, False,  True]])
    """
    check_share("share", share)
    values = _checked(attribution, unit)
    return _every_channel(_weak(values, share).bool(), attribution)


def extreme_positive_contributor_mask(
    attribution: Tensor, quantile: float, *, unit: Unit = "feature"
) -> Tensor:
    """Masks the extreme positive contributors (Eq. 7, 8).

    Feature j is True if |{k : phi_k <= phi_j}| / d <= quantile, else False; per picture.

    Args:
        attribution: (B, ...), signed.
        quantile: 0..1, q in the paper.
        unit: see `weak_contributor_mask`.

    Returns:
        bool, same shape as `attribution`; True where the feature stays.

    Raises:
        TypeError, ValueError: see `weak_contributor_mask`.

    Example:
        >>> import dga, torch
        >>> dga.extreme_positive_contributor_mask(torch.tensor([[1.0, -4.0, 2.0, -3.0]]), 0.75)
        tensor([[ True,  True, False,  True]])
    """
    check_share("quantile", quantile)
    values = _checked(attribution, unit)
    return _every_channel(_extreme(values, quantile).bool(), attribution)


def _combined_mask(
    attribution: Tensor, share: float, quantile: float, masks: str, unit: str
) -> Tensor:
    """M = share * WC + (1 - share) * EPC of Algorithm 1, unchecked.

    Args:
        attribution: (B, ...), finite.
        share: n/N.
        quantile: q.
        masks: "both", "weak" (WC alone, weight included) or "extreme".
        unit: "feature" or "pixel".

    Returns:
        0..1 in the dtype of `attribution`; with unit "pixel" one channel.
    """
    values = _ranked(attribution, unit)
    if masks == "weak":
        return _weak(values, share).mul_(share)
    extreme = _extreme(values, quantile).mul_(1 - share)
    if masks == "extreme":
        return extreme
    return extreme.add_(_weak(values, share).mul_(share))


def _largest_count(share: float, d: int) -> int:
    """The largest integer r with r/d <= share, the division rounded as float64 rounds it."""
    r = min(math.floor(share * d) + 1, d)  # share*d may round either way
    while r / d > share:
        r -= 1
    return r


def _ranked(attribution: Tensor, unit: str) -> Tensor:
    """What is ranked: the features, or the channel sums of the pixels."""
    return attribution.sum(1, keepdim=True) if unit == "pixel" else attribution


def _weak(values: Tensor, share: float) -> Tensor:
    """WC as numbers 0 and 1: floats multiply several times faster than bools are converted."""
    magnitude = values.abs()
    return magnitude.ge_(_first_above(magnitude, share))


def _extreme(values: Tensor, quantile: float) -> Tensor:
    """EPC as numbers 0 and 1."""
    return torch.lt(values, _first_above(values, quantile), out=torch.empty_like(values))


def check_unit(features: Tensor, unit: str) -> None:
    """Raises unless `unit` is one, and one that the features, (B, ...), have."""
    check_choice("unit", unit, ("feature", "pixel"))
    if unit == "pixel" and features.dim() < 3:
        raise ValueError(f'shape {tuple(features.shape)} has no pixels to rank: use unit="feature"')


def _checked(attribution: Tensor, unit: str) -> Tensor:
    if not isinstance(attribution, Tensor) or not attribution.is_floating_point():
        raise TypeError("attribution must be a floating-point tensor")
    if attribution.dim() < 2 or attribution.numel() == 0:
        raise ValueError(
            f"attribution has shape {tuple(attribution.shape)}; (B, C, H, W) or (B, features) "
            "is needed"
        )
    check_unit(attribution, unit)
    if not torch.isfinite(attribution).all():
        raise ValueError("attribution holds values that are not finite (NaN or infinity)")
    return _ranked(attribution.detach(), unit)


def _every_channel(mask: Tensor, attribution: Tensor) -> Tensor:
    return mask if mask.shape == attribution.shape else mask.expand_as(attribution).clone()


def _first_above(values: Tensor, share: float) -> Tensor:
    """v_(r+1) of every picture, shaped to broadcast; infinity if all features count."""
    rows = _rows(values)
    rank = _largest_count(share, rows.shape[1])
    everything = rank == rows.shape[1]
    v = torch.full_like(rows[:, 0], math.inf) if everything else _order_statistic(rows, rank)
    return v.view(-1, *[1] * (values.dim() - 1))


def _rows(values: Tensor) -> Tensor:
    """(B, d), in whatever order memory holds the features: a rank does not ask."""
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.flatten(1)


def _order_statistic(rows: Tensor, rank: int) -> Tensor:
    """The value with `rank` values before it, of every row sorted ascending, without sorting.

    Args:
        rows: (B, d), finite.
        rank: 0..d-1; 0 is the minimum.

    Returns:
        (B,), exactly a value of each row.
    """
    if rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64):
        return _by_partition(rows, rank)
    return rows.kthvalue(rank + 1, dim=1).values


def _by_partition(rows: Tensor, rank: int) -> Tensor:
    """Selects several times faster than torch does on a CPU, on memory shared with the tensor."""
    return torch.from_numpy(np.stack([_selected(row, rank) for row in rows.numpy()]))


def _selected(values: np.ndarray, rank: int) -> np.generic:
    """The value of a rank in one row: a sample tells between which two values it must lie.

    Only those between them are partitioned; if the sample misled, all of them are.
    """
    if len(values) > 2 * _SAMPLE:
        sample = np.sort(values[_drawn(len(values))])
        place, slack = rank * _SAMPLE / len(values), 2 * math.sqrt(_SAMPLE)  # 4 std. deviations
        low = sample[int(place - slack)] if place > slack else -np.inf
        high = sample[int(place + slack)] if place + slack < _SAMPLE else np.inf
        between = values >= low
        below = len(values) - int(np.count_nonzero(between))
        between &= values <= high
        kept = values.compress(between)
        if below <= rank < below + len(kept):
            values, rank = kept, rank - below
    return np.partition(values, rank)[rank]  # type: ignore[no-any-return]


_SAMPLE = 4096


@lru_cache(8)
def _drawn(count: int) -> np.ndarray:
    """Places in a row of a sample; not at regular steps, which may always meet the same channel."""
    return np.sort(np.random.default_rng(0).integers(0, count, _SAMPLE))
