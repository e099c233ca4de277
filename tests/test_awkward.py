"""What people bring: every case against finite differences, and the model left as it was found."""

from __future__ import annotations

import random
import threading
import time
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from awkward import CASES, Lambda, Normed, fill, pictures, small
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import dga
from dga import engine

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
METHODS = {
    "gradient": dga.gradient,
    "gradient_times_input": dga.gradient_times_input,
    "smoothgrad": lambda *a, **k: dga.smoothgrad(*a, samples=2, **k),
    "integrated_gradients": lambda *a, **k: dga.integrated_gradients(*a, steps=3, **k),
    "guided_ig": lambda *a, **k: dga.guided_integrated_gradients(*a, steps=3, **k),
    "uniform_fullgrad": dga.uniform_fullgrad,
    "dga": lambda *a, **k: dga.distilled_gradient_aggregation(*a, steps=3, **k),
}


def slope(score, x: Tensor, direction: Tensor, h: float = 1e-6) -> Tensor:
    """The directional derivative of every score by central differences."""
    with torch.no_grad():
        return (score(x + h * direction) - score(x - h * direction)) / (2 * h)


def numeric(score, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    directions = [
        torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x) for _ in range(3)
    ]
    return [(v, slope(score, x, v)) for v in directions]


def state(model) -> dict:
    """Everything that must be the same afterwards."""
    if not isinstance(model, nn.Module):
        return {}
    found = {}
    for name, module in model.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            plain = {k: v for k, v in vars(module).items() if not k.startswith("_")}
            found[name] = (module.training, len(module._forward_hooks), id(module.forward.__func__)
                           if hasattr(module.forward, "__func__") else id(module.forward),
                           {k: v.clone() if isinstance(v, Tensor) else repr(v)
                            for k, v in plain.items()})  # fmt: skip
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        version = None if tensor.is_inference() else tensor._version
        found["tensor " + name] = (id(tensor), tensor.clone(), tensor.requires_grad, tensor.grad,
                                   version)  # fmt: skip
    return found


def same(a, b) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, tuple):
        return all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_derivative_and_the_model_is_left_alone(name):
    model, x, targets, extra, score = CASES[name]()
    truth = numeric(score, x)
    value = score(x.clone()).detach()
    before = state(model)
    heat = dga.gradient(model, x, targets, extra_args=extra)
    assert same(before, state(model))
    for direction, expected in truth:
        got = (heat * direction).flatten(1).sum(1)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    total = dga.uniform_fullgrad(model, x, targets, extra_args=extra).flatten(1).sum(1)
    torch.testing.assert_close(total, value)
    for method in METHODS.values():
        result = method(model, x, targets, extra_args=extra)
        assert result.shape == x.shape and result.dtype == x.dtype and not result.requires_grad
        assert type(result) is Tensor and torch.isfinite(result).all()
    with torch.inference_mode():
        torch.testing.assert_close(dga.gradient(model, x, targets, extra_args=extra), heat)
    assert same(before, state(model))


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_the_derivative(name):
    """On the path of IG and on the distilled inputs of DGA, where faster passes may be used."""
    model, x, targets, extra, score = CASES[name]()
    score(x.clone())
    before = state(model)
    steps = list(dga.distill(model, x, targets, steps=4, extra_args=extra))
    path = dga.integrated_gradients(model, x, targets, steps=6, extra_args=extra)
    assert same(before, state(model))
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    d = x[0].numel()
    for step in steps:
        at = step.distilled
        value = score(at.clone()).detach()
        torch.testing.assert_close(step.score, value)
        # phi = at * g + (f - <g, at>) / d, weighted: each feature moves by its own share.
        residual = value - slope(score, at, at)
        expected = slope(score, at, at * weights) + residual * weights.flatten(1).sum(1) / d
        got = (step.attribution * weights).flatten(1).sum(1)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    middles = [(k + 0.5) / 6 for k in range(6)]
    expected = sum(slope(score, a * x, x * weights) for a in middles) / 6
    torch.testing.assert_close((path * weights).flatten(1).sum(1), expected, rtol=1e-5, atol=1e-6)


