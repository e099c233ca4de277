"""What every method promises: clear errors before any work, and a model left as it was found."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from networks import build, picture
from torch import nn
from torch.nn.modules import module as module_hooks
from torch.nn.utils.parametrizations import spectral_norm

import dga

METHODS = {
    "gradient": dga.gradient,
    "gradient_times_input": dga.gradient_times_input,
    "smoothgrad": lambda *a: dga.smoothgrad(*a, samples=2),
    "guided_backprop": dga.guided_backprop,
    "integrated_gradients": lambda *a: dga.integrated_gradients(*a, steps=2),
    "guided_integrated_gradients": lambda *a: dga.guided_integrated_gradients(*a, steps=2),
    "fullgrad": dga.fullgrad,
    "uniform_fullgrad": dga.uniform_fullgrad,
    "uniform_fullgrad_explicit": lambda *a: dga.uniform_fullgrad(*a, bias="explicit"),
    "distilled_gradient_aggregation": lambda *a: dga.distilled_gradient_aggregation(*a, steps=2),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def fingerprint(model):
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "requires": [p.requires_grad for p in model.parameters()],
        "identity": [id(p) for p in model.parameters()],
        "layout": [p.stride() for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
        # Of the whole process: hooks on every module, modes that watch every operation.
        "process": (
            len(module_hooks._global_forward_hooks),
            len(module_hooks._global_forward_pre_hooks),
            torch._C._len_torch_function_stack(),
            torch._C._len_torch_dispatch_stack(),
            torch.is_grad_enabled(),
        ),
    }


def assert_same(before, after):
    for key in ("requires", "identity", "layout", "modes", "hooks", "process"):
        assert before[key] == after[key], key
    torch.testing.assert_close(before["state"], after["state"], rtol=0, atol=0)
    for a, b in zip(before["grads"], after["grads"], strict=True):
        assert (a is None) == (b is None) and (a is None or torch.equal(a, b))


def worn_model():
    """A model in use: some gradients, some frozen parameters, a hook, a frozen batch norm."""
    model = build("residual")
    model(picture()).sum().backward()
    model.stem.weight.requires_grad_(False)
    model.head.register_forward_hook(lambda *_: None)
    model.train()
    model.bn1.eval(), model.bn2.eval()
    return model


@every_method
def test_model_and_inputs_are_left_as_found(method):
    model, x = worn_model(), picture()
    before, x_before = fingerprint(model), x.clone()
    x.requires_grad_()
    result = method(model, x, torch.tensor([0, 1, 2]))
    assert_same(before, fingerprint(model))
    assert torch.equal(x, x_before) and x.grad is None and x.requires_grad
    assert result.shape == x.shape and result.dtype == x.dtype and not result.requires_grad


class _Fails(nn.Module):
    """Raises from a certain forward pass on, or in the backward pass."""

    def __init__(self, inner, forward=float("inf"), backward=False):
        super().__init__()
        self.inner = inner
        self.first, self.backward = forward, backward
        self.count = SimpleNamespace(passes=0)  # copies of the model share it

    def forward(self, x):
        y = F.relu(self.inner(x))
        self.count.passes += 1
        if self.count.passes >= self.first:
            raise RuntimeError("out of luck")
        if self.backward and y.requires_grad:
            y.register_hook(_raise)
        return y


def _raise(_):
    raise RuntimeError("out of luck")


@every_method
@pytest.mark.parametrize("inner", [worn_model, lambda: build("residual")], ids=["hook", "plain"])
def test_model_is_left_as_found_after_an_exception(method, inner):
    """In any forward pass and in the backward pass, whether the model or a copy of it runs."""
    x = picture(batch=1)  # with more, what fails by itself only is no fault
    whole = _Fails(inner())
    method(whole, x, 0)
    places = [{"forward": k + 1} for k in range(whole.count.passes)]
    for place in [*places, {"backward": True}]:
        model = _Fails(inner(), **place)
        before = fingerprint(model)
        with pytest.raises(RuntimeError, match="out of luck"):
            method(model, x, 0)
        assert_same(before, fingerprint(model))


def test_suspended_generator_leaves_the_model_alone():
    model = worn_model()
    before = fingerprint(model)
    steps = dga.distill(model, picture(), steps=3)
    next(steps)
    assert_same(before, fingerprint(model))
    model.head.weight.requires_grad_()
    model(picture()).sum().backward()  # training goes on meanwhile
    next(steps)


@every_method
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_without_gradient_mode(method, context):
    model, x = build("functional"), picture()
    expected = method(model, x, 1)
    with context():
        assert torch.equal(method(model, x.clone(), 1), expected)


@every_method
def test_predicted_class_in_inference_mode(method):
    model, x = build("functional"), picture()
    expected = method(model, x, None)
    with torch.inference_mode():
        assert torch.equal(method(model, x.clone(), None), expected)


@every_method
def test_layout_and_targets_do_not_matter(method):
    model, x = build("residual"), picture()
    targets = model(x).argmax(1)
    expected = method(model, x, targets)
    torch.testing.assert_close(method(model, x, None), expected)
    torch.testing.assert_close(method(model, x.to(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(method(model, x[:1], int(targets[0])), expected[:1])
    assert expected.is_contiguous()


@every_method
def test_network_that_works_in_place_on_its_input(method):
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build("functional")

        def forward(self, x):
            return self.inner(x.mul_(2.0))

    model, x = Greedy().double().eval(), picture()
    keep = x.clone()
    method(model, x, 0)
    assert torch.equal(x, keep)


@every_method
def test_half_precision_models_keep_their_dtype(method):
    model, x = build("functional").bfloat16(), picture().bfloat16()
    result = method(model, x, 0)
    assert result.dtype == torch.bfloat16 and torch.isfinite(result).all()


def test_deep_copies_and_scripted_models_work():
    model, x = build("cnn"), picture()
    expected = dga.distilled_gradient_aggregation(model, x, steps=3)
    for other in (copy.deepcopy(model), torch.jit.trace(model, x)):
        torch.testing.assert_close(dga.distilled_gradient_aggregation(other, x, steps=3), expected)


BAD_INPUTS = [
    ("a list", TypeError, "inputs must be a tensor, got str"),
    (torch.zeros(3, 8, 8).double(), ValueError, r"inputs has shape \(3, 8, 8\).*inputs\[None\]"),
    (torch.zeros(192).double(), ValueError, "a batch is needed, for example"),
    (torch.zeros(0, 3, 8, 8).double(), ValueError, "inputs is empty"),
    (torch.zeros(1, 3, 8, 8).long(), TypeError, "floating point and normalised"),
    (torch.zeros(1, 3, 8, 8), TypeError, r"inputs is torch.float32 and the model torch.float64"),
    (torch.full((1, 3, 8, 8), float("nan")).double(), ValueError, "inputs holds .* not finite"),
]
BAD_TARGETS = [
    ([0, 1], ValueError, "targets has 2 entries for a batch of 3 inputs"),
    (torch.zeros(3, 1).long(), ValueError, r"targets has shape \(3, 1\); accepted is None, an int"),
    (1.0, TypeError, "targets must be None, an int"),
    (True, TypeError, "targets must be None, an int"),
    ("cat", TypeError, "targets must be None, an int.* got str"),
    (5, ValueError, "targets holds 5, but the model has 5 classes: 0 to 4"),
    (-1, ValueError, "targets holds -1"),
    (torch.tensor([0, 9, 1]), ValueError, "targets holds 9"),
]


@every_method
def test_bad_arguments_are_named_before_any_work(method):
    model = build("functional")
    backwards = []
    model.conv.register_full_backward_hook(lambda *_: backwards.append(1))
    for inputs, kind, message in BAD_INPUTS:
        with pytest.raises(kind, match=message):
            method(model, inputs, 0)
    for targets, kind, message in BAD_TARGETS:
        with pytest.raises(kind, match=message):
            method(model, picture(), targets)
    with pytest.raises(TypeError, match=r"model must be .* or a function, got int"):
        method(3, picture(), 0)
    assert not backwards


class _Returns(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return self.what(x)


class _FunctionalDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(192, 4)

    def forward(self, x):
        return self.linear(F.dropout(x.flatten(1), 0.5, self.training))


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten()), r"1 \(BatchNorm2d\)"),
        (nn.Sequential(nn.Flatten(), nn.Dropout(0.1)), r"1 \(Dropout\)"),
        (nn.Sequential(nn.Flatten(), nn.RReLU()), r"1 \(RReLU\)"),
        (_FunctionalDropout(), r"dropout\(training=True\)"),
        (_Returns(lambda x: torch.dropout(x.flatten(1), 0.5, True)), r"dropout\(training=True\)"),
        (
            nn.Sequential(spectral_norm(nn.Conv2d(3, 4, 1)), nn.Flatten()),
            r"0\.parametrizations\.weight\.0 \(_SpectralNorm\)",
        ),
        (
            nn.Sequential(torch.nn.utils.spectral_norm(nn.Conv2d(3, 4, 1)), nn.Flatten()),
            r"0 \(Conv2d\)",
        ),
    ],
)
def test_training_mode_that_matters_is_an_error(model, layer):
    model = model.double().train()
    before = fingerprint(model)
    with pytest.raises(ValueError, match=layer + r".*call model\.eval\(\)"):
        dga.distilled_gradient_aggregation(model, picture())
    assert_same(before, fingerprint(model))
    if not isinstance(model, _Returns):
        dga.distilled_gradient_aggregation(model.eval(), picture(), steps=2)


def test_random_calls_are_found_in_evaluation_mode_too():
    model = _Returns(lambda x: F.dropout(x.flatten(1), 0.5)).eval()
    with pytest.raises(ValueError, match=r"calls dropout\(training=True\)"):
        dga.gradient(model, picture())


def test_attention_without_dropout_may_be_in_training_mode():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens)[0].mean(1)

    dga.gradient(Attends().double().train(), picture())


def test_recurrent_layers_keep_their_parameters():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(24, 4, batch_first=True)

        def forward(self, x):
            return self.rnn(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1]

    model = Reads().double().eval()
    dga.gradient(model, picture())
    assert all(a is b for a, b in zip(model.rnn._flat_weights, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_training_mode_that_does_not_matter_is_fine():
    model, x = build("cnn"), picture()
    expected = dga.gradient(model, x)
    assert torch.equal(dga.gradient(model.train(), x), expected)
    model.add_module("late", nn.Dropout(0.0))
    dga.gradient(model, x)


def test_batch_norm_without_statistics_is_an_error():
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten()).double()
    with pytest.raises(ValueError, match=r"0 \(BatchNorm2d\) keeps no running statistics"):
        dga.gradient(model.eval(), picture())


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        (lambda x: (x, x), TypeError, "model returned tuple"),
        (lambda x: x.sum((1, 2, 3)), ValueError, r"model returned shape \(3,\)"),
        (lambda x: x.sum((2, 3))[:2], ValueError, r"\(2, 3\) for a batch of 3 inputs"),
        (lambda x: x.sum((2, 3)).detach(), ValueError, "does not depend on its input"),
        (lambda x: x.sum((2, 3)) / 0, ValueError, "not finite"),
    ],
)
def test_odd_models_are_explained(what, kind, message):
    with pytest.raises(kind, match=message):
        dga.gradient(_Returns(what), picture())


class _WritesIntoItsArgument(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x, scale):
        scale.mul_(2)
        y = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.head(y * scale.view(-1, 1))


def test_no_pass_sees_what_another_wrote_into_an_extra_argument():
    """The comparison with the fused network is a pass as well."""
    torch.manual_seed(0)
    model, x, scale = _WritesIntoItsArgument().eval(), torch.rand(2, 3, 6, 6), torch.ones(2)
    module, function = (
        dga.integrated_gradients(m, x, 0, extra_args=(scale,))
        for m in (model, lambda x, scale: 1 * model(x, scale))
    )
    torch.testing.assert_close(module, function)
    assert torch.equal(scale, torch.ones(2))


class _Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head, self.state = nn.GRUCell(4, 3), nn.Linear(3, 2), None

    def forward(self, x):
        self.state = self.cell(x, self.state)
        return self.head(self.state)


class _Shrinks(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.memory = nn.Linear(4, 2), [torch.ones(())]

    def forward(self, x):
        self.memory[0] = self.memory[0] * 0.5
        return self.head(x) * self.memory[0]


class _KeepsItsFirst(nn.Module):
    """A cache that should not be one: what it makes of the first input answers for all."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.kept = nn.Linear(4, 3), nn.Linear(3, 2), None

    def forward(self, x):
        if self.kept is None:
            self.kept = self.body(x).tanh()
        return self.head(self.kept + self.body(x))


