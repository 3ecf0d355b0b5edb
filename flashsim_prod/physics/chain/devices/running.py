"""Rows through a function on a device: cut into blocks, sent, run and fetched, with one wait for many."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flashsim_prod.errors import NodeError
from flashsim_prod.physics.chain.devices.alike import alike
from flashsim_prod.physics.chain.devices.graphs import Function, Graphs
from flashsim_prod.physics.chain.devices.place import Place, cut
from flashsim_prod.physics.chain.devices.work import F32


@dataclass(frozen=True)
class Pending:
    """Rows that are on their way back.

    Attributes
    ----------
    rows : int
        Those that were asked for; what comes after is padding.
    out : tensor or None
        On the CPU, where it is complete once the device is waited for; ``None`` if there were no rows.
    """

    place: Place
    rows: int
    out: Tensor | None


class Runner:
    """Calls functions of rows on one device.

    Parameters
    ----------
    place : Place
    graphs : Graphs, optional
        What records them, where the place wants that.
    """

    def __init__(self, place: Place, graphs: Graphs | None = None) -> None:
        self.place = place
        self._graphs = (graphs or Graphs()) if place.graphs and not place.is_cpu else None
        self._sizes: dict[Hashable, tuple[int, ...]] = {}

    def start(
        self,
        name: Hashable,
        function: Function,
        inputs: Sequence[F32],
        sizes: Sequence[int] | None = None,
    ) -> Pending:
        """Have `function` called for all rows of `inputs`; `finish` gives what comes of it.

        Parameters
        ----------
        name : hashable
            The same for the same function.
        function : callable
            Takes a block of each input, and gives a row for each of theirs that depends on no other row.
        sizes : sequence of int, optional
            Of blocks, if they are known.

        Raises
        ------
        NodeError
            If the device fails.
        """
        with _on(self.place):
            sizes = sizes or self._sizes_of(name, function, [one.shape[1] for one in inputs])
            return self._started(name, function, inputs, sizes)

    def sizes_of(self, name: Hashable, function: Function, widths: Sequence[int]) -> tuple[int, ...]:
        """Sizes of blocks in which `function` gives a row the same bits; found out once by name."""
        with _on(self.place):
            return self._sizes_of(name, function, widths)

    def record(self, name: Hashable, function: Function, widths: Sequence[int], sizes: Sequence[int]) -> None:
        """Have what blocks of `sizes` take recorded now, where it is to be."""
        if self._graphs is None:
            return
        for size in sizes:
            zeros = [np.zeros((size, width), np.float32) for width in widths]
            finish([self.start(name, function, zeros, (size,))])

    def _sizes_of(self, name: Hashable, function: Function, widths: Sequence[int]) -> tuple[int, ...]:
        if name not in self._sizes:

            def run(inputs: Sequence[F32]) -> F32:
                pending = self._started(name, function, inputs, (len(inputs[0]),))
                (found,) = finish([pending])
                assert found is not None
                return found

            self._sizes[name] = alike(run, self.place.sizes, widths)
        return self._sizes[name]

    def _started(
        self, name: Hashable, function: Function, inputs: Sequence[F32], sizes: Sequence[int]
    ) -> Pending:
        rows = len(inputs[0])
        blocks = cut(rows, sizes)
        padded, out, start = sum(blocks), None, 0
        staged = [self._staged(one, padded) for one in inputs]
        for size in blocks:
            parts = [self._sent(one[start : start + size]) for one in staged]
            made = function(*parts) if self._graphs is None else self._graphs(name, function, parts)
            if out is None:
                out = self._on_the_cpu(padded, made.shape[1])
            out[start : start + size].copy_(made, non_blocking=not self.place.is_cpu)
            start += size
        return Pending(self.place, rows, out)

    def _staged(self, rows: F32, padded: int) -> Tensor:
        """`rows` and padding, from where the device fetches them by itself."""
        if self.place.is_cpu and len(rows) == padded:
            return torch.from_numpy(rows)
        staged = self._on_the_cpu(padded, rows.shape[1])
        staged[: len(rows)].copy_(torch.from_numpy(rows))
        staged[len(rows) :].zero_()
        return staged

    def _on_the_cpu(self, rows: int, columns: int) -> Tensor:
        # only memory that stays in its place is copied while this process does something else
        return torch.empty((rows, columns), pin_memory=self.place.kind == "cuda")

    def _sent(self, part: Tensor) -> Tensor:
        return part if self.place.is_cpu else part.to(self.place.device, non_blocking=True)


def finish(pending: Sequence[Pending]) -> list[F32 | None]:
    """What has come of all that was started, with one wait for the device; ``None`` where it was no rows."""
    for place in dict.fromkeys(one.place for one in pending):
        if place.kind == "cuda":
            with _on(place):
                torch.cuda.synchronize(place.device)
    return [None if one.out is None else _own(one) for one in pending]


def _own(one: Pending) -> F32:
    assert one.out is not None
    found: F32 = one.out[: one.rows].numpy()
    # memory that is pinned goes back to who lends it
    return found if one.place.is_cpu else np.array(found)


@contextmanager
def _on(place: Place) -> Iterator[None]:
    """Without gradients, in the place's precision; what its device does wrong is the node's fault."""
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if place.kind == "cuda":
                # some installations have matrix products rounded to ten bits by default
                torch.set_float32_matmul_precision("highest")
            if place.half and not place.is_cpu:
                half = torch.autocast(place.kind, dtype=torch.float16, cache_enabled=False)
                stack.enter_context(half)
            yield
    except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
        raise _of_the_node(place, error) from error
    except RuntimeError as error:
        # some libraries of CUDA have no type of their own
        if "CUDA error" not in str(error):
            raise
        raise _of_the_node(place, error) from error


def _of_the_node(place: Place, error: RuntimeError) -> NodeError:
    reason = str(error).partition("\n")[0]
    return NodeError(f"the {place.kind} device of this node failed: {reason}")
