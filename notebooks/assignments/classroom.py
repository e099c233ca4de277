"""Student copies and grades with nbgrader: make release, make grade SUBMISSIONS=folder.

python classroom.py release                 writes student/ from source/
python classroom.py grade SUBMISSIONS       grades SUBMISSIONS/STUDENT/NAME/NAME.ipynb

Everything in between (gradebook, graded notebooks, feedback) goes to the folder of --output.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from urllib.parse import quote

import nbformat
from hand_ins import LAYOUT, HandIn, collect
from merging import about, as_cells, failed, is_task, keep_best, merge, suspicious
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGraderAPI
from nbgrader.preprocessors import LimitOutput, OverwriteCells, OverwriteKernelspec, SaveAutoGrades
from running import run
from tqdm.auto import tqdm
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

import dga
from dga.zoo.files import alone_in, write_atomically

# nbgrader starts `alembic`, which lies beside this Python, by its name.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

warnings.filterwarnings("ignore", module="nbgrader")  # of SQLAlchemy, about its inner workings

HERE = Path(__file__).resolve().parent
ASSIGNMENTS = sorted(path.name for path in (HERE / "source").iterdir() if path.is_dir())
Row = dict[str, str | float]


def course(folder: Path) -> tuple[NbGraderAPI, str]:
    """nbgrader in a folder of its own with the solved sources, and its gradebook."""
    shutil.copytree(HERE / "source", folder / "source", dirs_exist_ok=True)
    config = Config(PyFileConfigLoader("nbgrader_config.py", path=str(HERE)).load_config())
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = f"sqlite:///{folder / 'gradebook.db'}"
    config.NbGraderAPI.log_level = "CRITICAL"  # what goes wrong is said in a note
    # Notebooks were run before nbgrader sees them, students' cells apart from the checks.
    config.Autograde.sanitize_preprocessors = [OverwriteKernelspec, OverwriteCells]
    config.Autograde.autograde_preprocessors = [LimitOutput, SaveAutoGrades]
    return NbGraderAPI(config=config), config.CourseDirectory.db_url


def release(target: Path = HERE / "student") -> None:
    """Writes the student copies: solutions and outputs taken out."""
    with tempfile.TemporaryDirectory() as folder:
        api, _ = course(Path(folder))
        for name in tqdm(ASSIGNMENTS, desc="Releasing", leave=False):
            checked(api.generate_assignment(name, force=True), name)
        for name in ASSIGNMENTS:
            made = Path(folder) / "student" / name / f"{name}.ipynb"
            (target / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made, target / name / made.name)


class Grading:
    """Grades into a folder, one hand-in after the other; what is done there stays done."""

    def __init__(self, output: Path) -> None:
        (output / "done").mkdir(parents=True, exist_ok=True)
        self.output = output
        self.api, self.database = course(output)
        self.together: dict[str, list[str]] = {}

    def prepare(self, name: str) -> None:
        """Puts an assignment into the gradebook and tries its solution on this machine."""
        place = self.output / "done" / f"{name}.json"
        print_ = fingerprint(name)
        kept = loaded(place, print_)
        with Gradebook(self.database) as gradebook:
            try:
                known = gradebook.find_notebook(name, name)
                before = {cell.name for cell in known.source_cells} if known.submissions else None
            except MissingEntry:  # somebody may have deleted the gradebook
                kept = before = None
        if before not in (None, {about(c)["grade_id"] for c in book("source", name).cells
                                 if about(c)}):  # fmt: skip
            raise SystemExit(f"{name}: checks were added or removed after the first grading: grade "
                             "into a new --output; points given by hand stay in the old "
                             "gradebook")  # fmt: skip
        if kept is None:
            checked(self.api.generate_assignment(name, force=True), name)
            kept = {"print": print_, "together": self.tried(name)}
            write_atomically(place, json.dumps(kept).encode())
        self.together[name] = kept["together"]

    def tried(self, name: str) -> list[str]:
        """Checks that pass only in the process of the answers, such as one of a class.

        Raises:
            SystemExit: if the teacher's own solution does not pass here.
        """
        together: list[str] = []
        for _ in range(2):
            steps, _ = merge(as_cells(book("source", name)), *self.originals(name))
            run(steps, set(together), self.output)
            lost = [s.check for s in steps if s.check and failed(s.cell)]
            if not lost:
                return together
            if together:
                break
            together = lost
        why = next(s.cell.outputs[-1].evalue for s in steps if s.check == lost[0])
        raise SystemExit(f"{name}: its own solution does not pass {', '.join(lost)} here: {why}")

    def originals(self, name: str) -> tuple:
        handed_out = self.output / "student" / name / f"{name}.ipynb"
        return book("source", name), as_cells(nbformat.read(handed_out, as_version=4))

    def grade(self, one: HandIn) -> Row:
        """A row for what somebody handed in; whatever goes wrong is said in its note."""
        row: Row = {"student": one.student, "assignment": one.assignment, "score": 0.0, "of": 0.0,
                    "to read": 0, "note": "; ".join(one.notes)}  # fmt: skip
        if one.assignment in ASSIGNMENTS:
            row["of"] = float(sum(about(c)["points"] for c in book("source", one.assignment).cells
                                  if about(c).get("grade")))  # fmt: skip
        if one.cells:
            try:
                row |= self.graded(one)
            except Exception as error:  # one hand-in must not stop the others
                what = f"{type(error).__name__}: {error}".strip().splitlines()[-1][:200]
                row["note"] = "; ".join(
                    [*one.notes, f"could not be graded ({what}): look at it, and grade again"]
                )
        return row

    def graded(self, one: HandIn) -> Row:
        student, name = folder_name(one.student), one.assignment
        place = self.output / "done" / f"{name}-{student}.json"
        print_ = fingerprint(name, one.raw)
        kept = loaded(place, print_)
        if kept is None or not self.has(name, student):
            kept = {"print": print_, "notes": self.run(one, student)}
        if not self.has(name, student):
            raise RuntimeError("nbgrader kept no result")
        with Gradebook(self.database) as gradebook:
            found = gradebook.find_submission(name, student)
            numbers: Row = {
                "score": found.score, "of": found.max_score,
                "to read": sum(n.needs_manual_grade for n in found.notebooks),
            }  # fmt: skip
            by_hand = [
                [x.manual_score, x.extra_credit] for n in found.notebooks for x in n.grades
            ] + [[x.manual_comment] for n in found.notebooks for x in n.comments]
        lost = []
        if kept.get("by hand") != by_hand:
            if self.api.generate_feedback(name, student, force=True)["success"]:
                kept["by hand"] = by_hand
            else:  # the score is there all the same; the next run tries again
                lost = ["no page of feedback could be written"]
            write_atomically(place, json.dumps(kept).encode())
        return numbers | {"note": "; ".join([*one.notes, *kept["notes"], *lost])}

    def has(self, name: str, student: str) -> bool:
        """Whether the gradebook holds a result; somebody may have deleted it."""
        with Gradebook(self.database) as gradebook:
            try:
                return bool(gradebook.find_submission(name, student))
            except MissingEntry:
                return False

    def run(self, one: HandIn, student: str) -> list[str]:
        """Runs it and puts the points into the gradebook; notes on what happened."""
        name = one.assignment
        steps, notes = merge(one.cells, *self.originals(name))
        with tempfile.TemporaryDirectory() as folder:
            run(steps, set(self.together[name]), Path(folder))
        for number, step in enumerate(steps, 1):
            for output in step.cell.get("outputs", []):
                if output.output_type == "error" and output.ename == "Ended":
                    notes.append(f"cell {number}: {output.evalue}; the rest was graded without it")
        notes += [f"look at it: {what}" for what in suspicious(steps)]
        keep_best(steps)
        notes += [f"{s.check} passed in the hand-in and fails here: look at it"
                  for s in steps if s.check and s.passed and failed(s.cell)]  # fmt: skip
        made = book("source", name)
        made.cells = [step.cell for step in steps]
        place = self.output / "submitted" / student / name
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(made, place / f"{name}.ipynb")
        checked(self.api.autograde(name, student, force=True), "autograde")
        return notes


def book(kind: str, name: str) -> nbformat.NotebookNode:
    return nbformat.read(HERE / kind / name / f"{name}.ipynb", as_version=4)


def fingerprint(name: str, raw: bytes = b"") -> str:
    """Of everything that a grade depends on."""
    source = HERE / "source" / name / f"{name}.ipynb"
    return hashlib.sha256(code() + source.read_bytes() + raw).hexdigest()


@cache
def code() -> bytes:
    """A digest of what grades: this folder's modules, and dga; the same for a whole run."""
    made = hashlib.sha256()
    for path in [*sorted(HERE.glob("*.py")), *sorted(Path(dga.__file__).parent.rglob("*.py"))]:
        made.update(path.read_bytes())
    return made.digest()


