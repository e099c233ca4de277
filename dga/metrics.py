"""How good is an attribution? Pixel perturbation, and agreement with a known ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from numbers import Real

import torch
from torch import Tensor, nn

from dga.engine import Engine
from dga.validation import Targets, check_choice, check_count, check_share

SHARES = tuple(k / 10 for k in range(11))


def pixel_perturbation(
    model: nn.Module,
    inputs: Tensor,
    attribution: Tensor,
    targets: Targets = None,
    order: str = "morf",
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> Tensor:
    """Pixel perturbation (DGA, Table 1): the target's probability while pixels are removed.

    The channel sum of the signed attribution ranks the pixels; ties are broken at random. A removed
    pixel is set to 0 in normalised space, the mean colour. The score of Table 1 is the mean of the
    curve.

    Args:
        model: classifier in evaluation mode, (B, C, H, W) -> (B, classes).
        inputs: (B, C, H, W), normalised.
        attribution: same shape as `inputs`.
        targets: None (class predicted for the untouched picture), an int, or integers (B,).
        order: "morf" removes the most relevant pixels first (lower is better), "lerf" the least
            relevant first (higher is better), "both" gives LeRF and MoRF and shares the passes
            that both need.
        shares: shares of the pixels removed, 0..1; round(share * H * W) pixels.
        seed: of the order among ties; the same for every picture, so that results do not depend
            on the batch.

    Returns:
        The curve, (B, len(shares)): mean softmax probability of the target at each share. With
        "both" (2, B, len(shares)): LeRF, MoRF.
    """
    check_choice("order", order, ("morf", "lerf", "both"))
    if isinstance(shares, Real) or len(shares) == 0:
        raise ValueError(f"shares must hold one or more shares from 0 to 1, got {shares!r}")
    shares = [float(share) for share in shares]
    for share in shares:
        check_share("shares", share)
    check_count("seed", seed, 0)
    check_attribution(inputs, attribution)
    engine = Engine(model, inputs, targets)
    x = engine.inputs
    pixels = x.shape[2] * x.shape[3]
    ranks = _pixel_ranks(attribution.detach(), seed)

    @cache  # nothing or everything removed is the same picture in both orders
    def probability(removed: int, morf: bool) -> Tensor:
        rank = pixels - 1 - ranks if morf else ranks
        kept = (rank >= removed).view(-1, 1, *x.shape[2:])
        return engine.probability(x * kept)

    def curve(morf: bool) -> Tensor:
        counts = [round(share * pixels) for share in shares]
        return torch.stack([probability(r, morf and 0 < r < pixels) for r in counts], 1)

    if targets is None:  # settled on the untouched picture
        probability(0, False)
    if order == "both":
        return torch.stack([curve(False), curve(True)])
    return curve(order == "morf")


def _pixel_ranks(attribution: Tensor, seed: int) -> Tensor:
    """The rank of every pixel in its picture, 0 for the least relevant, (B, H*W)."""
    relevance = attribution.sum(1).flatten(1)
    pixels = relevance.shape[1]
    generator = torch.Generator().manual_seed(seed)
    shuffle = torch.randperm(pixels, generator=generator).to(relevance.device)
    # A stable sort keeps the shuffled order among equals.
    order = shuffle[relevance[:, shuffle].argsort(dim=1, stable=True)]
    places = torch.arange(pixels, device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def top_pixels(attribution: Tensor, share: float = 0.1, *, seed: int = 0) -> Tensor:
    """The most relevant pixels of each picture (DGA, Fig. 5).

    Args:
        attribution: (B, C, H, W).
        share: of the pixels, 0..1; round(share * H * W) of them.
        seed: of the order among ties.

    Returns:
        bool, (B, H, W).
    """
    check_share("share", share)
    b, _, h, w = attribution.shape
    return (_pixel_ranks(attribution, seed) >= h * w - round(share * h * w)).view(b, h, w)


def top_precision(attribution: Tensor, mask: Tensor, share: float = 0.1) -> Tensor:
    """Which share of the most relevant pixels lies inside the mask.

    Args:
        attribution: (B, C, H, W).
        mask: bool, (B, H, W), the pixels that are the right answer.
        share: how many pixels count as most relevant.

    Returns:
        (B,), 0..1; a random ranking gives the share of the picture that the mask covers.
    """
    _check_mask(attribution, mask)
    if not round(share * mask[0].numel()):
        raise ValueError(f"share {share} of {mask[0].numel()} pixels is none")
    top = top_pixels(attribution, share)
    return (top & mask).flatten(1).sum(1) / top.flatten(1).sum(1)


def energy_inside(attribution: Tensor, mask: Tensor) -> Tensor:
    """Which share of the positive relevance (of the channel sums) lies inside the mask.

    Args:
        attribution: (B, C, H, W).
        mask: bool, (B, H, W).

    Returns:
        (B,), 0..1; NaN where a picture has no positive relevance.
    """
    _check_mask(attribution, mask)
    energy = attribution.sum(1).clamp(min=0)
    return (energy * mask).flatten(1).sum(1) / energy.flatten(1).sum(1)


def pointing(attribution: Tensor, mask: Tensor) -> Tensor:
    """The pointing game: whether the one most relevant pixel lies inside the mask.

    Args:
        attribution: (B, C, H, W).
        mask: bool, (B, H, W).

    Returns:
        bool, (B,).
    """
    _check_mask(attribution, mask)
    best = attribution.sum(1).flatten(1).argmax(1, keepdim=True)
    return mask.flatten(1).gather(1, best)[:, 0]


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of the pixels of two attributions; ties share their mean rank.

    Args:
        first, second: (B, C, H, W).

    Returns:
        (B,), -1..1; NaN where a map is constant.
    """
    if first.shape != second.shape or first.dim() != 4:
        raise ValueError(
            f"first has shape {tuple(first.shape)}, second {tuple(second.shape)}: the same "
            "(B, C, H, W) is needed"
        )
    ranks = [_mean_ranks(a.sum(1).flatten(1)) for a in (first, second)]
    a, b = (r - r.mean(1, keepdim=True) for r in ranks)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def _mean_ranks(values: Tensor) -> Tensor:
    """Rank of every value in its row, the mean rank among equals, float64."""
    ordered = values.sort(1).values.contiguous()
    below = torch.searchsorted(ordered, values.contiguous())
    upto = torch.searchsorted(ordered, values.contiguous(), right=True)
    return (below + upto).double() / 2


