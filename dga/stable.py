"""A DGA that invisible noise hardly moves. It is ours, not the paper's: see `dga.distillation`.

DGA lets each attribution choose the next mask, so that a flipped rank changes every later look.
Here the looks that choose and the looks that are masked are two stages; nothing is fed back:

    for n = 0 .. N:                                     stage 1, the whole picture
        z = x + sigma * noise                           (none at n = 0)
        phi = UFG(z)
        out += max(phi, 0) + beta * min(phi, 0)
        S += phi - sigma * noise * g                    what the picture gave, without the noise
    a, b = rank of blur(|S|), rank of blur(S)           0..1, once
    for n = 0 .. N - 1:                                 stage 2, masked
        WC  = clip((cdf(a + u) - n/N) / T + 1/2, 0, 1)
        EPC = clip((q - cdf(b + v)) / T + 1/2, 0, 1)
        M = (n/N) * WC + (1 - n/N) * EPC
        z = M * x + sigma * noise;  phi and out as above
    return out

What keeps it still: masks come from a mean of looks and from neighbourhoods, not from one gradient
at one feature; they are ramps, so that a rank that moves a little moves a mask a little; and every
look is through noise of its own, since gradients jump at the kinks of a network and their mean over
a neighbourhood does not. u and v are uniform in 0..J, fresh at every step: looks at the same masks
would see the same kinks. cdf, that of the sum of a uniform number in 0..1 and one in 0..J, makes
ranks of a + u and b + v uniform again, so that masks keep the paper's sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dga.engine import Engine, Progress, check_finite, ticks
from dga.filling import blurred
from dga.full_gradient import _spread_evenly
from dga.validation import Model, Targets, check_count, check_number, check_share

_RAMP = 0.5  # T: half of all features lie on the slope of a mask
_JITTER = 3.0  # J
_BLUR = 0.04  # standard deviation, as a share of each side


def stable_distilled_gradient_aggregation(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    steps: int = 30,
    epc_quantile: float = 0.9,
    negative_scale: float = 0.2,
    noise_level: float = 0.3,
    seed: int = 0,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """Stable DGA: a variant of DGA without feedback. This is not the paper's method.

    Costs 2N + 1 forward and backward passes, 61 by default, where DGA's default is 31. The map is
    not complete: it does not sum to the score. Random numbers are drawn from a seed, the same for
    every picture of a shape, so that a picture has one map, alone or in any batch.

    Args:
        model, inputs, targets, extra_args: see `gradient`. The target is resolved once, on
            `inputs`.
        steps: N, 1 or more: N + 1 looks at the whole picture, then N at masked ones.
        epc_quantile: q, 0..1: features ranked above it are extreme.
        negative_scale: beta, weight of negative attribution in the sum.
        noise_level: sigma, standard deviation of the noise that looks are taken with, in the
            model's own input space (0.3 is for normalised inputs, whose spread is about 1).
        seed: of noise and masks.
        progress: show a progress bar, tqdm's or that of a function called like tqdm.

    Returns:
        Attribution, same shape, dtype and device as `inputs`; signed, unless `negative_scale` is 0.

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> x = torch.rand(2, 3, 2, 2)
        >>> heat = dga.stable_distilled_gradient_aggregation(model, x, 1)
        >>> alone = dga.stable_distilled_gradient_aggregation(model, x[1:], 1)
        >>> heat.shape, torch.allclose(heat[1:], alone)
        (torch.Size([2, 3, 2, 2]), True)
    """
    check_count("steps", steps)
    check_share("epc_quantile", epc_quantile)
    check_number("negative_scale", negative_scale)
    check_number("noise_level", noise_level, 0)
    check_count("seed", seed, 0)
    engine = Engine(model, inputs, targets, extra_args)
    local, x = engine.repeated(engine.score_and_gradient), engine.inputs
    # On the CPU and in float32: the same numbers on every device and in every precision.
    generator = torch.Generator("cpu").manual_seed(seed)

    def drawn(draw: Any) -> Tensor:
        return draw(x.shape[1:], generator=generator, dtype=torch.float32, device="cpu").to(x)

    def look(seen: Tensor, noise: Tensor | float) -> tuple[Tensor, Tensor]:
        """What is added to the map, and Uniform FullGrad without what the noise contributes."""
        z = seen + noise
        score, gradient = local(z)
        phi = _spread_evenly(z, score, gradient)
        check_finite(phi.flatten(1)[:, 0])
        return F.leaky_relu(phi, negative_scale), phi - noise * gradient

    rounds = iter(ticks(range(2 * steps + 1), progress, "Looking"))
    total = ranked = torch.zeros((), device=x.device)
    for n in range(steps + 1):
        next(rounds)
        part, phi = look(x, noise_level * drawn(torch.randn) if n else 0.0)
        total, ranked = total + part, ranked + phi
    weak, extreme = _ranks(_smooth(ranked.abs())), _ranks(_smooth(ranked))
    for n in rounds:
        share = (n - steps - 1) / steps
        wc = _ramp(_uniform_again(weak + _JITTER * drawn(torch.rand)) - share)
        epc = _ramp(epc_quantile - _uniform_again(extreme + _JITTER * drawn(torch.rand)))
        mask = (share * wc + (1 - share) * epc).to(x.dtype)
        total = total + look(mask * x, noise_level * drawn(torch.randn))[0]
    return engine.finished(total)


def _smooth(values: Tensor) -> Tensor:
    """Neighbours of a feature have a say; features without a place are left alone."""
    return blurred(values, _BLUR) if values.dim() == 4 else values


def _ranks(values: Tensor) -> Tensor:
    """The place of each value among those of its picture, 0..1; ties share their mean place.

    Values as near as rounding leaves what is equal count as tied: the blur rounds.
    """
    rows = values.flatten(1)  # contiguous also where memory is channels-last
    largest = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
    rows = (rows / largest * 2**16).round()
    ordered = rows.sort(1).values
    places = torch.searchsorted(ordered, rows) + torch.searchsorted(ordered, rows, right=True)
    return (places.to(rows.dtype) / (2 * rows.shape[1])).view(values.shape)


def _uniform_again(sums: Tensor) -> Tensor:
    """The distribution function of a uniform number in 0..1 plus one in 0..J."""
    corners = ((1, 0.0), (-1, 1.0), (-1, _JITTER), (1, 1 + _JITTER))
    areas = [sign * (sums - at).clamp(min=0).square() for sign, at in corners]
    return torch.stack(areas).sum(0) / (2 * _JITTER)


def _ramp(distance: Tensor) -> Tensor:
    return (distance / _RAMP + 0.5).clamp(0, 1)
