"""Path methods against Captum, the authors' published procedure, and their identities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import NAMES, build, picture

import dga


@pytest.mark.parametrize("name", NAMES)
def test_integrated_gradients_against_captum(name):
    captum = pytest.importorskip("captum.attr")
    network, x = build(name), picture()
    start = picture(11) * 0.3
    theirs, delta = captum.IntegratedGradients(network).attribute(
        x, start, target=2, n_steps=13, method="riemann_middle", return_convergence_delta=True
    )
    ours, our_delta = dga.integrated_gradients(
        network, x, 2, steps=13, baseline=start, return_delta=True
    )
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(our_delta, delta)


def test_completeness_in_the_limit():
    network, x = build("gelu"), picture()
    deltas = [
        dga.integrated_gradients(network, x, 0, steps=steps, return_delta=True)[1].abs().max()
        for steps in (4, 16, 64)
    ]
    assert deltas[0] > 8 * deltas[1] > 64 * deltas[2]  # the midpoint rule is of second order


def test_linear_model_needs_one_step():
    network = torch.nn.Linear(3, 2).double()
    x = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    ours, delta = dga.integrated_gradients(network, x, 1, steps=1, return_delta=True)
    torch.testing.assert_close(ours, network.weight[1:] * x)
    torch.testing.assert_close(delta, torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("baseline", [0.5, "row", "picture"])
def test_baselines_broadcast(baseline):
    network, x = build("cnn"), picture()
    value = {"row": torch.full((8,), 0.5), "picture": torch.full((3, 8, 8), 0.5)}.get(baseline, 0.5)
    ours = dga.integrated_gradients(network, x, 0, baseline=value, steps=5)
    full = dga.integrated_gradients(network, x, 0, baseline=torch.full_like(x, 0.5), steps=5)
    torch.testing.assert_close(ours, full)


def guided_by_the_book(network, x, start, target, steps, fraction, max_dist):
    """The authors' procedure, one picture at a time, in numpy and input units."""
    x, start = x.numpy().astype(float), start.numpy().astype(float)

    def gradient(point):
        return dga.gradient(network, torch.from_numpy(point)[None], target)[0].numpy()

    at, total = start.copy(), np.zeros_like(x)
    length = np.abs(x - start).sum()
    if length == 0:
        return total
    for step in range(1, steps + 1):
        slope = gradient(at)
        size = np.abs(slope)
        alpha = step / steps
        low, high = max(alpha - max_dist, 0), min(alpha + max_dist, 1)
        lower, upper = start + (x - start) * low, start + (x - start) * high
        wanted = length * (1 - alpha)
        while True:
            before = at.copy()
            with np.errstate(all="ignore"):
                progress = np.where(x != start, (at - start) / (x - start), high)
            late = progress < low - 1e-12
            at[late] = lower[late]
            missing = np.abs(at - x).sum() - wanted
            if missing <= 1e-9 * length:
                total += (at - before) * slope
                break
            size[np.isclose(at, upper, rtol=0, atol=1e-12 * np.abs(x - start).max())] = np.inf
            bound = np.quantile(size, fraction, method="lower")
            chosen = (size <= bound) & np.isfinite(size)
            possible = np.abs(at - upper)[chosen].sum()
            if possible <= missing:
                at[chosen] = upper[chosen]
                total += (at - before) * slope
                continue
            at[chosen] += (upper - at)[chosen] * missing / possible
            total += (at - before) * slope
            break
    return total


@pytest.mark.parametrize("name", ["cnn", "residual", "gelu"])
@pytest.mark.parametrize(
    ("steps", "fraction", "max_dist"),
    [(9, 0.25, 0.02), (6, 0.1, 0.3), (5, 0.5, 1.0), (7, 1.0, 0.1)],
)
def test_guided_ig_against_the_published_procedure(name, steps, fraction, max_dist):
    network, x, start = build(name), picture(3), picture(12) * 0.2
    x[0, :, :2] = start[0, :, :2]  # features without a way to go
    ours = dga.guided_integrated_gradients(
        network, x, 1, steps=steps, baseline=start, fraction=fraction, max_dist=max_dist
    )
    for k in range(len(x)):
        expected = guided_by_the_book(network, x[k], start[k], 1, steps, fraction, max_dist)
        torch.testing.assert_close(ours[k], torch.from_numpy(expected), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", ["cnn", "gelu", "residual"])
def test_guided_ig_on_the_straight_line_is_the_left_riemann_sum(name):
    network, x, steps = build(name), picture(), 11
    ours = dga.guided_integrated_gradients(network, x, 0, steps=steps, max_dist=0)
    left = sum(dga.gradient(network, x * k / steps, 0) for k in range(steps)) * x / steps
    torch.testing.assert_close(ours, left)


def test_guided_ig_is_nearly_complete():
    network, x = build("gelu"), picture()
    gap = network(x)[:, 0] - network(torch.zeros_like(x))[:, 0]
    ours = dga.guided_integrated_gradients(network, x, 0, steps=400)
    torch.testing.assert_close(ours.flatten(1).sum(1), gap, rtol=0.02, atol=0.002)


def test_guided_ig_at_the_baseline_is_zero():
    network, x = build("cnn"), picture()
    x[1] = 0
    assert not dga.guided_integrated_gradients(network, x, 0, steps=4)[1].any()


def test_baseline_that_requires_a_gradient():
    network, x = build("cnn"), picture()
    start = torch.zeros(1, 3, 8, 8, dtype=x.dtype, requires_grad=True)
    assert not dga.integrated_gradients(network, x, baseline=start).requires_grad


def test_predicted_class_is_that_of_the_input_not_of_the_baseline():
    network, x = build("mlp", 2), 3 * picture(2, batch=8)
    predicted = network(x).argmax(1)
    assert (network(torch.zeros_like(x)).argmax(1) != predicted).any()
    for method in (dga.integrated_gradients, dga.guided_integrated_gradients, dga.smoothgrad):
        torch.testing.assert_close(method(network, x), method(network, x, predicted))


def test_bad_options():
    network, x = build("cnn"), picture()
    for kwargs, message in [
        ({"steps": 0}, "steps must be at least 1"),
        ({"baseline": torch.zeros(2, 5)}, r"broadcasts to \(3, 3, 8, 8\), got \(2, 5\)"),
        ({"baseline": float("nan")}, "baseline holds values that are not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            dga.integrated_gradients(network, x, **kwargs)
    for kwargs in ({"fraction": 0}, {"fraction": 2}, {"max_dist": -1}):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            dga.guided_integrated_gradients(network, x, **kwargs)
