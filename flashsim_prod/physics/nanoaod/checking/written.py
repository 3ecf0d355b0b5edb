"""Values checked while they are written, and a closed file compared with them by its bytes."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from uproot.compression import decompress
from uproot.models import TBasket
from uproot.source.chunk import Chunk
from uproot.source.cursor import Cursor

from flashsim_prod.physics.events import Column, Events, full_name
from flashsim_prod.physics.nanoaod.checking.values import Where, check_values
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading
from flashsim_prod.physics.nanoaod.schema import Schema

#: where each basket of a branch lies, and how long it is
_PLACES = ("fBasketSeek", "fBasketBytes")
#: of the values of a basket, and of their numbers by event where there are several
Sums = tuple[int, int | None]


class Written:
    """Looks at all events of a file as they go into its baskets.

    Parameters
    ----------
    schema : Schema
        What the branches must be of.
    name : str
        What the file is called in messages.
    """

    def __init__(self, schema: Schema, name: str) -> None:
        self._schema, self._where = schema, Where(name)
        self._sums: dict[str, list[Sums]] = {}
        self._starts: list[int] = []
        self._n = 0

    def __call__(self, events: Events) -> None:
        """Check the events of the next basket; `EventsError` as of `check_file`."""
        start, self._n = self._n, self._n + events.n
        self._where.of(events, start)
        check_values(events, self._schema, start, self._where)
        self._starts.append(start)
        for name, column in events.scalars.items():
            self._add(name, column)
        for name, one in events.collections.items():
            self._add(f"n{name}", one.counts.astype(np.uint32))
            by_event = _sum(one.counts)
            for key, column in one.columns.items():
                self._add(full_name(name, key), column, by_event)

    def _add(self, branch: str, column: Column, by_event: int | None = None) -> None:
        # as ROOT stores it
        stored = column.astype(column.dtype.newbyteorder(">"), copy=False)
        self._sums.setdefault(branch, []).append((_sum(stored), by_event))

    def compare(self, file: NanoFile, where: Where) -> None:
        """Fail unless every basket of `file` holds what was written into it, and there is no other."""
        with reading(file.url, "is damaged"), open(file.url, "rb") as stored:
            branches = {branch.name: branch for branch in file.tree("Events").branches}
            if branches.keys() != self._sums.keys():
                odd = min(branches.keys() ^ self._sums.keys())
                where.fail(f"has other branches than were written: '{odd}'")
            for name, expected in self._sums.items():
                branch = branches[name]
                if branch.num_baskets != len(expected):
                    where.fail(f"has {branch.num_baskets} baskets of {name}, {len(expected)} were written")
                size = self._schema.branch(name).dtype.itemsize if name in self._schema.branches else 1
                places = [branch.member(one)[: len(expected)].tolist() for one in _PLACES]
                for start, sums, seek, length in zip(self._starts, expected, *places, strict=True):
                    stored.seek(seek)
                    if _found(stored.read(length), size) != sums:
                        where.fail(f"has other values of {name} than were written", start)


def _found(basket: bytes, size: int) -> Sums | None:
    """The sums of a basket as it lies in a file, its key first; ``None`` if it is not as long as that says.

    By the layouts that uproot has, and without the object that it makes of each, which takes as long again.
    """
    n_bytes, _, length, _, key, _ = TBasket._tbasket_format1.unpack_from(basket)
    *_, last = TBasket._tbasket_format2.unpack_from(basket, key - TBasket._tbasket_format2.size - 1)
    if n_bytes != len(basket):
        return None
    content = np.frombuffer(basket, np.uint8)[key:]
    if len(content) != length:
        content = decompress(Chunk.wrap(None, content), Cursor(0), {}, len(content), length).raw_data
    values, offsets = np.split(content, [last - key])
    if not len(offsets):
        return _sum(values), None
    # behind their number, each counted from the beginning of the key; the last one is not told
    ends = offsets.view(">i4")[1:].astype(np.int64) - key
    ends[-1] = len(values)
    return _sum(values), _sum(np.diff(ends) // size)


def _sum(values: NDArray[np.generic]) -> int:
    return crc32(np.ascontiguousarray(values).view(np.uint8).data)
