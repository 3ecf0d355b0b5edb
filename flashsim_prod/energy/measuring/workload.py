"""What is measured while it runs: copies of a program, or nothing at all."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from flashsim_prod.energy.measuring.counting import DEFAULT_PATTERNS, LogCounter
from flashsim_prod.energy.record import Configuration, CopyCount
from flashsim_prod.errors import MeasurementError, RequestError
from flashsim_prod.threads import thread_environment

CountOutput = Callable[[int, Path, float], int]

#: between asking a stopped program to end and making it [s]
_GRACE_S = 10.0


class Run(ABC):
    """One run of a workload, under way."""

    @abstractmethod
    def is_over(self, now_s: float) -> bool:
        """Whether it has come to its end; called at every poll."""

    @abstractmethod
    def counts(self) -> tuple[CopyCount, ...]:
        """What each copy made; `MeasurementError` if one failed or counted no events."""

    @abstractmethod
    def stop(self) -> None:
        """End it now, if it is not over."""


class Workload(ABC):
    """Something that can be run again and again, the same each time."""

    configuration: Configuration

    @abstractmethod
    def start(self, now_s: float, run_s: float) -> Run:
        """Start a run that should last about `run_s`, where it can choose."""

    def warm_up(self, now_s: Callable[[], float], poll: Callable[[Run], None]) -> None:  # noqa: B027
        """Run once unmeasured, to fill caches and to learn how fast it is; by default nothing."""


class Idle(Workload):
    """The machine doing nothing."""

    def __init__(self) -> None:
        self.configuration = Configuration(label="idle", mode="idle")  # type: ignore[arg-type]

    def start(self, now_s: float, run_s: float) -> Run:
        return _IdleRun(now_s + run_s)


@dataclass
class _IdleRun(Run):
    end_s: float

    def is_over(self, now_s: float) -> bool:
        return now_s >= self.end_s

    def counts(self) -> tuple[CopyCount, ...]:
        return ()

    def stop(self) -> None:
        self.end_s = 0.0


@dataclass(frozen=True)
class Launch:
    """How one copy is started."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Program(Workload):
    """Copies of a program, started together.

    Attributes
    ----------
    launch : callable
        Number of the copy and a folder of its own, to its `Launch`.
    scratch : Path
        Folder for logs.
    patterns : tuple of pattern
        How its log counts events.
    count_output : callable, optional
        Number of the copy, its folder and the time of its start [s since the epoch] to events, from its
        output file; takes the place of the log.
    """

    configuration: Configuration
    launch: Callable[[int, Path], Launch]
    scratch: Path
    patterns: tuple[re.Pattern[str], ...] = tuple(re.compile(pattern) for pattern in DEFAULT_PATTERNS)
    count_output: CountOutput | None = None
    _runs: int = 0

    def start(self, now_s: float, run_s: float) -> Run:
        """Start a run that lasts as long as the program does."""
        return self.start_until(None)

    def start_until(self, end_s: float | None) -> ProgramRun:
        """Start a run that is stopped soon after `end_s`, or not at all.

        Copies that are stopped are so after a mark of each: their events are those that it tells of.
        """
        self._runs += 1
        folder = self.scratch / f"run{self._runs:03d}"
        return ProgramRun(self, folder, end_s)

    def run_once(self, now_s: Callable[[], float], poll: Callable[[Run], None]) -> None:
        """One whole run, unmeasured, which must have counted its events."""
        run = self.start_until(None)
        try:
            poll(run)
            run.counts()
        finally:
            run.stop()


class ProgramRun(Run):
    """Processes of one run; it is over when all copies have ended, one has failed, or its time is up."""

    def __init__(self, program: Program, folder: Path, end_s: float | None = None) -> None:
        self._program, self._folder, self._started = program, folder, time.time()
        self._end_s = end_s
        self._stopped: set[int] = set()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._counters: list[LogCounter] = []
        self._logs: list[Path] = []
        try:
            for copy in range(program.configuration.copies):
                self._start_copy(copy, self._folder_of(copy))
        except BaseException:
            self.stop()
            raise

    def is_over(self, now_s: float) -> bool:
        # asked before the logs are read: what was written before the end is then in them
        ended = [process.poll() is not None for process in self._processes]
        for counter in self._counters:
            counter.follow(now_s)
        if all(ended) or any(process.returncode for process in self._processes):
            return True
        # the time by itself would cut off what a copy has done since its last mark
        end_s = self._end_s
        return end_s is not None and all(
            has_ended or counter.marked_since(end_s)
            for has_ended, counter in zip(ended, self._counters, strict=True)
        )

    def counts(self) -> tuple[CopyCount, ...]:
        count_output = self._program.count_output
        counts = []
        for copy, (process, counter) in enumerate(zip(self._processes, self._counters, strict=True)):
            if process.returncode and copy not in self._stopped:
                raise MeasurementError(f"{self._program.configuration.label}: {self._failure(copy, process)}")
            made = count_output(copy, self._folder_of(copy), self._started) if count_output else None
            counts.append(counter.count(made))
        if self._program.configuration.counts_events and not all(count.events for count in counts):
            raise MeasurementError(
                f"{self._program.configuration.label}: no event was counted; "
                "say with --count how its log tells of one, or with --count-file where its output is"
            )
        return tuple(counts)

    def stop(self) -> None:
        for copy, process in enumerate(self._processes):
            if process.poll() is None:
                # how it ends from here on is our doing, and no failure of its own
                self._stopped.add(copy)
            _signal(process, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()

    def _folder_of(self, copy: int) -> Path:
        return self._folder / f"copy{copy}"

    def _start_copy(self, copy: int, folder: Path) -> None:
        folder.mkdir(parents=True)
        launch = self._program.launch(copy, folder)
        log = folder / "log.txt"
        with ExitStack() as stack:
            file = stack.enter_context(log.open("wb"))
            try:
                process = subprocess.Popen(
                    list(launch.arguments), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                    env={**os.environ, **launch.environment}, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise RequestError(
                    f"the command {launch.arguments[0]} cannot be started: {error.strerror}"
                ) from error
        self._processes.append(process)
        self._logs.append(log)
        self._counters.append(LogCounter(log, self._program.patterns))

    def _failure(self, copy: int, process: subprocess.Popen[bytes]) -> str:
        lines = [
            line.strip()
            for line in self._logs[copy].read_text(encoding="utf-8", errors="replace").splitlines()
            if line.strip()
        ]
        last = lines[-1] if lines else "it printed nothing"
        return f"copy {copy} ended with code {process.returncode}: {last}"


def command_launch(command: str, threads: int) -> Callable[[int, Path], Launch]:
    """How copies of a command as typed are started; ``{copy}`` and ``{folder}`` in it are replaced."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RequestError(f"--command: '{command}' cannot be read: {error}") from error
    if not words:
        raise RequestError("--command is missing; say what to run, in quotes: --command 'cmsRun step1.py'")

    def launch(copy: int, folder: Path) -> Launch:
        return Launch([filled(word, copy, folder) for word in words], thread_environment(threads))

    return launch


def filled(word: str, copy: int, folder: Path) -> str:
    """A word of a command with ``{copy}`` and ``{folder}`` filled in."""
    return word.replace("{copy}", str(copy)).replace("{folder}", str(folder))


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        # the copy leads a process group of its own, its children with it
        os.killpg(process.pid, number)
