"""SQLite files that several commands use at once: opening, transactions, errors."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from flashsim_prod.errors import FlashSimError, NoSpaceError, StateError, StorageError
from flashsim_prod.files import storage_errors

#: how long a command waits for others to finish their transactions [s]
BUSY_TIMEOUT_S = 30.0
#: how often a file is copied that changes meanwhile
_TRIES = 5


class Database:
    """One SQLite file in write-ahead mode: readers never wait, writers wait for each other.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made if missing.
    what : str
        What the file is, for errors: ``ledger``.
    application_id : int
        The mark by which SQLite files of this kind are known (32 bits).
    schema : sequence of sequences of str
        Statements that lead from each schema version to the next, from the empty file on.
    read_only : bool
        Neither the file nor its folder is written to: what they hold is looked at in a copy. SQLite alone
        cannot read a file in write-ahead mode, or sees but a part of it, where it may not write beside it.

    Raises
    ------
    StorageError
        If the file cannot be made or opened; `NoSpaceError` if the disk is full.
    StateError
        If it is something else, damaged, or of a newer schema.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        application_id: int,
        schema: Sequence[Sequence[str]],
        *,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self.what = what
        with ExitStack() as opening:
            opened = opening.enter_context(_copied(path)) if read_only else path
            with storage_errors(f"making the folder {opened.parent}"):
                opened.parent.mkdir(parents=True, exist_ok=True)
            with self._errors():
                self._connection = sqlite3.connect(opened, timeout=BUSY_TIMEOUT_S, isolation_level=None)
                opening.callback(self._connection.close)
                self._connection.row_factory = sqlite3.Row
                self._prepare(application_id, schema)
                if read_only:
                    self._connection.execute("PRAGMA query_only = ON")
            self._open = opening.pop_all()

    def close(self) -> None:
        """Close the file."""
        with self._errors():
            self._open.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; rolled back if the block raises."""
        with self._errors(), self._transaction("BEGIN IMMEDIATE"):
            yield self._connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the file throughout."""
        with self._errors(), self._transaction("BEGIN"):
            yield self._connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # a full disk makes SQLite roll back by itself
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _prepare(self, application_id: int, schema: Sequence[Sequence[str]]) -> None:
        # switching to write-ahead mode does not wait for other commands that do the same
        for attempt in Retrying(
            retry=retry_if_exception(_is_busy),
            wait=wait_random(0.01, 0.05),
            stop=stop_after_delay(BUSY_TIMEOUT_S),
            reraise=True,
        ):
            with attempt:
                self._connection.execute("PRAGMA journal_mode = WAL")
        # a killed command loses nothing; of what a power cut takes, the jobs' reports still tell
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        # in a transaction, since the version's marks must be of one moment: others may be making them
        with self._transaction("BEGIN"):
            version = self._version(application_id, len(schema))
        if version < len(schema):
            with self._transaction("BEGIN IMMEDIATE"):
                for statements in schema[self._version(application_id, len(schema)) :]:
                    for statement in statements:
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {application_id}")
                self._connection.execute(f"PRAGMA user_version = {len(schema)}")

    def _version(self, application_id: int, newest: int) -> int:
        """The file's schema version, 0 for an empty file; `StateError` if it is none of ours."""
        found = self._pragma("application_id")
        if found == 0 and self._pragma("schema_version") == 0:
            return 0
        if found != application_id:
            raise StateError(f"{self.path} is an SQLite file, but no {self.what}; move it away")
        version = self._pragma("user_version")
        if version > newest:
            raise StateError(
                f"{self.path} was written by a newer flashsim-prod (schema {version}, known up to {newest}); "
                "update flashsim-prod"
            )
        return version

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            known = self._explain(error)
            if known is None:
                raise
            raise known from error

    def _explain(self, error: sqlite3.Error) -> FlashSimError | None:
        """The error of the house's tree that fits, or None for mistakes of the program."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        where = f"{self.what} {self.path}"
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(self.path.parent)):
            return NoSpaceError(f"{where}: the disk is full; free some space, then retry")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StateError(f"{where} is damaged ({error}); restore it from a copy, or move it away")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StorageError(f"{where}: another command held it for {BUSY_TIMEOUT_S:.0f} s; try again")
        if code in _UNREACHABLE:
            return StorageError(
                f"{where} cannot be opened or written ({error}); "
                "point FLASHSIM_PROD_HOME to a folder of yours on a local disk"
            )
        return None


_UNREACHABLE = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PROTOCOL,
    }
)


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A copy of an SQLite file, with what was written ahead of it; of none if there is none."""
    with tempfile.TemporaryDirectory(prefix="flashsim-prod-") as folder, storage_errors(f"reading {path}"):
        copy = Path(folder, path.name)
        for _ in range(_TRIES):
            before = _states(path)
            for source in _parts(path):
                target = Path(folder, source.name)
                target.unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    shutil.copyfile(source, target)
            # another machine may be writing to it
            if _states(path) == before:
                break
        else:
            raise StorageError(f"{path} changes all the time; try again")
        yield copy


def _parts(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(f"{path.name}-wal")


def _states(path: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for part in _parts(path):
        try:
            stat = part.stat()
            found.append((stat.st_size, stat.st_mtime_ns))
        except FileNotFoundError:
            found.append(None)
    return found


def _is_busy(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _is_full(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False
