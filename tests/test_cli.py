"""The command line, as a user runs it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import warnings
from importlib.metadata import entry_points

import pytest
import torch
from PIL import Image

import dga
from dga.__main__ import _parser, main
from dga.experiments.evaluation import Evaluation
from dga.methods import METHODS


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pt"
    torch.manual_seed(0)
    torch.save(dga.load_model("squeezenet1_1", None).state_dict(), path)
    return str(path)


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "dga", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )  # fmt: skip


def test_explain_writes_a_picture_that_says_how_it_was_made(weights, tmp_path):
    output = tmp_path / "cat.png"
    done = call("explain", "chelsea", "--model", "squeezenet1_1", "--weights", weights,
                "--target", "tabby cat", "--steps", 3, "--output", output)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if "%" in line]) == 5
    assert "DGA of 'tabby' (281)" in done.stdout
    assert "Distilling" in done.stderr  # the progress bar
    picture = Image.open(output)
    assert picture.width > 900
    assert picture.text["dga:model"] == "squeezenet1_1"
    assert picture.text["dga:weights"] == weights
    assert picture.text["dga:target"] == "281 tabby"
    assert picture.text["dga:method"] == "dga"
    assert json.loads(picture.text["dga:options"]) == {"steps": 3}
    assert picture.text["dga:version"] == dga.__version__


def test_explain_json(tmp_path, capsys):
    Image.fromarray(dga.load_images("test", 1).images[0]).save(tmp_path / "fish.png")
    output = tmp_path / "out.png"
    code = main(["explain", str(tmp_path / "fish.png"), "--model", "resnet", "--method", "gig",
                 "--json", "--steps", "4", "--output", str(output)])  # fmt: skip
    assert code == 0
    report = json.loads(capsys.readouterr().out)
    assert report["target"] == {"class": "fish", "index": 0}
    assert report["options"] == {"steps": 4} and report["output"] == str(output)
    assert report["predictions"][0]["probability"] > 0.5 and output.exists()


@pytest.mark.parametrize("method", ["g", "gi", "smoothgrad", "gbp", "ig", "fg", "ufg", "dga"])
def test_explain_every_method(method, tmp_path, capsys):
    output = tmp_path / "out.png"
    Image.fromarray(dga.load_images("test", 1).images[0]).save(tmp_path / "fish.png")
    assert main(["explain", str(tmp_path / "fish.png"), "--model", "vgg", "--method", method,
                 "--output", str(output)]) == 0  # fmt: skip
    assert output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain"], "the following arguments are required: PHOTO"),
        (["explain", "none.jpg", "--model", "vgg"], "photo 'none.jpg' is not a file"),
        (["explain", "chelsea", "--model", "resnet19"], "did you mean"),
        (["explain", "chelsea", "--model", "vgg", "--target", "dog"], "not a class of this"),
        (["explain", "chelsea", "--model", "vgg", "--method", "lime"], "invalid choice: 'lime'"),
        (["explain", "chelsea", "--model", "vgg", "--steps", "0"], "--steps must be at least 1"),
        (["explain", "chelsea", "--model", "vgg", "--method", "ig", "--epc-quantile", "0.5"],
         "--epc-quantile is an option of dga, not of ig"),
        (["explain", "chelsea", "--model", "vgg", "--output", "heat.jpg"], "must end in .png"),
        (["explain", "chelsea", "--model", "vgg", "--output", "no/where.png"], "does not exist"),
        (["explain", "chelsea", "--model", "vgg", "--device", "tpu9"], "--device 'tpu9' cannot"),
        (["explain", "chelsea", "--model", "vgg", "--weights", "no.pt"], "no.pt' is not a file"),
        (["train", "alexnet"], "invalid choice: 'alexnet'"),
        (["train", "vgg", "--output", "no/where.pt"], "does not exist"),
        (["train", "vgg", "--output", "vgg.bin"], "must end in .pt"),
        (["train", "vgg", "--pictures", "3"], "--pictures must be at least 64"),
        (["train", "vgg", "--epochs", "0"], "--epochs must be at least 1"),
        (["paint"], "invalid choice: 'paint'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_and_exit_code_2(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def commands():
    parser = _parser()
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return subparsers.choices


@pytest.mark.parametrize("command", commands())
def test_help_ends_with_examples_that_can_be_called(command):
    text = commands()[command].format_help()
    lines = text.partition("examples:\n")[2].splitlines()
    assert lines and max(map(len, text.splitlines())) <= 100
    for line in lines:
        words = shlex.split(line)
        assert words[words.index("dga") + 1] == command
        options = _parser().parse_args(words[words.index("dga") + 1 :])
        assert options.command == command


def test_help_of_the_command_itself():
    done = call("--help")
    assert done.returncode == 0 and "example: dga explain chelsea" in done.stdout


@pytest.fixture
def fish(tmp_path):
    path = tmp_path / "fish.png"
    Image.fromarray(dga.load_images("test", 1).images[0]).save(path)
    return ["explain", str(path), "--model", "vgg", "--output", str(tmp_path / "o.png"),
            "--device", "cpu"]  # fmt: skip


@pytest.mark.parametrize("kind", [ValueError, TypeError, OSError, KeyError, RuntimeError])
def test_our_own_bugs_are_not_hidden(kind, fish, monkeypatch):
    """Whatever computing raises, errors of the kinds of bad input included."""

    def broken(*_, **__):
        raise kind("a bug")

    monkeypatch.setitem(METHODS, "dga", dataclasses.replace(METHODS["dga"], function=broken))
    with pytest.raises(kind, match="a bug"):
        main(fish)


def test_our_own_bugs_in_evaluate_are_not_hidden(fish, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr("dga.experiments.evaluation.compared", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["evaluate", "--images", str(tmp_path), "--model", "vgg", "--methods", "gi",
              "--output", str(tmp_path / "t.csv"), "--device", "cpu"])  # fmt: skip


def test_debug_shows_where_bad_input_was_found(capsys):
    wrong = ["explain", "none.jpg", "--model", "vgg"]
    assert main(wrong) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main([*wrong, "--debug"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error and "in load_photo" in error
    assert error.splitlines()[-1].startswith("dga explain: photo 'none.jpg' is not a file")


def test_an_interruption_is_told(fish, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    method = dataclasses.replace(METHODS["dga"], function=interrupted)
    monkeypatch.setitem(METHODS, "dga", method)
    assert main(fish) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("ends_well", [True, False])
def test_the_format_of_warnings_is_put_back(tmp_path, monkeypatch, ends_well):
    before, seen = warnings.formatwarning, []

    def run(self, *_, **__):
        seen.append(warnings.formatwarning("told", UserWarning, "f.py", 1))
        if not ends_well:
            raise KeyError("a bug")
        return {}

    Image.fromarray(dga.load_images("test", 1).images[0]).save(tmp_path / "fish.png")
    monkeypatch.setattr(Evaluation, "run", run)
    command = ["evaluate", "--images", str(tmp_path), "--model", "vgg", "--json", "--device", "cpu",
               "--output", str(tmp_path / "t.csv")]  # fmt: skip
    if ends_well:
        assert main(command) == 0
    else:
        with pytest.raises(KeyError):
            main(command)
    assert seen == ["dga evaluate: told\n"] and warnings.formatwarning is before


def test_the_installed_command_keeps_freed_memory(monkeypatch, capsys):
    """As `python -m dga` does; a call from Python does not change its process."""
    called = []
    monkeypatch.setattr("dga.__main__.keep_freed_memory", lambda: called.append(1))
    (script,) = entry_points(group="console_scripts", name="dga")
    monkeypatch.setattr(sys, "argv", ["dga", "--version"])
    with pytest.raises(SystemExit):
        script.load()()
    assert called == [1]
    with pytest.raises(SystemExit):
        main(["--version"])
    assert called == [1]


def test_render_and_train_end_to_end(tmp_path, capsys):
    assert main(["render", "--output", str(tmp_path / "pictures")]) == 0
    assert (tmp_path / "pictures" / "test.png").exists()
    weights = tmp_path / "tiny.pt"
    assert main(["train", "smooth", "--epochs", "1", "--pictures", "64", "--device", "cpu",
                 "--output", str(weights)]) == 0  # fmt: skip
    assert "accuracy" in capsys.readouterr().out
    assert dga.load_model("smooth", weights).classes[0] == "fish"
