"""What each version of NanoAOD calls what, and which version a file is of.

Models declare attributes under the names of one version, that of `Schema.default`. A file of another version
is read under these names, and events are written under those of the version that is asked for; both follow
``names.txt``, which is the only place that tells versions apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection as Names
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType

import numpy as np

from flashsim_prod.physics.events import Collection, Column, Events, full_name
from flashsim_prod.physics.nanoaod.schema import UNREFINED, Schema, known_versions
from flashsim_prod.physics.nanoaod.versions.derived import DERIVED, Derived
from flashsim_prod.physics.nanoaod.versions.ordering import in_order

#: branches that are known of one version alone and make a file one of it
_ENOUGH_MARKS = 2
_RANGE = re.compile(r"v(\d+)(\.\.)?(?:v(\d+))?")


@dataclass(frozen=True)
class Dialect:
    """The names of a version.

    Attributes
    ----------
    version : str
    renamed : mapping of str to str
        Its own name of each branch that models declare under another one.
    levels : frozenset of str
        Branches, as models declare them, of nested working points whose number it has, and not their bits.
    """

    version: str
    renamed: Mapping[str, str]
    levels: frozenset[str] = frozenset()

    def declared(self, name: str) -> str:
        """The name under which models declare what this version calls `name`."""
        return self._back.get(name, name)

    def own(self, name: str) -> str:
        """What this version calls the branch that models declare as `name`."""
        return self.renamed.get(name, name)

    def made_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """What models declare of what this version calls `names`, and what such follow from."""
        needs = [need for name in names for need in (DERIVED[name].needs if name in DERIVED else (name,))]
        return tuple(dict.fromkeys(self.declared(name) for name in needs))

    def near(self, other: Dialect, branches: Names[str]) -> Dialect:
        """The names of a file of this version where what plays the part that it has in `other` counts.

        So what a version has of the trainings of Run 2 and of Run 3 is told apart.
        """
        chosen = {
            name: other.own(name) if other.own(name) in branches else self.own(name)
            for name in {*self.renamed, *other.renamed}
        }
        renamed = {name: own for name, own in chosen.items() if own != name}
        return Dialect(self.version, renamed, self.levels)

    def in_file(self, branches: Names[str]) -> dict[str, str]:
        """Own name of each branch of a file of this version, by the name that models declare.

        A branch whose name is declared for another thing, that the file has under another name, is left out.
        """
        there = {declared: own for declared, own in self.renamed.items() if own in branches}
        taken = set(there.values())
        return {name: name for name in branches if name not in taken and name not in there} | there

    def as_declared(self, name: str, column: Column) -> Column:
        """What models know of a column that they declare as `name`, from what a file of this version has."""
        if name not in self.levels:
            return column
        return ((1 << column.astype(np.int64)) - 1).astype(column.dtype)

    def as_own(self, name: str, column: Column) -> Column:
        """Undoes `as_declared`."""
        if name not in self.levels:
            return column
        return np.bitwise_count(column).astype(column.dtype)

    @cached_property
    def _back(self) -> Mapping[str, str]:
        return {own: declared for declared, own in self.renamed.items()}


@dataclass(frozen=True)
class Writing:
    """How events made for one version are written as another.

    Attributes
    ----------
    made_for : str
    schema : Schema
        Of the version that is written, with the titles of what is not quite what it has under the name.
    dialect : Dialect
    other : mapping of str to str
        What it has under the same name for another thing, and why; not written.
    otherwise : mapping of str to str
        Collections that it makes otherwise, and what these hold instead.
    """

    made_for: str
    schema: Schema
    dialect: Dialect
    other: Mapping[str, str]
    otherwise: Mapping[str, str]

    def why_not(self, name: str) -> str:
        """Why a branch that models make is not written; empty if it is, or if it is none of theirs."""
        if name in self.other:
            return self.other[name]
        if name not in declared_in(self.made_for).branches or self.dialect.own(name) in self.schema.branches:
            return ""
        return f"{self.schema.version} has no such branch"

    def written(self, events: Events) -> Events:
        """`events` under the names of the version that is written, without what that does not have."""
        if self.schema.version == Schema.default().version == self.made_for:
            return events
        scalars = dict(self._own(events.scalars))
        collections = {}
        for owner, one in events.collections.items():
            full = {full_name(owner, key): column for key, column in one.columns.items()}
            columns = {name.removeprefix(owner).removeprefix("_"): column for name, column in self._own(full)}
            if columns:
                collections[owner] = Collection(one.counts, columns, one.name)
        written = self._with_derived(Events(events.n, scalars, collections), events)
        return in_order(written, self.schema)

    def _own(self, columns: Mapping[str, Column]) -> Iterator[tuple[str, Column]]:
        """Columns by their full names, as the version has them."""
        for name, column in columns.items():
            # what a branch was before it was refined goes by its name
            of = name.removesuffix(UNREFINED)
            if not self.why_not(of):
                yield self.dialect.own(of) + name[len(of) :], self.dialect.as_own(name, column)

    def _with_derived(self, written: Events, events: Events) -> Events:
        """What of the version follows from `events`, which have the names that models declare."""
        for name, one in self.derived.items():
            if not all(events.has_branch(need) for need in one.needs):
                continue
            column = one.formula({need: events.branch(need)[0] for need in one.needs})
            owner, attribute = events.place(one.needs[0])
            if owner in written.collections and attribute in events[owner]:
                added = written[owner].with_columns(**{name.removeprefix(f"{owner}_"): column})
                written = written.with_collections({owner: added})
            else:
                written = written.with_scalars({name: column})
        return written

    @property
    def derived(self) -> Mapping[str, Derived]:
        """What follows from branches that models declare and that the version does not have as they are."""
        return {
            name: one
            for name, one in DERIVED.items()
            if name in self.schema.branches and name not in Schema.default().branches
        }


def find_dialect(version: str) -> Dialect:
    """The names of a version, whether there are tables of it or not."""
    number = _number(version)
    renamed = {own: name for first, last, name, own in _names().renamed if first <= number <= last}
    levels = frozenset(name for first, last, name in _names().levels if first <= number <= last)
    return Dialect(version, renamed, levels)


@cache
def declared_in(version: str) -> Schema:
    """All branches that models of a version can declare: the default version's, and those that it has beside.

    Of a version without tables they are the default version's alone.
    """
    declared = Schema.default()
    if version not in known_versions():
        return declared
    own, dialect = Schema.load(version), find_dialect(version)
    more = {name: one for name, one in own.branches.items() if dialect.declared(name) == name}
    return Schema(
        version,
        MappingProxyType({**more, **declared.branches}),
        MappingProxyType({**own.collections, **declared.collections}),
        own.counter_dtype,
    )


def default_version(energy_tev: float, made_for: str) -> str:
    """The version that is written by default: that of the energy, but none before that of the models."""
    known = known_versions()
    of_energy = [version for version, first in _names().written.items() if first <= energy_tev]
    of_models = [version for version in known if _number(version) >= _number(made_for)]
    wanted = (of_energy[-1], of_models[0] if of_models else known[-1])
    return max(wanted, key=_number)


@cache
def writing(made_for: str, version: str) -> Writing:
    """How events made for the version `made_for` are written as `version`; `RequestError` if unknown."""
    schema, dialect = Schema.load(version), find_dialect(version)
    otherwise = {
        name: f"{what}, where this version has {own}"
        for name, (what, own) in made_otherwise(made_for, version).items()
    }
    made = Schema.load(made_for) if made_for in known_versions() else Schema.default()
    titles = {
        name: made.titles[name]
        for owner in otherwise
        for name in (f"n{owner}", *(one.name for one in made.attributes(owner)))
    }
    return Writing(made_for, schema.called(titles), dialect, other_things(made_for, version), otherwise)


def other_things(made_for: str, version: str) -> dict[str, str]:
    """What, of all that is declared, is another thing in `version` than in `made_for`, and why."""
    return {
        name: why
        for first, pattern, why in _names().other
        if _changed(first, made_for, version)
        for name in Schema.default().branches
        if fnmatchcase(name, pattern)
    }


def made_otherwise(made_for: str, version: str) -> dict[str, tuple[str, str]]:
    """Collections that `version` makes otherwise than `made_for`, and what they hold there and here."""
    return {
        name: (after, before) if _number(version) < first else (before, after)
        for first, name, before, after in _names().otherwise
        if _changed(first, made_for, version)
    }


def _changed(first: int, *versions: str) -> bool:
    """Whether what is so from version `first` on is otherwise in one of two versions."""
    older, newer = sorted(map(_number, versions))
    return older < first <= newer


def version_of(branches: Names[str]) -> str:
    """The version of a file by its branches: the last one that it has some marks of; empty if of none."""
    found = ""
    for version, marks in _names().marks.items():
        if sum(mark in branches for mark in marks) >= _ENOUGH_MARKS:
            found = version
    return found


@dataclass(frozen=True)
class _Names:
    """What ``names.txt`` says; versions as numbers."""

    renamed: tuple[tuple[int, int, str, str], ...]
    levels: tuple[tuple[int, int, str], ...]
    other: tuple[tuple[int, str, str], ...]
    otherwise: tuple[tuple[int, str, str, str], ...]
    marks: Mapping[str, tuple[str, ...]]
    written: Mapping[str, float]


@cache
def _names() -> _Names:
    found = dict(_sections(files(__package__).joinpath("names.txt").read_text(encoding="utf-8")))
    return _Names(
        renamed=tuple((*_range(line[0]), line[1], line[2]) for line in found["renamed"]),
        levels=tuple((*_range(line[0]), line[1]) for line in found["levels"]),
        other=tuple((_number(line[0]), line[1], " ".join(line[2:])) for line in found["other"]),
        otherwise=tuple(_made_otherwise(line) for line in found["made_otherwise"]),
        marks={line[0]: tuple(line[1:]) for line in found["marks"]},
        written={version: float(first) for version, first in found["written"]},
    )


def _made_otherwise(line: list[str]) -> tuple[int, str, str, str]:
    before, _, after = " ".join(line[2:]).partition(" | ")
    return _number(line[0]), line[1], before, after


def _sections(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """The lines of each section, in words."""
    name, lines = "", list[list[str]]()
    for words in (line.split() for line in text.splitlines() if line.strip() and line[0] != "#"):
        if words[0] == "section":
            if name:
                yield name, lines
            name, lines = words[1], []
        else:
            lines.append(words)
    yield name, lines


def _range(text: str) -> tuple[int, int]:
    """First and last version that ``v11..v12`` means; ``v11..`` has no end."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no range of versions; as: v11.., v11..v12")
    first, more, last = match.groups()
    return int(first), int(last) if last else (int(np.iinfo(np.int64).max) if more else int(first))


def _number(version: str) -> int:
    """9 of ``v9``; `ValueError` if it is none."""
    return _range(version)[0]
