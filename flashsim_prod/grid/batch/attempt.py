"""One attempt of one node: a process, the reading of its output, and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import IO

from flashsim_prod.errors import NodeError
from flashsim_prod.files import storage_error
from flashsim_prod.grid.batch.base import Command, Node
from flashsim_prod.grid.batch.lifeline import DIE_WITH_PARENT
from flashsim_prod.threads import thread_environment


@dataclass(frozen=True, slots=True)
class Started:
    """The attempt runs as process `pid`."""

    attempt: Attempt
    pid: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The attempt has made `events` events so far."""

    attempt: Attempt
    events: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt's process ended; a negative exit code is the signal that ended it."""

    attempt: Attempt
    exit_code: int


Event = Started | Progress | Ended


class Attempt:
    """An attempt, numbered from 1, whose process `run` starts and follows in a thread of its own.

    Parameters
    ----------
    node, number : Node, int
        What is attempted, and for which time.
    command : Command
        What runs.
    tell : callable
        Gets the events, in order, the last of them an `Ended`; called in the attempt's thread.
    grace_s : float
        Time between SIGTERM and SIGKILL at the end of the walltime [s].
    """

    def __init__(
        self, node: Node, number: int, command: Command, tell: Callable[[Event], None], grace_s: float
    ) -> None:
        self.node = node
        self.number = number
        self._command = command
        self._tell = tell
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = False

    def run(self) -> None:
        """Start the process and follow it to its end."""
        exit_code = NodeError.exit_code
        try:
            self._command.log.parent.mkdir(parents=True, exist_ok=True)
            with self._command.log.open("ab", buffering=0) as log:
                exit_code = self._run(log)
        except OSError as error:
            # not even a log file: the code is all that can be told
            exit_code = storage_error(error, "").exit_code
        finally:
            self._tell(Ended(self, exit_code))

    def end(self, signum: int = signal.SIGTERM) -> None:
        """Send a signal to the process and its children; an attempt that has not started never will."""
        with self._lock:
            self._ending = True
            if self._process is not None:
                _signal_group(self._process, signum)

    def _run(self, log: IO[bytes]) -> int:
        process = self._start(log)
        if process is None:
            return NodeError.exit_code
        reader = threading.Thread(target=self._read, args=(process, log), daemon=True)
        try:
            self._tell(Started(self, process.pid))
            reader.start()
            with self._walltime(log):
                # seen, but not reaped yet: nobody else can get its number while signals are sent to it
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            exit_code = self._reap(process)
        reader.join(self._grace_s)
        return exit_code

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        with self._lock, process.stdin or nullcontext():
            # the children of a worker that was killed must not write on beside the next attempt
            _signal_group(process, signal.SIGKILL)
            self._process = None
            return process.wait()

    def _start(self, log: IO[bytes]) -> subprocess.Popen[bytes] | None:
        # native libraries in a worker use one thread each: the slots are the parallelism
        known = {**os.environ, **thread_environment(1), DIE_WITH_PARENT: "1"}
        environment = {**known, **self._command.environment}
        with self._lock:
            if self._ending:
                return None
            try:
                self._process = subprocess.Popen(
                    self._command.argv,
                    stdin=subprocess.PIPE,  # the lifeline: never written to
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                    start_new_session=True,  # Ctrl-C reaches the driver only, which then ends its workers
                )
            except OSError as error:
                log.write(f"{self._command.argv[0]} cannot be started: {error}\n".encode())
            return self._process

    def _read(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        for line in process.stdout or ():
            events = progress_of(line)
            if events is not None:
                self._tell(Progress(self, events))
                continue
            with suppress(OSError, ValueError):  # a log that cannot be written stops nothing
                log.write(line)

    @contextmanager
    def _walltime(self, log: IO[bytes]) -> Iterator[None]:
        """End the process if the block takes longer than the command may."""
        limit = self._command.walltime_s
        if limit is None:
            yield
            return

        def expire() -> None:
            with suppress(OSError, ValueError):
                log.write(f"ended after its walltime of {limit:g} s\n".encode())
            self.end(signal.SIGTERM)

        ask = threading.Timer(limit, expire)
        kill = threading.Timer(limit + self._grace_s, self.end, (signal.SIGKILL,))
        for timer in (ask, kill):
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            ask.cancel()
            kill.cancel()


def progress_of(line: bytes) -> int | None:
    """The number of events that a line ``{"events": 200}`` reports; None for any other line."""
    if not line.startswith(b"{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    events = found.get("events")
    return events if type(events) is int else None


def _signal_group(process: subprocess.Popen[bytes], signum: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter is what macOS says of zombies
        os.killpg(process.pid, signum)
