"""Pixel perturbation of all methods (DGA, Table 1): in memory, or a folder of pictures with resume.

A unit of work is one method on one batch. Its results are appended to a file as soon as they are
there, so that an interrupted evaluation goes on where it stopped; batches are composed by position
alone, so that a resumed run, or one shared by several processes, computes what one uninterrupted
process does.
"""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.datasets.folder import IMG_EXTENSIONS

from dga.batches import Halving
from dga.engine import Engine, Progress, ticks
from dga.experiments.processes import ALONE, Group
from dga.methods import METHODS
from dga.metrics import bootstrap_interval, pixel_perturbation
from dga.validation import Targets, check_choice, check_count, check_targets
from dga.zoo.files import write_atomically
from dga.zoo.photographs import load_photo

ORDERS = ("lerf", "morf")
TABLE = ("random", "gi", "gbp", "ig", "fg", "gig", "dga")  # of Table 1, and a random order
LABELS = {"random": "random order", **{name: method.label for name, method in METHODS.items()}}
_COLUMNS = ("batch", "method", "picture", "target", *ORDERS)


def attribute(
    name: str, model: nn.Module, inputs: Tensor, targets: Targets = None, *, first: int = 0
) -> Tensor:
    """An attribution by the short name of its method, "random" included.

    Args:
        name: see `LABELS`.
        model, inputs, targets: as for every method.
        first: number of the first picture; "random" gives a picture the same order in any batch.
    """
    check_choice("method", name, tuple(LABELS))
    if name != "random":
        return METHODS[name].function(model, inputs, targets)
    orders = [
        torch.rand(inputs.shape[1:], generator=torch.Generator().manual_seed(first + k))
        for k in range(len(inputs))
    ]
    return torch.stack(orders).to(inputs)


def perturbation_scores(
    model: nn.Module,
    inputs: Tensor,
    methods: Sequence[str] = TABLE,
    targets: Targets = None,
    *,
    batch: int = 16,
    progress: Progress = False,
) -> dict[str, dict[str, Tensor]]:
    """LeRF and MoRF of several methods on the same pictures.

    Args:
        model: classifier in evaluation mode.
        inputs: (B, C, H, W), normalised.
        methods: short names, see `LABELS`.
        targets: None (class predicted for the untouched picture), an int, or integers (B,).
        batch: pictures at a time.
        progress: show a progress bar.

    Returns:
        method -> {"lerf": (B,), "morf": (B,)}, see `pixel_perturbation`.
    """
    check_count("batch", batch)
    parts: dict[str, dict[str, list[Tensor]]] = {m: {o: [] for o in ORDERS} for m in methods}
    requested = check_targets(targets, inputs)
    for start in ticks(range(0, len(inputs), batch), progress, "Pixel perturbation"):
        x = inputs[start : start + batch]
        some = requested[start : start + batch] if isinstance(requested, Tensor) else requested
        some = Engine(model, x, some).targets
        for name in methods:
            attribution = attribute(name, model, x, some, first=start)
            curves = pixel_perturbation(model, x, attribution, some, "both")
            for order, curve in zip(ORDERS, curves, strict=True):
                parts[name][order].append(curve.mean(1))
    return {m: {o: torch.cat(v) for o, v in orders.items()} for m, orders in parts.items()}


def markdown(scores: Mapping[str, Mapping[str, Tensor]]) -> str:
    """A table: mean and 95 % bootstrap interval of every score."""
    orders = list(next(iter(scores.values())))
    lines = [
        "| method | " + " | ".join(_TITLES.get(order, order) for order in orders) + " |",
        "|---" * (len(orders) + 1) + "|",
    ]
    for name, values in scores.items():
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*bootstrap_interval(values[o])) for o in orders]
        lines.append(f"| {LABELS.get(name, name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


_TITLES = {"lerf": "LeRF (higher is better)", "morf": "MoRF (lower is better)"}


def find_pictures(folder: Path) -> list[str]:
    """Every picture below a folder, sorted, as paths relative to it."""
    if not folder.is_dir():
        raise ValueError(f"--images {str(folder)!r} is not a folder")
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in IMG_EXTENSIONS and path.is_file()
    )
    if not found:
        kinds = ", ".join(IMG_EXTENSIONS)
        raise ValueError(f"--images {str(folder)!r} holds no pictures ({kinds})")
    return found


