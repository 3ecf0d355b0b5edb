"""Files that cannot be used give one clear line of the right class."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from flashsim_prod.errors import NoSpaceError, StateError, StorageError
from flashsim_prod.grid import database
from flashsim_prod.grid.database import Database

MARK = 0x54455354
FIRST = ("CREATE TABLE things (name TEXT)",)
SECOND = ("ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 1",)


def opened(path: Path, *schema: tuple[str, ...]) -> Database:
    return Database(path, "ledger", MARK, schema or (FIRST,))


def fill(one: Database, rows: int = 2000) -> None:
    with one.writing() as db:
        db.executemany("INSERT INTO things (name) VALUES (?)", (("x" * 1000,) for _ in range(rows)))


def size_of(one: Database) -> int:
    with one.reading() as db:
        return int(db.execute("SELECT count(*) FROM things").fetchone()[0])


def test_schema_is_brought_up_to_date_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(opened(path, FIRST)) as one:
        fill(one, 3)
    for _ in range(2):
        with closing(opened(path, FIRST, SECOND)) as two, two.reading() as db:
            assert db.execute("SELECT sum(size) FROM things").fetchone()[0] == 3
    with pytest.raises(StateError, match=r"x\.sqlite was written by a newer flashsim-prod \(schema 2"):
        opened(path, FIRST)


def test_what_fails_is_rolled_back(tmp_path: Path) -> None:
    def fail_midway(one: Database) -> None:
        with one.writing() as db:
            db.execute("INSERT INTO things VALUES ('x')")
            raise KeyError

    with closing(opened(tmp_path / "x.sqlite")) as one:
        with pytest.raises(KeyError):
            fail_midway(one)
        assert size_of(one) == 0
        fill(one, 1)
        assert size_of(one) == 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("not a database, but long enough to look at: " * 100)
    with pytest.raises(StateError, match=r"text\.sqlite is damaged"):
        opened(text)
    assert text.read_text().startswith("not a database")

    foreign = tmp_path / "foreign.sqlite"
    with closing(sqlite3.connect(foreign)) as db, db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StateError, match="no ledger"):
        opened(foreign)


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(opened(path)) as one:
        fill(one)
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(path.stat().st_size - 4096))
    with closing(opened(path)) as one, pytest.raises(StateError, match="damaged"):
        size_of(one)


def test_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="making the folder"):
        opened(tmp_path / "file" / "home" / "x.sqlite")
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(StorageError, match=r"folder\.sqlite cannot be opened"):
        opened(tmp_path / "folder.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_read_only_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be opened or written"):
        opened(tmp_path / "x.sqlite")


def test_full_database_keeps_what_it_had(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "x.sqlite")) as one:
        fill(one, 10)
        with one.reading() as db:
            db.execute("PRAGMA max_page_count = 100")
        with pytest.raises(NoSpaceError, match="disk is full"):
            fill(one)
        assert size_of(one) == 10


def test_really_full_disk(tiny_disk: Path) -> None:
    with closing(opened(tiny_disk / "x.sqlite")) as one:
        fill(one, 10)
        with pytest.raises(NoSpaceError, match="disk is full"):
            fill(one)
        assert size_of(one) == 10
    (tiny_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(tiny_disk).free // 4096 * 4096))
    with pytest.raises(NoSpaceError):
        opened(tiny_disk / "y.sqlite")


def test_waiting_for_another_command_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    with closing(opened(tmp_path / "x.sqlite")) as one, closing(opened(tmp_path / "x.sqlite")) as other:
        with one.writing(), pytest.raises(StorageError, match="another command held it"):
            fill(other, 1)
        fill(other, 1)


def test_opening_waits_for_a_command_that_writes(tmp_path: Path) -> None:
    # the switch to write-ahead mode does not wait by itself
    path = tmp_path / "x.sqlite"
    opened(path).close()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO things VALUES ('x')")
        commit = threading.Timer(0.2, other.execute, ("COMMIT",))
        commit.start()
        with closing(opened(path)) as one:
            assert size_of(one) == 1
        commit.join()


def _held(folder: Path) -> dict[str, tuple[int, int]]:
    return {one.name: (one.stat().st_size, one.stat().st_mtime_ns) for one in folder.iterdir()}


def test_what_cannot_be_written_is_read_with_what_was_written_ahead(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(opened(path)) as writer:
        fill(writer, 5)
        # still open, so what was written is in the log beside the file alone
        assert path.with_name("x.sqlite-wal").stat().st_size > 0
        before = _held(tmp_path)
        with closing(Database(path, "ledger", MARK, (FIRST, SECOND), read_only=True)) as reader:
            assert size_of(reader) == 5
            with pytest.raises(StorageError, match=rf"ledger {path} cannot be opened or written"):
                fill(reader, 1)
        assert _held(tmp_path) == before


def test_nothing_there_is_nothing_to_read(tmp_path: Path) -> None:
    with closing(
        Database(tmp_path / "none" / "x.sqlite", "ledger", MARK, (FIRST,), read_only=True)
    ) as reader:
        assert size_of(reader) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StateError, match=f"{tmp_path / 'x.sqlite'} is damaged"):
        Database(tmp_path / "x.sqlite", "ledger", MARK, (FIRST,), read_only=True)
