"""TTrees with titles on their branches, through uproot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from flashsim_prod.errors import EventsError
from flashsim_prod.files import storage_errors
from flashsim_prod.physics.events import Collection, Column, Events, full_name
from flashsim_prod.physics.nanoaod.heads import linear_heads
from flashsim_prod.physics.nanoaod.schema import COUNTER, Schema

#: compression by name; figures in tests/benchmarks/writing_rate.py
COMPRESSIONS: Mapping[str, Any] = {
    "none": None,
    "lz4-4": uproot.LZ4(4),
    "zstd-1": uproot.ZSTD(1),
    "zstd-5": uproot.ZSTD(5),
    "zlib-1": uproot.ZLIB(1),
}

#: large enough to compress and to merge well, small enough for memory (about 10 kB an event in all)
EVENTS_PER_BASKET = 2000

#: room for this many baskets of each branch before the tree's head must be written again;
#: hadd -ff warns of an index out of bounds when there is room for ten
_BASKET_CAPACITY = 50

#: how the type of a collection begins
_VAR = "var * {"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn errors of the operating system while `path` is written into `StorageError` of one line."""
    with storage_errors(f"writing {path}"):
        yield


def make_tree(
    file: Any,
    name: str,
    types: Mapping[str, str],
    titles: Mapping[str, str],
    *,
    cluster: int | None = None,
    counter: np.dtype[np.generic] = COUNTER,
) -> Any:
    """An empty tree with a title on every branch.

    uproot titles a branch ``Jet_pt[nJet]/F`` and has no call to change that. The titles are put into the
    description from which it writes the head of the tree, which it is then told to write anew. By the same
    way the counters get the type that they have in NanoAOD, and readers are told the cluster size.

    Parameters
    ----------
    file : uproot.WritableDirectory
    name : str
    types : mapping of name to type
        A numpy type, ``string``, or ``var * {attribute: type, ...}`` for a collection.
    titles : mapping of branch name to title
        Those not mentioned keep uproot's title.
    cluster : int, optional
        Events of each basket, if it is the same for all but the last.
    counter : numpy.dtype
        Type of counters.

    Returns
    -------
    uproot.WritableTree
    """
    known = {key: _parsed(kind) for key, kind in types.items()}
    with linear_heads():
        tree = file.mktree(name, known, title=name, initial_basket_capacity=_BASKET_CAPACITY)
    head = tree._cascading
    for description in head._branch_data:
        if description["kind"] == "record":
            continue
        description["fTitle"] = titles.get(description["fName"], description["fTitle"])
        if description["kind"] == "counter":
            description["dtype"] = counter.newbyteorder(">")
    if cluster is not None:
        head._metadata["fAutoFlush"] = cluster
    head._needs_relocation_before_extend = True
    return tree


def type_of(column: Any) -> str:
    """A column's type as `make_tree` takes it: of numbers, or of lists of them."""
    return f"var * {ak.type(column).content.content}" if isinstance(column, ak.Array) else str(column.dtype)


def _parsed(kind: str) -> Any:
    """What uproot would make of `kind` by a grammar that takes longer to load than the tree to write."""
    if kind == "string":
        return ak.types.ListType(
            ak.types.NumpyType("uint8", parameters={"__array__": "char"}), parameters={"__array__": "string"}
        )
    if not kind.startswith(_VAR):
        return kind
    fields = [field.split(": ") for field in kind.removeprefix(_VAR).removesuffix("}").split(", ")]
    types = [ak.types.NumpyType(one) for _, one in fields]
    return ak.types.ListType(ak.types.RecordType(types, [name for name, _ in fields]))


class EventTree:
    """The tree Events of a file being written, filled basket by basket.

    Every basket but the last holds `EVENTS_PER_BASKET` events, so what is written does not depend on the
    batches in which events arrive.

    Parameters
    ----------
    file : uproot.WritableDirectory
    where : str
        Name of the file, for errors.
    schema : Schema
        Order, types and titles of the branches.
    look : callable, optional
        Is shown the events of each basket before they are written, and may refuse them.
    """

    def __init__(
        self, file: Any, where: str, schema: Schema, look: Callable[[Events], None] | None = None
    ) -> None:
        self._file, self._look = file, look
        self._schema = schema
        self._where = where
        self._pending: list[Events] = []
        self._types: dict[str, str] = {}
        self._tree: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added so far."""
        return not self._types

    def add(self, events: Events) -> list[Events]:
        """Take `events`, whose types are those of the schema; the full baskets that were written of it.

        Raises
        ------
        EventsError
            The branches are not those of the batches before.
        """
        types = _types(events, self._schema)
        if self.is_empty:
            self._types = types
            self._tree = make_tree(
                self._file,
                "Events",
                types,
                self._schema.titles,
                cluster=EVENTS_PER_BASKET,
                counter=self._schema.counter_dtype,
            )
        elif types != self._types:
            odd = min(set(types.items()) ^ set(self._types.items()))[0]
            raise EventsError(f"{self._where}: '{odd}' has not the same branches in all batches of events")
        self._pending.append(events)
        if sum(batch.n for batch in self._pending) < EVENTS_PER_BASKET:
            return []
        joined = Events.concatenate(self._pending)
        full = joined.n // EVENTS_PER_BASKET * EVENTS_PER_BASKET
        self._pending = [joined.slice(full, joined.n)]
        return [
            self._write(joined.slice(at, at + EVENTS_PER_BASKET)) for at in range(0, full, EVENTS_PER_BASKET)
        ]

    def finish(self) -> list[Events]:
        """Write what is left: the last basket, if there is one."""
        left = Events.concatenate(self._pending) if self._pending else Events(0)
        self._pending = []
        return [self._write(left)] if left.n else []

    def _write(self, events: Events) -> Events:
        if self._look is not None:
            self._look(events)
        columns: dict[str, Any] = dict(events.scalars)
        for name, one in events.collections.items():
            columns |= _by_event(name, one)
        self._tree.extend(columns)
        return events


def _types(events: Events, schema: Schema) -> dict[str, str]:
    """Type of each branch and collection of `events`, in the order of the schema, for `make_tree`."""
    types = {name: str(schema.branch(name).dtype) for name in schema.in_order(events.scalars)}
    for name in schema.in_order(events.collections):
        columns = map(schema.branch, schema.in_order(full_name(name, key) for key in events[name].columns))
        if "" in events[name]:
            types[name] = f"var * {schema.branch(name).dtype}"
            continue
        fields = ", ".join(f"{one.attribute}: {one.dtype}" for one in columns)
        types[name] = f"{_VAR}{fields}}}"
    return types


class _Lists:
    """Numbers of events, as uproot writes them: an awkward array of lists takes ten times as long to make."""

    def __init__(self, offsets: ak.index.Index64, column: Column) -> None:
        self.layout = ak.contents.ListOffsetArray(offsets, ak.contents.NumpyArray(column))

    def __len__(self) -> int:
        return len(self.layout)


def _by_event(name: str, collection: Collection) -> dict[str, Any]:
    """The branches of a collection as `WritableTree.extend` takes them."""
    offsets = ak.index.Index64(np.concatenate(([0], np.cumsum(collection.counts))))
    if "" in collection:
        return {name: ak.Array(_Lists(offsets, collection[""]).layout)}
    lists = {key: _Lists(offsets, column) for key, column in collection.columns.items()}
    return {f"n{name}": collection.counts, name: lists}
