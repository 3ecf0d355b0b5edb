"""How a driven request is shown while it runs: bars on a terminal, log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flashsim_prod.cli.show import console
from flashsim_prod.core.sizes import format_count
from flashsim_prod.core.states import Stage
from flashsim_prod.production.drive.local_run import Display, Tally

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

#: between two log lines, unless a job has ended [s]
_LOG_PAUSE_S = 30.0


@contextmanager
def shown_progress() -> Iterator[Display]:
    """A display on standard error for as long as the block runs."""
    errors = console(stderr=True)
    if not errors.is_terminal:
        yield LogLines(errors)
        return
    progress = _bars(errors)
    with progress:
        yield Bars(progress)


class Bars(Display):
    """A bar of events simulated and one of files merged."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._simulate = progress.add_task("simulate", total=None, unit="events", jobs="")
        self._merge = progress.add_task("merge", total=None, unit="files", jobs="")
        self._register: TaskID | None = None

    def tally(self, tally: Tally) -> None:
        self._progress.update(
            self._simulate, completed=tally.events, total=tally.events_expected, jobs=_jobs(tally)
        )
        self._progress.update(
            self._merge, completed=tally.done[Stage.MERGE], total=tally.expected[Stage.MERGE]
        )

    def registered(self, files: int, total: int) -> None:
        if self._register is None:
            self._register = self._progress.add_task("register", total=total, unit="files", jobs="")
        self._progress.update(self._register, completed=files, total=total)

    def remark(self, line: str) -> None:
        self._progress.console.print(line, style="yellow", markup=False)


class LogLines(Display):
    """A line whenever a job has ended, and now and then between."""

    def __init__(self, errors: Console) -> None:
        self._errors = errors
        self._jobs = -1
        self._last = 0.0

    def tally(self, tally: Tally) -> None:
        ended = sum(tally.done.values()) + tally.failed
        if ended == self._jobs and time.monotonic() - self._last < _LOG_PAUSE_S:
            return
        self._jobs, self._last = ended, time.monotonic()
        self.remark(
            f"{format_count(tally.events)} of {format_count(tally.events_expected)} events simulated, "
            f"{tally.done[Stage.MERGE]} of {tally.expected[Stage.MERGE]} files merged; {_jobs(tally)}"
        )

    def registered(self, files: int, total: int) -> None:
        if files == total or time.monotonic() - self._last >= _LOG_PAUSE_S:
            self._last = time.monotonic()
            self.remark(f"{files} of {total} files registered")

    def remark(self, line: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._errors.print(f"{now} {line}", markup=False, soft_wrap=True)


def _jobs(tally: Tally) -> str:
    done, expected = sum(tally.done.values()), sum(tally.expected.values())
    parts = [f"{done}/{expected} jobs"]
    parts += [f"{tally.running} running"] if tally.running else []
    parts += [f"{tally.failed} failed"] if tally.failed else []
    return ", ".join(parts)


def _bars(errors: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description:8}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[jobs]}", style="dim"),
        console=errors,
        expand=True,
    )
