"""HepMC files in ASCII, of version 2 or 3, plain or gzipped: the text of their events.

Bytes are searched for the beginnings of events, not parsed, so that a job finds its first event as fast as
the file can be read, or decompressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.streams.opened import opened, reading
from flashsim_prod.physics.streams.served import file_name, is_url

NAMES = tuple(f".hepmc{version}{packed}" for version in ("", "2", "3") for packed in ("", ".gz"))

_CHUNK = 1 << 18
#: heads hold names of weights and tools
_LARGEST_HEAD = 1 << 26
_EVENT = b"\nE "
_LETTER = _EVENT[1:2]
#: of a part, after so many places that were no beginnings all are compared at once
_MISSES = 100
_MARK = b"HepMC::"
#: by what begins the listing of events, the form that a file has
_FORMS = {
    b"HepMC::Asciiv3-START_EVENT_LISTING": "3",
    b"HepMC::IO_GenEvent-START_EVENT_LISTING": "2",
}
_OTHERS = (b"HepMC::IO_Ascii", b"HepMC::IO_ExtendedAscii", b"<LesHouchesEvents")


@dataclass(frozen=True)
class Head:
    """What is before the first event.

    Attributes
    ----------
    form : str
        Version of the ASCII form, ``2`` or ``3``.
    text : bytes
    """

    form: str
    text: bytes


def is_hepmc(url: str) -> bool:
    """Whether a file is one, by its name; of a file on a disk also by its first bytes."""
    if file_name(url).lower().endswith(NAMES):
        return True
    if is_url(url):
        return False
    try:
        with opened(url) as stream:
            return stream.read(64).lstrip().startswith(_MARK)
    except (InputError, OSError, EOFError, zlib.error):
        return False


def read_head(url: str) -> Head:
    """What a file says before its first event; `InputError` in one line if it is none, or cannot be read."""
    with reading(url), opened(url) as stream:
        return _head(next(_parts(stream)), url)


def event_texts(url: str, first: int = 0, number: int | None = None) -> Iterator[bytes]:
    """The text of events [first, first + number), counted from 0; of all from `first` on without `number`.

    Raises
    ------
    InputError
        The file holds fewer, is cut off, or is damaged.
    """
    with reading(url), opened(url) as stream:
        parts = _parts(stream)
        _head(next(parts), url)
        found = 0
        for text in islice(_whole(parts, url), first, None if number is None else first + number):
            found += 1
            yield text
    if number is not None and found < number:
        raise InputError(f"{url} holds fewer events than when the request was made; put it back")


def _whole(parts: Iterator[bytes], url: str) -> Iterator[bytes]:
    """All events, without what ends the listing; `InputError` if nothing does."""
    last = b""
    for last in parts:
        # searched for by its rarest letter, which is found ten times as fast as the whole mark
        if b"H" in last:
            text, mark, after = last.partition(b"\n" + _MARK)
            if mark and b"START_EVENT_LISTING" in after:
                raise InputError(f"{url} is several files in one, end to end; give each of them by itself")
            yield text + b"\n" if mark or not text.endswith(b"\n") else text
        else:
            yield last if last.endswith(b"\n") else last + b"\n"
    if b"\n" + _MARK not in last or b"END_EVENT_LISTING" not in last.rpartition(_MARK)[2]:
        raise InputError(
            f"{url} is truncated: it does not end with 'END_EVENT_LISTING'; copy it again, or let its "
            "generator finish"
        )


def _parts(stream: IO[bytes]) -> Iterator[bytes]:
    """What is before the first event, then each event with all that follows it."""
    rest, is_head = b"", True
    while more := stream.read(_CHUNK):
        # the end of what is left may be the beginning of an event
        known = max(0, len(rest) - len(_EVENT))
        rest += more
        begin = 0
        for at in _beginnings(rest, known):
            yield rest[begin:at]
            begin, is_head = at, False
        rest = rest[begin:]
        if is_head and len(rest) > _LARGEST_HEAD:
            break
    yield rest


def _beginnings(text: bytes, known: int) -> list[int]:
    """Where events begin in `text`, of which the part before `known` has none.

    Writers use this letter for little else, so it is looked for alone, which is the fastest; where it stands
    for more, as in exponents, all places are compared at once.
    """
    found, misses = [], 0
    at = text.find(_LETTER, known + 1, len(text) - 1)
    while at >= 0:
        if text.startswith(_EVENT, at - 1):
            found.append(at)
        elif (misses := misses + 1) == _MISSES:
            return [*found, *_beginnings_at_once(text, at)]
        at = text.find(_LETTER, at + 1, len(text) - 1)
    return found


def _beginnings_at_once(text: bytes, known: int) -> list[int]:
    letters = np.frombuffer(text, dtype=np.uint8)[known:]
    before, letter, after = letters[:-2], letters[1:-1], letters[2:]
    at = np.flatnonzero(letter == _EVENT[1])
    at = at[(before[at] == _EVENT[0]) & (after[at] == _EVENT[2])]
    return [int(one) + known + 1 for one in at]


def _head(text: bytes, url: str) -> Head:
    head = text.lstrip()
    if not head:
        raise InputError(
            f"{url} is empty and so is no HepMC file; let its generator finish, or copy it again"
        )
    if not head.startswith(_MARK) or any(one in head for one in _OTHERS):
        raise InputError(f"{url} is no HepMC file in ASCII of version 2 or 3; convert it, or give another")
    form = next((form for mark, form in _FORMS.items() if mark in head), None)
    if form is None:
        raise InputError(f"{url}: no HepMC::...START_EVENT_LISTING; is it a HepMC file, and whole?")
    if b"END_EVENT_LISTING" in head:
        raise InputError(f"{url} holds no events; leave it out")
    return Head(form, head.rstrip() + b"\n")
