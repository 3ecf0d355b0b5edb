"""Stage-out: whole and verified under the final name, or not there at all."""

from __future__ import annotations

import errno
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from flashsim_prod.core.site import StorageRules
from flashsim_prod.errors import ConfigError, NoSpaceError, RequestError, StorageError
from flashsim_prod.grid.storage import atomic, local
from flashsim_prod.grid.storage.checksums import file_checksums
from flashsim_prod.grid.storage.local import LocalStorage
from flashsim_prod.grid.storage.opening import open_storage

LFN = "/store/mc/Era/Primary/NANOAODSIM/String-v1/000000/file.root"
CONTENT = bytes(range(256)) * 100


@pytest.fixture
def store(tmp_path: Path) -> LocalStorage:
    return LocalStorage("T3_Local", tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "output.root"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def everything_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("move", [False, True])
def test_put_brings_the_file_and_nothing_else(store: LocalStorage, source: Path, move: bool) -> None:
    expected = file_checksums(source)
    pfn = store.put(source, LFN, expected, move=move)

    assert pfn == store.pfn(LFN) == str(store.prefix) + LFN
    assert Path(pfn).read_bytes() == CONTENT
    assert store.local_path(LFN) == Path(pfn)
    assert store.stat(LFN) == len(CONTENT)
    assert store.checksums(LFN) == expected
    assert everything_in(store.prefix) == ["file.root"]
    assert source.exists() is not move


def test_move_renames_where_it_can(store: LocalStorage, source: Path) -> None:
    inode = source.stat().st_ino
    store.put(source, LFN, file_checksums(source), move=True)
    assert Path(store.pfn(LFN)).stat().st_ino == inode


@pytest.mark.parametrize("overwrite", [False, True])
def test_move_copies_from_one_file_system_to_another(
    store: LocalStorage, source: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    real = local.publish

    def across(path: Path, target: Path, *, overwrite: bool) -> None:
        if path == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(path, target, overwrite=overwrite)

    monkeypatch.setattr(local, "publish", across)
    store.put(source, LFN, file_checksums(source), move=True, overwrite=overwrite)
    assert Path(store.pfn(LFN)).read_bytes() == CONTENT
    assert not source.exists()


def test_file_system_without_hard_links(
    store: LocalStorage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store.put(source, LFN, file_checksums(source))
    assert everything_in(store.prefix) == ["file.root"]


@pytest.mark.parametrize("move", [False, True])
def test_put_again_changes_nothing(store: LocalStorage, source: Path, move: bool) -> None:
    expected = file_checksums(source)
    before = Path(store.put(source, LFN, expected)).stat()
    store.put(source, LFN, expected, move=move)
    after = Path(store.pfn(LFN)).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert source.exists() is not move


def test_move_again_after_the_source_is_gone(store: LocalStorage, source: Path) -> None:
    expected = file_checksums(source)
    store.put(source, LFN, expected, move=True)
    assert store.put(source, LFN, expected, move=True) == store.pfn(LFN)


@pytest.mark.parametrize("move", [False, True])
def test_other_contents_are_kept_unless_told_otherwise(store: LocalStorage, source: Path, move: bool) -> None:
    store.put(source, LFN, file_checksums(source))
    source.write_bytes(CONTENT[::-1])  # of the same size
    expected = file_checksums(source)

    with pytest.raises(StorageError, match=LFN):
        store.put(source, LFN, expected, move=move)
    assert Path(store.pfn(LFN)).read_bytes() == CONTENT
    assert source.exists()

    store.put(source, LFN, expected, overwrite=True, move=move)
    assert Path(store.pfn(LFN)).read_bytes() == CONTENT[::-1]
    assert everything_in(store.prefix) == ["file.root"]


@pytest.mark.parametrize("move", [False, True])
def test_damaged_source_never_gets_the_name(store: LocalStorage, source: Path, move: bool) -> None:
    expected = file_checksums(source)
    source.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(StorageError, match="expected"):
        store.put(source, LFN, expected, move=move)
    assert everything_in(store.prefix) == []


def test_copy_that_reads_back_differently_never_gets_the_name(
    store: LocalStorage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = file_checksums(source)

    def damage(stream: object) -> None:
        stream.seek(10)  # type: ignore[attr-defined]
        stream.write(b"?")  # type: ignore[attr-defined]
        stream.flush()  # type: ignore[attr-defined]

    monkeypatch.setattr(atomic, "to_disk", damage)
    with pytest.raises(StorageError, match="read back"):
        store.put(source, LFN, expected)
    assert everything_in(store.prefix) == []


def test_writers_of_the_same_file_agree_and_of_different_ones_one_wins(
    store: LocalStorage, tmp_path: Path
) -> None:
    start = Barrier(4)

    def write(number: int, content: bytes, lfn: str) -> bool:
        path = tmp_path / f"{number}.root"
        path.write_bytes(content)
        expected = file_checksums(path)
        start.wait()
        try:
            store.put(path, lfn, expected)
        except StorageError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        for turn in range(10):
            same = pool.map(write, range(4), [CONTENT] * 4, [f"/store/same/{turn}"] * 4)
            assert list(same) == [True] * 4
            contents = [CONTENT + bytes([number]) for number in range(4)]
            won = list(pool.map(write, range(4), contents, [f"/store/other/{turn}"] * 4))
            assert won.count(True) == 1
            assert Path(store.pfn(f"/store/other/{turn}")).read_bytes() == contents[won.index(True)]
    assert len(everything_in(store.prefix)) == 20


COPY_FROM_PIPE = """
import sys
from pathlib import Path
from flashsim_prod.grid.storage.checksums import Checksums
from flashsim_prod.grid.storage.local import LocalStorage
store = LocalStorage("T3_Local", Path(sys.argv[1]))
store.put(Path(sys.argv[2]), sys.argv[3], Checksums(1, "0" * 8, "0" * 64))
"""


def test_killed_in_the_middle_of_the_copy(
    store: LocalStorage, source: Path, tmp_path: Path, start_python
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start_python(COPY_FROM_PIPE, store.prefix, pipe, LFN)
    with pipe.open("wb", buffering=0) as writer:
        writer.write(CONTENT)
        _wait_for(lambda: len(everything_in(store.prefix)) == 1)
        assert store.clean("/store/mc") == 0, "the copy of a living writer must stay"
        process.kill()
        process.wait()

    assert store.stat(LFN) is None
    assert list(store.listing("/store")) == []
    assert store.clean("/store/mc") == 1
    assert everything_in(store.prefix) == []
    assert not (store.prefix / "store" / "mc").exists(), "empty folders go too"
    store.put(source, LFN, file_checksums(source))
    assert store.stat(LFN) == len(CONTENT)


STOP_BEFORE_RENAME = """
import sys, time
from pathlib import Path
from flashsim_prod.grid.storage import local
from flashsim_prod.grid.storage.checksums import file_checksums
def stop(*_, **__):
    print("copied", flush=True)
    time.sleep(60)
local.publish = stop
source = Path(sys.argv[2])
local.LocalStorage("T3_Local", Path(sys.argv[1])).put(source, sys.argv[3], file_checksums(source))
"""


def test_killed_between_copy_and_rename(store: LocalStorage, source: Path, start_python) -> None:
    process = start_python(STOP_BEFORE_RENAME, store.prefix, source, LFN)
    assert process.stdout.readline() == "copied\n"
    process.kill()
    process.wait()

    assert store.stat(LFN) is None
    store.put(source, LFN, file_checksums(source))
    assert store.clean("/store/mc") == 1
    assert everything_in(store.prefix) == ["file.root"]


def test_killed_between_the_two_steps_of_a_move(store: LocalStorage, source: Path) -> None:
    # the file has both names then
    target = Path(store.pfn(LFN))
    target.parent.mkdir(parents=True)
    os.link(source, target)
    store.put(source, LFN, file_checksums(source), move=True)
    assert not source.exists()
    assert target.read_bytes() == CONTENT


def test_copies_from_other_machines_are_left_alone_for_a_day(store: LocalStorage) -> None:
    folder = store.prefix / "store" / "mc"
    folder.mkdir(parents=True)
    path = folder / f".file.root.elsewhere-{socket.gethostname().partition('.')[0]}.{'0' * 32}.part"
    path.write_bytes(b"half")
    assert store.clean("/store/mc") == 0
    two_days_ago = time.time() - 2 * 86400
    os.utime(path, (two_days_ago, two_days_ago))
    assert store.clean("/store/mc") == 1


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_or_quota_is_told_apart(
    store: LocalStorage, source: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    expected = file_checksums(source)

    def full(_: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpaceError, match=LFN):
        store.put(source, LFN, expected)
    assert everything_in(store.prefix) == []


def test_really_full_disk(tiny_disk: Path, source: Path) -> None:
    store = LocalStorage("T3_Local", tiny_disk)
    source.write_bytes(os.urandom(3_000_000))
    with pytest.raises(NoSpaceError, match="free some space"):
        store.put(source, LFN, file_checksums(source))
    assert everything_in(tiny_disk) == []
    source.write_bytes(CONTENT)
    store.put(source, LFN, file_checksums(source))
    assert everything_in(tiny_disk) == ["file.root"]


def test_unwritable_storage(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").touch()
    store = LocalStorage("T3_Local", tmp_path / "file" / "below")
    with pytest.raises(StorageError, match="T3_Local"):
        store.put(source, LFN, file_checksums(source))


def test_fetch_delete_and_listing(store: LocalStorage, source: Path, tmp_path: Path) -> None:
    expected = file_checksums(source)
    names = [f"/store/mc/{folder}/{number}.root" for folder in "ab" for number in range(3)]
    for lfn in names:
        store.put(source, lfn, expected)
    assert list(store.listing("/store/mc")) == names
    assert list(store.listing("/store/elsewhere")) == []

    target = tmp_path / "copy" / "here.root"
    assert store.fetch(names[0], target) == expected
    assert target.read_bytes() == CONTENT
    assert everything_in(target.parent) == ["here.root"]

    store.delete(names[0])
    store.delete(names[0])
    assert list(store.listing("/store")) == names[1:]
    assert store.stat(names[0]) is None
    assert store.local_path(names[0]) is None
    with pytest.raises(StorageError, match=r"a/0\.root"):
        store.fetch(names[0], target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "lfn", ["store/mc/x", "/store/../../etc/passwd", "/x", "", "/store//x", "/store/x/", "/store/mc/\0"]
)
def test_what_is_no_logical_name_is_refused(store: LocalStorage, lfn: str) -> None:
    with pytest.raises(RequestError, match="no logical file name"):
        store.pfn(lfn)


def test_storage_of_a_site(tmp_path: Path) -> None:
    store = open_storage(StorageRules(rse="T3_Local", prefix="{home}/disk"), tmp_path)
    assert store.rse == "T3_Local"
    assert store.pfn("/store/mc/x") == f"{tmp_path}/disk/store/mc/x"
    for prefix in ("{house}/x", "disk", "gsiftp://host//store"):
        with pytest.raises(ConfigError, match="T3_Local"):
            open_storage(StorageRules(rse="T3_Local", prefix=prefix), tmp_path)


def _wait_for(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
