"""A NANOAOD file read from its beginning to its end in portions, wherever it is and however often dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from flashsim_prod.errors import InputError
from flashsim_prod.patience import ATTEMPTS, patiently
from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.event_range import WHOLE, EventRange
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema

#: read at least at a time, and at most even where the file keeps more together
_LEAST_EVENTS, _MOST_EVENTS = 5000, 25_000

Got = TypeVar("Got")


def open_declared(url: str) -> NanoFile:
    """A file of any version, under the names and with the types that models declare."""
    return NanoFile(url, Schema.default(), declared=True)


class Stream:
    """Events of a file, which is opened again where its server dropped it.

    Parameters
    ----------
    url : str
    events : int, optional
        So many at most; all by default.
    part : EventRange
        Which of the file.

    Raises
    ------
    InputError, StorageError
        As of `NanoFile`; `StorageError` after several tries only.
    """

    def __init__(self, url: str, events: int | None = None, part: EventRange = WHOLE) -> None:
        self.url = url
        self._file: NanoFile | None = None
        self.identifier = ""
        self.file = self._patiently(self._opened)
        entries = self.file.n_entries
        self.first, last = part.of(entries, url)
        self.events = last - self.first if events is None else min(events, last - self.first)
        self.entries = entries
        self.identifier = str(self.file.identifier)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def origin(self, url: str, weight: float) -> DrawnFrom:
        """What tables of these events are drawn from, the file being told as `url`; no objects yet."""
        return DrawnFrom(
            url=url,
            uuid=self.identifier,
            events=self.events,
            of=self.entries,
            objects=0,
            first=self.first,
            weight=weight,
            n_bytes=self.file.n_bytes,
        )

    def read(self, names: Sequence[str], start: int, stop: int) -> Events:
        """The branches `names` of events [start, stop)."""

        def once() -> Events:
            return self._opened().read(names, start, stop)

        return self._patiently(once)

    def portions(self, names: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Ranges of events that are stored together, so that nothing is unpacked twice."""
        start, last = self.first, self.first + self.events
        edges = [edge for edge in self.file.edges(names) if start < edge < last]
        for edge in (*edges, last):
            if edge - start < _LEAST_EVENTS and edge != last:
                continue
            while edge - start > _MOST_EVENTS:
                yield start, start + _MOST_EVENTS
                start += _MOST_EVENTS
            if edge > start:
                yield start, edge
            start = edge

    def _opened(self) -> NanoFile:
        if self._file is None:
            self._file = open_declared(self.url)
            if str(self._file.identifier) != (self.identifier or str(self._file.identifier)):
                raise InputError(f"{self.url} became another file while it was read; extract it again")
        return self._file

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _patiently(self, call: Callable[[], Got]) -> Got:
        advice = f"given up after {ATTEMPTS} tries, say it again to go on with what is not done"
        # what failed is not gone on with: connections of it may hang
        return patiently(call, before_again=self._drop, advice=advice)
