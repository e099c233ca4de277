"""Pixel perturbation of all methods (DGA, Table 1): in memory, or a folder of pictures with resume.

A unit of work is one method on one batch. Its curves are one file, written atomically: if the file
exists the unit is done, so that an interrupted evaluation goes on where it stopped. Batches are
composed by position alone, so that a resumed run, or one shared by several processes, computes what
one uninterrupted process does.
"""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.datasets.folder import IMG_EXTENSIONS

from dga import __version__
from dga.batches import Halving
from dga.controls import CONTROLS as _CONTROLS
from dga.engine import Engine, Progress, current_precision, ticks
from dga.experiments.class_activation import grad_cam
from dga.experiments.comparison import Measured, compared, markdown
from dga.experiments.processes import ALONE, Group
from dga.filling import FILLS, Fill
from dga.methods import METHODS, Method
from dga.metrics import SHARES, Order, pixel_perturbation
from dga.validation import Targets, check_choice, check_count, check_targets, out_of_memory
from dga.zoo.files import write_atomically
from dga.zoo.photographs import load_photo

TABLE = ("random", "gi", "gbp", "ig", "fg", "gig", "dga")  # of Table 1, and a random order
CONTROLS = {**_CONTROLS, "gradcam": Method(grad_cam, "Grad-CAM", "#7f7f7f")}
ALL = {"random": CONTROLS["random"], **METHODS, **CONTROLS}
LABELS = {name: method.label for name, method in ALL.items()}
ORDERS: tuple[Order, ...] = ("lerf", "morf")
# What is averaged: Table 1's two scores, and the ends of the curves, where methods differ most.
MEASURES: dict[str, tuple[Order, tuple[float, ...]]] = {
    "lerf": ("lerf", SHARES),
    "morf": ("morf", SHARES),
    "fine morf": ("morf", tuple(k / 100 for k in range(11))),
    "high lerf": ("lerf", tuple(k / 100 for k in range(90, 100))),
}
_COLUMNS = ("picture", "target", "fill", "measure", "curve")


class NothingToEvaluate(ValueError):
    """No picture can be read, or no method fits the network.

    Example:
        >>> raise NothingToEvaluate("no picture can be read")
        Traceback (most recent call last):
        ...
        dga.experiments.evaluation.NothingToEvaluate: no picture can be read
    """


def attribute(
    name: str, model: nn.Module, inputs: Tensor, targets: Targets = None, *, first: int = 0
) -> Tensor:
    """An attribution by the short name of its method or control.

    Args:
        name: see `LABELS`.
        model, inputs, targets: as for every method.
        first: number of the first picture; what is random meets a picture alike in any batch.

    Example:
        >>> import torch
        >>> attribute("random", None, torch.zeros(2, 3, 4, 4)).shape
        torch.Size([2, 3, 4, 4])
    """
    check_choice("method", name, tuple(ALL))
    function = ALL[name].function
    numbered = {"first": first} if "first" in inspect.signature(function).parameters else {}
    return function(model, inputs, targets, **numbered)


def perturbation_scores(
    model: nn.Module,
    inputs: Tensor,
    methods: Sequence[str] = TABLE,
    targets: Targets = None,
    *,
    batch: int = 16,
    fill: Fill = "mean",
    progress: Progress = False,
) -> dict[str, dict[str, Tensor]]:
    """LeRF and MoRF of several methods on the same pictures.

    Args:
        model: classifier in evaluation mode.
        inputs: (B, C, H, W), normalised.
        methods: short names, see `LABELS`.
        targets: None (class predicted for the untouched picture), an int, or integers (B,).
        batch: pictures at a time.
        fill: what removed pixels become, see `pixel_perturbation`.
        progress: show a progress bar.

    Returns:
        method -> {"lerf": (B,), "morf": (B,)}, see `pixel_perturbation`.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        >>> scores = perturbation_scores(model, torch.rand(5, 3, 4, 4), ("random", "gi"))
        >>> scores["gi"]["lerf"].shape
        torch.Size([5])
    """
    check_count("batch", batch)
    _check_names("methods", methods, tuple(ALL))
    parts: dict[str, dict[str, list[Tensor]]] = {m: {o: [] for o in ORDERS} for m in methods}
    requested = check_targets(targets, inputs)
    for start in ticks(range(0, len(inputs), batch), progress, "Pixel perturbation"):
        x = inputs[start : start + batch]
        some = requested[start : start + batch] if isinstance(requested, Tensor) else requested
        some = Engine(model, x, some).targets
        for name in methods:
            attribution = attribute(name, model, x, some, first=start)
            curves = pixel_perturbation(model, x, attribution, some, "both", fill=fill)
            for order, curve in zip(ORDERS, curves, strict=True):
                parts[name][order].append(curve.mean(1))
    return {m: {o: torch.cat(v) for o, v in orders.items()} for m, orders in parts.items()}


