"""CUDA graphs: the hundreds of launches that a block of rows takes, as one.

The launches are recorded once for each size of block, on buffers that stay; from then on rows are copied into
these and the record is replayed. What cannot be recorded, since it waits for the device or is of a shape that
depends on values, is called as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger("flashsim_prod.worker")

#: calls before the one that is recorded: libraries choose and allocate in them
_WARM_UP = 3

Function = Callable[..., Tensor]
Replay = Callable[[Sequence[Tensor]], Tensor]
Capture = Callable[[Function, Sequence[Tensor]], Replay]


class Graphs:
    """Records by what is called and by size of block.

    Parameters
    ----------
    capture : callable, optional
        Records a function of tensors.
    """

    def __init__(self, capture: Capture | None = None) -> None:
        self._capture = capture or captured
        self._kept: dict[Hashable, Replay | None] = {}

    def __call__(self, name: Hashable, function: Function, parts: Sequence[Tensor]) -> Tensor:
        """What `function` gives for `parts`; it must be read before the next call."""
        key = (name, tuple(tuple(one.shape) for one in parts))
        if key not in self._kept:
            self._kept[key] = self._recorded(key, function, parts)
        replay = self._kept[key]
        return function(*parts) if replay is None else replay(parts)

    def _recorded(self, key: Hashable, function: Function, parts: Sequence[Tensor]) -> Replay | None:
        try:
            return self._capture(function, parts)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            log.warning("%s: no CUDA graph, called launch by launch instead: %s", key, reason)
            return None


def captured(function: Function, parts: Sequence[Tensor]) -> Replay:
    """`function` as a CUDA graph, for tensors of the shapes of `parts`."""
    cuda: Any = torch.cuda
    buffers = [one.clone() for one in parts]
    # what is recorded must not be the first call, and not be on the stream that all else is on
    aside = cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UP):
            function(*buffers)
    torch.cuda.current_stream().wait_stream(aside)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph, pool=_pool()):
        out = function(*buffers)

    def replay(now: Sequence[Tensor]) -> Tensor:
        for buffer, one in zip(buffers, now, strict=True):
            buffer.copy_(one, non_blocking=True)
        graph.replay()
        return out

    return replay


@cache
def _pool() -> Any:
    """Memory of all records: one at a time is replayed, and what it gives is read before the next one is."""
    return torch.cuda.graph_pool_handle()
