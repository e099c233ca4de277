"""python -m dga benchmark: how near DGA is to the least it can cost, on this machine.

The floor is a bare loop: N + 1 times one forward pass and one backward pass to the input, with
frozen parameters and channels-last memory, and nothing else. Every ratio is taken within one run:
both sides in turn, several times, after two rounds that do not count, in a process that keeps the
memory it frees (`dga.experiments.allocator`; in another one, what malloc gives back and asks for
again between two passes moves every ratio by up to a quarter, up or down).
"""

from __future__ import annotations

import copy
import cProfile
import logging
import platform
import pstats
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torchvision
from matplotlib.figure import Figure
from torch import Tensor, nn

from dga.distillation import distilled_gradient_aggregation
from dga.engine import Precision, Progress, mantissa, precision, ticks
from dga.experiments.evaluation import perturbation_scores
from dga.full_gradient import uniform_fullgrad
from dga.lessons.plots import COLOURS
from dga.masks import _combined_mask
from dga.validation import check_count
from dga.zoo.files import real_folder
from dga.zoo.loading import load_model
from dga.zoo.photographs import load_photo
from dga.zoo.pictures import load_images

STEPS = 30
_SHIPPED = ("vgg", "resnet", "inception", "smooth")
# Below 1 where batch norm is fused with the convolution in front of it (`dga.fusion`).
_BARE = (
    ("squeezenet1_1", "SqueezeNet 1.1", "<= 1.05"),
    ("resnet18", "ResNet-18", "<= 1"),
    ("mobilenet_v2", "MobileNet-v2", "<= 1"),
)
_GREY = "#666666"


@dataclass(frozen=True)
class Row:
    """One measured case.

    Attributes:
        case: network, size and batch.
        measure: what is divided by what.
        reach: the target, a largest or smallest ratio, as text.
        ratios: of every round; empty if it could not be measured here.
        seconds: of the numerator, median.
        note: what else was measured, or why nothing was.

    Example:
        >>> Row("ResNet-18", "DGA / bare loop", "<= 1", (0.9, 1.0, 0.8)).median
        0.9
    """

    case: str
    measure: str
    reach: str
    ratios: tuple[float, ...] = ()
    seconds: float | None = None
    note: str = ""

    @property
    def median(self) -> float | None:
        """Of the ratios, None without any."""
        return statistics.median(self.ratios) if self.ratios else None


def _bare_loop(model: nn.Module, inputs: Tensor, targets: Tensor, passes: int = STEPS + 1) -> None:
    """The floor: forward and backward passes to the input, one after the other."""
    for _ in range(passes):
        leaf = inputs.detach().requires_grad_()
        score = model(leaf).gather(1, targets[:, None]).sum()
        torch.autograd.grad(score, leaf)


