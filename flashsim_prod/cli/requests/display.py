"""How a driven request is shown while it runs: by bars on a terminal, by log lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flashsim_prod.cli.progress import Bars, Lines, shown
from flashsim_prod.core.sizes import format_count
from flashsim_prod.core.states import Stage
from flashsim_prod.production.drive.local_run import Display, Tally


@contextmanager
def shown_progress() -> Iterator[Display]:
    """A display on standard error, for as long as the block runs."""
    with shown() as tasks:
        yield RequestBars(tasks) if isinstance(tasks, Bars) else RequestLines(tasks)


class RequestBars(Display):
    """A bar of events simulated and one of files merged; one of files registered, once there are any."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._bars.show("simulate", 0, None, unit="events")
        self._bars.show("merge", 0, None, unit="files")

    def tally(self, tally: Tally) -> None:
        self._bars.show("simulate", tally.events, tally.events_expected, _jobs(tally), unit="events")
        self._bars.show("merge", tally.done[Stage.MERGE], tally.expected[Stage.MERGE], unit="files")

    def registered(self, files: int, total: int) -> None:
        self._bars.show("register", files, total, unit="files")

    def remark(self, line: str) -> None:
        self._bars.say(line)


class RequestLines(Display):
    """A line whenever a job has ended, and now and then between."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
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


def _jobs(tally: Tally) -> str:
    done, expected = sum(tally.done.values()), sum(tally.expected.values())
    parts = [f"{done}/{expected} jobs"]
    parts += [f"{tally.running} running"] if tally.running else []
    parts += [f"{tally.failed} failed"] if tally.failed else []
    return ", ".join(parts)