def evaluate_folder(
    model: Any,
    folder: Path,
    output: Path,
    *,
    methods: Sequence[str] = TABLE,
    limit: int | None = None,
    batch: int = 16,
    about: Mapping[str, Any] | None = None,
    group: Group = ALONE,
    progress: Progress = False,
) -> dict[str, dict[str, Tensor]]:
    """Table 1 for a network and a folder of pictures; goes on where an earlier call was stopped.

    Writes three files beside each other: the table as `output` (CSV) and as Markdown (.md), and
    `.pictures.csv` with the scores of every picture, which is what a later call resumes from. Its
    first line holds the settings; other settings are an error, not a mixture.

    Args:
        model: with `preprocess`, in evaluation mode, on its device.
        folder: searched with its subfolders. A picture that cannot be read is left out with a
            warning.
        output: a path that ends in .csv.
        methods: short names, see `LABELS`. A method that does not fit the network is left out with
            a warning.
        limit: the first so many pictures.
        batch: pictures at a time.
        about: what else identifies the run (name of the network, weights).
        group: the processes that share the work; all see the folder of `output`.
        progress: show a progress bar.

    Returns:
        As `perturbation_scores`.
    """
    if output.suffix != ".csv":
        raise ValueError(f"--output {str(output)!r} must end in .csv")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output: the folder {str(output.absolute().parent)!r} does not exist")
    for name in methods:
        check_choice("methods", name, tuple(LABELS))
    if len(set(methods)) < len(methods):
        raise ValueError(f"methods names one twice: {', '.join(methods)}")
    check_count("batch", batch)
    if limit is not None:
        check_count("limit", limit)
    pictures = find_pictures(folder)[:limit]
    settings = {
        **(about or {}), "folder": str(folder.resolve()), "pictures": len(pictures), "batch": batch,
    }  # fmt: skip
    file = output.with_suffix(".pictures.csv")
    if group.rank == 0:  # before anybody appends to a part
        _Log(file, settings, methods).merge()
    group.wait()
    log = _Log(file, settings, methods, None if group.size == 1 else group.rank)
    missing = {name: [b for b in range(0, len(pictures), batch) if not log.has(b, name)]
               for name in methods}  # fmt: skip
    todo = sorted({b for starts in missing.values() for b in starts})
    group.wait()  # until all have read what is done
    todo = todo[group.rank :: group.size]
    read = _ahead([partial(_read, folder, pictures[b : b + batch], model) for b in todo])
    unfit: set[str] = set()
    halving = Halving()
    for k in ticks(range(len(todo)), progress, "Evaluating"):
        start = todo[k]
        x, names = next(read)
        if not names:
            continue
        targets = Engine(model, x).targets
        for name in methods:
            if start not in missing[name] or name in unfit:
                continue
            unit = partial(_score, name, model, x, targets, start)
            try:
                scores = halving(unit, len(x))
            except ValueError as error:
                unfit.add(name)
                warnings.warn(f"{LABELS[name]} is left out: {error}", stacklevel=2)
                continue
            log.add(start, name, names, targets, scores)
    group.wait()
    if group.rank == 0:
        log = _Log(file, settings, methods)
        log.merge()
        results = {name: log.scores(name) for name in methods}
        results = {name: scores for name, scores in results.items() if len(scores[ORDERS[0]])}
        if not results:
            raise ValueError("no method gave a result")
        write_atomically(output, _table(results).encode())
        write_atomically(output.with_suffix(".md"), (markdown(results) + "\n").encode())
    return group.from_first(results if group.rank == 0 else None)  # type: ignore[no-any-return]


def _score(name: str, model: Any, x: Tensor, targets: Tensor, first: int, part: slice) -> Tensor:
    """LeRF and MoRF of a part of a batch, (B, 2); `first` is the number of its first picture."""
    x, targets = x[part], targets[part]
    attribution = attribute(name, model, x, targets, first=first + part.start)
    return pixel_perturbation(model, x, attribution, targets, "both").mean(2).T


def _ahead(calls: Sequence[Any]) -> Iterator[Any]:
    """The results of the calls, each made while the one before is worked on."""
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(calls[0]) if calls else None
        for call in [*calls[1:], None]:
            if following is not None:
                result = following.result()
                following = worker.submit(call) if call else None
                yield result


