"""A short notebook, executed, then changed in one place, and checked as the lessons are."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
# What is changed after the notebook was executed; None: nothing.
CHANGES = (None, "number", "code", "figure", "cleared", "specks", "coarse figure")


def check_samples(folder: Path) -> dict[str | None, bool]:
    """For every change whether the check passes."""
    cells = [
        "import numpy as np\nfrom dga.lessons import plots\n"
        "value = 0.5\nprint(f'value {value:.3f}')",
        "tile = np.full((8, 8, 3), value)\nplots.show(plots.grid([[tile]]), 'a grey square')",
        "noise = 0.4 + 0.2 * np.random.default_rng(0).random((128, 128, 3))\n"
        "plots.show(plots.grid([[noise]]), 'specks')",
    ]
    executed = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    executed.cells[2].metadata["tags"] = ["coarse-figure"]
    NotebookClient(executed, timeout=120).execute()
    for change in CHANGES:
        book = copy.deepcopy(executed)
        if change == "number":
            book.cells[0].outputs[0].text = "value 0.600\n"
        elif change == "code":
            book.cells[0].source = cells[0].replace("0.5", "0.6")
        elif change == "figure":
            book.cells[1].source = cells[1].replace("value)", "value * 0.5)")
        elif change == "specks":
            book.cells[2].source = cells[2].replace("(0)", "(1)")
        elif change == "coarse figure":
            book.cells[2].source = cells[2].replace("0.4 +", "0.5 +")
        elif change == "cleared":
            book.cells[0].execution_count, book.cells[0].outputs = None, []
        nbformat.write(book, folder / f"{change}.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "nbval_plugin", "--nbval",
         "--nbval-current-env", f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}",
         *(f"{change}.ipynb" for change in CHANGES)],
        cwd=folder, capture_output=True, text=True, timeout=500, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    said = {change: [line for line in done.stdout.splitlines() if f" {change}.ipynb::Cell" in line]
            for change in CHANGES}  # fmt: skip
    assert all(said.values()), done.stdout + done.stderr
    return {change: all(line.startswith("PASSED ") for line in said[change]) for change in said}
