"""Uniform FullGrad: the one-backward form against the sum of bias terms, and both by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from networks import NAMES, PIECEWISE_LINEAR, build, picture
from torch import nn

import dga


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_residual_equals_explicit(name, seed):
    network, x = build(name, seed), picture(seed)
    residual = dga.uniform_fullgrad(network, x, bias="residual")
    explicit = dga.uniform_fullgrad(network, x, bias="explicit")
    scale = explicit.abs().max()
    assert scale > 1e-6
    assert (residual - explicit).abs().max() <= 1e-9 * scale


@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_bias_terms_equal_autograd_of_the_parameters(name):
    """df/db * b summed over positions is what autograd gives for the bias parameter itself."""
    network, x = build(name), picture(batch=1)
    terms = dga.bias_attributions(network, x, 1)
    network(x)[0, 1].backward()
    checked = 0
    for layer_name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            calls = [t for key, t in terms.items() if key.split("#")[0] == layer_name]
            grad = 0 if module.bias.grad is None else (module.bias.grad * module.bias).sum()
            torch.testing.assert_close(sum(t.sum() for t in calls), torch.as_tensor(grad).double())
            checked += 1
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            scale = (module.running_var + module.eps).rsqrt() * module.weight
            bias = module.bias - module.running_mean * scale
            torch.testing.assert_close(terms[layer_name].sum(), (module.bias.grad * bias).sum())
            checked += 1
    assert checked


@pytest.mark.parametrize("name", NAMES)
def test_decomposition_is_complete(name):
    network, x = build(name), picture()
    inputs = dga.gradient_times_input(network, x, 2).flatten(1).sum(1)
    biases = sum(t.flatten(1).sum(1) for t in dga.bias_attributions(network, x, 2).values())
    torch.testing.assert_close(inputs + biases, network(x)[:, 2])


def test_names_and_shapes():
    terms = dga.bias_attributions(build("reused"), picture())
    assert {name: tuple(t.shape) for name, t in terms.items()} == {
        "stem": (3, 4, 8, 8),
        "shared": (3, 4, 8, 8),
        "shared#2": (3, 4, 8, 8),
        "shared#3": (3, 4, 8, 8),
        "head": (3, 5),
    }


def test_silent_biases_are_zero_and_present():
    terms = dga.bias_attributions(build("silent"), picture())
    assert terms["closed"].shape == terms["unused"].shape == (3, 4, 8, 8)
    assert not terms["closed"].any() and not terms["unused"].any()
    assert terms["conv"].any()


def test_piecewise_linear_activations_have_no_term():
    assert set(dga.bias_attributions(build("cnn"), picture())) == {"0", "3", "8"}


def test_implicit_bias_of_relu6_by_hand():
    """score = 2 * min(max(3x, 0), 6): clipped at x = 4, where 12 of implicit bias remain."""
    network = nn.Sequential(nn.Linear(1, 1, False), nn.ReLU6(), nn.Linear(1, 1, False)).double()
    with torch.no_grad():
        network[0].weight.fill_(3.0)
        network[2].weight.fill_(2.0)
    x = torch.tensor([[1.0], [4.0], [-1.0]], dtype=torch.float64)
    assert dga.bias_attributions(network, x, 0)["1"].flatten().tolist() == [0.0, 12.0, 0.0]
    assert dga.uniform_fullgrad(network, x, 0).flatten().tolist() == [6.0, 12.0, 0.0]


def test_by_hand():
    """f = 2 relu(x1 + 2 x2 + 1) - relu(x1 - x2 - 4) + 0.5 at (3, 1): second unit closed.

    g = (2, 4), <g, x> = 10, f = 12.5, so 2.5 of bias over two features.
    """
    network = two_feature_network()
    x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    for bias in ("residual", "explicit"):
        assert dga.uniform_fullgrad(network, x, 0, bias=bias).tolist() == [[7.25, 5.25]]
    terms = dga.bias_attributions(network, x, 0)
    assert terms["0"].tolist() == [[2.0, 0.0]] and terms["2"].tolist() == [[0.5]]


def two_feature_network():
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 2.0], [1.0, -1.0]]))
        network[0].bias.copy_(torch.tensor([1.0, -4.0]))
        network[2].weight.copy_(torch.tensor([[2.0, -1.0]]))
        network[2].bias.fill_(0.5)
    return network


class _Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.gate = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return (self.conv(x) * self.gate(x)).mean((2, 3))


class _Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 4)), "1"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Flatten()), "1"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Softmax(1)), "2"),
        (_Gated(), "mul"),
        (_Attention(), "attention"),
    ],
)
def test_what_is_not_elementwise_is_named(network, layer):
    network, x = network.double().eval(), picture()
    with pytest.raises(ValueError, match=f"layer '{layer}"):
        dga.uniform_fullgrad(network, x, bias="explicit")
    whole = dga.uniform_fullgrad(network, x, 1).flatten(1).sum(1)
    torch.testing.assert_close(whole, network(x)[:, 1])


def test_explicit_leaves_no_hook_behind():
    from torch.nn.modules import module

    network = nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 4)).double()
    before = len(module._global_forward_hooks), len(module._global_forward_pre_hooks)
    with pytest.raises(ValueError):
        dga.bias_attributions(network, picture())
    assert before == (len(module._global_forward_hooks), len(module._global_forward_pre_hooks))


@pytest.mark.parametrize("name", ["cnn", "residual", "reused"])
def test_fullgrad_against_a_slow_transcription(name):
    """One picture at a time, as in the authors' description."""
    network, x = build(name), picture(4)
    saliency = dga.fullgrad(network, x, 3)
    for k in range(len(x)):
        one = x[k : k + 1]
        parts = [dga.gradient_times_input(network, one, 3)]
        parts += [t for t in dga.bias_attributions(network, one, 3).values() if t.dim() == 4]
        expected = torch.zeros(8, 8, dtype=torch.float64)
        for part in parts:
            size = part.abs()
            size = (size - size.min()) / ((size - size.min()).max() + 1e-6)
            expected += F.interpolate(size, (8, 8), mode="bilinear", align_corners=True)[0].sum(0)
        torch.testing.assert_close(saliency[k].sum(0), expected)
    assert saliency.shape == x.shape and (saliency >= 0).all()
    assert (saliency[:, 0] == saliency[:, 2]).all()


