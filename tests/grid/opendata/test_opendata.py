"""Records of a stand-in of the portal, by the real client; copies that are verified and never half."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from flashsim_prod import patience
from flashsim_prod.errors import InputError, RequestError, StorageError, WrongChecksumError
from flashsim_prod.grid.opendata import cache as caching
from flashsim_prod.grid.opendata import portal as asking
from flashsim_prod.grid.opendata.cache import Cache
from flashsim_prod.grid.opendata.portal import Portal, RemoteFile, record_name

DATASET = "/TTTo2L2Nu/RunIISummer20UL16NanoAODv9-106X_mcRun2_asymptotic_v17-v1/NANOAODSIM"


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "peers"))
    import opendata_portal

    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(caching, "BLOCK", 1000)
    with opendata_portal.serve() as served:
        paths = [tmp_path / f"{name}.root" for name in "ab"]
        for number, path in enumerate(paths):
            path.write_bytes(bytes(range(256)) * (10 + number))
        served.add(67801, DATASET, paths)
        yield served


def test_a_record_is_found_by_its_number_and_by_its_dataset(standin: Any) -> None:
    portal = Portal(standin.url, "http")
    found = portal.record(67801)
    assert (found.recid, found.dataset, [one.name for one in found.files]) == (
        67801,
        DATASET,
        ["a.root", "b.root"],
    )
    assert found.files[0].url == f"{standin.url}/eos/opendata/cms/mc/67801/a.root"
    assert (found.files[0].size, len(found.files[0].adler32)) == (2560, 8)
    assert portal.record(DATASET) == found
    by_xrootd = Portal(standin.url, "xrootd").record(67801)
    assert by_xrootd.files[1].url == "root://eospublic.cern.ch//eos/opendata/cms/mc/67801/b.root"


def test_what_is_wrong_with_a_record_is_told_in_a_line(standin: Any, tmp_path: Path) -> None:
    portal = Portal(standin.url, "http")
    for wrong, kind, words in (
        (5, RequestError, r"gives no record 5 \(The record ID number you supplied is not valid"),
        ("/No/Such/NANOAODSIM", RequestError, "gives no dataset /No/Such/NANOAODSIM"),
    ):
        with pytest.raises(kind, match=words) as caught:
            portal.record(wrong)
        assert "\n" not in str(caught.value)
    standin.add(2, DATASET, [tmp_path / "a.root"])
    with pytest.raises(RequestError, match=r"is in several records of .*; say which by its number: --recid"):
        portal.record(DATASET)
    standin.add(3, "/TTTo2L2Nu/RunIISummer20UL16/MINIAODSIM", [tmp_path / "a.root"])
    with pytest.raises(InputError, match="holds MINIAODSIM, no NanoAOD; take another one"):
        portal.record(3)
    standin.add(4, DATASET, [])
    with pytest.raises(InputError, match="lists no ROOT files"):
        portal.record(4)


def test_a_portal_that_is_down_or_silent(standin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="cannot be asked for record 67801: there is no connection"):
        Portal("http://127.0.0.1:1", "http").record(67801)
    standin.status = 503
    with pytest.raises(RequestError, match="try again later"):
        Portal(standin.url, "http").record(67801)
    monkeypatch.setattr(asking, "PATIENCE_S", 0.01)
    with pytest.raises(StorageError, match="does not answer within"):
        Portal(standin.url, "http").record(67801)


@pytest.mark.parametrize(("text", "expected"), [("67801", 67801), (DATASET, DATASET)])
def test_names_of_records(text: str, expected: int | str) -> None:
    assert record_name(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-3", "TTTo2L2Nu", "/A/B/MINIAODSIM", "/A/NANOAODSIM"])
def test_what_is_no_record(text: str) -> None:
    with pytest.raises(RequestError, match="neither a record's number nor the name of a NanoAOD dataset"):
        record_name(text)


def files_of(standin: Any) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"{standin.url}{one['uri'].split('cern.ch/')[1]}", one["size"], one["checksum"][-8:])
        for one in standin.records[67801]["_file_indices"][0]["files"]
    )


def test_a_copy_that_was_interrupted_goes_on(standin: Any, tmp_path: Path) -> None:
    cache, (first, _) = Cache(tmp_path / "cache", 10**6), files_of(standin)
    standin.patience = 2
    with pytest.raises(StorageError, match=r"cannot be read: .*; say it again to go on"):
        cache.fetch(1, first, ())
    assert cache.find(1, first) is None
    (part,) = (tmp_path / "cache" / "1").glob("*.part")
    assert part.stat().st_size == 2000
    standin.patience, standin.asked[:] = 10**9, []
    copy = cache.fetch(1, first, ())
    assert copy.read_bytes() == standin.files["/eos/opendata/cms/mc/67801/a.root"]
    assert len([one for one in standin.asked if one.startswith("/eos")]) <= 2
    standin.asked.clear()
    assert cache.fetch(1, first, ()) == copy
    assert not standin.asked


def test_a_copy_is_what_the_portal_says_or_is_not_there(standin: Any, tmp_path: Path) -> None:
    cache, (first, second) = Cache(tmp_path / "cache", 10**6), files_of(standin)
    place = "/eos/opendata/cms/mc/67801/a.root"
    standin.files[place] = standin.files[place][:-1] + b"!"
    with pytest.raises(WrongChecksumError, match=r"came with adler32 \w{8}, the portal says \w{8}"):
        cache.fetch(1, first, ())
    assert not list((tmp_path / "cache" / "1").glob("a.root*[!k]"))
    standin.files[place] = standin.files[place][:700]
    with pytest.raises(StorageError, match="ends after 700 of 2,560 bytes, truncated there"):
        cache.fetch(1, first, ())
    del standin.files[place.replace("a.root", "b.root")]
    with pytest.raises(InputError, match="does not exist"):
        cache.fetch(1, second, ())


def test_the_cache_keeps_to_its_limit(standin: Any, tmp_path: Path) -> None:
    first, second = files_of(standin)
    small = Cache(tmp_path / "cache", 3000)
    old = small.fetch(1, first, ())
    os.utime(old, (1, 1))
    with pytest.raises(
        RequestError, match=r"may hold 3\.0 kB, and 2\.4 kB more are wanted at once; raise --cache"
    ):
        small.fetch(1, second, [old])
    assert old.exists()
    new = small.fetch(1, second, ())
    assert (old.exists(), new.exists()) == (False, True)
    with pytest.raises(RequestError, match=r"and b\.root has 2\.8 kB"):
        Cache(tmp_path / "cache", 10).fetch(2, second, ())


def test_what_is_left_of_interrupted_copies_makes_room_but_what_is_copied_does_not(
    standin: Any, tmp_path: Path
) -> None:
    first, second = files_of(standin)
    small = Cache(tmp_path / "cache", 3000)
    standin.patience = 1
    with pytest.raises(StorageError):
        small.fetch(1, first, ())
    standin.patience = 10**9
    (part,) = (tmp_path / "cache" / "1").glob("*.part")
    assert part.stat().st_size == 1000
    with (
        FileLock(tmp_path / "cache" / "1" / "a.root.lock"),
        pytest.raises(RequestError, match=r"2\.4 kB more are wanted at once"),
    ):
        small.fetch(1, second, ())
    # of both together there are no more than the limit, so it stays where there is room for what it holds
    Cache(tmp_path / "cache", 4000).fetch(1, second, ())
    assert part.exists()
    (tmp_path / "cache" / "1" / "b.root").unlink()
    small.fetch(1, second, ())
    assert not part.exists()


def test_what_was_copied_of_a_file_that_has_another_size_now_goes(standin: Any, tmp_path: Path) -> None:
    first = files_of(standin)[0]
    cache = Cache(tmp_path / "cache", 10**6)
    standin.patience = 1
    with pytest.raises(StorageError):
        cache.fetch(1, replace(first, size=first.size + 1), ())
    standin.patience = 10**9
    cache.fetch(1, first, ())
    assert {one.name for one in (tmp_path / "cache" / "1").iterdir()} == {"a.root", "a.root.lock"}


def test_two_that_fetch_the_same_file_do_it_once(standin: Any, tmp_path: Path) -> None:
    first = files_of(standin)[0]
    copies: list[Path] = []
    threads = [
        threading.Thread(target=lambda: copies.append(Cache(tmp_path / "c", 10**6).fetch(1, first, ())))
        for _ in range(3)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert len(copies) == 3
    assert len(set(copies)) == 1
    # three parts, and what the library asks of the file itself
    assert len([one for one in standin.asked if one.startswith("/eos")]) <= 6


def test_files_of_an_xrootd_server_are_copied_and_what_it_lacks_is_told(
    standin: Any, xrootd_server: tuple[str, Path], tmp_path: Path, lacking: Callable[[str], None]
) -> None:
    if find_spec("fsspec_xrootd") is None:
        lacking("fsspec-xrootd (pip install 'flashsim-prod[opendata]')")
    url, folder = xrootd_server
    there = folder / "store" / "a.root"
    there.parent.mkdir(exist_ok=True)
    there.write_bytes((tmp_path / "a.root").read_bytes())
    there.chmod(0o644)
    first = files_of(standin)[0]
    cache = Cache(tmp_path / "cache", 10**6)
    copy = cache.fetch(1, replace(first, url=f"{url}/store/a.root"), ())
    assert copy.read_bytes() == there.read_bytes()
    with pytest.raises(InputError, match="does not exist; is the record right"):
        cache.fetch(2, replace(first, url=f"{url}/store/b.root"), ())
