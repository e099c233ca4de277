"""As many threads as this container may use, not as many as the machine has cores."""

from __future__ import annotations

from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def keep_to_cpu_quota() -> None:
    """Lowers the threads of torch to the processor time a container gets (Binder, Kubernetes).

    Threads beyond it would only take turns, and a small network runs many times slower.

    Example:
        >>> before = torch.get_num_threads()
        >>> keep_to_cpu_quota()
        >>> 1 <= torch.get_num_threads() <= before
        True
    """
    cores = cpu_quota()
    if cores is not None and cores < torch.get_num_threads():
        torch.set_num_threads(max(1, int(cores)))


def cpu_quota(cgroup: Path = _CGROUP) -> float | None:
    """Cores' worth of processor time, None if there is no limit or none can be read.

    Args:
        cgroup: where Linux describes the limits of a container.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "cpu.max").write_text("150000 100000")
        ...     cpu_quota(Path(folder))
        1.5
    """
    try:
        if (cgroup / "cpu.max").exists():  # version 2
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        cores = int(quota) / int(period)
    except (OSError, ValueError):  # other systems; "max"
        return None
    return cores if cores > 0 else None