# FullGrad cannot name a bias inside these, and says so; everywhere else its terms add up.
WITHOUT_TERMS = {
    "batch_norm_after_tokens", "scripted", "traced", "frozen_script", "recurrent", "attention",
    "transformer_encoder",
    "instance_norm_one_picture", "instance_norm_affine_inside", "group_and_layer_norm",
    "gradient_inside_the_forward", "derivative_in_forward_mode", "vectorised", "fourier_filter",
    "function_with_its_own_backward", "probability_by_a_callable",
    "probabilities", "calls_its_own_methods_by_attribute", "functional_batch_norm_one_picture",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bias_terms_add_up_or_the_reason_is_given(name):
    model, x, targets, extra, score = CASES[name]()
    value = score(x.clone()).detach()
    before = state(model)
    try:
        terms = dga.bias_attributions(model, x, targets, extra_args=extra)
    except ValueError as error:
        assert name in WITHOUT_TERMS, error
        assert "residual" in str(error)
    else:
        total = dga.gradient_times_input(model, x, targets, extra_args=extra).flatten(1).sum(1)
        for term in terms.values():
            assert not term.requires_grad
            total = total + term.reshape(len(x), -1).sum(1)
        torch.testing.assert_close(total, value)
    assert same(before, state(model))


@pytest.mark.parametrize(
    "name", ["compiled", "compiled_in_place", "patched_forward_method", "pruned"]
)
def test_bias_terms_bear_the_users_names(name):
    model, x, targets, _, _ = CASES[name]()
    model = getattr(model, "_orig_mod", model)
    terms = dga.bias_attributions(model, x, targets)
    known = {key for key, _ in model.named_modules()}
    assert all(key.split("#")[0].rpartition(".")[0] in known | {""} for key in terms)
    assert any(key in known for key in terms)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small()

    def forward(self, x):
        return self.net(x + 1e-3 * torch.randn_like(x))


class OwnNoise(Noisy):
    """Noise that leaves no trace in torch's, numpy's and Python's own generators."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, x):
        g = self.generator
        if isinstance(g, torch.Generator):
            return self.net(x + torch.randn(x.shape, generator=g, dtype=x.dtype))
        return self.net(x + (g.normal() if hasattr(g, "normal") else g.random()))


def _noise_of(generator):
    return lambda x: (x + torch.rand(x.shape, generator=generator, dtype=x.dtype)).mean((2, 3))


def _drops(x):
    y = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(y, y, y, dropout_p=0.3).mean(1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Noisy().eval(), "draws random numbers"),
        (OwnNoise(torch.Generator()).eval(), "draws random numbers"),
        (OwnNoise(np.random.default_rng(0)).eval(), "draws random numbers"),
        (OwnNoise(np.random.RandomState(0)).eval(), "draws random numbers"),
        (OwnNoise(random.Random(0)).eval(), "draws random numbers"),
        (_noise_of(torch.Generator()), "draws random numbers"),
        (_drops, "random"),
        (lambda x: F.dropout(x.mean((2, 3)), 0.2, training=True), r"dropout\(training=True\)"),
        (lambda x: x.mean((2, 3)) * torch.rand(()), "random"),
        (lambda x: x.mean((2, 3)).long(), "model returned torch.int64"),
        (lambda x: (x.mean((2, 3)), 1), "targets=lambda output"),
        (lambda x: {"out": x}, "targets=lambda output"),
        (lambda x: x, "targets=lambda output"),
        (lambda x: x.mean((2, 3)) * float("nan"), "scores that are NaN"),
        (lambda x: torch.sqrt(x.mean((2, 3)) * 0 + 0.0), "not finite"),  # slope infinite, NaN in x
        (lambda x: x.detach().mean((2, 3)), "does not depend on its input"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_explained_says_why(model, message, method):
    with pytest.raises((ValueError, TypeError), match=message):
        METHODS[method](model, pictures(), 0)


@pytest.mark.parametrize("generator", [torch.Generator(), np.random.default_rng(0)])
def test_a_generator_of_the_model_is_left_alone(generator):
    def now():
        kept = isinstance(generator, torch.Generator)
        return generator.get_state().tolist() if kept else generator.bit_generator.state

    before = now()
    with pytest.raises(ValueError, match="draws random numbers"):
        dga.gradient(OwnNoise(generator).double().eval(), pictures(), 0)
    assert now() == before


def test_the_error_of_a_broken_model_is_its_own():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        dga.gradient(nn.Sequential(nn.Flatten(), nn.Linear(7, 5)).double(), pictures())
    with pytest.raises(KeyError, match="mine"):
        dga.gradient(Lambda(lambda m, x: {}["mine"], conv=nn.Conv2d(3, 3, 1)).double(), pictures())


@pytest.mark.parametrize(
    ("targets", "kind", "message"),
    [
        (1, ValueError, r"one score: .*targets=lambda output: -output\[:, 0\]"),
        (lambda o: o, ValueError, r"targets returned \(2, 1\); one score per picture"),
        (lambda o: 3, ValueError, "targets returned int"),
        (lambda o: o[:, 0] > 0, TypeError, "targets returned torch.bool"),
    ],
)
def test_targets_that_do_not_fit(targets, kind, message):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).double()
    with pytest.raises(kind, match=message):
        dga.gradient(model, pictures(), targets)


def test_perturbation_of_one_score_probabilities_and_a_callable():
    x = pictures()
    heat = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).double()
    curve = dga.pixel_perturbation(one, x, heat, shares=(0,))
    torch.testing.assert_close(curve, one(x).sigmoid().detach())
    net = small().eval()
    through = nn.Sequential(net, nn.Softmax(1))
    with pytest.warns(UserWarning, match="returns probabilities") as caught:
        curve = dga.pixel_perturbation(through, x, heat, 1)
    assert len(caught) == 1
    torch.testing.assert_close(curve, dga.pixel_perturbation(net, x, heat, 1))
    margin = dga.pixel_perturbation(net, x, heat, lambda o: o[:, 1] - o[:, 2], shares=(0,))
    torch.testing.assert_close(margin[:, 0], (net(x)[:, 1] - net(x)[:, 2]).detach())


@pytest.mark.parametrize("last", [lambda y: y, lambda y: y.flatten()[:, None], lambda y: y.float()])
def test_a_sigmoid_is_not_applied_twice(last):
    """One score that is a probability already."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).double()
    model, x = Lambda(lambda m, x: last(m.net(x).sigmoid()), net=net), pictures()
    with pytest.warns(UserWarning, match="returns probabilities"):
        curve = dga.pixel_perturbation(model, x, x, shares=(0, 0.5))
    expected = dga.pixel_perturbation(net, x, x, shares=(0, 0.5))
    torch.testing.assert_close(curve, expected, check_dtype=False)


def test_extra_arguments_changed_in_place_are_whole_in_every_pass():
    def forward(m, x, scale, notes):
        scale += 1
        notes.append(1)
        return m.net(x) * scale * len(notes)

    model, x = Lambda(forward, net=small()).eval(), pictures()
    scale, notes = torch.ones((), dtype=torch.float64), []
    heat = dga.integrated_gradients(model, x, 1, steps=5, extra_args=(scale, notes))
    assert scale == 1 and notes == []
    plain = Lambda(lambda m, x: m.net(x) * 2, net=model.net).eval()
    torch.testing.assert_close(heat, dga.integrated_gradients(plain, x, 1, steps=5))


def test_a_method_of_a_module_in_training_mode_is_refused_before_it_runs():
    model = small(nn.BatchNorm2d(4)).train()
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        dga.gradient(model.forward, pictures())
    assert model[1].num_batches_tracked == 0


def test_targets_of_many_that_are_no_numbers():
    with pytest.raises(TypeError, match=r"targets must be None, an int.* got str"):
        dga.attribute_many(dga.gradient, small(), pictures(), "cat")


def test_extra_arguments_follow_the_batch_when_it_is_split():
    model, _, _, _, _ = CASES["extra_arguments"]()
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(7, 4, 6, generator=generator, dtype=torch.float64)
    mask = torch.randint(2, (7, 4), generator=generator)
    whole = dga.gradient(model, x, 1, extra_args=(mask, 2.0))
    parts = dga.attribute_many(dga.gradient, model, x, 1, batch=3, extra_args=(mask, 2.0))
    torch.testing.assert_close(torch.stack(list(parts)), whole)


def test_a_last_batch_of_one_is_right():
    model, x, *_ = CASES["instance_norm_affine_inside"]()
    x = torch.cat([x, x.flip(2), x.flip(3)])
    parts = torch.stack(list(dga.attribute_many(dga.gradient, model, x, 1, batch=2)))
    torch.testing.assert_close(parts, dga.gradient(model, x, 1))


class NormIfWanted(Normed):
    options: dict

    def forward(self, x):
        y = self.conv(x)
        return self.head(self.bn(y) if self.options["norm"] else y)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("norm_after_convolution", True),
        ("norm_of_weight_zero", True),
        ("weights_read_by_parameters", False),
        ("bias_asked_for", False),
        ("bias_asked_for_in_an_output_of_ones_own", False),
        ("convolution_seen_with_and_without_its_norm", False),
        ("one_norm_after_two_convolutions", False),
    ],
)
def test_what_is_fused(name, expected):
    """So that the tests of fused passes are tests of fused passes."""
    model, x, targets, *_ = CASES[name]()
    run = engine.Engine(model, x, targets)
    for _ in range(3):
        run.score_and_gradient(run.inputs)
    assert isinstance(run._fast, nn.Module) == expected


