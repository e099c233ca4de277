"""On a GPU: a step is recorded once (CUDA graph) and replayed, without Python between its kernels.

For one picture the GPU waits for Python most of the time; replaying removes that. The same kernels
run in the same order on the same numbers.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor], tuple[Tensor, ...]]


class Recorded:
    """A function of one tensor, called many times with the same shape.

    The first call runs it as it is, which warms up what must not be recorded (workspaces of cuBLAS,
    choice of algorithms, the engine's checks). The second records it. From then on it is replayed;
    results are copies. What cannot be recorded (a network that synchronises, or too little memory
    for a second set of buffers) goes on unrecorded, with a warning that says why.
    """

    def __init__(self, function: Step) -> None:
        self._function = function
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        self._calls += 1
        if self._calls == 1:
            return self._warm_up(x)
        if self._calls == 2:
            try:
                self._record(x)
            except RuntimeError as error:
                self._graph = None
                warnings.warn(
                    "the steps run one by one, not as a CUDA graph, because recording one failed: "
                    + textwrap.shorten(str(error), 200),
                    stacklevel=2,
                )
        if self._graph is None:
            return self._function(x)
        self._x.copy_(x)
        self._graph.replay()
        return tuple(result.clone() for result in self._results)

    def _warm_up(self, x: Tensor) -> tuple[Tensor, ...]:
        here = torch.cuda.current_stream(x.device)
        side = torch.cuda.Stream(x.device)
        side.wait_stream(here)
        with torch.cuda.stream(side):
            results = self._function(x)
        here.wait_stream(side)
        for result in results:  # made on one stream, used and freed on another
            result.record_stream(here)
        return results

    def _record(self, x: Tensor) -> None:
        self._x = x.clone()
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile, to load the next pictures for example.
        with (
            torch.cuda.device(x.device),
            torch.cuda.graph(graph, capture_error_mode="thread_local"),
        ):
            self._results = self._function(self._x)
        self._graph = graph
