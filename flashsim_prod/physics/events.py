"""Events in memory: flat numpy columns, grouped by NanoAOD collection.

A `Collection` holds the objects of all events end to end, with the number of objects of each event
beside them; so every operation is one numpy call over all objects of all events.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import MissingBranchError

Column = NDArray[Any]

#: scalar that says what an event counts for beside genWeight, where models weight what they draw
WEIGHT = "FlashSim_weight"


def split_name(name: str, collections: Container[str]) -> tuple[str, str]:
    """Collection and attribute that the name of a branch is made of.

    The collection is the longest of `collections` that the name begins with, since its own name may hold
    an underscore (``Proton_multiRP_t``); else what is before the first underscore.
    """
    parts = name.split("_")
    for length in range(len(parts) - 1, 0, -1):
        collection = "_".join(parts[:length])
        if collection in collections:
            return collection, "_".join(parts[length:])
    first, _, rest = name.partition("_")
    return first, rest


def full_name(collection: str, attribute: str) -> str:
    """The branch that an attribute is in; a plain array (``LHEPdfWeight``) has one, without a name."""
    return f"{collection}_{attribute}" if attribute else collection


@dataclass(frozen=True)
class Collection:
    """The objects of one NanoAOD collection in a batch of events.

    Attributes
    ----------
    counts : int64 array of shape (n_events,)
        Objects of each event.
    columns : mapping of name to array of shape (n_objects,)
        Attributes without the collection's prefix (``pt``, not ``Jet_pt``), events end to end.
    name : str
        What it is called in the file that it was read from, for messages.
    """

    counts: NDArray[np.int64]
    columns: dict[str, Column] = field(default_factory=dict)
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if column.shape != (self.n_objects,):
                raise ValueError(f"column {name} has shape {column.shape}, expected ({self.n_objects},)")

    def __getitem__(self, name: str) -> Column:
        try:
            return self.columns[name]
        except KeyError:
            branch = f"{self.name}_{name}" if self.name else name
            raise MissingBranchError(f"the events have no branch {branch}", branch) from None

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.counts)

    @cached_property
    def n_objects(self) -> int:
        """Number of objects of all events."""
        return int(self.counts.sum())

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Position of each event's first object, shape (n_events,)."""
        return (
            np.concatenate(([0], np.cumsum(self.counts)[:-1])).astype(np.int64)
            if self.n_events
            else self.counts
        )

    @cached_property
    def event_index(self) -> NDArray[np.int64]:
        """The event of each object, shape (n_objects,)."""
        return np.repeat(np.arange(self.n_events), self.counts)

    @cached_property
    def local_index(self) -> NDArray[np.int64]:
        """Position of each object within its event, shape (n_objects,)."""
        return np.arange(self.n_objects) - self.starts[self.event_index]

    def with_columns(self, **columns: Column) -> Collection:
        """The same objects with some attributes added or replaced."""
        return Collection(self.counts, {**self.columns, **columns}, self.name)

    def only(self, names: Iterable[str]) -> Collection:
        """The same objects with some of their attributes."""
        return Collection(self.counts, {name: self[name] for name in names}, self.name)

    def select(self, mask: NDArray[np.bool_]) -> Collection:
        """Only the objects where `mask`, of shape (n_objects,), is true."""
        # found once: a mask would be walked through for every column, however few objects it leaves
        positions = np.flatnonzero(mask)
        counts = np.bincount(self.event_index[positions], minlength=self.n_events).astype(np.int64)
        return self._taken(positions, counts)

    def sorted_by(self, name: str, *, descending: bool = True) -> Collection:
        """Objects of each event in the order of one attribute; equal ones keep their order."""
        return self._taken(self.order_by(name, descending=descending), self.counts)

    def order_by(self, name: str, *, descending: bool = True) -> NDArray[np.int64]:
        """The positions that `sorted_by` takes the objects from, shape (n_objects,)."""
        key = self[name].astype(np.float64)
        return np.lexsort((-key if descending else key, self.event_index)).astype(np.int64)

    def slice(self, start: int, stop: int) -> Collection:
        """The collection of events [start, stop), as views."""
        first = int(self.counts[:start].sum())
        counts = self.counts[start:stop]
        last = first + int(counts.sum())
        columns = {name: column[first:last] for name, column in self.columns.items()}
        return Collection(counts, columns, self.name)

    def take_events(self, index: NDArray[np.int64]) -> Collection:
        """The collection of the events `index`, which may repeat and come in any order."""
        counts = self.counts[index]
        total = int(counts.sum())
        ends = np.cumsum(counts)
        # position of every wanted object: its event's start plus its rank within the event
        rank = np.arange(total) - np.repeat(ends - counts, counts)
        return self._taken(np.repeat(self.starts[index], counts) + rank, counts)

    def _taken(self, positions: NDArray[np.int64], counts: NDArray[np.int64]) -> Collection:
        columns = {name: column[positions] for name, column in self.columns.items()}
        return Collection(counts, columns, self.name)

    @staticmethod
    def from_rows(n_events: int, event_index: NDArray[np.int64], columns: Mapping[str, Column]) -> Collection:
        """Objects given in any order, each with the event it belongs to; order within an event is kept."""
        order = np.argsort(event_index, kind="stable")
        counts = np.bincount(event_index, minlength=n_events).astype(np.int64)
        return Collection(counts, {name: column[order] for name, column in columns.items()})

    @staticmethod
    def concatenate(parts: Sequence[Collection]) -> Collection:
        """The events of several collections with the same attributes, one after another."""
        names = parts[0].columns
        return Collection(
            np.concatenate([part.counts for part in parts]),
            {name: np.concatenate([part[name] for part in parts]) for name in names},
            parts[0].name,
        )

    @staticmethod
    def join(parts: Sequence[Collection]) -> Collection:
        """The objects of several sources in the same events, within an event in the order of `parts`."""
        names = parts[0].columns
        event_index = np.concatenate([part.event_index for part in parts])
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
        return Collection.from_rows(parts[0].n_events, event_index, columns)


