"""Who makes a map of the picture alone may ask no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.modules.module import register_module_forward_pre_hook

from dga.lessons.checks.task import Wrong


@contextmanager
def no_network() -> Iterator[None]:
    """Raises Wrong if a network is asked inside.

    Example:
        >>> import torch
        >>> with no_network():
        ...     torch.nn.Linear(2, 1)(torch.ones(1, 2))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        dga.lessons.checks.task.Wrong: a network was asked: the map must be made of the pictures...
    """

    def stop(module: Any, inputs: Any) -> None:
        raise Wrong("a network was asked: the map must be made of the pictures alone")

    handle = register_module_forward_pre_hook(stop)
    try:
        yield
    finally:
        handle.remove()
