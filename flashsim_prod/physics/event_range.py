"""Which events of a file are taken, and what they count for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from flashsim_prod.errors import RequestError

_EVENTS, _WEIGHT = ", events ", ", weight "
#: what stands before the sample of a bundle that models are from, or began as
_OF_BUNDLE = re.compile(r"[0-9]+ models (?:began as those )?of bundle .*? \([0-9a-f]{12}\): ")
_END = re.compile(r"([0-9]+)(%?)")


@dataclass(frozen=True)
class EventRange:
    """Some events of a file.

    Attributes
    ----------
    first, last : (int, is a percentage)
        The first event, and the one after the last; None for the file's own end.
    weight : float
        What each event counts for when a bundle's models are fine-tuned.
    """

    first: tuple[int, bool] = (0, False)
    last: tuple[int, bool] | None = None
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str | None, weight: float = 1.0) -> Self:
        """Of what was typed: ``0:300``, ``300:``, ``:50%``; all events if nothing was.

        Raises
        ------
        RequestError
            If it is no range, or the weight is not above 0.
        """
        if not 0 < weight < float("inf"):
            raise RequestError(
                f"--weight {weight:g}: a weight is a number above 0; leave a file out instead of 0"
            )
        if text is None:
            return cls(weight=weight)
        first, colon, last = text.partition(":")
        if not colon or not (first or last):
            raise RequestError(f"--events {text}: not a range; write FIRST:LAST, as 0:300, 300: or :50%")
        return cls(_end(first, text) if first else (0, False), _end(last, text) if last else None, weight)

    @property
    def is_whole(self) -> bool:
        """Whether it is all events of any file."""
        return self.first[0] == 0 and self.last is None

    def of(self, n: int, name: str) -> tuple[int, int]:
        """First event and the one after the last, of a file of `n`; `RequestError` if there are none."""
        first = _place(self.first, n)
        last = n if self.last is None else min(n, _place(self.last, n))
        if first >= last and n:
            raise RequestError(f"--events {self}: {name} has {n:,} events, none of them there")
        return first, last

    def meets(self, sample: Iterable[str], stem: str, n: int) -> bool:
        """Whether a training sample names events of this part of a file of `n` events.

        Parameters
        ----------
        sample : iterable of str
            Lines; those of files are their names without a suffix, with ``told``, also behind the bundle
            that models are from or began as.
        stem : str
            Of the file.
        """
        first, last = self.of(n, stem)
        for line in _lines(sample):
            if line == stem or line.startswith(f"{stem}{_WEIGHT}"):
                return True
            if line.startswith(f"{stem}{_EVENTS}"):
                events = line.removeprefix(f"{stem}{_EVENTS}").partition(_WEIGHT)[0]
                other = EventRange.parse(events).of(n, stem)
                if first < other[1] and other[0] < last:
                    return True
        return False

    def __str__(self) -> str:
        return ":".join("" if end is None else f"{end[0]}{'%' * end[1]}" for end in (self.first, self.last))


def told(stem: str, events: str, weight: float) -> str:
    """A file of a training sample in a line: which events, and what they counted for."""
    return f"{stem}{f'{_EVENTS}{events}' if events else ''}{f'{_WEIGHT}{weight:g}' if weight != 1 else ''}"


#: all events, each counted once
WHOLE = EventRange()


def _lines(sample: Iterable[str]) -> Iterator[str]:
    """Lines of a training sample, those of the bundles in it one by one."""
    for line in sample:
        yield line
        if _OF_BUNDLE.match(line):
            for part in line.split("; "):
                yield _OF_BUNDLE.sub("", part)


def _end(text: str, whole: str) -> tuple[int, bool]:
    found = _END.fullmatch(text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise RequestError(
            f"--events {whole}: '{text}' is neither a number of events nor a percentage of them"
        )
    return int(found[1]), bool(found[2])


def _place(end: tuple[int, bool], n: int) -> int:
    number, is_percentage = end
    return n * number // 100 if is_percentage else number
