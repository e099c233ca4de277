"""Gradient methods against finite differences, slow twins and Captum."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from networks import NAMES, build, picture
from torch import nn

import dga


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_finite_difference(name):
    network, x = build(name), picture(batch=2)
    ours = dga.gradient(network, x, 3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        way = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        h = 1e-6  # small enough to stay inside the linear region
        slope = (network(x + h * way)[:, 3] - network(x - h * way)[:, 3]) / (2 * h)
        torch.testing.assert_close((ours * way).flatten(1).sum(1), slope, rtol=1e-5, atol=1e-7)


def test_gradient_times_input_by_hand():
    network = nn.Linear(3, 2, bias=True).double()
    network.weight.data = torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, 6.0]]).double()
    x = torch.tensor([[2.0, 1.0, -1.0]], dtype=torch.float64)
    assert dga.gradient(network, x, 1).tolist() == [[4, 5, 6]]
    assert dga.gradient_times_input(network, x, 0).tolist() == [[2, -2, -3]]


@pytest.mark.parametrize("targets", [None, 2, "tensor"])
def test_gradient_against_captum(targets):
    captum = pytest.importorskip("captum.attr")
    network, x = build("residual"), picture()
    if targets == "tensor":
        targets = torch.tensor([0, 4, 2])
    wanted = network(x).argmax(1) if targets is None else targets
    theirs = captum.Saliency(network).attribute(x, target=wanted, abs=False)
    torch.testing.assert_close(dga.gradient(network, x, targets), theirs)
    theirs = captum.InputXGradient(network).attribute(x, target=wanted)
    torch.testing.assert_close(dga.gradient_times_input(network, x, targets), theirs)


def test_smoothgrad_is_the_mean_of_gradients():
    network, x = build("cnn"), picture()
    ours = dga.smoothgrad(network, x, 1, samples=7, noise_level=0.3, seed=5)
    generator = torch.Generator().manual_seed(5)
    expected = torch.zeros_like(x)
    for _ in range(7):
        noise = torch.randn(3, 8, 8, generator=generator, dtype=x.dtype)
        for k in range(len(x)):
            sigma = 0.3 * (x[k].max() - x[k].min())
            expected[k] += dga.gradient(network, (x[k] + sigma * noise)[None], 1)[0] / 7
    torch.testing.assert_close(ours, expected)


def test_smoothgrad_against_captum(monkeypatch):
    captum = pytest.importorskip("captum.attr")
    network, x = build("cnn"), picture(batch=1)
    sigma = 0.2 * (x.max() - x.min()).item()
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(3, 8, 8, generator=generator, dtype=x.dtype) for _ in range(6)]
    # Captum draws the noise of all samples at once; hand it ours.
    monkeypatch.setattr(torch, "normal", lambda mean, std, **_: mean + std * torch.stack(draws))
    theirs = captum.NoiseTunnel(captum.Saliency(network)).attribute(
        x, target=2, nt_type="smoothgrad", nt_samples=6, stdevs=sigma, abs=False
    )
    torch.testing.assert_close(dga.smoothgrad(network, x, 2, samples=6, noise_level=0.2), theirs)


def test_smoothgrad_without_noise_is_the_gradient():
    network, x = build("cnn"), picture()
    torch.testing.assert_close(
        dga.smoothgrad(network, x, 0, samples=3, noise_level=0), dga.gradient(network, x, 0)
    )


class _Modules(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3)
        self.relu1, self.relu2 = nn.ReLU(inplace), nn.ReLU(inplace)

    def forward(self, x):
        return self.relu2(self.conv2(self.relu1(self.conv1(x)))).flatten(2).amax(2)


class _Calls(_Modules):
    """The same network with ReLU called in every other way there is."""

    def __init__(self, way):
        super().__init__(False)
        self.way = way

    def forward(self, x):
        relu = {
            "F": F.relu,
            "F in place": lambda v: F.relu(v, inplace=True),
            "F_": F.relu_,
            "torch": torch.relu,
            "torch_": torch.relu_,
            "tensor": lambda v: v.relu(),
            "tensor_": lambda v: v.relu_(),
        }[self.way]
        return relu(self.conv2(relu(self.conv1(x)))).flatten(2).amax(2)


_WAYS = ("F", "F in place", "F_", "torch", "torch_", "tensor", "tensor_")


@pytest.mark.parametrize("way", [*_WAYS, "module", "module in place"])
def test_guided_backprop_against_captum_however_relu_is_called(way):
    captum = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    plain = _Modules(False).double().eval()
    x = picture()
    with pytest.warns(UserWarning):
        theirs = captum.GuidedBackprop(plain).attribute(x, target=1)
    ours = _Modules(True) if way == "module in place" else _Calls(way) if way in _WAYS else plain
    ours.double().eval().load_state_dict(plain.state_dict())
    torch.testing.assert_close(dga.guided_backprop(ours, x, 1), theirs)
    assert (theirs - dga.gradient(plain, x, 1)).abs().max() > 1e-3


def test_guided_backprop_by_hand():
    """score = relu(x1) - relu(x2): the second path sends -1 back, which the ReLU stops."""
    network = nn.Sequential(nn.ReLU(), nn.Linear(2, 1, bias=False)).double()
    network[1].weight.data = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    x = torch.tensor([[2.0, 3.0], [-1.0, 1.0]], dtype=torch.float64)
    assert dga.gradient(network, x, 0).tolist() == [[1, -1], [0, -1]]
    assert dga.guided_backprop(network, x, 0).tolist() == [[1, 0], [0, 0]]


def test_guided_backprop_covers_relu6_and_residual_networks():
    for name in ("relu6", "residual", "reused", "functional"):
        network, x = build(name), picture()
        assert not torch.equal(dga.guided_backprop(network, x, 0), dga.gradient(network, x, 0))


@pytest.mark.parametrize("network", [nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "gelu"])
def test_guided_backprop_without_relu_is_an_error(network):
    network = build(network) if isinstance(network, str) else network.double()
    with pytest.raises(ValueError, match="runs no ReLU"):
        dga.guided_backprop(network, picture())


def test_bad_options():
    network, x = build("cnn"), picture()
    with pytest.raises(ValueError, match="samples must be at least 1"):
        dga.smoothgrad(network, x, samples=0)
    with pytest.raises(ValueError, match="noise_level must be a finite number of at least 0"):
        dga.smoothgrad(network, x, noise_level=-1)
