"""Pixel perturbation by hand and against a slow twin; localisation; the bootstrap."""

from __future__ import annotations

import copy

import pytest
import torch
from networks import build, picture
from torch import nn

import dga
from dga import metrics


def slow_perturbation(model, x, target, attribution, order, shares, seed):
    """One picture, one pixel at a time."""
    _, height, width = x.shape
    relevance = attribution.sum(0).flatten().tolist()
    shuffle = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed)).tolist()
    ranked = sorted(shuffle, key=lambda p: relevance[p])  # Python's sort is stable
    if order == "morf":
        ranked = ranked[::-1]
    curve = []
    for share in shares:
        changed = x.clone()
        for pixel in ranked[: round(share * height * width)]:
            changed[:, pixel // width, pixel % width] = 0
        curve.append(model(changed[None]).softmax(1)[0, target].item())
    return curve


@pytest.mark.parametrize("order", ["morf", "lerf"])
@pytest.mark.parametrize("shares", [metrics.SHARES, (0, 0.01, 0.02, 0.5)])
def test_against_the_slow_twin(order, shares):
    model, x = build("residual"), picture(1, batch=4)
    attribution = torch.randint(-2, 3, x.shape, generator=torch.Generator().manual_seed(3)).double()
    targets = model(x).argmax(1)
    curve = dga.pixel_perturbation(model, x, attribution, None, order, shares=shares, seed=7)
    assert curve.shape == (4, len(shares))
    for k in range(4):
        expected = slow_perturbation(model, x[k], targets[k], attribution[k], order, shares, 7)
        torch.testing.assert_close(curve[k], torch.tensor(expected, dtype=torch.float64))


def test_by_hand():
    """Two pixels, score (x1 + 3 x2, 0): removing the second first loses more."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).double()
    model[1].weight.data = torch.tensor([[1.0, 3.0], [0.0, 0.0]]).double()
    x = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    attribution = torch.tensor([[[[1.0, 3.0]]]], dtype=torch.float64)
    p = torch.sigmoid
    for order, middle in (("morf", 1.0), ("lerf", 3.0)):
        curve = dga.pixel_perturbation(model, x, attribution, 0, order, shares=(0, 0.5, 1))
        expected = p(torch.tensor([[4.0, middle, 0.0]], dtype=torch.float64))
        torch.testing.assert_close(curve, expected)


def test_ends_do_not_depend_on_the_attribution():
    model, x = build("cnn"), picture()
    curves = [
        dga.pixel_perturbation(model, x, torch.randn_like(x), 0, order)
        for order in ("morf", "lerf")
    ]
    torch.testing.assert_close(curves[0][:, [0, -1]], curves[1][:, [0, -1]])
    torch.testing.assert_close(curves[0][:, 0], model(x).softmax(1)[:, 0])
    torch.testing.assert_close(curves[0][:, -1], model(torch.zeros_like(x)).softmax(1)[:, 0])


def test_ties_are_broken_by_seed_alike_in_any_batch():
    model, x = build("cnn"), picture(batch=4)
    flat = torch.zeros_like(x)
    whole = dga.pixel_perturbation(model, x, flat, 0, seed=1)
    parts = torch.cat([dga.pixel_perturbation(model, x[k : k + 1], flat[:1], 0, seed=1)
                       for k in range(4)])  # fmt: skip
    torch.testing.assert_close(whole, parts)
    other = dga.pixel_perturbation(model, x, flat, 0, seed=2)
    assert (whole - other).abs().max() > 1e-4


def test_target_is_the_class_of_the_untouched_picture_whatever_the_shares():
    model, x = build("cnn", 4), 5 * picture(8, batch=12)
    attribution = dga.gradient_times_input(model, x)
    kwargs = {"attribution": attribution, "order": "morf"}
    whole = dga.pixel_perturbation(model, x, shares=(0, 0.4), **kwargs)
    part = dga.pixel_perturbation(model, x, shares=(0.4,), **kwargs)
    torch.testing.assert_close(part[:, 0], whole[:, 1])
    assert (part < 0.2).any(), "no picture changed its class: nothing is tested"


def test_bad_arguments():
    model, x = build("cnn"), picture()
    for args, kwargs, kind, message in [
        ((x, None, "best"), {}, ValueError, "order must be one of 'morf', 'lerf'"),
        ((x[:2],), {}, ValueError, r"attribution has shape \(2, 3, 8, 8\)"),
        ((x / 0,), {}, ValueError, "attribution holds values"),
        ((None,), {}, TypeError, "attribution must be a floating-point tensor, got NoneType"),
        ((x,), {"shares": ()}, ValueError, "shares must hold one or more"),
        ((x,), {"shares": (0, 2)}, ValueError, "shares must be from 0 to 1, got 2"),
    ]:
        with pytest.raises(kind, match=message):
            dga.pixel_perturbation(model, x, *args, **kwargs)


def test_localisation_by_hand():
    attribution = torch.zeros(1, 1, 2, 5)
    attribution[0, 0, 0] = torch.tensor([5.0, 4.0, 3.0, -9.0, 0.0])
    mask = torch.zeros(1, 2, 5, dtype=torch.bool)
    mask[0, 0, :2] = True
    assert metrics.top_pixels(attribution, 0.3)[0].nonzero().tolist() == [[0, 0], [0, 1], [0, 2]]
    assert metrics.top_precision(attribution, mask, 0.2).tolist() == [1.0]
    torch.testing.assert_close(metrics.top_precision(attribution, mask, 0.3), torch.tensor([2 / 3]))
    torch.testing.assert_close(metrics.energy_inside(attribution, mask), torch.tensor([0.75]))


def test_random_ranking_finds_the_share_of_the_mask():
    generator = torch.Generator().manual_seed(0)
    attribution = torch.randn(200, 1, 20, 20, generator=generator)
    mask = torch.zeros(200, 20, 20, dtype=torch.bool)
    mask[:, :8] = True
    assert abs(metrics.top_precision(attribution, mask).mean().item() - 0.4) < 0.02


def test_bootstrap_covers_and_is_paired():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(200, generator=generator, dtype=torch.float64)
    mean, low, high = metrics.bootstrap_interval(torch.stack([base, base + 0.01], 1))
    assert (low < mean).all() and (mean < high).all()
    normal = (2 * 1.96 * base.std() / 200**0.5).expand(2)
    torch.testing.assert_close(high - low, normal, rtol=0.1, atol=0)
    difference = metrics.bootstrap_interval((base + 0.01) - base)
    assert difference[1] > 0.0099  # pairs cancel what the pictures share


def test_pointing_by_hand():
    attribution = torch.zeros(2, 3, 4, 4)
    attribution[0, :, 1, 2] = 1
    attribution[1, 0, 3, 3], attribution[1, :, 0, 0] = 2, 1  # the channel sum decides
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, 1, 2], mask[:, 3, 3] = True, True
    assert metrics.pointing(attribution, mask).tolist() == [True, False]


def slow_rank_correlation(a, b):
    """Ranks by counting, half for every tie."""

    def ranks(values):
        return [sum((v < w) + (v == w) / 2 for v in values) for w in values]

    pair = [ranks(m.sum(0).flatten().tolist()) for m in (a, b)]
    return torch.corrcoef(torch.tensor(pair, dtype=torch.float64))[0, 1].item()


def test_rank_correlation_against_counting():
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(0, 6, (3, 2, 5, 5), generator=generator).double()  # many ties
    b = torch.randn(3, 2, 5, 5, generator=generator).double() + 0.3 * a
    ours = metrics.rank_correlation(a, b)
    for k in range(3):
        assert ours[k].item() == pytest.approx(slow_rank_correlation(a[k], b[k]), abs=1e-12)
    torch.testing.assert_close(metrics.rank_correlation(a, 2 * a + 1), torch.ones(3).double())
    assert metrics.rank_correlation(a, torch.zeros_like(a)).isnan().all()


def test_remove_top_puts_the_mean_colour_in():
    x = torch.arange(32.0).view(1, 2, 4, 4)
    attribution = torch.zeros_like(x)
    attribution[0, 0, 0, :2] = 1
    removed = metrics.remove_top(x, attribution, 2 / 16)
    assert removed[0, :, 0, :2].tolist() == [[7.5, 7.5], [23.5, 23.5]]
    assert torch.equal(removed[0, :, 1:], x[0, :, 1:]) and torch.equal(
        removed[0, :, 0, 2:], x[0, :, 0, 2:]
    )
    assert torch.equal(metrics.remove_top(x, attribution, 0), x)


def test_cascading_randomization_works_from_the_top_on_a_copy():
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)
    ).eval()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    seen = [
        (name, [torch.equal(now[k], before[k]) for k in ("0.weight", "2.weight")])
        for name, changed in metrics.cascading_randomization(model)
        for now in [changed.state_dict()]
    ]
    assert seen == [("2", [True, False]), ("0", [False, False])]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="no layer"):
        next(metrics.cascading_randomization(torch.nn.ReLU()))