def find_pictures(folder: Path) -> list[str]:
    """Every picture below a folder, sorted, as paths relative to it.

    Raises:
        ValueError: if it is not a folder, or holds no pictures.

    Example:
        >>> find_pictures(Path("nowhere"))
        Traceback (most recent call last):
        ValueError: folder 'nowhere' is not a folder
    """
    if not folder.is_dir():
        raise ValueError(f"folder {str(folder)!r} is not a folder")
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in IMG_EXTENSIONS and path.is_file()
    )
    if not found:
        kinds = ", ".join(IMG_EXTENSIONS)
        raise ValueError(f"folder {str(folder)!r} holds no pictures ({kinds})")
    return found


def evaluate_folder(model: Any, folder: Path, output: Path, **options: Any) -> Measured:
    """Table 1 for a network and a folder of pictures; goes on where an earlier call was stopped.

    Args:
        model, folder, output, options: see `Evaluation`; `group` and `progress` are those of its
            `run`.

    Returns:
        The scores of every picture, (method, fill, measure) -> (pictures,).

    Example:
        >>> evaluate_folder(None, Path("nowhere"), Path("table.csv"))
        Traceback (most recent call last):
        ValueError: folder 'nowhere' is not a folder
    """
    running = {key: options.pop(key) for key in ("group", "progress") if key in options}
    return Evaluation(model, folder, output, **options).run(**running)


