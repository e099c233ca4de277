"""What makes the engine fast, as facts that can be counted: passes, gradients, memory, bits."""

from __future__ import annotations

import platform
import subprocess
import sys
import warnings

import pytest
import torch
from networks import build, picture
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

import dga
from dga import engine
from dga.experiments.allocator import keep_freed_memory
from dga.recording import Recorded

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: run on a machine with CUDA")


class Calls(TorchDispatchMode):
    """Counts the operations of torch by name, those of backward passes included."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        if name == "convolution_backward":
            wanted = args[-1]
            assert list(wanted[1:]) == [False, False], "a gradient for weights or biases"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        (lambda m, x: dga.distilled_gradient_aggregation(m, x, steps=9), 10),
        (lambda m, x: dga.integrated_gradients(m, x, steps=9), 9),
        (lambda m, x: dga.guided_integrated_gradients(m, x, steps=9), 9),
        (lambda m, x: dga.smoothgrad(m, x, samples=9), 9),
        (dga.uniform_fullgrad, 1),
    ],
    ids=["dga", "ig", "gig", "smoothgrad", "ufg"],
)
def test_passes_are_counted_and_only_inputs_get_gradients(method, passes):
    network, x = build("cnn").float(), picture().float()
    convolutions = sum(isinstance(m, nn.Conv2d) for m in network.modules())
    # A target is settled on the picture itself, which is not on a path: one more forward pass.
    extra = 0 if passes in (1, 10) else 1
    extra += (
        2  # of single pictures: the first and the last, once, to see that none needs the others
    )
    with Calls() as calls:
        method(network, x)
    assert calls.counts["convolution"] == convolutions * (passes + extra)
    assert calls.counts["convolution_backward"] == convolutions * passes
    assert "sort" not in calls.counts and "argsort" not in calls.counts


class Live(TorchDispatchMode):
    """Knows every tensor that torch has made in it and that something still holds."""

    def __init__(self):
        super().__init__()
        self._made = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._made[tensor] = None
        return result

    def bytes(self):
        """Each storage once."""
        storages = [tensor.untyped_storage() for tensor in self._made]
        return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


@pytest.mark.parametrize(
    "method", [dga.distilled_gradient_aggregation, dga.integrated_gradients,
               dga.guided_integrated_gradients],
)  # fmt: skip
def test_memory_does_not_grow_with_the_steps(method):
    network, x = build("cnn").float(), picture().float()
    sizes = []

    def watch(steps, **_):
        for n in steps:
            sizes.append(live.bytes())
            yield n

    with Live() as live:
        method(network, x, steps=12, progress=watch)
    assert len(sizes) >= 12 and max(sizes[2:]) == min(sizes[2:]) > 0


@pytest.mark.parametrize("name", ["cnn", "residual"])
def test_bfloat16_passes_give_float32_maps_near_those_of_float32(name):
    network, x = build(name).float(), picture().float()
    seen = []
    # A network with a hook runs itself and not a copy in another layout, which rounds differently.
    network.register_forward_hook(lambda m, a, out: seen.append(out.dtype))
    exact = dga.uniform_fullgrad(network, x)
    with dga.precision("bfloat16"):
        short = dga.uniform_fullgrad(network, x)
    passes = 3  # two single pictures, and the batch
    assert seen == [torch.float32] * passes + [torch.bfloat16] * passes
    assert short.dtype == torch.float32
    change = (short - exact).norm() / exact.norm()
    assert 0 < change < 0.1
    assert torch.equal(dga.uniform_fullgrad(network, x), exact), "the block has ended"


def test_precision_is_checked_and_ends_with_its_block():
    with pytest.raises(ValueError, match="precision must be one of"), dga.precision("half"):
        pass
    with dga.precision("bfloat16"), pytest.raises(ValueError, match="is for float32 networks"):
        dga.gradient(build("cnn"), picture())
    dga.gradient(build("cnn"), picture())


def test_ranks_and_sums_stay_float32_in_a_bfloat16_run():
    network, x = build("cnn").float(), picture().float()
    with dga.precision("bfloat16"):
        for step in dga.distill(network, x, steps=3):
            assert step.attribution.dtype == step.score.dtype == torch.float32
            torch.testing.assert_close(step.attribution.flatten(1).sum(1), step.score)


def test_steps_run_unrecorded_where_recording_fails(monkeypatch):
    """Without a GPU every attempt fails, which is the case that is tested here."""
    calls = []

    def function(x):
        calls.append(float(x[0]))
        return (2 * x,)

    def refuse(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Recorded, "_warm_up", lambda self, x: function(x))
    monkeypatch.setattr(Recorded, "_record", refuse)
    step = Recorded(function)
    with pytest.warns(UserWarning, match="run one by one.*not permitted") as caught:
        results = [step(torch.full((2,), k))[0].tolist() for k in range(4)]
    assert len(caught) == 1
    assert results == [[2 * k, 2 * k] for k in range(4)] and calls == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("gpu", "small", "hook", "recorded"),
    [(True, True, False, True), (False, True, False, False), (True, False, False, False),
     (True, True, True, False)],
    ids=["small", "on a CPU", "large", "with a hook"],
)  # fmt: skip
def test_what_calls_hooks_or_is_large_is_not_recorded(monkeypatch, gpu, small, hook, recorded):
    """The decision alone, so that no GPU is needed: the tensors only say that they lie on one."""
    network, x = build("cnn").float(), picture().float()
    if hook:
        network[0].register_forward_hook(lambda *_: None)
    monkeypatch.setattr(engine, "_RECORDED", x.numel() if small else x.numel() - 1)
    monkeypatch.setattr(torch.Tensor, "is_cuda", gpu, raising=False)
    run = engine.Engine(network, x)

    def step(x):
        return (x,)

    assert isinstance(run.repeated(step), Recorded) == recorded
    assert (run.repeated(step) is step) == (not recorded)


FAULTS = """
import resource, torch
from dga.experiments.allocator import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [torch.ones(16_000_000) for _ in range(2)]  # too large for malloc to keep by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given_back = min(faults() for _ in range(6))
assert keep_freed_memory()
print(given_back, min(faults() for _ in range(6)))
"""


def test_freed_memory_is_kept_where_the_c_library_can():
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) < (2, 35):
        pytest.skip("glibc keeps less than 32 MB before version 2.35, other C libraries nothing")
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    given_back, kept = map(int, done.stdout.split())
    assert kept < 100 < 10_000 < given_back  # of 31,250 pages


@pytest.mark.parametrize("missing", ["mallopt", "library"])
def test_without_such_a_c_library_nothing_happens(monkeypatch, missing):
    def library(_):
        if missing == "library":
            raise TypeError("None is not a path")
        return object()

    monkeypatch.setattr("ctypes.CDLL", library)
    assert keep_freed_memory() is False


@gpu
def test_gpu_step_by_step_equals_cpu():
    network, x = build("residual"), picture()
    on_gpu = build("residual").cuda()
    here = dga.distill(network, x, 1, steps=6)
    there = dga.distill(on_gpu, x.cuda(), 1, steps=6)
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a.attribution, b.attribution.cpu(), rtol=1e-9, atol=1e-12)
        assert torch.equal(a.distilled, b.distilled.cpu())


@gpu
def test_recorded_steps_equal_unrecorded_ones(monkeypatch):
    network, x = build("residual").float().cuda(), picture().float().cuda()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # recording must not fail
        recorded = dga.distilled_gradient_aggregation(network, x)
        paths = dga.integrated_gradients(network, x)
    monkeypatch.setattr(engine, "_RECORDED", 0)
    assert torch.equal(recorded, dga.distilled_gradient_aggregation(network, x))
    assert torch.equal(paths, dga.integrated_gradients(network, x))


@gpu
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_network_that_synchronises_runs_unrecorded_with_a_warning():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build("cnn").float()

        def forward(self, x):
            return self.inner(x) if x.sum().item() < 1e9 else self.inner(-x)

    network, x = Asks().cuda(), picture().float().cuda()
    with pytest.warns(UserWarning, match="run one by one"):
        result = dga.distilled_gradient_aggregation(network, x, steps=4)
    torch.testing.assert_close(
        result, dga.distilled_gradient_aggregation(network.inner, x, steps=4)
    )


@gpu
def test_tf32_is_set_inside_and_put_back():
    before = torch.backends.cuda.matmul.allow_tf32
    network, x = build("cnn").float().cuda(), picture().float().cuda()
    seen = []
    network.register_forward_hook(
        lambda *_: seen.append(torch.backends.cuda.matmul.allow_tf32) or None
    )
    for name, expected in (("tf32", True), ("float32", False)):
        with dga.precision(name):
            dga.gradient(network, x)
        assert seen.pop() is expected and not seen
    assert torch.backends.cuda.matmul.allow_tf32 == before
