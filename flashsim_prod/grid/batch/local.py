"""The foreground engine: a graph of jobs as processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flashsim_prod.grid.batch.base import Node, NodeKey, Observer, Payload

#: native libraries in a worker use one thread each: the slots are the parallelism
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}


@dataclass(frozen=True)
class RunSummary:
    """How a run of a graph ended.

    Attributes
    ----------
    done : int
        Nodes that succeeded.
    failed : dict of NodeKey to int
        Exit code of the last attempt of each node that failed for good.
    blocked : tuple of NodeKey
        Nodes never started because one before them failed.
    stopped_by : int or None
        The signal that ended the run early; 0 if it was asked to stop in another way; else ``None``.
    """

    done: int
    failed: dict[NodeKey, int]
    blocked: tuple[NodeKey, ...]
    stopped_by: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether all nodes are done."""
        return not self.failed and not self.blocked and self.stopped_by is None


class LocalBatch:
    """Runs a graph of commands in the foreground, some at a time.

    Parameters
    ----------
    slots : int
        Processes at a time; 0 means one per CPU core.
    max_attempts : int
        Attempts of a node in one run, while its exit codes are worth a retry.
    first_pause_s : float
        Pause before a node's second attempt [s]; doubles with each further one, up to a minute.
    grace_s : float
        Time between asking a process to end and killing it [s].
    """

    def __init__(
        self, slots: int = 0, *, max_attempts: int = 3, first_pause_s: float = 1.0, grace_s: float = 10.0
    ) -> None:
        raise NotImplementedError

    def run(
        self,
        nodes: Iterable[Node],
        payload: Payload,
        observer: Observer | None = None,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> RunSummary:
        """Run all nodes, each after its parents, and return when nothing is left that can run.

        A node that fails for good keeps only its descendants from running. On SIGINT or SIGTERM (when
        called in the main thread), or when `stop` says so, running processes get SIGTERM, after the grace
        time (or at a second signal) SIGKILL, and the run returns with `stopped_by` set.

        Parameters
        ----------
        nodes : iterable of Node
            In the order wanted; a parent that is not among them counts as done.
        payload : Payload
            Makes the commands and judges their ends.
        observer : Observer, optional
            Is told what happens.
        stop : callable, optional
            Asked about once a second whether to stop.

        Raises
        ------
        StateError
            If the nodes depend on each other in a circle.
        """
        raise NotImplementedError