def test_what_a_network_keeps_of_one_input_is_not_there_for_the_next():
    torch.manual_seed(0)
    model, x = _KeepsItsFirst().eval(), torch.rand(1, 4)
    for step in dga.distill(model, x, 0, steps=3):
        fresh = copy.deepcopy(model)(step.distilled)[:, 0]
        torch.testing.assert_close(step.score, fresh)


@pytest.mark.parametrize("kind", [_Remembers, _Shrinks])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_pass_begins_with_the_model_as_it_was_found(kind, batch):
    torch.manual_seed(0)
    model, x = kind().eval(), torch.rand(batch, 4)
    scores = [step.score for step in dga.distill(model, 0 * x, 0, steps=3)]
    assert all(torch.equal(score, scores[0]) for score in scores)
    assert model.state is None if kind is _Remembers else model.memory[0] == 1


def test_a_function_that_keeps_a_state_is_told():
    calls, head = [], nn.Linear(4, 2)

    def model(x):
        calls.append(1)
        return head(x) / len(calls)

    for batch in (1, 3):
        with pytest.raises(ValueError, match="two scores"):
            dga.gradient(model, torch.rand(batch, 4), 0)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="random numbers"):
        dga.gradient(lambda x: head(x) + torch.rand(2, generator=generator), torch.rand(1, 4), 0)