def test_constant_on_all_scores_changes_the_uniform_term_only():
    """The documented limit: softmax does not see the constant, Uniform FullGrad does."""
    network, x = build("cnn"), picture()
    before = dga.uniform_fullgrad(network, x, 0)
    with torch.no_grad():
        network[-1].bias += 7.0
    after = dga.uniform_fullgrad(network, x, 0)
    torch.testing.assert_close(after - before, torch.full_like(x, 7.0 / 192))


class _Net(nn.Module):
    """A convolution, a body given by the test, a linear head."""

    def __init__(self, body):
        super().__init__()
        self.conv, self.head, self.body = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 4), body

    def forward(self, x):
        return self.head(self.body(self, x).mean((2, 3)))


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def _on_a_view(net, x):
    y = net.conv(x)
    y[:, :3].add_(1.5)
    return y.relu()


def _without_gradient(net, x):
    y = net.conv(x)
    with torch.no_grad():
        shift = net.conv(x).mean((1, 2, 3), keepdim=True)
    return y * shift


def _accumulated(net, x):
    out = torch.zeros(len(x), 6, 8, 8, dtype=x.dtype)
    out += F.relu(net.conv(x))
    return out


def _keywords(net, x):
    return F.relu(F.conv2d(input=x, weight=net.conv.weight, bias=net.conv.bias))


@pytest.mark.parametrize(
    "body", [_on_a_view, lambda net, x: _Square.apply(net.conv(x)), "scripted"]
)
def test_what_cannot_be_recorded_is_an_error_and_not_wrong(body):
    torch.manual_seed(0)
    if body == "scripted":
        part = torch.jit.script(nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU()))
        network = _Net(lambda net, x: net.part(x))
        network.part = part
    else:
        network = _Net(body)
    network = network.double().eval()
    for method in (dga.fullgrad, dga.bias_attributions):
        with pytest.raises(ValueError, match="do not add up to the score"):
            method(network, picture(), 0)


@pytest.mark.parametrize("body", [_accumulated, _keywords, _without_gradient])
def test_odd_ways_to_write_a_forward(body):
    torch.manual_seed(0)
    network, x = _Net(body).double().eval(), picture()
    residual = dga.uniform_fullgrad(network, x, 1)
    torch.testing.assert_close(dga.uniform_fullgrad(network, x, 1, bias="explicit"), residual)


def test_batch_must_come_first():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(3, 6), nn.Linear(6, 4)

        def forward(self, x):
            return self.head(self.inner(x.flatten(2).permute(2, 0, 1)).relu().mean(0))

    with pytest.raises(ValueError, match=r"layer 'inner' gives shape .* not the batch of 3"):
        dga.bias_attributions(Tokens().double(), picture())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_homogeneity_is_judged_alike_in_every_precision(dtype):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 4)]
    x = torch.randn(2, 3, 64, 64).to(dtype)
    with pytest.raises(ValueError, match=r"layer '1' \(group_norm\)"):
        dga.bias_attributions(nn.Sequential(*layers, *head).to(dtype).eval(), x)
    plain = nn.Sequential(layers[0], nn.ReLU(), *head).to(dtype).eval()
    assert set(dga.bias_attributions(plain, x)) == {"0", "4"}


def test_network_without_any_bias():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4, bias=False), nn.ReLU()).double()
    x = picture()
    expected = dga.gradient_times_input(network, x, 0)
    assert dga.bias_attributions(network, x, 0) == {}
    for bias in ("residual", "explicit"):
        torch.testing.assert_close(dga.uniform_fullgrad(network, x, 0, bias=bias), expected)
