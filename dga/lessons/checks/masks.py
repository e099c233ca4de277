"""Assignment 3: masks and the distilled sequence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

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


def _count_turned(v: Tensor) -> Tensor:
    """How many values are at least this one."""
    return (v[None, :] >= v[:, None]).sum(1)


_TURNED = (
    "this counts the features that are at least as large: the table is summed along its other "
    "side, or its comparison is turned"
)
_RANKS = "argsort gives equal features different ranks: count, so that ties stay or go together"
_PRODUCT = (
    "the share times d is rounded: 0.29 * 100 comes out a little below 29, and a feature that "
    "counts 29 is on the wrong side. Divide the count by d, as the formula does"
)
_ORDER = "argsort says who stands at a place, not at which place a feature stands"


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
        _PRODUCT: lambda v, s: _count(v.abs()).double() > s * len(v),
        _TURNED: lambda v, s: _count_turned(v.abs()) / len(v) > s,
        _RANKS: lambda v, s: (v.abs().argsort().argsort() + 1) / len(v) > s,
        _ORDER: lambda v, s: (v.abs().argsort() + 1) / len(v) > s,
    },
    (dga.weak_contributor_mask,),
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
        _PRODUCT: lambda v, q: _count(v).double() <= q * len(v),
        _TURNED: lambda v, q: _count_turned(v) / len(v) <= q,
        _RANKS: lambda v, q: (v.argsort().argsort() + 1) / len(v) <= q,
        _ORDER: lambda v, q: (v.argsort() + 1) / len(v) <= q,
    },
    (dga.extreme_positive_contributor_mask,),
)


def _masked(phi: Tensor, time: float, weight: float, q: float, absolute: bool) -> Tensor:
    """WC of the share `time` and EPC, with the weights `weight` and 1 - `weight`."""
    weak = dga.weak_contributor_mask(phi, time)
    extreme = dga.extreme_positive_contributor_mask(phi.abs() if absolute else phi, q)
    return weight * weak.double() + (1 - weight) * extreme.double()


Local = Callable[[nn.Module, Tensor, Tensor], Tensor]


def sequence(
    *,
    keeps_masking: bool = False,
    shift: int = 0,
    shift_share: int = 0,
    swap: bool = False,
    follows_prediction: bool = False,
    absolute: bool = False,
) -> Callable[..., list[Tensor]]:
    """A function of a local method and more that gives x~(0) .. x~(N), right unless told otherwise.

    Args:
        keeps_masking: mask the distilled input again, not the original.
        shift: of n, in share and weight.
        shift_share: of n, in the share alone.
        swap: the two weights.
        follows_prediction: explain the predicted class of each distilled input.
        absolute: rank absolute values for EPC.

    Example:
        >>> len(sequence()(local_attribution, network(), *pictures(), 4, 0.9))
        5
    """

    def inputs(
        local: Local, model: nn.Module, x: Tensor, target: Tensor, N: int, q: float
    ) -> list[Tensor]:
        out = [x]
        for n in range(N):
            wanted = predicted(model, out[-1]) if follows_prediction else target
            weight = (n + shift) / N
            mask = _masked(
                local(model, out[-1], wanted), (n + shift + shift_share) / N,
                1 - weight if swap else weight, q, absolute,
            )  # fmt: skip
            out.append(mask * (out[-1] if keeps_masking else x))
        return out

    return inputs


ORIGINAL = "the mask is applied to the distilled input; it always masks the ORIGINAL picture"
SHIFT = "off by one in n: step n has the share and the weight n / N, so the first is 0"
EPC_SIGN = "EPC ranks signed values: an absolute value was added"
SWAPPED = "the weights are swapped: WC has n / N, and EPC has the rest"
SHARE = "off by one in the share of WC: at step n the weakest n / N go, at step 0 nobody"
FOLLOWS = "the target follows the prediction on the masked picture; it is settled once, on x"
MISTAKES: dict[str, dict[str, Any]] = {
    ORIGINAL: {"keeps_masking": True},
    SHIFT: {"shift": 1},
    SWAPPED: {"swap": True},
    EPC_SIGN: {"absolute": True},
}


def _uniform(inputs: Callable[..., list[Tensor]], of: Callable = score) -> Callable:
    """The sequence of Uniform FullGrad."""
    return partial(inputs, partial(local_attribution, of=of))


distilled_inputs = Task(
    "f(model, x, target, N, q)",
    lambda: [(network(), *pictures(), 4, 0.8)],
    _uniform(sequence()),
    {words: _uniform(sequence(**options)) for words, options in MISTAKES.items()}
    | {
        "both faults are still in it": _uniform(sequence(follows_prediction=True, shift_share=1)),
        "one fault is mended. The other one shows when `target` is not what the network says":
            _uniform(sequence(follows_prediction=True)),
        "one fault is mended. The other one shows for any picture and class, from x~(2) on":
            _uniform(sequence(shift_share=1)),
        SOFTMAX: _uniform(sequence(), probability),
    },
    (dga.distill,),
)  # fmt: skip