def test_what_a_forward_asks_for_may_change_between_two_calls():
    """A network that was fused once is not taken for fusable ever after."""
    model, x = NormIfWanted(), pictures()
    fill(model.eval())
    for wanted in (True, False, True):
        model.options = {"norm": wanted}
        for step in dga.distill(model, x, 1, steps=4):
            value, expected = plain_uniform_fullgrad(lambda x: model(x)[:, 1], step.distilled)
            torch.testing.assert_close(step.score, value)
            torch.testing.assert_close(step.attribution, expected)


def test_changed_weights_are_used():
    model, x, *_ = CASES["norm_after_convolution"]()
    list(dga.distill(model, x, 1, steps=4))
    with torch.no_grad():
        model.conv.weight *= 2
        model.bn.running_var *= 3
    for step in dga.distill(model, x, 1, steps=4):
        torch.testing.assert_close(step.score, model(step.distilled)[:, 1])


def test_nobody_looks_at_a_model_while_a_pass_runs_it():
    """What is lent to the pass is not what the model has; and its attributes come and go."""
    inside, order = threading.Event(), []

    class Slow(torch.nn.Linear):
        def forward(self, x):
            inside.set()
            time.sleep(0.3)
            order.append("pass over")
            return super().forward(x)

    model, x = Slow(3, 2).eval(), torch.rand(1, 3)
    model.register_forward_hook(lambda *_: None)  # so it runs itself
    thread = threading.Thread(target=dga.gradient, args=(model, x, 0))
    thread.start()
    inside.wait()
    engine.Engine(model, x, 0)
    order.append("looked at")
    thread.join()
    assert order[0] == "pass over"


