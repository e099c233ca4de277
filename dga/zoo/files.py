"""Where the shipped pictures and networks lie, and how files are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGED = Path(__file__).parent.parent / "_data"  # inside an installed wheel
DATA = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parent.parent.parent / "data"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that it is there in full or not at all.

    Args:
        path: the file; its folder must exist.
        content: all of it.

    Raises:
        OSError: if it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "note.txt", b"all of it")
        ...     (Path(folder) / "note.txt").read_bytes()
        b'all of it'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Whether no other process holds this folder; held until the end, or the death, of ours.

    Where the system knows no such locks (Windows, some network drives), as if alone.

    Args:
        folder: must exist; nothing is written there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with alone_in(Path(folder)) as first, alone_in(Path(folder)) as second:
        ...         print(first, second)
        True False
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    except OSError:
        alone = True
    try:
        yield alone
    finally:
        os.close(opened)


def real_folder() -> Path | None:
    """The optional folder of real photographs that the variable DGA_REAL names, or None.

    Raises:
        ValueError: if the variable names something else.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, DGA_REAL=""):
        ...     print(real_folder())
        None
    """
    named = os.environ.get("DGA_REAL")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not (folder / "labels.csv").is_file():
        raise ValueError(f"DGA_REAL is {named!r}, which is not a folder with a file labels.csv")
    return folder