def loaded(place: Path, print_: str) -> dict | None:
    """What was kept, if it is still right."""
    try:
        kept = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    return kept if kept["print"] == print_ else None


def folder_name(student: str) -> str:
    """A name without characters that mean something to nbgrader, SQLite or the file system."""
    made = "".join(
        c if c.isalnum() or c in " ._-@" else quote(c, safe="", errors="surrogateescape")
        for c in student
    )
    if len(made) > 100:
        made = made[:80] + hashlib.sha256(made.encode()).hexdigest()[:16]
    return made


def write_scores(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["student", "assignment", "score", "of", "to read", "note"])
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))


def grade(submissions: Path, output: Path) -> list[Row]:
    """Runs what was handed in and writes scores.csv and a page of feedback for everybody.

    Args:
        submissions: holds STUDENT/NAME/NAME.ipynb; what lies otherwise is found as well.
        output: folder for the results; made if needed. What was graded there before, from the same
            bytes, is not graded again.

    Returns:
        A row for every student and assignment: score, reachable points, how many answers a person
        has still to read, and a note on what was wrong and what to do.

    Raises:
        SystemExit: if nothing was handed in, another run is grading into the same folder, or the
            solutions do not pass on this machine.
    """
    handed_out = {name: as_cells(book("student", name)) for name in ASSIGNMENTS}
    solved = {name: [c.source for c in book("source", name).cells if is_task(c)]
              for name in ASSIGNMENTS}  # fmt: skip
    hand_ins = collect(submissions.resolve(), handed_out, output.resolve(), solved)
    if not hand_ins:
        raise SystemExit(f"{submissions} is empty; {LAYOUT} is needed, "
                         f"NAME one of {', '.join(ASSIGNMENTS)}")  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    with alone_in(output) as alone:
        if not alone:
            raise SystemExit(f"another run is grading into {output}: wait for its end, or choose "
                             "another --output")  # fmt: skip
        grading = Grading(output.resolve())
        names = sorted({h.assignment for h in hand_ins if h.cells})
        for name in tqdm(names, "Trying", leave=False):
            grading.prepare(name)
        rows: list[Row] = []
        for one in tqdm(hand_ins, desc="Grading", leave=False):
            rows.append(grading.grade(one))
            write_scores(output / "scores.csv", rows)
    return rows


def checked(result: dict, what: str) -> None:
    if not result["success"]:
        raise RuntimeError(f"{what}: {result.get('error') or result.get('log')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("release", help="write the student copies again")
    grading = commands.add_parser("grade", help="grade a folder of submissions")
    grading.add_argument("submissions", help=LAYOUT.removeprefix("FOLDER/"))
    grading.add_argument("--output", type=Path, default=Path("build/grading"))
    options = parser.parse_args()
    if options.command == "release":
        release()
        return
    if not options.submissions or not Path(options.submissions).is_dir():
        sys.exit(f"{options.submissions!r} is no folder: make grade SUBMISSIONS=folder")
    try:
        rows = grade(Path(options.submissions), options.output)
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on from here")
    for row in rows:
        student = ascii(row["student"])[1:-1]
        to_read = ["an open answer is to be read"] if row["to read"] else []
        note = "; ".join([*to_read, *filter(None, [str(row["note"])])])
        print(f"{student:20} {row['assignment']:14} {row['score']:g} of {row['of']:g}  {note}")
    print(f"scores: {options.output / 'scores.csv'}, feedback: {options.output / 'feedback'}")


if __name__ == "__main__":
    main()
