"""A short notebook, executed, then changed in some cells, and checked as the lessons are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
VALUE = "value = {}\nprint(f'value {{value:.3f}}')"
TILE = "tile = np.full((8, 8, 3), {})\nplots.show(plots.grid([[tile]]), 'a grey square')"
NOISE = (
    "noise = {} + 0.2 * np.random.default_rng({}).random((128, 128, 3))\n"
    "plots.show(plots.grid([[noise]]), 'specks')"
)
# A cell when it was executed, and when it is checked.
CELLS = {
    "imports": ("import numpy as np\nfrom dga.lessons import plots",) * 2,
    "text as it was": (VALUE.format(0.5),) * 2,
    "figure as it was": (TILE.format(0.5),) * 2,
    "number": (VALUE.format(0.5),) * 2,  # its stored output is changed
    "code": (VALUE.format(0.5), VALUE.format(0.6)),
    "figure": (TILE.format(0.5), TILE.format(0.25)),
    "cleared": (VALUE.format(0.5),) * 2,
    "specks": (NOISE.format(0.4, 0), NOISE.format(0.4, 1)),
    "coarse figure": (NOISE.format(0.4, 0), NOISE.format(0.5, 0)),
}


def check_samples(folder: Path) -> dict[str, bool]:
    """For every cell whether the check passes."""
    cells = [nbformat.v4.new_code_cell(before) for before, _ in CELLS.values()]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book, timeout=120).execute()
    for cell, (name, (_, after)) in zip(cells, CELLS.items(), strict=True):
        cell.source = after
        if name == "number":
            cell.outputs[0].text = "value 0.600\n"
        elif name == "cleared":
            cell.execution_count, cell.outputs = None, []
        elif name in ("specks", "coarse figure"):
            cell.metadata["tags"] = ["coarse-figure"]
    nbformat.write(book, folder / "sample.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "nbval_plugin", "--nbval",
         "--nbval-current-env", f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}",
         "sample.ipynb"],
        cwd=folder, capture_output=True, text=True, timeout=500, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    said = {
        name: [word for word in ("PASSED", "FAILED")
               if f"\n{word} sample.ipynb::Cell {number}" in done.stdout]
        for number, name in enumerate(CELLS)
    }  # fmt: skip
    assert all(len(words) == 1 for words in said.values()), done.stdout + done.stderr
    return {name: words == ["PASSED"] for name, words in said.items()}
