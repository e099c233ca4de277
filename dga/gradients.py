"""Attribution from gradients at the picture itself: one pass, or an average of a few.

gradient                g = df/dx
gradient_times_input    x * g
smoothgrad              mean of g over noisy copies of x
guided_backprop         g with negative signals stopped at every ReLU
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dga.engine import Engine, Progress, ticks
from dga.validation import Targets, check_count, check_number


def gradient(
    model: nn.Module, inputs: Tensor, targets: Targets = None, *, progress: Progress = False
) -> Tensor:
    """The gradient of the target's score at the input (Simonyan et al., 2014).

    Args:
        model: classifier in evaluation mode, (B, C, H, W) -> (B, classes).
        inputs: (B, C, H, W), normalised.
        targets: None (predicted class), an int, or integers (B,).

    Returns:
        Signed gradient, same shape, dtype and device as `inputs`.

    Raises:
        TypeError, ValueError: from the one validation point, before any work.
    """
    engine = Engine(model, inputs, targets)
    return engine.score_and_gradient(engine.inputs)[1].contiguous()


def gradient_times_input(
    model: nn.Module, inputs: Tensor, targets: Targets = None, *, progress: Progress = False
) -> Tensor:
    """Gradient * Input, x * df/dx (Shrikumar et al., 2016). See `gradient` for the arguments."""
    return gradient(model, inputs, targets) * inputs.detach()


def smoothgrad(
    model: nn.Module,
    inputs: Tensor,
    targets: Targets = None,
    *,
    samples: int = 31,
    noise_level: float = 0.15,
    seed: int = 0,
    progress: Progress = False,
) -> Tensor:
    """The gradient averaged over noisy copies of the input (Smilkov et al., 2017).

    Args:
        model, inputs, targets: see `gradient`.
        samples: number of noisy copies.
        noise_level: standard deviation of the Gaussian noise, as a share of the range
            (maximum - minimum) of each picture.
        seed: of the noise; a picture meets the same noise in any batch.
        progress: show a progress bar, tqdm's or that of a function called like tqdm.

    Returns:
        Signed mean gradient, same shape as `inputs`.
    """
    check_count("samples", samples)
    check_number("noise_level", noise_level, 0)
    check_count("seed", seed, 0)
    engine = Engine(model, inputs, targets)
    x = engine.inputs
    features = tuple(range(1, x.dim()))
    spread = noise_level * (x.amax(features, keepdim=True) - x.amin(features, keepdim=True))
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same noise on every device
    local = engine.repeated(engine.score_and_gradient)
    total = torch.zeros_like(x)
    for _ in ticks(range(samples), progress, "SmoothGrad"):
        noise = torch.randn(x.shape[1:], generator=generator, dtype=x.dtype).to(x.device)
        total += local(x + spread * noise)[1]
    return (total / samples).contiguous()


def guided_backprop(
    model: nn.Module, inputs: Tensor, targets: Targets = None, *, progress: Progress = False
) -> Tensor:
    """Guided backpropagation (Springenberg et al., 2015).

    The gradient, except that at the output of every ReLU negative values are set to 0 on the way
    back. Modules, functions and in-place variants are covered, and ReLU6 likewise. Smooth
    activations (GELU, SiLU) and leaky ones pass unchanged, as in the paper; so does a ReLU spelled
    as clamp, threshold or maximum, and one inside a scripted submodule.

    Args:
        model, inputs, targets: see `gradient`.

    Returns:
        Signed attribution, same shape as `inputs`.

    Raises:
        ValueError: if the network runs no ReLU at all; the result would be the plain gradient.
    """
    engine = Engine(model, inputs, targets)
    guide = _GuideRectifiers()
    attribution = engine.score_and_gradient(engine.inputs, guide)[1]
    if not guide.count:
        raise ValueError(
            f"model ({type(model).__name__}) runs no ReLU, so guided_backprop would be the plain "
            "gradient: use gradient"
        )
    return attribution.contiguous()


class _GuideRectifiers(TorchFunctionMode):
    """Clamps the gradient that arrives at the output of every ReLU the network runs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if _is_rectifier(func, args, kwargs or {}) and output.requires_grad:
            self.count += 1
            output.register_hook(lambda gradient: gradient.clamp(min=0))
        return output


def _is_rectifier(func: Callable, args: tuple, kwargs: dict) -> bool:
    name = getattr(func, "__name__", "")
    if name in ("hardtanh", "hardtanh_"):  # nn.ReLU6 is hardtanh from 0 to 6
        return (args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)) == 0
    return name in ("relu", "relu_", "relu6")
