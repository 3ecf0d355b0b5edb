"""Whether what was read of an input file are values that NanoAOD can hold, and mending what it tolerates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, Column, Events, full_name
from flashsim_prod.physics.nanoaod.schema import Schema


def mended(events: Events, schema: Schema) -> Events:
    """`events` whose links that point to nothing, or at themselves, are -1."""
    collections = {name: _without_dangling_links(name, events, schema) for name in events.collections}
    return Events(events.n, events.scalars, collections)


def _without_dangling_links(name: str, events: Events, schema: Schema) -> Collection:
    """A collection whose links to what is not there are -1, for nothing.

    Some versions of NanoAOD number the mothers of hadronic taus in a list longer than the one they store, and
    tools that cut collections leave links behind that are beyond either end.
    """
    collection, changed = events[name], {}
    for attribute, links in schema.links(name).items():
        targets = [events[one] for one in links if one in events]
        if targets and attribute in collection:
            column = collection[attribute]
            reach = np.max([target.counts for target in targets], axis=0)[collection.event_index]
            good = (column >= 0) & (column < reach)
            if name in links:
                good &= column != collection.local_index
            changed[attribute] = np.where(good, column, -1).astype(column.dtype)
    return collection.with_columns(**changed)


def check_sound(events: Events, schema: Schema, url: str, entry: int) -> None:
    """Check that all values are finite and legal, but those that are carried as they are.

    Parameters
    ----------
    events : Events
        A stretch of the file `url` that begins at `entry`.

    Raises
    ------
    InputError
        With the file, the entry, the branch and the value.
    """
    for name, column in events.scalars.items():
        _check(name, column, np.arange(events.n), schema, url, entry)
    for owner, one in events.collections.items():
        for key, column in one.columns.items():
            _check(full_name(owner, key), column, one.event_index, schema, url, entry)


def _check(name: str, column: Column, event: NDArray[np.int64], schema: Schema, url: str, entry: int) -> None:
    known = schema.branches.get(name)
    if known is None or known.is_carried:
        return
    if known.dtype.kind == "f":
        good, problem = np.isfinite(column), "is no finite number of NanoAOD's type"
    elif known.legal is not None:
        good, problem = np.isin(column, np.array(known.legal, dtype=known.dtype)), "is no legal value"
    else:
        return
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(f"{url}, entry {entry + int(event[at])}: {name} = {column[at]} {problem}")
