"""The embedded catalogue: one SQLite file beside the ledger."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from flashsim_prod.core.report import LumiRange
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import CatalogError
from flashsim_prod.grid.catalog.base import (
    Block,
    Catalog,
    CatalogFile,
    Container,
    FileEntry,
    Replica,
    Rule,
    merged_metadata,
)
from flashsim_prod.grid.catalog.schema import APPLICATION_ID, SCHEMA
from flashsim_prod.grid.database import Database

#: files declared in one transaction: other commands get their turn in between
_PORTION = 1000
#: what must agree between what is declared and what is known
_COMPARED = ("bytes", "events", "adler32", "sha256")


class LocalCatalog(Catalog):
    """A catalogue in an SQLite file, safe with several commands at once.

    Rules are kept and shown; nothing acts on them, since there is one storage element.

    Parameters
    ----------
    path : Path
        The file (``catalog.sqlite`` in the state folder); made if missing.
    scope : str
        Whose names these are.
    read_only : bool
        Look at a copy; nothing is written.

    Raises
    ------
    StorageError
        If the file cannot be made, opened or written; `NoSpaceError` if the disk is full.
    StateError
        If it is no catalogue, damaged, or of a newer schema.
    """

    kind = "local"

    def __init__(self, path: Path, scope: str = "cms", *, read_only: bool = False) -> None:
        super().__init__(scope)
        self._database = Database(path, "catalogue", APPLICATION_ID, SCHEMA, read_only=read_only)

    def close(self) -> None:
        self._database.close()

    def ensure_container(self, container: str, metadata: Mapping[str, object]) -> None:
        with self._database.writing() as db:
            db.execute(
                "INSERT INTO containers (scope, name, metadata, created) VALUES (?, ?, '{}', ?) "
                "ON CONFLICT DO NOTHING",
                (self.scope, container, time.time()),
            )
            row = self._container(db, container)
            merged = merged_metadata(container, json.loads(row["metadata"]), metadata)
            db.execute("UPDATE containers SET metadata = ? WHERE id = ?", (json.dumps(merged), row["id"]))

    def ensure_block(self, container: str, block: str) -> None:
        with self._database.writing() as db:
            owner = self._container(db, container)["id"]
            db.execute(
                "INSERT INTO blocks (container, scope, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (owner, self.scope, block),
            )
            if self._block(db, block)["container"] != owner:
                raise CatalogError(f"block {block} belongs to another container than {container}")

    def declare(self, block: str, files: Iterable[CatalogFile], rse: str) -> int:
        new = 0
        remaining = iter(files)
        while portion := list(islice(remaining, _PORTION)):
            with self._database.writing() as db:
                new += self._declare(db, self._block(db, block), portion, rse)
        return new

    def repair(self, block: str, file: CatalogFile, rse: str) -> None:
        with self._database.writing() as db:
            owner = self._block(db, block)
            known = self._known(db, [file]).get(file.lfn)
            if known is None:
                raise CatalogError(f"the catalogue has no file {file.lfn}")
            if (known["block"], known["events"]) != (owner["id"], file.events):
                raise CatalogError(
                    f"{file.lfn} is known with {known['events']} events, now it has {file.events}, or it is "
                    f"of another block than {block}; nothing was changed"
                )
            db.execute(
                "UPDATE files SET bytes = ?, adler32 = ?, sha256 = ? WHERE id = ?",
                (file.bytes, file.adler32, file.sha256, known["id"]),
            )
            db.execute(
                "INSERT INTO replicas (file, rse, pfn) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET pfn = excluded.pfn",
                (known["id"], rse, file.pfn),
            )

    def file(self, lfn: str) -> FileEntry | None:
        with self._database.reading() as db:
            row = db.execute(_ONE_FILE, (self.scope, lfn)).fetchone()
        return None if row is None else _to_file(row, row["block_name"])

    def all_replicas(self) -> Iterator[tuple[str, str | None]]:
        """Logical name of every file of every scope, with where each of its replicas is, if it has any."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT lfn, pfn FROM files LEFT JOIN replicas ON replicas.file = files.id"
            ).fetchall()
        return ((row["lfn"], row["pfn"]) for row in rows)

    def close_block(self, block: str) -> None:
        with self._database.writing() as db:
            db.execute("UPDATE blocks SET is_open = 0 WHERE id = ?", (self._block(db, block)["id"],))

    def add_rule(
        self, container: str, rse_expression: str, *, copies: int = 1, lifetime_s: float | None = None
    ) -> None:
        expires = None if lifetime_s is None else time.time() + lifetime_s
        with self._database.writing() as db:
            db.execute(
                "INSERT INTO rules (container, rse_expression, copies, expires) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (self._container(db, container)["id"], rse_expression, copies, expires),
            )

    def containers(self) -> list[Container]:
        with self._database.reading() as db:
            rows = db.execute(f"{_CONTAINERS} WHERE c.scope = ? GROUP BY c.id ORDER BY c.name", (self.scope,))
            return [_to_container(row) for row in rows]

    def container(self, name: str) -> Container:
        with self._database.reading() as db:
            known = self._container(db, name)["id"]
            return _to_container(db.execute(f"{_CONTAINERS} WHERE c.id = ?", (known,)).fetchone())

    def blocks(self, container: str) -> list[Block]:
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT b.name, b.is_open, {_SUMS} FROM blocks b LEFT JOIN files f ON f.block = b.id "
                "WHERE b.container = ? GROUP BY b.id ORDER BY b.id",
                (self._container(db, container)["id"],),
            )
            return [Block(**{**dict(row), "is_open": bool(row["is_open"])}) for row in rows]

    def files(self, container: str) -> Iterator[FileEntry]:
        for block in self.blocks(container):
            with self._database.reading() as db:
                rows = db.execute(_FILES, (self._block(db, block.name)["id"],)).fetchall()
            for row in rows:
                yield _to_file(row, block.name)

    def rules(self, container: str) -> list[Rule]:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM rules WHERE container = ? ORDER BY id", (self._container(db, container)["id"],)
            )
            return [
                Rule(container, row["rse_expression"], row["copies"], _time_or_none(row["expires"]))
                for row in rows
            ]

    def _container(self, db: sqlite3.Connection, name: str) -> sqlite3.Row:
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM containers WHERE scope = ? AND name = ?", (self.scope, name)
        ).fetchone()
        if row is None:
            rows = db.execute("SELECT name FROM containers WHERE scope = ?", (self.scope,))
            known = [other["name"] for other in rows]
            hint = nearest(name, known) if known else "; there are none yet"
            raise CatalogError(f"the catalogue has no dataset '{name}'{hint}")
        return row

    def _block(self, db: sqlite3.Connection, name: str) -> sqlite3.Row:
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM blocks WHERE scope = ? AND name = ?", (self.scope, name)
        ).fetchone()
        if row is None:
            raise CatalogError(f"the catalogue has no block '{name}'")
        return row

    def _declare(self, db: sqlite3.Connection, block: sqlite3.Row, files: list[CatalogFile], rse: str) -> int:
        known = self._known(db, files)
        new: dict[str, CatalogFile] = {}
        for file in files:
            if file.lfn in known:
                _compare(file, known[file.lfn], block)
            elif new.setdefault(file.lfn, file) != file:
                raise CatalogError(f"{file.lfn} is declared twice, with different contents")
        if new and not block["is_open"]:
            raise CatalogError(f"{next(iter(new))} is new, but its block {block['name']} is closed")
        db.executemany(
            "INSERT INTO files (block, scope, lfn, bytes, events, adler32, sha256, lumis) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ((block["id"], self.scope, *_columns(file)) for file in new.values()),
        )
        db.executemany(
            "INSERT INTO replicas (file, rse, pfn) SELECT id, ?, ? FROM files WHERE scope = ? AND lfn = ? "
            "ON CONFLICT DO UPDATE SET pfn = excluded.pfn",
            ((rse, file.pfn, self.scope, file.lfn) for file in files),
        )
        return len(new)

    def _known(self, db: sqlite3.Connection, files: list[CatalogFile]) -> dict[str, sqlite3.Row]:
        rows = db.execute(
            "SELECT * FROM files WHERE scope = ? AND lfn IN (SELECT value FROM json_each(?))",
            (self.scope, json.dumps([file.lfn for file in files])),
        )
        return {row["lfn"]: row for row in rows}


