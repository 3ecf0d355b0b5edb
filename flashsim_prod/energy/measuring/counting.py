"""Counting events from what a program prints, while it runs."""

from __future__ import annotations

import re
from pathlib import Path

from flashsim_prod.energy.record import CopyCount, Mark
from flashsim_prod.errors import RequestError

#: this project's worker, and CMSSW's message logger
DEFAULT_PATTERNS = (
    r'^\{"events": (?P<events>[0-9]+),',
    r"^Begin processing the (?P<events>[0-9]+)\w\w record",
)


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as typed; `RequestError` if it is none."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise RequestError(f"--count: '{pattern}' is no regular expression: {error}") from error


class LogCounter:
    """Follows a copy's log. A group named ``events`` holds the number so far; without one, lines count."""

    def __init__(self, log: Path, patterns: tuple[re.Pattern[str], ...]) -> None:
        self._log, self._patterns = log, patterns
        self._offset, self._rest = 0, b""
        self._events = 0
        self._marks: list[Mark] = []

    def follow(self, now_s: float) -> None:
        """Read what is new; a mark is set if there are more events than before."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        self._offset += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        before = self._events
        for line in lines:
            self._take(line.decode(errors="replace"))
        if self._events > before:
            self._marks.append(Mark(t_s=round(now_s, 4), events=self._events))

    def marked_since(self, t_s: float) -> bool:
        """Whether a mark was set at `t_s` or later."""
        return bool(self._marks) and self._marks[-1].t_s >= t_s

    def count(self, total: int | None = None) -> CopyCount:
        """What was counted; `total` from elsewhere takes the place of the log's."""
        return CopyCount(events=self._events if total is None else total, marks=tuple(self._marks))

    def _take(self, line: str) -> None:
        for pattern in self._patterns:
            found = pattern.search(line)
            if found:
                said = found.groupdict().get("events")
                self._events = max(self._events, int(said)) if said else self._events + 1
                return
