"""Ctrl-C on the command line ends in one line, also in the seconds that PyTorch takes to load."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def is_the_command() -> bool:
    """Whether this process is `python -m dga` or `dga`, and not a program that imports us."""
    name = Path(*sys.argv[:1]).stem
    # While Python looks for the module of -m, that is all it says of it here.
    typed = zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return name == "dga" or (name == "-m" and ("-m", "dga") in typed)


def end_at_once() -> None:
    """From now on Ctrl-C ends the process, with exit code 130.

    Where it is ignored, as by what a shell runs in the background, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def end_in_order() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt; pressed again meanwhile, it ends the process."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _interrupt)


def came() -> bool:
    """Whether Ctrl-C was pressed since `end_in_order`.

    What it meets half way, as a call into PyTorch, may have made another error of it.
    """
    return signal.getsignal(signal.SIGINT) is _end


def _end(*_: Any) -> None:
    with suppress(OSError):  # standard error may be closed
        os.write(2, b"dga: interrupted\n")
    os._exit(130)


def _interrupt(*_: Any) -> None:
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt
