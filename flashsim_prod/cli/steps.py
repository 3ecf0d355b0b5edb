"""How a long computation in this process is shown: bars on a terminal, log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flashsim_prod.cli.show import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

#: name of a task, steps done, steps in all if known, and a remark
Show = Callable[[str, int, int | None, str], None]

#: between two log lines of one task [s]
_LOG_PAUSE_S = 30.0


@contextmanager
def shown_steps() -> Iterator[Show]:
    """A function to report steps to, for as long as the block runs."""
    errors = console(stderr=True)
    if errors.is_terminal:
        yield from _bars(errors)
    else:
        yield _log_lines(errors)


def follow(steps: Iterator[int], task: str, total: int | None = None) -> int:
    """Run `steps`, which yields how far it is, to its end; how far that was."""
    with shown_steps() as show:
        done = 0
        for done in steps:
            show(task, done, total, "")
        if total is None:
            show(task, done, done, "")
    return done


def _bars(errors: Console) -> Iterator[Show]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    remark_column = TextColumn("{task.fields[remark]}", style="dim")
    with Progress(*columns, TimeRemainingColumn(), remark_column, console=errors) as progress:

        def show(task: str, done: int, total: int | None, remark: str) -> None:
            if task not in tasks:
                tasks[task] = progress.add_task(task, remark="")
            progress.update(tasks[task], completed=done, total=total, remark=remark)

        yield show


def _log_lines(errors: Console) -> Show:
    last: dict[str, float] = {}

    def show(task: str, done: int, total: int | None, remark: str) -> None:
        now = time.monotonic()
        if done != total and now - last.get(task, 0.0) < _LOG_PAUSE_S:
            return
        last[task] = now
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        of = "" if total is None else f" of {total:,}"
        errors.print(f"{stamp} {task}: {done:,}{of} {remark}".rstrip(), markup=False, soft_wrap=True)

    return show
