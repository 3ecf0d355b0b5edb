"""An index beside a large LHE file, so that jobs find their events without reading all that is before them.

It has marks, an event and its place, every few MB, and of a gzipped file what decompression needs to begin in
the middle. It is made while events are counted. A file that cannot have one, or whose index is of another
file, is read from its beginning: slower, and with the same events.
"""

from __future__ import annotations

import io
import json
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flashsim_prod.core.sources.lhe import INDEX
from flashsim_prod.errors import StorageError
from flashsim_prod.files import open_regular, write_whole

#: smaller files are read in a second or less [B], uncompressed
LEAST_BYTES = 64 << 20
#: between two marks [B], uncompressed
SPACING = 4 << 20
#: between two states of the decompression; each of these has the 32 kB before it
_LEAST_SPACING = 1 << 16
#: states of the decompression that an index has at most, of 32 kB each
_MOST_STATES = 500
#: what a gzipped file may be larger by when it is unpacked, as LHE files are
_UNPACKED = 5
#: of its beginning and its end, what tells a file from others [B]
_SEEN = 1 << 16
_VERSION = 1


@dataclass(frozen=True)
class Index:
    """Where events are.

    Attributes
    ----------
    events, places : tuple of int
        Numbers of events, from 0, and where each begins in the unpacked file [B]; in order.
    states : bytes
        What a gzipped file is entered with; empty for others.
    """

    events: tuple[int, ...]
    places: tuple[int, ...]
    states: bytes

    def before(self, event: int) -> tuple[int, int] | None:
        """The last mark at or before `event`: its event and its place."""
        at = bisect_right(self.events, event) - 1
        return None if at < 0 else (self.events[at], self.places[at])


def index_path(path: str) -> Path:
    """Where the index of a file is."""
    return Path(f"{path}{INDEX}")


def find_index(path: str) -> Index | None:
    """The index of a file; ``None`` if it has none, or one of another file."""
    try:
        with open_regular(index_path(path)) as file:
            head = json.loads(file.readline())
            states = file.read()
        with open_regular(Path(path)) as file:
            if head["version"] != _VERSION or head["file"] != _seen(file):
                return None
        if zlib.crc32(states) != head["states"]:
            return None
        return Index(tuple(head["events"]), tuple(head["places"]), states)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Marking:
    """Collects the marks of a file while it is read once from its beginning.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._events: list[int] = []
        self._places: list[int] = []

    def mark(self, event: int, place: int) -> None:
        """Note where an event begins, unless that is near the mark before."""
        if not self._places or place - self._places[-1] >= SPACING:
            self._events.append(event)
            self._places.append(place)

    def write(self, unpacked: int, stream: IO[bytes]) -> None:
        """Write the index of a file of `unpacked` bytes, read by `stream`, if it is worth it and can be."""
        if unpacked < LEAST_BYTES:
            return
        states = _states(stream)
        with suppress(OSError, StorageError), open_regular(Path(self._path)) as file:
            head = {
                "version": _VERSION,
                "file": _seen(file),
                "states": zlib.crc32(states),
                "events": self._events,
                "places": self._places,
            }
            write_whole(index_path(self._path), json.dumps(head).encode() + b"\n" + states)


@contextmanager
def unpacking(file: IO[bytes], size: int, states: bytes = b"") -> Iterator[IO[bytes] | None]:
    """A gzipped `file` of `size` bytes, unpacked, to be entered anywhere; ``None`` if that cannot be."""
    try:
        # an extra: without it files are read from their beginning
        import indexed_gzip
    except ImportError:
        yield None
        return
    spacing = max(_LEAST_SPACING, 2 * SPACING, size * _UNPACKED // _MOST_STATES)
    with indexed_gzip.IndexedGzipFile(fileobj=file, spacing=spacing) as stream:
        if states:
            stream.import_index(fileobj=io.BytesIO(states))
        yield stream


def _states(stream: Any) -> bytes:
    if not hasattr(stream, "export_index"):
        return b""
    into = io.BytesIO()
    stream.export_index(fileobj=into)
    return into.getvalue()


def _seen(file: IO[bytes]) -> Sequence[int]:
    """Size, and checksums of beginning and end."""
    size = file.seek(0, io.SEEK_END)
    sums = []
    for place in (0, max(0, size - _SEEN)):
        file.seek(place)
        sums.append(zlib.crc32(file.read(_SEEN)))
    return [size, *sums]
