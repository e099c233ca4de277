"""The command line: python -m dga explain | evaluate | benchmark | train | render."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from PIL import Image

import dga
from dga import interruption
from dga.engine import PRECISIONS, precision
from dga.experiments import processes
from dga.experiments.allocator import keep_freed_memory
from dga.experiments.comparison import markdown
from dga.experiments.evaluation import (
    CONTROLS,
    LABELS,
    TABLE,
    Evaluation,
    NothingToEvaluate,
)
from dga.experiments.explanations import Explaining, check_png, metadata, plan
from dga.filling import FILLS
from dga.methods import METHODS
from dga.metrics import bootstrap_interval
from dga.validation import check_count, check_number, check_share
from dga.zoo.files import DATA, write_atomically
from dga.zoo.loading import LITE0, SHIPPED, load_model
from dga.zoo.photographs import find_pictures, load_photo
from dga.zoo.pictures import FIGURES, TEST, write_pictures


class BadInput(Exception):
    """What the user gave cannot be used: told in one line, without a traceback."""


# What the library calls an argument, and which option gave it.
_OPTIONS = {
    "folder": "--images", "fills": "--fill", "name": "--model", "weights": "--weights",
    "target": "--target", "output": "--output", "methods": "--methods", "limit": "--limit",
    "batch": "--batch", "steps": "--steps", "epc_quantile": "--epc-quantile",
    "negative_scale": "--negative-scale", "rounds": "--rounds", "epochs": "--epochs",
    "pictures": "--pictures", "seed": "--seed", "plot": "--plot",
}  # fmt: skip
_LARGEST = 2**31 - 1  # of whole numbers, which torch and range know as well


@contextmanager
def _checking() -> Iterator[None]:
    """Around checks of arguments, files and downloads only: whatever computes may have our bugs."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        message = str(error).replace("weights=PATH", "--weights FILE")
        first = message.partition(" ")[0]
        option = _OPTIONS.get(first.rstrip(":"))
        raise BadInput(option + message[len(first.rstrip(":")) :] if option else message) from error


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; an error in our own code shows where it happened.

    Args:
        arguments: None for those of this process, which then keeps the memory it frees.

    Returns:
        0 if all went well, 2 for bad input, 130 if interrupted.
    """
    if arguments is None:
        keep_freed_memory()
        _open_streams()
    options = _parser().parse_args(arguments)
    try:
        interruption.end_in_order()
        options.run(options)
    except BaseException as error:
        if interruption.came() or isinstance(error, KeyboardInterrupt):
            print(f"dga {options.command}: interrupted", file=sys.stderr)
            return 130
        if not isinstance(error, BadInput):
            raise
        if options.debug:
            traceback.print_exc()
        message = " ".join(str(error).split())
        print(f"dga {options.command}: {textwrap.shorten(message, 400)}", file=sys.stderr)
        return 2
    return 0


class _Stream(io.TextIOWrapper):
    """What nobody reads any more (`| head -1`) goes nowhere, and the work goes on."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def _open_streams() -> None:
    """Standard streams that are closed (`2>&-`) lead nowhere; names of any bytes can be told."""
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # else a file would get their number
        pass
    os.close(free)
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))
        elif type(stream) is io.TextIOWrapper:  # not that of a notebook or a test
            tolerant = _Stream(
                stream.buffer, stream.encoding, "backslashreplace",
                line_buffering=stream.line_buffering, write_through=stream.write_through,
            )  # fmt: skip
            setattr(sys, name, tolerant)


def _whole(text: str) -> int:
    """A whole number, as an option gives it."""
    number = int(text)
    if abs(number) > _LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is out of range: at most {_LARGEST}")
    return number


