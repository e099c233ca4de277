"""What was handed in: which file is whose, which assignment it is, and what is wrong with it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".xz", ".bz2")
NOTEBOOKS = (".ipynb", ".ipynb.txt", ".ipynb.json")  # also what mail and browsers make of them
MOST_BYTES = 100_000_000
LAYOUT = "FOLDER/STUDENT/NAME/NAME.ipynb"


@dataclass
class Cell:
    """A cell of a student, with what may tell which cell of the assignment it was."""

    kind: str
    source: str
    grade_id: str | None = None
    id: str | None = None
    pasted: dict[str, dict[str, str]] = field(default_factory=dict)  # pictures in its text
    passed: bool = field(default=False, compare=False)  # it was run, and stopped with no error


@dataclass
class HandIn:
    """What a student handed in for an assignment; without cells it cannot be graded."""

    student: str
    assignment: str
    path: str
    raw: bytes = b""
    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sure: bool = False  # its cells are those of the assignment, whatever its name
    copied: bool = False  # every answer is the published one


class Unreadable(Exception):
    """No notebook; says why and what to do."""


def text_of(value: Any) -> str:
    """A source in either form, without halves of characters."""
    parts = value if isinstance(value, list) else [value]
    return "".join(p for p in parts if isinstance(p, str)).encode("utf-8", "replace").decode()


def read(raw: bytes) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook, and notes on what was odd about it.

    Raises:
        Unreadable: if it is none.
    """
    if not raw.strip(b" \t\r\n\0"):
        raise Unreadable("the file is empty: ask for it again")
    for start, name in (
        (b"PK\3\4", "a zip archive"), (b"\x1f\x8b", "a gzip archive"), (b"%PDF", "a PDF"),
    ):  # fmt: skip
        if raw.startswith(start):
            raise Unreadable(f"this is {name} named .ipynb: unpack it, or ask for the notebook")
    notes = []
    encoding = "utf-8"
    if raw.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    elif raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encoding = "utf-32"
    elif raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in raw[:2]:
        encoding = "utf-16-be" if raw[0] == 0 else "utf-16-le"
    if encoding != "utf-8":
        kind = "a byte-order mark" if encoding == "utf-8-sig" else encoding.upper()
        notes.append(f"saved with {kind}; read all the same")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable("the file is damaged or no text in UTF-8: ask for it again") from None
    conflict = re.search(r"^(<{7}|>{7}|={7})", text, re.M)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise Unreadable(
            f"it holds the marks of a merge conflict (line {line}): ask for a resolved version"
        )
    if text.lstrip().startswith("<"):
        raise Unreadable("this is a web page (HTML), no notebook: ask for the .ipynb file itself")
    try:
        book = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and not text.rstrip().endswith("}"):
            raise Unreadable("the file is cut off in the middle: ask for it again") from None
        raise Unreadable(
            f"no notebook: its JSON is broken in line {error.lineno}: ask for it again"
        ) from None
    except (RecursionError, ValueError):
        raise Unreadable("no notebook: JSON that no program writes; ask for it again") from None
    found = book.get("cells") if isinstance(book, dict) else None
    if found is None and isinstance(book, dict) and isinstance(book.get("worksheets"), list):
        sheets = [s for s in book["worksheets"] if isinstance(s, dict)]
        found = [c for s in sheets if isinstance(s.get("cells"), list) for c in s["cells"]]
        notes.append("in the old format 3; read all the same")
    if not isinstance(found, list):
        raise Unreadable("this is JSON, but no notebook: ask for the .ipynb file itself")
    cells = [made for made in map(_cell, found) if made]
    if not cells:
        raise Unreadable("the notebook has no cells: ask for it again")
    return cells, notes


def _cell(found: Any) -> Cell | None:
    if not isinstance(found, dict):
        return None
    kind = "code" if found.get("cell_type") == "code" else "markdown"
    source = text_of(found.get("source", found.get("input", "")))
    metadata = found.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = about.get("grade_id") if isinstance(about, dict) else None
    ids = [i if isinstance(i, str) else None for i in (name, found.get("id"))]
    outputs = found.get("outputs")
    kinds = [o.get("output_type") for o in outputs if isinstance(o, dict)] if isinstance(
        outputs, list) else []  # fmt: skip
    passed = isinstance(found.get("execution_count"), int) and "error" not in kinds
    return Cell(kind, source, *ids, _pasted(found.get("attachments")), passed)