class _Scalars(dict[str, Column]):
    """Columns of which one that is not there is told as a missing branch."""

    def __missing__(self, name: str) -> Column:
        raise MissingBranchError(f"the events have no branch {name}", name)


@dataclass(frozen=True)
class Events:
    """A batch of events.

    Attributes
    ----------
    n : int
        Number of events.
    scalars : mapping of branch name to array of shape (n,)
        One value per event, under the full NanoAOD name (``MET_pt``, ``genWeight``).
    collections : mapping of collection name to `Collection`
    """

    n: int
    scalars: dict[str, Column] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scalars", _Scalars(self.scalars))
        for name, column in self.scalars.items():
            if column.shape != (self.n,):
                raise ValueError(f"{name} has shape {column.shape}, expected ({self.n},)")
        for name, collection in self.collections.items():
            if collection.n_events != self.n:
                raise ValueError(f"{name} holds {collection.n_events} events, expected {self.n}")

    def __getitem__(self, name: str) -> Collection:
        try:
            return self.collections[name]
        except KeyError:
            raise MissingBranchError(f"the events have no collection {name}", name) from None

    def __contains__(self, name: object) -> bool:
        return name in self.collections or name in self.scalars

    def has_branch(self, name: str) -> bool:
        """Whether there is a branch of this full name: one value per event, or an attribute."""
        collection, attribute = self.place(name)
        return name in self.scalars or attribute in self.collections.get(collection, ())

    def place(self, name: str) -> tuple[str, str]:
        """Collection and attribute that a branch of this full name is of, if it is of any."""
        return split_name(name, self.collections)

    def branch(self, name: str) -> tuple[Column, NDArray[np.int64]]:
        """All values of the branch of this full name, and the event of each; `MissingBranchError` if none."""
        if name in self.scalars:
            return self.scalars[name], np.arange(self.n)
        collection, attribute = self.place(name)
        return self[collection][attribute], self[collection].event_index

    def with_scalars(self, scalars: Mapping[str, Column]) -> Events:
        """The same events with some scalars added or replaced."""
        return Events(self.n, {**self.scalars, **scalars}, self.collections)

    def with_collections(self, collections: Mapping[str, Collection]) -> Events:
        """The same events with some collections added or replaced."""
        return Events(self.n, self.scalars, {**self.collections, **collections})

    def take(self, index: NDArray[np.int64]) -> Events:
        """The events `index`, which may repeat and come in any order."""
        return Events(
            len(index),
            {name: column[index] for name, column in self.scalars.items()},
            {name: collection.take_events(index) for name, collection in self.collections.items()},
        )

    def slice(self, start: int, stop: int) -> Events:
        """Events [start, stop), as views."""
        stop = max(start, min(stop, self.n))
        return Events(
            stop - start,
            {name: column[start:stop] for name, column in self.scalars.items()},
            {name: collection.slice(start, stop) for name, collection in self.collections.items()},
        )

    def repeat(self, times: int) -> Events:
        """Every event `times` times, the copies adjacent."""
        return self.take(np.repeat(np.arange(self.n), times))

    @staticmethod
    def concatenate(parts: Iterable[Events]) -> Events:
        """Several batches with the same branches, one after another."""
        batches = list(parts)
        first = batches[0]
        return Events(
            sum(batch.n for batch in batches),
            {name: np.concatenate([batch.scalars[name] for batch in batches]) for name in first.scalars},
            {
                name: Collection.concatenate([batch.collections[name] for batch in batches])
                for name in first.collections
            },
        )


Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")
Derived = Callable[Concatenate[Events, Arguments], Found]


def of_collections(*names: str) -> Callable[[Derived[Arguments, Found]], Derived[Arguments, Found]]:
    """For what depends on the collections `names` alone: found once for them, however many models ask.

    The function sees no others, so that events that share these share what it finds. What else it is given
    by position can be a key.
    """

    def decorate(function: Derived[Arguments, Found]) -> Derived[Arguments, Found]:
        @wraps(function)
        def found(events: Events, /, *more: Arguments.args, **named: Arguments.kwargs) -> Found:
            first, *others = (events[name] for name in names)
            # kept with the collection that it was made of, and gone with it
            kept: dict[Any, tuple[list[Collection], Found]] = first.__dict__.setdefault("_derived", {})
            key = (function.__module__, function.__qualname__, *more)
            known = kept.get(key)
            if known is None or any(a is not b for a, b in zip(known[0], others, strict=True)):
                given = Events(events.n, {}, dict(zip(names, (first, *others), strict=True)))
                known = kept[key] = (others, function(given, *more, **named))
            return known[1]

        return found

    return decorate
