"""Algorithm 1: by hand, against a naive loop, and its trajectory."""

from __future__ import annotations

import pytest
import torch
from networks import build, picture
from test_full_gradient import two_feature_network
from test_masks import extreme_by_counting, weak_by_counting

import dga


def naive_step(network, x0, xn, target, n, steps, quantile):
    """UFG by the explicit bias terms, masks by counting, one picture, no engine."""
    leaf = xn.clone().requires_grad_()
    score = network(leaf)[0, target]
    (g,) = torch.autograd.grad(score, leaf)
    biases = sum(t.sum() for t in dga.bias_attributions(network, xn, target).values())
    phi = xn * g + biases / xn.numel()
    values = phi.flatten().tolist()
    weak = torch.tensor(weak_by_counting(values, n / steps)).view_as(xn)
    extreme = torch.tensor(extreme_by_counting(values, quantile)).view_as(xn)
    blend = n / steps * weak.double() + (1 - n / steps) * extreme.double()
    return phi, weak, extreme, blend, blend * x0


def naive_dga(network, x, target, steps, quantile, beta):
    xn, out = x, torch.zeros_like(x)
    for n in range(steps + 1):
        phi, *_, following = naive_step(network, x, xn, target, n, steps, quantile)
        out = out + phi.clamp(min=0) + beta * phi.clamp(max=0)
        xn = following
    return out


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "relu6", "constants"])
@pytest.mark.parametrize(
    ("steps", "quantile", "beta"), [(5, 0.9, 0.0), (8, 0.6, 0.5), (1, 0.5, -1)]
)
def test_whole_sequence_against_the_naive_loop(name, steps, quantile, beta):
    network, x = build(name, 3), picture(5)
    ours = dga.distilled_gradient_aggregation(
        network, x, 1, steps=steps, epc_quantile=quantile, negative_scale=beta
    )
    for k in range(len(x)):
        expected = naive_dga(network, x[k : k + 1], 1, steps, quantile, beta)
        torch.testing.assert_close(ours[k : k + 1], expected, rtol=1e-9, atol=1e-12)


def test_every_step_from_its_own_distilled_input():
    network, x, steps = build("cnn", 1), picture(6), 7
    targets = network(x).argmax(1)
    sequence = list(dga.distill(network, x, steps=steps, epc_quantile=0.8))
    assert [s.n for s in sequence] == list(range(steps + 1))
    assert torch.equal(sequence[0].distilled, x)
    for step, following in zip(sequence, [*sequence[1:], None], strict=True):
        for k in range(len(x)):
            phi, weak, extreme, blend, masked = naive_step(
                network, x[k : k + 1], step.distilled[k : k + 1], targets[k], step.n, steps, 0.8
            )
            torch.testing.assert_close(step.attribution[k : k + 1], phi)
            assert torch.equal(step.weak[k : k + 1], weak)
            assert torch.equal(step.extreme[k : k + 1], extreme)
            torch.testing.assert_close(step.mask[k : k + 1], blend)
            if following is not None:  # always masks the original
                torch.testing.assert_close(following.distilled[k : k + 1], masked)
        torch.testing.assert_close(step.attribution.flatten(1).sum(1), step.score)
    assert not sequence[-1].mask.any()


def test_aggregate_is_the_sum_of_the_sequence():
    network, x = build("residual", 2), picture(7)
    total = sum(s.attribution.clamp(min=0) for s in dga.distill(network, x, steps=6))
    assert torch.equal(total, dga.distilled_gradient_aggregation(network, x, steps=6))


def test_by_hand():
    """N = 2, q = 0.5 on f = 2 relu(x1 + 2 x2 + 1) - relu(x1 - x2 - 4) + 0.5 at x = (3, 1).

    n = 0: phi = (7.25, 5.25). Signed counts 2/2, 1/2: EPC = (0, 1). M = EPC, x~(1) = (0, 1).
    n = 1: x~ = (0, 1): first unit 3, second -5. g = (2, 4), f = 6.5, <g, x> = 4:
           phi = (0, 4) + 1.25 = (1.25, 5.25). |phi| counts 1/2, 2/2; share 1/2: WC = (0, 1);
           EPC = (1, 0). M = (WC + EPC) / 2 = (0.5, 0.5), of the original: x~(2) = (1.5, 0.5).
    n = 2: first unit 3.5, second -3. f = 7.5, <g, x> = 5: phi = (3, 2) + 1.25 = (4.25, 3.25).
    Sum: (7.25 + 1.25 + 4.25, 5.25 + 5.25 + 3.25) = (12.75, 13.75).
    """
    network = two_feature_network()
    x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    steps = list(dga.distill(network, x, 0, steps=2, epc_quantile=0.5))
    assert [s.distilled.tolist() for s in steps] == [[[3, 1]], [[0, 1]], [[1.5, 0.5]]]
    assert [s.attribution.tolist() for s in steps] == [
        [[7.25, 5.25]], [[1.25, 5.25]], [[4.25, 3.25]],
    ]  # fmt: skip
    assert steps[1].weak.tolist() == [[False, True]]
    assert steps[1].extreme.tolist() == [[True, False]]
    result = dga.distilled_gradient_aggregation(network, x, 0, steps=2, epc_quantile=0.5)
    assert result.tolist() == [[12.75, 13.75]]