def _pasted(found: Any) -> dict[str, dict[str, str]]:
    if not isinstance(found, dict):
        return {}
    return {
        name: {kind: text_of(data) for kind, data in kinds.items()}
        for name, kinds in found.items() if isinstance(kinds, dict)
    }  # fmt: skip


def plain(name: str) -> str:
    """A name without case, spaces and the like."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def named(name: str, assignments: dict[str, list[Cell]]) -> str | None:
    """The assignment whose name is inside a name."""
    return next((a for a in assignments if plain(a) in plain(name)), None)


def recognised(cells: list[Cell], assignments: dict[str, list[Cell]]) -> str | None:
    """The assignment of which most cells are there as they were handed out."""
    texts = {c.source.strip() for c in cells}
    there = {
        name: sum(c.source.strip() in texts for c in handed_out) / max(1, len(handed_out))
        for name, handed_out in assignments.items()
    }
    best = max(there, key=lambda name: there[name], default=None)
    return best if best is not None and there[best] >= 0.3 else None


def hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX")) or path.name in ("Thumbs.db", "desktop.ini")


def inside(folder: Path, leave_out: Path) -> Iterator[Path]:
    """Files below a folder, and folders that hold none; without hidden ones."""
    try:
        entries = sorted(p for p in folder.iterdir() if not hidden(p) and p != leave_out)
    except OSError:
        entries = []
    if not entries:
        yield folder
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            yield from inside(path, leave_out)
        else:
            yield path


def collect(
    folder: Path,
    assignments: dict[str, list[Cell]],
    leave_out: Path,
    solved: dict[str, list[str]] | None = None,
) -> list[HandIn]:
    """Everything that was handed in, one for each student and assignment.

    Args:
        folder: the submissions.
        assignments: name -> cells as handed out.
        leave_out: the folder of results, which may lie inside.
        solved: name -> the published answers.
    """
    found: list[HandIn] = []
    for entry in sorted(folder.iterdir()):
        if hidden(entry) or entry == leave_out:
            continue
        if entry.is_dir() and named(entry.name, assignments) == entry.name:
            children = [c for c in sorted(entry.iterdir()) if not hidden(c)]
        else:
            children = [entry]
        for child in children:
            found += _of_student(folder, child, assignments, leave_out)
    groups: dict[tuple[str, str], list[HandIn]] = {}
    for one in found:
        answers = (solved or {}).get(one.assignment)
        texts = {_bare(cell.source) for cell in one.cells}
        one.copied = bool(answers) and texts.issuperset(map(_bare, answers))
        groups.setdefault((one.student, one.assignment), []).append(one)
    return [_best(groups[key], assignments) for key in sorted(groups)]


def _of_student(
    folder: Path, entry: Path, assignments: dict[str, list[Cell]], leave_out: Path
) -> list[HandIn]:
    student = entry.name if entry.is_dir() else re.sub(r"(\.ipynb)?\.\w+$", "", entry.name)
    paths = list(inside(entry, leave_out)) if entry.is_dir() else [entry]
    rest, made = [], []
    for path in paths:
        endings = (*ARCHIVES, *NOTEBOOKS, *([".json"] if named(path.name, assignments) else []))
        if path.name.lower().endswith(endings):
            made.append(_hand_in(folder, student, path, assignments))
        elif path.is_dir():
            name = named(path.name, assignments) if path != entry else None
            what = "the folder is empty: ask for the notebook"
            made.append(_empty(folder, student, path, name or "", what))
        else:
            rest.append(path)
    others: dict[str, list[Path]] = {}
    for path in rest:
        parts = reversed(path.relative_to(folder).parts)
        names = filter(None, (named(part, assignments) for part in parts))
        others.setdefault(next(names, ""), []).append(path)
    done = {one.assignment for one in made}
    for name, paths in others.items():  # of each assignment of which nothing else is there
        if name not in done and (name or (len(others) == 1 and not made)):
            what = ", ".join(ascii(p.name)[1:-1] for p in paths[:5])
            what = f"no notebook, only {what}: ask for the .ipynb file"
            made.append(_empty(folder, student, paths[0], name, what))
    return made


def _empty(folder: Path, student: str, path: Path, assignment: str, note: str) -> HandIn:
    return HandIn(student, assignment, str(path.relative_to(folder)), notes=[note])


def _hand_in(folder: Path, student: str, path: Path, assignments: dict[str, list[Cell]]) -> HandIn:
    within = str(path.relative_to(folder))
    by_name = named(path.stem, assignments) or named(path.parent.name, assignments)
    made = HandIn(student, by_name or path.stem, within)
    try:
        if path.name.lower().endswith(ARCHIVES):
            raise Unreadable("packed: unpack it there and grade again")
        if not path.is_file():
            raise Unreadable("no file: a folder, a broken link or a device; ask for it again")
        if path.stat().st_size > MOST_BYTES:
            raise Unreadable("larger than 100 MB: have its outputs cleared and grade again")
        made.raw = path.read_bytes()
        made.cells, made.notes = read(made.raw)
    except Unreadable as why:
        made.notes.append(str(why))
        return made
    except OSError as error:
        made.notes.append(f"cannot be read ({error.strerror}): copy it again")
        return made
    by_content = recognised(made.cells, assignments)
    made.sure = by_content is not None
    if by_content and by_name and by_content != by_name:
        made.notes.append(f"named {by_name}, but this is {by_content}; graded as that")
    made.assignment = by_content or made.assignment
    if made.assignment not in assignments:
        made.cells = []
        made.notes.append(
            f"none of the assignments {', '.join(assignments)}: ask what it is, or rename it"
        )
    elif by_content is None:
        made.notes.append("hardly any cell of the handed-out notebook is left: look at it")
    if path.parent == folder:
        made.notes.append(f"lies outside of students' folders: whose is it? {LAYOUT} is expected")
    return made


def untouched(cells: list[Cell], handed_out: list[Cell]) -> bool:
    """Whether nothing was written: every task is as it was handed out, and nothing was added."""
    texts = {c.source.strip() for c in cells}
    added = sum(bool(c.source.strip()) for c in cells) > len(handed_out)
    return not added and all(c.source.strip() in texts for c in handed_out if c.grade_id)


def _bare(source: str) -> str:
    """A cell without the marks of a solution and the space around its lines."""
    lines = [line.strip() for line in source.splitlines()]
    return "\n".join(line for line in lines if line and not re.match("### (BEGIN|END) ", line))


def _best(versions: list[HandIn], assignments: dict[str, list[Cell]]) -> HandIn:
    """The version to grade, with notes on the others."""

    def worth(one: HandIn) -> tuple:
        place = os.path.join(one.student, one.assignment, f"{one.assignment}.ipynb")
        written = bool(one.cells) and not untouched(one.cells, assignments[one.assignment])
        stem = Path(one.path).stem
        return (written and not one.copied, bool(one.cells), not one.copied, one.sure,
                one.path == place, stem == one.assignment)  # fmt: skip

    best = max(versions, key=worth)  # the first of equals
    place = os.path.join(best.student, best.assignment, f"{best.assignment}.ipynb")
    if best.cells and best.path != place:
        best.notes.append(f"graded from {ascii(best.path)[1:-1]}; {LAYOUT} is expected")
    for other in versions:
        if other is best or (other.cells and other.cells == best.cells):
            continue
        why = "the published solution" if other.copied else (
            "the other is untouched" if other.cells and not worth(other)[0] else
            "two different versions: keep one and grade again"
            if other.cells and other.sure >= best.sure else "; ".join(other.notes))  # fmt: skip
        best.notes.append(f"not graded: {ascii(other.path)[1:-1]} ({why})")
    if best.copied:
        best.notes.append("every answer is the published solution, word for word: ask for theirs")
    elif best.cells and not worth(best)[0]:
        best.notes.append("nothing was written: this is the notebook as handed out; ask for theirs")
    return best
