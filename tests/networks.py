"""Small random networks in float64, one for every construction that has to be right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5


class Functional(nn.Module):
    """Functions instead of modules, on parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(CLASSES, 6) / 3)
        self.bias = nn.Parameter(torch.randn(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.conv(x)), 2)
        return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), self.weight, self.bias)


class Residual(nn.Module):
    """Batch norm, in-place ReLU, in-place addition, a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(6), nn.BatchNorm2d(6, affine=False)
        self.conv = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.stem(x)))
        y = self.bn2(self.conv(x))
        y += x
        return self.head(self.relu(y).mean((2, 3)))


class Reused(nn.Module):
    """One layer called three times, in-place ReLU between the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.relu(self.shared(x))
        return self.head(x.flatten(2).amax(2))


class Silent(nn.Module):
    """Biases that never reach the score: one behind a closed ReLU, one computed and dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = nn.Conv2d(3, 4, 1)
        self.unused = nn.Conv2d(3, 4, 1)
        self.conv = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, CLASSES)
        with torch.no_grad():
            self.closed.weight.zero_()
            self.closed.bias.fill_(-1.0)

    def forward(self, x: Tensor) -> Tensor:
        self.unused(x)
        y = F.relu(self.conv(x)) + F.relu(self.closed(x))
        return self.head(y.mean((2, 3)))


class Constants(nn.Module):
    """Constants added in the forward, as torchvision's transform_input does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x[:, :1] * 0.5 + 0.3, 0.2 + x[:, 1:]], 1)
        x = 1.0 - F.relu(self.conv(x))
        return self.head(F.avg_pool2d(x, 3).flatten(2).mean(2))


def build(name: str, seed: int = 0) -> nn.Module:
    """A network by name: float64, evaluation mode, lively running statistics."""
    torch.manual_seed(seed)
    network = _BUILD[name]().double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.3, 2)
            if module.affine:
                module.weight.data.normal_()
                module.bias.data.normal_()
    return network


def picture(seed: int = 0, batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, 8, 8, dtype=torch.float64, generator=_generator(seed))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _head(*layers: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, CLASSES)
    )


_BUILD = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(192, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(),
        nn.Linear(10, CLASSES),
    ),
    "mlp_bn": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(192, 20, bias=False), nn.BatchNorm1d(20), nn.ReLU(),
        nn.Linear(20, CLASSES),
    ),
    "cnn": lambda: _head(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Conv2d(6, 4, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2, 1), width=4,
    ),
    "leaky": lambda: _head(
        nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.ConvTranspose2d(4, 4, 2), nn.PReLU(), width=4
    ),
    "relu6": lambda: _head(
        nn.Conv2d(3, 6, 3), nn.ReLU6(inplace=True), nn.Conv2d(6, 4, 3), nn.Hardtanh(-0.4, 0.3),
        width=4,
    ),
    "gelu": lambda: _head(
        nn.Conv2d(3, 6, 3), nn.GELU(), nn.Conv2d(6, 4, 3), nn.SiLU(inplace=True), nn.Dropout(0.5),
        nn.Conv2d(4, 4, 1), nn.Sigmoid(), width=4,
    ),
    "functional": Functional,
    "residual": Residual,
    "reused": Reused,
    "silent": Silent,
    "constants": Constants,
}  # fmt: skip

PIECEWISE_LINEAR = ("mlp", "mlp_bn", "cnn", "leaky", "functional", "residual", "reused", "silent")
NAMES = tuple(_BUILD)
