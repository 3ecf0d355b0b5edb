"""What a file holds, whatever wrote it: digests of all values, and in which branches two files differ.

The same events give the same digests however they were cut into baskets, compressed, or joined, and by
whichever program; one bit of one value changes the digest of the part of the event that it is of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flashsim_prod.physics.events import Column, Events, full_name
from flashsim_prod.physics.nanoaod.reader import NanoFile

#: bytes of the digest of a part; of a branch as many
_SIZE = 8
_STEP = 4000


class ContentDigest:
    """Digests of what is added, stretch after stretch of the same branches."""

    def __init__(self) -> None:
        self._branches: dict[str, Any] = {}

    def add(self, events: Events) -> None:
        """Count the next `events`; the counters of collections follow from these and are left out."""
        for name, column in _columns(events):
            known = self._branches.get(name)
            if known is None:
                known = self._branches[name] = hashlib.blake2b(column.dtype.str.encode(), digest_size=_SIZE)
            known.update(np.ascontiguousarray(column).data)

    def result(self) -> dict[str, str]:
        """A digest for each part of the event: a collection, or all that begins alike (``MET``)."""
        parts: dict[str, Any] = {}
        for name in sorted(self._branches):
            part = parts.setdefault(_part(name), hashlib.blake2b(digest_size=_SIZE))
            part.update(name.encode() + self._branches[name].digest())
        return {part: digest.hexdigest() for part, digest in sorted(parts.items())}


def different_parts(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The parts of the event in which two files differ; empty if they hold the same."""
    return sorted(part for part in one.keys() | other.keys() if one.get(part) != other.get(part))


def different_branches(one: str, other: str, start: int = 0) -> list[str]:
    """The branches in which `one` differs from as many events of `other`, from entry `start` on.

    Raises
    ------
    InputError
        If one of them cannot be read.
    """
    with NanoFile(one) as first, NanoFile(other) as second:
        if first.n_entries > second.n_entries - start:
            return ["event"]
        odd = first.branches ^ second.branches
        names = sorted(first.branches & second.branches)
        for at in range(0, first.n_entries, _STEP):
            stop = min(at + _STEP, first.n_entries)
            ours = dict(_columns(first.read(names, at, stop)))
            theirs = dict(_columns(second.read(names, start + at, start + stop)))
            odd |= {name for name in ours.keys() | theirs.keys() if not _same(ours, theirs, name)}
    return sorted(odd)


def _columns(events: Events) -> Iterator[tuple[str, Column]]:
    """Every branch's values, and of every collection its number of objects."""
    for name, column in events.scalars.items():
        if name[1:] not in events.collections or not name.startswith("n"):
            yield name, column
    for name, one in events.collections.items():
        yield f"n{name}", one.counts
        yield from ((full_name(name, key), column) for key, column in one.columns.items())


def _same(one: Mapping[str, Column], other: Mapping[str, Column], name: str) -> bool:
    """Whether a column is the same in both, bit by bit: -0 is not 0, and what is no number is itself."""
    if name not in one or name not in other or one[name].dtype != other[name].dtype:
        return False
    return one[name].tobytes() == other[name].tobytes()


def _part(name: str) -> str:
    first = name.partition("_")[0]
    # the counter of a collection that has other names, too
    return first[1:] if first.startswith("n") and first[1:2].isupper() else first
