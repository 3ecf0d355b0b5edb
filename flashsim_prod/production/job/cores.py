"""Work on several cores: items made by one process, worked on by some, given back in their order.

Processes are forked, so that what was loaded before is theirs without being loaded or copied again. Item
number i goes to process i modulo their number, by a pipe of its own, and so does what came of it: nothing is
shared that a process which is killed could leave locked, and since pipes are narrow, no more than a few items
are under way.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from queue import Queue
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import psutil

from flashsim_prod.errors import NodeError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: a process that has closed its pipe is given so long to end, for its exit code [s]
_PATIENCE_S = 10.0
#: exit code of a process whose other end is gone
_LEFT_ALONE = 1


def can_fork() -> bool:
    """Whether this machine's processes can be forked once numerical libraries are loaded."""
    return sys.platform == "linux"


@dataclass(frozen=True)
class _Value(Generic[Item]):
    """An item, or what came of it."""

    value: Item


@dataclass(frozen=True)
class _Over:
    """There are no more items."""


@dataclass(frozen=True)
class _Failed:
    """An exception in the place of an item; what comes after it is never looked at."""

    error: Exception


class Shared(Protocol):
    """What one process more does for those that work."""

    def serve(self, ends: Sequence[Connection], ready: Callable[[], None]) -> None:
        """In that process, with a pipe to each of them: say `ready`, then answer until all are closed."""
        ...

    def meet(self, end: Connection) -> None:
        """In each of them, before it works, with its end of the pipe."""
        ...


def prepared(
    feed: Callable[[], Iterator[Item]],
    work: Callable[[Item], Result],
    n: int,
    shared: Shared | None = None,
) -> Generator[Result, None, None]:
    """What `work` makes of each item of `feed`, in the order of the items.

    `feed` runs in one process, `work` in `n`; both were forked from this one and know what it knew. An
    exception of either is raised here when its turn has come, as if all had been done in turn. The processes
    have ended when the iterator has, and end by themselves when this process dies. What is `shared` is ready
    when this returns, the rest begins later.

    Raises
    ------
    NodeError
        If one of the processes was killed.
    """
    results = _results(feed, work, n, shared)
    next(results)
    return results


def _results(
    feed: Callable[[], Iterator[Any]], work: Callable[[Any], Any], n: int, shared: Shared | None
) -> Generator[Any, None, None]:
    team = _Team(n, shared)
    try:
        team.prepare()
        yield None
        team.start(feed, work)
        yield from team.results()
    finally:
        team.end()


class _Team:
    """The processes of one call of `prepared`, and the pipes between them."""

    def __init__(self, n: int, shared: Shared | None = None) -> None:
        pipes = [multiprocessing.Pipe(duplex=False) for _ in range(2 * n + 2)]
        self._items, self._results = pipes[:n], pipes[n:-2]
        (self._told, self._tell), (self._life, self._alive) = pipes[-2:]
        self._shared = shared
        self._asking = [multiprocessing.Pipe() for _ in range(n if shared else 0)]
        self._all = [end for pipe in (*pipes, *self._asking) for end in pipe]
        self._processes: list[ForkProcess] = []

    def prepare(self) -> None:
        """Fork the one that the others share, and wait until it is ready."""
        # what is there now is looked through by no process's collector, which would copy the pages it is on
        gc.collect()
        gc.freeze()
        if self._shared is None:
            return
        ends = [end for end, _ in self._asking]
        self._fork(partial(_serve, self._shared, ends, self._tell), [*ends, self._tell])
        # of a process that ends before it has said anything nothing more will come
        self._tell.close()
        match self._next(self._told):
            case _Failed(error):
                raise error

    def start(self, feed: Callable[[], Iterator[Any]], work: Callable[[Any], Any]) -> None:
        """Fork the others, and keep of the pipes what is this process's."""
        for number, ((items, _), (_, results)) in enumerate(zip(self._items, self._results, strict=True)):
            meet, more = None, []
            if self._shared is not None:
                more = [self._asking[number][1]]
                meet = partial(self._shared.meet, *more)
            self._fork(partial(_work, work, items, results, meet), [items, results, *more])
        fed = [end for _, end in self._items]
        self._fork(partial(_feed, feed, fed), fed)
        kept = [self._alive, *(end for end, _ in self._results)]
        for end in self._all:
            if end not in kept:
                end.close()

    def _fork(self, role: Callable[[], None], ends: Sequence[Connection]) -> None:
        keep = [self._life, *ends]
        others = [end for end in self._all if end not in keep and not end.closed]
        process = multiprocessing.get_context("fork").Process(
            target=_child, args=(role, others, self._life), daemon=True
        )
        process.start()
        self._processes.append(process)

    def results(self) -> Iterator[Any]:
        """What has come of the items, until there are no more or something went wrong."""
        for end, _ in itertools.cycle(self._results):
            match self._next(end):
                case _Value(value):
                    yield value
                case _Failed(error):
                    raise error
                case _:
                    return

    def _next(self, end: Connection) -> Any:
        while True:
            running = [process for process in self._processes if process.exitcode is None]
            ready = wait([end, *(process.sentinel for process in running)])
            if end in ready:
                try:
                    return pickle.loads(end.recv_bytes())
                except EOFError:
                    self._tell_of_end(wait_s=_PATIENCE_S)
                    raise NodeError("a process of this job has ended without a word") from None
            self._tell_of_end()

    def _tell_of_end(self, wait_s: float = 0.0) -> None:
        """`NodeError` if a process has ended otherwise than it should."""
        if wait_s:
            wait([process.sentinel for process in self._processes if process.exitcode is None], wait_s)
        # looked at once: one may end between two looks
        codes = [process.exitcode for process in self._processes]
        for code in codes:
            # the others are left alone by one that was killed: that is the one to tell of
            if code is not None and code < 0:
                name = signal.Signals(-code).name
                raise NodeError(
                    f"a process of this job was killed ({name}); if the node was short of memory, "
                    "ask for more memory_mb or fewer cpus"
                )
        for code in codes:
            if code not in (None, 0):
                raise NodeError(f"a process of this job has ended with exit code {code}")

    def end(self) -> None:
        """Leave no process behind, nor what it has started."""
        for process in self._processes:
            # the number of one that has ended may be another's by now
            started = _started_by(process.pid) if process.is_alive() else []
            process.kill()
            for one in started:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        for process in self._processes:
            process.join()
            process.close()
        for end in self._all:
            end.close()
        gc.unfreeze()


