"""Pixel perturbation of all methods (DGA, Table 1): in memory, or a folder of pictures with resume.

A unit of work is one method on one batch. Its results are appended to a file as soon as they are
there, so that an interrupted evaluation goes on where it stopped; batches are composed by position
alone, so that a resumed run computes what an uninterrupted one does.
"""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.datasets.folder import IMG_EXTENSIONS

from dga.data import load_photo, write_atomically
from dga.engine import Engine, Progress, ticks
from dga.methods import METHODS
from dga.metrics import bootstrap_interval, pixel_perturbation
from dga.validation import Targets, check_choice, check_count, check_targets

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
        some = None if requested is None else requested[start : start + batch]
        some = Engine(model, x, some).targets
        for name in methods:
            attribution = attribute(name, model, x, some, first=start)
            for order in ORDERS:
                score = pixel_perturbation(model, x, some, attribution, order)[1]
                parts[name][order].append(score)
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
        raise ValueError(f"--images {str(folder)!r} is no folder")
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
    log = _Log(output.with_suffix(".pictures.csv"), settings)
    missing = {name: [b for b in range(0, len(pictures), batch) if not log.has(b, name)]
               for name in methods}  # fmt: skip
    todo = sorted({b for starts in missing.values() for b in starts})
    unfit: dict[str, str] = {}
    for k in ticks(range(len(todo)), progress, "Evaluating"):
        start = todo[k]
        x, names = _read(folder, pictures[start : start + batch], model)
        if not names:
            continue
        targets = Engine(model, x).targets
        for name in methods:
            if start not in missing[name] or name in unfit:
                continue
            try:
                attribution = attribute(name, model, x, targets, first=start)
            except ValueError as error:
                unfit[name] = str(error)
                warnings.warn(f"{LABELS[name]} is left out: {error}", stacklevel=2)
                continue
            scores = [pixel_perturbation(model, x, targets, attribution, o)[1] for o in ORDERS]
            log.add(start, name, names, targets, scores)
    results = {name: log.scores(name) for name in methods if name not in unfit}
    results = {name: scores for name, scores in results.items() if len(scores[ORDERS[0]])}
    if not results:
        raise ValueError("no method gave a result")
    write_atomically(output, _table(results).encode())
    write_atomically(output.with_suffix(".md"), (markdown(results) + "\n").encode())
    return results


def _read(folder: Path, names: Sequence[str], model: Any) -> tuple[Tensor, list[str]]:
    """Pictures as a batch on the network's device, and the names of those that could be read."""
    inputs, read = [], []
    for name in names:
        try:
            inputs.append(model.preprocess(load_photo(folder / name)))
        except ValueError as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
        else:
            read.append(name)
    like = next(model.parameters())
    return (torch.cat(inputs).to(like) if inputs else torch.empty(0)), read


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
    """The scores of every picture, one block a unit, in a file that is only ever appended to."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        head = f"# {json.dumps(settings, sort_keys=True)}\n{','.join(_COLUMNS)}\n"
        self._rows: dict[tuple[int, str], list[dict[str, str]]] = {}
        if not path.exists():
            write_atomically(path, head.encode())
            return
        text = path.read_text()
        if not text.startswith(head):
            raise ValueError(
                f"{str(path)!r} was made with other settings: {text.partition(chr(10))[0][2:]}. "
                "Choose another --output, or remove that file"
            )
        # A block that was being written when the machine went down has no closing line.
        whole = text[: text.rfind("\n#\n") + 3] if "\n#\n" in text else head
        if whole != text:
            write_atomically(path, whole.encode())
        lines = [line for line in whole.splitlines()[1:] if line != "#"]
        for row in csv.DictReader(lines):
            self._rows.setdefault((int(row["batch"]), row["method"]), []).append(row)

    def has(self, batch: int, method: str) -> bool:
        return (batch, method) in self._rows

    def add(
        self,
        batch: int,
        method: str,
        pictures: Sequence[str],
        targets: Tensor,
        scores: Sequence[Tensor],
    ) -> None:
        rows = [
            dict(zip(_COLUMNS, (batch, method, name, target, *(f"{s:.9g}" for s in row)),
                     strict=True))
            for name, target, *row in zip(
                pictures, targets.tolist(), *(s.tolist() for s in scores), strict=True
            )
        ]  # fmt: skip
        text = io.StringIO(newline="")
        csv.DictWriter(text, _COLUMNS, lineterminator="\n").writerows(rows)
        with open(self._path, "a", newline="") as file:
            file.write(text.getvalue() + "#\n")
            file.flush()
            os.fsync(file.fileno())
        self._rows[batch, method] = rows

    def scores(self, method: str) -> dict[str, Tensor]:
        rows = [row for key in sorted(self._rows) if key[1] == method for row in self._rows[key]]
        return {
            order: torch.tensor([float(row[order]) for row in rows], dtype=torch.float64)
            for order in ORDERS
        }
