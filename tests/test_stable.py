"""Stable DGA: against a naive twin, by hand, and that it does what it is for."""

from __future__ import annotations

import math

import pytest
import torch
from networks import build, picture
from torch import nn

import dga

stable = dga.stable_distilled_gradient_aggregation


def naive_ranks(values):
    """By counting: how many are smaller, and half of those that are equal."""
    flat = [round(v / values.abs().max().item() * 65536) for v in values.flatten().tolist()]
    counts = [sum(w < v for w in flat) + sum(w == v for w in flat) / 2 for v in flat]
    return torch.tensor(counts).double().view_as(values) / len(flat)


def naive_cdf(s):
    """Of a uniform number in 0..1 plus one in 0..3: the area of a trapezoid up to s."""
    if s < 1:
        return s * s / 6
    return (2 * s - 1) / 6 if s < 3 else 1 - (4 - s) ** 2 / 6


def naive_mask(ranks, extreme, share, quantile, u, v):
    """One feature after the other."""
    mask = torch.zeros_like(ranks)
    for k in range(ranks.numel()):
        weak = naive_cdf(ranks.flatten()[k] + 3 * u.flatten()[k])
        strong = naive_cdf(extreme.flatten()[k] + 3 * v.flatten()[k])
        weak = min(max((weak - share) / 0.5 + 0.5, 0), 1)
        strong = min(max((quantile - strong) / 0.5 + 0.5, 0), 1)
        mask.view(-1)[k] = share * weak + (1 - share) * strong
    return mask


def naive_blur(values):
    """A Gaussian of a twenty-fifth of the side (pictures are square here), one place at a time."""
    side = values.shape[2]
    near = [math.exp(-((k / (0.04 * side)) ** 2) / 2) for k in range(side)]
    blurred = torch.zeros_like(values)
    for i in range(side):
        for j in range(side):
            rows = torch.tensor([near[abs(i - k)] for k in range(side)]).double()
            columns = torch.tensor([near[abs(j - k)] for k in range(side)]).double()
            weights = rows[:, None] * columns
            blurred[:, :, i, j] = (values * weights).sum((2, 3)) / weights.sum()
    return blurred


def naive_stable(network, x, target, steps, quantile, beta, sigma, seed):
    """One picture, UFG by its explicit bias terms, no engine."""
    generator = torch.Generator().manual_seed(seed)

    def normal():
        return sigma * torch.randn(x.shape[1:], generator=generator)[None].double()

    def uniform():
        return torch.rand(x.shape[1:], generator=generator)[None].double()

    def look(seen, noise):
        leaf = (seen + noise).requires_grad_()
        (g,) = torch.autograd.grad(network(leaf)[0, target], leaf)
        biases = dga.bias_attributions(network, leaf.detach(), target).values()
        even = sum(term.sum() for term in biases) / x.numel()
        return leaf.detach() * g + even, seen * g + even

    looks = [look(x, normal() if n else 0 * x) for n in range(steps + 1)]
    phis, ranked = [phi for phi, _ in looks], sum(quiet for _, quiet in looks)
    weak, extreme = naive_ranks(naive_blur(ranked.abs())), naive_ranks(naive_blur(ranked))
    for j in range(steps):
        mask = naive_mask(weak, extreme, j / steps, quantile, uniform(), uniform())
        phis.append(look(mask * x, normal())[0])
    return sum(phi.clamp(min=0) + beta * phi.clamp(max=0) for phi in phis)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "relu6", "constants"])
@pytest.mark.parametrize(
    ("steps", "quantile", "beta", "sigma"), [(4, 0.9, 0.2, 0.3), (1, 0.5, -1, 0.0)]
)
def test_against_the_naive_twin(name, steps, quantile, beta, sigma):
    network, x = build(name, 3), picture(5)
    ours = stable(
        network, x, 1, steps=steps, epc_quantile=quantile, negative_scale=beta,
        noise_level=sigma, seed=4,
    )  # fmt: skip
    for k in range(len(x)):
        one = naive_stable(network, x[k : k + 1], 1, steps, quantile, beta, sigma, 4)
        torch.testing.assert_close(ours[k : k + 1], one, rtol=1e-9, atol=1e-12)


def test_neighbours_have_a_say_in_larger_pictures():
    network, x = build("cnn", 3), torch.randn(1, 3, 24, 24, generator=torch.Generator()).double()
    expected = naive_stable(network, x, 1, 2, 0.9, 0.2, 0.3, 0)
    torch.testing.assert_close(stable(network, x, 1, steps=2), expected, rtol=1e-9, atol=1e-12)


def linear(weights, bias=0.0):
    network = nn.Linear(len(weights), 1).double()
    network.weight.data = torch.tensor([weights], dtype=torch.float64)
    network.bias.data.fill_(bias)
    return network