class Evaluation:
    """An evaluation of a folder, checked and ready to run.

    `run` writes the table as `output` (CSV) and as Markdown (.md), and beside them a folder
    (.parts) with the curves of every picture, which a later call resumes from. Its `settings.json`
    holds all that the scores depend on; other settings are an error, not a mixture.

    Args:
        model: with `preprocess`, in evaluation mode, on its device.
        folder: searched with its subfolders.
        output: a path that ends in .csv.
        methods: short names, see `LABELS`.
        fills: what removed pixels become, one or more of `dga.filling.FILLS`.
        limit: the first so many pictures.
        batch: pictures at a time.
        seed: of the order among ties, and of the noise of linear imputation.

    Attributes:
        settings: what the scores depend on.
        parts: the folder of the curves.

    Raises:
        ValueError, TypeError: for arguments that are wrong, before any picture is read.

    Example:
        >>> import dga
        >>> Evaluation(dga.load_model("vgg"), Path("nowhere"), Path("table.csv"))
        Traceback (most recent call last):
        ...
        ValueError: folder 'nowhere' is not a folder
    """

    def __init__(
        self,
        model: Any,
        folder: Path,
        output: Path,
        *,
        methods: Sequence[str] = TABLE,
        fills: Sequence[Fill] = ("mean",),
        limit: int | None = None,
        batch: int = 16,
        seed: int = 0,
    ) -> None:
        pictures = find_pictures(folder)
        if output.suffix != ".csv":
            raise ValueError(f"output {str(output)!r} must end in .csv")
        if not output.absolute().parent.is_dir():
            raise ValueError(f"output: the folder {str(output.absolute().parent)!r} does not exist")
        _check_names("methods", methods, tuple(ALL))
        _check_names("fills", fills, FILLS)
        check_count("batch", batch)
        check_count("seed", seed, 0)
        if limit is not None:
            check_count("limit", limit)
        self._model, self._folder, self._output = model, folder, output
        self._methods, self._batch, self._seed = tuple(methods), batch, seed
        self._fills: tuple[Fill, ...] = tuple(fills)
        self._pictures = pictures[:limit]
        self.parts = output.with_suffix(".parts")
        self.settings = {
            **_of_the_model(model),
            **_of_the_pictures(folder, self._pictures),
            "fills": list(fills),
            "batch": batch,
            "seed": seed,
            "measures": {measure: [o, list(s)] for measure, (o, s) in MEASURES.items()},
            "dga": __version__,
            "torch": torch.__version__,
        }
        self._check_settings()

    def run(self, group: Group = ALONE, progress: Progress = False) -> Measured:
        """Computes what is missing, and writes the table.

        All methods are tried on the first batch; one that raises there does not fit the network,
        and is left out with a warning. A picture that cannot be read is left out with a warning, in
        all methods alike.

        Args:
            group: the processes that share the work; all see the folder of `output`.
            progress: show a progress bar.

        Returns:
            The scores of every picture, (method, fill, measure) -> (pictures,).

        Raises:
            NothingToEvaluate: if no picture can be read or no method fits the network.
            RuntimeError: if a method fails on a later batch, naming method and pictures. What was
                finished is kept.
        """
        if group.rank == 0:
            self._write_settings()
        group.wait()
        starts = list(range(0, len(self._pictures), self._batch))
        methods = self._fitting(starts, group)
        units = [(s, m) for s in starts for m in methods if not self._file(s, m).exists()]
        group.wait()  # until all have seen what is done
        mine = units[group.rank :: group.size]
        todo = sorted({start for start, _ in mine})
        read = _ahead([partial(self._read, start) for start in todo])
        halving = Halving()
        for k in ticks(range(len(todo)), progress, "Evaluating"):
            x, names = next(read)
            if not names:
                continue
            doing = "the network"
            try:
                x = self._to_model(x)
                targets = Engine(self._model, x).targets
                for method in [m for start, m in mine if start == todo[k]]:
                    doing = LABELS[method]
                    self._work(method, x, names, targets, todo[k], halving)
            except Exception as error:
                last = min(todo[k] + self._batch, len(self._pictures)) - 1
                raise RuntimeError(
                    f"{doing} failed on pictures {todo[k]} to {last} ({names[0]} to {names[-1]}): "
                    f"{error}. What was finished is kept in {str(self.parts)!r}"
                ) from error
        group.wait()
        scores = self._scores(starts, methods)
        if group.rank == 0:
            write_atomically(self._output, compared(scores).encode())
            text = markdown(scores, LABELS) + "\n"
            write_atomically(self._output.with_suffix(".md"), text.encode())
        return scores

    def _fitting(self, starts: Sequence[int], group: Group) -> list[str]:
        """The methods that fit the network: they are tried on the first pictures."""
        for start in starts:
            missing = [m for m in self._methods if not self._file(start, m).exists()]
            group.wait()  # until all have seen what is done
            if not missing:
                return list(self._methods)
            x, names = self._read(start)
            if names:
                break
        else:
            raise NothingToEvaluate(
                f"folder {str(self._folder)!r} holds no picture that can be read"
            )
        x = self._to_model(x)
        targets = Engine(self._model, x).targets
        halving, unfit = Halving(), {}
        for method in missing[group.rank :: group.size]:
            try:
                self._work(method, x, names, targets, start, halving)
            except Exception as error:
                if out_of_memory(error):
                    raise
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                unfit[method] = f"{LABELS[method]} is left out: {kind}{error}"
        unfit = {method: why for some in group.gathered(unfit) for method, why in some.items()}
        for why in unfit.values() if group.rank == 0 else ():
            warnings.warn(why, stacklevel=3)
        if len(unfit) == len(self._methods):
            raise NothingToEvaluate(f"no method fits the network: {'; '.join(unfit.values())}")
        return [method for method in self._methods if method not in unfit]

    def _work(
        self,
        method: str,
        x: Tensor,
        names: Sequence[str],
        targets: Tensor,
        start: int,
        halving: Halving,
    ) -> None:
        """One unit: the curves of one method on one batch, into their file."""

        def run(part: slice) -> Tensor:
            some, wanted = x[part], targets[part]
            heat = attribute(method, self._model, some, wanted, first=start + part.start)
            found = [self._curves(some, heat, wanted, fill) for fill in self._fills]
            return torch.stack(found, 1).cpu()

        curves = halving(run, len(x))  # (B, fills, all shares of all measures)
        lengths = [len(shares) for _, shares in MEASURES.values()]
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for name, target, by_fill in zip(names, targets.tolist(), curves, strict=True):
            for fill, row in zip(self._fills, by_fill, strict=True):
                for measure, curve in zip(MEASURES, row.split(lengths), strict=True):
                    values = " ".join(f"{value:.6g}" for value in curve.tolist())
                    writer.writerow([name, target, fill, measure, values])
        write_atomically(self._file(start, method), text.getvalue().encode())

    def _curves(self, x: Tensor, heat: Tensor, targets: Tensor, fill: Fill) -> Tensor:
        """The curves of all measures, one behind the other, (B, shares)."""
        curves: dict[tuple[str, float], Tensor] = {}
        for order in ORDERS:
            shares = sorted({s for o, some in MEASURES.values() if o == order for s in some})
            curve = pixel_perturbation(
                self._model, x, heat, targets, order, shares=shares, fill=fill, seed=self._seed
            )
            curves |= {(order, s): curve[:, k] for k, s in enumerate(shares)}
        wanted = [(order, share) for order, shares in MEASURES.values() for share in shares]
        return torch.stack([curves[key] for key in wanted], 1)

    def _scores(self, starts: Sequence[int], methods: Sequence[str]) -> Measured:
        """The means of the curves, from the files."""
        scores: dict[tuple[str, str, str], list[float]] = {}
        for method in methods:
            for start in starts:
                if not self._file(start, method).exists():  # no picture of it could be read
                    continue
                with open(self._file(start, method), newline="") as file:
                    for row in csv.DictReader(file):
                        values = [float(value) for value in row["curve"].split()]
                        key = (method, row["fill"], row["measure"])
                        scores.setdefault(key, []).append(sum(values) / len(values))
        order = [(m, f, measure) for m in methods for f in self._fills for measure in MEASURES]
        return {key: torch.tensor(scores[key], dtype=torch.float64, device="cpu") for key in order}

    def _file(self, start: int, method: str) -> Path:
        return self.parts / f"{start:06}-{method}.csv"

    def _check_settings(self) -> None:
        file = self.parts / "settings.json"
        if not file.exists():
            return
        old = json.loads(file.read_text())
        new = json.loads(json.dumps(self.settings))
        other = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if other:
            said = "; ".join(f"{key} {old.get(key)!r}, now {new.get(key)!r}" for key in other)
            raise ValueError(
                f"{str(self.parts)!r} was made with other settings: {said}. Choose another output, "
                "or remove that folder"
            )

    def _write_settings(self) -> None:
        self.parts.mkdir(exist_ok=True)
        text = json.dumps(self.settings, indent=1) + "\n"
        write_atomically(self.parts / "settings.json", text.encode())

    def _read(self, start: int) -> tuple[Tensor, list[str]]:
        """A batch, and the names of the pictures that could be read.

        It stays on the CPU: this runs in a thread, while the GPU may be recording a step.
        """
        names = self._pictures[start : start + self._batch]

        def load(name: str) -> Tensor | str:
            try:
                return self._model.preprocess(load_photo(self._folder / name))  # type: ignore[no-any-return]
            except ValueError as error:
                return f"left out: {error}"

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as workers:
            loaded = dict(zip(names, workers.map(load, names), strict=True))
        for message in loaded.values():
            if isinstance(message, str):
                warnings.warn(message, stacklevel=2)
        read = {name: x for name, x in loaded.items() if isinstance(x, Tensor)}
        return (torch.cat(list(read.values())) if read else torch.empty(0)), list(read)

    def _to_model(self, x: Tensor) -> Tensor:
        return x.to(next(self._model.parameters()))


