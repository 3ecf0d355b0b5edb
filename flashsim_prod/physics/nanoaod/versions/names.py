"""What each version of NanoAOD calls what, and which version a file is of.

Models declare attributes under the names of one version, that of `Schema.default`. A file of another version
is read under these names, and events are written under those of the version that is asked for; both follow
``names.txt``, which is the only place that tells versions apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

import numpy as np

from flashsim_prod.physics.events import Collection, Events, full_name
from flashsim_prod.physics.nanoaod.schema import Schema

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
    """

    version: str
    renamed: Mapping[str, str]

    def declared(self, name: str) -> str:
        """The name under which models declare what this version calls `name`."""
        return self._back.get(name, name)

    def own(self, name: str) -> str:
        """What this version calls the branch that models declare as `name`."""
        return self.renamed.get(name, name)

    def in_file(self, branches: Names[str]) -> dict[str, str]:
        """Own name of each branch of a file of this version, by the name that models declare.

        A branch whose name is declared for another thing, that the file has under another name, is left out.
        """
        there = {declared: own for declared, own in self.renamed.items() if own in branches}
        taken = set(there.values())
        return {name: name for name in branches if name not in taken and name not in there} | there

    @property
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
        """Why a declared branch is not written; empty if it is."""
        if name in self.other:
            return self.other[name]
        return "" if self.dialect.own(name) in self.schema.branches else "gone"

    def written(self, events: Events) -> Events:
        """`events` under the names of the version that is written, without what that does not have."""
        if self.made_for == self.schema.version:
            return events
        scalars = {
            self.dialect.own(name): column for name, column in events.scalars.items() if not self._why(name)
        }
        collections = {}
        for owner, one in events.collections.items():
            columns = {
                self.dialect.own(full_name(owner, key)).removeprefix(owner).removeprefix("_"): column
                for key, column in one.columns.items()
                if not self._why(full_name(owner, key))
            }
            if columns:
                collections[owner] = Collection(one.counts, columns, one.name)
        return Events(events.n, scalars, collections)

    def _why(self, name: str) -> str:
        """Why a branch is not written; those that no version declares are carried as they are."""
        return self.why_not(name) if name in Schema.load(self.made_for).branches else ""


def find_dialect(version: str) -> Dialect:
    """The names of a version, whether there are tables of it or not."""
    number = _number(version)
    return Dialect(version, {declared: own for first, last, own, declared in _names().renamed if first <= number <= last})


@cache
def writing(made_for: str, version: str) -> Writing:
    """How events made for the version `made_for` are written as `version`; `RequestError` for unknown ones."""
    schema, dialect = Schema.load(version), find_dialect(version)
    between = sorted((_number(made_for), _number(version)))
    declared = Schema.load(made_for)

    def changed(first: int) -> bool:
        return between[0] < first <= between[1]

    other = {
        name: why
        for first, pattern, why in _names().other
        if changed(first)
        for name in declared.branches
        if fnmatchcase(name, pattern)
    }
    otherwise = {name: what for first, name, what in _names().otherwise if changed(first)}
    return Writing(made_for, schema.titled(declared, otherwise), dialect, other, otherwise)


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
    other: tuple[tuple[int, str, str], ...]
    otherwise: tuple[tuple[int, str, str], ...]
    marks: Mapping[str, tuple[str, ...]]


@cache
def _names() -> _Names:
    found = dict(_sections(files(__package__).joinpath("names.txt").read_text(encoding="utf-8")))
    return _Names(
        renamed=tuple((*_range(line[0]), line[1], line[2]) for line in found["renamed"]),
        other=tuple((_number(line[0]), line[1], " ".join(line[2:])) for line in found["other"]),
        otherwise=tuple((_number(line[0]), line[1], " ".join(line[2:])) for line in found["made_otherwise"]),
        marks={line[0]: tuple(line[1:]) for line in found["marks"]},
    )


def _sections(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """The lines of each section, in words."""
    name, lines = "", []
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
