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


# In each assignment two wrong answers: a named mistake, and code that does not run.
PLAIN = "def {}(model, x, target):\n    return {}dga.gradient(model, x, target)"
WRONG = {
    "1_gradients": {
        "task-2": PLAIN.format("gradient_times_input", ""),
        "task-5": "def integrated_gradients(model, x, target, steps):\n    return undefined",
    },
    "2_fullgrad": {"task-2": PLAIN.format("uniform_fullgrad", "x * "), "task-7": "answer = 'B'"},
    "3_masks": {
        "task-1": "def weak_mask(phi, share):\n    return phi.abs() > phi.abs().quantile(share)",
        "task-5": "this is no python",
    },
    "4_dga": {"task-1": "raise ValueError('half done')", "task-6": "answer = None"},
}


def hand_in(folder, student, name, book):
    place = folder / student / name
    place.mkdir(parents=True)
    (place / f"{name}.ipynb").write_text(json.dumps(book))


def test_round_trip_through_nbgrader(tmp_path):
    # Every solved source is run by nbval as well; one is enough to see all points given.
    hand_in(tmp_path / "in", "perfect", "4_dga", read("source", "4_dga"))
    for name in NAMES:
        book = read("source", name)
        for cell in book["cells"]:
            if about(cell).get("grade_id") in WRONG[name]:
                cell["source"] = WRONG[name][about(cell)["grade_id"]]
        hand_in(tmp_path / "in", "wrong", name, book)
    hand_in(tmp_path / "in", "empty", "1_gradients", read("student", "1_gradients"))
    rows = classroom.grade(tmp_path / "in", tmp_path / "out")
    scores = {(row["student"], row["assignment"]): row["score"] for row in rows}
    # What a person reads gives no points yet.
    checks = {name: {k: v for k, v in points(name).items() if k.startswith("check")}
              for name in NAMES}  # fmt: skip
    assert scores["perfect", "4_dga"] == sum(checks["4_dga"].values())
    for name in NAMES:
        lost = sum(checks[name][task.replace("task", "check")] for task in WRONG[name])
        assert scores["wrong", name] == sum(checks[name].values()) - lost
        feedback = tmp_path / "out" / "feedback" / "wrong" / name / f"{name}.html"
        assert feedback.stat().st_size > 10_000
    assert scores["empty", "1_gradients"] == 0
    told = (tmp_path / "out" / "feedback" / "wrong" / "2_fullgrad" / "2_fullgrad.html").read_text()
    assert "the bias sum is missing: this is Gradient*Input" in told
    assert {row["to read"] for row in rows if row["assignment"] == "4_dga"} == {1}
    assert (tmp_path / "out" / "scores.csv").read_text().count("\n") == len(rows) + 1


@pytest.mark.parametrize("layout", ["nothing", "other"])
def test_grading_says_what_is_wrong_with_a_folder(layout, tmp_path):
    if layout == "other":
        hand_in(tmp_path, "ann", "5_more", {})
    with pytest.raises(SystemExit, match=r"STUDENT/NAME/NAME\.ipynb is needed"):
        classroom.grade(tmp_path, tmp_path / "out")
