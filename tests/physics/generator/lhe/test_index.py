"""Events are found by an index beside their file; whatever is wrong with it, they are the same events."""

from __future__ import annotations

import gzip
import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.errors import InputError, StorageError
from flashsim_prod.physics.generator.kinds import find_kind
from flashsim_prod.physics.generator.lhe import file as lhe_file
from flashsim_prod.physics.generator.lhe import index
from flashsim_prod.physics.generator.lhe.file import count_events, event_texts
from flashsim_prod.physics.generator.lhe.index import find_index, index_path

WriteLhe = Callable[..., Path]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small files indexed, with a mark at every other event."""
    monkeypatch.setattr(index, "LEAST_BYTES", 1)
    monkeypatch.setattr(index, "SPACING", 2000)
    monkeypatch.setattr(lhe_file, "_CHUNK", 3000)


def _all_ranges(path: Path, expected: list[str]) -> None:
    for first, number in ((0, 17), (0, 1), (1, 1), (5, 3), (16, 1), (3, 14), (9, 8)):
        assert list(event_texts(str(path), first, number)) == expected[first : first + number]


@pytest.mark.parametrize("name", ["z.lhe", "z.lhe.gz"])
def test_any_range_is_found_by_the_index(
    write_lhe: WriteLhe, small: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lhe(name)
    expected = list(event_texts(str(path), 0, 17))
    assert not index_path(str(path)).exists()
    assert count_events(str(path)) == 17
    found = find_index(str(path))
    assert found is not None
    assert len(found.events) > 4
    assert (len(found.states) > 0) == name.endswith(".gz")
    # what is before a mark is not looked at
    monkeypatch.setattr(lhe_file, "_head", _fails)
    _all_ranges(path, expected)


def _fails(*_: Any) -> Any:
    raise AssertionError("read from the beginning")


def test_a_gzipped_file_is_entered_in_its_middle(
    write_lhe: WriteLhe, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lhe("z.lhe.gz", 400)
    expected = list(event_texts(str(path), 0, 400))
    assert count_events(str(path)) == 400
    found = find_index(str(path))
    assert found is not None
    # a window of 32 kB for each point at which it can be entered
    assert len(found.states) > 2 << 15
    monkeypatch.setattr(lhe_file, "_head", _fails)
    for first in (399, 0, 203, 77):
        assert next(event_texts(str(path), first, 1)) == expected[first]


@pytest.mark.parametrize("name", ["z.lhe", "z.lhe.gz"])
def test_an_index_of_another_file_or_a_damaged_one_counts_as_none(
    write_lhe: WriteLhe, small: None, name: str
) -> None:
    path = write_lhe(name)
    count_events(str(path))
    beside = index_path(str(path))
    good = beside.read_bytes()
    cut = good[:-1] if name.endswith(".gz") else b"[]"
    for bad in (b"", b"{}\n", cut, good.replace(b'"version": 1', b'"version": 9')):
        beside.write_bytes(bad)
        assert find_index(str(path)) is None
        _all_ranges(path, list(event_texts(str(path), 0, 17)))
    beside.write_bytes(good)
    other = write_lhe(name, change=lambda text: text.replace("501", "502"))
    assert find_index(str(other)) is None
    assert " 502 " in next(event_texts(str(other), 12, 1))


def test_without_the_library_events_are_found_all_the_same(
    write_lhe: WriteLhe, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lhe("z.lhe.gz")
    expected = list(event_texts(str(path), 0, 17))
    count_events(str(path))
    monkeypatch.setitem(sys.modules, "indexed_gzip", None)
    _all_ranges(path, expected)
    index_path(str(path)).unlink()
    assert count_events(str(path)) == 17
    _all_ranges(path, expected)


def test_a_folder_that_cannot_be_written_has_no_index(
    write_lhe: WriteLhe, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("read-only")

    monkeypatch.setattr(index, "write_whole", full)
    path = write_lhe("z.lhe")
    assert count_events(str(path)) == 17
    assert not index_path(str(path)).exists()


@pytest.mark.parametrize("name", ["z.lhe", "z.lhe.gz"])
def test_a_file_that_is_cut_off_gets_no_index(write_lhe: WriteLhe, small: None, name: str) -> None:
    path = write_lhe(name)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"is truncated|is damaged|cannot be read"):
        count_events(str(path))
    assert not index_path(str(path)).exists()


def test_an_index_goes_with_its_file(write_lhe: WriteLhe, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_lhe("a.lhe", 3), write_lhe("b.lhe", 3)]
    kind = find_kind("lhe")
    files = [InputFile(url=str(one), entries=kind.entries(str(one))) for one in paths]
    assert "indices" not in kind.of(files).model_dump()
    monkeypatch.setattr(index, "LEAST_BYTES", 1)
    assert kind.entries(str(paths[1])) == 3
    source: Any = kind.of(files)
    beside = str(index_path(str(paths[1])))
    assert [one.url for one in source.sent] == [*map(str, paths), beside]
    assert [one.url for one in source.sent_for(0, 3)] == [str(paths[0])]
    assert [one.url for one in source.sent_for(2, 2)] == [*map(str, paths), beside]
    assert type(source).model_validate(source.model_dump(mode="json")) == source


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in `tmp_path`."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", ["z.lhe", "z.lhe.gz"])
def test_a_file_is_read_by_its_address(write_lhe: WriteLhe, served: str, name: str) -> None:
    path = write_lhe(name)
    url, kind = f"{served}/{name}", find_kind("lhe")
    assert kind.takes(url)
    assert kind.entries(url) == 17
    assert list(event_texts(url, 5, 3)) == list(event_texts(str(path), 5, 3))
    assert kind.of([InputFile(url=url, entries=17)]).sent == ()
    with pytest.raises(InputError, match="HTTP 404"):
        kind.entries(f"{served}/nowhere.lhe")
    with pytest.raises(StorageError, match="try again later"):
        kind.entries("http://127.0.0.1:9/z.lhe")
    with pytest.raises(InputError, match="copy it here"):
        kind.entries("ftp://there//z.lhe")
    path.write_bytes(gzip.compress(b"<LesHouchesEvents>") if name.endswith(".gz") else b"x")
    with pytest.raises(InputError, match="is it an LHE file"):
        kind.entries(url)
