"""Models and contexts that people bring, each built small and seeded, in float64 unless said.

A case is a function that returns (model, inputs, targets, extra arguments, score): `score` is what
finite differences are taken of, (B,), a function of the inputs alone.
"""

from __future__ import annotations

import copy
import functools
import types
import warnings
from collections import defaultdict, deque
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


@case
def writes_into_its_parameters():
    def forward(m, x):
        m.seen.data.add_(1)
        with torch.no_grad():
            m.peak[0] = torch.maximum(m.peak[0], x.detach().abs().max())
        for layer in m.net:
            if hasattr(layer, "weight"):
                layer.weight.data.clamp_(-0.3, 0.3)
        return m.net(x)

    values = {"seen": nn.Parameter(torch.zeros(())), "peak": nn.Parameter(torch.zeros(2))}
    return of_class(Lambda(forward, net=small(), **values).double(), pictures())


@case
def hooked_and_writes_into_its_parameters():
    model, *rest = writes_into_its_parameters()
    model.net.register_forward_hook(lambda module, args, out: 2 * out)
    return (model, *rest)


class _Memory:
    """Somebody's own object, which a forward fills."""

    def __init__(self) -> None:
        self.calls, self.means, self.sum = 0, [], torch.zeros((), dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        self.calls += 1
        self.means.append(float(x.detach().mean()))
        self.sum += x.detach().sum()

    def __repr__(self) -> str:
        return f"{self.calls} {self.means} {self.sum}"


@case
def remembers_in_an_object():
    def forward(m, x):
        m.memory.add(x)
        return m.net(x)

    model = Lambda(forward, net=small()).double()
    model.memory = _Memory()
    return of_class(model, pictures())


@case
def hooked_and_remembers_in_an_object():
    model, *rest = remembers_in_an_object()
    model.net.register_forward_hook(lambda module, args, out: 2 * out)
    return (model, *rest)


@case
def seeds_its_own_generator():
    def forward(m, x):
        m.generator.manual_seed(0)
        return m.net(x + torch.rand(x.shape[1:], generator=m.generator, dtype=x.dtype))

    model = Lambda(forward, net=small()).double()
    model.generator = torch.Generator()
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


@case
def hook_on_the_compiled_wrapper():
    inner = small().eval()
    model = torch.compile(inner, backend="eager")
    model.register_forward_hook(lambda m, a, out: out * 2)
    return model, pictures(), 1, (), lambda x: 2 * inner(x)[:, 1]


@case
def hook_inside_a_compiled_model():
    inner = small().eval()
    inner[0].register_forward_hook(lambda m, a, out: out * 2)
    model = torch.compile(inner, backend="eager")
    return model, pictures(), 1, (), lambda x: inner(x)[:, 1]


@case
def compiled_child():
    model = small(nn.BatchNorm2d(4))
    model[0] = torch.compile(model[0], backend="eager")
    return of_class(model, pictures())


@case
def hooked_and_keeps_notes():
    """A model that runs itself, and whose passes must not be seen afterwards."""

    def forward(m, x):
        m.notes.append(1)
        m.named["passes"] += 1
        m.named["deeper"][0].append(1)
        m.places.add(len(m.places))
        m.plain += 1
        m.calls += 1
        m.seen += 1
        return m.net(x)

    model = Lambda(forward, net=small(), seen=torch.zeros(())).double()
    model.notes, model.named, model.places, model.calls = [], {}, set(), 0
    model.named.update(passes=0, deeper=([],))
    object.__setattr__(model, "plain", torch.zeros(3))
    model.net[0].register_forward_hook(lambda m, a, out: out * 2)
    return of_class(model, pictures())


@case
def looks_its_layers_up():
    model = Lambda(lambda m, x: m.net[1:](m.net[0](x) * m.scale[m.net[0]]), net=small()).double()
    model.scale = {model.net[0]: 2.0}
    return of_class(model, pictures())


@case
def looks_its_layers_up_by_id():
    model = Lambda(lambda m, x: m.net[1:](m.net[0](x) * m.scale[id(m.net[0])]), net=small())
    model.scale = {id(model.net[0]): 2.0}
    return of_class(model.double(), pictures())


@case
def keeps_a_deque():
    def forward(m, x):
        m.recent.append(1)
        m.counts["passes"] += 1
        return m.net(x)

    model = Lambda(forward, net=small()).double()
    model.recent, model.counts = deque(maxlen=3), defaultdict(int)
    return of_class(model, pictures())


@case
def embedding_with_a_largest_norm():
    """torch scales such weights down in the forward, in place."""
    words = nn.Embedding(4, 5, max_norm=0.5)
    model = Lambda(lambda m, x: m.fc((x @ m.words(torch.arange(4))).flatten(1)), words=words,
                   fc=nn.Linear(10, 5)).double()  # fmt: skip
    twin = copy.deepcopy(of_class(model, torch.zeros(0))[0])
    return model, torch.randn(2, 2, 4).double(), 1, (), lambda x: twin(x)[:, 1]


@case
def hidden_child():
    model = Lambda(lambda m, x: m.hidden[0](x)).double()
    model.hidden = [small(nn.BatchNorm2d(4)).eval()]
    return of_class(model, pictures())


@case
def call_overridden():
    class Doubled(nn.Sequential):
        def __call__(self, x):
            return 2 * super().__call__(x)

    return of_class(Doubled(*small()), pictures())


@case
def attributes_delegated():
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

        def forward(self, x):
            return self.inner(x) * self.scale

    inner = small()
    inner.scale = 2.0
    return of_class(Wrapper(inner), pictures())


# --------------------------------------------------------- what may not be put into a convolution


class Normed(nn.Module):
    """Convolution, batch norm, head, and whatever `after` makes of it; torch.fx can trace it."""

    def __init__(self, after: Callable = lambda m, y: y, **convolution: Any) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, **convolution), nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        self.after = after
        self.double()

    def forward(self, x: Tensor) -> Any:
        return self.after(self, self.head(self.bn(self.conv(x))))


