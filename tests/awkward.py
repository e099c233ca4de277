"""Models and contexts that people bring, each built small and seeded, in float64 unless said.

A case is a function that returns (model, inputs, targets, extra arguments, score): `score` is what
finite differences are taken of, (B,), a function of the inputs alone.
"""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

Case = tuple[Any, Tensor, Any, tuple, Callable[[Tensor], Tensor]]
CASES: dict[str, Callable[[], Case]] = {}


def case(build: Callable[[], Case]) -> Callable[[], Case]:
    def seeded() -> Case:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scripts and older hooks are still in use
            torch.manual_seed(0)
            return build()

    CASES[build.__name__.strip("_")] = seeded
    return seeded


def of_class(model: Callable, inputs: Tensor, target: int = 1, extra: tuple = ()) -> Case:
    """The usual case: one class of a tensor of scores."""
    if isinstance(model, nn.Module):
        fill(model)
        model.eval()
    return model, inputs, target, extra, lambda x: model(x, *extra)[:, target]


def fill(model: nn.Module) -> None:
    """Numbers everywhere, running statistics included, so that nothing is accidentally neutral."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and not tensor.is_inference():
            with torch.no_grad():
                if "running_var" in name:
                    tensor.copy_(torch.rand_like(tensor) + 0.5)
                elif "running_mean" in name or name.endswith("bias"):
                    tensor.copy_(torch.randn_like(tensor) * 0.3)


def pictures(batch: int = 2, size: int = 8, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, channels, size, size, generator=generator, dtype=torch.float64)


def small(*layers: nn.Module, width: int = 4) -> nn.Sequential:
    """Convolution, the layers, pooling, classes."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), *layers, nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5),
    ).double()  # fmt: skip