def test_a_linear_network_by_hand():
    """f = <w, x> has the gradient w everywhere: without noise, phi = M * w * x.

    x = (2, 1, 1), w = (3, -1, 0): w * x = (6, -1, 0). N = 1: two looks at the whole picture and one
    masked, with n/N = 0, so M = EPC. Ranks of S = (12, -2, 0) are (5/6, 1/6, 1/2).
    """
    network, x = linear([3.0, -1.0, 0.0]), torch.tensor([[2.0, 1.0, 1.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    torch.randn(3, generator=generator)  # noise of the second look
    torch.rand(3, generator=generator)  # u, which the weight n/N = 0 takes out
    v = torch.rand(3, generator=generator)
    cdf = [naive_cdf(5 / 6 + 3 * v[0].item()), naive_cdf(1 / 6 + 3 * v[1].item())]
    mask = [min(max(2 * (0.6 - c) + 0.5, 0), 1) for c in cdf]
    expected = [[6 * (2 + mask[0]), 0.2 * -1 * (2 + mask[1]), 0]]
    assert 0 < min(mask) < 1, "a mask that does nothing tests nothing"
    found = stable(network, x, steps=1, epc_quantile=0.6, noise_level=0)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_a_linear_network_is_dimmed():
    """Its map is w * x times N + 1 and the sum of N masks."""
    network = linear(torch.linspace(-1, 2, 40).tolist())
    x = torch.rand(2, 40, generator=torch.Generator().manual_seed(0)).double() + 0.5
    found = stable(network, x, steps=10, negative_scale=1, noise_level=0)
    factor = found / (x * network.weight.detach())
    assert (factor > 11).all() and (factor < 21).all()
    twice = stable(network, 2 * x, steps=10, noise_level=0, negative_scale=1)
    torch.testing.assert_close(twice, 2 * found)


def test_a_constant_score_is_spread_evenly():
    network = linear([0.0] * 5, bias=2.0)
    found = stable(network, torch.rand(1, 5).double(), steps=3)
    torch.testing.assert_close(found, torch.full((1, 5), 7 * 2 / 5).double())


@pytest.mark.parametrize("name", ["cnn", "residual"])
def test_a_picture_has_one_map_in_any_batch(name):
    network, x = build(name), picture(9, batch=4)
    batch = stable(network, x, steps=6)
    for k in range(4):
        torch.testing.assert_close(batch[k : k + 1], stable(network, x[k : k + 1], steps=6))
    torch.testing.assert_close(batch.flip(0), stable(network, x.flip(0), steps=6))


def test_seeds():
    network, x = build("cnn"), picture()
    assert torch.equal(stable(network, x, steps=4, seed=3), stable(network, x, steps=4, seed=3))
    assert not torch.allclose(stable(network, x, steps=4), stable(network, x, steps=4, seed=3))
    state = torch.get_rng_state()
    stable(network, x, steps=1)
    assert torch.equal(state, torch.get_rng_state())


def test_targets_of_every_kind_and_the_network_as_it_was():
    network, x = build("residual"), picture()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    predicted = network(x).argmax(1)
    as_callable = lambda output: output[range(len(x)), predicted]  # noqa: E731
    expected = stable(network, x, steps=3)
    for targets in (predicted, as_callable):
        torch.testing.assert_close(stable(network, x, targets, steps=3), expected)
    torch.testing.assert_close(
        stable(network, x, 2, steps=3), stable(network, x, torch.tensor([2] * 3), steps=3)
    )
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_passes_and_progress():
    network, x, seen, calls = build("cnn"), picture(), [], []
    network.register_forward_hook(lambda *_: calls.append(1))

    def bar(rounds, **_):
        for n in rounds:
            seen.append(n)
            yield n

    stable(network, x, steps=5, progress=bar)
    checks = 3  # the first pass again, the first and the last picture by themselves
    assert seen == list(range(11)) and 11 <= len(calls) <= 11 + checks


def shapes():
    model = dga.load_model("resnet")
    return model, model.preprocess(dga.load_images("figures").images[:4])


def moved(method, model, x, level):
    noise = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(1)).to(x)
    targets = model(x).argmax(1)
    clean, noisy = method(model, x, targets), method(model, x + level * noise, targets)
    return (noisy - clean).flatten(1).norm(dim=1) / clean.flatten(1).norm(dim=1)


def test_invisible_noise_hardly_moves_it():
    model, x = shapes()
    ours = moved(stable, model, x, 0.001)
    assert ours.max() < 0.03
    assert ours.median() < moved(dga.distilled_gradient_aggregation, model, x, 0.001).median() / 3


def test_float32_and_float64_agree():
    model, x = shapes()
    short = stable(model, x)
    wide = stable(model.double(), x.double())
    assert short.dtype == torch.float32 and wide.dtype == torch.float64
    apart = (short - wide).flatten(1).norm(dim=1) / wide.flatten(1).norm(dim=1)
    assert apart.max() < 0.003


def test_bad_arguments():
    network, x = build("cnn"), picture()
    for kwargs, message in [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"epc_quantile": 1.2}, "epc_quantile must be from 0 to 1"),
        ({"negative_scale": float("nan")}, "negative_scale must be finite, got nan"),
        ({"noise_level": -0.1}, "noise_level must be"),
        ({"seed": -1}, "seed must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            stable(network, x, **kwargs)
    with pytest.raises(TypeError, match="steps must be an integer"):
        stable(network, x, steps=2.5)
    with pytest.raises(ValueError, match="targets holds 9"):
        stable(network, x, 9)
    with pytest.raises(ValueError, match="not finite"):
        stable(network, torch.full_like(x, float("nan")), 0)
