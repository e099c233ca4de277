"""The command line: python -m dga explain | evaluate | benchmark | train | render."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch

import dga
from dga.engine import PRECISIONS, precision
from dga.experiments import processes
from dga.experiments.allocator import keep_freed_memory
from dga.experiments.evaluation import LABELS, TABLE, evaluate_folder, find_pictures, markdown
from dga.methods import METHODS
from dga.metrics import bootstrap_interval
from dga.validation import check_count
from dga.zoo.files import DATA, write_atomically
from dga.zoo.loading import SHIPPED, find_class, load_model
from dga.zoo.photographs import load_photo
from dga.zoo.pictures import FIGURES, TEST, write_pictures


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; 0 if all went well, 2 for bad input, 130 if interrupted."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, TypeError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"dga {options.command}: {textwrap.shorten(message, 400)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"dga {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dga", description=(dga.__doc__ or "").splitlines()[0])
    parser.add_argument("--version", action="version", version=f"dga {dga.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    explain = commands.add_parser(
        "explain",
        help="which pixels of a photograph made a network say what it said",
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
    explain.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    explain.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    explain.set_defaults(run=_explain)

    evaluate = commands.add_parser(
        "evaluate",
        help="pixel perturbation (Table 1 of the paper) on a folder of pictures",
        description="LeRF and MoRF of every method, mean and 95 %% bootstrap interval, for the "
        "class the network predicts. Called again after an interruption, it goes on where it "
        "stopped. Writes FILE.csv, FILE.md (the table) and FILE.pictures.csv (every picture). "
        "Several processes share the work: torchrun --nproc-per-node K -m dga evaluate ...; on "
        "several machines the output must be in a folder that all of them see.",
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
    evaluate.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.set_defaults(run=_evaluate)

    benchmark = commands.add_parser(
        "benchmark",
        help="how near DGA is to the least it can cost, on this machine",
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
    benchmark.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    benchmark.add_argument("--json", action="store_true", help="print JSON instead of a table")
    benchmark.set_defaults(run=_benchmark)

    train = commands.add_parser(
        "train",
        help="train one of the shipped networks from scratch",
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
    train.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    train.set_defaults(run=_train)

    render = commands.add_parser(
        "render",
        help="render the shipped pictures again",
        description="Writes the test set and the pictures for figures, with masks and tables.",
    )
    render.add_argument(
        "--output", type=Path, default=DATA / "pictures", metavar="FOLDER",
        help="(default: %(default)s)",
    )  # fmt: skip
    render.set_defaults(run=_render)
    return parser


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", default="resnet18", metavar="NAME",
        help=f"any torchvision classifier, or one of ours: {', '.join(SHIPPED)} "
        "(default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--weights", metavar="FILE",
        help="a state dict to load instead of the default weights, which are downloaded once",
    )  # fmt: skip


def _explain(options: argparse.Namespace) -> None:
    output: Path = options.output
    if output.suffix.lower() != ".png":
        raise ValueError(f"--output {str(output)!r} must end in .png")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output: the folder {str(output.absolute().parent)!r} does not exist")
    method = METHODS[options.method]
    settings = _settings(options)
    device = _device(options.device)
    photo = load_photo(options.photo)
    model = load_model(options.model, options.weights or "default").to(device)
    about: Any = model
    inputs = about.preprocess(photo).to(device)
    with torch.no_grad():
        probabilities = model(inputs).softmax(1)[0].cpu()
    top = probabilities.topk(min(5, len(probabilities)))
    target = int(top.indices[0])
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
    write_atomically(output, plots.png(figure, {"Software": f"dga {dga.__version__}", **metadata}))
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
    find_pictures(options.images)  # before a network is downloaded
    warnings.formatwarning = lambda message, *_, **__: f"dga evaluate: {message}\n"
    about = {"model": options.model, "weights": options.weights or "default"}
    if options.precision:
        about["precision"] = options.precision
    with processes.group() as group, precision(options.precision):
        model = load_model(options.model, options.weights or "default")
        scores = evaluate_folder(
            model.to(_device(options.device)), options.images, options.output,
            methods=options.methods, limit=options.limit, batch=options.batch, about=about,
            group=group, progress=group.rank == 0,
        )  # fmt: skip
    if group.rank > 0:
        return
    if not options.json:
        print(markdown(scores))
        return
    report = {
        name: {order: [round(float(v), 6) for v in bootstrap_interval(values)]
               for order, values in orders.items()}
        for name, orders in scores.items()
    }  # fmt: skip
    print(json.dumps({"output": str(options.output), "scores": report}))


def _benchmark(options: argparse.Namespace) -> None:
    check_count("rounds", options.rounds)
    plot: Path | None = options.plot
    if plot and not plot.absolute().parent.is_dir():
        raise ValueError(f"--plot: the folder {str(plot.absolute().parent)!r} does not exist")
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
            raise ValueError(
                f"--{name.replace('_', '-')} is an option of {having}, not of {options.method}"
            )
        settings[name] = value
    return settings


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:  # NotImplementedError is a RuntimeError
        reason = textwrap.shorten(str(error), 120)
        raise ValueError(f"--device {name!r} cannot be used: {reason}") from error
    return torch.device(name)


def _train(options: argparse.Namespace) -> None:
    from dga.zoo.training import train

    output = options.output or Path(f"{options.name}.pt")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output: the folder {str(output.absolute().parent)!r} does not exist")
    card = train(
        options.name, output, pictures=options.pictures, epochs=options.epochs,
        seed=options.seed, device=options.device,
    )  # fmt: skip
    print(
        f"{options.name}: accuracy {card['accuracy']:.1%} on the test set, "
        f"{card['minutes']} minutes, written to {output}"
    )


def _render(options: argparse.Namespace) -> None:
    for split, rows in (("test", TEST), ("figures", FIGURES)):
        write_pictures(split, rows, options.output)
        print(f"{len(rows)} pictures: {options.output / split}.png")


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
