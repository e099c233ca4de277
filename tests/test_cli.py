"""The command line, as a user runs it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from PIL import Image

import dga
from dga.__main__ import _parser, _Stream, main
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
         "--epc-quantile is an option of dga, stable, not of ig"),
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


@pytest.fixture
def photos(tmp_path):
    """Five photographs, one of them in a subfolder and one broken."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name, image in zip(
        ("0.png", "1.png", "2.png", "sub/0.png"), dga.load_images("test", 4).images, strict=True
    ):
        Image.fromarray(image).save(folder / name)
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


def explain(*arguments):
    return main(["explain", *map(str, arguments), "--model", "vgg", "--device", "cpu",
                 "--method", "gi"])  # fmt: skip


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_explain_a_folder_and_go_on(photos, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    assert explain(photos, "coffee", "--output", output) == 0
    told = capsys.readouterr()
    assert f"{output}/0.png.png: 'fish' for {photos}/0.png" in told.out
    assert "left out: photo" in told.err and "bad.jpg" in told.err and "5 of 6 photo" in told.err
    made = bytes_of(output)
    assert set(made) == {"0.png.png", "1.png.png", "2.png.png", "sub/0.png.png", "coffee.png"}

    calls, plain = [], METHODS["gi"].function
    counted = dataclasses.replace(
        METHODS["gi"], function=lambda *a, **k: [calls.append(1), plain(*a, **k)][1]
    )
    monkeypatch.setitem(METHODS, "gi", counted)
    (output / "2.png.png").unlink()  # interrupted before it
    (output / "1.png.png").write_bytes(b"")  # another program's full disk
    shutil.copy(photos / "2.png", photos / "0.png")  # another photograph of the same name
    assert explain(photos, "coffee", "--output", output, "--json") == 0
    assert len(calls) == 3
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(r["output"]).name for r in reports] == [Path(name).name for name in
        ("0.png.png", "1.png.png", "2.png.png", "sub/0.png.png", "coffee.png")]  # fmt: skip
    assert reports[0]["target"] == reports[2]["target"] != reports[1]["target"]
    again = bytes_of(output)
    assert {name for name in made if made[name] != again[name]} == {"0.png.png"}
    shutil.copy(photos / "sub" / "0.png", photos / "bad.jpg")  # repaired: it gets its turn
    assert explain(photos, "coffee", "--output", output, "--target", "fish") == 0
    assert len(calls) == 9 and "photographs" not in capsys.readouterr().err
    assert len(bytes_of(output)) == 6


def test_explain_overwritten_weights_anew(photos, tmp_path):
    weights, output = tmp_path / "w.pt", tmp_path / "out"
    pictures = []
    for factor in (1, 2):
        state = dga.load_model("vgg").state_dict()
        torch.save({key: value * factor for key, value in state.items()}, weights)
        assert explain(photos, "--output", output, "--weights", weights) == 0
        pictures.append(bytes_of(output))
    assert all(pictures[0][name] != pictures[1][name] for name in pictures[0])


def test_explain_photographs_of_one_name(photos, tmp_path):
    both = [photos / "0.png", photos / "sub" / "0.png"]
    assert explain(*both, *both, "--output", tmp_path / "out") == 0
    assert set(bytes_of(tmp_path / "out")) == {"0.png.png", "0.png-2.png"}
    assert explain(photos, "--output", photos / "out") == 0  # explanations are not explained
    assert explain(photos, "--output", photos / "out") == 0
    assert len(bytes_of(photos / "out")) == 4


