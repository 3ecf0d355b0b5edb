"""Events of NANOAOD in memory, as every tool of the field reads them: of files, or of none."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import MissingBranchError, RequestError
from flashsim_prod.physics.events import Events, full_name
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import stored


def as_arrays(paths: Sequence[Path], attrs: Mapping[str, Any]) -> ak.Array:
    """The events of finished files, end to end, with a field for each branch.

    Parameters
    ----------
    paths : sequence of Path
        At least one; all have the same branches.
    attrs : mapping of str to object
        What the array is to carry along.

    Returns
    -------
    ak.Array
        What ``uproot.open(path)["Events"].arrays()`` gives.
    """
    parts = []
    for path in paths:
        with uproot.open(path) as file:
            parts.append(file["Events"].arrays())
    events = parts[0] if len(parts) == 1 else ak.concatenate(parts)
    return ak.with_name(events, None, attrs=dict(attrs))


def in_memory(events: Events, schema: Schema, names: Names[str] | None, attrs: Mapping[str, Any]) -> ak.Array:
    """Events as a file would give them that they were written to: the same types, precision and order.

    Parameters
    ----------
    events : Events
    schema : Schema
        With what an input brings.
    names : collection of str, optional
        Only these branches; by default all that there are.
    attrs : mapping of str to object
        What the array is to carry along.

    Raises
    ------
    MissingBranchError
        If the events lack a branch of `names`.
    """
    kept = stored(events, schema)
    fields = {name: column for name, column in _fields(kept, schema) if names is None or name in names}
    if lacking := sorted(set(names or ()) - fields.keys()):
        raise MissingBranchError(f"the events have no branch {', '.join(lacking[:5])}")
    layouts = [ak.to_layout(field) for field in fields.values()]
    record = ak.contents.RecordArray(layouts, list(fields), length=kept.n)
    return ak.Array(record, attrs=dict(attrs))


def chosen_branches(patterns: Sequence[str], schema: Schema, made: Names[str]) -> tuple[str, ...]:
    """The branches that `patterns` mean, in the order in which a file has them.

    Parameters
    ----------
    patterns : sequence of str
        Names of branches or counters, in which ``*`` stands for anything.
    schema : Schema
    made : collection of str
        Branches that the events at hand can have.

    Raises
    ------
    RequestError
        If one of them means none of these.
    """
    counters = {f"n{one.collection}": one for one in schema.branches.values() if one.collection}
    known = [name for name in (*schema.branches, *counters) if name in made]
    found: set[str] = set()
    for pattern in patterns:
        mine = [name for name in known if fnmatchcase(name, pattern)]
        if not mine:
            raise RequestError(f"the dataset has no branch '{pattern}'{nearest(pattern, known)}")
        found.update(mine)
    return tuple(name for name in known if name in found)


def branch_names(events: Events) -> frozenset[str]:
    """All branches that a file with these events would have, counters included."""
    of_collections = {
        name
        for collection, one in events.collections.items()
        for name in (f"n{collection}", *(full_name(collection, key) for key in one.columns))
    }
    return frozenset(of_collections | events.scalars.keys())


def _fields(events: Events, schema: Schema) -> Iterator[tuple[str, Any]]:
    """Every branch with its values, in the order in which they are written."""
    for name in schema.in_order(events.scalars):
        yield name, events.scalars[name]
    for name in schema.in_order(events.collections):
        one = events.collections[name]
        yield f"n{name}", one.counts.astype(np.uint32)
        offsets = ak.index.Index64(np.concatenate(([0], np.cumsum(one.counts))))
        by_branch = {full_name(name, key): column for key, column in one.columns.items()}
        for branch in schema.in_order(by_branch):
            content = ak.contents.NumpyArray(by_branch[branch])
            yield branch, ak.contents.ListOffsetArray(offsets, content)
