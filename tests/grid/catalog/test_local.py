"""A registration ends in the same state however often, by however many, and wherever it was cut short."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flashsim_prod.core.report import LumiRange
from flashsim_prod.errors import CatalogError, StateError, StorageError
from flashsim_prod.grid.catalog import local
from flashsim_prod.grid.catalog.base import Block, Catalog, CatalogFile, Replica, Rule
from flashsim_prod.grid.catalog.local import LocalCatalog

NAME = "/TT_13TeV/FlashSim-RefDet_x10-v1/NANOAODSIM"
FIRST, SECOND = f"{NAME}#1", f"{NAME}#2"
RSE = "T3_Local"


def file(number: int) -> CatalogFile:
    return CatalogFile(
        lfn=f"/store/mc/{number}.root",
        pfn=f"/disk/store/mc/{number}.root",
        bytes=1000 + number,
        events=10,
        adler32=f"{number:08x}",
        sha256=f"{number:064x}",
        lumis=(LumiRange(run=1, first=number + 1, last=number + 1),),
    )


def register(catalog: Catalog, blocks: int = 3, files: int = 4) -> None:
    """A whole dataset, as production registers it."""
    catalog.ensure_container(NAME, {"seed": 17, "card": "ttbar"})
    for number in range(blocks):
        block = f"{NAME}#{number}"
        catalog.ensure_block(NAME, block)
        catalog.declare(block, [file(number * files + one) for one in range(files)], RSE)
        catalog.close_block(block)
    catalog.add_rule(NAME, RSE, copies=1)


def contents(path: Path) -> list[str]:
    """All that the catalogue holds but the time it was made."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE containers SET created = 0")
        return [line for line in db.iterdump() if line.startswith("INSERT")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(path: Path) -> Iterator[LocalCatalog]:
    with LocalCatalog(path) as opened:
        yield opened


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[str]:
    path = tmp_path / "undisturbed.sqlite"
    with LocalCatalog(path) as catalog:
        register(catalog)
    return contents(path)


def test_what_was_registered_is_read_back(catalog: LocalCatalog) -> None:
    register(catalog)
    container = catalog.container(NAME)
    assert catalog.containers() == [container]
    assert (container.scope, container.name) == ("cms", NAME)
    assert container.metadata == {"seed": 17, "card": "ttbar"}
    assert (container.blocks, container.open_blocks, container.files) == (3, 0, 12)
    assert (container.events, container.bytes) == (120, sum(1000 + number for number in range(12)))
    assert abs(container.created - datetime.now(UTC)) < timedelta(minutes=1)
    assert catalog.blocks(NAME)[1] == Block(SECOND.replace("#2", "#1"), False, 4, 40, 4022)
    assert catalog.rules(NAME) == [Rule(NAME, RSE, 1, None)]
    entries = list(catalog.files(NAME))
    assert [entry.lfn for entry in entries[:4]] == [f"/store/mc/{number}.root" for number in range(4)]
    told, known = file(5), entries[5]
    assert (known.lfn, known.bytes, known.events) == (told.lfn, told.bytes, told.events)
    assert (known.adler32, known.sha256, known.lumis) == (told.adler32, told.sha256, told.lumis)
    assert known.replicas == (Replica(RSE, told.pfn),)
    assert known.block == f"{NAME}#1"


def test_a_second_time_changes_nothing(catalog: LocalCatalog, path: Path, undisturbed: list[str]) -> None:
    register(catalog)
    assert contents(path) == undisturbed
    register(catalog)
    assert contents(path) == undisturbed


REGISTER = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[2]).parent))
from test_local import register
from flashsim_prod.grid.catalog.local import LocalCatalog
print("ready", flush=True)
sys.stdin.readline()
with LocalCatalog(Path(sys.argv[1])) as catalog:
    while True:
        register(catalog)
        if sys.argv[3] == "once":
            break
