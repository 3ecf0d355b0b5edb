"""Names, types, titles and stored precision of the branches of a NANOAOD file.

Names and types are those of NanoAODv9 (CMS Run-2 ultra-legacy simulation), without trigger, LHE and HTXS
branches, and with the bookkeeping of oversampling added (``FlashSim_*``). The tables are text files in
``tables/``, one line a branch::

    collection Jet  title of its counter      (then Jet_pt, ... with one value per object)
    group MET                                 (then MET_pt, ... with one value per event)
    plain                                     (then genWeight, ... without prefix)
    name  type  detail  title

`detail` is the number of mantissa bits kept of a float (``full`` keeps all 23), ``{0,2..4}`` the legal
values of a discrete one, ``->Jet`` the collection that an index points to (-1 for nothing), or ``-``.
Mantissa bits are those found in centrally produced NanoAODv9 files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np

from flashsim_prod.errors import EventsError

#: mantissa bits of a float32
FULL_PRECISION = 23

_TYPES = {"f32": "float32", "i32": "int32", "u8": "uint8", "u32": "uint32", "u64": "uint64", "bool": "bool"}
_TABLES = ("event", "generator", "jets", "met", "leptons")
_UNIT = re.compile(r"\[([^\[\]]+)\]$")
_FORM = re.compile(r"(\S+)\s+(f32|i32|u8|u32|u64|bool)\s+(full|-|\d+|\{[^}]*\}|->\S+)\s+(\S.*)")


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
    """

    name: str
    collection: str | None
    dtype: np.dtype[np.generic]
    title: str
    precision: int | None = None
    legal: tuple[int, ...] | None = None
    links: tuple[str, ...] = ()

    @property
    def attribute(self) -> str:
        """The name without the collection's prefix."""
        return self.name.removeprefix(f"{self.collection}_") if self.collection else self.name

    @property
    def unit(self) -> str:
        """What stands in brackets at the end of the title, ``GeV``; empty for pure numbers."""
        match = _UNIT.search(self.title)
        return match[1] if match else ""


@cache
def branches() -> Mapping[str, Branch]:
    """All branches by full name, in the order of the tables."""
    return MappingProxyType({branch.name: branch for table in _TABLES for branch in _parse(_read(table))})


@cache
def collections() -> Mapping[str, str]:
    """Title of every collection, which is that of its counter."""
    heads = (
        line.split(maxsplit=2)
        for table in _TABLES
        for line in _read(table).splitlines()
        if line.startswith("collection ")
    )
    return MappingProxyType({name: title for _, name, title in heads})


def branch(name: str) -> Branch:
    """The branch called `name` in full; `EventsError` if there is none."""
    found = branches().get(name)
    if found is None:
        close = get_close_matches(name, branches(), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise EventsError(f"'{name}' is no branch of the NANOAOD schema{hint}")
    return found


def attributes(collection: str) -> tuple[Branch, ...]:
    """The branches of one collection, in the order of the tables; empty if there is no such collection."""
    return tuple(one for one in branches().values() if one.collection == collection)


def _read(table: str) -> str:
    return files(__package__).joinpath("tables", f"{table}.txt").read_text(encoding="utf-8")


def _parse(text: str) -> Iterator[Branch]:
    prefix, collection = "", None
    for line in filter(None, map(str.strip, text.splitlines())):
        kind, _, rest = line.partition(" ")
        if kind in ("collection", "group", "plain"):
            owner = rest.split(maxsplit=1)[0] if rest else ""
            prefix = f"{owner}_" if owner else ""
            collection = owner if kind == "collection" else None
            continue
        match = _FORM.fullmatch(line)
        if match is None:
            raise ValueError(f"cannot read this line of the schema: {line}")
        name, dtype, detail, title = match.groups()
        precision, legal, links = _detail(detail)
        yield Branch(prefix + name, collection, np.dtype(_TYPES[dtype]), title, precision, legal, links)


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
