"""A draft of a version's tables, made from a file of it and the tables of an older version.

    python -m flashsim_prod.physics.nanoaod.versions.draft FILE.root VERSION

writes the tables into the folder VERSION of the working directory, for the collections and groups that the
default version has. Types, those of counters, too, are the file's. Mantissa bits, titles, legal values and
links are those of the older version where an attribute is old; else bits are those that the values have, the
title is the file's or ``?``, and links go by their names. What is left to whoever reviews the draft before
it goes into ``tables/``: the titles, and the bits of what is seldom filled (it says of how many values they
are).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from flashsim_prod.errors import RequestError
from flashsim_prod.files import appearing_folder, write_whole
from flashsim_prod.physics.events import Column
from flashsim_prod.physics.nanoaod import schema as schemas
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import COUNTER, FULL_PRECISION, TABLES, TYPES, Branch, Schema
from flashsim_prod.physics.nanoaod.versions.names import Dialect, find_dialect, other_things

#: where indices point to, by the beginnings of their names
_TARGETS = {
    "genPartIdx": "GenPart",
    "subGenJetAK8Idx": "SubGenJetAK8",
    "genJetAK8Idx": "GenJetAK8",
    "genJetIdx": "GenJet",
    "subJetIdx": "SubJet",
    "jetIdx": "Jet",
    "svIdx": "SV",
    "electronIdx": "Electron",
    "eleIdx": "Electron",
    "muonIdx": "Muon",
    "muIdx": "Muon",
    "photonIdx": "Photon",
    "fsrPhotonIdx": "FsrPhoton",
}
#: more mantissa bits than this are all of them; with fewer values than this more bits may turn up
_ROUNDED, _FEW = 20, 200
_SHORT = {long: short for short, long in TYPES.items()}
#: what is ours, in every version
_OURS = "FlashSim"


def draft(url: str, version: str) -> dict[str, str]:
    """The texts of a version's tables by name, from a file of it."""
    old, dialect = Schema.default(), _of_the_same(version)
    place = {name: number for number, name in enumerate(old.branches)}
    with NanoFile(url) as file:
        # of the older version's collections and groups, under the names that they have now
        owners = {_owner(dialect.own(name)) for name in old.branches if dialect.own(name) in file.branches}
        mine = [name for name in file.branches if _owner(name) in owners - {""} or name in old.branches]
        mine.sort(key=lambda name: (place.get(dialect.declared(name), len(place)), name))
        events = file.read(mine, 0, file.n_entries)
        found = [_described(name, events.branch(name)[0], file, old, dialect) for name in mine]
        counted = {file.typename(f"n{one}") for one in owners if f"n{one}" in file.branches}
    counters = "int32" if "int32_t" in counted else str(COUNTER)
    sections: dict[str, list[tuple[str, Branch]]] = {}
    for one in [*found, *(one for one in old.branches.values() if one.name.startswith(_OURS))]:
        owner = _owner(one.name)
        sections.setdefault(owner, []).append(
            (one.name.removeprefix(f"{owner}_") if owner else one.name, one)
        )
    texts = {}
    for table in TABLES:
        its = {_owner(dialect.own(name)): None for name in _names_in(table, old)}
        texts[table] = "\n\n".join(
            "\n".join(_section(owner, sections[owner], old)) for owner in its if owner in sections
        )
    texts[TABLES[0]] = f"counters {_SHORT[counters]}\n\n{texts[TABLES[0]]}"
    return {table: f"{text}\n" for table, text in texts.items()}


def _of_the_same(version: str) -> Dialect:
    """The names of a version without those that stand for another thing than the older version's."""
    dialect, other = find_dialect(version), other_things(Schema.default().version, version)
    return replace(dialect, renamed={name: own for name, own in dialect.renamed.items() if name not in other})


def _names_in(table: str, old: Schema) -> list[str]:
    folder = files(schemas.__package__).joinpath("tables", old.version)
    text = folder.joinpath(f"{table}.txt").read_text(encoding="utf-8")
    return list(Schema.parse(old.version, [text]).branches)


def _owner(name: str) -> str:
    """Of which collection or group a branch is; empty for one that stands alone."""
    prefix, mark, _ = name.partition("_")
    return prefix if mark else ""


def _described(name: str, column: Column, file: NanoFile, old: Schema, dialect: Dialect) -> Branch:
    declared, kind = dialect.declared(name), np.dtype(column.dtype)
    known = old.branches.get(declared)
    # a name that is declared for what the version has under another one is of another thing
    if known is not None and dialect.own(declared) == name:
        finer = known.precision is not None and used_bits(column) > known.precision
        return replace(
            known, name=name, dtype=kind, precision=used_bits(column) if finer else known.precision
        )
    attribute = name.partition("_")[2]
    target = next((to for start, to in _TARGETS.items() if attribute.startswith(start)), None)
    links = (target,) if target is not None and kind.kind == "i" else ()
    bits = used_bits(column) if kind.kind == "f" else FULL_PRECISION
    title = file.title(name).strip() or "?"
    if kind.kind == "f" and len(column) < _FEW:
        title += f" (bits of {len(column)} values)"
    return Branch(name, None, kind, title, bits if bits <= _ROUNDED else None, None, links)


def used_bits(column: Column) -> int:
    """Mantissa bits that the values of a float32 column have: up to the last one that is set in any."""
    patterns = column.astype(np.float32).view(np.uint32)
    pattern = int(np.bitwise_or.reduce(patterns, initial=0)) & ((1 << FULL_PRECISION) - 1)
    return FULL_PRECISION - ((pattern & -pattern).bit_length() - 1) if pattern else 0


def _section(owner: str, branches: list[tuple[str, Branch]], old: Schema) -> Iterator[str]:
    """A heading, and a line for each branch."""
    if not owner:
        yield "plain"
    else:
        title = old.collections.get(owner)
        yield f"collection {owner}  {title}" if title else f"group {owner}"
    width = max(18, *(len(name) for name, _ in branches))
    for name, one in branches:
        yield f"{name:{width}} {_SHORT[str(one.dtype)]:4} {_detail(one):10} {one.title}"


def _detail(one: Branch) -> str:
    if one.links:
        return f"->{'|'.join(one.links)}"
    if one.legal is not None:
        return f"{{{','.join(map(str, one.legal))}}}"
    if one.dtype.kind == "f":
        return "full" if one.precision is None else str(one.precision)
    return "-"


def write_draft(url: str, version: str, folder: Path) -> None:
    """The tables of `draft` as files of `folder`; `RequestError` if that is there already."""
    taken = RequestError(f"{folder} exists; remove it, or go elsewhere")
    if folder.exists():
        raise taken
    texts = draft(url, version)
    with appearing_folder(folder, taken) as temporary:
        for table, text in texts.items():
            write_whole(temporary / f"{table}.txt", text)


if __name__ == "__main__":
    write_draft(sys.argv[1], sys.argv[2], Path(sys.argv[2]))