class Lambda(nn.Module):
    """A module around a function of itself and its input."""

    def __init__(self, function: Callable, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.function = function

    def forward(self, x: Tensor, *extra: Any) -> Any:
        return self.function(self, x, *extra)


# ------------------------------------------------------------------------------- memory layout


class _Beginners(nn.Module):
    """The shape of the best-known beginner's network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 20), nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x))).view(-1, 400)
        return self.fc2(F.relu(self.fc1(x)))


@case
def beginners_network():
    return of_class(_Beginners().double(), pictures(2, 32))


@case
def view_of_the_input():
    model = Lambda(lambda m, x: m.fc(x.view(x.size(0), -1)), fc=nn.Linear(192, 5)).double()
    return of_class(model, pictures())


@case
def view_after_a_convolution():
    model = Lambda(lambda m, x: m.fc(m.conv(x).view(len(x), -1)),
                   conv=nn.Conv2d(3, 4, 3, padding=1), fc=nn.Linear(256, 5))  # fmt: skip
    return of_class(model.double(), pictures())


@case
def insists_on_contiguous():
    def forward(m, x):
        assert x.is_contiguous()
        y = m.conv(x)
        assert y.is_contiguous()
        return m.fc(y.flatten(1))

    model = Lambda(forward, conv=nn.Conv2d(3, 4, 3, padding=1), fc=nn.Linear(256, 5))
    return of_class(model.double(), pictures())


@case
def instance_norm_one_picture():
    model = nn.Sequential(nn.InstanceNorm2d(3), nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1),
                          nn.Flatten()).double()  # fmt: skip
    return of_class(model, pictures(1))


@case
def instance_norm_affine_inside():
    return of_class(small(nn.InstanceNorm2d(4, affine=True)), pictures(1))


@case
def batch_norm_after_tokens():
    """As in LeViT: tokens back to a picture of one row; one picture."""

    def forward(m, x):
        y = m.conv(x).flatten(2).transpose(1, 2)  # (B, N, C)
        y = m.bn(y.reshape(-1, 4)).view_as(y)
        y = m.bn2(y.permute(0, 2, 1)[:, :, None])
        return m.fc(y.mean((2, 3)))

    model = Lambda(forward, conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm1d(4), bn2=nn.BatchNorm2d(4),
                   fc=nn.Linear(4, 5))  # fmt: skip
    return of_class(model.double(), pictures(1))


@case
def batch_norm_of_a_permuted_picture():
    def forward(m, x):
        y = m.conv(x).permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)  # other strides
        return m.fc(torch.tanh(m.bn(y)).flatten(1))

    model = Lambda(forward, conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4), fc=nn.Linear(144, 5))
    return of_class(model.double(), pictures(1))


@case
def functional_batch_norm_one_picture():
    def forward(m, x):
        y = F.batch_norm(m.conv(x), m.mean, m.var, m.weight, None, False)
        return m.fc(y.transpose(2, 3).flatten(1))

    model = Lambda(forward, conv=nn.Conv2d(3, 4, 3), mean=torch.rand(4), var=torch.rand(4) + 0.5,
                   weight=nn.Parameter(torch.rand(4)), fc=nn.Linear(144, 5))  # fmt: skip
    return of_class(model.double(), pictures(1))


@case
def one_row_pictures():
    return of_class(small(nn.BatchNorm2d(4)), pictures(2)[:, :, :1])


@case
def group_and_layer_norm():
    return of_class(small(nn.GroupNorm(2, 4), nn.GroupNorm(1, 4)), pictures(1))


@case
def channels_last_inputs():
    x = pictures().contiguous(memory_format=torch.channels_last)
    return of_class(small(nn.BatchNorm2d(4)), x)


@case
def expanded_inputs():
    return of_class(small(), pictures(1).expand(3, -1, -1, -1))


@case
def transposed_inputs():
    return of_class(small(), pictures().transpose(2, 3))


# ------------------------------------------------------------------ what a forward does besides


@case
def counts_its_passes_in_a_buffer():
    def forward(m, x):
        m.seen += 1
        m.peak.copy_(torch.maximum(m.peak, x.detach().abs().max()))
        return m.net(x)

    model = Lambda(forward, net=small(), seen=torch.zeros(()), peak=torch.zeros(()))
    return of_class(model.double(), pictures())


@case
def replaces_a_buffer():
    def forward(m, x):
        m.seen = m.seen + 1
        return m.net(x)

    return of_class(Lambda(forward, net=small(), seen=torch.zeros(())).double(), pictures())


@case
def keeps_a_list_and_a_plain_tensor():
    def forward(m, x):
        m.notes.append(1)
        m.plain += 1
        m.calls += 1
        return m.net(x)

    model = Lambda(forward, net=small()).double()
    model.notes, model.calls = [], 0
    object.__setattr__(model, "plain", torch.zeros(3))
    return of_class(model, pictures())


class _Slotted(nn.Module):
    __slots__ = ("__secret", "width")

    def __init__(self) -> None:
        super().__init__()
        self.width = 4
        self.__secret = 2.0
        self.net = small()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * self.__secret * self.width


@case
def slots():
    return of_class(_Slotted(), pictures())


@case
def hook_looks_its_module_up():
    model = small()
    names = {module: name for name, module in model.named_modules()}
    by_id = {id(module) for module in model.modules()}

    def strict(m, inputs, output):
        assert names[m] is not None and id(m) in by_id

    model[0].register_forward_hook(strict)
    return of_class(model, pictures())


@case
def hook_changes_the_output():
    model = small()
    model[0].register_forward_hook(lambda m, a, out: out * 2 + m.bias.sum())
    return of_class(model, pictures())


@case
def patched_forward_method():
    model = small()
    inner = model[0]
    inner.forward = types.MethodType(lambda self, x: 3 * F.conv2d(x, self.weight, padding=1), inner)
    return of_class(model, pictures())


@case
def patched_forward_closure():
    model = small()
    original = model[0].forward
    model[0].forward = lambda x: original(x) * 2
    return of_class(model, pictures())


@case
def calls_its_own_methods_by_attribute():
    model = Lambda(lambda m, x: m.step(x), net=small()).double()
    model.step = functools.partial(lambda net, x: net(x).square(), model.net)
    return of_class(model, pictures())


@case
def closure_in_a_list():
    model = Lambda(lambda m, x: m.steps[0](x), net=small()).double()
    model.steps = [lambda x: model.net(x) * 2]
    return of_class(model, pictures())


@case
def compiled():
    return of_class(torch.compile(small(), backend="eager"), pictures())


@case
def compiled_in_place():
    model = small(nn.BatchNorm2d(4))
    model.compile(backend="eager")
    return of_class(model, pictures())


@case
def compiled_part():
    model = small(torch.compile(nn.BatchNorm2d(4), backend="eager"))
    return of_class(model, pictures())


@case
def made_in_inference_mode():
    with torch.inference_mode():
        model = small(nn.BatchNorm2d(4)).eval()
    plain = small(nn.BatchNorm2d(4)).eval()
    plain.load_state_dict({k: v.clone() for k, v in model.state_dict().items()})
    return model, pictures(), 1, (), lambda x: plain(x)[:, 1]


@case
def scripted():
    return of_class(torch.jit.script(small(nn.BatchNorm2d(4))), pictures(1))


@case
def traced():
    return of_class(torch.jit.trace(small().eval(), pictures()), pictures())


@case
def frozen_script():
    model = torch.jit.freeze(torch.jit.script(small(nn.BatchNorm2d(4)).eval()))
    return model, pictures(), 1, (), lambda x: model(x)[:, 1]


@case
def exported_graph():
    model = small(nn.BatchNorm2d(4)).eval()
    exported = torch.export.export(model, (pictures(),)).module()
    return exported, pictures(), 1, (), lambda x: model(x)[:, 1]


@case
def fx_graph():
    return of_class(torch.fx.symbolic_trace(small(nn.BatchNorm2d(4))), pictures())


@case
def checkpointed():
    model = Lambda(lambda m, x: m.head(checkpoint(m.body, x, use_reentrant=False)),
                   body=nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6()),
                   head=nn.Sequential(nn.Flatten(), nn.Linear(144, 5)))  # fmt: skip
    return of_class(model.double(), pictures())


@case
def frozen_parameters():
    return of_class(small().requires_grad_(False), pictures())


@case
def in_place_everywhere():
    def forward(m, x):
        x *= 2
        y = m.conv(x).relu_()
        return m.fc(y.flatten(1))

    model = Lambda(forward, conv=nn.Conv2d(3, 4, 3), fc=nn.Linear(144, 5)).double().eval()
    return model, pictures(), 1, (), lambda x: model(x.clone())[:, 1]


@case
def shared_layers_called_twice():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(conv, nn.ReLU(), conv, nn.Flatten(), nn.Linear(192, 5))
    return of_class(model.double(), pictures())


@case
def tied_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 192), nn.ReLU(), nn.Linear(192, 192))
    model[3].weight = model[1].weight
    return of_class(model.double(), pictures())


@case
def data_parallel():
    return of_class(nn.DataParallel(small()), pictures())


@case
def refuses_to_be_copied():
    class Unique(nn.Sequential):
        def __deepcopy__(self, memo):
            raise RuntimeError("there is only one")

    return of_class(Unique(*small()), pictures())


# ------------------------------------------------------------------------------ weights and layers


@case
def weight_norm():
    return of_class(small(parametrizations.weight_norm(nn.Conv2d(4, 4, 3))), pictures())


@case
def weight_norm_by_hook():
    return of_class(small(nn.utils.weight_norm(nn.Conv2d(4, 4, 3))), pictures())


@case
def spectral_norm():
    return of_class(small(parametrizations.spectral_norm(nn.Conv2d(4, 4, 3))), pictures())


@case
def spectral_norm_by_hook():
    return of_class(small(nn.utils.spectral_norm(nn.Conv2d(4, 4, 3))), pictures())


@case
def pruned():
    model = small(nn.Conv2d(4, 4, 3))
    prune.l1_unstructured(model[1], "weight", amount=0.5)
    return of_class(model, pictures())


class _StandardConv(nn.Conv2d):
    """As timm's BiT and NFNet: weights standardised by `batch_norm(training=True)`."""

    def forward(self, x: Tensor) -> Tensor:
        weight = F.batch_norm(self.weight.reshape(1, self.out_channels, -1), None, None,
                              training=True, momentum=0.0).reshape_as(self.weight)  # fmt: skip
        return F.conv2d(x, weight, self.bias)


@case
def weights_standardised_by_batch_norm():
    return of_class(small(_StandardConv(4, 4, 3)), pictures())


@case
def recurrent():
    model = Lambda(lambda m, x: m.fc(m.rnn(x.flatten(2).transpose(1, 2))[0][:, -1]),
                   rnn=nn.GRU(3, 6, batch_first=True), fc=nn.Linear(6, 5))  # fmt: skip
    return of_class(model.double(), pictures(2, 4))


@case
def attention():
    def forward(m, x):
        y = x.flatten(2).transpose(1, 2)
        return m.fc(m.attention(y, y, y)[0].mean(1))

    model = Lambda(forward, attention=nn.MultiheadAttention(3, 1, batch_first=True),
                   fc=nn.Linear(3, 5))  # fmt: skip
    return of_class(model.double(), pictures(2, 4))


@case
def transformer_encoder():
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    model = Lambda(lambda m, x: m.fc(m.body(x).mean(1)), body=nn.TransformerEncoder(layer, 1),
                   fc=nn.Linear(6, 5))  # fmt: skip
    return of_class(model.double(), torch.randn(2, 4, 6, dtype=torch.float64))


@case
def dropout_that_is_off():
    return of_class(small(nn.Dropout(0.5), nn.Dropout2d(0.3)), pictures())


# -------------------------------------------------------------------------- what may be explained


@dataclass
class Output:
    """What Hugging Face's classifiers return."""

    logits: Tensor
    hidden: Any = None


def _with_output(wrap: Callable[[Tensor], Any]) -> nn.Module:
    model = Lambda(lambda m, x: wrap(m.net(x)), net=small()).double().eval()
    return model


@case
def output_with_logits():
    model = _with_output(Output)
    return model, pictures(), 1, (), lambda x: model(x).logits[:, 1]


@case
def callable_target_of_logits():
    model = _with_output(Output)
    return model, pictures(), (lambda o: o.logits[:, 3]), (), lambda x: model(x).logits[:, 3]


@case
def callable_target_of_a_dict():
    model = Lambda(lambda m, x: {"out": m.conv(x)}, conv=nn.Conv2d(3, 4, 3)).double().eval()

    def score(x):
        return model(x)["out"][:, 2].sum((1, 2))

    return model, pictures(), (lambda o: o["out"][:, 2].sum((1, 2))), (), score


@case
def callable_target_of_a_tuple():
    model = _with_output(lambda y: (y, None))
    return model, pictures(), (lambda o: o[0][:, 0]), (), lambda x: model(x)[0][:, 0]


@case
def margin_between_two_classes():
    model = small().eval()
    return model, pictures(), (lambda o: o[:, 1] - o[:, 4]), (), lambda x: model(x) @ _margin()


def _margin() -> Tensor:
    return torch.tensor([0.0, 1, 0, 0, -1], dtype=torch.float64)


@case
def one_score():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).double()
    return model, pictures(), None, (), lambda x: model(x)[:, 0]