class _NormalisesOverTheBatch(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how, self.head = how, nn.Linear(12, 2)
        self.weight, self.bias = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))

    def forward(self, x):
        if self.how == "positional":
            x = torch.batch_norm(x, self.weight, self.bias, None, None, True, 0.1, 1e-5, False)
        else:
            x = x / x.max()
        return self.head(x.flatten(1))


@pytest.mark.filterwarnings("ignore")  # scripts are deprecated
def test_scores_that_depend_on_the_batch_are_told():
    torch.manual_seed(0)
    x = torch.rand(4, 3, 2, 2)
    for row in range(4):  # whoever holds the maximum
        picture = x.clone()
        picture[row] *= 9
        with pytest.raises(ValueError, match="two scores"):
            dga.gradient(_NormalisesOverTheBatch("maximum").eval(), picture, 0)
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        dga.gradient(_NormalisesOverTheBatch("positional").eval(), x, 0)
    layers = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    for script in (torch.jit.script(layers), torch.jit.trace(layers, x, check_trace=False)):
        with pytest.raises(ValueError, match="BatchNorm2d"):
            dga.gradient(script, x, 0)
    dga.gradient(torch.jit.script(layers.eval()), x, 0)


def test_what_draws_seldom_is_told():
    class Drops(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(x) * (torch.rand(()) > 0.3)

    model, told = Drops().eval(), 0
    torch.manual_seed(0)
    for _ in range(20):
        try:
            dga.gradient(model, torch.rand(1, 4), 0)
        except ValueError:
            told += 1
    assert told == 20  # 1 - 0.7^17 each, but for what is dropped at first


class _ReadsMemory(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(48, 2)

    def forward(self, x):
        b, c, h, w = x.shape
        blocks = x.as_strided((b, c, h // 2, w // 2, 2, 2), (c * h * w, h * w, 2 * w, 2, w, 1))
        means = F.interpolate(blocks.mean((4, 5)), scale_factor=2)
        return self.head(means.flatten(1)) + self.conv(x).mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("batch", [1, 2])
def test_who_reads_memory_as_it_lies_gets_it_as_it_was_given(batch):
    torch.manual_seed(0)
    model, x = _ReadsMemory().eval(), torch.rand(batch, 3, 4, 4)
    sums = dga.uniform_fullgrad(model, x, 0).flatten(1).sum(1)
    torch.testing.assert_close(sums, model(x)[:, 0])


def test_sums_of_short_numbers_are_long():
    torch.manual_seed(0)
    model, x = nn.Linear(4, 2, bias=False).bfloat16(), torch.ones(1, 4).bfloat16()
    truth = model.weight[:1].detach()
    for method in (
        lambda steps: dga.integrated_gradients(model, x, 0, steps=steps),
        lambda steps: dga.smoothgrad(model, x, 0, samples=steps),
    ):
        torch.testing.assert_close(method(1000), truth, rtol=1e-2, atol=0)


def test_an_attribution_that_its_type_cannot_hold_is_told():
    model = nn.Linear(2, 2, bias=False).half()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[60.0, 55], [0, 0]]))
    with pytest.raises(ValueError, match="float16 holds"):
        dga.distilled_gradient_aggregation(model, torch.tensor([[100.0, 101]]).half(), 0)


def test_a_layer_held_by_a_default_or_in_a_dictionary_cannot_be_randomised():
    class Calls(nn.Module):
        def __init__(self, how):
            super().__init__()
            self.layer = layer = nn.Linear(4, 4)
            self.held = (
                (lambda x, layer=layer: layer(x))
                if how == "default"
                else {"f": lambda x: 1 * layer(x)}
            )

        def forward(self, x):
            return self.held["f"](x) if isinstance(self.held, dict) else self.held(x)

    for how in ("default", "dictionary"):
        model = Calls(how).eval()
        with pytest.raises(ValueError, match="holds on to the original"):
            list(dga.metrics.cascading_randomization(model))


def _features():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    return nn.Sequential(*layers).eval(), torch.rand(3, 3, 8, 8)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_target_may_read_what_a_hook_or_a_closure_kept(batch):
    """The pass of the batch is the last that they see, also of the first look at a network."""
    net, x = _features()
    kept = {}
    net[1].register_forward_hook(lambda module, inputs, output: kept.__setitem__("a", output))
    by_hook = dga.gradient(net, x[:batch], lambda output: kept["a"].mean((1, 2, 3)))

    def forward(x):
        kept["a"] = net[1](net[0](x))
        return net[3](net[2](kept["a"]))

    by_closure = dga.gradient(forward, x[:batch], lambda output: kept["a"].mean((1, 2, 3)))
    torch.testing.assert_close(by_hook, by_closure)
    assert by_hook.abs().sum() > 0 and kept["a"].shape[0] == batch


class _OfThree(nn.Module):
    """Takes batches of three only, or looks as if it took less."""

    def __init__(self, how):
        super().__init__()
        self.how, self.head = how, nn.Linear(12, 3)
        self.prior = nn.Parameter(torch.rand(3, 12))

    def forward(self, x):
        x = x.flatten(1)
        if self.how == "prior":
            return self.head(x + self.prior)
        return self.head(x.unsqueeze(1).expand(-1, 3, -1)).transpose(0, 1)  # (3, B, classes)


def test_a_batch_of_one_size_and_a_first_dimension_of_another_kind():
    x = torch.rand(3, 3, 2, 2)
    assert dga.gradient(_OfThree("prior").eval(), x, 0).shape == x.shape
    last = dga.gradient(_OfThree("tokens").eval(), x, lambda output: output[-1, :, 0])
    assert last.shape == x.shape


def test_a_network_that_computes_in_float32_inside_float64():
    net = build("cnn").float()
    x = picture()
    found = dga.gradient(lambda z: net(z.float()).double(), x, 1)
    torch.testing.assert_close(found.float(), dga.gradient(net, x.float(), 1))


class _Caches(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head, self.size, self.seen = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), None, {}

    def forward(self, x):
        self.size, self.seen["last"] = x.shape[-2:], self.conv(x).relu().mean((2, 3))
        return self.head(self.seen["last"])


@pytest.mark.parametrize("batch", [1, 3])
def test_a_cache_is_no_state(batch):
    """It is run like any other network, and its layers keep their names."""
    model, x = _Caches().eval(), torch.rand(batch, 3, 8, 8)
    engine = dga.engine.Engine(model, x, 0)
    engine.score(x)
    assert engine._copied and model.size is None and not model.seen
    assert list(dga.bias_attributions(model, x, 0)) == ["conv", "head"]
    assert list(dga.bias_attributions(_Shrinks().eval(), x.flatten(1)[:, :4], 0)) == ["head"]


def test_what_is_written_by_way_of_data_is_a_state():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)
            self.register_buffer("n", torch.ones(()))

        def forward(self, x):
            self.n.data += 1
            return self.head(x) * self.n

    model, x = Counts().eval(), torch.rand(1, 4)
    scores = [step.score for step in dga.distill(model, 0 * x, 0, steps=3)]
    assert all(torch.equal(score, scores[0]) for score in scores) and model.n == 1


def test_a_generator_that_is_not_used_costs_one_pass():
    model, calls = nn.Linear(4, 2), []
    model.generator = torch.Generator()
    model.register_forward_hook(lambda *_: calls.append(1))
    dga.gradient(model, torch.rand(1, 4), 0)
    assert len(calls) == 2