def test_no_command_destroys_a_file_that_it_did_not_write(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photo = photos / "0.png"
    os.link(photo, "linked.png")
    os.symlink(photo, "pointing.png")
    explanation = tmp_path / "ours.png"
    assert explain(photo, "--output", explanation) == 0
    assert explain(photo, "--output", explanation) == 0
    Path("vgg.pt").write_bytes(b"weights of somebody")
    Path("card.json").write_text("{}")
    Path("notes.md").write_text("Notes")
    before = bytes_of(tmp_path)
    for arguments, said in [
        (["explain", "photos/0.png", "--output", "photos/0.png"], "is a photograph to explain"),
        (["explain", "photos/0.png", "--output", "photos/../photos/0.png"], "is a photograph to"),
        (["explain", "photos/0.png", "--output", "linked.png"], "is a photograph to explain"),
        (["explain", "photos/0.png", "--output", "pointing.png"], "is a photograph to explain"),
        (["explain", "ours.png", "--output", "ours.png"], "is a photograph to explain"),
        (["explain", "photos/0.png", "--output", "photos/1.png"], "is no picture of ours"),
        (["explain", "photos", "--output", "photos"], "is the folder of the photographs"),
        (["explain", "photos", "--output", "vgg.pt"], "is a file; several"),
        (["explain", "photos", "--output", "new.png"], "is no folder"),
        (["explain", "photos", "none.jpg", "--output", "out"], "photo 'none.jpg' is not a file"),
        (["explain", "photos", "--output", "no/out"], "does not exist"),
        (["evaluate", "--images", "photos", "--output", "notes.csv"], "'notes.md' is there"),
        (["train", "vgg"], "'vgg.pt' is there already"),
        (["train", "vgg", "--output", "card.pt"], "'card.json' is there already"),
        (["benchmark", "--plot", "photos/1.png"], "--plot 'photos/1.png' is there already"),
    ]:
        network = ["--model", "vgg"] if arguments[0] in ("explain", "evaluate") else []
        assert main([*arguments, *network]) == 2, arguments
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
        assert bytes_of(tmp_path) == before, arguments


def test_streams_that_are_closed(fish, tmp_path):
    """What was asked for is done, whoever reads what is said about it."""
    command = shlex.join([sys.executable, "-m", "dga", *fish])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} 2>&- | head -c 0"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr
    assert Image.open(tmp_path / "o.png").text["dga:method"] == "dga"


def test_without_docstrings(monkeypatch):
    """As under `python -OO`."""
    for module in ("dga", "dga.__main__", "dga.experiments.benchmark"):
        monkeypatch.setattr(f"{module}.__doc__", None)
    assert "what it said" in _parser().format_help()


def test_a_pipe_that_nobody_reads():
    reading, writing = os.pipe()
    with _Stream(open(writing, "wb"), "utf-8", line_buffering=True) as stream:
        stream.write("read\n")
        assert os.read(reading, 99) == b"read\n"
        os.close(reading)
        for _ in range(3):
            assert stream.write("not read\n") == 9
            stream.flush()


OUT_OF_RANGE = ("99999999999999999999", "-99999999999999999999")


@pytest.mark.parametrize("number", [*OUT_OF_RANGE, "9" * 5000, "1.5", "x"])
@pytest.mark.parametrize(
    "command", ["explain x --steps", "train vgg --seed", "evaluate --images x --limit"]
)
def test_numbers_that_are_out_of_range(command, number, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), number])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1
    assert ("is out of range" if number in OUT_OF_RANGE else "invalid whole number") in error


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