_whole.__name__ = "whole number"  # in argparse's message


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dga",
        description="Distilled Gradient Aggregation: which pixels made an image classifier say "
        "what it said.",
        epilog="example: dga explain chelsea. Every command tells more: dga COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"dga {dga.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    explain = _add(
        commands,
        "explain",
        help="which pixels of photographs made a network say what it said",
        examples=(
            "dga explain chelsea --output cat.png",
            "dga explain photo.jpg --model resnet50 --target 'tabby cat' --method ig",
            "dga explain photos coffee --output explained",
        ),
        description="Explains a photograph: prints the top-5 predictions, writes a picture of "
        "photograph, heatmap and overlay. Of several, or of a folder, each becomes a picture "
        "PHOTO.png in the folder of --output; called again after an interruption, it goes on where "
        "it stopped.",
        epilog="methods: " + ", ".join(f"{k} ({m.label})" for k, m in METHODS.items()),
    )
    explain.add_argument(
        "photo", metavar="PHOTO", nargs="+",
        help="a file, a URL, one of chelsea, coffee, rocket, astronaut, or a folder of files, "
        "searched with its subfolders",
    )  # fmt: skip
    _add_network(explain)
    explain.add_argument(
        "--target", metavar="CLASS", help="class name or index (default: the predicted class)"
    )
    explain.add_argument(
        "--method", choices=list(METHODS), default="dga", help="(default: %(default)s)"
    )
    explain.add_argument("--steps", type=_whole, metavar="N", help="steps of dga, stable, ig, gig")
    explain.add_argument("--epc-quantile", type=float, metavar="Q", help="q of dga, stable")
    explain.add_argument("--negative-scale", type=float, metavar="BETA", help="beta of dga, stable")
    explain.add_argument(
        "--output", type=Path, metavar="PNG",
        help="picture to write (default: heat.png), or a folder for several (default: heat)",
    )  # fmt: skip
    explain.add_argument("--device", help="cpu, cuda or mps (default: a GPU where there is one)")
    explain.add_argument(
        "--json", action="store_true", help="print a JSON object per photograph, for scripts"
    )
    explain.set_defaults(run=_explain)

    evaluate = _add(
        commands,
        "evaluate",
        help="pixel perturbation (Table 1 of the paper) on a folder of pictures",
        examples=(
            "dga evaluate --images photos --output table.csv",
            "dga evaluate --images photos --fill mean blur linear --controls",
            "torchrun --nproc-per-node 2 -m dga evaluate --images photos",
        ),
        description="LeRF and MoRF of every method for the class the network predicts, over the "
        "whole range and at its ends: mean, 95 %% bootstrap interval, and, from ten pictures on, "
        "the difference to DGA on the same pictures with Holm's correction. Called again after an "
        "interruption, it goes on where it stopped. Writes FILE.csv and FILE.md (the table) and "
        "FILE.parts (the curves of every picture). Several processes share the work, started by "
        "torchrun or, two of them, by hand; on several machines the output must be in a folder "
        "that all of them see.",
        epilog="methods: " + ", ".join(f"{k} ({label})" for k, label in LABELS.items()),
    )
    evaluate.add_argument(
        "--images", type=Path, required=True, metavar="FOLDER",
        help="searched with its subfolders for pictures",
    )  # fmt: skip
    _add_network(evaluate)
    evaluate.add_argument(
        "--methods", nargs="+", choices=list(LABELS), default=list(TABLE), metavar="METHOD",
        help=f"(default: {' '.join(TABLE)})",
    )  # fmt: skip
    evaluate.add_argument(
        "--controls", action="store_true",
        help="also maps without a look at the network, and DGA with one part changed: "
        + ", ".join(CONTROLS),
    )  # fmt: skip
    evaluate.add_argument(
        "--fill", nargs="+", choices=FILLS, default=["mean"], metavar="FILL",
        help="what removed pixels become: mean (colour), blur, linear (from their neighbours, as "
        "in ROAD); several give a table each (default: mean)",
    )  # fmt: skip
    evaluate.add_argument("--limit", type=_whole, metavar="N", help="the first N pictures only")
    evaluate.add_argument(
        "--batch", type=_whole, default=16, help="pictures at a time (default: %(default)s)"
    )
    evaluate.add_argument(
        "--output", type=Path, default=Path("table.csv"), metavar="FILE.csv",
        help="table to write (default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--precision", choices=PRECISIONS,
        help="of the passes through the network (default: as torch is set)",
    )  # fmt: skip
    evaluate.add_argument("--device", help="cpu, cuda or mps (default: a GPU where there is one)")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.set_defaults(run=_evaluate)

    benchmark = _add(
        commands,
        "benchmark",
        help="how near DGA is to the least it can cost, on this machine",
        examples=("dga benchmark --rounds 7", "dga benchmark --plot cost.png --json"),
        description="Times DGA against a bare loop of forward and backward passes, against "
        "Captum where it is installed, and with other settings; ratios within one run. Takes about "
        "three minutes.",
    )
    benchmark.add_argument(
        "--rounds",
        type=_whole,
        default=5,
        help="how often each pair is timed (default: %(default)s)",
    )
    benchmark.add_argument(
        "--plot", type=Path, metavar="PNG", help="draw cost against N, batch and pixels as well"
    )
    benchmark.add_argument("--device", help="cpu, cuda or mps (default: a GPU where there is one)")
    benchmark.add_argument("--json", action="store_true", help="print JSON instead of a table")
    benchmark.set_defaults(run=_benchmark)

    train = _add(
        commands,
        "train",
        help="train one of the shipped networks from scratch",
        examples=("dga train vgg --seed 1 --output vgg_1.pt",),
        description="Renders the training pictures, trains, writes weights and a card (JSON). "
        "Called again after an interruption, it goes on with the last finished epoch.",
    )
    train.add_argument("name", choices=list(SHIPPED), metavar="NAME", help=", ".join(SHIPPED))
    train.add_argument(
        "--output", type=Path, metavar="FILE", help="weights to write (default: ./NAME.pt)"
    )
    train.add_argument("--epochs", type=_whole, help="passes over the pictures")
    train.add_argument("--pictures", type=_whole, default=8_000, help="(default: %(default)s)")
    train.add_argument("--seed", type=_whole, default=0, help="(default: %(default)s)")
    train.add_argument("--device", help="cpu, cuda or mps (default: a GPU where there is one)")
    train.set_defaults(run=_train)

    render = _add(
        commands,
        "render",
        help="render the shipped pictures again",
        examples=("dga render --output pictures",),
        description="Writes the test set and the pictures for figures, with masks and tables.",
    )
    render.add_argument(
        "--output", type=Path, default=DATA / "pictures", metavar="FOLDER",
        help="(default: %(default)s)",
    )  # fmt: skip
    render.set_defaults(run=_render)
    return parser


def _add(
    commands: Any, name: str, *, help: str, description: str, examples: tuple[str, ...],
    epilog: str = "",
) -> argparse.ArgumentParser:  # fmt: skip
    """A command whose --help ends with examples."""
    shown = "examples:\n" + "\n".join(f"  {example}" for example in examples)
    wide = 96
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=textwrap.fill(description, wide),
        epilog="\n\n".join(filter(None, [textwrap.fill(epilog, wide), shown])),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "--debug", action="store_true", help="show where bad input was found, not only what it is"
    )
    return command


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", default=LITE0, metavar="NAME",
        help=f"any torchvision classifier, timm/NAME, or one of ours: {', '.join(SHIPPED)} "
        "(default: %(default)s, which needs no internet)",
    )  # fmt: skip
    command.add_argument(
        "--weights", metavar="FILE",
        help="a checkpoint to load instead of the default weights (torchvision's and timm's are "
        "downloaded once)",
    )  # fmt: skip


