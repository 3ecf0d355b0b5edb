"""Which branches models look at: found by giving them nothing, and then whatever they ask for.

Nobody has to declare it, and it cannot be forgotten: what they then make of a few events is compared with
what they make of all branches.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from flashsim_prod.errors import InputError, MissingBranchError
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.events import Events, full_name
from flashsim_prod.physics.training.table import Table

#: so many events are enough to tell
PROBED_EVENTS = 200

Extract = Callable[[Events, ObjectModel], Table]

#: found before in this program, by models and branches there
_known: dict[tuple[tuple[str, ...], frozenset[str]], frozenset[str] | None] = {}


def needed_branches(events: Events, models: Sequence[ObjectModel], extract: Extract) -> list[str] | None:
    """The branches of `events` that `models` look at; ``None`` if that cannot be told of these events.

    Parameters
    ----------
    events : Events
        A few, with all branches that there are.
    extract : callable
        Makes a table of events, and raises `MissingBranchError` for a branch that they lack.
    """
    there = frozenset(_branches(events))
    key = (tuple(sorted(model.name for model in models)), there)
    if key not in _known:
        _known[key] = _search(events, models, there, extract)
    found = _known[key]
    return None if found is None else sorted(found)


def _search(
    events: Events, models: Sequence[ObjectModel], there: frozenset[str], extract: Extract
) -> frozenset[str] | None:
    found: set[str] = set()
    for model in models:
        for name in (*model.uses, *(() if model.scalar else (model.produces,))):
            found |= _first(name, there)
        while True:
            try:
                table = extract(_only(events, found), model)
                break
            except InputError as error:
                asked = asked_for(error, there) - found
                if not asked:
                    return None
                found |= asked
        if not _same(table, extract(events, model)):
            return None
    return frozenset(found)


def _branches(events: Events) -> Iterable[str]:
    yield from events.scalars
    for name, collection in events.collections.items():
        yield from (full_name(name, attribute) for attribute in collection.columns)


def asked_for(error: BaseException | None, there: AbstractSet[str]) -> set[str]:
    """Branches of those that are `there` for want of which there is an error; empty if it is another one."""
    while error is not None and not isinstance(error, MissingBranchError):
        error = error.__cause__
    if error is None or not error.lacking:
        return set()
    return set(fnmatch.filter(there, error.lacking)) or _first(error.lacking, there)


def _first(name: str, there: AbstractSet[str]) -> set[str]:
    """The branch of this name; of a collection one that tells how many objects there are."""
    for branch in (name, f"{name}_pt"):
        if branch in there:
            return {branch}
    return set(sorted(branch for branch in there if branch.rpartition("_")[0] == name)[:1])


def _only(events: Events, names: set[str]) -> Events:
    collections = {}
    for name, one in events.collections.items():
        kept = [attribute for attribute in one.columns if full_name(name, attribute) in names]
        if kept:
            # those of memory need not know what they are called
            collections[name] = replace(one.only(kept), name=name)
    scalars = {name: column for name, column in events.scalars.items() if name in names}
    return Events(events.n, scalars, collections)


def _same(one: Table, other: Table) -> bool:
    if one.targets.keys() != other.targets.keys():
        return False
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("conditions", "number", "row")]
    pairs += [(one.targets[name], other.targets[name]) for name in one.targets]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)
