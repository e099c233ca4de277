"""Several processes, on one machine or many, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Group:
    """Which process this is, and how it agrees with the others.

    Attributes:
        rank: number of this process, 0 to `size` - 1.
        size: number of processes.

    Example:
        >>> ALONE.gathered("done")
        ['done']
    """

    rank: int = 0
    size: int = 1

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def gathered(self, value: Any) -> list[Any]:
        """The value of every process, by rank."""
        if self.size == 1:
            return [value]
        box: list[Any] = [None] * self.size
        distributed.all_gather_object(box, value)
        return box


ALONE = Group()


@contextmanager
def group() -> Iterator[Group]:
    """The group that torchrun made, NCCL between GPUs and gloo between CPUs; else one process.

    Example:
        >>> with group() as alone:
        ...     alone.size
        1
    """
    if not distributed.is_torchelastic_launched():
        yield ALONE
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # Processes wait for the slowest at the end, however long that takes.
    distributed.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(days=7))
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
