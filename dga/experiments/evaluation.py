"""Pixel perturbation of all methods (DGA, Table 1): in memory, or a folder of pictures with resume.

A unit of work is one method on one batch. Its curves are one file, written atomically: if it holds
every picture of the batch that can be read the unit is done, so that an interrupted evaluation goes
on where it stopped. Two at once write the same files, one from the end. Batches are composed by
position alone, so that a resumed run, or one shared by several processes, computes what one
uninterrupted process does.
"""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

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
from dga.zoo.files import alone_in, write_atomically
from dga.zoo.photographs import find_pictures, load_photo

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
_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}  # any name of a file
# How files begin that an evaluation wrote, and may therefore write over.
_OURS = (b"method,fill,measure,", b"| method |", b"Removed pixels filled in")


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
    holds all that the scores depend on; other settings are an error, not a mixture. A photograph
    that could not be read may change: once it can be read it gets its turn.

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
        left_out: pictures that could not be read, after `run`.

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
        _check_output(output)
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
        self.left_out: list[str] = []
        self._files = _digests(folder, self._pictures)
        self._unreadable: set[str] = set()
        self.settings = {
            **fingerprint(model),
            **_of_the_pictures(self._files),
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

        All methods are tried on one batch; one that raises there does not fit the network, and is
        left out with a warning. A picture that cannot be read is left out with a warning, in
        all methods alike; a later call tries it again.

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
            self._begin()
        group.wait()
        with alone_in(self.parts) if group.rank == 0 else nullcontext(True) as alone:
            if not alone:
                said = f"another evaluation is at work in {str(self.parts)!r}: this one begins"
                warnings.warn(f"{said} at the end; what both compute counts once", stacklevel=2)
            return self._run(group, progress, backwards=not alone)

    def _run(self, group: Group, progress: Progress, backwards: bool) -> Measured:
        starts = list(range(0, len(self._pictures), self._batch))
        order = starts[::-1] if backwards else starts
        methods = self._fitting(order, group)
        units = [(s, m) for s in order for m in methods if not self._done(s, m)]
        group.wait()  # until all have seen what is done
        mine = units[group.rank :: group.size]
        todo = list(dict.fromkeys(start for start, _ in mine))
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
            text = markdown(scores, LABELS) + "\n"
            if self.left_out:
                total, gone = len(self._pictures), len(self.left_out)
                said = f"{total - gone} of {total} pictures, without {_some(self.left_out)}"
                warnings.warn(said, stacklevel=3)
                text += f"\n{said}.\n"
            write_atomically(self._output, compared(scores).encode())
            write_atomically(self._output.with_suffix(".md"), text.encode(**_TEXT))
        return scores

    def _fitting(self, starts: Sequence[int], group: Group) -> list[str]:
        """The methods that fit the network: they are tried on the first pictures."""
        for start in starts:
            missing = [m for m in self._methods if not self._done(start, m)]
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
            warnings.warn(why, stacklevel=4)
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
        if self._done(start, method):  # by another evaluation, meanwhile
            return

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
            if "\r" in name:  # Python up to 3.12 leaves it without quotes
                writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
            for fill, row in zip(self._fills, by_fill, strict=True):
                for measure, curve in zip(MEASURES, row.split(lengths), strict=True):
                    values = " ".join(f"{value:.6g}" for value in curve.tolist())
                    writer.writerow([name, target, fill, measure, values])
        write_atomically(self._file(start, method), text.getvalue().encode(**_TEXT))

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
        """The means of the curves, from the files, of the pictures that all methods have."""
        found = {m: {k: v for s in starts for k, v in self._unit(s, m).items()} for m in methods}
        whole = [name for name in self._pictures if all(name in found[m] for m in methods)]
        self.left_out = [name for name in self._pictures if name not in set(whole)]
        order = [(m, f, measure) for m in methods for f in self._fills for measure in MEASURES]
        values = {(m, f, k): [found[m][name][f, k] for name in whole] for m, f, k in order}
        return {
            key: torch.tensor(some, dtype=torch.float64, device="cpu")
            for key, some in values.items()
        }

    def _file(self, start: int, method: str) -> Path:
        return self.parts / f"{start:06}-{method}.csv"

    def _batch_of(self, start: int) -> list[str]:
        return self._pictures[start : start + self._batch]

    def _unit(self, start: int, method: str) -> dict[str, dict[tuple[str, str], float]]:
        """What a file holds: picture -> (fill, measure) -> mean. Nothing if it is damaged."""
        found: dict[str, dict[tuple[str, str], float]] = {}
        names = set(self._batch_of(start))
        wanted = [(fill, measure) for fill in self._fills for measure in MEASURES]
        try:
            with open(self._file(start, method), newline="", **_TEXT) as file:
                for row in csv.DictReader(file, strict=True):
                    values = [float(value) for value in row["curve"].split()]
                    key = (row["fill"], row["measure"])
                    known = found.setdefault(row["picture"], {})
                    if key in known or len(values) != len(MEASURES[row["measure"]][1]):
                        return {}
                    known[key] = sum(values) / len(values)
        except (OSError, ValueError, KeyError, AttributeError, TypeError, csv.Error):
            return {}
        whole = all(list(known) == wanted for known in found.values())
        return found if whole and found.keys() <= names else {}

    def _done(self, start: int, method: str) -> bool:
        """Whether there is nothing left to do for a unit: no more pictures of it can be read."""
        there = self._unit(start, method)
        return bool(there) and not any(
            self._load(name) is not None
            for name in self._batch_of(start)
            if name not in there and name not in self._unreadable
        )

    def _kept(self) -> dict[str, Any] | None:
        """The settings of an earlier run into this folder, if there was one."""
        try:
            kept = json.loads((self.parts / "settings.json").read_text(**_TEXT))
        except (FileNotFoundError, ValueError):
            kept = None
        if isinstance(kept, dict):
            return kept
        if any(self.parts.glob("*.csv")):
            raise ValueError(
                f"{str(self.parts)!r} holds curves, but its settings.json is missing or damaged, "
                "so that nobody can tell what they are of. Choose another output, or remove that "
                "folder"
            )
        return None

    def _check_settings(self) -> None:
        old = self._kept()
        if old is None:
            return
        files = old.pop("files", None)  # runs before this was kept have none
        new = json.loads(json.dumps(self.settings))
        said = [
            f"{key} {old.get(key)!r}, now {new.get(key)!r}"
            for key in {**old, **new}
            if not _same(key, old.get(key), new.get(key))
        ]
        if files and old.get("contents") != new["contents"]:
            changes = _changes(files, self._files)
            if set(changes) == {"changed"} and not self._evaluated(changes["changed"]):
                changes = {}  # no score of it is there: it may have been repaired
            said = [text for text in said if not text.startswith("contents ")]
            said += [f"contents {_some(names)} {how}" for how, names in changes.items()]
        if said:
            raise ValueError(
                f"{str(self.parts)!r} was made with other settings: {'; '.join(said)}. Choose "
                "another output, or remove that folder"
            )

    def _evaluated(self, names: Sequence[str]) -> bool:
        """Whether there are curves of one of these pictures, by whatever method."""
        wanted = set(names)
        for path in self.parts.glob("*.csv"):
            with open(path, newline="", **_TEXT) as file, suppress(csv.Error):  # damaged: no unit
                if any(row and row[0] in wanted for row in csv.reader(file)):
                    return True
        return False

    def _begin(self) -> None:
        """Makes the folder; of two evaluations that begin at once, one finds the other's."""
        text = json.dumps({**self.settings, "files": self._files}, indent=1) + "\n"
        fresh = self.parts.with_name(f".{self.parts.name}.{os.getpid()}")
        fresh.mkdir(exist_ok=True)
        (fresh / "settings.json").write_text(text)
        try:
            fresh.rename(self.parts)
        except OSError:  # there is such a folder, with something in it
            shutil.rmtree(fresh)
            self._check_settings()
            write_atomically(self.parts / "settings.json", text.encode())

    def _read(self, start: int) -> tuple[Tensor, list[str]]:
        """A batch, and the names of the pictures that could be read.

        It stays on the CPU: this runs in a thread, while the GPU may be recording a step.
        """
        names = self._batch_of(start)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as workers:
            loaded = zip(names, workers.map(self._load, names), strict=True)
            read = {name: x for name, x in loaded if x is not None}
        return (torch.cat(list(read.values())) if read else torch.empty(0)), list(read)

    def _load(self, name: str) -> Tensor | None:
        """A picture as the network takes it; None, with a warning, if it cannot be read."""
        try:
            return self._model.preprocess(load_photo(self._folder / name))  # type: ignore[no-any-return]
        except ValueError as error:
            if name not in self._unreadable:
                self._unreadable.add(name)
                warnings.warn(f"left out: {error}", stacklevel=2)
            return None

    def _to_model(self, x: Tensor) -> Tensor:
        return x.to(next(self._model.parameters()))


def _check_names(argument: str, names: Sequence[str], known: tuple[str, ...]) -> None:
    for name in names:
        check_choice(argument, name, known)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{argument} must hold one or more names, none twice, got {list(names)}")


def _check_output(output: Path) -> None:
    """Whether the table can be written there, and destroys no file of another kind."""
    if output.suffix != ".csv":
        raise ValueError(f"output {str(output)!r} must end in .csv")
    folder, parts = output.absolute().parent, output.with_suffix(".parts")
    if not folder.is_dir():
        raise ValueError(f"output: the folder {str(folder)!r} does not exist")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"output: the folder {str(folder)!r} cannot be written to")
    if parts.exists() and not parts.is_dir():
        raise ValueError(f"output needs a folder {str(parts)!r}, which is a file")
    for path in (output, output.with_suffix(".md")):
        content = path.read_bytes() if path.is_file() else b""
        if path.is_dir() or (content and not content.startswith(_OURS)):
            raise ValueError(
                f"output {str(path)!r} is there already, and no evaluation wrote it: choose "
                "another name, or move it away"
            )


