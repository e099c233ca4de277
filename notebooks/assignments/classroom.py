"""Student copies and grades with nbgrader: make release, make grade SUBMISSIONS=folder.

python classroom.py release                 writes student/ from source/
python classroom.py grade SUBMISSIONS       grades SUBMISSIONS/STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb

Everything in between (gradebook, graded notebooks, feedback) goes to the folder of --output.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGraderAPI
from tqdm.auto import tqdm
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

# nbgrader starts `alembic`, which lies beside this Python, by its name.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

warnings.filterwarnings("ignore", module="nbgrader")  # of SQLAlchemy, about its inner workings

HERE = Path(__file__).resolve().parent
ASSIGNMENTS = sorted(path.name for path in (HERE / "source").iterdir() if path.is_dir())


def course(folder: Path) -> tuple[NbGraderAPI, str]:
    """nbgrader in a folder of its own with the solved sources, and its gradebook."""
    shutil.copytree(HERE / "source", folder / "source", dirs_exist_ok=True)
    config = Config(PyFileConfigLoader("nbgrader_config.py", path=str(HERE)).load_config())
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = f"sqlite:///{folder / 'gradebook.db'}"
    config.NbGraderAPI.log_level = "ERROR"
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


def grade(submissions: Path, output: Path) -> list[dict[str, str | float]]:
    """Runs what was handed in and writes scores.csv and a page of feedback for everybody.

    Args:
        submissions: holds STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb.
        output: folder for the results; made if needed.

    Returns:
        A row for every notebook: student, assignment, score, reachable points, and what a person
        has still to read.
    """
    handed_in = sorted(
        path for path in submissions.glob("*/*/*.ipynb") if path.stem == path.parent.name
    )
    unknown = {path.stem for path in handed_in} - set(ASSIGNMENTS)
    if unknown or not handed_in:
        raise SystemExit(
            f"{submissions} holds {', '.join(sorted(unknown)) or 'no notebooks'}; "
            f"STUDENT/NAME/NAME.ipynb is needed, NAME one of {', '.join(ASSIGNMENTS)}"
        )
    output.mkdir(parents=True, exist_ok=True)
    api, database = course(output)
    for name in sorted({path.stem for path in handed_in}):
        checked(api.generate_assignment(name, force=True), name)
    rows: list[dict[str, str | float]] = []
    for path in tqdm(handed_in, desc="Grading", leave=False):
        student, name = path.parts[-3], path.stem
        place = output / "submitted" / student / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / path.name)
        checked(api.autograde(name, student, force=True), f"{student} {name}")
        checked(api.generate_feedback(name, student, force=True), f"{student} {name}")
        with Gradebook(database) as book:
            try:
                found = book.find_submission(name, student)
            except MissingEntry:
                raise SystemExit(f"{student} {name}: nbgrader kept no result") from None
            rows.append(
                {
                    "student": student, "assignment": name, "score": found.score,
                    "of": found.max_score, "to read": sum(n.needs_manual_grade
                                                          for n in found.notebooks),
                }
            )  # fmt: skip
    with open(output / "scores.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def checked(result: dict, what: str) -> None:
    if not result["success"]:
        raise SystemExit(f"{what}: {result.get('error') or result.get('log')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("release", help="write the student copies again")
    grading = commands.add_parser("grade", help="grade a folder of submissions")
    grading.add_argument("submissions", type=Path, help="STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb")
    grading.add_argument("--output", type=Path, default=Path("build/grading"))
    options = parser.parse_args()
    if options.command == "release":
        release()
        return
    if not options.submissions.is_dir():
        sys.exit(f"{options.submissions} is no folder: make grade SUBMISSIONS=folder")
    for row in grade(options.submissions, options.output.resolve()):
        note = "  (an open answer is to be read)" if row["to read"] else ""
        print(f"{row['student']:20} {row['assignment']:14} {row['score']:g} of {row['of']:g}{note}")
    print(f"scores: {options.output / 'scores.csv'}, feedback: {options.output / 'feedback'}")


if __name__ == "__main__":
    main()