def test_negative_scale_by_hand():
    """A linear model has no bias: every phi is w * x~, and negative ones count beta times."""
    network = torch.nn.Linear(2, 1, bias=False).double()
    network.weight.data = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    run = dga.distilled_gradient_aggregation
    # n = 0: phi = (1, -2), EPC at q = 1 keeps all: x~(1) = x; n = 1 the same.
    kwargs = {"steps": 1, "epc_quantile": 1.0}
    assert run(network, x, 0, **kwargs).tolist() == [[2.0, 0.0]]
    assert run(network, x, 0, negative_scale=0.25, **kwargs).tolist() == [[2.0, -1.0]]


def test_changing_what_is_handed_out_changes_nothing():
    network, x = build("cnn"), picture()
    expected = [step.score for step in dga.distill(network, x, steps=4)]
    for step, score in zip(dga.distill(network, x, steps=4), expected, strict=True):
        assert torch.equal(step.score, score)
        step.attribution.abs_().add_(1)
        step.distilled.mul_(0.5)
        step.mask.zero_()


def test_weak_only_starts_from_zero():
    network, x = build("cnn"), picture()
    steps = list(dga.distill(network, x, steps=4, masks="weak"))
    assert not steps[1].distilled.any()
    torch.testing.assert_close(steps[3].distilled, steps[2].weak * x * 0.5)


def test_extreme_only():
    network, x = build("cnn"), picture()
    steps = list(dga.distill(network, x, steps=4, masks="extreme"))
    torch.testing.assert_close(steps[3].distilled, steps[2].extreme * x * 0.5)


def test_pixel_unit():
    network, x = build("cnn"), picture()
    for step in dga.distill(network, x, steps=4, unit="pixel"):
        assert (step.mask == step.mask[:, :1]).all()


def test_target_is_resolved_on_the_original_picture():
    network, x = build("cnn", 4), picture(8, batch=6)
    targets = network(x).argmax(1)
    scores = [step.score for step in dga.distill(network, x, steps=6)]
    for step, score in zip(dga.distill(network, x, steps=6), scores, strict=True):
        expected = network(step.distilled).gather(1, targets[:, None])[:, 0]
        torch.testing.assert_close(score, expected)
    changed = [(network(s.distilled).argmax(1) != targets).any()
               for s in dga.distill(network, x, steps=6)]  # fmt: skip
    assert any(changed), "a network that never changes its mind tests nothing here"


def test_same_call_same_bits():
    network, x = build("residual").float(), picture().float()
    first = dga.distilled_gradient_aggregation(network, x)
    assert torch.equal(first, dga.distilled_gradient_aggregation(network, x))


def test_batch_equals_single_in_float64():
    network, x = build("residual"), picture(9, batch=4)
    batch = dga.distilled_gradient_aggregation(network, x, steps=10)
    for k in range(4):
        one = dga.distilled_gradient_aggregation(network, x[k : k + 1], steps=10)
        torch.testing.assert_close(batch[k : k + 1], one, rtol=1e-9, atol=1e-12)


def test_arguments_are_checked_before_the_first_step():
    network, x = build("cnn"), picture()
    for kwargs, message in [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"epc_quantile": 1.2}, "epc_quantile must be from 0 to 1"),
        ({"masks": "none"}, "masks must be one of"),
        ({"unit": "channel"}, "unit must be one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            dga.distill(network, x, **kwargs)  # not even iterated
    with pytest.raises(TypeError, match="steps must be an integer"):
        dga.distill(network, x, steps=2.5)
    with pytest.raises(ValueError, match="negative_scale must be finite, got nan"):
        dga.distilled_gradient_aggregation(network, x, negative_scale=float("nan"))
    with pytest.raises(ValueError, match="has no pixels"):
        next(dga.distill(build("mlp")[1:], x.flatten(1), unit="pixel"))
    with pytest.raises(TypeError, match="negative_scale must be a number"):
        dga.distilled_gradient_aggregation(network, x, negative_scale="0")
