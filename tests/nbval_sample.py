"""A two-cell notebook, executed, then changed in one place, and checked as the lessons are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


def run_sample(folder: Path, change: str | None) -> subprocess.CompletedProcess:
    cells = [
        "import numpy as np\nfrom dga.lessons import plots\n"
        "value = 0.5\nprint(f'value {value:.3f}')",
        "tile = np.full((8, 8, 3), value)\nplots.show(plots.grid([[tile]]), 'a grey square')",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, timeout=120).execute()
    if change == "number":
        book.cells[0].outputs[0].text = "value 0.600\n"
    elif change == "code":
        book.cells[0].source = cells[0].replace("0.5", "0.6")
    elif change == "figure":
        book.cells[1].source = cells[1].replace("value)", "value * 0.5)")
    elif change == "cleared":
        book.cells[0].execution_count, book.cells[0].outputs = None, []
    nbformat.write(book, folder / "sample.ipynb")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "nbval_plugin", "--nbval",
         "--nbval-current-env", f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}",
         "sample.ipynb"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