def remove_top(inputs: Tensor, attribution: Tensor, share: float, *, seed: int = 0) -> Tensor:
    """ROAR's pictures: the most relevant pixels replaced by the mean colour of the picture.

    Args:
        inputs, attribution: (B, C, H, W).
        share: of the pixels, 0..1.
        seed: of the order among ties.

    Returns:
        A copy of `inputs`.
    """
    check_attribution(inputs, attribution)
    top = top_pixels(attribution, share, seed=seed)[:, None]
    return torch.where(top, inputs.mean((2, 3), keepdim=True), inputs)


def cascading_randomization(model: nn.Module, *, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Copies of a network whose layers lose what they learned, from the last to the first.

    The sanity check of Adebayo et al. (2018): an attribution that stays the same does not explain
    the network.

    Args:
        model: any network whose layers have `reset_parameters`, as those of torch do.
        seed: of the fresh weights.

    Yields:
        Name of the layer just randomised, and the network so far, one and the same copy each time.
    """
    copy = deepcopy(model)
    layers = [(n, m) for n, m in copy.named_modules() if hasattr(m, "reset_parameters")]
    if not layers:
        raise ValueError(f"model ({type(model).__name__}) has no layer with reset_parameters")
    for index, (name, layer) in enumerate(reversed(layers)):
        with torch.random.fork_rng():  # the caller's random numbers stay what they were
            torch.manual_seed(seed + index)
            layer.reset_parameters()  # type: ignore[operator]
        yield name, copy


def _check_mask(attribution: Tensor, mask: Tensor) -> None:
    wanted = (len(attribution), *attribution.shape[2:])
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != wanted:
        raise ValueError(f"mask must be a bool tensor of shape {tuple(wanted)}")


def bootstrap_interval(
    values: Tensor, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean over pictures with a percentile bootstrap interval.

    Methods measured on the same pictures are compared in pairs: give the differences, or several
    columns; all columns are resampled together.

    Args:
        values: (pictures,) or (pictures, columns).

    Returns:
        Mean, lower and upper end, each () or (columns,).
    """
    check_count("resamples", resamples)
    check_share("level", level)
    if not isinstance(values, Tensor) or len(values) == 0:
        raise ValueError("values must be a tensor with one row a picture")
    generator = torch.Generator().manual_seed(seed)
    pick = torch.randint(len(values), (resamples, len(values)), generator=generator)
    means = values.cpu().double()[pick].mean(1)
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = means.quantile(edges, dim=0)
    return values.double().mean(0).cpu(), low, high


def check_attribution(inputs: Tensor, attribution: Tensor) -> None:
    """Raises unless `attribution` is a finite tensor with the shape of image `inputs`."""
    if not isinstance(attribution, Tensor) or not attribution.is_floating_point():
        got = attribution.dtype if isinstance(attribution, Tensor) else type(attribution).__name__
        raise TypeError(f"attribution must be a floating-point tensor, got {got}")
    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        raise ValueError("inputs must be a tensor of shape (B, C, H, W)")
    if attribution.shape != inputs.shape:
        raise ValueError(
            f"attribution has shape {tuple(attribution.shape)}, inputs {tuple(inputs.shape)}: "
            "they must be the same"
        )
    if attribution.device != inputs.device:
        raise ValueError(f"attribution is on {attribution.device}, inputs on {inputs.device}")
    if not torch.isfinite(attribution).all():
        raise ValueError("attribution holds values that are not finite (NaN or infinity)")