def _read(folder: Path, names: Sequence[str], model: Any) -> tuple[Tensor, list[str]]:
    """Pictures as a batch on the network's device, and the names of those that could be read."""

    def load(name: str) -> Tensor | str:
        try:
            return model.preprocess(load_photo(folder / name))  # type: ignore[no-any-return]
        except ValueError as error:
            return f"left out: {error}"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as workers:
        loaded = dict(zip(names, workers.map(load, names), strict=True))
    for message in loaded.values():
        if isinstance(message, str):
            warnings.warn(message, stacklevel=2)
    read = {name: x for name, x in loaded.items() if isinstance(x, Tensor)}
    like = next(model.parameters())
    return (torch.cat(list(read.values())).to(like) if read else torch.empty(0)), list(read)


def _table(results: Mapping[str, Mapping[str, Tensor]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "order", "mean", "low", "high", "pictures"])
    for name, scores in results.items():
        for order, values in scores.items():
            numbers = [f"{v:.6f}" for v in bootstrap_interval(values)]
            writer.writerow([name, order, *numbers, len(values)])
    return text.getvalue()


class _Log:
    """The scores of every picture, one block a unit, in a file that is only ever appended to.

    One of several processes (`rank`) appends to a part of its own, which `merge` takes in.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        methods: Sequence[str],
        rank: int | None = None,
    ) -> None:
        self._path, self._methods = path, methods
        self._head = f"# {json.dumps(settings, sort_keys=True)}\n{','.join(_COLUMNS)}\n"
        self._rows: dict[tuple[int, str], list[dict[str, str]]] = {}
        self._whole = True
        for file in [path, *self._parts()]:
            if file.exists():
                self._take(file)
        self._own = path if rank is None else path.with_suffix(f".{rank}.part")
        if not self._own.exists():
            write_atomically(self._own, self._head.encode())

    def _parts(self) -> list[Path]:
        return sorted(self._path.parent.glob(f"{self._path.stem}.*.part"))

    def _take(self, file: Path) -> None:
        text = file.read_text()
        if not text.startswith(self._head):
            raise ValueError(
                f"{str(file)!r} was made with other settings: {text.partition(chr(10))[0][2:]}. "
                "Choose another --output, or remove that file"
            )
        # A block that was being written when the machine went down has no closing line.
        whole = text[: text.rfind("\n#\n") + 3] if "\n#\n" in text else self._head
        self._whole &= whole == text
        lines = [line for line in whole.splitlines()[1:] if line != "#"]
        for row in csv.DictReader(lines):
            self._rows.setdefault((int(row["batch"]), row["method"]), []).append(row)

    def merge(self) -> None:
        """One file, in the order one process would have written it."""
        parts = self._parts()
        if self._whole and not parts:
            return
        known = list(self._methods)
        order = sorted(
            self._rows,
            key=lambda key: (key[0], known.index(key[1]) if key[1] in known else -1, key[1]),
        )
        text = self._head + "".join(_block(self._rows[key]) for key in order)
        write_atomically(self._path, text.encode())
        for part in parts:
            part.unlink()

    def has(self, batch: int, method: str) -> bool:
        return (batch, method) in self._rows

    def add(
        self, batch: int, method: str, pictures: Sequence[str], targets: Tensor, scores: Tensor
    ) -> None:
        rows = [
            dict(zip(_COLUMNS, (batch, method, name, target, *(f"{s:.9g}" for s in row)),
                     strict=True))
            for name, target, row in zip(
                pictures, targets.tolist(), scores.tolist(), strict=True
            )
        ]  # fmt: skip
        with open(self._own, "a", newline="") as file:
            file.write(_block(rows))
            file.flush()
            os.fsync(file.fileno())
        self._rows[batch, method] = rows

    def scores(self, method: str) -> dict[str, Tensor]:
        rows = [row for key in sorted(self._rows) if key[1] == method for row in self._rows[key]]
        return {
            order: torch.tensor([float(row[order]) for row in rows], dtype=torch.float64)
            for order in ORDERS
        }


def _block(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, _COLUMNS, lineterminator="\n").writerows(rows)
    return text.getvalue() + "#\n"
