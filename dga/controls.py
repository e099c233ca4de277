"""Maps that decide what a method owes to what: without the network, or DGA with one part changed.

Each is a function with the signature of the methods, (model, inputs, targets=None, **options), and
returns an attribution of the shape of `inputs`. Those that draw numbers take `first`, the number of
the first picture: a picture then meets the same numbers in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dga.distillation import distilled_gradient_aggregation
from dga.engine import Engine
from dga.filling import blurred
from dga.full_gradient import uniform_fullgrad
from dga.masks import extreme_positive_contributor_mask, weak_contributor_mask
from dga.methods import Method
from dga.paths import integrated_gradients
from dga.validation import Model, Targets, check_count, check_share

# ------------------------------------------------------------------- without a look at the network


def random_order(
    model: Model, inputs: Tensor, targets: Targets = None, *, first: int = 0
) -> Tensor:
    """A random number for every feature, 0..1.

    Example:
        >>> import torch
        >>> x = torch.zeros(3, 3, 4, 4)
        >>> torch.equal(random_order(None, x)[1:], random_order(None, x[1:], first=1))
        True
    """
    return _uniform(inputs, first, 0)


def blurred_random(
    model: Model, inputs: Tensor, targets: Targets = None, *, first: int = 0
) -> Tensor:
    """Random numbers blurred by a Gaussian of a twentieth of the side: blobs anywhere.

    Example:
        >>> import torch
        >>> blurred_random(None, torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    noise = _uniform(inputs[:, :1], first, 0)
    return _every_channel(blurred(noise, 1 / 20), inputs)


def centre_blob(model: Model, inputs: Tensor, targets: Targets = None) -> Tensor:
    """The nearer to the centre of the picture, the more relevant.

    Example:
        >>> import torch
        >>> centre_blob(None, torch.zeros(1, 1, 1, 3))
        tensor([[[[-1.,  0., -1.]]]])
    """
    rows, columns = (
        (torch.arange(side, device="cpu") - (side - 1) / 2) ** 2 for side in inputs.shape[2:]
    )
    return _every_channel(0 - (rows[:, None] + columns).to(inputs), inputs)


def edges(model: Model, inputs: Tensor, targets: Targets = None) -> Tensor:
    """The length of Sobel's gradient of the mean over the channels.

    Example:
        >>> import torch
        >>> edges(None, torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])).tolist()
        [[[[0.0, 4.0, 4.0, 0.0]]]]
    """
    grey = F.pad(inputs.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device="cpu").to(inputs)
    slopes = F.conv2d(grey, torch.stack([sobel, sobel.T])[:, None])
    return _every_channel(slopes.norm(dim=1, keepdim=True), inputs)


# --------------------------------------------- rivals with DGA's cut at zero before the channel sum


def ig_cut(model: Model, inputs: Tensor, targets: Targets = None, **options: Any) -> Tensor:
    """Integrated Gradients without its negative features.

    Example:
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> bool(ig_cut(model, torch.rand(1, 3, 2, 2), 1, steps=2).min() >= 0)
        True
    """
    return integrated_gradients(model, inputs, targets, **options).clamp(min=0)


def ufg_cut(model: Model, inputs: Tensor, targets: Targets = None, **options: Any) -> Tensor:
    """Uniform FullGrad without its negative features.

    Example:
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> bool(ufg_cut(model, torch.rand(1, 3, 2, 2), 1).min() >= 0)
        True
    """
    return uniform_fullgrad(model, inputs, targets, **options).clamp(min=0)


# ------------------------------------------------------------------------ DGA with one part changed


def dga_weak(model: Model, inputs: Tensor, targets: Targets = None, **options: Any) -> Tensor:
    """DGA with the weak contributor mask alone (Eq. 6).

    Example:
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> bool(dga_weak(model, torch.rand(1, 3, 2, 2), 1, steps=2).min() >= 0)
        True
    """
    return distilled_gradient_aggregation(model, inputs, targets, masks="weak", **options)


def dga_extreme(model: Model, inputs: Tensor, targets: Targets = None, **options: Any) -> Tensor:
    """DGA with the extreme positive contributor mask alone.

    Example:
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> bool(dga_extreme(model, torch.rand(1, 3, 2, 2), 1, steps=2).min() >= 0)
        True
    """
    return distilled_gradient_aggregation(model, inputs, targets, masks="extreme", **options)


def dga_random_masks(
    model: Model, inputs: Tensor, targets: Targets = None, *, first: int = 0, **options: Any
) -> Tensor:
    """DGA whose masks rank random numbers: the same sizes and schedule, nothing selected.

    Example:
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> dga_random_masks(model, torch.rand(2, 3, 2, 2), 1, steps=4).shape
        torch.Size([2, 3, 2, 2])
    """
    rank = lambda phi, n: _uniform(inputs, first, n + 1)  # noqa: E731
    return _distilled(model, inputs, targets, rank=rank, **options)


def dga_gradient_times_input(
    model: Model, inputs: Tensor, targets: Targets = None, **options: Any
) -> Tensor:
    """DGA with x*g in place of Uniform FullGrad: without the bias terms.

    Example:
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> bool(dga_gradient_times_input(model, torch.rand(1, 3, 2, 2), 1, steps=2).min() >= 0)
        True
    """
    return _distilled(model, inputs, targets, bias=False, **options)


def _distilled(
    model: Model,
    inputs: Tensor,
    targets: Targets,
    *,
    steps: int = 30,
    epc_quantile: float = 0.9,
    bias: bool = True,
    rank: Callable[[Tensor, int], Tensor] = lambda phi, n: phi,
) -> Tensor:
    """Algorithm 1 in so many words; `rank` gives what the masks of step n rank."""
    check_count("steps", steps)
    check_share("epc_quantile", epc_quantile)
    engine = Engine(model, inputs, targets)
    x, total = engine.inputs, torch.zeros_like(engine.inputs)
    for n in range(steps + 1):
        score, gradient = engine.score_and_gradient(x)
        phi = x * gradient
        if bias:
            residual = score - phi.flatten(1).sum(1)
            phi = phi + (residual / x[0].numel()).view(-1, 1, 1, 1)
        total += phi.clamp(min=0)
        ranked = rank(phi, n)
        weak = weak_contributor_mask(ranked, n / steps)
        extreme = extreme_positive_contributor_mask(ranked, epc_quantile)
        x = (n / steps * weak + (1 - n / steps) * extreme) * engine.inputs
    return engine.finished(total)


def _uniform(inputs: Tensor, first: int, draw: int) -> Tensor:
    """Numbers in 0..1 like the inputs; each picture and draw has a generator of its own."""
    rows = []
    for number in range(first, first + len(inputs)):
        # torch's generator on a CPU reads 32 bits of its seed.
        generator = torch.Generator("cpu").manual_seed((number + draw * 1_000_003) % 2**32)
        rows.append(torch.rand(inputs.shape[1:], generator=generator, device="cpu"))
    return torch.stack(rows).to(inputs)


def _every_channel(pixels: Tensor, inputs: Tensor) -> Tensor:
    return pixels.expand_as(inputs).contiguous()


_GREY = "#7f7f7f"
CONTROLS = {
    "random": Method(random_order, "random order", _GREY),
    "random-blurred": Method(blurred_random, "blurred random order", _GREY),
    "centre": Method(centre_blob, "centre blob", _GREY),
    "edges": Method(edges, "edges", _GREY),
    "ig-cut": Method(ig_cut, "IG, negatives cut", _GREY),
    "ufg-cut": Method(ufg_cut, "Uniform FullGrad, negatives cut", _GREY),
    "dga-weak": Method(dga_weak, "DGA, WC only", _GREY),
    "dga-extreme": Method(dga_extreme, "DGA, EPC only", _GREY),
    "dga-random": Method(dga_random_masks, "DGA, random masks", _GREY),
    "dga-gi": Method(dga_gradient_times_input, "DGA of x*g", _GREY),
}
