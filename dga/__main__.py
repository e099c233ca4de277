"""The command line: python -m dga explain | evaluate | benchmark | train | render."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch

import dga
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
    find_pictures,
)
from dga.filling import FILLS
from dga.methods import METHODS
from dga.metrics import bootstrap_interval
from dga.validation import check_count, check_number, check_share
from dga.zoo.files import DATA, write_atomically
from dga.zoo.loading import LITE0, SHIPPED, find_class, load_model
from dga.zoo.photographs import load_photo
from dga.zoo.pictures import FIGURES, TEST, write_pictures


class BadInput(Exception):
    """What the user gave cannot be used: told in one line, without a traceback."""


# What the library calls an argument, and which option gave it.
_OPTIONS = {
    "folder": "--images", "fills": "--fill", "name": "--model", "weights": "--weights",
    "target": "--target", "output": "--output", "methods": "--methods", "limit": "--limit",
    "batch": "--batch", "steps": "--steps", "epc_quantile": "--epc-quantile",
    "negative_scale": "--negative-scale", "rounds": "--rounds", "epochs": "--epochs",
    "pictures": "--pictures", "seed": "--seed",
}  # fmt: skip


@contextmanager
def _checking() -> Iterator[None]:
    """Around checks of arguments, files and downloads only: whatever computes may have our bugs."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        message = str(error)
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
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except BadInput as error:
        if options.debug:
            traceback.print_exc()
        message = " ".join(str(error).split())
        print(f"dga {options.command}: {textwrap.shorten(message, 400)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"dga {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dga",
        description=(dga.__doc__ or "").splitlines()[0],
        epilog="example: dga explain chelsea. Every command tells more: dga COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"dga {dga.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    explain = _add(
        commands,
        "explain",
        help="which pixels of a photograph made a network say what it said",
        examples=(
            "dga explain chelsea --output cat.png",
            "dga explain photo.jpg --model resnet50 --target 'tabby cat' --method ig",
        ),
        description="Explains one photograph: prints the top-5 predictions, writes a picture of "
        "photograph, heatmap and overlay.",
        epilog="methods: " + ", ".join(f"{k} ({m.label})" for k, m in METHODS.items()),
    )
    explain.add_argument(
        "photo", metavar="PHOTO",
        help="a file, a URL, or one of chelsea, coffee, rocket, astronaut",
    )  # fmt: skip
    _add_network(explain)
    explain.add_argument(
        "--target", metavar="CLASS", help="class name or index (default: the predicted class)"
    )
    explain.add_argument(
        "--method", choices=list(METHODS), default="dga", help="(default: %(default)s)"
    )
    explain.add_argument("--steps", type=int, metavar="N", help="steps of dga, ig and gig")
    explain.add_argument("--epc-quantile", type=float, metavar="Q", help="q of dga")
    explain.add_argument("--negative-scale", type=float, metavar="BETA", help="beta of dga")
    explain.add_argument(
        "--output", type=Path, default=Path("heat.png"), metavar="PNG",
        help="picture to write (default: %(default)s)",
    )  # fmt: skip
    explain.add_argument("--device", help="cpu, cuda or mps (default: a GPU where there is one)")
    explain.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
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
        "whole range and at its ends: mean, 95 %% bootstrap interval, and the difference to DGA on "
        "the same pictures with Holm's correction. Called again after an interruption, it goes on "
        "where it stopped. Writes FILE.csv and FILE.md (the table) and FILE.parts (the curves of "
        "every picture). Several processes share the work, started by torchrun; on several "
        "machines the output must be in a folder that all of them see.",
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
    evaluate.add_argument("--limit", type=int, metavar="N", help="the first N pictures only")
    evaluate.add_argument(
        "--batch", type=int, default=16, help="pictures at a time (default: %(default)s)"
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
        "--rounds", type=int, default=5, help="how often each pair is timed (default: %(default)s)"
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
    train.add_argument("--epochs", type=int, help="passes over the pictures")
    train.add_argument("--pictures", type=int, default=8_000, help="(default: %(default)s)")
    train.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
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
    output: Path = options.output
    if output.suffix.lower() != ".png":
        raise BadInput(f"--output {str(output)!r} must end in .png")
    _check_folder_of("--output", output)
    method = METHODS[options.method]
    settings = _settings(options)
    device = _device(options.device)
    with _checking():
        photo = load_photo(options.photo)
        model = load_model(options.model, options.weights or "default").to(device)
    about: Any = model
    inputs = about.preprocess(photo).to(device)
    with torch.no_grad():
        probabilities = model(inputs).softmax(1)[0].cpu()
    top = probabilities.topk(min(5, len(probabilities)))
    target = int(top.indices[0])
    with _checking():
        if options.target is not None:
            target = find_class(about.classes, options.target)
    if not options.json:
        for index, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True):
            print(f"{probability:7.2%}  {about.classes[index]} ({index})")
    began = time.perf_counter()
    attribution = method.function(model, inputs, target, **settings, progress=not options.json)
    seconds = time.perf_counter() - began

    from dga.lessons import plots  # matplotlib only now, so that a wrong argument is told at once

    name = about.classes[target]
    facts = {
        "model": options.model,
        "weights": options.weights or "default",
        "target": f"{target} {name}",
        "method": options.method,
        "options": json.dumps(settings),
        "version": dga.__version__,
    }
    picture = about.preprocess.restore(inputs)[0]
    title = f"{name} ({probabilities[target]:.0%})"
    figure = plots.explanation(picture, attribution[0].cpu(), title, method.label)
    metadata = {f"dga:{key}": value for key, value in facts.items()}
    content = plots.png(figure, {"Software": f"dga {dga.__version__}", **metadata})
    with _checking():
        write_atomically(output, content)
    if not options.json:
        print(f"{method.label} of {name!r} ({target}) in {seconds:.1f} s: {output}")
        return
    predictions = [
        {"class": about.classes[k], "index": k, "probability": round(p, 6)}
        for k, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
    report = {
        **facts, "options": settings, "target": {"class": name, "index": target},
        "photo": options.photo, "predictions": predictions, "output": str(output),
        "seconds": round(seconds, 3),
    }  # fmt: skip
    print(json.dumps(report))


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


def _benchmark(options: argparse.Namespace) -> None:
    with _checking():
        check_count("rounds", options.rounds)
    plot: Path | None = options.plot
    if plot:
        _check_folder_of("--plot", plot)
    device = _device(options.device)

    from dga.experiments import benchmark
    from dga.lessons import plots

    about = benchmark.machine(device)
    rows = benchmark.measure(device, options.rounds, progress=True)
    found = benchmark.sweeps(device, progress=True) if plot else {}
    if plot:
        write_atomically(plot, plots.png(benchmark.plot(found)))
    if options.json:
        print(json.dumps(benchmark.report(rows, about, found)))
        return
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(benchmark.table(rows))
    print(textwrap.fill(" ".join((benchmark.__doc__ or "").split("\n\n")[1].split()), 100))
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


def _render(options: argparse.Namespace) -> None:
    for split, rows in (("test", TEST), ("figures", FIGURES)):
        with _checking():
            write_pictures(split, rows, options.output)
        print(f"{len(rows)} pictures: {options.output / split}.png")


if __name__ == "__main__":
    sys.exit(main())
