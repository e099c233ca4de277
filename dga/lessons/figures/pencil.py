"""The network of lessons 01 and 03 that is small enough for a pencil."""

from __future__ import annotations

import torch
from torch import nn


def two_inputs() -> nn.Sequential:
    """Two inputs, three ReLUs, one score, in float64.

    Example:
        >>> round(two_inputs()(torch.tensor([[1.5, 0.5]]).double()).item(), 3)
        3.1
    """
    hidden, score = nn.Linear(2, 3), nn.Linear(3, 1)
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-0.5, 1.0]]))
        hidden.bias.copy_(torch.tensor([-1.0, 0.2, -0.6]))
        score.weight.copy_(torch.tensor([[1.0, 1.5, -2.0]]))
        score.bias.fill_(0.3)
    return nn.Sequential(hidden, nn.ReLU(), score).double()
