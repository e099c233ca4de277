"""A student's notebook with the teacher's cells put back: what is run and graded."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from hand_ins import Cell
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from dga.lessons.checks import TASKS


@dataclass
class Step:
    """A cell of the merged notebook, the teacher's code for it, and which check it is."""

    cell: NotebookNode
    given: str | None = None
    check: str | None = None
    passed: bool = False  # as the notebook came in


def about(cell: NotebookNode) -> dict:
    return cell.metadata.get("nbgrader", {})


def as_cells(book: NotebookNode) -> list[Cell]:
    return [
        Cell("code" if c.cell_type == "code" else "markdown", c.source,
             about(c).get("grade_id"), c.get("id"))
        for c in book.cells
    ]  # fmt: skip


def is_check(cell: NotebookNode) -> bool:
    return bool(about(cell).get("grade")) and not about(cell).get("solution")


def is_task(cell: NotebookNode) -> bool:
    return bool(about(cell).get("solution"))


def matched(cells: list[Cell], source: NotebookNode, handed_out: list[Cell]) -> dict[int, int]:
    """Which cell (key) was which cell of the source (value); copies of one cell share it.

    First by nbgrader's name, then by Jupyter's, then by text; what is left between the same two
    neighbours is the cell that was there.
    """
    found: dict[int, int] = {}
    originals = as_cells(source)
    for same in (
        lambda mine, k: mine.grade_id is not None and mine.grade_id == originals[k].grade_id,
        lambda mine, k: mine.id is not None and mine.id == originals[k].id,
        lambda mine, k: mine.source.strip() in (
            originals[k].source.strip(), handed_out[k].source.strip()) and mine.source.strip(),
    ):  # fmt: skip
        taken = set(found.values())
        for place, mine in enumerate(cells):
            if place not in found:
                ks = [k for k in range(len(originals)) if k not in taken and same(mine, k)]
                if ks:
                    found[place] = ks[0]
                    if mine.grade_id is None:
                        taken.add(ks[0])  # texts such as `answer = None` are there several times
    for k, original in enumerate(source.cells):
        if is_task(original) and k not in found.values():
            before = [p for p, other in found.items() if other < k]
            after = [p for p, other in found.items() if other > k]
            gap = range(max(before, default=-1) + 1, min(after, default=len(cells)))
            kind = originals[k].kind
            here = [p for p in gap if p not in found and cells[p].kind == kind]
            if here:
                found[here[-1]] = k
    return found


def merge(
    cells: list[Cell], source: NotebookNode, handed_out: list[Cell]
) -> tuple[list[Step], list[str]]:
    """The notebook to run, and notes on what was put back.

    Args:
        cells: the student's.
        source: the solved notebook; of its tasks nothing is taken but their names.
        handed_out: the cells as students get them, one for each of the source.
    """
    found = matched(cells, source, handed_out)
    notes = []
    order: list[tuple[int | None, int | None]] = [(p, found.get(p)) for p in range(len(cells))]
    missing = []
    for k, original in enumerate(source.cells):
        places = [i for i, (_, other) in enumerate(order) if other == k]
        if not places:
            before = [i for i, (_, other) in enumerate(order) if k and other == k - 1]
            order.insert(before[-1] + 1 if before else 0, (None, k))
            if original.cell_type == "code" or is_task(original):
                missing.append(about(original).get("grade_id") or f"cell {k + 1}")
        elif len(places) > 1 and about(original):
            notes.append(
                f"{about(original)['grade_id']} is there {len(places)} times: the best counts"
            )
    if missing:
        notes.append(f"not there, or not recognised: {', '.join(missing)}; put back as handed out")
    # A task that was solved again after its check is checked again.
    for k, original in enumerate(source.cells):
        if is_check(original):
            tasks = set()
            for j in range(k - 1, -1, -1):
                if is_check(source.cells[j]):
                    break
                if is_task(source.cells[j]):
                    tasks.add(j)
            last = max(i for i, (_, other) in enumerate(order) if other == k)
            late = [i for i, (_, other) in enumerate(order) if other in tasks and i > last]
            for i in reversed(late):
                order.insert(i + 1, (None, k))
    last_of = {k: i for i, (_, k) in enumerate(order)}
    steps = []
    for i, (place, k) in enumerate(order):
        mine = None if place is None else cells[place]
        if k is None:
            steps.append(Step(_own(mine)))
            continue
        original = source.cells[k]
        text = handed_out[k].source if mine is None else mine.source
        if is_task(original) and last_of[k] != i:
            steps.append(Step(_own(mine)))  # an earlier copy
            continue
        if mine and is_check(original) and mine.source.strip() not in (
            "", original.source.strip(), handed_out[k].source.strip()):  # fmt: skip
            steps.append(Step(_own(mine)))  # what they wrote into the check is theirs
        cell = deepcopy(original)
        cell.source = original.source if is_check(original) else text
        if mine and mine.pasted and cell.cell_type == "markdown":
            cell.attachments = mine.pasted
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        code = cell.cell_type == "code" and not is_task(original)
        steps.append(
            Step(
                cell,
                original.source if code else None,
                about(original)["grade_id"] if is_check(original) else None,
                bool(mine and mine.passed),
            )
        )
    return steps, notes


