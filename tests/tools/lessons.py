"""Runs lessons and keeps their output: python tests/tools/lessons.py [--check] [FILE ...]

Prints for each its cells, words, lines of code, seconds, and the largest anonymous memory of its
kernel (Binder kills a kernel at 2 GB; 700 MB is our limit). With --check nothing is written.
"""

from __future__ import annotations

import argparse
import base64
import io
import threading
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from tqdm.auto import tqdm

from dga.zoo.files import write_atomically

ROOT = Path(__file__).parent.parent.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
LIMIT = 700  # MB


def smaller(png: str) -> str:
    """The same pixels without transparency, in fewer bytes (base64)."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def run(path: Path) -> tuple[nbformat.NotebookNode, float, float]:
    """The executed notebook, seconds, and MB."""
    book = nbformat.read(path, 4)
    client = NotebookClient(
        book,
        timeout=600,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": path.parent}},
    )
    began, peak = time.monotonic(), 0.0
    with client.setup_kernel():
        status = Path(f"/proc/{client.km.provisioner.pid}/status")
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while status.exists() and not done.wait(0.05):
                lines = [line for line in status.read_text().splitlines() if "RssAnon" in line]
                peak = max([peak, *(int(line.split()[1]) / 1024 for line in lines)])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for index, cell in enumerate(tqdm(book.cells, desc=path.stem, leave=False)):
                client.execute_cell(cell, index)
        finally:
            done.set()
            watcher.join()
    for cell in book.cells:
        for output in cell.get("outputs", []):
            # Without its state a widget is only an error message in an unrun notebook.
            output.get("data", {}).pop(WIDGET, None)
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
    return book, time.monotonic() - began, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    files = arguments.files or sorted((ROOT / "notebooks").glob("*.ipynb"))
    print(f"{'lesson':40} cells  words  lines  seconds  MB")
    total, heavy = 0.0, []
    for path in files:
        book, seconds, memory = run(path)
        code = [c.source for c in book.cells if c.cell_type == "code"]
        words = sum(len(c.source.split()) for c in book.cells if c.cell_type == "markdown")
        lines = sum(len([x for x in source.splitlines() if x.strip()]) for source in code)
        print(
            f"{path.stem:40} {len(book.cells):5} {words:6} {lines:6} {seconds:8.1f} {memory:4.0f}",
            flush=True,
        )
        total += seconds
        heavy += [path.stem] if memory > LIMIT else []
        if not arguments.check:
            write_atomically(path, (nbformat.writes(book) + "\n").encode())
    print(f"{'all':40} {total:28.1f}")
    if heavy:
        raise SystemExit(f"over {LIMIT} MB of anonymous memory: {', '.join(heavy)}")


if __name__ == "__main__":
    main()