def fingerprint(model: Any) -> dict[str, Any]:
    """The network by its weights, layers and answers, the preparation by what it does.

    Args:
        model: with `preprocess`.

    Example:
        >>> import dga
        >>> fingerprint(dga.load_model("vgg"))["size"]
        [3, 64, 64]
    """
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
        "layers": hashlib.sha256(_ADDRESS.sub("", repr(model)).encode(**_TEXT)).hexdigest(),
        "answers": _answers(model, prepared.to(parameter)),
        "preprocessing": hashlib.sha256(prepared.numpy()).hexdigest(),
        "size": list(prepared.shape[1:]),
        "precision": current_precision() or str(parameter.dtype).removeprefix("torch."),
        "device": parameter.device.type,
    }


_ADDRESS = re.compile(" at 0x[0-9a-fA-F]+")  # of a function that a layer shows


def _answers(model: Any, prepared: Tensor) -> list[float]:
    """The least, the greatest and the length of the scores of one picture: what a forward does."""
    try:
        scores = Engine(model, prepared).scores(prepared).double()
    except (TypeError, ValueError):  # every method will say so
        return []
    return [float(f"{float(v):.3g}") for v in (scores.min(), scores.max(), scores.norm())]


def _same(key: str, old: Any, new: Any) -> bool:
    """Whether a setting is as it was; answers on another machine differ by rounding."""
    if key != "answers" or not old or not new:
        return bool(old == new)
    near = 0.05 * max(*map(abs, old), *map(abs, new))
    return len(old) == len(new) and all(abs(a - b) <= near for a, b in zip(old, new, strict=True))


def _digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file; of one that cannot be read, which `run` will name, nothing."""
    digests = {}
    for name in names:
        try:
            digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError:
            digests[name] = ""
    return digests


def _of_the_pictures(files: Mapping[str, str]) -> dict[str, Any]:
    contents = hashlib.sha256()
    for name, digest in files.items():
        contents.update(name.encode(**_TEXT) + b"\0" + bytes.fromhex(digest))
    return {"pictures": len(files), "contents": contents.hexdigest()}


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, list[str]]:
    """Which files differ, and how."""
    changes = {
        "changed": [name for name in new if name in old and old[name] != new[name]],
        "not there any more": [name for name in old if name not in new],
        "new": [name for name in new if name not in old],
    }
    return {how: names for how, names in changes.items() if names}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _ahead(calls: Sequence[Any]) -> Iterator[Any]:
    """The results of the calls, each made while the one before is worked on."""
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(calls[0]) if calls else None
        for call in [*calls[1:], None]:
            if following is not None:
                result = following.result()
                following = worker.submit(call) if call else None
                yield result