def _explain(options: argparse.Namespace) -> None:
    settings = _settings(options)
    with _checking():
        pairs, several = plan(options.photo, options.output)
    _check_folder_of("--output", options.output or Path("heat"))
    device = _device(options.device)
    with _checking():
        photo = None if several else load_photo(options.photo[0])
        weights = options.weights or "default"
        model = load_model(options.model, weights).to(device)
        explaining = Explaining(model, weights, options.method, settings, options.target)
    if photo is not None:
        _explain_one(explaining, photo, pairs[0], options)
    else:
        with _plain_warnings("explain"):
            _explain_all(explaining, pairs, options)


def _explain_one(
    explaining: Explaining, photo: Image.Image, pair: tuple[str, Path], options: argparse.Namespace
) -> None:
    for guess in explaining.predict(photo) if not options.json else ():
        print(f"{guess['probability']:7.2%}  {guess['class']} ({guess['index']})")
    content, report = explaining(photo, pair[0], progress=not options.json)
    with _checking():
        write_atomically(pair[1], content)
    if options.json:
        print(json.dumps({**report, "output": str(pair[1])}))
        return
    name, index = report["target"].values()
    label = METHODS[options.method].label
    print(f"{label} of {name!r} ({index}) in {report['seconds']:.1f} s: {pair[1]}")


def _explain_all(
    explaining: Explaining, pairs: Sequence[tuple[str, Path]], options: argparse.Namespace
) -> None:
    from tqdm import tqdm

    unread = 0
    for name, output in tqdm(pairs, "Explaining", leave=False, disable=options.json):
        try:
            photo = load_photo(name)
        except ValueError as error:
            unread += 1
            tqdm.write(f"dga explain: left out: {error}", file=sys.stderr)
            continue
        report = explaining.known(photo, output)
        if report is None:
            content, report = explaining(photo, name)
            with _checking():
                output.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(output, content)
        if options.json:
            print(json.dumps({**report, "output": str(output)}), flush=True)
        else:
            target = report["target"]["class"]
            tqdm.write(f"{output}: {target!r} for {name}")
    if unread == len(pairs):
        raise BadInput("none of the photographs can be read")
    if unread:
        print(f"dga explain: {len(pairs) - unread} of {len(pairs)} photographs", file=sys.stderr)