"""


def test_two_commands_at_once(path: Path, undisturbed: list[str], start_python) -> None:
    processes = [start_python(REGISTER, path, __file__, "once") for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert contents(path) == undisturbed


def test_killed_anywhere_and_done_again(tmp_path: Path, undisturbed: list[str], start_python) -> None:
    pauses = random.Random(3)
    for turn in range(4):
        path = tmp_path / f"{turn}.sqlite"
        process = start_python(REGISTER, path, __file__, "for ever")
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(pauses.uniform(0.0, 0.06))
        assert process.poll() is None, "the program failed by itself"
        process.kill()
        process.wait()
        with LocalCatalog(path) as catalog:
            register(catalog)
        assert contents(path) == undisturbed


@pytest.mark.parametrize("steps", range(11))
def test_cut_short_after_any_call_and_done_again(
    catalog: LocalCatalog, path: Path, undisturbed: list[str], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    class Cut(Exception):
        pass

    left = steps

    def limited(name: str):
        method = getattr(catalog, name)

        def call(*args: object, **options: object) -> object:
            nonlocal left
            if left == 0:
                raise Cut
            left -= 1
            return method(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("ensure_container", "ensure_block", "declare", "close_block", "add_rule"):
            patch.setattr(catalog, name, limited(name))
        with pytest.raises(Cut):
            register(catalog)
    register(catalog)
    assert contents(path) == undisturbed


@pytest.mark.parametrize(
    ("what", "value"), [("bytes", 5), ("events", 11), ("adler32", "0" * 8), ("sha256", "f" * 64)]
)
def test_disagreement_names_the_file_and_changes_nothing(
    catalog: LocalCatalog, path: Path, undisturbed: list[str], what: str, value: object
) -> None:
    register(catalog)
    other = replace(file(2), **{what: value})
    with pytest.raises(CatalogError, match=rf"/store/mc/2\.root is known with {what}"):
        catalog.declare(f"{NAME}#0", [file(1), other], RSE)
    assert contents(path) == undisturbed


def test_files_that_disagree_with_each_other(catalog: LocalCatalog) -> None:
    catalog.ensure_container(NAME, {})
    catalog.ensure_block(NAME, FIRST)
    with pytest.raises(CatalogError, match=r"/store/mc/1\.root is declared twice"):
        catalog.declare(FIRST, [file(1), replace(file(1), events=7)], RSE)
    assert catalog.declare(FIRST, [file(1), file(1)], RSE) == 1


def test_a_closed_block_takes_no_new_files(catalog: LocalCatalog) -> None:
    catalog.ensure_container(NAME, {})
    catalog.ensure_block(NAME, FIRST)
    assert catalog.declare(FIRST, [file(0), file(1)], RSE) == 2
    catalog.close_block(FIRST)
    catalog.close_block(FIRST)
    assert catalog.declare(FIRST, [file(0)], RSE) == 0
    with pytest.raises(CatalogError, match=r"/store/mc/2\.root is new, but its block .*#1 is closed"):
        catalog.declare(FIRST, [file(0), file(2)], RSE)
    catalog.ensure_block(NAME, FIRST)
    assert not catalog.blocks(NAME)[0].is_open


def test_a_file_belongs_to_one_block_and_a_block_to_one_container(catalog: LocalCatalog) -> None:
    for name in (NAME, NAME.replace("v1", "v2")):
        catalog.ensure_container(name, {})
    for block in (FIRST, SECOND):
        catalog.ensure_block(NAME, block)
    catalog.declare(FIRST, [file(0)], RSE)
    with pytest.raises(CatalogError, match=r"/store/mc/0\.root belongs to another block"):
        catalog.declare(SECOND, [file(0)], RSE)
    with pytest.raises(CatalogError, match="belongs to another container"):
        catalog.ensure_block(NAME.replace("v1", "v2"), FIRST)
    assert [container.files for container in catalog.containers()] == [1, 0]


def test_replicas_at_several_places(catalog: LocalCatalog) -> None:
    catalog.ensure_container(NAME, {})
    catalog.ensure_block(NAME, FIRST)
    catalog.declare(FIRST, [file(0)], RSE)
    assert catalog.declare(FIRST, [replace(file(0), pfn="root://x//0")], "T2_IT_Pisa") == 0
    (entry,) = catalog.files(NAME)
    assert entry.replicas == (Replica("T2_IT_Pisa", "root://x//0"), Replica(RSE, file(0).pfn))
    # the state folder was moved
    catalog.declare(FIRST, [replace(file(0), pfn="/new/0")], RSE)
    (entry,) = catalog.files(NAME)
    assert Replica(RSE, "/new/0") in entry.replicas


def test_metadata_grows_and_never_changes(catalog: LocalCatalog) -> None:
    catalog.ensure_container(NAME, {"seed": 1, "inputs": ("a", "b")})
    catalog.ensure_container(NAME, {"inputs": ["a", "b"], "bundle": "x"})
    assert catalog.container(NAME).metadata == {"seed": 1, "inputs": ["a", "b"], "bundle": "x"}
    with pytest.raises(CatalogError, match="known with seed = 1, now it is said to be 2"):
        catalog.ensure_container(NAME, {"other": 5, "seed": 2})
    assert "other" not in catalog.container(NAME).metadata


def test_rules_with_and_without_an_end(catalog: LocalCatalog) -> None:
    catalog.ensure_container(NAME, {})
    for _ in range(2):
        catalog.add_rule(NAME, RSE)
        catalog.add_rule(NAME, "T2_IT_Pisa|T2_DE_DESY", copies=2, lifetime_s=3600)
    plain, limited = catalog.rules(NAME)
    assert plain == Rule(NAME, RSE, 1, None)
    assert limited.copies == 2
    assert limited.expires is not None
    assert abs(limited.expires - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


def test_scopes_are_apart(path: Path) -> None:
    with LocalCatalog(path) as cms, LocalCatalog(path, "user.me") as mine:
        register(cms)
        assert mine.containers() == []
        register(mine)
        assert [container.scope for container in mine.containers()] == ["user.me"]
        assert mine.container(NAME).files == 12


def test_what_is_unknown(catalog: LocalCatalog) -> None:
    for call in (catalog.container, catalog.blocks, catalog.rules, lambda name: list(catalog.files(name))):
        with pytest.raises(CatalogError, match="there are none yet"):
            call(NAME)
    with pytest.raises(CatalogError, match="no dataset"):
        catalog.ensure_block(NAME, FIRST)
    register(catalog)
    with pytest.raises(CatalogError, match=f"did you mean '{NAME}'"):
        catalog.container(NAME.replace("TT", "TTT"))
    with pytest.raises(CatalogError, match="no block"):
        catalog.declare(f"{NAME}#x", [file(0)], RSE)
    with pytest.raises(CatalogError, match="no block"):
        catalog.close_block(f"{NAME}#x")


def test_files_that_are_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all " * 100)
    with pytest.raises(StateError, match="damaged"):
        LocalCatalog(tmp_path / "text")
    with pytest.raises(StorageError, match="making the folder"):
        LocalCatalog(tmp_path / "text" / "catalog.sqlite")


def test_ten_thousand_files(catalog: LocalCatalog, effort: Callable[[Callable[[], object]], float]) -> None:
    catalog.ensure_container(NAME, {})
    catalog.ensure_block(NAME, FIRST)

    def declare_twice() -> None:
        assert catalog.declare(FIRST, map(file, range(10_000)), RSE) == 10_000
        assert catalog.declare(FIRST, map(file, range(10_000)), RSE) == 0

    assert effort(declare_twice) < 5
    assert catalog.container(NAME).files == 10_000
    assert local._PORTION < 10_000, "else this proves nothing about portions"