def test_help_of_the_command_itself(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0 and "example: dga explain chelsea" in capsys.readouterr().out


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


# As the script that pip writes.
INSTALLED = "import sys; sys.argv[0] = 'dga'; from dga.__main__ import main; sys.exit(main())"


@contextmanager
def started(form, arguments, **options):
    """A process of its own session, which does not outlive the test."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("nothing tells what a process is at")
    process = subprocess.Popen(
        [sys.executable, *form, *map(str, arguments)], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        # Tests that a shell has started in the background ignore it, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(condition, process):
    end = time.monotonic() + 100
    while not condition(process):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)


def loading(process):
    """Whether PyTorch is being loaded, or is there."""
    return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


def drawing(process):
    """Whether it has made processes like itself."""
    made = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    with suppress(FileNotFoundError):
        return any(b"train" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in made)


@pytest.mark.parametrize("later", [0, 0.7, 3])
@pytest.mark.parametrize("form", [("-m", "dga"), ("-c", INSTALLED)], ids=["-m dga", "dga"])
def test_an_interruption_at_any_moment(form, later, tmp_path):
    arguments = ["explain", "chelsea", "--steps", 10**6, "--device", "cpu",
                 "--output", tmp_path / "x.png"]  # fmt: skip
    with started(form, arguments) as process:
        wait_until(loading, process)
        time.sleep(later)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        error = process.communicate(timeout=100)[1]
    lines = error.replace("\r", "\n").strip().splitlines()
    assert process.returncode == 130
    assert lines[-1] in ("dga: interrupted", "dga explain: interrupted")
    assert not [line for line in lines[:-1] if not line.strip().startswith("DGA")]  # its progress


@pytest.mark.parametrize("error", ["SystemError", "ValueError", "SystemExit"])
def test_an_interruption_that_became_another_error_is_one(error):
    meets = (
        "import os, signal, sys, time; sys.argv = ['dga', 'explain', 'chelsea']\n"
        "from dga import __main__ as command\n"
        "def plan(*_, **__):\n"
        "    try: os.kill(os.getpid(), signal.SIGINT); time.sleep(100)\n"
        f"    except KeyboardInterrupt: raise {error}('half way') from None\n"
        "command.plan = plan; sys.exit(command.main())"
    )
    with started(("-c", meets), []) as process:
        error = process.communicate(timeout=100)[1]
    assert (process.returncode, error) == (130, "dga explain: interrupted\n")


def test_a_program_that_imports_us_keeps_its_ctrl_c(tmp_path):
    """Also where its package imports us while Python still looks for the module of -m."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("import dga")
    (tmp_path / "theirs" / "main.py").write_text(
        "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    command = [sys.executable, "-c", "import signal, runpy, sys; "
               "signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv = ['-m']; "
               "runpy.run_module('theirs.main', run_name='__main__')"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_processes_that_draw_end_with_the_training(sent, tmp_path):
    arguments = ["train", "vgg", "--pictures", 10**5, "--output", "n.pt"]
    with started(("-m", "dga"), arguments, cwd=tmp_path) as process:
        wait_until(drawing, process)
        time.sleep(0.5)
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)
        else:
            process.kill()  # alone
        error = process.communicate(timeout=60)[1]  # until none has its standard error open
    assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in error


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


# --------------------------------------------------------------------------------------------- make


ROOT = Path(__file__).parent.parent
PYTHON = """#!/bin/sh
case "$*" in
    *"pip --version") test -e pip;;
    *ensurepip) test -e ensurepip && touch pip;;
    *"pip install"*) test -e online && echo "installed $*";;
esac
"""


@pytest.fixture
def make(tmp_path):
    """The Makefile with a Python that only notes what it is told."""
    if not shutil.which("make"):
        pytest.skip("there is no make")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(*arguments):
        return subprocess.run(
            ["make", "VENV=env", *arguments], cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    return run


def test_make_installs_what_changed_and_needs_no_network_for_what_did_not(make, tmp_path):
    pyproject, moment = tmp_path / "pyproject.toml", 1 + int(time.time())
    (tmp_path / "pip").touch()
    assert make("env/test.installed").returncode != 0  # offline
    (tmp_path / "online").touch()
    done = make("env/test.installed")
    assert done.returncode == 0 and "-e .[test]" in done.stdout
    (tmp_path / "online").unlink()
    os.utime(pyproject, (moment, moment))  # touched, as by git checkout
    for name in ("lab", "test"):
        done = make(f"env/{name}.installed")
        assert done.returncode == 0 and "installed -m pip" not in done.stdout
    pyproject.write_text(pyproject.read_text() + "\n")
    os.utime(pyproject, (moment + 2, moment + 2))
    assert make("env/lab.installed").returncode != 0
    (tmp_path / "online").touch()
    done = make("env/lab.installed")
    assert done.returncode == 0 and "-e .[lab]" in done.stdout


def test_make_with_an_environment_that_has_no_pip(make, tmp_path):
    (tmp_path / "online").touch()
    done = make("env/lab.installed")
    assert done.returncode != 0 and done.stderr.startswith("env has no pip and cannot have it")
    assert not (tmp_path / "env" / "lab.installed").exists()
    (tmp_path / "ensurepip").touch()
    done = make("env/lab.installed")
    assert done.returncode == 0 and "installed" in done.stdout


def test_make_with_a_space_in_the_name_of_the_environment(make):
    done = make("VENV=my env", "lab")
    assert done.returncode != 0
    assert "VENV is 'my env': make knows no file names with spaces" in done.stderr


def test_notebooks_of_ones_own_are_not_linted(tmp_path):
    pytest.importorskip("ruff")
    cell = {"cell_type": "code", "source": ["import os\n"], "metadata": {}, "outputs": [],
            "execution_count": None, "id": "a"}  # fmt: skip
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "mine.ipynb").write_text(json.dumps(book))
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", str(tmp_path)]
    for options, code in ((["--config", str(ROOT / "pyproject.toml")], 0), (["--isolated"], 1)):
        done = subprocess.run([*command, *options], capture_output=True, check=False)
        assert done.returncode == code
