"""Making ROOT files reproducible byte for byte.

A ROOT file is a row of records, each headed by a TKey that carries the time of writing; the directory
carries two times and a UUID, the file header a UUID. Neither uproot nor hadd lets one choose the times, so
while uproot writes they are fixed at their source (`fixed_times`), and in what hadd wrote they are
overwritten (`clear_times`), along with the stale bytes in the gaps that moved records left. The layout
followed is that of ROOT's documentation (io/doc/TFile: header, key, directory, free segments).
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import uproot

from flashsim_prod.errors import StorageError

#: 1995-01-01 00:00:00 as a TDatime, the first time that ROOT can express
_EPOCH = 1 << 22 | 1 << 17
_BIG_FILE = 1_000_000
_BIG_RECORD = 1000
_KEY = struct.Struct(">ihIIhh")
_KEY_DATE = 10
_ZEROS = bytes(1 << 16)


@dataclass(frozen=True)
class FileHeader:
    """What is needed of the header of a ROOT file: positions and lengths in bytes."""

    begin: int
    end: int
    seek_free: int
    n_bytes_free: int
    n_bytes_name: int
    uuid_position: int


@dataclass(frozen=True)
class _Directory:
    """What is needed of the top directory's record."""

    position: int
    seek_keys: int
    uuid_position: int


@contextmanager
def fixed_times() -> Iterator[None]:
    """While this lasts, uproot writes `_EPOCH` wherever it writes a time."""
    original = uproot._util.datetime_to_code
    uproot._util.datetime_to_code = lambda moment: _EPOCH
    try:
        yield
    finally:
        uproot._util.datetime_to_code = original


def set_identifier(path: Path, identifier: uuid.UUID) -> None:
    """Make `identifier` the UUID of the ROOT file at `path` and of its top directory."""
    with _edited(path) as file:
        header = read_header(file)
        directory = _read_directory(file, header)
        _write(file, header.uuid_position, identifier.bytes)
        _write(file, directory.uuid_position, identifier.bytes)


def clear_times(path: Path) -> None:
    """Set all times in a file that ROOT wrote to `_EPOCH`, and fill its gaps with zeros.

    Only for files whose single directory is the top one, as in NANOAOD. Files written by uproot can have
    unused bytes that no list mentions, which makes their records impossible to follow.

    Raises
    ------
    StorageError
        The file is not laid out as a ROOT file.
    """
    epoch = struct.pack(">I", _EPOCH)
    with _edited(path) as file:
        header = read_header(file)
        gaps = _read_gaps(file, header)
        for position, length in gaps.items():
            _clear(file, position, length)
        for position in list(_records(file, header, gaps)):
            _write(file, position + _KEY_DATE, epoch)
        directory = _read_directory(file, header)
        _write(file, directory.position + 2, epoch * 2)
        for position in list(_listed_keys(file, directory.seek_keys)):
            _write(file, position + _KEY_DATE, epoch)


@contextmanager
def _edited(path: Path) -> Iterator[BinaryIO]:
    """The file, open for changes in place, which are on disk in the end."""
    with path.open("r+b") as file:
        try:
            yield file
        except struct.error as error:
            raise StorageError(f"{path} is not laid out as a ROOT file; write it again") from error
        file.flush()
        os.fsync(file.fileno())


def read_header(file: BinaryIO) -> FileHeader:
    """The header of an open ROOT file; `struct.error` if it is too short to be one."""
    version, begin = struct.unpack(">4xii", _read(file, 0, 12))
    seek = "q" if version >= _BIG_FILE else "i"
    layout = struct.Struct(f">{seek}{seek}iiiBi{seek}i")
    end, seek_free, n_bytes_free, _, n_bytes_name, *_ = layout.unpack(_read(file, 12, layout.size))
    return FileHeader(begin, end, seek_free, n_bytes_free, n_bytes_name, 12 + layout.size + 2)


def _read_directory(file: BinaryIO, header: FileHeader) -> _Directory:
    position = header.begin + header.n_bytes_name
    (version,) = struct.unpack(">h", _read(file, position, 2))
    seeks = struct.Struct(">18xqqq2x" if version > _BIG_RECORD else ">18xiii2x")
    _, _, seek_keys = seeks.unpack(_read(file, position, seeks.size))
    return _Directory(position, seek_keys, position + seeks.size)


def _read_gaps(file: BinaryIO, header: FileHeader) -> dict[int, int]:
    """Length by position of every unused stretch before the end of the file."""
    _, key_length = _read_key(file, header.seek_free)
    record = _read(file, header.seek_free, header.n_bytes_free)[key_length:]
    gaps = {}
    while record:
        (version,) = struct.unpack_from(">h", record)
        layout = struct.Struct(">2xqq" if version > _BIG_RECORD else ">2xii")
        first, last = layout.unpack_from(record)
        # the last segment reaches from the end of the file to the largest possible position
        if first < header.end:
            gaps[first] = last + 1 - first
        record = record[layout.size :]
    return gaps


def _records(file: BinaryIO, header: FileHeader, gaps: dict[int, int]) -> Iterator[int]:
    """Position of every record."""
    position = header.begin
    while position < header.end:
        if position in gaps:
            position += gaps[position]
            continue
        n_bytes, _ = _read_key(file, position)
        if n_bytes <= 0:
            raise struct.error(f"no record at {position}")
        yield position
        position += n_bytes


def _listed_keys(file: BinaryIO, seek_keys: int) -> Iterator[int]:
    """Position of every copy of a TKey in a directory's list."""
    position = seek_keys + _read_key(file, seek_keys)[1]
    (n_keys,) = struct.unpack(">i", _read(file, position, 4))
    position += 4
    for _ in range(n_keys):
        yield position
        position += _read_key(file, position)[1]


def _read_key(file: BinaryIO, position: int) -> tuple[int, int]:
    """Length of the record at `position`, and that of its TKey."""
    n_bytes, _, _, _, key_length, _ = _KEY.unpack(_read(file, position, _KEY.size))
    return n_bytes, key_length


def _clear(file: BinaryIO, position: int, length: int) -> None:
    """Zeros, headed by the negative length that marks a gap to ROOT."""
    _write(file, position, struct.pack(">i", -length))
    position, length = position + 4, length - 4
    while length > 0:
        _write(file, position, _ZEROS[:length])
        position, length = position + len(_ZEROS), length - len(_ZEROS)


def _read(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)


def _write(file: BinaryIO, position: int, content: bytes) -> None:
    file.seek(position)
    file.write(content)
