"""What is public is described, with an example that runs; and so is the README's.

The examples themselves run with `pytest --doctest-modules dga`.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dga

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ("zoo", "lessons", "experiments")
    for path in (ROOT / "dga" / room).rglob("*.py")
    if path.name not in ("loading.py", "architectures.py")
)


def undescribed(source: str) -> list[str]:
    """The public functions and classes without docstring or example, their methods without one."""
    found = []
    for thing in ast.parse(source).body:
        if not isinstance(thing, ast.FunctionDef | ast.ClassDef) or thing.name.startswith("_"):
            continue
        if any(ast.unparse(mark) == "overload" for mark in thing.decorator_list):
            continue
        if ">>>" not in (ast.get_docstring(thing) or ""):
            found.append(thing.name)
        for part in thing.body if isinstance(thing, ast.ClassDef) else ():
            public = isinstance(part, ast.FunctionDef) and not part.name.startswith("_")
            if public and not ast.get_docstring(part):
                found.append(f"{thing.name}.{part.name}")
    return found


@pytest.mark.parametrize("name", sorted(set(dga.__all__) - {"METHODS", "metrics"}))
def test_the_table_of_contents_is_described_with_examples(name):
    text = inspect.getdoc(getattr(dga, name)) or ""
    assert ">>>" in text and "Raises" in text
    assert "Returns" in text or "Yields" in text or name == "precision"


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_described_with_an_example(module):
    source = (ROOT / module).read_text()
    assert ast.get_docstring(ast.parse(source)), "the module itself"
    assert undescribed(source) == []


def test_what_is_missing_is_named():
    assert undescribed("@overload\ndef f(): ...\ndef f(): ...\n") == ["f"]
    assert undescribed('def f():\n    """Does."""\n') == ["f"]
    assert undescribed("class A:\n    def g(self): ...\n    def _h(self): ...\n") == ["A", "A.g"]
    assert undescribed('def f():\n    """Does.\n\n    >>> 1\n    1\n    """\n') == []


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(code.splitlines()) <= 12
    names: dict = {}
    exec(code, names)
    heat = names["maps"]["DGA"]
    assert heat.shape == names["x"].shape and heat.any()
    assert (tmp_path / "heatmaps.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("more", "errors"), [("", 0), ('dga.gradient(3, "x")\n', 2)])
def test_the_code_of_the_readme_is_typed(tmp_path, more, errors):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    path = tmp_path / "ten_lines.py"
    path.write_text(code + more)
    config = f"--config-file={ROOT / 'pyproject.toml'}"
    run = [sys.executable, "-m", "mypy", config, str(path)]
    said = subprocess.run(run, check=False, cwd=ROOT, capture_output=True, text=True).stdout
    assert said.count(" error: ") == errors, said
    assert ("Success" in said) == (errors == 0), said


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 90
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(links) >= 20
    for link in links:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).is_file(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)", (ROOT / path).read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads}
