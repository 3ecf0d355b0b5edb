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

#: name of a task, steps done, steps in all if known, and a remark
Show = Callable[[str, int, int | None, str], None]

#: between two log lines of one task [s]
_LOG_PAUSE_S = 30.0


@contextmanager
def shown() -> Iterator[Bars | Lines]:
    """What shows tasks on standard error, for as long as the block runs."""
    errors = console(stderr=True)
    if not errors.is_terminal:
        yield Lines(errors)
        return
    with _progress(errors) as progress:
        yield Bars(progress)


@contextmanager
def shown_steps() -> Iterator[Show]:
    """A function to report steps of tasks to, for as long as the block runs."""
    with shown() as tasks:
        yield tasks.show


class Bars:
    """A bar for each task."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, task: str, done: int, total: int | None, remark: str = "", unit: str = "") -> None:
        """A task is so far."""
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=total, unit=unit, remark="")
        self._progress.update(self._tasks[task], completed=done, total=total, remark=remark)

    def say(self, line: str) -> None:
        """Say `line` above the bars."""
        self._progress.console.print(line, style="yellow", markup=False)


class Lines:
    """A line with the time: of one task at its end, and now and then before."""

    def __init__(self, errors: Console) -> None:
        self._errors = errors
        self._last: dict[str, float] = {}

    def show(self, task: str, done: int, total: int | None, remark: str = "") -> None:
        """A task is so far."""
        of = "" if total is None else f" of {total:,}"
        self.pace(task, f"{task}: {done:,}{of} {remark}".rstrip(), at_once=done == total)

    def pace(self, task: str, line: str, *, at_once: bool) -> None:
        """Say `line`, unless the last one of this task was a moment ago and nothing calls for it at once."""
        now = time.monotonic()
        if at_once or now - self._last.get(task, -_LOG_PAUSE_S) >= _LOG_PAUSE_S:
            self._last[task] = now
            self.say(line)

    def say(self, line: str) -> None:
        """Say `line` at once."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._errors.print(f"{now} {line}", markup=False, soft_wrap=True)


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
