"""Memory that one pass frees stays in the process for the next pass."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory() -> bool:
    """Tells the C library (glibc) not to hand freed memory back to the system.

    A network frees its activations after every pass and asks for the same memory in the next one;
    the system clears each page before it gives it out again, which takes up to a third of the time
    of a pass on a CPU. It holds for the whole process and for good, so only the command line does
    it; anybody else can.

    Returns:
        Whether the C library knows how (Linux with glibc does).

    Example:
        In a process of its own, since it holds for good:

        >>> import subprocess, sys
        >>> code = "from dga.experiments.allocator import *; print(type(keep_freed_memory()))"
        >>> print(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout.decode())
        <class 'bool'>
        <BLANKLINE>
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # other C libraries; Windows has no None
        return False
    # Older glibc wants less than 32 MB, or does nothing and returns 0.
    kept = mallopt(_MMAP_THRESHOLD, 1 << 30) or mallopt(_MMAP_THRESHOLD, 1 << 25)
    return bool(kept and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
