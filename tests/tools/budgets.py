"""Counts what a lesson asks of its reader: python tests/tools/budgets.py [FILE ...]

Everything from the heading "Going deeper" on is not counted, and folded cells are not code.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
LIMITS = {
    "words": 1500, "code": 90, "cell": 12, "wide": 88, "numbers": 3, "decimals": 60,
    "equations": 4, "predictions": 3,
}  # fmt: skip
_CODE = re.compile(r"```.*?```|~~~.*?~~~|`[^`]*`", re.DOTALL)
_FENCED = re.compile(r"```.*?```|~~~.*?~~~", re.DOTALL)
_MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(r"<[^>]+>")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])")
_EXERCISE = re.compile(r"^## Your turn.*?(\d+) minutes", re.MULTILINE)


@dataclass(frozen=True)
class Counted:
    """What `LIMITS` names, of one lesson, and minutes: what is promised, and what that should be.

    numbers is the paragraph with most, cell and wide the longest cell and line.
    """

    words: int
    code: int
    cell: int
    wide: int
    numbers: int
    decimals: int
    equations: int
    predictions: int
    promised: int
    minutes: int

    def over(self) -> dict[str, int]:
        """What is above its limit."""
        return {name: n for name, most in LIMITS.items() if (n := getattr(self, name)) > most}


def folded(cell: Any) -> bool:
    return bool(cell["metadata"].get("jupyter", {}).get("source_hidden"))


def path_of(book: Any) -> list[Any]:
    """The cells before the one that begins with the heading "Going deeper"."""
    cells = []
    for cell in book["cells"]:
        if "".join(cell["source"]).startswith("## Going deeper\n"):
            break
        cells.append(cell)
    return cells


def prose(text: str) -> str:
    """Markdown without code, equations, addresses and tags."""
    return _TAG.sub(" ", _LINK.sub(r"\1", _MATH.sub(" ", _FENCED.sub(" ", text))))


def paragraphs(text: str) -> list[str]:
    """Of prose, without headings, tables and inline code, where numbers are names or settings."""
    plain = prose(_CODE.sub(" ", text))
    blocks = re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", plain)
    return [b for b in blocks if b.strip() and not b.lstrip().startswith(("#", "|", "**Ref"))]


def printed(cell: Any) -> str:
    texts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:  # its alt text
            continue
        texts += [output.get("text", ""), data.get("text/html") or data.get("text/plain", "")]
    return _TAG.sub(" ", "\n".join("".join(text) for text in texts))


def count(book: Any) -> Counted:
    cells = path_of(book)
    text = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    code = [c for c in cells if c["cell_type"] == "code"]
    visible = [c for c in code if not folded(c)]
    lines = [[line for line in "".join(c["source"]).splitlines() if line.strip()] for c in visible]
    words = sum(len(re.findall(r"[A-Za-z][\w'-]*", prose(t))) for t in text)
    figures = sum("image/png" in o.get("data", {}) for c in code for o in c["outputs"])
    figures += sum(t.count("![") for t in text)
    whole = "\n\n".join(text)
    exercises = sum(int(n) for n in _EXERCISE.findall(whole))
    promised = re.search(r"[Rr]eading time: (\d+)", whole)
    total = sum(map(len, lines))
    exact = words / 150 + total / 6 + figures + exercises
    return Counted(
        words=words,
        code=total,
        cell=max(map(len, lines), default=0),
        wide=max((len(line) for cell in lines for line in cell), default=0),
        numbers=max((len(_NUMBER.findall(p)) for t in text for p in paragraphs(t)), default=0),
        decimals=sum(len(re.findall(r"\d\.\d", printed(c))) for c in visible),
        equations=len(re.findall(r"\$\$.+?\$\$", whole, re.DOTALL)),
        predictions=len(re.findall(r"\bPredict\b", whole)),
        promised=int(promised.group(1)) if promised else 0,
        minutes=5 * math.ceil(exact / 5),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    files = parser.parse_args().files or sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in files:
        book = json.loads(path.read_text())
        counted = count(book)
        print(path.stem, *(f"{k} {v}" for k, v in vars(counted).items()))
        print("   over:", counted.over() or "nothing")
        for cell in path_of(book):
            if cell["cell_type"] == "markdown":
                for p in paragraphs("".join(cell["source"])):
                    if len(_NUMBER.findall(p)) > LIMITS["numbers"]:
                        print("   numbers:", " ".join(p.split())[:100])


if __name__ == "__main__":
    main()
