"""Names, types, titles and stored precision of the branches of a NANOAOD file, one schema for each version.

The tables of a version are text files in ``tables/<version>/``, one line a branch::

    collection Jet  title of its counter      (then Jet_pt, ... with one value per object)
    group MET                                 (then MET_pt, ... with one value per event)
    plain                                     (then genWeight, ... without prefix)
    counters  type                            (of all counters; u32 if no table says it)
    name  type  detail  title

`detail` is the number of mantissa bits kept of a float (``full`` keeps all 23), ``{0,2..4}`` the legal
values of a discrete one, ``->Jet`` the collection that an index points to (-1 for nothing), or ``-``.

Names, types and mantissa bits are those of centrally produced files of the version (v9: CMS Run-2
ultra-legacy simulation; v15: Run 3), without trigger, LHE and HTXS branches, and with the bookkeeping of
oversampling added (``FlashSim_*``). ``versions.draft`` makes a draft of them from a file,
``versions/names.txt`` says what the versions call differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np

from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.core.sources.base import CarriedBranch
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import EventsError, InputError, RequestError
from flashsim_prod.physics.events import Collection, Column, Events, full_name

#: mantissa bits of a float32
FULL_PRECISION = 23

#: types of branches, as tables call them
TYPES = {
    "f32": "float32",
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "bool": "bool",
}
#: ends the name of what a branch was before it was refined: ``Jet_ptunrefined``
UNREFINED = "unrefined"
#: files of a version's tables, in the order that branches have in what is written
TABLES = ("event", "generator", "jets", "met", "leptons")
#: of what is not in centrally produced files, and which not every version has
OPTIONAL_TABLES = ("constituents",)
#: type of counters where no table says another
COUNTER: np.dtype[np.generic] = np.dtype(np.uint32)
_COUNTERS = "counters "
_VERSION = re.compile(r"v\d+")
_UNIT = re.compile(r"\[([^\[\]]+)\]$")
_FORM = re.compile(rf"(\S+)\s+({'|'.join(TYPES)})\s+(full|-|\d+|\{{[^}}]*\}}|->\S+)\s+(\S.*)")


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch.

    Attributes
    ----------
    name : str
        Full name, ``Jet_pt``.
    collection : str or None
        The collection it is an attribute of; ``None`` for one value per event.
    dtype : numpy.dtype
    title : str
        What it is, with its unit in brackets.
    precision : int or None
        Mantissa bits stored of a float32; ``None`` for all, and for every other type.
    legal : tuple of int or None
        The values that occur, where they are few.
    links : tuple of str
        Collections that an index points into (two for ``Tau_genPartIdx``); empty for anything else.
    is_carried : bool
        Whether it is an input's, whose values are kept whatever they are.
    """

    name: str
    collection: str | None
    dtype: np.dtype[np.generic]
    title: str
    precision: int | None = None
    legal: tuple[int, ...] | None = None
    links: tuple[str, ...] = ()
    is_carried: bool = False

    @property
    def attribute(self) -> str:
        """The name without the collection's prefix; empty if it is the collection (``LHEPdfWeight``)."""
        if self.name == self.collection:
            return ""
        return self.name.removeprefix(f"{self.collection}_") if self.collection else self.name

    @property
    def unit(self) -> str:
        """What stands in brackets at the end of the title, ``GeV``; empty for pure numbers."""
        match = _UNIT.search(self.title)
        return match[1] if match else ""