def _check_names(argument: str, names: Sequence[str], known: tuple[str, ...]) -> None:
    for name in names:
        check_choice(argument, name, known)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{argument} must hold one or more names, none twice, got {list(names)}")


def _of_the_model(model: Any) -> dict[str, Any]:
    """Fingerprints: the network by its weights and buffers, the preparation by what it does."""
    weights = hashlib.sha256()
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        weights.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    prepared = model.preprocess(Image.fromarray(pixels)).contiguous()
    kind = type(model)
    parameter = next(model.parameters())
    return {
        "network": f"{kind.__module__}.{kind.__qualname__} {getattr(model, 'name', '')}".strip(),
        "weights": weights.hexdigest(),
        "preprocessing": hashlib.sha256(prepared.numpy()).hexdigest(),
        "size": list(prepared.shape[1:]),
        "precision": current_precision() or str(parameter.dtype).removeprefix("torch."),
        "device": parameter.device.type,
    }


def _of_the_pictures(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    contents = hashlib.sha256()
    for name in names:
        contents.update(name.encode() + b"\0")
        contents.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return {"pictures": len(names), "contents": contents.hexdigest()}


def _ahead(calls: Sequence[Any]) -> Iterator[Any]:
    """The results of the calls, each made while the one before is worked on."""
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(calls[0]) if calls else None
        for call in [*calls[1:], None]:
            if following is not None:
                result = following.result()
                following = worker.submit(call) if call else None
                yield result