def _frozen(model: nn.Module, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    """A copy of the model without gradients of parameters, and the inputs, both channels-last.

    Example:
        >>> copied, x = _frozen(nn.Conv2d(3, 4, 1), torch.rand(2, 3, 5, 5))
        >>> x.stride()
        (75, 1, 15, 3)
    """
    copied = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copied.requires_grad_(False), inputs.contiguous(memory_format=torch.channels_last)


def _prepared_bare_loop(
    model: nn.Module, inputs: Tensor, targets: Tensor, steps: int = STEPS
) -> Callable[[], None]:
    """The bare loop of DGA with N steps, on a frozen channels-last copy of the model.

    Example:
        >>> model, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(2, 3, 2, 2)
        >>> _prepared_bare_loop(model, x, torch.tensor([0, 1]), steps=3)()
    """
    return partial(_bare_loop, *_frozen(model, inputs), targets, steps + 1)


def _explicit_loop(model: nn.Module, inputs: Tensor, targets: Tensor, steps: int = STEPS) -> Tensor:
    """DGA's sequence with the bias terms of every layer taken by hooks, not by subtraction.

    Returns:
        x~(N).
    """
    x = inputs
    for n in range(steps + 1):
        phi = uniform_fullgrad(model, x, targets, bias="explicit")
        if n < steps:
            x = _combined_mask(phi, n / steps, 0.9, "both", "feature") * inputs
    return x


def seconds(run: Callable[[], Any]) -> float:
    """Wall-clock time of one call, with everything it started on a GPU.

    By the clock of `torch.utils.benchmark`, which waits for the GPU. Its `Timer` runs a statement
    twice more before every measurement, and the pairs below would be pairs no longer.

    Example:
        >>> seconds(lambda: None) < 1
        True
    """
    # torch's clock comes with its builder of extensions, which remarks that there is no CUDA.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import timer

    began = timer()
    run()
    return timer() - began


def compare(
    run: Callable[[], Any], other: Callable[[], Any], rounds: int = 5
) -> tuple[tuple[float, ...], float]:
    """The ratios of time, run / other, of every round, and the median seconds of `run`.

    Example:
        >>> ratios, taken = compare(lambda: sum(range(1000)), lambda: None, rounds=3)
        >>> len(ratios)
        3
    """
    check_count("rounds", rounds)
    for _ in range(2):  # lazy initialisation, then memory
        run(), other()
    times = [(seconds(run), seconds(other)) for _ in range(rounds)]
    return tuple(a / b for a, b in times), statistics.median(a for a, _ in times)


def measure(device: torch.device, rounds: int = 5, progress: Progress = False) -> list[Row]:
    """Every case of the table that this device can run.

    Args:
        device: cpu or cuda.
        rounds: how often each pair is timed.
        progress: show a progress bar.

    Example:
        It takes minutes.

        >>> rows = measure(torch.device("cpu"), rounds=3)  # doctest: +SKIP
    """
    check_count("rounds", rounds)
    cases = _gpu_cases(rounds) if device.type == "cuda" else _cpu_cases(rounds)
    return [cases[k]() for k in ticks(range(len(cases)), progress, "Measuring")]


def squeezenet() -> tuple[nn.Module, Tensor, Tensor]:
    """Untrained, which takes the same time, and a batch of noise with predicted classes.

    Example:
        >>> squeezenet()[1].shape
        torch.Size([8, 3, 224, 224])
    """
    return _untrained("squeezenet1_1", 224, 8)


def _untrained(name: str, size: int, batch: int) -> tuple[nn.Module, Tensor, Tensor]:
    options = {"init_weights": False} if name == "inception_v3" else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    x = _noise(batch, size)
    with torch.no_grad():
        return model, x, model(x).argmax(1)


def _cpu_cases(rounds: int) -> list[Callable[[], Row]]:
    net, x, targets = squeezenet()
    case = "SqueezeNet 1.1, 224 x 224, batch 8"
    run = partial(distilled_gradient_aggregation, net, x, targets, steps=STEPS)

    def bare(name: str, label: str, reach: str) -> Row:
        model, x, targets = _untrained(name, 224, 8)
        run = partial(distilled_gradient_aggregation, model, x, targets, steps=STEPS)
        return Row(f"{label}, 224 x 224, batch 8", "DGA / bare loop", reach,
                   *compare(run, _prepared_bare_loop(model, x, targets), rounds))  # fmt: skip

    def captum(prepared: bool) -> Row:
        how, reach = ("frozen, channels-last", "<= 1.05") if prepared else ("as called", "<= 0.55")
        measured = f"DGA / Captum IG, {how}"
        try:
            from captum.attr import IntegratedGradients
        except ImportError:
            return Row(case, measured, reach, note="Captum is not installed")
        model, inputs = _frozen(net, x) if prepared else (net, x)
        ig = partial(IntegratedGradients(model).attribute, inputs, target=targets,
                     n_steps=STEPS + 1, internal_batch_size=8)  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ratios, taken = compare(run, ig, rounds)
        return Row(case, measured, reach, ratios, taken, f"both {STEPS + 1} passes of 8 pictures")

    def explicit() -> Row:
        few = 3  # the hooks are slow, and both sides cost the same for every step
        other = partial(_explicit_loop, net, x, targets, few)
        return Row(f"{case}, N={few}", "DGA / DGA with explicit bias terms", "<= 0.5",
                   *compare(partial(run, steps=few), other, rounds))  # fmt: skip

    def short() -> Row:
        measured, reach = "DGA bfloat16 / float32 passes", "<= 0.75"
        if not _has_bfloat16():
            note = "this CPU has no bfloat16 instructions"
            return Row(case, measured, reach, note=note)
        ratios, time_taken = compare(_in("bfloat16", run), run, rounds)
        return Row(case, measured, reach, ratios, time_taken, _real_scores("bfloat16", "cpu"))

    def shipped(name: str) -> Row:
        model: Any = load_model(name)
        one = model.preprocess(load_images("test", 1).images)
        target = model(one).argmax(1)
        run = partial(distilled_gradient_aggregation, model, one, target, steps=STEPS)
        return Row(f"{name}, 64 x 64, one picture", "DGA / bare loop", "<= 1.20, < 0.3 s",
                   *compare(run, _prepared_bare_loop(model, one, target), rounds))  # fmt: skip

    return [
        *(partial(bare, *network) for network in _BARE),
        *(partial(captum, prepared) for prepared in (False, True)),
        *(partial(shipped, name) for name in _SHIPPED),
        short, explicit, _memory,
    ]  # fmt: skip


def _gpu_cases(rounds: int) -> list[Callable[[], Row]]:
    def bare(name: str, size: int, chosen: Precision) -> Row:
        model, x, targets = _on_gpu(name, size, 64)
        run = _in(chosen, partial(distilled_gradient_aggregation, model, x, targets))
        loop = _bare_in(chosen, _prepared_bare_loop(model, x, targets))
        return Row(f"{name}, {size} x {size}, batch 64, {chosen}", "DGA / bare loop", "<= 1.05",
                   *compare(run, loop, rounds))  # fmt: skip

    def single() -> Row:
        model, x, targets = _on_gpu("resnet18", 224, 1)
        run = partial(distilled_gradient_aggregation, model, x, targets)
        return Row("resnet18, 224 x 224, one picture", "DGA / eager bare loop", "<= 0.35",
                   *compare(run, _prepared_bare_loop(model, x, targets), rounds))  # fmt: skip

    def short(chosen: Precision) -> Row:
        model, x, targets = _on_gpu("resnet18", 224, 64)
        run = partial(distilled_gradient_aggregation, model, x, targets)
        full, fast = (_in(name, run) for name in ("float32", chosen))
        ratios, _ = compare(full, fast, rounds)
        return Row("resnet18, 224 x 224, batch 64", f"throughput {chosen} / float32", ">= 2",
                   ratios, note=_real_scores(chosen, "cuda"))  # fmt: skip

    networks = (("resnet18", 224), ("vgg16", 224), ("inception_v3", 299))
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    cases: list[Callable[[], Row]] = [
        partial(bare, name, size, chosen) for name, size in networks for chosen in precisions
    ]
    return [*cases, single, partial(short, "tf32"), partial(short, "bfloat16"), _gpu_memory]


def _noise(batch: int, size: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(batch, 3, size, size, generator=generator, device="cpu")


def _on_gpu(name: str, size: int, batch: int) -> tuple[nn.Module, Tensor, Tensor]:
    model, x, targets = _untrained(name, size, batch)
    return model.cuda(), x.cuda(), targets.cuda()


def _in(name: Precision, run: Callable[[], Any]) -> Callable[[], Any]:
    def inside() -> Any:
        with precision(name):
            return run()

    return inside


def _bare_in(name: Precision, loop: Callable[[], None]) -> Callable[[], None]:
    """The bare loop in a precision, as `dga.precision` does it for the methods, on a GPU."""

    def inside() -> None:
        short = name == "bfloat16"
        with (
            mantissa(name == "tf32"),
            torch.autocast("cuda", torch.bfloat16, enabled=short, cache_enabled=False),
        ):
            loop()

    return inside


def _has_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo") as file:
            text = file.read()
    except OSError:
        return platform.machine() == "arm64"  # Apple's, since M2; slower at worst
    return any(flag in text for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def _real_scores(chosen: Precision, device: str) -> str:
    """LeRF and MoRF of DGA on the optional folder of real photographs, in two precisions."""
    folder = real_folder()
    if folder is None:
        return "no folder of real photographs for LeRF and MoRF"
    net: Any = load_model("squeezenet1_1", folder / "squeezenet1_1_imagenet.pt").to(device)
    photos = sorted((folder / "photos").iterdir())
    x = torch.cat([net.preprocess(load_photo(photo)) for photo in photos]).to(device)
    said = []
    both: tuple[Precision, Precision] = ("float32", chosen)
    for name in both:
        with precision(name):
            scores = perturbation_scores(net, x, ("dga",), batch=20)["dga"]
        said.append("LeRF {lerf:.3f}, MoRF {morf:.3f}".format(
            **{order: float(v.mean()) for order, v in scores.items()}))  # fmt: skip
    return f"{len(x)} photographs: float32 {said[0]}; {chosen} {said[1]}"


_PEAK = """
import sys, torch, torchvision, dga
net = torchvision.models.squeezenet1_1(weights=None).eval()
x = torch.randn(8, 3, 224, 224)
dga.distilled_gradient_aggregation(net, x, 0, steps={steps})
print([line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line][0])
"""


def _memory() -> Row:
    case, measured, reach = "SqueezeNet 1.1, 224 x 224, batch 8", "peak N=120 / N=10", "<= 1.02"
    peaks: dict[int, list[int]] = {120: [], 10: []}
    for steps in (120, 10) * 5:  # the allocator is not the same twice
        code = [sys.executable, "-c", _PEAK.format(steps=steps)]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        if done.returncode:
            return Row(case, measured, reach, note="the system does not tell the peak (Linux does)")
        peaks[steps].append(int(done.stdout))
    ratios = tuple(a / b for a, b in zip(peaks[120], peaks[10], strict=True))
    note = f"memory of the process, about {statistics.median(peaks[120]) // 1024} MB"
    return Row(case, measured, reach, ratios, note=note)


def _gpu_memory() -> Row:
    model, x, targets = _on_gpu("resnet18", 224, 16)
    peaks = []
    for steps in (120, 10):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        distilled_gradient_aggregation(model, x, targets, steps=steps)
        peaks.append(torch.cuda.max_memory_allocated())
    return Row("resnet18, 224 x 224, batch 16", "peak N=120 / N=10", "<= 1.02",
               (peaks[0] / peaks[1],), note=f"{peaks[0] >> 20} MB")  # fmt: skip


def shares(model: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Where the time of one DGA call goes on a CPU, as shares of it.

    Returns:
        "forward", "backward", "selection" (the order statistics), "rest" (masks, sums, Python).

    Example:
        >>> model, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(2, 3, 2, 2)
        >>> round(sum(shares(model, x, torch.tensor([0, 1])).values()), 6)
        1.0
    """
    run = partial(distilled_gradient_aggregation, model, inputs, targets)
    run()
    profile = cProfile.Profile()
    profile.runcall(run)
    stats: Any = pstats.Stats(profile)
    whole = stats.total_tt
    named = {
        "forward": ("engine.py", "_forward"),
        "backward": ("~", "<method 'run_backward' of 'torch._C._EngineBase' objects>"),
        "selection": ("masks.py", "_order_statistic"),
    }
    found = {
        part: sum(entry[3] for (path, _, function), entry in stats.stats.items()
                  if path.endswith(file) and function == name) / whole
        for part, (file, name) in named.items()
    }  # fmt: skip
    return {**found, "rest": 1 - sum(found.values())}


def _sweep(
    network: nn.Module,
    what: str,
    values: Sequence[int],
    *,
    steps: int = 10,
    size: int = 64,
    rounds: int = 3,
    progress: Progress = False,
) -> list[dict[str, float]]:
    """Cost against one thing that grows.

    Args:
        network: one that takes any size of picture.
        what: "steps" (N), "batch", or "side" (of the picture, in pixels).
        values: of that thing.
        steps, size: the rest; the batch is 1.

    Returns:
        Per value {what, "dga", "floor"}: median seconds a picture.
    """
    device = next(network.parameters()).device
    points = []
    for k in ticks(range(len(values)), progress, f"Sweep over {what}"):
        value = values[k]
        x = _noise(value if what == "batch" else 1, value if what == "side" else size).to(device)
        n = value if what == "steps" else steps
        targets = torch.zeros(len(x), dtype=torch.long, device=device)
        run = partial(distilled_gradient_aggregation, network, x, targets, steps=n)
        ratios, taken = compare(run, _prepared_bare_loop(network, x, targets, n), rounds)
        each = taken / len(x)
        points.append({what: value, "dga": each, "floor": each / statistics.median(ratios)})
    return points


def sweeps(device: torch.device, progress: Progress = False) -> dict[str, list[dict[str, float]]]:
    """The three sweeps of the plot, on SqueezeNet 1.1.

    Example:
        It takes minutes.

        >>> figure = plot(sweeps(torch.device("cpu")))  # doctest: +SKIP
    """
    net = torchvision.models.squeezenet1_1(weights=None).eval().to(device)
    largest = 128 if device.type == "cuda" else 16
    batches = [2**k for k in range(largest.bit_length())]
    return {
        "steps": _sweep(net, "steps", (5, 10, 20, 40, 80), size=96, progress=progress),
        "batch": _sweep(net, "batch", batches, size=96, progress=progress),
        "side": _sweep(net, "side", (64, 96, 128, 192, 256), progress=progress),
    }


def plot(results: dict[str, list[dict[str, float]]]) -> Figure:
    """Seconds a picture against N, batch and pixels, DGA beside its floor.

    Example:
        >>> points = [{"batch": k, "dga": 2.0, "floor": 1.0} for k in (1, 2)]
        >>> len(plot({"batch": points}).axes)
        1
    """
    titles = {"steps": "steps N", "batch": "batch", "side": "pixels along a side"}
    figure = Figure(figsize=(3.2 * len(results), 2.8), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for k, (what, points) in enumerate(results.items()):
        at = [point[what] for point in points]
        for name, colour in (("floor", _GREY), ("dga", COLOURS["dga"])):
            axes[k].plot(at, [1e3 * point[name] for point in points], "o-", color=colour, ms=4)
        if k == 0:
            near = points[-2]  # room on both sides of the lines
            for name, label, colour, offset, side in (
                ("dga", "DGA", COLOURS["dga"], (-8, 4), "right"),
                ("floor", "bare loop", _GREY, (8, -10), "left"),
            ):
                axes[k].annotate(label, (near[what], 1e3 * near[name]), xytext=offset, ha=side,
                                 color=colour, textcoords="offset points")  # fmt: skip
            axes[k].set_ylabel("milliseconds a picture")
        if what == "batch":
            axes[k].set_xscale("log", base=2)
        axes[k].set_xlabel(titles[what])
        axes[k].set_ylim(bottom=0)
        axes[k].spines[["top", "right"]].set_visible(False)
    return figure


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table.

    Example:
        >>> print(table([Row("ResNet-18", "DGA / bare loop", "<= 1", (0.9, 1.0, 0.8), 2.5)]))
        | case | measure | goal | median | spread | seconds | |
        |---|---|---|---|---|---|---|
        | ResNet-18 | DGA / bare loop | <= 1 | 0.90 | 0.80 to 1.00 | 2.50 |  |
    """
    lines = ["| case | measure | goal | median | spread | seconds | |", "|---" * 7 + "|"]
    for row in rows:
        median = "not measured" if row.median is None else f"{row.median:.2f}"
        spread = f"{min(row.ratios):.2f} to {max(row.ratios):.2f}" if len(row.ratios) > 1 else ""
        taken = "" if row.seconds is None else f"{row.seconds:.2f}"
        cells = (row.case, row.measure, row.reach, median, spread, taken, row.note)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were taken on.

    Example:
        >>> list(machine(torch.device("cpu")))
        ['device', 'cpu', 'threads', 'torch']
    """
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def report(rows: Sequence[Row], about: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Everything, for JSON.

    Example:
        >>> list(report([], {}, {}))
        ['machine', 'floor', 'rows', 'sweeps']
    """
    return {
        "machine": about,
        "floor": " ".join((__doc__ or "").split("\n\n")[1].split()),
        "rows": [{**asdict(row), "median": row.median} for row in rows],
        "sweeps": found,
    }
