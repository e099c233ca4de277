"""An odd class: whatever is handed in gets a row that says what is wrong, and stops nobody."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from copy import deepcopy
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FOLDER = Path(__file__).parent.parent / "notebooks" / "assignments"
sys.path.insert(0, str(FOLDER))
import apart  # noqa: E402
import classroom  # noqa: E402
import hand_ins  # noqa: E402
import merging  # noqa: E402
import running  # noqa: E402

NAME = "1_tiny"


def part(cell, name, points=None, solution=False):
    about = {"grade": points is not None, "grade_id": name, "locked": not solution,
             "schema_version": 3, "solution": solution, "task": False}  # fmt: skip
    cell.metadata["nbgrader"] = about | ({} if points is None else {"points": points})
    return cell


def solution(text, before=""):
    return f"{before}### BEGIN SOLUTION\n{text}\n### END SOLUTION"


def source():
    """An assignment of 10 points, 4 of them read by a person, that needs no PyTorch."""
    code = new_code_cell
    return new_notebook(cells=[
        new_markdown_cell("# A tiny assignment"),
        code("import math as checks\nunit = 6"),
        new_markdown_cell("## Task 1"),
        part(code("def twice(x):\n" + solution("    return 2 * x")), "task-1", solution=True),
        part(code('assert checks.isclose(twice(3), unit), "twice 3 is 6"'), "check-1", 2),
        new_markdown_cell("## Task 2"),
        part(code(solution("answer = 'B'", "answer = None\n")), "task-2", solution=True),
        part(code("assert answer == 'B', 'look again'"), "check-2", 1),
        code("import sched\nprint(unit)"),
        part(code("def total(f, values):\n" + solution("    return sum(map(f, values))")),
             "task-3", solution=True),
        part(code("assert total(lambda v: v * v, [1, 2]) == 5"), "check-3", 3),
        part(new_markdown_cell("*My answer.*"), "answer-4", 4, solution=True),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course of one tiny assignment instead of the real ones."""
    place = tmp_path_factory.mktemp("course")
    shutil.copy(FOLDER / "nbgrader_config.py", place)
    (place / "source" / NAME).mkdir(parents=True)
    nbformat.write(source(), place / "source" / NAME / f"{NAME}.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classroom, "HERE", place)
        patch.setattr(classroom, "ASSIGNMENTS", [NAME])
        patch.setattr(running, "SECONDS", 3)
        classroom.release(place / "student")
        yield place


class Class:
    """A folder of submissions, and what is right for everybody."""

    def __init__(self, folder, course):
        self.folder = folder
        self.right: dict[str, tuple[float, str]] = {}
        self.solved = json.loads((course / "source" / NAME / f"{NAME}.ipynb").read_text())
        self.published = deepcopy(self.solved)
        self.solved["cells"][3]["source"] = "def twice(x):\n    return x + x"
        self.handed_out = json.loads((course / "student" / NAME / f"{NAME}.ipynb").read_text())

    def add(self, student, content, score, note, place=f"{NAME}/{NAME}.ipynb"):
        path = self.folder / student / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        path.write_bytes(content)
        self.right[student] = (score, note)

    def but(self, **changes):
        """The solved notebook with other sources; a list becomes several cells."""
        book = deepcopy(self.solved)
        for name, text in changes.items():
            k = next(k for k, c in enumerate(book["cells"])
                     if about(c).get("grade_id") == name.replace("_", "-"))  # fmt: skip
            copies = []
            for one in [text] if isinstance(text, str) else text:
                copies.append(deepcopy(book["cells"][k]))
                copies[-1]["source"] = one
                copies[-1]["id"] += f"-{len(copies)}" if len(copies) > 1 else ""
            book["cells"][k : k + 1] = copies
        return book

    def with_cell(self, text, place=2):
        """The notebook as handed out, with a cell more."""
        book = deepcopy(self.handed_out)
        book["cells"].insert(place, new_code_cell(text))
        return book


def about(cell):
    return cell["metadata"].get("nbgrader", {})


REWRITES = (
    "import ast\nclass Empty(ast.NodeTransformer):\n    def visit_Assert(self, node):\n"
    "        return ast.Pass()\nget_ipython().ast_transformers.append(Empty())"
)
CHEATS = {
    "rebinds the name": (
        "class Any:\n    def __getattr__(self, name):\n        return lambda *a, **k: True\n"
        "checks = Any()", "binds checks"),
    "rebinds a builtin": (
        "import builtins\nbuiltins.AssertionError = None", "replaces builtins.AssertionError"),
    "replaces a function": (
        "checks.isclose = lambda a, b: True", "replaces checks.isclose"),
    "replaces it by setattr": (
        "setattr(checks, 'isclose', lambda a, b: True)", "calls setattr"),
    "replaces the module": (
        "import sys\nsys.modules['math'] = checks = type('M', (), {'isclose': lambda *a: True})",
        "binds checks, replaces sys.modules"),
    "hides errors": (
        "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)\n"
        "get_ipython().showtraceback = lambda *a, **k: None", ""),
    "rewrites every cell": (REWRITES, ""),
    "writes a module that is imported later": (
        "from pathlib import Path\nPath('sched.py').write_text("
        f"{'from IPython import get_ipython; ' + REWRITES!r})", ""),
    "equals everything": (
        "class Same:\n    def __eq__(self, other):\n        return True\n    def __float__(self):\n"
        "        return 6.0\n    __hash__ = None\nanswer = Same()\n"
        "def total(f, values):\n    return Same()", ""),
}  # fmt: skip


def without(book, part_of_source):
    left = deepcopy(book)
    left["cells"] = [c for c in book["cells"] if part_of_source not in "".join(c["source"])]
    assert len(left["cells"]) == len(book["cells"]) - 1
    return left


def odd_class(folder, course):
    """Some forty students."""
    made = Class(folder, course)
    good, add = made.solved, made.add
    add("perfect", good, 6, "")
    add("untouched", made.handed_out, 0, "nothing was written")
    add("[x]", good, 6, "")
    add("new\nline", good, 6, "")
    # Files
    whole = json.dumps(good, indent=1)
    conflict = whole.replace("\n", "\n<<<<<<< HEAD\n", 1)
    add("nothing inside", b"", 0, "the file is empty: ask for it again")
    add("half", whole[: len(whole) // 2].encode(), 0, "cut off")
    add("html", b"<!DOCTYPE html><html></html>", 0, "web page")
    add("other json", b'{"a": 1}', 0, "JSON, but no notebook")
    add("conflict", conflict.encode(), 0, "merge conflict")
    add("latin", whole.replace("My", "M\xe4").encode("latin-1"), 0, "damaged or no text in UTF-8")
    add("no cells", good | {"cells": []}, 0, "has no cells")
    add("packed as ipynb", b"PK\3\4...", 0, "zip archive")
    # Three ways to write the same notebook, once in each encoding
    add("mark", b"\xef\xbb\xbf" + whole.encode(), 6, "byte-order mark; read all the same")
    bare = deepcopy(good)
    for cell in bare["cells"]:
        cell["metadata"] = {}
        del cell["id"]
    add("stripped", json.dumps(bare).encode("utf-16"), 6, "UTF-16; read all the same")
    old = deepcopy(good)
    for cell in old["cells"]:
        if cell["cell_type"] == "code":
            cell["input"] = cell.pop("source")
    add("format 3", {"nbformat": 3, "worksheets": [{"cells": old["cells"]}]}, 6, "old format 3")
    # Cells
    lacking = without(without(good, "assert total("), "import math")
    add("cells deleted", lacking, 6, "not there, or not recognised: cell 2, check-3; put back")
    add("task deleted", without(good, "def total("), 3, "task-3; put back as handed out")
    twice = made.but(task_1=["def twice(x):\n    return x", "def twice(x):\n    return 2 * x"],
                     check_2=["assert True", "assert True"])  # fmt: skip
    add("cells twice", twice, 6, "task-1 is there 2 times: the best counts; check-2 is there 2")
    late = deepcopy(good)
    late["cells"][3:5] = [late["cells"][3] | {"source": "def twice(x):\n    pass"},
                          late["cells"][4], good["cells"][3] | {"id": "again"}]  # fmt: skip
    add("solved below", late, 6, "task-1 is there 2 times")
    add("easier check", made.but(check_2="assert True", task_2="answer = 'A'"), 5, "")
    # Code
    wrong = made.but(task_2="this is no python", task_1="def twice(x):\n    return undefined")
    add("wrong", wrong, 3, "")
    exits = made.but(task_2="exit()", task_1="import sys\ndef twice(x):\n    sys.exit()")
    add("exits", exits, 3, "")
    add("os._exit", made.but(task_2="import os\nos._exit(1)"), 5, "cell 7: this ended Python")
    crash = "import ctypes\nctypes.string_at(0)"
    endless = "def twice(x):\n    while True: print('x' * 1000)"
    add("crash", made.but(task_2=crash, task_1=endless), 3, "cell 7: this ended Python")
    add("endless cell", made.but(task_2="while True: pass"), 5, "more than 3 seconds")
    add("Any", made.with_cell(CHEATS["rebinds the name"][0]), 0, "look at it: cell 3 binds checks")
    lost_picture = made.but(answer_4="![](attachment:a.png)")
    add("lost picture", lost_picture, 6, "no page of feedback could be written")
    # Places
    add("renamed", good, 6, "graded from renamed/a/1_TINY (1).IPYNB", "a/1_TINY (1).IPYNB")
    add("copy", made.handed_out, 6, "")
    add("copy", good, 6, "the other is untouched", f"{NAME}/{NAME}-Copy1.ipynb")
    add("no notebook", b"x", 0, "no notebook, only notes.txt", f"{NAME}/notes.txt")
    (folder / "empty" / NAME).mkdir(parents=True)
    made.right["empty"] = (0, "the folder is empty")
    (folder / "bare").mkdir()
    made.right["bare"] = (0, "the folder is empty")
    foreign = new_notebook(cells=[new_code_cell("1")])
    add("unknown", foreign, 0, "none of the assignments", "5_more/5_more.ipynb")
    with zipfile.ZipFile(folder / "zipped.zip", "w") as archive:
        archive.writestr(f"{NAME}.ipynb", whole)
    made.right["zipped"] = (0, "packed: unpack it")
    (folder / "alone.ipynb").write_text(whole)
    made.right["alone"] = (6, "lies outside of students' folders")
    (folder / "link").symlink_to(folder / "gone")
    made.right["link"] = (0, "no notebook, only link")
    return made


@pytest.fixture(scope="module")
def graded(course, tmp_path_factory):
    place = tmp_path_factory.mktemp("my submissions")
    made = odd_class(place / "in", course)
    rows = classroom.grade(place / "in", place / "out")
    return made, {row["student"]: row for row in rows}, place


def test_everybody_gets_a_row(graded):
    made, rows, place = graded
    assert set(rows) >= set(made.right)
    told = list(csv.DictReader(open(place / "out" / "scores.csv", newline="")))
    assert [row["student"] for row in told] == list(rows)
    wrong = {
        student: (rows[student]["score"], rows[student]["note"], right)
        for student, right in made.right.items()
        if rows[student]["score"] != right[0] or not says(rows[student]["note"], right[1])
    }
    assert not wrong


def says(note, wanted):
    return wanted in note if wanted else not note


def test_what_was_graded_is_not_graded_again(graded, monkeypatch):
    _, rows, place = graded
    before = (place / "out" / "scores.csv").read_bytes()
    monkeypatch.setattr(classroom, "run", None)
    again = classroom.grade(place / "in", place / "out")
    assert again == list(rows.values())
    assert (place / "out" / "scores.csv").read_bytes() == before


@pytest.mark.parametrize("kind", CHEATS)
def test_cheats_earn_nothing(kind, course, tmp_path):
    code, note = CHEATS[kind]
    made = Class(tmp_path, course)
    cells, _ = hand_ins.read(json.dumps(made.with_cell(code)).encode())
    steps, _ = merging.merge(cells, classroom.book("source", NAME),
                             merging.as_cells(classroom.book("student", NAME)))  # fmt: skip
    running.run(steps, set(), tmp_path)
    assert [merging.failed(s.cell) for s in steps if s.check] == [True] * 3
    assert note in "; ".join(merging.suspicious(steps))


def test_values_reach_the_checks_however_they_were_made(tmp_path):
    mine = ["verdict = {}\nlater = iter([6])",
            "verdict['1'] = 'open'\nfrom fractions import Fraction\n"
            "share, steps, table = Fraction(2, 5), range(3), list(later)"]  # fmt: skip
    check = "assert (verdict, share, steps, table) == ({'1': 'open'}, 0.4, [0, 1, 2], [6]), later"
    steps = [merging.Step(new_code_cell(text)) for text in mine]
    steps.append(merging.Step(new_code_cell(check), check, "check"))
    running.run(steps, set(), tmp_path)
    assert not [s.cell.outputs for s in steps if merging.failed(s.cell)]


def merged(book):
    cells, _ = hand_ins.read(json.dumps(book).encode())
    steps, _ = merging.merge(cells, classroom.book("source", NAME),
                             merging.as_cells(classroom.book("student", NAME)))  # fmt: skip
    return steps


def test_what_is_written_into_a_check_runs_before_it(course, tmp_path):
    made = Class(tmp_path, course)
    sources = [s.cell.source for s in merged(made.but(check_2="answer = 'B'"))]
    assert sources[sources.index("answer = 'B'") + 1] == "assert answer == 'B', 'look again'"
    for same in (made.solved, made.handed_out, made.but(check_2="")):
        assert len(merged(same)) == len(made.solved["cells"])


def test_pasted_pictures_stay(course, tmp_path):
    picture = {"a.png": {"image/png": "aaaa"}}
    book = Class(tmp_path, course).but(answer_4=["![](attachment:a.png)", "later"])
    for cell in book["cells"][-2:] + book["cells"][:1]:
        cell["attachments"] = picture
    kept = [s.cell.get("attachments") for s in merged(book) if s.cell.cell_type == "markdown"]
    assert kept == [picture, None, None, picture, picture]
    for odd in (3, {"a.png": 3}, {"a.png": {"image/png": 3}}):
        book["cells"][0]["attachments"] = odd
        nbformat.validate(new_notebook(cells=[merged(book)[0].cell]))


@pytest.mark.parametrize(
    ("check", "mine", "note"),
    [
        ("input_gradient(f)", "f = dga.gradient", "cell 2 uses gradient"),
        ("input_gradient(f)", "from dga import smoothgrad", "cell 2 uses smoothgrad"),
        ("input_gradient(f)", "gradient = x.grad\ngradient", ""),
        ("gradient_times_input(f)", "f = dga.gradient", ""),
        ("blind_map(f, 'B')", "def f(x):\n    return net(x)", "cell 2 uses net"),
        ("blind_map(f, 'B')", "dga.load_images('test')", "cell 2 uses load_images"),
        ("blind_map(f, 'B')", f"x = {' + '.join(['1'] * 1500)}", "cell 2 is nested too deeply"),
    ],
)
def test_what_a_check_cannot_see_is_noted(check, mine, note):
    given = "import dga\nfrom dga.lessons import checks\nnet = dga.load_model('vgg').double()"
    check = f"checks.{check}"
    steps = [merging.Step(new_code_cell(given), given), merging.Step(new_code_cell(mine)),
             merging.Step(new_code_cell(check), check, "check")]  # fmt: skip
    assert says("; ".join(merging.suspicious(steps)), note)


@pytest.mark.parametrize(
    ("place", "student", "note"),
    [
        (f"ann/{NAME}/{NAME}.ipynb", "ann", ""),
        (f"ann/{NAME}.ipynb", "ann", "graded from ann/1_tiny.ipynb"),
        (f"ann/a/b/{NAME}/{NAME}.ipynb", "ann", "graded from"),
        ("ann/homework/mine.ipynb", "ann", "graded from"),
        ("ann/2_other/2_other.ipynb", "ann", "graded from"),
        (f"{NAME}/ann.ipynb", "ann", "graded from"),
        (f"{NAME}/ann/{NAME}.ipynb", "ann", "graded from"),
        (f"é+%*?\udcff/{NAME}/{NAME}.ipynb", "é+%*?\udcff", ""),
        (f"{'n' * 200}/{NAME}/{NAME}.ipynb", "n" * 200, ""),
    ],
)
def test_places(place, student, note, course, tmp_path):
    made = Class(tmp_path, course)
    made.add("", made.solved, 0, "", place)
    made.add("", made.handed_out, 0, "", str(Path(place).parent / ".ipynb_checkpoints/x.ipynb"))
    made.add("", b"notes", 0, "", str(Path(place).parent / "notes.txt"))
    handed_out = {NAME: merging.as_cells(classroom.book("student", NAME))}
    (one,) = [h for h in hand_ins.collect(tmp_path, handed_out, tmp_path / "out") if h.cells]
    assert (one.student, one.assignment) == (student, NAME)
    assert says("; ".join(one.notes), note)
    name = classroom.folder_name(one.student)
    assert len(name.encode()) < 200 and not set(name) & set("[]*?\n/")


def collected(folder):
    handed_out = {NAME: merging.as_cells(classroom.book("student", NAME)), "2_more": []}
    answers = [c.source for c in classroom.book("source", NAME).cells if merging.is_task(c)]
    found = hand_ins.collect(folder, handed_out, folder / "out", {NAME: answers})
    return {one.assignment: (one.path, "; ".join(one.notes)) for one in found}


@pytest.mark.parametrize(
    ("other", "content", "graded", "note"),
    [
        ("a/source/1_tiny.ipynb", "published", "mine.ipynb", "(the published solution)"),
        ("1_tiny/1_tiny.ipynb", "lesson", "mine.ipynb", "1_tiny.ipynb (hardly any cell"),
        ("1_tiny.ipynb.txt", "better", "1_tiny.ipynb.txt", "mine.ipynb (two different versions"),
        ("1_tiny.json", "better", "1_tiny.json", "mine.ipynb (two different versions"),
    ],
)
def test_their_own_version_is_graded(other, content, graded, note, course, tmp_path):
    made = Class(tmp_path, course)
    made.add("ann", made.solved, 0, "", "mine.ipynb")
    lesson = new_notebook(cells=[new_code_cell("print(1)")])
    book = {"published": made.published, "lesson": lesson, "better": made.but(task_2="answer = 1")}
    made.add("ann", book[content], 0, "", other)
    path, said = collected(tmp_path)[NAME]
    assert path == f"ann/{graded}" and note in said


def test_a_copy_of_the_solution_is_told(course, tmp_path):
    made = Class(tmp_path, course)
    bare = json.loads(json.dumps(made.published).replace("### BEGIN SOLUTION\\n", ""))
    for student, book in (("ann", made.published), ("bob", bare), ("cid", made.solved)):
        (tmp_path / student).mkdir()
        made.add(f"{student}/{student}", book, 0, "")
        assert ("word for word" in collected(tmp_path / student)[NAME][1]) == (student != "cid")


@pytest.mark.parametrize("place", ["2_more.html", "2_more/mine.py", "x/2_more.pdf"])
def test_what_is_no_notebook_has_a_row_beside_a_notebook(place, course, tmp_path):
    made = Class(tmp_path, course)
    made.add("ann", made.solved, 0, "")
    made.add("ann", b"<html>", 0, "", place)
    made.add("ann", b"", 0, "", f"{NAME}/data.csv")
    found = collected(tmp_path)
    assert set(found) == {NAME, "2_more"} and "no notebook, only" in found["2_more"][1]


def test_of_two_versions_one_is_graded_and_both_are_named(course, tmp_path):
    made = Class(tmp_path, course)
    made.add("ann", made.but(task_2="answer = 'A'"), 0, "")
    made.add("ann", made.solved, 0, "", f"{NAME}/{NAME}-Copy1.ipynb")
    os.mkfifo(tmp_path / "ann" / "pipe.ipynb")
    handed_out = {NAME: merging.as_cells(classroom.book("student", NAME))}
    one = hand_ins.collect(tmp_path, handed_out, tmp_path / "out")[0]
    assert one.path == f"ann/{NAME}/{NAME}.ipynb"
    assert "1_tiny-Copy1.ipynb (two different versions: keep one" in "; ".join(one.notes)


VALUES = [
    None, True, 2, 0.5, float("inf"), "a", 1j, [1, (2, {3})], {"a": [1.0]},
    torch.arange(6.0).view(2, 3), torch.tensor(True), torch.empty(0, 3),
    torch.tensor(1.5).bfloat16(), np.arange(3), np.array(["a"]),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_travel_as_they_are(value):
    back = apart.unpack(json.loads(json.dumps(apart.pack(value, str))))
    assert type(back) is type(value) and repr(back) == repr(value)


@pytest.mark.parametrize("sent", [None, [], ["list", 3], ["array", "O", [1], ""], ["tensor", 1]])
def test_nothing_else_travels(sent):
    with pytest.raises(ValueError):
        apart.unpack(sent)


def test_a_gradebook_that_is_gone_or_of_other_checks(course, tmp_path, monkeypatch):
    monkeypatch.setattr(classroom, "run", lambda *_: None)  # no outputs: everything passes
    made = Class(tmp_path / "in", course)
    made.add("ann", made.solved, 6, "")
    grade = lambda: classroom.grade(tmp_path / "in", tmp_path / "out")  # noqa: E731
    rows = grade()
    assert rows[0]["score"] == 6
    (tmp_path / "out" / "gradebook.db").unlink()
    assert grade() == rows == grade()
    shutil.copytree(course, tmp_path / "new")
    more = source()
    more.cells.insert(5, part(new_code_cell("assert twice(1) == 2"), "check-1b", 1))
    nbformat.write(more, tmp_path / "new" / "source" / NAME / f"{NAME}.ipynb")
    monkeypatch.setattr(classroom, "HERE", tmp_path / "new")
    with pytest.raises(SystemExit, match=f"^{NAME}: checks were added or removed .* new --output"):
        grade()


def test_two_runs_into_one_folder(course, tmp_path, monkeypatch):
    """The second begins while the first is at a student: it says so, and the first goes on."""
    made = Class(tmp_path / "in", course)
    made.add("ann", b"", 0, "")
    made.add("bob", b"{}", 0, "")
    plain, refused = classroom.Grading.grade, []

    def grade(self, one):
        with pytest.raises(SystemExit, match=r"another run is grading into .*: wait") as error:
            classroom.grade(tmp_path / "in", tmp_path / "out")
        refused.append(str(error.value))
        return plain(self, one)

    monkeypatch.setattr(classroom.Grading, "grade", grade)
    rows = classroom.grade(tmp_path / "in", tmp_path / "out")
    assert [row["student"] for row in rows] == ["ann", "bob"] and len(refused) == 2
    assert not [line for line in refused if "\n" in line]
    monkeypatch.undo()
    assert classroom.grade(tmp_path / "in", tmp_path / "out") == rows


@pytest.mark.parametrize("name", ["my submissions", 'a\'b "c" $HOME $(x) `ls` #é'])
def test_any_folder_through_make(name, course, tmp_path):
    if not shutil.which("make"):
        pytest.skip("there is no make")
    shutil.copy(FOLDER.parent.parent / "Makefile", tmp_path)
    Class(tmp_path / name, course).add("ann", b"", 0, "")
    # The real command, on the course of one tiny assignment.
    (tmp_path / "notebooks" / "assignments").mkdir(parents=True)
    (tmp_path / "notebooks" / "assignments" / "classroom.py").write_text(
        f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(FOLDER)!r})\n"
        "import classroom\n"
        f"classroom.HERE, classroom.ASSIGNMENTS = Path({str(course)!r}), [{NAME!r}]\n"
        "classroom.main()\n"
    )
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (binaries / "python").chmod(0o755)
    for made in ("pyproject.toml", ".venv/test.installed"):
        (tmp_path / made).touch()
    done = subprocess.run(["make", "-o", ".venv/test.installed", "grade", f"SUBMISSIONS={name}"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = (tmp_path / "build" / "grading" / "scores.csv").read_text()
    assert "ann,1_tiny,0.0,10.0,0,the file is empty" in scores


GRADE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(FOLDER)!r})
import classroom
classroom.HERE, classroom.ASSIGNMENTS = Path(sys.argv[1]), [{NAME!r}]
classroom.grade(Path(sys.argv[2]), Path(sys.argv[3]))
"""


def test_killed_at_any_moment_it_goes_on(course, tmp_path):
    made = Class(tmp_path / "in", course)
    made.add("ann", made.solved, 6, "")
    made.add("bob", b"", 0, "")
    made.add("cid", made.but(task_2="answer = 'A'"), 5, "")
    classroom.grade(tmp_path / "in", tmp_path / "whole")
    wanted = (tmp_path / "whole" / "scores.csv").read_bytes()
    scores = tmp_path / "out" / "scores.csv"
    started = subprocess.Popen(
        [sys.executable, "-c", GRADE, str(course), str(tmp_path / "in"), str(tmp_path / "out")],
        stderr=subprocess.DEVNULL,
    )
    while not scores.exists() and started.poll() is None:
        time.sleep(0.05)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert wanted.startswith(scores.read_bytes()) and scores.read_bytes() != wanted
    classroom.grade(tmp_path / "in", tmp_path / "out")
    assert scores.read_bytes() == wanted
