"""A method over any number of pictures: in batches that fit into memory, results as they come."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dga.engine import Engine, Progress, current_precision, precision
from dga.validation import Model, check_count, check_extra_args, out_of_memory

# Larger batches make a CPU no faster, and a GPU hardly.
_LARGEST = {"cpu": 16, "cuda": 128}


def attribute_many(
    method: Callable[..., Tensor],
    model: Model,
    images: Iterable[Any],
    targets: Any = None,
    *,
    batch: int | None = None,
    extra_args: Sequence[Any] = (),
    progress: Progress = True,
    **options: Any,
) -> Iterator[Tensor]:
    """Attributions of any number of pictures, one after the other, in bounded memory.

    Args:
        method: one of the methods, or any function with their signature.
        model: classifier in evaluation mode, on any device, or any callable.
        images: a tensor (n, C, H, W), a DataLoader, a dataset, or anything else that gives tensors
            (C, H, W) or batches (B, C, H, W), or tuples that start with one (labels are left
            aside). Normalised; moved to the model's device where they are not. Other inputs than
            pictures, (n, ...), come as one tensor.
        targets: None (predicted class), an int, integers (n,), integers (n, K) for K classes of
            every picture, or a callable (see `gradient`).
        batch: attributions at a time. None takes what fits into the free memory, on a CPU at most
            16. Single float32 maps of `dga` depend on the batch through rounding: fix it where you
            want the same bits again.
        extra_args: handed to the model behind the inputs; tensors with one row a picture, (n, ...),
            are split like the pictures.
        progress: show a progress bar, tqdm's or that of a function called like tqdm.
        options: of the method.

    Yields:
        Per picture, in their order, its attribution (C, H, W), or (K, C, H, W) with K targets, on
        the device the picture came from. Where memory does not suffice the batch is halved, with
        one warning.

    Raises:
        TypeError, ValueError: see `gradient`; if targets and images differ in number.

    Example:
        >>> import dga, torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> heats = dga.attribute_many(dga.gradient, model, torch.rand(5, 3, 2, 2), batch=2)
        >>> len(list(heats))
        5
    """
    if batch is not None:
        check_count("batch", batch)
    check_extra_args(extra_args)
    if targets is not None and not isinstance(targets, int) and not callable(targets):
        if not isinstance(targets, Tensor):
            try:
                targets = torch.as_tensor(targets, device="cpu")
            except (TypeError, ValueError, RuntimeError) as error:
                raise TypeError(
                    "targets must be None, an int, integers (n,) or (n, K), or a callable, got "
                    f"{type(targets).__name__}"
                ) from error
        if targets.dim() not in (0, 1, 2) or targets.is_floating_point():
            raise ValueError(
                f"targets has shape {tuple(targets.shape)} and is {targets.dtype}; None, an int, "
                "integers (n,) or (n, K), or a callable are needed"
            )
        targets = targets.cpu()
    several = isinstance(targets, Tensor) and targets.dim() == 2
    known = _count(images)
    if isinstance(targets, Tensor) and targets.dim() and known not in (None, len(targets)):
        raise ValueError(f"targets has {len(targets)} entries for {known} images")
    if known is None and any(isinstance(e, Tensor) and e.dim() for e in extra_args):
        raise ValueError("extra_args holds tensors, which needs images whose number is known")
    # The block in which this was called decides, not the one in which a result is asked for; and
    # between two results the caller's own settings hold.
    chosen, run = current_precision(), Halving()

    def attributions() -> Iterator[Tensor]:
        tasks = _tasks(images, targets)
        first = next(tasks, None)
        if first is None:
            return
        size = batch
        if size is None:
            with precision(chosen):
                x = _to_model(first[1][None], model)
                size = fitting_batch(model, x, targets, rows([first[0]]))
        for numbers, x, wanted in _batches(chain([first], tasks), size):
            yield from run(partial(attribute, numbers, x, wanted), len(x))

    def attribute(numbers: list[int], x: Tensor, wanted: Any, part: slice) -> Tensor:
        some = wanted[part] if isinstance(wanted, Tensor) else wanted
        given = {"extra_args": rows(numbers[part])} if extra_args else {}
        with precision(chosen):
            return method(model, _to_model(x[part], model), some, **given, **options).to(x.device)

    def rows(numbers: list[int]) -> tuple[Any, ...]:
        def some(extra: Any) -> Any:
            split = isinstance(extra, Tensor) and extra.dim() and len(extra) == known
            return extra[numbers] if split else extra

        return tuple(map(some, extra_args))

    def pictures() -> Iterator[Tensor]:
        single = attributions()
        if not several:
            yield from single
        while several and (heats := list(islice(single, targets.shape[1]))):
            yield torch.stack(heats)

    if not progress:
        return pictures()
    from tqdm.auto import tqdm

    bar = progress if callable(progress) else tqdm
    return iter(bar(pictures(), total=known, desc="Attributing", leave=False))  # type: ignore[arg-type]


def _count(images: Iterable[Any]) -> int | None:
    """How many pictures, if that can be known before they are read."""
    try:
        if isinstance(images, DataLoader):  # its own length is in batches
            return len(images.sampler)  # type: ignore[arg-type]
        return len(images) if isinstance(images, Tensor | Dataset) else None  # type: ignore[arg-type]
    except TypeError:  # a stream
        return None


def _tasks(images: Iterable[Any], targets: Any) -> Iterator[tuple[int, Tensor, Any]]:
    """Number of the picture, (C, H, W), and what to explain; a picture with K targets K times."""
    if not isinstance(targets, Tensor) or not targets.dim():
        same = int(targets) if isinstance(targets, Tensor) else targets
        yield from ((k, x, same) for k, x in enumerate(_single(images)))
        return
    rows = iter(targets.view(len(targets), -1).tolist())
    for k, x in enumerate(_single(images)):
        row = next(rows, None)
        if row is None:
            raise ValueError(f"targets has {len(targets)} entries, but there are more images")
        yield from ((k, x, target) for target in row)
    if next(rows, None) is not None:
        raise ValueError(f"targets has {len(targets)} entries, but there are fewer images")


def _single(images: Iterable[Any]) -> Iterator[Tensor]:
    if isinstance(images, Tensor):
        if images.dim() < 2:
            raise ValueError(f"images has shape {tuple(images.shape)}; (n, C, H, W) is needed")
        yield from images
        return
    for item in images:
        x = item[0] if isinstance(item, tuple | list) else item
        if not isinstance(x, Tensor) or x.dim() not in (3, 4):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"images gave {got}; tensors (C, H, W) or batches (B, C, H, W) are needed"
            )
        yield from x if x.dim() == 4 else x[None]


def _batches(
    tasks: Iterable[tuple[int, Tensor, Any]], size: int
) -> Iterator[tuple[list[int], Tensor, Any]]:
    """Up to `size` of one shape in a row."""
    for _, alike in groupby(tasks, key=lambda task: task[1].shape):
        while some := list(islice(alike, size)):
            numbers, pictures, wanted = zip(*some, strict=True)
            same = wanted[0] is None or callable(wanted[0])
            yield (
                list(numbers),
                torch.stack(pictures),
                (wanted[0] if same else torch.tensor(wanted, device="cpu")),
            )


def _to_model(x: Tensor, model: Model) -> Tensor:
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    parameter = next((p for p in parameters if p.is_floating_point()), None)
    return x if parameter is None else x.to(parameter.device)


def fitting_batch(
    model: Model, inputs: Tensor, targets: Any = None, extra_args: Sequence[Any] = ()
) -> int:
    """How many pictures like the first of `inputs` fit into half of the free memory, a power of 2.

    Measured on one pass: what autograd keeps for the way back, doubled for the gradients on it,
    and a dozen copies of the picture for masks and sums.
    """
    engine = Engine(model, inputs[:1], targets if callable(targets) else None, extra_args)
    parameters = engine.module.parameters() if engine.module else ()
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        engine.score_and_gradient(engine.inputs)
    needed = 2 * sum(kept.values()) + 12 * 4 * inputs[0].numel()
    most = min(_LARGEST.get(inputs.device.type, 16), _free_memory(inputs.device) // 2 // needed)
    return 1 << max(0, most.bit_length() - 1)


def _free_memory(device: torch.device) -> int:
    """Bytes: of the GPU, or of this machine or container."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    free: list[int] = []
    if hasattr(os, "sysconf"):  # Windows says nothing: a batch that does not fit is halved
        free.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        with open("/proc/meminfo") as file:
            free += [int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvail")]
        with (
            open("/sys/fs/cgroup/memory.max") as limit,
            open("/sys/fs/cgroup/memory.current") as now,
        ):
            free.append(int(limit.read()) - int(now.read()))
    except (OSError, ValueError):  # no such files here, or a limit of "max"
        pass
    return min(free, default=sys.maxsize)


class Halving:
    """Runs batches, in smaller parts once memory has not sufficed.

    Attributes:
        size: of a part, None for whole batches.
    """

    def __init__(self) -> None:
        self.size: int | None = None

    def __call__(self, run: Callable[[slice], Tensor], count: int) -> Tensor:
        """run(slice) of a batch of `count`, put together again.

        What is done stays done; what did not fit is tried again with half of it.
        """
        parts: list[Tensor] = []
        start = 0
        while start < count:
            size = min(self.size or count, count - start)
            try:
                parts.append(run(slice(start, start + size)))
                start += size
                continue
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not out_of_memory(error):
                    raise
            # Here, where the exception no longer keeps the batch alive.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if self.size is None:
                warnings.warn(
                    f"a batch of {size} does not fit into memory: going on with halves of it "
                    "(single float32 maps may differ by rounding)",
                    stacklevel=3,
                )
            self.size = (size + 1) // 2
        return torch.cat(parts)
