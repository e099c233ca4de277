"""Sphinx extension for the website: docstrings are plain text, written to be read in the source.

What is laid out by hand in the docstring of a module (indented, or in columns) is shown as it
stands. Bars and stars are themselves, not reStructuredText.
"""

from __future__ import annotations

import re
from typing import Any


def as_written(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    paragraphs = re.split(r"\n\n+", "\n".join(lines))
    lines[:] = "\n\n".join(_shown(paragraph, what) for paragraph in paragraphs).split("\n")


def _shown(paragraph: str, what: str) -> str:
    if what == "module" and re.search(r"^ |\S {3,}\S", paragraph, re.M):
        return ".. code-block:: text\n\n" + re.sub("^", "    ", paragraph, flags=re.M)
    words, examples = re.match(r"(?s)(.*?)(^ *>>>.*)?\Z", paragraph, re.M).groups("")
    return re.sub(r"([|*])", r"\\\1", words) + examples


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", as_written, priority=400)  # before napoleon's 500
    return {"parallel_read_safe": True}
