"""The foreground engine: a graph of jobs as processes of this machine."""

from __future__ import annotations

import heapq
import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import FrameType

from flashsim_prod.errors import exit_code_is_retryable
from flashsim_prod.grid.batch.attempt import Attempt, Ended, Event, Progress, Started
from flashsim_prod.grid.batch.base import Node, NodeKey, Observer, Payload
from flashsim_prod.grid.batch.graph import Graph

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_PAUSE_S = 60.0
#: how often `stop` is asked [s]
_STOP_INTERVAL_S = 1.0
_SHORTEST_WAIT_S = 0.01


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
        Nodes never started because one before them failed; empty if the run was stopped.
    stopped_by : int or None
        The signal that ended the run early; 0 if `stop` asked for it; else ``None``.
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
        Processes at a time; 0 means one per CPU core that this process may use.
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
        self.slots = slots or _cores()
        self.max_attempts = max_attempts
        self.first_pause_s = first_pause_s
        self.grace_s = grace_s

    def run(
        self,
        nodes: Iterable[Node],
        payload: Payload,
        observer: Observer | None = None,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> RunSummary:
        """Run all nodes, each after its parents, and return when nothing is left that can run.

        A node that fails for good keeps only its descendants from running. On SIGINT, SIGTERM or SIGHUP
        (when called in the main thread), or when `stop` says so, running processes get SIGTERM, after the
        grace time (or at a second signal) SIGKILL, and the run returns with `stopped_by` set. If `payload`
        or `observer` raise, the processes are ended in the same way and the error goes on.

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
        return _Run(self, Graph(nodes), payload, observer or Observer(), stop).to_the_end()

    def pause_s(self, attempt: int) -> float:
        """Pause after attempt number `attempt` failed [s]."""
        return min(self.first_pause_s * 2.0 ** (attempt - 1), _LONGEST_PAUSE_S)


@dataclass(order=True)
class _Retry:
    due: float
    order: int
    node: Node = field(compare=False)
    number: int = field(compare=False)


class _Run:
    """One run of a graph: all decisions fall in the caller's thread, fed by a queue of events."""

    def __init__(
        self,
        batch: LocalBatch,
        graph: Graph,
        payload: Payload,
        observer: Observer,
        stop: Callable[[], bool] | None,
    ) -> None:
        self._batch = batch
        self._graph = graph
        self._payload = payload
        self._observer = observer
        self._stop_asked = stop or (lambda: False)
        # signal handlers put their number into the same queue, so nothing is ever cut short by them
        self._events: SimpleQueue[Event | int] = SimpleQueue()
        self._pool = ThreadPoolExecutor(batch.slots, thread_name_prefix="slot")
        self._running: set[Attempt] = set()
        self._retries: list[_Retry] = []
        self._done = 0
        self._failed: dict[NodeKey, int] = {}
        self._stopped_by: int | None = None
        self._order = itertools.count()
        self._ask_at = time.monotonic() + _STOP_INTERVAL_S
        self._kill_at = math.inf

    def to_the_end(self) -> RunSummary:
        with _signals_into(self._events), self._pool:
            try:
                self._loop()
            except BaseException:
                self._abandon()
                raise
        blocked = [] if self._stopped_by is not None else self._graph.untouched()
        for node in blocked:
            self._observer.blocked(node)
        return RunSummary(self._done, self._failed, tuple(node.key for node in blocked), self._stopped_by)

    def _loop(self) -> None:
        while True:
            if self._stopped_by is None:
                self._fill_slots()
            if not self._running and not self._retries:
                return
            self._take(self._next_event())
            self._look_at_the_clock()

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self._stopped_by is None:
            if now >= self._ask_at:
                self._ask_at = now + _STOP_INTERVAL_S
                if self._stop_asked():
                    self._stop(0)
        elif now >= self._kill_at:
            self._kill_at = now + _STOP_INTERVAL_S
            self._signal_all(signal.SIGKILL)

    def _fill_slots(self) -> None:
        while len(self._running) < self._batch.slots:
            node, number = self._next_due()
            if node is None:
                return
            command = self._payload.command(node, number)
            attempt = Attempt(node, number, command, self._events.put, self._batch.grace_s)
            self._running.add(attempt)
            self._pool.submit(attempt.run)

    def _next_due(self) -> tuple[Node | None, int]:
        if self._retries and self._retries[0].due <= time.monotonic():
            retry = heapq.heappop(self._retries)
            return retry.node, retry.number
        return self._graph.next(), 1

    def _next_event(self) -> Event | int | None:
        times = [self._ask_at if self._stopped_by is None else self._kill_at]
        if self._retries and len(self._running) < self._batch.slots:
            times.append(self._retries[0].due)
        try:
            return self._events.get(timeout=max(min(times) - time.monotonic(), _SHORTEST_WAIT_S))
        except Empty:
            return None

    def _take(self, event: Event | int | None) -> None:
        match event:
            case Started(attempt, pid):
                self._observer.started(attempt.node, attempt.number, pid)
            case Progress(attempt, events) if attempt in self._running:
                self._observer.progress(attempt.node, attempt.number, events)
            case Ended(attempt, exit_code):
                self._running.remove(attempt)
                self._take_end(attempt.node, attempt.number, exit_code)
            case int(signum):
                self._stop(signum)

    def _take_end(self, node: Node, number: int, exit_code: int) -> None:
        if self._stopped_by is not None and exit_code != 0:
            self._observer.interrupted(node, number)
            return
        judged = self._payload.judge(node, number, exit_code)
        retrying = (
            exit_code_is_retryable(judged) and number < self._batch.max_attempts and self._stopped_by is None
        )
        if retrying:
            due = time.monotonic() + self._batch.pause_s(number)
            heapq.heappush(self._retries, _Retry(due, next(self._order), node, number + 1))
        elif judged == 0:
            self._done += 1
            self._graph.done(node.key)
        else:
            self._failed[node.key] = judged
        self._observer.finished(node, number, judged, retrying=retrying)

    def _stop(self, signum: int) -> None:
        """End the running processes; at the second time at once."""
        again = self._stopped_by is not None
        if not again:
            self._stopped_by = signum
            self._kill_at = time.monotonic() + self._batch.grace_s
            self._retries.clear()
        self._signal_all(signal.SIGKILL if again else signal.SIGTERM)

    def _signal_all(self, signum: int) -> None:
        for attempt in self._running:
            attempt.end(signum)

    def _abandon(self) -> None:
        """End the running processes without telling anybody."""
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + self._batch.grace_s
        while self._running:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), _SHORTEST_WAIT_S))
            except Empty:
                event = signal.SIGKILL
            if isinstance(event, int):
                self._signal_all(signal.SIGKILL)
            elif isinstance(event, Ended):
                self._running.remove(event.attempt)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _signals_into(events: SimpleQueue[Event | int]) -> Iterator[None]:
    """Put the numbers of signals that ask this process to end into `events` (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def put(signum: int, _frame: FrameType | None) -> None:
        events.put(signum)

    # a signal that is ignored on purpose, as by nohup, stays ignored
    wanted = [one for one in _SIGNALS if signal.getsignal(one) not in (signal.SIG_IGN, None)]
    before = {one: signal.signal(one, put) for one in wanted}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
