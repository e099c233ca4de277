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
    """Which process this is (`rank`, 0 to `size` - 1), and ways to agree with the others."""

    rank: int = 0
    size: int = 1

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def from_first(self, value: Any) -> Any:
        """What process 0 has as `value`, for all."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]


ALONE = Group()


@contextmanager
def group() -> Iterator[Group]:
    """The group torchrun made, NCCL between GPUs and gloo between CPUs; one process without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
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
