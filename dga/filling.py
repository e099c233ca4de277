"""What stands where pixels were removed: the mean colour, a blurred picture, or their neighbours.

Linear imputation (Rong et al., 2022, https://arxiv.org/abs/2202.00449) makes every removed pixel
the weighted mean of its eight neighbours, 1/6 for direct and 1/12 for diagonal ones, removed or
not; at the border, of the neighbours there are. That is one linear system for a picture,
symmetric and positive definite, as large as the hole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Fill = Literal["mean", "blur", "linear"]
FILLS: tuple[Fill, ...] = ("mean", "blur", "linear")

_BLUR = 10 / 224  # sigma, as a share of each side
_NOISE = 0.01  # ROAD's, in normalised space: without it the network could see where pixels are gone
_TOLERANCE = 1e-5  # of a picture's largest value, by an estimate; real errors stay below 1e-4


def filler(fill: Fill, inputs: Tensor, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """A function that removes pixels.

    Args:
        fill: "mean" (0 in normalised space, the mean colour), "blur" (the picture blurred with a
            Gaussian, sigma of 10 pixels at a side of 224), or "linear" (noisy linear imputation;
            the mean colour where no pixel is left).
        inputs: (B, C, H, W), normalised.
        seed: of the noise, which is the same for every picture.

    Returns:
        From bool (B, 1, H, W), True where a pixel stays, to pictures like `inputs`.

    Example:
        >>> import torch
        >>> row = torch.tensor([[[[3.0, 0.0, 9.0]]]])
        >>> kept = torch.tensor([[[[True, False, True]]]])
        >>> filler("mean", row)(kept)
        tensor([[[[3., 0., 9.]]]])
        >>> filler("linear", row)(kept).round(decimals=1)
        tensor([[[[3., 6., 9.]]]])
    """
    if fill == "mean":
        return lambda kept: inputs * kept
    if fill == "blur":
        soft = blurred(inputs, _BLUR)
        return lambda kept: torch.where(kept, inputs, soft)
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn(inputs.shape[1:], generator=generator, device="cpu").to(inputs)
    return lambda kept: torch.where(kept, inputs, _imputed(inputs, kept) + _NOISE * noise)


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur; weights are divided by their sum, so that the border is not darker.

    Args:
        pictures: (B, C, H, W).
        sigma: as a share of each side.

    Example:
        >>> import torch
        >>> blurred(torch.tensor([[[[0.0, 1.0, 0.0]]]]), 0.5).shape
        torch.Size([1, 1, 1, 3])
    """
    rows, columns = (_gaussian(side, sigma * side).to(pictures) for side in pictures.shape[2:])
    with torch.autocast(pictures.device.type, enabled=False):  # the caller's would round
        return rows @ pictures @ columns.T


def _gaussian(side: int, sigma: float) -> Tensor:
    """(side, side): what each place takes from every other."""
    at = torch.arange(side, dtype=torch.float32, device="cpu")
    weights = torch.exp(-(((at[:, None] - at) / sigma) ** 2) / 2)
    return weights / weights.sum(1, keepdim=True)


def _imputed(inputs: Tensor, kept: Tensor) -> Tensor:
    """Solves the system of every picture and channel by conjugate gradients.

    Their number of iterations grows with the hole; a multigrid cycle before each keeps it near 15.
    """
    x = inputs.to(torch.promote_types(inputs.dtype, torch.float32)).contiguous()
    present = torch.ones_like(x[:1, :1])
    grid = _Grid(1 - kept.to(x), present)
    known = x * kept
    solution = torch.zeros_like(x)
    residual = _neighbours(known) * grid.removed
    limit = _TOLERANCE * x.abs().amax((1, 2, 3), keepdim=True)  # of each picture
    direction, before = torch.zeros_like(x), torch.ones_like(x[..., :1, :1])
    for _ in range(1000):
        nearly = grid.cycle(residual)  # about what is still missing
        if (nearly.abs() <= limit).all():
            return known + solution + nearly
        now = _inner(residual, nearly)
        direction = nearly + direction * (now / before)
        image = grid.apply(direction)
        # Channels that are solved, and pictures without a hole, stay as they are.
        length = (now / _inner(direction, image)).nan_to_num(0, 0, 0)
        solution += length * direction
        residual -= length * image
        before = torch.where(now > 0, now, 1)
    raise RuntimeError("linear imputation did not converge in 1,000 iterations")


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)


def _neighbours(values: Tensor) -> Tensor:
    """Direct neighbours twice and diagonal ones once; outside of the picture is 0.

    Whole numbers, 12 times the weights: rounded twelfths would lean to one side, and over a large
    hole add up to a thousandth.
    """
    column = torch.zeros_like(values)
    column[..., 1:, :] = values[..., :-1, :]
    column[..., :-1, :] += values[..., 1:, :]
    beside = torch.add(column, values, alpha=2)
    column *= 2
    column[..., 1:] += beside[..., :-1]
    column[..., :-1] += beside[..., 1:]
    return column


class _Grid:
    """The system on one grid and on coarser ones: A u = w u - neighbours(u) at removed pixels.

    w is the sum of the neighbours' weights.

    Attributes:
        removed: (B, 1, H, W), 1 where the unknowns are.
        inverse: of the diagonal of A, 0 elsewhere.
    """

    def __init__(self, removed: Tensor, present: Tensor) -> None:
        """`present` is 1 inside the picture: halved odd sides reach beyond it."""
        self.removed = removed
        self._weights = _neighbours(present)
        self.inverse = (removed / self._weights).nan_to_num(0, 0, 0)  # one pixel has no neighbours
        self._coarser: _Grid | None = None
        if min(removed.shape[2:]) > 4:
            # Four pixels become one, unknown if all of them are.
            known, inside = (_halved(v, F.max_pool2d) for v in (present - removed, present))
            self._coarser = _Grid(inside - known, inside)

    def apply(self, values: Tensor) -> Tensor:
        """A u."""
        return (self._weights * values).sub_(_neighbours(values)).mul_(self.removed)

    def cycle(self, residual: Tensor) -> Tensor:
        """Roughly what solves A u = residual, a symmetric operator: smooth, coarsen, smooth."""
        damped = 0.8 * self.inverse
        values = damped * residual
        if self._coarser is None:
            for _ in range(8):
                values += damped * (residual - self.apply(values))
            return values
        rest = 4 * _halved(residual - self.apply(values), F.avg_pool2d) * self._coarser.removed
        correction = F.interpolate(self._coarser.cycle(rest), scale_factor=2, mode="nearest")
        values += correction[..., : values.shape[2], : values.shape[3]] * self.removed
        values += damped * (residual - self.apply(values))
        return values


def _halved(values: Tensor, pool: Callable[[Tensor, int], Tensor]) -> Tensor:
    height, width = values.shape[2:]
    return pool(F.pad(values, (0, width % 2, 0, height % 2)), 2)
