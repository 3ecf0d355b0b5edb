"""Making ROOT files reproducible byte for byte.

A ROOT file is a row of records, each headed by a TKey that carries the time of writing; directories carry
two times and a UUID, the file header a UUID, and the gaps left by objects that moved hold stale bytes.
None of this can be set through uproot or hadd, so it is overwritten in the finished file. The layout
followed is that of ROOT's documentation (io/doc/TFile: header, key, directory, free segments).
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flashsim_prod.errors import StorageError

#: 1995-01-01 00:00:00 as a TDatime, the first time that ROOT can express
_EPOCH = struct.pack(">I", 1 << 22 | 1 << 17)
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
class _Key:
    """The head of one record."""

    position: int
    n_bytes: int
    key_length: int


def fix_stamps(path: Path, identifier: uuid.UUID) -> None:
    """Give the ROOT file at `path` fixed times, the UUID `identifier` and zeros in its gaps, in place.

    Only for files whose single directory is the top one, as NANOAOD files are.

    Raises
    ------
    StorageError
        The file is not laid out as a ROOT file.
    """
    with path.open("r+b") as file:
        try:
            header = read_header(file)
            gaps = _read_gaps(file, header)
            for position, length in gaps:
                _clear(file, position, length)
            for key in list(_records(file, header, dict(gaps))):
                _write(file, key.position + _KEY_DATE, _EPOCH)
            _fix_directory(file, header, identifier)
            _write(file, header.uuid_position, identifier.bytes)
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


def _read_gaps(file: BinaryIO, header: FileHeader) -> list[tuple[int, int]]:
    """Position and length of every unused stretch before the end of the file."""
    key = _read_key(file, header.seek_free)
    record = _read(file, header.seek_free, header.n_bytes_free)[key.key_length :]
    gaps = []
    while record:
        (version,) = struct.unpack_from(">h", record)
        layout = struct.Struct(">2xqq" if version > _BIG_RECORD else ">2xii")
        first, last = layout.unpack_from(record)
        # the last segment reaches from the end of the file to the largest possible position
        if first < header.end:
            gaps.append((first, last + 1 - first))
        record = record[layout.size :]
    return gaps


def _records(file: BinaryIO, header: FileHeader, gaps: dict[int, int]) -> Iterator[_Key]:
    position = header.begin
    while position < header.end:
        if position in gaps:
            position += gaps[position]
            continue
        key = _read_key(file, position)
        if key.n_bytes <= 0:
            raise struct.error(f"no record at {position}")
        yield key
        position += key.n_bytes


def _fix_directory(file: BinaryIO, header: FileHeader, identifier: uuid.UUID) -> None:
    """The times and UUID of the top directory, and the times in its list of keys."""
    position = header.begin + header.n_bytes_name
    (version,) = struct.unpack(">h", _read(file, position, 2))
    _write(file, position + 2, _EPOCH * 2)
    seeks = struct.Struct(">8xqqq" if version > _BIG_RECORD else ">8xiii")
    _, _, seek_keys = seeks.unpack(_read(file, position + 10, seeks.size))
    _write(file, position + 10 + seeks.size + 2, identifier.bytes)

    inside = seek_keys + _read_key(file, seek_keys).key_length
    (n_keys,) = struct.unpack(">i", _read(file, inside, 4))
    inside += 4
    for _ in range(n_keys):
        _write(file, inside + _KEY_DATE, _EPOCH)
        inside += _read_key(file, inside).key_length


def _read_key(file: BinaryIO, position: int) -> _Key:
    n_bytes, _, _, _, key_length, _ = _KEY.unpack(_read(file, position, _KEY.size))
    return _Key(position, n_bytes, key_length)


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