def _child(role: Callable[[], None], others: Sequence[Connection], life: Connection) -> None:
    """What every process does: it closes what is not its own, and dies with the one that forked it."""
    # the keys that interrupt a job reach all its processes; the first one ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for end in others:
        end.close()
    threading.Thread(target=_watch, args=(life,), daemon=True).start()
    try:
        role()
    except BrokenPipeError:
        leave()


def _watch(life: Connection) -> None:
    with suppress(EOFError, OSError):
        life.recv_bytes()
    leave()


def leave() -> NoReturn:
    """End this process, whose other ends are gone, and what it has started."""
    for one in _started_by(os.getpid()):
        with suppress(psutil.Error):
            one.kill()
    os._exit(_LEFT_ALONE)


def _started_by(pid: int | None) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _feed(feed: Callable[[], Iterator[Any]], ends: Sequence[Connection]) -> None:
    turns = itertools.cycle(ends)
    last: _Over | _Failed = _Over()
    try:
        for item in feed():
            next(turns).send_bytes(pickle.dumps(_Value(item)))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - it goes to where it is raised again
        last = _Failed(portable(error))
    next(turns).send_bytes(pickle.dumps(last))


def _serve(shared: Shared, ends: Sequence[Connection], tell: Connection) -> None:
    def ready() -> None:
        tell.send_bytes(pickle.dumps(_Over()))
        tell.close()

    try:
        shared.serve(ends, ready)
    except Exception as error:
        if tell.closed:
            raise
        tell.send_bytes(pickle.dumps(_Failed(portable(error))))


def _work(
    work: Callable[[Any], Any], items: Connection, results: Connection, meet: Callable[[], None] | None
) -> None:
    if meet is not None:
        meet()
    made: Queue[bytes | None] = Queue(1)
    # while one result waits for its turn, the next is worked on
    sender = threading.Thread(target=_send, args=(made, results))
    sender.start()
    for item in _received(items):
        made.put(pickle.dumps(_result(work, item)))
    made.put(None)
    sender.join()


def _result(work: Callable[[Any], Any], item: Any) -> Any:
    if not isinstance(item, _Value):
        return item
    try:
        return _Value(work(item.value))
    except Exception as error:  # noqa: BLE001 - it goes to where it is raised again
        return _Failed(portable(error))


def _send(made: Queue[bytes | None], results: Connection) -> None:
    try:
        while (one := made.get()) is not None:
            results.send_bytes(one)
    except BrokenPipeError:
        leave()


def _received(items: Connection) -> Iterator[Any]:
    """All that comes, one taken in advance: the feeder need not wait for this process."""
    came: Queue[bytes | None] = Queue(1)

    def receive() -> None:
        with suppress(EOFError):
            while True:
                came.put(items.recv_bytes())
        came.put(None)

    threading.Thread(target=receive, daemon=True).start()
    while (one := came.get()) is not None:
        yield pickle.loads(one)


def portable(error: Exception) -> Exception:
    """`error` as it can be sent, with where it was raised."""
    where = "".join(traceback.format_exception(error))
    try:
        sent = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever keeps a type from being sent
        sent = None
    if type(sent) is not type(error) or str(sent) != str(error):
        # of a type that cannot be made again: its name is told with its words
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.__cause__ = None
    error.add_note(where)
    return error


def memory_mb() -> float:
    """Memory of this process and all that it started; what they share is counted once [MB]."""
    own = psutil.Process()
    found = 0
    for one in [own, *own.children(recursive=True)]:
        with suppress(psutil.Error):
            found += one.memory_full_info().pss
    return found / 2**20
