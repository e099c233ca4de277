"""The architectures: four families in small for our own networks, and EfficientNet-Lite0."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class VGG(nn.Sequential):
    """Plain convolutions with biases, max pooling, two linear layers: VGG-16 in small."""

    def __init__(self, classes: int) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for width in (16, 32, 64, 128):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers += [nn.MaxPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(128 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, classes)]
        super().__init__(*layers)
        for layer in self:  # without batch norm, the default initialisation does not start to learn
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)


class _Residual(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride > 1 or before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return self.relu(y)


class ResNet(nn.Sequential):
    """Residual blocks with batch normalisation and in-place ReLU: ResNet-18 in small."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
            _Residual(16, 16, 1), _Residual(16, 32, 2),
            _Residual(32, 64, 2), _Residual(64, 64, 1), _Residual(64, 96, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes),
        )  # fmt: skip


class _ConvBN(nn.Module):
    """Convolution, batch normalisation and a functional ReLU, as in torchvision's Inception-v3."""

    def __init__(self, before: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Branches(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        part = width // 4
        self.one = _ConvBN(before, part, 1)
        self.three = nn.Sequential(_ConvBN(before, part, 1), _ConvBN(part, part, 3))
        self.five = nn.Sequential(
            _ConvBN(before, part, 1), _ConvBN(part, part, 3), _ConvBN(part, part, 3)
        )
        self.pool = _ConvBN(before, part, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, 3, 1, 1)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(pooled)], 1)


class Inception(nn.Sequential):
    """Parallel branches of several sizes, concatenated: Inception-v3 in small."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            _ConvBN(3, 16, 3), nn.MaxPool2d(2), _ConvBN(16, 48, 3), nn.MaxPool2d(2),
            _Branches(48, 128), _Branches(128, 128), nn.MaxPool2d(2), _Branches(128, 192),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, classes),
        )  # fmt: skip


class _ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels at every position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _SmoothBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = _ChannelNorm(width)
        self.expand = nn.Conv2d(width, 3 * width, 1)
        self.gelu = nn.GELU()
        self.reduce = nn.Conv2d(3 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.reduce(self.gelu(self.expand(self.norm(self.depthwise(x)))))


class Smooth(nn.Sequential):
    """GELU and LayerNorm, nothing piecewise linear: ConvNeXt in small."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 3, 2, 1), nn.GELU(), nn.Conv2d(32, 64, 3, 2, 1), _ChannelNorm(64),
            _SmoothBlock(64), _SmoothBlock(64),
            _ChannelNorm(64), nn.Conv2d(64, 112, 2, 2), _SmoothBlock(112), _SmoothBlock(112),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(112), nn.Linear(112, classes),
        )  # fmt: skip


def _conv_bn(
    before: int, width: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution and batch normalisation with TensorFlow's "SAME" padding.

    For an even size and stride 2 that is one pixel more at the right and at the bottom.
    """
    padding, odd = kernel // 2, []
    if stride == 2:
        first = (kernel - stride) // 2
        padding, odd = 0, [nn.ZeroPad2d((first, first + 1, first, first + 1))]
    convolution = nn.Conv2d(before, width, kernel, stride, padding, groups=groups, bias=False)
    return [*odd, convolution, nn.BatchNorm2d(width, eps=1e-3)]


class _InvertedResidual(nn.Sequential):
    """Widen (1 x 1), look around in every channel (depthwise), narrow (1 x 1)."""

    def __init__(self, before: int, width: int, expand: int, kernel: int, stride: int) -> None:
        wide = before * expand
        widen = [*_conv_bn(before, wide, 1), nn.ReLU6(inplace=True)] if expand > 1 else []
        super().__init__(
            *widen,
            *_conv_bn(wide, wide, kernel, stride, groups=wide), nn.ReLU6(inplace=True),
            *_conv_bn(wide, width, 1),
        )  # fmt: skip
        self.skip = stride == 1 and before == width

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return x + y if self.skip else y


# Of every stage: blocks, kernel, stride of the first, expansion, channels.
_LITE0_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip


class EfficientNetLite0(nn.Sequential):
    """EfficientNet-B0 for small devices: ReLU6, no squeeze and excitation; for 224 x 224 pixels.

    Its input's height and width must be multiples of 32, for which the padding is TensorFlow's.
    Source: Tan and Le, arXiv 1905.11946; the "lite" models of the authors' TensorFlow code.

    Example:
        >>> model = EfficientNetLite0()
        >>> sum(parameter.numel() for parameter in model.parameters())
        4652008
    """

    def __init__(self, classes: int = 1000) -> None:
        layers = [*_conv_bn(3, 32, 3, stride=2), nn.ReLU6(inplace=True)]
        before = 32
        for blocks, kernel, first_stride, expand, width in _LITE0_STAGES:
            for block in range(blocks):
                stride = 1 if block else first_stride
                layers.append(_InvertedResidual(before, width, expand, kernel, stride))
                before = width
        layers += [*_conv_bn(before, 1280, 1), nn.ReLU6(inplace=True)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, classes)]
        super().__init__(*layers)
