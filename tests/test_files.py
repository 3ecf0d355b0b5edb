"""Files are whole or not there, whatever goes wrong; JSON is JSON."""

from __future__ import annotations

import errno
import json
import math
import os
import socket
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from flashsim_prod import files
from flashsim_prod.errors import BundleError, NoSpaceError, RequestError, StorageError
from flashsim_prod.files import (
    appearing,
    appearing_folder,
    json_text,
    open_regular,
    read_text,
    write_json,
    write_whole,
)
from flashsim_prod.physics.tensor_files import appearing_tensors

TAKEN = BundleError("taken")


def test_a_file_is_written_in_utf_8_into_a_new_folder(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a" / "b.txt", "µ ± η", mode=0o755)
    assert path.read_bytes() == "µ ± η".encode()
    assert read_text(path) == "µ ± η"
    assert stat.S_IMODE(path.stat().st_mode) & 0o700 == 0o700
    write_whole(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert [one.name for one in path.parent.iterdir()] == ["b.txt"]


def test_what_was_there_stays_when_the_writer_fails(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "x", "before")

    def fail() -> None:
        with appearing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert read_text(path) == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("replace"), replace(*names))[1])
    write_whole(tmp_path / "x", "all of it")
    # the file, its name, and the folder that holds the name
    assert calls == ["fsync", "replace", "fsync"]


def _empty(made: AbstractContextManager[Path]) -> None:
    with made:
        pass


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_whole(path, "x"),
        lambda path: write_json(path, {}),
        lambda path: _empty(appearing(path)),
        lambda path: _empty(appearing_tensors(path)),
        lambda path: _empty(appearing_folder(path, TAKEN)),
    ],
    ids=["whole", "json", "appearing", "tensors", "folder"],
)
def test_a_path_that_cannot_be_written_is_one_error_everywhere(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "below"
    with pytest.raises(
        StorageError, match=f"writing {path}: ({path.parent}: File exists|Not a directory)"
    ) as caught:
        write(path)
    assert caught.value.exit_code == 20


def test_a_full_disk_is_told_from_other_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpaceError, match=f"writing {tmp_path / 'x'}: No space left"):
        write_whole(tmp_path / "x", "x")
    with pytest.raises(NoSpaceError), appearing_folder(tmp_path / "y", TAKEN) as folder:
        (folder / "part").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_safetensors_that_cannot_be_written_are_storage_errors(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"writing {tmp_path / 'x'}: No such file"):  # noqa: SIM117
        with appearing_tensors(tmp_path / "x") as temporary:
            save_file({"a": np.zeros(3)}, temporary.parent / "gone" / "x")
    with pytest.raises(NoSpaceError), appearing_tensors(tmp_path / "x"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_device_or_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder")):
        with pytest.raises(StorageError, match=f"writing .*{name}: it is {kind}, no file"):
            write_whole(tmp_path / name, "x")
    with pytest.raises(StorageError, match="writing /dev/null: it is a device, no file"):
        write_whole(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()


def test_a_folder_appears_with_all_that_is_in_it(tmp_path: Path) -> None:
    with appearing_folder(tmp_path / "new" / "x", TAKEN) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"1")
        assert not (tmp_path / "new" / "x").exists()
    assert (tmp_path / "new" / "x" / "deep" / "file").read_bytes() == b"1"
    with pytest.raises(BundleError, match="taken"), appearing_folder(tmp_path / "new" / "x", TAKEN):
        pytest.fail("it is there")

    def be_second() -> None:
        with appearing_folder(tmp_path / "y", TAKEN):
            (tmp_path / "y").mkdir()
            (tmp_path / "y" / "of another command").write_bytes(b"")

    with pytest.raises(BundleError, match="taken"):
        be_second()
    with pytest.raises(KeyError), appearing_folder(tmp_path / "z", TAKEN):
        raise KeyError
    assert sorted(one.name for one in tmp_path.iterdir()) == ["new", "y"]


def test_a_file_that_is_copied_from_and_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"writing {tmp_path / 'x'}: {tmp_path / 'gone'}: No such file"):  # noqa: SIM117
        with appearing_folder(tmp_path / "x", TAKEN):
            (tmp_path / "gone").read_bytes()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("pipe", "folder", "socket"):
            with pytest.raises(OSError, match=f"it is a {name}, no file"):
                open_regular(tmp_path / name)
    with pytest.raises(OSError, match="it is a device, no file"):
        open_regular(Path("/dev/zero"))
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_a_name_that_is_no_utf_8_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"/data/\xff.root")
    with pytest.raises(RequestError, match=r"no UTF-8 \('input: /data/\\udcff.root'\); rename"):
        write_whole(tmp_path / "request.yaml", f"name: x\ninput: {name}\n")
    assert list(tmp_path.iterdir()) == []


def test_json_says_null_for_what_is_not_finite() -> None:
    written = json_text({"a": [1.5, math.nan, (math.inf, np.float64("nan"))], "b": Path("/x")})

    def refuse(word: str) -> float:
        raise AssertionError(word)

    assert json.loads(written, parse_constant=refuse) == {"a": [1.5, None, [None, None]], "b": "/x"}
    assert files.json_text({"a": 1}, indent=None) == '{"a": 1}'
