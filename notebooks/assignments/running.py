"""Runs a merged notebook: two processes, and what every cell showed."""

from __future__ import annotations

from pathlib import Path
from subprocess import DEVNULL

import nbformat
from merging import names
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
SECONDS = 300  # for one cell of a student, or one call of their function


def run(steps: list, together: set[str], folder: Path) -> None:
    """Fills in the outputs of the cells.

    Args:
        steps: cells, each with `cell`, `given` (the teacher's code, or None) and `check`.
        together: checks that do not work from outside the students' process.
        folder: where the notebook runs.
    """
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("") for _ in steps])
    client = NotebookClient(
        book, allow_errors=True, timeout=int(10 * SECONDS), kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    count = 0
    wanted = set().union(*(names(step.given) for step in steps if step.given))

    def execute(place: int, source: str) -> list[NotebookNode]:
        cell = book.cells[place] = nbformat.v4.new_code_cell(source)
        client.execute_cell(cell, place)
        return cell.outputs

    with client.setup_kernel(stdout=DEVNULL, stderr=DEVNULL):
        # Without '', the working folder: students' cells can write files there.
        path = f"import sys; sys.path[:] = [{str(HERE)!r}, *filter(None, sys.path)]"
        call = "__import__('apart')."
        begun = execute(0, f"{path}\n{call}start({SECONDS!r}, {wanted!r})")
        if begun:
            raise RuntimeError(begun[-1].get("evalue", begun))
        for place, step in enumerate(steps):
            if step.cell.cell_type != "code":
                continue
            count += 1
            alone = step.check and step.check not in together
            same = step.given == step.cell.source and not step.check
            if not alone:
                execute(place, f"{call}begin({step.cell.source!r}, {same})")
            outputs = execute(place, step.given) if step.given is not None and (
                not step.check or alone) else []  # fmt: skip
            if not alone:
                theirs = execute(place, f"{call}finish({not same})")
                outputs = outputs if same else theirs
            step.cell.outputs, step.cell.execution_count = outputs, count
        execute(0, f"{call}stop()")
