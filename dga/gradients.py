"""Attribution from gradients at the picture itself: one pass, or an average of a few.

gradient                g = df/dx
gradient_times_input    x * g
smoothgrad              mean of g over noisy copies of x
guided_backprop         g with negative signals stopped at every ReLU
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dga.engine import Engine, Progress, ticks
from dga.validation import Model, Targets, check_count, check_number


def gradient(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """The gradient of the target's score at the input (Simonyan et al., 2014).

    Args:
        model: a torch.nn.Module in evaluation mode, (B, C, H, W) -> (B, classes), or any callable.
            It is left as it was found.
        inputs: (B, C, H, W), normalised, or (B, ...) of whatever the model takes.
        targets: None (the predicted class; the score itself where there is one only), an int,
            integers (B,), or a callable that makes one score per picture, (B,), of the model's raw
            output: `lambda output: output.logits[:, 3]`.
        extra_args: handed to the model behind the inputs.
        progress: for the methods of many passes; one pass has nothing to show.

    Returns:
        Signed gradient, same shape, dtype and device as `inputs`.

    Raises:
        TypeError, ValueError: from the one validation point, before any work; or if the model
            returns what cannot be explained (not finite, random, without a gradient, another score
            for a picture beside others than alone).

    Example:
        >>> import dga, torch
        >>> model = torch.nn.Linear(2, 3, bias=False)
        >>> heat = dga.gradient(model, torch.ones(1, 2), targets=1)
        >>> torch.equal(heat[0], model.weight[1])
        True
    """
    engine = Engine(model, inputs, targets, extra_args)
    return engine.finished(engine.score_and_gradient(engine.inputs)[1])


def gradient_times_input(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """Gradient * Input, x * df/dx (Shrikumar et al., 2016).

    Args:
        model, inputs, targets, extra_args, progress: see `gradient`.

    Returns:
        Signed attribution, same shape as `inputs`; on a network without biases it sums to the
        score.

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> model, x = torch.nn.Linear(2, 3, bias=False), torch.rand(1, 2)
        >>> torch.allclose(dga.gradient_times_input(model, x, 1).sum(), model(x)[0, 1])
        True
    """
    engine = Engine(model, inputs, targets, extra_args)
    return engine.finished(engine.inputs * engine.score_and_gradient(engine.inputs)[1])


def smoothgrad(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    samples: int = 31,
    noise_level: float = 0.15,
    seed: int = 0,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """The gradient averaged over noisy copies of the input (Smilkov et al., 2017).

    Args:
        model, inputs, targets, extra_args: see `gradient`.
        samples: number of noisy copies.
        noise_level: standard deviation of the Gaussian noise, as a share of the range
            (maximum - minimum) of each picture.
        seed: of the noise; a picture meets the same noise in any batch.
        progress: show a progress bar, tqdm's or that of a function called like tqdm.

    Returns:
        Signed mean gradient, same shape as `inputs`.

    Raises:
        TypeError, ValueError: see `gradient`.

    Example:
        >>> import dga, torch
        >>> model, x = torch.nn.Linear(2, 3), torch.rand(1, 2)
        >>> torch.allclose(dga.smoothgrad(model, x, 1), dga.gradient(model, x, 1))
        True
    """
    check_count("samples", samples)
    check_number("noise_level", noise_level, 0)
    check_count("seed", seed, 0)
    engine = Engine(model, inputs, targets, extra_args)
    x = engine.inputs
    features = tuple(range(1, x.dim()))
    spread = noise_level * (x.amax(features, keepdim=True) - x.amin(features, keepdim=True))
    # On the CPU: the same noise on every device.
    generator = torch.Generator("cpu").manual_seed(seed)
    local = engine.repeated(engine.score_and_gradient)
    total = torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
    for _ in ticks(range(samples), progress, "SmoothGrad"):
        noise = torch.randn(x.shape[1:], generator=generator, dtype=x.dtype, device="cpu")
        total += local(x + spread * noise.to(x.device))[1]
    return engine.finished(total / samples)


def guided_backprop(
    model: Model,
    inputs: Tensor,
    targets: Targets = None,
    *,
    extra_args: Sequence[Any] = (),
    progress: Progress = False,
) -> Tensor:
    """Guided backpropagation (Springenberg et al., 2015).

    The gradient, except that at the output of every ReLU negative values are set to 0 on the way
    back. Modules, functions and in-place variants are covered, and ReLU6 likewise. Smooth
    activations (GELU, SiLU) and leaky ones pass unchanged, as in the paper; so does a ReLU spelled
    as clamp, threshold or maximum.

    Args:
        model, inputs, targets, extra_args, progress: see `gradient`.

    Returns:
        Signed attribution, same shape as `inputs`.

    Raises:
        ValueError: if no ReLU can be seen; the result would be the plain gradient. Those inside a
            script or an exported graph are not seen.

    Example:
        >>> import dga, torch
        >>> nn = torch.nn
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
        >>> dga.guided_backprop(model, torch.rand(5, 2)).shape
        torch.Size([5, 2])
    """
    engine = Engine(model, inputs, targets, extra_args)
    guide = _GuideRectifiers()
    attribution = engine.score_and_gradient(engine.inputs, guide)[1]
    if not guide.count:
        raise ValueError(
            f"model ({type(model).__name__}) runs no ReLU that can be seen (in a scripted or "
            "compiled part none can), so guided_backprop would be the plain gradient: use gradient"
        )
    return engine.finished(attribution)


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
