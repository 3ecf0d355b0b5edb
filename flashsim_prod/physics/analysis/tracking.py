"""Events that have every branch there is, hold nothing, and note which were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flashsim_prod.physics.events import Collection, Column, Events, full_name, split_name
from flashsim_prod.physics.nanoaod.schema import Schema


class _Noted(dict[str, Column]):
    """Columns that note which of them were read."""

    def __init__(self, columns: Mapping[str, Column], owner: str, used: set[str]) -> None:
        super().__init__(columns)
        self._owner, self._used = owner, used

    def __getitem__(self, name: str) -> Column:
        self._note(name)
        return super().__getitem__(name)

    def items(self) -> Any:
        """As of any mapping: selections copy all columns, which is no use of them."""
        return _NotedItems(self)

    def _note(self, name: str) -> None:
        self._used.add(full_name(self._owner, name) if self._owner else name)


class _NotedItems:
    def __init__(self, columns: _Noted) -> None:
        self._columns = columns

    def __iter__(self) -> Iterator[tuple[str, Column]]:
        return iter((name, dict.__getitem__(self._columns, name)) for name in self._columns)


class _NotedCollection(Collection):
    """A collection whose selections note, too, what is read of them."""

    def _taken(self, positions: Any, counts: Any) -> Collection:
        return self

    def with_columns(self, **columns: Column) -> Collection:
        """The same: nothing of it is more than it was."""
        return self

    def sorted_by(self, name: str, *, descending: bool = True) -> Collection:
        """The same: there is nothing to be sorted."""
        return self


class Tracked:
    """No events of NanoAOD with all that the schema knows.

    Attributes
    ----------
    events : Events
    used : set of str
        Full names of the branches that were read.
    """

    def __init__(self) -> None:
        self.used: set[str] = set()
        schema = Schema.default()
        scalars = {
            name: np.zeros(0, one.dtype) for name, one in schema.branches.items() if one.collection is None
        }
        collections: dict[str, Collection] = {}
        for name in schema.collections:
            columns = {one.attribute: np.zeros(0, one.dtype) for one in schema.attributes(name)}
            noted = _Noted(columns, name, self.used)
            collections[name] = _NotedCollection(np.zeros(0, np.int64), noted, name)
        self.events = Events(0, {}, collections)
        object.__setattr__(self.events, "scalars", _Noted(scalars, "", self.used))

    def owner(self, name: str) -> str:
        """The collection of a branch of this full name."""
        return split_name(name, self.events.collections)[0]
