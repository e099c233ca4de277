"""Assignment 3: masks and the distilled sequence."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import dga
from dga.lessons.checks.examples import (
    SOFTMAX,
    local_attribution,
    network,
    pictures,
    predicted,
    probability,
    score,
)
from dga.lessons.checks.task import Task


def _ties() -> list[tuple]:
    generator = torch.Generator().manual_seed(2)
    tied = torch.randint(-3, 4, (100,), generator=generator).double()
    free = torch.randn(100, generator=generator, dtype=torch.float64)
    return [(v, share) for v in (tied, free) for share in (0.0, 0.29, 0.58, 0.9, 1.0)]


def _count(v: Tensor) -> Tensor:
    """How many values are at most this one."""
    return (v[None, :] <= v[:, None]).sum(1)


weak_mask = Task(
    "f(phi, share)",
    _ties,
    lambda v, s: _count(v.abs()) / len(v) > s,
    {
        "sizes are ranked: the absolute value is forgotten": lambda v, s: _count(v) / len(v) > s,
        "a feature counts itself and its ties: <=, not <": lambda v, s: (
            (v.abs()[None, :] < v.abs()[:, None]).sum(1) / len(v) > s
        ),
        "the weak features go: True is for those that stay": lambda v, s: (
            _count(v.abs()) / len(v) <= s
        ),
        "this is an interpolated quantile, which is wrong where values are tied: count": (
            lambda v, s: v.abs() > v.abs().quantile(s)
        ),
        "features exactly at the share go too: > share stays, not >= share": lambda v, s: (
            _count(v.abs()) / len(v) >= s
        ),
    },
)

extreme_mask = Task(
    "f(phi, quantile)",
    _ties,
    lambda v, q: _count(v) / len(v) <= q,
    {
        "signed values are ranked here: an absolute value was added": lambda v, q: (
            _count(v.abs()) / len(v) <= q
        ),
        "the strongest positive features go: True is for those that stay": lambda v, q: (
            _count(v) / len(v) > q
        ),
        "a feature counts itself and its ties: <=, not <": lambda v, q: (
            (v[None, :] < v[:, None]).sum(1) / len(v) <= q
        ),
        "this is an interpolated quantile, which is wrong where values are tied: count": (
            lambda v, q: v <= v.quantile(q)
        ),
        "features exactly at the quantile stay: <= quantile, not <": lambda v, q: (
            _count(v) / len(v) < q
        ),
    },
)


def _masked(phi: Tensor, time: float, q: float, absolute: bool = False) -> Tensor:
    weak = dga.weak_contributor_mask(phi, time)
    extreme = dga.extreme_positive_contributor_mask(phi.abs() if absolute else phi, q)
    return time * weak.double() + (1 - time) * extreme.double()


def sequence(
    *,
    keeps_masking: bool = False,
    shift: int = 0,
    follows_prediction: bool = False,
    of: Callable = score,
    absolute: bool = False,
) -> Callable[..., list[Tensor]]:
    """A function that gives x~(0) .. x~(N), right unless told otherwise.

    Args:
        keeps_masking: mask the distilled input again, not the original.
        shift: of n, in share and weight.
        follows_prediction: explain the predicted class of each distilled input.
        of: what is explained.
        absolute: rank absolute values for EPC.

    Example:
        >>> len(sequence()(network(), *pictures(), 4, 0.9))
        5
    """

    def inputs(model: nn.Module, x: Tensor, target: Tensor, N: int, q: float) -> list[Tensor]:
        out = [x]
        for n in range(N):
            wanted = predicted(model, out[-1]) if follows_prediction else target
            phi = local_attribution(model, out[-1], wanted, of)
            mask = _masked(phi, (n + shift) / N, q, absolute)
            out.append(mask * (out[-1] if keeps_masking else x))
        return out

    return inputs


ORIGINAL = "the mask is applied to the distilled input; it always masks the ORIGINAL picture"
SHIFT = "off by one in n: step n has the share and the weight n / N, so the first is 0"
EPC_SIGN = "EPC ranks signed values: an absolute value was added"
_FOLLOWS = "the target follows the prediction on the masked picture; it is settled once, on x"

distilled_inputs = Task(
    "f(model, x, target, N, q)",
    lambda: [(network(), *pictures(), 4, 0.8)],
    sequence(),
    {
        ORIGINAL: sequence(keeps_masking=True),
        SHIFT: sequence(shift=1),
        _FOLLOWS: sequence(follows_prediction=True),
        SOFTMAX: sequence(of=probability),
        EPC_SIGN: sequence(absolute=True),
    },
)