def _evaluate(options: argparse.Namespace) -> None:
    with _checking():
        find_pictures(options.images)  # before a network is downloaded
    device = _device(options.device)
    methods = list(dict.fromkeys(CONTROLS)) if options.controls else []
    methods = [*options.methods, *(name for name in methods if name not in options.methods)]
    with _plain_warnings("evaluate"), processes.group() as group, precision(options.precision):
        with _checking():
            model = load_model(options.model, options.weights or "default").to(device)
            evaluation = Evaluation(
                model, options.images, options.output, methods=methods, fills=options.fill,
                limit=options.limit, batch=options.batch,
            )  # fmt: skip
        try:
            scores = evaluation.run(group, progress=group.rank == 0)
        except NothingToEvaluate as error:
            raise BadInput(str(error)) from error
    if group.rank > 0:
        return
    if not options.json:
        print(markdown(scores, LABELS))
        return
    report: dict[str, dict[str, dict[str, list[float]]]] = {}
    for (method, fill, measure), values in scores.items():
        numbers = [round(float(v), 6) for v in bootstrap_interval(values)]
        report.setdefault(method, {}).setdefault(fill, {})[measure] = numbers
    print(json.dumps({"output": str(options.output), "scores": report}))


@contextmanager
def _plain_warnings(command: str) -> Iterator[None]:
    """Warnings as one line each, without the line of code."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"dga {command}: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _check_folder_of(option: str, path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise BadInput(f"{option}: the folder {str(folder)!r} does not exist")
    if not os.access(folder, os.W_OK):
        raise BadInput(f"{option}: the folder {str(folder)!r} cannot be written to")


def _benchmark(options: argparse.Namespace) -> None:
    with _checking():
        check_count("rounds", options.rounds)
    plot: Path | None = options.plot
    if plot:
        _check_folder_of("--plot", plot)
        with _checking():
            check_png("plot", plot)
    device = _device(options.device)

    from dga.experiments import benchmark
    from dga.lessons import plots

    about = benchmark.machine(device)
    rows = benchmark.measure(device, options.rounds, progress=True)
    found = benchmark.sweeps(device, progress=True) if plot else {}
    if plot:
        write_atomically(plot, plots.png(benchmark.plot(found), metadata(about)))
    if options.json:
        print(json.dumps(benchmark.report(rows, about, found)))
        return
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(benchmark.table(rows))
    for notes in (benchmark.__doc__ or "").split("\n\n")[1:2]:  # none under python -OO
        print(textwrap.fill(" ".join(notes.split()), 100))
    if device.type == "cpu":
        parts = benchmark.shares(*benchmark.squeezenet())
        print("Of one DGA call: " + ", ".join(f"{k} {v:.1%}" for k, v in parts.items()))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options of the method that were given; an error for those it does not have."""
    settings: dict[str, Any] = {}
    for name in ("steps", "epc_quantile", "negative_scale"):
        value = getattr(options, name)
        if value is None:
            continue
        if name not in METHODS[options.method].options:
            having = ", ".join(key for key, method in METHODS.items() if name in method.options)
            raise BadInput(
                f"--{name.replace('_', '-')} is an option of {having}, not of {options.method}"
            )
        settings[name] = value
    with _checking():
        check_count("steps", settings.get("steps", 1))
        check_share("epc_quantile", settings.get("epc_quantile", 0))
        check_number("negative_scale", settings.get("negative_scale", 0))
    return settings


def _device(name: str | None) -> torch.device:
    if name is None:
        kinds = (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        return torch.device(next((kind for kind, there in kinds if there), "cpu"))
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:  # NotImplementedError is a RuntimeError
        reason = textwrap.shorten(str(error), 120)
        raise BadInput(f"--device {name!r} cannot be used: {reason}") from error
    return torch.device(name)


def _train(options: argparse.Namespace) -> None:
    from dga.zoo.training import BATCH, train

    output = options.output or Path(f"{options.name}.pt")
    _check_folder_of("--output", output)
    if output.suffix != ".pt":
        raise BadInput(f"--output {str(output)!r} must end in .pt")
    _check_card_of(output)
    with _checking():
        check_count("pictures", options.pictures, BATCH)
        check_count("seed", options.seed, 0)
        if options.epochs is not None:
            check_count("epochs", options.epochs)
    card = train(
        options.name, output, pictures=options.pictures, epochs=options.epochs,
        seed=options.seed, device=str(_device(options.device)),
    )  # fmt: skip
    print(
        f"{options.name}: accuracy {card['accuracy']:.1%} on the test set, "
        f"{card['minutes']} minutes, written to {output}"
    )


def _check_card_of(output: Path) -> None:
    """Whether weights and card that are there came from a training, and may be replaced."""
    card = output.with_suffix(".json")
    there = [path for path in (output, card) if path.exists()]
    if not there or output.with_name(f"{output.name}.resume").exists():
        return
    try:
        ours = "accuracy" in json.loads(card.read_bytes())
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise BadInput(
            f"--output: {str(there[0])!r} is there already, and no training wrote it: choose "
            "another name, or move it away"
        )


def _render(options: argparse.Namespace) -> None:
    for split, rows in (("test", TEST), ("figures", FIGURES)):
        with _checking():
            write_pictures(split, rows, options.output)
        print(f"{len(rows)} pictures: {options.output / split}.png")


if __name__ == "__main__":
    sys.exit(main())
