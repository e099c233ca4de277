"""What nbval lacks (load with -p nbval_plugin):

- a code cell committed without being run fails; nbval would compare nothing
- numbers in text may differ by 2 % (rounding differs between processors), words may not
- figures are compared by decoded pixels: mean absolute difference at most 2 of 255
- with the tag "coarse-figure" by the means of blocks of 16 x 16 pixels, at most 4 of 255: for maps
  made of ranks, whose specks another processor moves
"""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from nbval.plugin import IPyNbCell
from PIL import Image

TOLERANCE = 0.02
PIXELS, COARSE, BLOCK = 2.0, 4.0, 16
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_TEXT = ("text", "text/plain")


def same_text(reference: str, test: str) -> bool:
    """Same words, and numbers within 2 % (integers exactly)."""
    if _NUMBER.split(reference) != _NUMBER.split(test):
        return False
    pairs = zip(_NUMBER.findall(reference), _NUMBER.findall(test), strict=True)
    return all(a == b or _close(a, b) for a, b in pairs)


def _close(a: str, b: str) -> bool:
    if "." not in a or "." not in b:
        return False
    digits, _, exponent = a.lower().partition("e")
    step = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))  # one in the last digit
    return abs(float(a) - float(b)) <= max(TOLERANCE * abs(float(a)), 1.01 * step)


def same_picture(reference: str, test: str, block: int = 1) -> float:
    """Mean absolute difference of two base64 PNGs (of blocks of them), infinite if sizes differ."""
    a, b = (
        Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in (reference, test)
    )
    if a.size != b.size:
        return float("inf")
    first, second = (np.asarray(image.reduce(block), dtype=float) for image in (a, b))
    return float(np.abs(first - second).mean())


def _texts(outputs):
    for output in outputs:
        if "text" in output:
            yield output, "text"
        for key in output.get("data", {}):
            if key in _TEXT:
                yield output["data"], key


_compare, _run = IPyNbCell.compare_outputs, IPyNbCell.runtest


def _compare_outputs(cell, test, ref, skip_compare=None):
    # Text that agrees within the tolerance is made equal before nbval compares it to the letter.
    tests, references = list(_texts(test)), list(_texts(ref))
    if len(tests) == len(references):
        for (a, key), (b, other) in zip(tests, references, strict=True):
            if same_text(cell.sanitize(b[other]), cell.sanitize(a[key])):
                a[key] = b[other]
    if not _compare(cell, test, ref, skip_compare):
        return False
    figures = [
        [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
        for outputs in (ref, test)
    ]
    if len(figures[0]) != len(figures[1]):
        cell.comparison_traceback.append("another number of figures")
        return False
    coarse = "coarse-figure" in cell.cell.metadata.get("tags", [])
    block, most = (BLOCK, COARSE) if coarse else (1, PIXELS)
    for number, (a, b) in enumerate(zip(*figures, strict=True)):
        difference = same_picture(a, b, block)
        if difference > most:
            cell.comparison_traceback.append(
                f"figure {number} differs: mean |difference| {difference:.2f} of 255"
            )
            return False
    return True


def _runtest(cell):
    if cell.cell.execution_count is None and cell.cell.source.strip():
        cell.raise_cell_error("committed without being run: nbval would check nothing")
    return _run(cell)


IPyNbCell.compare_outputs, IPyNbCell.runtest = _compare_outputs, _runtest
