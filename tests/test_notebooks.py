"""The lessons as files, and the checker that runs them: it must fail when something changed."""

from __future__ import annotations

import dis
import json
import re
from pathlib import Path
from types import CodeType

import nbformat
import pytest
from budgets import count, folded
from lessons import WIDGET
from nbval_plugin import same_text
from nbval_sample import check_samples

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_lesson_is_clean(path):
    book = json.loads(path.read_text())
    assert "widgets" not in book["metadata"]
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert cell["execution_count"], "committed without being run"
            assert folded(cell) or source.count("\n") < 15, f"more than 15 lines: {source[:60]}"
            for output in cell["outputs"]:
                assert output["output_type"] != "error"
                assert WIDGET not in output.get("data", {}), "run lessons with `make lessons`"
                if "image/png" in output.get("data", {}):
                    assert output["metadata"]["image/png"]["alt"], "a figure without alt text"
        assert "![](" not in source, "a picture without alt text"
    nbformat.validate(nbformat.reads(path.read_text(), 4))
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_folded_cell_is_folded_everywhere(path):
    """In JupyterLab, on the site, and on Colab."""
    for cell in json.loads(path.read_text())["cells"]:
        meta, title = cell["metadata"], "".join(cell["source"]).startswith("#@title ")
        signs = {
            bool(meta.get("jupyter", {}).get("source_hidden")),
            "hide-input" in meta.get("tags", []), meta.get("cellView") == "form", title,
        }  # fmt: skip
        assert len(signs) == 1, "".join(cell["source"])[:60]


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_what_is_visible_rests_on_what_is_visible(path):
    """No visible cell reads a name that a folded one was the last to define."""
    last: dict[str, bool] = {}  # name -> whether the cell that defined it last is folded
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        code = compile(re.sub(r"(?m)^[%!].*", "", "".join(cell["source"])), "cell", "exec")
        if not folded(cell):
            hidden = [name for name in _read(code) if last.get(name)]
            assert not hidden, f"{hidden} in: {''.join(cell['source'])[:60]}"
        last |= dict.fromkeys(_stored(code), folded(cell))


def _read(code: CodeType) -> set[str]:
    """Names that a cell takes from before: read, also in its functions, before it stores them."""
    found, own = set(), set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_NAME", "LOAD_GLOBAL") and step.argval not in own:
            found.add(step.argval)
        if step.opname == "STORE_NAME":
            own.add(step.argval)
        if isinstance(step.argval, CodeType):
            found |= _read(step.argval) - own
    return found


def _stored(code: CodeType) -> set[str]:
    return {s.argval for s in dis.get_instructions(code) if s.opname == "STORE_NAME"}


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_what_a_learner_writes_has_its_task(path):
    heading = ""
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"(?m)^##+ .*", source) or [heading])[-1]
        elif not folded(cell) and "# your " in source:
            assert "Your turn" in heading, f"under {heading!r}: {source[:60]}"


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_budgets(path):
    counted = count(json.loads(path.read_text()))
    assert not counted.over()
    assert counted.promised == counted.minutes


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_links_of_a_lesson_lead_somewhere(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for target in re.findall(r"\]\(([^)#]+)\)", "".join(cell["source"])):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), target


@pytest.mark.parametrize(
    ("reference", "now", "same"),
    [
        ("IG 0.512\n", "IG 0.512\n", True),
        ("IG 0.512\n", "IG 0.518\n", True),  # 1.2 %
        ("IG 0.512\n", "IG 0.552\n", False),
        ("IG 0.01\n", "IG 0.02\n", True),  # one in the last digit printed
        ("IG 0.01\n", "IG 0.03\n", False),
        ("IG 0.512\n", "GIG 0.512\n", False),
        ("12 pictures\n", "13 pictures\n", False),  # integers count
        ("delta 1.00e-03\n", "delta 1.01e-03\n", True),
        ("delta 1.00e-03\n", "delta 1.00e-04\n", False),
        ("a 0.1 b\n", "a 0.1\n", False),
    ],
)
def test_numbers_may_differ_a_little_words_may_not(reference, now, same):
    assert same_text(reference, now) is same


def test_changing_one_thing_makes_the_check_fail(tmp_path):
    assert check_samples(tmp_path) == {
        "imports": True, "text as it was": True, "figure as it was": True, "number": False,
        "code": False, "figure": False, "cleared": False, "specks": True, "coarse figure": False,
    }  # fmt: skip