@case
def norm_after_convolution():
    return of_class(Normed(padding_mode="reflect", padding=1, stride=2, bias=False), pictures())


@case
def norm_of_weight_zero():
    model = Normed()
    model.bn.weight.data[0] = 0
    return of_class(model, pictures())


@case
def weights_read_by_parameters():
    return of_class(Normed(lambda m, y: y * sum(p.sum() for p in m.parameters())), pictures())


@case
def weights_read_by_state_dict():
    return of_class(Normed(lambda m, y: y * m.state_dict()["conv.weight"].sum()), pictures())


@case
def bias_asked_for():
    return of_class(Normed(lambda m, y: y * (1 if m.conv.bias is None else 2), bias=False),
                    pictures())  # fmt: skip


@case
def bias_asked_for_in_an_output_of_ones_own():
    model = Normed(lambda m, y: Output(y * (1 if m.conv.bias is None else 2)), bias=False).eval()
    fill(model)
    return model, pictures(), 1, (), lambda x: model(x).logits[:, 1]


@case
def one_norm_after_two_convolutions():
    model = Lambda(lambda m, x: m.net(m.bn(m.a(x)) + m.bn(m.b(x))), a=nn.Conv2d(3, 3, 1),
                   b=nn.Conv2d(3, 3, 1), bn=nn.BatchNorm2d(3), net=small()).double()  # fmt: skip
    return of_class(model, pictures())


@case
def convolution_seen_with_and_without_its_norm():
    class Both(Normed):
        def forward(self, x):
            y = self.conv(x)
            return self.head(self.bn(y) + y)

    return of_class(Both(), pictures())


@case
def tracing_leaves_marks():
    """Were it traced itself, the model would keep what tracing puts into it."""

    def after(m, y):
        m.calls += 1
        m.seen += 1
        m.notes.append(1)
        m.last = y
        return y

    model = Normed(after)
    model.register_buffer("seen", torch.zeros(()))
    model.calls, model.notes, model.last = 0, [], None
    return of_class(model, pictures())


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
def gradient_inside_the_forward():
    """As energy models do: the scores are made of a derivative."""

    def forward(m, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (g,) = torch.autograd.grad(m.net(x).square().sum(), x, create_graph=True)
        return m.fc(g.flatten(1))

    model = Lambda(forward, net=nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh()), fc=nn.Linear(192, 5))
    return of_class(model.double(), pictures())


@case
def derivative_in_forward_mode():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 5))
    model = Lambda(lambda m, x: torch.func.jvp(m.net, (x,), (torch.ones_like(x),))[1], net=net)
    return of_class(model.double(), pictures())


@case
def vectorised():
    model = Lambda(lambda m, x: torch.vmap(lambda one: m.net(one[None])[0])(x), net=small())
    return of_class(model.double(), pictures())


@case
def called_with_other_weights():
    def forward(m, x):
        double = {name: 2 * p for name, p in m.net.named_parameters()}
        return torch.func.functional_call(m.net, double, (x,))

    return of_class(Lambda(forward, net=small()).double(), pictures())


@case
def fourier_filter():
    """As GFNet: weights and activations are complex in between."""

    def forward(m, x):
        return m.net(torch.fft.irfft2(torch.fft.rfft2(x) * m.filter, s=x.shape[-2:]))

    filters = nn.Parameter(torch.randn(8, 5, dtype=torch.cdouble))
    return of_class(Lambda(forward, net=small(), filter=filters), pictures())


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x + 1

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


@case
def function_with_its_own_backward():
    return of_class(Lambda(lambda m, x: m.net(_Affine.apply(x)), net=small()).double(), pictures())


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


@case
def margin_beyond_a_threshold():
    """The callable has a bias of its own."""
    model = small().eval()
    return model, pictures(), (lambda o: o[:, 1] - 3.0), (), lambda x: model(x)[:, 1] - 3.0


@case
def probability_by_a_callable():
    model = small().eval()

    def probability(output):
        return output.softmax(1)[:, 1]

    return model, pictures(), probability, (), lambda x: probability(model(x))


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