_SUMS = "count(f.id) AS files, coalesce(sum(f.events), 0) AS events, coalesce(sum(f.bytes), 0) AS bytes"

_CONTAINERS = f"""
    SELECT c.scope, c.name, c.created, c.metadata, {_SUMS},
           (SELECT count(*) FROM blocks WHERE container = c.id) AS blocks,
           (SELECT count(*) FROM blocks WHERE container = c.id AND is_open) AS open_blocks
    FROM containers c LEFT JOIN blocks b ON b.container = c.id LEFT JOIN files f ON f.block = b.id
"""

_FILES = """
    SELECT f.*, (SELECT json_group_array(json_array(rse, pfn)) FROM replicas WHERE file = f.id) AS replicas
    FROM files f WHERE f.block = ? ORDER BY f.lfn
"""

_ONE_FILE = """
    SELECT f.*, b.name AS block_name,
           (SELECT json_group_array(json_array(rse, pfn)) FROM replicas WHERE file = f.id) AS replicas
    FROM files f JOIN blocks b ON b.id = f.block WHERE f.scope = ? AND f.lfn = ?
"""


def _compare(file: CatalogFile, known: sqlite3.Row, block: sqlite3.Row) -> None:
    for what in _COMPARED:
        if getattr(file, what) != known[what]:
            raise CatalogError(
                f"{file.lfn} is known with {what} {known[what]}, now it has {getattr(file, what)}; "
                "nothing was overwritten"
            )
    if known["block"] != block["id"]:
        raise CatalogError(f"{file.lfn} belongs to another block than {block['name']}")


def _columns(file: CatalogFile) -> tuple[object, ...]:
    lumis = json.dumps([[lumi.run, lumi.first, lumi.last] for lumi in file.lumis])
    return (file.lfn, file.bytes, file.events, file.adler32, file.sha256, lumis)


def _to_container(row: sqlite3.Row) -> Container:
    created = datetime.fromtimestamp(row["created"], UTC)
    return Container(**{**dict(row), "created": created, "metadata": json.loads(row["metadata"])})


def _to_file(row: sqlite3.Row, block: str) -> FileEntry:
    return FileEntry(
        lfn=row["lfn"],
        block=block,
        bytes=row["bytes"],
        events=row["events"],
        adler32=row["adler32"],
        sha256=row["sha256"],
        lumis=tuple(
            LumiRange(run=run, first=first, last=last) for run, first, last in json.loads(row["lumis"])
        ),
        replicas=tuple(Replica(rse, pfn) for rse, pfn in sorted(json.loads(row["replicas"]))),
    )


def _time_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
