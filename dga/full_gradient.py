"""Full gradients: what the biases of a network add to the score, and where.

In one linear region of a piecewise-linear network (FullGrad, Srinivas and Fleuret, 2019)

    f(x) = <g, x> + sum over layers l of <df/db_l, b_l>                        (completeness)

Uniform FullGrad (DGA, Eq. 2) spreads the second part evenly over the d input features:

    phi = x*g + (sum over l of <df/db_l, b_l>) / d

By completeness the bracket equals f(x) - <g, x>: one forward and one backward pass give it
("residual"). Recording every bias term in the network ("explicit") is its independent proof, and
what FullGrad itself is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dga.bias_terms import _decompose
from dga.engine import Engine, Progress, check_finite
from dga.validation import Model, Targets, check_choice


def uniform_fullgrad(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    bias: Literal["residual", "explicit"] = "residual",
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """Uniform FullGrad, the local attribution inside DGA (Eq. 2).

    Args:
        model, inputs, targets, extra_args, progress: see `gradient`.
        bias: "residual" takes the sum of all bias terms as f(x) - <g, x>: exact and valid for any
            network, implicit biases included. "explicit" adds the terms up layer by layer, see
            `bias_attributions`: slower, and a proof of the former.

    Returns:
        Signed attribution, same shape as `inputs`; each picture's sums to its score.

    Raises:
        TypeError, ValueError: see `gradient`; with "explicit" as `bias_attributions`.

    Example:
        >>> import dga, torch
        >>> model, x = torch.nn.Linear(2, 3), torch.rand(1, 2)
        >>> torch.allclose(dga.uniform_fullgrad(model, x, 1).sum(), model(x)[0, 1])
        True
    """
    check_choice("bias", bias, ("residual", "explicit"))
    engine = Engine(model, inputs, targets, extra_args)
    x = engine.inputs
    if bias == "residual":
        return engine.finished(_spread_evenly(x, *engine.score_and_gradient(x)))
    gradient, terms = _decompose(engine)
    none = torch.zeros(len(x), dtype=x.dtype, device=x.device)  # a network without any bias
    total = sum((term.reshape(len(x), -1).sum(1) for term in terms.values()), none)
    return engine.finished(x * gradient + _per_feature(total, x))


def _spread_evenly(x: Tensor, score: Tensor, gradient: Tensor) -> Tensor:
    """phi = x*g + (f - <g, x>) / d, never below float32.

    Args:
        x, gradient: (B, ...).
        score: (B,), f(x).

    Returns:
        (B, ...) in the dtype of `score`.
    """
    local = x.to(score.dtype) * gradient
    residual = score - local.sum(tuple(range(1, x.dim())))
    return local.add_(_per_feature(residual, x))


def _per_feature(total: Tensor, x: Tensor) -> Tensor:
    """A number per picture, (B,), divided by d = C*H*W and shaped to broadcast over `x`."""
    return (total / x[0].numel()).view(-1, *[1] * (x.dim() - 1))


def fullgrad(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """FullGrad's saliency map with its original post-processing (Srinivas and Fleuret, 2019).

    The absolute value of x*g and of every bias term with a spatial layout is rescaled to 0..1 per
    picture, upsampled to the picture (bilinear), and added up over layers and channels. Biases
    without a spatial layout (fully connected layers) are left out, as by its authors. Terms with
    four dimensions are read as (B, C, H, W).

    Args:
        model, inputs, targets, extra_args, progress: see `gradient`; `inputs` must be
            (B, C, H, W).

    Returns:
        Map >= 0, spread evenly over the channels to the shape of `inputs`. Its sum means nothing.

    Raises:
        TypeError, ValueError: as `bias_attributions`.

    Example:
        >>> import dga, torch
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
        >>> dga.fullgrad(model, torch.rand(1, 3, 4, 4)).shape
        torch.Size([1, 3, 4, 4])
    """
    engine = Engine(model, inputs, targets, extra_args)
    if inputs.dim() != 4:
        raise ValueError(
            f"inputs has shape {tuple(inputs.shape)}; fullgrad needs (B, C, H, W), for "
            "one picture inputs[None]"
        )
    gradient, terms = _decompose(engine)
    size, channels = inputs.shape[2:], inputs.shape[1]
    total = _saliency(engine.inputs * gradient, size)
    for term in terms.values():
        if term.dim() == 4:
            total = total + _saliency(term, size)
    return engine.finished((total / channels).expand(-1, channels, -1, -1))


def _saliency(term: Tensor, size: Sequence[int]) -> Tensor:
    """FullGrad's post-processing of one term: magnitude, 0..1, channels added, upsampled.

    Args:
        term: (B, C, h, w), signed.
        size: (H, W) of the picture.

    Returns:
        (B, 1, H, W), >= 0.
    """
    value = term.abs()
    value = value - value.amin((1, 2, 3), keepdim=True)
    value = value / (value.amax((1, 2, 3), keepdim=True) + 1e-6)
    # Upsampling is linear, so channels may be added before it: a thousand are one afterwards.
    value = value.sum(1, keepdim=True)
    if value.shape[2:] != torch.Size(size):
        value = F.interpolate(value, tuple(size), mode="bilinear", align_corners=True)
    return value


def uniform_share(
    model: Model, inputs: Tensor, targets: Targets = None, *, extra_args: Sequence[Any] = ()
) -> Tensor:
    """How much of the score Uniform FullGrad spreads evenly, |f - <g,x>| / (|<g,x>| + |f - <g,x>|).

    It compares sums: near 1 nearly the whole score is spread evenly, which need not show in the
    map. So it is on networks of smooth layers, or when a constant was added to all scores, which
    softmax does not see.

    Args:
        model, inputs, targets, extra_args: see `gradient`.

    Returns:
        (B,), 0..1.

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> dga.uniform_share(torch.nn.Linear(2, 3, bias=False), torch.rand(1, 2)) < 1e-5
        tensor([True])
    """
    engine = Engine(model, inputs, targets, extra_args)
    score, gradient = engine.score_and_gradient(engine.inputs)
    local = (engine.inputs.to(score.dtype) * gradient).flatten(1).sum(1)
    rest = (score - local).abs()
    share = rest / (local.abs() + rest).clamp(min=torch.finfo(score.dtype).tiny)
    check_finite(share)
    return share
