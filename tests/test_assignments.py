"""The assignments: their form, the student copies, and a round trip through nbgrader."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from budgets import folded

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks" / "assignments"
sys.path.insert(0, str(FOLDER))
import classroom  # noqa: E402

NAMES = classroom.ASSIGNMENTS


def read(kind, name):
    return json.loads((FOLDER / kind / name / f"{name}.ipynb").read_text())


def source(cell):
    return "".join(cell["source"])


def about(cell):
    return cell["metadata"].get("nbgrader", {})


def points(name):
    return {about(c)["grade_id"]: about(c)["points"] for c in read("source", name)["cells"]
            if about(c).get("grade")}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_form_of_an_assignment(name):
    cells = read("source", name)["cells"]
    heads = [source(c) for c in cells if source(c).startswith("## Task")]
    assert 5 <= len(heads) <= 8
    for k, head in enumerate(heads, 1):
        assert re.match(rf"## Task {k}: .+\n\n\*\d points?.* · (easy|medium|hard) · \d+ min", head)
        assert "<details><summary>Hint</summary>" in head
    total = sum(points(name).values())
    assert f"*{total} points." in source(cells[0]), "the sum at the top is out of date"
    stated = [int(re.search(r"\*(\d+) point", head)[1]) for head in heads]
    assert stated == list(points(name).values())
    assert f"| {len(heads)} | {total} |" in (FOLDER / "README.md").read_text()
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["execution_count"] and (folded(cell) or source(cell).count("\n") < 15)
            for output in cell["outputs"]:
                assert output["output_type"] != "error"
                if "image/png" in output.get("data", {}):
                    assert output["metadata"]["image/png"]["alt"]


@pytest.mark.parametrize("name", NAMES)
def test_minutes_of_the_tasks_add_up_to_those_of_the_readme(name):
    heads = [source(c) for c in read("source", name)["cells"] if source(c).startswith("## Task")]
    minutes = [int(re.search(r"· (\d+) min", head)[1]) for head in heads]
    row = re.search(rf"{name}\.ipynb.*\| (\d+)(, and (\d+) for task 7)? \|",
                    (FOLDER / "README.md").read_text())  # fmt: skip
    if row[3]:
        assert minutes.pop() == int(row[3])
    assert sum(minutes) <= int(row[1]) <= sum(minutes) + 6, "with the set-up"


@pytest.mark.parametrize("name", NAMES)
def test_student_copy_gives_nothing_away(name):
    text = json.dumps(read("student", name))
    assert "SOLUTION" not in text and "HIDDEN" not in text
    for cell in read("student", name)["cells"]:
        assert cell["cell_type"] == "markdown" or not cell["outputs"]
    for cell in read("source", name)["cells"]:
        for solved in re.findall(r"### BEGIN SOLUTION\n(.*?)### END", source(cell), re.S):
            assert json.dumps(solved)[1:-1] not in text


def test_student_copies_are_those_of_the_sources(tmp_path):
    classroom.release(tmp_path)
    for name in NAMES:
        made = json.loads((tmp_path / name / f"{name}.ipynb").read_text())
        assert made == read("student", name), "run make release"


def checked_tasks(name):
    """The tasks that a check follows: name of the check -> name of the task."""
    found, last = {}, None
    for cell in read("source", name)["cells"]:
        if about(cell).get("solution") and cell["cell_type"] == "code":
            last = about(cell)["grade_id"]
        elif about(cell).get("grade") and not about(cell).get("solution"):
            found[about(cell)["grade_id"]] = last
    return found


def hand_in(folder, student, name, book):
    place = folder / student / name
    place.mkdir(parents=True)
    (place / f"{name}.ipynb").write_text(json.dumps(book))


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_through_nbgrader(name, tmp_path):
    # That the solution gets all points is what grading tries first. Here the first task does not
    # run, and the last is as it was handed out; no other is lost by that.
    tasks = checked_tasks(name)
    wrong = {next(iter(tasks)): "raise ValueError('half done')", list(tasks)[-1]: None}
    book = read("source", name)
    handed_out = {about(c).get("grade_id"): c for c in read("student", name)["cells"]}
    for cell in book["cells"]:
        for check, text in wrong.items():
            if about(cell).get("grade_id") == tasks[check]:
                cell["source"] = text or handed_out[tasks[check]]["source"]
    hand_in(tmp_path / "in", "wrong", name, book)
    (row,) = classroom.grade(tmp_path / "in", tmp_path / "out")
    right = sum(points(name)[check] for check in tasks if check not in wrong)
    assert (row["score"], row["of"]) == (right, sum(points(name).values()))
    assert row["note"] == "; ".join(f"{k} passed in the hand-in and fails here: look at it"
                                    for k in wrong)  # fmt: skip
    # What a person reads gives no points yet.
    assert row["to read"] == len(set(points(name)) - set(tasks))
    feedback = (tmp_path / "out" / "feedback" / "wrong" / name / f"{name}.html").read_text()
    assert "ValueError" in feedback and "half done" in feedback


def test_an_empty_folder_is_no_class(tmp_path):
    with pytest.raises(SystemExit, match=r"STUDENT/NAME/NAME\.ipynb is needed"):
        classroom.grade(tmp_path, tmp_path / "out")
