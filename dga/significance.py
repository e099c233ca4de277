"""Whether two methods differ on the same pictures, and on how many comparisons that rests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def signed_rank_p(differences: Tensor) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test: differences lie evenly about 0.

    By the normal approximation with corrections for ties and continuity, which is good from about
    20 differences on. Differences of 0 are left out.

    Args:
        differences: (pictures,), of two methods on the same picture.

    Returns:
        0..1; 1 where no difference is left.

    Example:
        >>> import torch
        >>> signed_rank_p(torch.arange(1.0, 41.0)) < 1e-6
        True
    """
    kept = differences[differences != 0].double().cpu()
    n = len(kept)
    if n == 0:
        return 1.0
    _, place, count = kept.abs().unique(return_inverse=True, return_counts=True)
    ranks = (count.cumsum(0) - (count - 1) / 2)[place]  # the mean rank among equals
    positive = float(ranks[kept > 0].sum())
    middle = n * (n + 1) / 4
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((count**3 - count).sum()) / 48
    z = max(abs(positive - middle) - 0.5, 0) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm, 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for passed, k in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - passed) * p_values[k]))
        corrected[k] = largest
    return corrected
