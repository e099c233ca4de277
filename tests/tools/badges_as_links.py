"""Sphinx extension for the website: badges become plain links, for their images lie elsewhere."""

from __future__ import annotations

import re
from typing import Any


def as_links(app: Any, name: str, source: list[str]) -> None:
    source[0] = re.sub(r"\[!\[(Open [^]]+)\]\(https:[^)]+\)\]", r"[\1]", source[0])


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", as_links)
    return {"parallel_read_safe": True}