@case
def one_score_by_number():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).double()
    return model, pictures(), 0, (), lambda x: model(x)[:, 0]


@case
def probabilities():
    model = nn.Sequential(*small(), nn.Softmax(1)).eval()
    return model, pictures(), 1, (), lambda x: model(x)[:, 1]


@case
def two_probabilities_stacked():
    def forward(m, x):
        p = m.fc(x.flatten(1))[:, 0].sigmoid()
        return torch.stack([1 - p, p], 1)

    return of_class(Lambda(forward, fc=nn.Linear(192, 1)).double(), pictures())


@case
def another_class_ruled_out():
    def forward(m, x):
        scores = m.net(x)
        return torch.cat([scores[:, :4], torch.full_like(scores[:, :1], -torch.inf)], 1)

    return of_class(Lambda(forward, net=small()).double(), pictures())


@case
def a_list_of_targets():
    model = small().eval()
    return model, pictures(), [1, 3], (), lambda x: model(x)[torch.arange(2), [1, 3]]


@case
def a_function():
    weight = torch.randn(192, 5, dtype=torch.float64)
    return of_class(lambda x: F.relu(x.flatten(1) @ weight) + 1, pictures())


@case
def a_partial_of_a_module():
    model = Lambda(lambda m, x, scale: m.net(x) * scale, net=small()).double().eval()
    return of_class(functools.partial(lambda scale, x: model(x, scale), 3.0), pictures())


@case
def a_method_of_a_module():
    model = small().eval()
    return of_class(model.forward, pictures())


@case
def signals():
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
                          nn.Flatten(), nn.Linear(4, 5)).double()  # fmt: skip
    return of_class(model, torch.randn(2, 2, 20, dtype=torch.float64))


@case
def signals_made_into_pictures():
    model = Lambda(lambda m, x: m.net(x[:, None].expand(-1, 3, -1, -1)), net=small()).double()
    return of_class(model, torch.randn(2, 9, 7, dtype=torch.float64))


@case
def volumes():
    model = nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(),
                          nn.Linear(256, 5)).double()  # fmt: skip
    return of_class(model, torch.randn(1, 1, 6, 6, 6, dtype=torch.float64))


@case
def features():
    model = nn.Sequential(nn.Linear(7, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 5)).double()
    return of_class(model, torch.randn(4, 7, dtype=torch.float64))


@case
def extra_arguments():
    def forward(m, x, mask, scale):
        return m.fc((x * mask[..., None]).sum(1)) * scale

    model = Lambda(forward, fc=nn.Linear(6, 5)).double()
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    return of_class(model, torch.randn(2, 4, 6, dtype=torch.float64), 1, (mask, 2.0))