def _own(cell: Cell | None) -> NotebookNode:
    assert cell is not None
    if cell.kind == "code":
        return new_code_cell(cell.source)
    return new_markdown_cell(cell.source, **({"attachments": cell.pasted} if cell.pasted else {}))


def keep_best(steps: list[Step]) -> None:
    """Of a check that ran several times, the first that passed keeps its name, else the last."""
    for name in {s.check for s in steps if s.check}:
        runs = [s for s in steps if s.check == name]
        best = next((s for s in runs if not failed(s.cell)), runs[-1])
        for step in runs:
            if step is not best:
                step.cell = new_code_cell(step.cell.source, outputs=step.cell.outputs,
                                          execution_count=step.cell.execution_count)  # fmt: skip
                step.check = None


def failed(cell: NotebookNode) -> bool:
    return any(o.output_type == "error" for o in cell.get("outputs", []))


# ------------------------------------------------------------------ what a person should look at


def suspicious(steps: list[Step]) -> list[str]:
    """Students' lines that rebind what checks use, replace parts of modules, or take answers.

    They change nothing where the checks run; the last kind gets points that somebody else earned.
    """
    used, bound, modules = set(), set(dir(builtins)), {"builtins", "sys"}
    for step in steps:
        for node in ast.walk(_parsed(step.given or "")):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and step.check:
                used.add(node.id)
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules |= {(a.asname or a.name).split(".")[0] for a in node.names}
        if not step.check:
            bound |= set(_bindings(_parsed(step.given or "")))
    out = []
    for number, (step, theirs) in enumerate(zip(steps, _forbidden(steps), strict=True), 1):
        if step.cell.cell_type != "code" or step.given == step.cell.source:
            continue
        try:
            found = _odd(step, used & bound, modules, theirs)
        except RecursionError:
            found = ["is nested too deeply to be read"]
        if found:
            out.append(f"cell {number} {', '.join(found)}")
    return out


def _odd(step: Step, kept: set[str], modules: set[str], forbidden: set[str]) -> list[str]:
    tree, given = _parsed(step.cell.source), _parsed(step.given or "")
    own = set(_bindings(tree)) - set(_bindings(given))
    imported = {
        (a.asname or a.name).split(".")[0]
        for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
        for a in node.names
    }  # fmt: skip
    replaced = set(_replacements(tree, modules | imported))
    used = (set(_uses(tree)) - set(_uses(given))) & forbidden
    return [
        *(f"binds {name}" for name in sorted(own & kept)),
        *sorted(replaced - set(_replacements(given, modules | imported))),
        *(f"uses {name.removeprefix('.')}" for name in sorted(used)),
    ]


def _forbidden(steps: list[Step]) -> list[set[str]]:
    """For each cell what the next check forbids; itself it sees nothing of the other process."""
    asked = {f".{k}": {f".{f.__name__}" for f in t.yourself} for k, t in TASKS.items()}
    asked[".blind_map"] = {".load_images", ".load_model"} | {
        name
        for step in steps for node in _parsed(step.given or "").body
        if isinstance(node, ast.Assign) and "load_model" in ast.unparse(node)
        for target in node.targets for name in names(ast.unparse(target))
    }  # fmt: skip
    out: list[set[str]] = []
    now: set[str] = set()
    for step in reversed(steps):
        if step.check:
            now = set().union(*(asked.get(n, ()) for n in _uses(_parsed(step.given or ""))))
        out.append(now)
    return out[::-1]


def _uses(tree: ast.AST) -> Iterator[str]:
    """Names that are read; with a dot those of a module's parts, also where they are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield f".{node.attr}"
        if isinstance(node, ast.ImportFrom):
            yield from (f".{a.name}" for a in node.names)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def names(source: str) -> set[str]:
    """All names in a cell."""
    return {node.id for node in ast.walk(_parsed(source)) if isinstance(node, ast.Name)}


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _bindings(tree: ast.AST) -> Iterator[str]:
    """Names that a cell binds outside of functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            yield from (n for g in ast.walk(node) if isinstance(g, ast.Global) for n in g.names)
            continue
        if isinstance(
            node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
        ):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((a.asname or a.name).split(".")[0] for a in node.names)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        yield from _bindings(node)


def _replacements(tree: ast.AST, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            root: ast.AST = node
            while isinstance(root, ast.Attribute | ast.Subscript | ast.Call):
                root = root.func if isinstance(root, ast.Call) else root.value
            if isinstance(root, ast.Name) and root.id in modules:
                yield f"replaces {ast.unparse(node)[:60]}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("setattr", "delattr", "exec", "eval", "globals", "vars"):
                yield f"calls {node.func.id}"
        if isinstance(node, ast.Attribute) and node.attr in ("truth", "mistakes", "TASKS"):
            yield f"reads .{node.attr} of the checks"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "dga.lessons.checks"
        ):
            yield f"imports from {node.module}"
