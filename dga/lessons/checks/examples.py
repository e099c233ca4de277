"""What the checks run on, small, seeded and in float64, and the sentences they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from dga.full_gradient import _spread_evenly


@cache
def network() -> nn.Module:
    """Two convolutions, a batch norm, ReLU: piecewise linear, with biases everywhere.

    Example:
        >>> tuple(network()(torch.zeros(1, 3, 6, 6, dtype=torch.float64)).shape)
        (1, 4)
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Conv2d(5, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4),
        )  # fmt: skip
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                tensor.data = torch.rand_like(tensor) + (0.5 if "running" in name else -0.5)
    return model.double().eval()


def pictures() -> tuple[Tensor, Tensor]:
    """Two inputs (2, 3, 6, 6), and for each a class that is not the predicted one.

    Example:
        >>> x, target = pictures()
        >>> bool((network()(x).argmax(1) == target).any())
        False
    """
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 6, 6, generator=generator, dtype=torch.float64)
    return x, (network()(x).argmax(1) + torch.tensor([1, 2])) % 4


def score(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The score (B,) of the target (B,), before the softmax.

    Example:
        >>> score(nn.Identity(), torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
        tensor([2.])
    """
    return model(x).gather(1, target[:, None])[:, 0]


def probability(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The softmax probability (B,) of the target (B,).

    Example:
        >>> probability(nn.Identity(), torch.zeros(1, 2), torch.tensor([1]))
        tensor([0.5000])
    """
    return model(x).softmax(1).gather(1, target[:, None])[:, 0]


def gradient(model: nn.Module, x: Tensor, target: Tensor, of: Callable = score) -> Tensor:
    """The gradient at x of the score, or of the probability; the shape of x.

    Example:
        >>> gradient(nn.Identity(), torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
        tensor([[0., 1.]])
    """
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(of(model, leaf, target).sum(), leaf)[0]


def predicted(model: nn.Module, x: Tensor) -> Tensor:
    """The class (B,) with the highest score.

    Example:
        >>> predicted(nn.Identity(), torch.tensor([[1.0, 2.0]]))
        tensor([1])
    """
    return model(x).argmax(1)


PASS = "f(model, x, target)"
SOFTMAX = "this explains the softmax probability; the methods explain the score before it"
CLASS = "this is the gradient of the predicted class; the task asks for `target`"
ABSOLUTE = "the signs are gone: an absolute value was added"


def one_case() -> list[tuple]:
    """The arguments of a function of model, x and target.

    Example:
        >>> [(model, x, target)] = one_case()
        >>> tuple(score(model, x, target).shape)
        (2,)
    """
    return [(network(), *pictures())]


def gradient_times_input(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Another local attribution: the input times the gradient of the score.

    Example:
        >>> gradient_times_input(nn.Identity(), torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
        tensor([[0., 2.]])
    """
    return x * gradient(model, x, target)


def local_attribution(model: nn.Module, x: Tensor, target: Tensor, of: Callable = score) -> Tensor:
    """Uniform FullGrad of the score, or of the probability; the shape of x.

    Example:
        >>> [case] = one_case()
        >>> bool(torch.allclose(local_attribution(*case).flatten(1).sum(1), score(*case)))
        True
    """
    return _spread_evenly(x, of(model, x, target).detach(), gradient(model, x, target, of))