@pytest.mark.parametrize("name", ["hooked_and_keeps_notes", "recurrent", "norm_after_convolution"])
def test_threads_share_a_model(name):
    """A model that runs itself is lent to one pass at a time."""
    model, x, targets, extra, _ = CASES[name]()
    expected = dga.gradient(model, x, targets, extra_args=extra)
    before, results = state(model), []

    def explain():
        for _ in range(8):
            results.append(dga.gradient(model, x, targets, extra_args=extra))

    threads = [threading.Thread(target=explain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 32 and all(torch.allclose(r, expected) for r in results)
    assert same(before, state(model))


def test_random_numbers_of_another_thread_are_not_the_models():
    drawing = threading.Event()

    class Meanwhile(nn.Module):
        """While it runs, another thread draws from torch's generator."""

        def forward(self, x):
            thread = threading.Thread(target=lambda: (torch.rand(3), drawing.set()))
            thread.start()
            thread.join()
            return x.mean((2, 3))

    x = pictures()
    heat = dga.gradient(Meanwhile(), x, 1)
    torch.testing.assert_close(heat[:, 1], torch.full((2, 8, 8), 1 / 64, dtype=x.dtype))
    assert drawing.is_set()


@pytest.mark.parametrize("threshold", [0.0, -3.0])
def test_the_bias_of_a_callable_target_is_a_term(threshold):
    model, x = small().eval(), pictures()
    terms = dga.bias_attributions(model, x, lambda o: o[:, 1] + threshold)
    plain = dga.bias_attributions(model, x, 1)
    extra = {name: term for name, term in terms.items() if name not in plain}
    total = sum((t.reshape(2, -1).sum(1) for t in extra.values()), torch.zeros(2))
    torch.testing.assert_close(total.double(), torch.full((2,), threshold).double())


# ------------------------------------------------------------------------- precision and devices


# Others multiply activations or normalise layers, so that FullGrad says what it cannot name.
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2", "resnet18", "densenet121"])
def test_fullgrad_in_bfloat16(name):
    """Its check that the terms add up follows the passes; and stays a check."""
    from torchvision import models

    torch.manual_seed(0)
    model = random_weights(models.get_model(name, weights=None, num_classes=4)).float()
    x = pictures(1, 64).float()
    predicted = model(x).argmax(1)
    exact = dga.fullgrad(model, x, predicted)
    with dga.precision("bfloat16"):
        short = dga.fullgrad(model, x, predicted)
    agreement = torch.corrcoef(torch.stack([exact.flatten(), short.flatten()]))[0, 1]
    assert agreement > 0.9 and not torch.equal(short, exact)


def test_precision_does_not_leak_out_of_interleaved_generators():
    model, x = small().float().eval(), pictures(4).float()
    with dga.precision("bfloat16"):
        first = dga.attribute_many(dga.gradient, model, x, batch=1, progress=False)
        next(first)
        second = dga.attribute_many(dga.gradient, model, x, batch=1, progress=False)
        next(second)
    assert engine.current_precision() is None
    next(first)
    assert engine.current_precision() is None
    next(second), first.close(), second.close()
    assert engine.current_precision() is None


def test_a_generator_may_be_finished_in_another_thread():
    model, x = small().float().eval(), pictures(4).float()
    results, errors = [], []
    with dga.precision("bfloat16"):
        heats = dga.attribute_many(dga.gradient, model, x, batch=2, progress=False)
        results.append(next(heats))

    def finish():
        try:
            results.extend(heats)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=finish)
    thread.start(), thread.join()
    assert len(results) == 4 and not errors


def test_float32_inside_the_users_autocast():
    model, x = small().float().eval(), pictures().float()
    exact = dga.gradient(model, x, 1)
    with torch.autocast("cpu", torch.bfloat16):
        short = dga.gradient(model, x, 1)
        with dga.precision("float32"):
            full = dga.gradient(model, x, 1)
    assert torch.equal(full, exact) and not torch.equal(short, exact)


def test_mantissa_is_put_back_and_torch_still_answers():
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    if not hasattr(places[0], "fp32_precision"):
        pytest.skip("this torch has the older settings alone")
    before = [place.fp32_precision for place in places]
    try:
        torch.backends.cuda.matmul.fp32_precision = "ieee"  # as a user might
        with engine.mantissa(True):
            assert [place.fp32_precision for place in places] == ["tf32"] * 3
        assert [place.fp32_precision for place in places] == ["ieee", *before[1:]]
        torch.get_float32_matmul_precision()
    finally:
        torch.backends.cuda.matmul.fp32_precision = before[0]


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_default_device_changes_nothing(device):
    model, x = small().float().eval(), pictures().float()
    expected = [method(model, x, 1) for method in METHODS.values()]
    torch.set_default_device(device)
    try:
        got = [method(model, x, 1) for method in METHODS.values()]
        terms = dga.bias_attributions(model, x, 1)
        many = list(dga.attribute_many(dga.gradient, model, x, [1, 1], batch=1, progress=False))
        curves = dga.pixel_perturbation(model, x, x, 1, "both")
        dga.metrics.remove_top(x, x, 0.1)
        dga.metrics.rank_correlation(x, x)
        mean, low, high = dga.metrics.bootstrap_interval(x[:, 0, 0, 0], resamples=10)
    finally:
        torch.set_default_device(None)
    assert all(map(torch.equal, got, expected))
    assert torch.equal(curves, dga.pixel_perturbation(model, x, x, 1, "both"))
    assert len(many) == 2 and low <= mean <= high
    assert all(term.device.type == "cpu" for term in terms.values())


class RefusesFloat64(TorchDispatchMode):
    """A device without float64."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor) and value.dtype == torch.float64:
                raise TypeError(f"{func} made a float64 tensor")
        return result


@pytest.mark.filterwarnings("ignore:.*DispatchMode")
def test_nothing_needs_float64_on_a_device_without_it(monkeypatch):
    model, x = small(nn.GELU()).float().eval(), pictures().float()
    for module in ("engine", "paths", "bias_terms", "metrics"):
        monkeypatch.setattr(f"dga.{module}.wide_dtype", lambda device: torch.float32)
    with RefusesFloat64():
        dga.metrics.rank_correlation(x, x.flip(3))
        dga.pixel_perturbation(model, x, x, 1, "both")
        for method in METHODS.values():
            method(model, x, 1)
        dga.fullgrad(model, x, 1)
        dga.weak_contributor_mask(x, 0.5), dga.extreme_positive_contributor_mask(x, 0.9)


class Marked(Tensor):
    """A subclass, as torchvision's tv_tensors are."""


@pytest.mark.parametrize(
    "made",
    [nn.Parameter, lambda x: x.as_subclass(Marked), lambda x: x.clone().requires_grad_() * 1],
    ids=["parameter", "subclass", "computed"],
)
@pytest.mark.parametrize("method", METHODS)
def test_results_are_plain_tensors_whatever_the_inputs_are(made, method):
    model, x = small().eval(), pictures()
    result = METHODS[method](model, made(x), 1)
    assert type(result) is Tensor and not result.requires_grad and result.is_contiguous()
    assert torch.equal(result, METHODS[method](model, x, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_networks_in_half_precision(method, dtype):
    model, x = CASES["norm_after_convolution"]()[:2]
    exact = METHODS[method](model, x, 1)
    result = METHODS[method](model.to(dtype), x.to(dtype), 1)
    assert result.dtype == dtype
    # DGA is made of ranks, which rounding changes; SmoothGrad draws other noise in another type.
    if method not in ("dga", "smoothgrad"):
        assert (result.double() - exact).norm() < 0.1 * exact.norm()


def test_default_dtype_of_the_user():
    model, x = small().float().eval(), pictures().float()
    expected = [method(model, x, 1) for method in METHODS.values()]
    torch.set_default_dtype(torch.float64)
    try:
        got = [method(model, x, 1) for method in METHODS.values()]
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


# -------------------------------------------------------------------------- libraries of networks


def check_network(model, x, targets=None, score=None, extra=()):
    """In float64: the derivative by differences, then the last steps of DGA, which may be
    fused passes, against plain autograd.
    """
    if score is None:  # of the predicted class, for the ReLU of SqueezeNet's scores closes others
        with torch.no_grad():
            predicted = model(x).argmax(1)
        score = lambda x: model(x)[:, predicted[0]]  # noqa: E731
    heat = dga.gradient(model, x, targets, extra_args=extra)
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    got = (heat * v).flatten(1).sum(1)
    # The step is small, for networks have many kinks; so is the difference, hence float64.
    torch.testing.assert_close(got, slope(score, x, v, 1e-7), rtol=1e-3, atol=1e-6)
    for step in list(dga.distill(model, x, targets, steps=3, extra_args=extra))[2:]:
        value, expected = plain_uniform_fullgrad(score, step.distilled)
        torch.testing.assert_close(step.score, value)
        torch.testing.assert_close(
            step.attribution, expected, rtol=1e-6, atol=1e-7 * expected.abs().max().item()
        )


def plain_uniform_fullgrad(score, x):
    """Score and x*g + (f - <g, x>) / d without the package.

    One picture is doubled: with one, plain autograd itself is wrong where torch's batch norm meets
    two layouts.
    """
    twice = torch.cat([x, x] if len(x) == 1 else [x]).contiguous().requires_grad_()
    with torch.enable_grad():
        value = score(twice)
        (g,) = torch.autograd.grad(value.sum(), twice)
    value, g = value.detach()[: len(x)], g[: len(x)]
    residual = value - (g * x).flatten(1).sum(1)
    return value, x * g + (residual / x[0].numel()).view(-1, *[1] * (x.dim() - 1))


def random_weights(model):
    """Fresh networks of many layers give scores near 0; running statistics are made uneven."""
    for name, buffer in model.named_buffers():
        if "running_var" in name:
            buffer.uniform_(0.5, 1.5)
        elif "running_mean" in name:
            buffer.normal_(0, 0.1)
    return model.double().eval()


# One or two of each family of torchvision's classifiers, with an input that is as small as it goes;
# with --slow all of them (VGG's and the larger ones take seconds each), but for two whose weights
# alone take 5 GB in float64.
TORCHVISION = {
    "alexnet": 64, "convnext_tiny": 32, "densenet121": 32, "efficientnet_b0": 32,
    "googlenet": 32, "inception_v3": 75, "mnasnet0_5": 32,
    "mobilenet_v2": 32, "mobilenet_v3_small": 32, "regnet_x_400mf": 32, "regnet_y_400mf": 32,
    "resnet18": 32, "resnext50_32x4d": 32, "shufflenet_v2_x0_5": 32, "squeezenet1_1": 64,
    "swin_t": 32,
}  # fmt: skip
TOO_LARGE = {"vit_h_14", "regnet_y_128gf"}

# One of each family, and networks that standardise their weights or mix tokens and pictures.
TIMM = {
    "resnetv2_50x1_bit": 32, "nf_resnet26": 32, "nf_regnet_b0": 32, "levit_128s": 224,
    "vit_tiny_patch16_224": 64, "convnext_atto": 32, "efficientnet_lite0": 32,
    "mobilenetv3_small_050": 32, "mobilenetv4_conv_small": 32, "resnet18d": 32, "ghostnet_050": 32,
    "repvgg_a0": 32, "regnety_002": 32, "mixer_s32_224": 64, "poolformer_s12": 64,
    "edgenext_xx_small": 64, "skresnet18": 32, "hardcorenas_a": 32, "fastvit_t8": 64,
    "efficientvit_m0": 224, "pit_ti_224": 224, "mobilevit_xxs": 64,
}  # fmt: skip
MORE_OF_TIMM = {
    "dm_nfnet_f0": 32, "eca_nfnet_l0": 64, "resmlp_12_224": 224, "deit_tiny_patch16_224": 224,
    "tf_efficientnet_lite0": 32, "visformer_tiny": 224, "tinynet_e": 64, "lcnet_050": 32,
    "mobileone_s0": 32, "mobilevitv2_050": 64, "repghostnet_050": 32, "rexnet_100": 32,
    "semnasnet_075": 32, "dla46x_c": 32, "hrnet_w18_small": 64, "res2net50_26w_4s": 64,
    "xcit_nano_12_p16_224": 224, "tiny_vit_5m_224": 224, "repvit_m0_9": 64, "starnet_s1": 64,
    "inception_next_tiny": 64, "pvt_v2_b0": 64, "gernet_s": 64, "cspresnet50": 64, "darknet17": 64,
    "selecsls42": 64, "botnet26t_256": 256, "tresnet_m": 64, "ese_vovnet19b_dw": 64,
    "convit_tiny": 224, "gcresnext26ts": 64, "mixnet_s": 64, "davit_tiny": 64,
    "focalnet_tiny_srf": 64,
}  # fmt: skip


def pytest_generate_tests(metafunc):
    slow = metafunc.config.getoption("--slow")
    if "torchvision_name" in metafunc.fixturenames:
        from torchvision import models

        names = models.list_models(module=models) if slow else TORCHVISION
        metafunc.parametrize("torchvision_name", sorted({*names} - TOO_LARGE))
    if "timm_name" in metafunc.fixturenames:
        metafunc.parametrize("timm_name", {**TIMM, **(MORE_OF_TIMM if slow else {})})


def test_torchvision(torchvision_name):
    from torchvision import models

    special = {"init_weights": False} if torchvision_name in ("googlenet", "inception_v3") else {}
    size = TORCHVISION.get(torchvision_name, 224 if torchvision_name == "maxvit_t" else 32)
    if torchvision_name.startswith("vit_"):
        special, size = {"image_size": 64}, 64
    torch.manual_seed(0)
    model = models.get_model(torchvision_name, weights=None, num_classes=4, **special)
    check_network(random_weights(model), pictures(1, size))


def test_timm(timm_name):
    timm = pytest.importorskip("timm")
    size = (TIMM | MORE_OF_TIMM)[timm_name]
    special = {"img_size": size} if timm_name.startswith(("vit_", "mixer_")) else {}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = timm.create_model(timm_name, pretrained=False, num_classes=4, **special)
    check_network(random_weights(model), pictures(1, size))


def _transformers():
    import transformers as t

    small_vit = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "intermediate_size": 32, "image_size": 16, "patch_size": 4,
                 "num_labels": 4}  # fmt: skip
    yield "ViT", t.ViTForImageClassification(t.ViTConfig(**small_vit))
    yield "DeiT", t.DeiTForImageClassification(t.DeiTConfig(**small_vit))
    yield "BEiT", t.BeitForImageClassification(t.BeitConfig(**small_vit))
    yield (
        "ConvNext",
        t.ConvNextForImageClassification(
            t.ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_labels=4)
        ),
    )
    swin = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1],
            "num_heads": [1, 2], "window_size": 4, "num_labels": 4}  # fmt: skip
    yield "Swin", t.SwinForImageClassification(t.SwinConfig(**swin))


@pytest.mark.parametrize("name", ["ViT", "DeiT", "BEiT", "ConvNext", "Swin"])
def test_transformers(name):
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = random_weights(dict(_transformers())[name])
    x = pictures(1, 32 if name in ("ConvNext", "Swin") else 16)
    check_network(model, x, 1, lambda x: model(x).logits[:, 1])
    check_network(model, x, lambda o: o.logits[:, 2] - o.logits[:, 0],
                  score=lambda x: model(x).logits[:, 2] - model(x).logits[:, 0])  # fmt: skip


def test_a_text_classifier_on_its_embeddings():
    t = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = t.BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_labels=3,
                          num_attention_heads=2, intermediate_size=32)  # fmt: skip
    model = t.BertForSequenceClassification(config).double().eval()
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])

    def scores(x, mask):
        return model(inputs_embeds=x, attention_mask=mask)

    check_network(scores, x, 1, extra=(mask,), score=lambda x: scores(x, mask).logits[:, 1])