@dataclass(frozen=True)
class Schema:
    """What a version of NanoAOD declares; equal tables make equal schemas.

    Attributes
    ----------
    version : str
        ``v9``.
    branches : mapping of str to Branch
        All branches by full name, in the order in which they are written.
    collections : mapping of str to str
        Title of every collection, which is that of its counter.
    counter_dtype : numpy.dtype
        Of every counter.
    """

    version: str
    branches: Mapping[str, Branch] = field(hash=False, repr=False)
    collections: Mapping[str, str] = field(hash=False, repr=False)
    counter_dtype: np.dtype[np.generic] = COUNTER

    @staticmethod
    def load(version: str) -> Schema:
        """The schema of a version of NanoAOD, read once; `RequestError` if there are no tables of it."""
        return _load(version)

    @staticmethod
    def default() -> Schema:
        """The schema of what is made where neither a request nor a bundle says otherwise."""
        return _load(NANO_VERSION)

    @staticmethod
    def parse(version: str, tables: Iterable[str]) -> Schema:
        """The schema that the texts of `tables` declare; `ValueError` for a line that cannot be read."""
        texts = tuple(tables)
        return Schema(
            version,
            MappingProxyType({one.name: one for text in texts for one in _parse(text)}),
            MappingProxyType({name: title for text in texts for name, title in _collections(text)}),
            next((one for text in texts for one in _counter_dtypes(text)), COUNTER),
        )

    def branch(self, name: str) -> Branch:
        """The branch called `name` in full; `EventsError` with the nearest name if there is none."""
        found = self.branches.get(name)
        if found is None:
            hint = nearest(name, self.branches)
            raise EventsError(f"'{name}' is no branch of the NANOAOD schema {self.version}{hint}")
        return found

    def attributes(self, collection: str) -> tuple[Branch, ...]:
        """The branches of one collection, in order; empty if there is no such collection."""
        return self._by_collection.get(collection, ())

    def links(self, collection: str) -> Mapping[str, tuple[str, ...]]:
        """The attributes of a collection that are indices, with the collections that they point into."""
        return {one.attribute: one.links for one in self.attributes(collection) if one.links}

    def with_carried(self, carried: Iterable[CarriedBranch]) -> Schema:
        """The same with the branches that an input brings; those that are declared stay as they are."""
        more = {one.name: _as_branch(one) for one in carried if one.name not in self.branches}
        if not more:
            return self
        owners = {one.collection for one in more.values() if one.collection} - set(self.collections)
        titles = {
            name: more[name].title if name in more else f"{name} of the input" for name in sorted(owners)
        }
        return replace(
            self,
            branches=MappingProxyType({**self.branches, **more}),
            collections=MappingProxyType({**self.collections, **titles}),
        )

    def with_unrefined(self) -> Schema:
        """The same with a branch for what each float was before it was refined; there may be such, or not."""
        more = {
            f"{one.name}{UNREFINED}": replace(
                one, name=f"{one.name}{UNREFINED}", title=f"before refinement: {one.title}"
            )
            for one in self.branches.values()
            if one.dtype == np.float32 and one.attribute and not one.is_carried
        }
        return replace(self, branches=MappingProxyType({**self.branches, **more}))

    def called(self, titles: Mapping[str, str]) -> Schema:
        """The same with other titles, by full names of branches and of counters; no empty ones."""
        branches = {
            name: replace(one, title=titles.get(name) or one.title) for name, one in self.branches.items()
        }
        collections = {name: titles.get(f"n{name}") or title for name, title in self.collections.items()}
        return replace(self, branches=MappingProxyType(branches), collections=MappingProxyType(collections))

    @cached_property
    def counters(self) -> Mapping[str, str]:
        """Title of every counter, by its branch's name: ``nJet``."""
        return MappingProxyType({f"n{name}": title for name, title in self.collections.items()})

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """Title of every branch and of every counter."""
        own = {name: one.title for name, one in self.branches.items()}
        return MappingProxyType({**own, **self.counters})

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Branches, or collections, in the order in which they are written; all must be known."""
        return sorted(names, key=self._place.__getitem__)

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate([*self.branches, *self.collections])}

    @cached_property
    def _by_collection(self) -> Mapping[str, tuple[Branch, ...]]:
        found: dict[str, list[Branch]] = {}
        for one in self.branches.values():
            if one.collection is not None:
                found.setdefault(one.collection, []).append(one)
        return {name: tuple(its) for name, its in found.items()}


def known_versions() -> list[str]:
    """The versions of NanoAOD that there are tables of, the oldest first."""
    folders = (one for one in files(__package__).joinpath("tables").iterdir() if one.is_dir())
    return sorted(
        (one.name for one in folders if _VERSION.fullmatch(one.name)), key=lambda name: int(name[1:])
    )


def _as_branch(one: CarriedBranch) -> Branch:
    return Branch(one.name, one.collection, np.dtype(one.type), one.title or one.name, is_carried=True)


@cache
def _load(version: str) -> Schema:
    known = known_versions()
    if version not in known:
        raise RequestError(f"there is no schema of NanoAOD '{version}'; known: {', '.join(known)}")
    folder = files(__package__).joinpath("tables", version)
    more = [table for table in OPTIONAL_TABLES if folder.joinpath(f"{table}.txt").is_file()]
    return Schema.parse(
        version,
        (folder.joinpath(f"{table}.txt").read_text(encoding="utf-8") for table in (*TABLES, *more)),
    )


def _collections(text: str) -> Iterator[tuple[str, str]]:
    """Name and title of each collection of a table."""
    for line in text.splitlines():
        if line.startswith("collection "):
            _, name, title = line.split(maxsplit=2)
            yield name, title


def _counter_dtypes(text: str) -> Iterator[np.dtype[np.generic]]:
    """The type of counters, if a table says it."""
    for line in text.splitlines():
        if line.startswith(_COUNTERS):
            yield np.dtype(TYPES[line.removeprefix(_COUNTERS).strip()])


def _parse(text: str) -> Iterator[Branch]:
    prefix, collection = "", None
    for line in filter(None, map(str.strip, text.splitlines())):
        kind, _, rest = line.partition(" ")
        if kind in ("collection", "group", "plain"):
            owner = rest.split(maxsplit=1)[0] if rest else ""
            prefix = f"{owner}_" if owner else ""
            collection = owner if kind == "collection" else None
            continue
        if line.startswith(_COUNTERS):
            continue
        match = _FORM.fullmatch(line)
        if match is None:
            raise ValueError(f"cannot read this line of the schema: {line}")
        name, dtype, detail, title = match.groups()
        precision, legal, links = _detail(detail)
        yield Branch(prefix + name, collection, np.dtype(TYPES[dtype]), title, precision, legal, links)


def _detail(text: str) -> tuple[int | None, tuple[int, ...] | None, tuple[str, ...]]:
    """Precision, legal values and links that the third column of a table states."""
    if text.startswith("->"):
        return None, None, tuple(text[2:].split("|"))
    if text.startswith("{"):
        return None, tuple(value for part in text[1:-1].split(",") for value in _values(part)), ()
    return (int(text) if text.isdigit() else None), None, ()


def _values(part: str) -> range:
    first, _, last = part.partition("..")
    return range(int(first), int(last or first) + 1)


def as_type(name: str, column: Column, dtype: np.dtype[Any]) -> Column:
    """`column` as `dtype`; `InputError` for an integer that would become another one."""
    if column.dtype == dtype:
        return column
    with np.errstate(over="ignore", invalid="ignore"):
        cast = column.astype(dtype)
    if dtype.kind in "iu" and column.dtype.kind in "iu":
        # compared as they were: -1 is not 18446744073709551615
        changed = np.flatnonzero((cast != column) | ((cast < 0) != (column < 0)))
        if len(changed):
            raise InputError(f"{name} = {column[changed[0]]} does not fit NanoAOD's {dtype}")
    return cast


def conform(events: Events, schema: Schema) -> Events:
    """The same events with the types of `schema`, wherever it knows the branch.

    Later versions narrowed many integers (``Jet_jetId`` is uint8 from v12 on).
    """

    def cast(name: str, column: Column) -> Column:
        known = schema.branches.get(name)
        return column if known is None else as_type(name, column, known.dtype)

    return Events(
        events.n,
        {name: cast(name, column) for name, column in events.scalars.items()},
        {
            name: Collection(
                one.counts, {key: cast(full_name(name, key), c) for key, c in one.columns.items()}, one.name
            )
            for name, one in events.collections.items()
        },
    )
