"""One order statistic of every row, without sorting the rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def order_statistic(rows: Tensor, rank: int) -> Tensor:
    """The value with `rank` values before it, of every row sorted ascending.

    Args:
        rows: (B, d).
        rank: 0..d-1; 0 is the minimum.

    Returns:
        (B,), exactly a value of each row.
    """
    if rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64):
        # Shares memory with the tensor, and selects several times faster than torch does on a CPU.
        return torch.from_numpy(np.partition(rows.numpy(), rank, axis=1)[:, rank].copy())
    return rows.kthvalue(rank + 1, dim=1).values
