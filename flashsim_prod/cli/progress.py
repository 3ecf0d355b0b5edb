"""How work is shown while it goes on: bars on a terminal, log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flashsim_prod.cli.show import console
from flashsim_prod.core.sizes import format_count
from flashsim_prod.core.states import Stage
from flashsim_prod.production.drive.local_run import Display, Tally

#: name of a task, steps done, steps in all if known, and a remark
Show = Callable[[str, int, int | None, str], None]

#: between two log lines of one task [s]
_LOG_PAUSE_S = 30.0


@contextmanager
def shown_steps() -> Iterator[Show]:
    """A function to report steps of tasks to, for as long as the block runs."""
    errors = console(stderr=True)
    if not errors.is_terminal:
        yield _Lines(errors).show
        return
    with _progress(errors) as progress:
        yield _Bars(progress).show


@contextmanager
def shown_progress() -> Iterator[Display]:
    """A display of a driven request on standard error, for as long as the block runs."""
    errors = console(stderr=True)
    if not errors.is_terminal:
        yield RequestLines(errors)
        return
    with _progress(errors) as progress:
        yield RequestBars(progress)


def follow(steps: Iterator[int], task: str, total: int | None = None) -> int:
    """Run `steps`, which yields how far it is, to its end; how far that was."""
    with shown_steps() as show:
        done = 0
        for done in steps:
            show(task, done, total, "")
        if total is None:
            show(task, done, done, "")
    return done


class RequestBars(Display):
    """A bar of events simulated and one of files merged; one of files registered, once there are any."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars = _Bars(progress)
        self._bars.show("simulate", 0, None, unit="events")
        self._bars.show("merge", 0, None, unit="files")

    def tally(self, tally: Tally) -> None:
        self._bars.show("simulate", tally.events, tally.events_expected, _jobs(tally), unit="events")
        self._bars.show("merge", tally.done[Stage.MERGE], tally.expected[Stage.MERGE], unit="files")

    def registered(self, files: int, total: int) -> None:
        self._bars.show("register", files, total, unit="files")

    def remark(self, line: str) -> None:
        self._progress.console.print(line, style="yellow", markup=False)


class RequestLines(Display):
    """A line whenever a job has ended, and now and then between."""

    def __init__(self, errors: Console) -> None:
        self._lines = _Lines(errors)
        self._ended = -1

    def tally(self, tally: Tally) -> None:
        ended = sum(tally.done.values()) + tally.failed
        self._lines.pace(
            "request",
            f"{format_count(tally.events)} of {format_count(tally.events_expected)} events simulated, "
            f"{tally.done[Stage.MERGE]} of {tally.expected[Stage.MERGE]} files merged; {_jobs(tally)}",
            at_once=ended != self._ended,
        )
        self._ended = ended

    def registered(self, files: int, total: int) -> None:
        self._lines.pace("request", f"{files} of {total} files registered", at_once=files == total)

    def remark(self, line: str) -> None:
        self._lines.say(line)


class _Bars:
    """A bar for each task."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, task: str, done: int, total: int | None, remark: str = "", unit: str = "") -> None:
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=total, unit=unit, remark="")
        self._progress.update(self._tasks[task], completed=done, total=total, remark=remark)


class _Lines:
    """A line with the time: of one task at its end, and now and then before."""

    def __init__(self, errors: Console) -> None:
        self._errors = errors
        self._last: dict[str, float] = {}

    def show(self, task: str, done: int, total: int | None, remark: str = "") -> None:
        of = "" if total is None else f" of {total:,}"
        self.pace(task, f"{task}: {done:,}{of} {remark}".rstrip(), at_once=done == total)

    def pace(self, task: str, line: str, *, at_once: bool) -> None:
        """Say `line`, unless the last one of this task was a moment ago and nothing calls for it at once."""
        now = time.monotonic()
        if at_once or now - self._last.get(task, -_LOG_PAUSE_S) >= _LOG_PAUSE_S:
            self._last[task] = now
            self.say(line)

    def say(self, line: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._errors.print(f"{now} {line}", markup=False, soft_wrap=True)


def _jobs(tally: Tally) -> str:
    done, expected = sum(tally.done.values()), sum(tally.expected.values())
    parts = [f"{done}/{expected} jobs"]
    parts += [f"{tally.running} running"] if tally.running else []
    parts += [f"{tally.failed} failed"] if tally.failed else []
    return ", ".join(parts)


def _progress(errors: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:8}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}", style="dim"),
        console=errors,
        expand=True,
    )
