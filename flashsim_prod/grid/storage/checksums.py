"""What identifies a file's contents: size, adler32, sha256 and md5, all from one reading."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from flashsim_prod.files import storage_errors

#: large enough that system calls do not count, small enough for the processor's cache [B]
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checksums:
    """Size and checksums of a file.

    Attributes
    ----------
    bytes : int
        Size [B].
    adler32 : str
        Exactly 8 lower-case hexadecimal digits, as the grid's catalogues want it.
    sha256 : str
        64 lower-case hexadecimal digits.
    md5 : str or None
        32 lower-case hexadecimal digits, for catalogues that keep it; not compared, since job reports
        do not have it.
    """

    bytes: int
    adler32: str
    sha256: str
    md5: str | None = field(default=None, compare=False)


class RunningChecksums:
    """Checksums of what has been seen so far."""

    def __init__(self) -> None:
        self._bytes = 0
        self._adler32 = zlib.adler32(b"")
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        self._bytes += len(chunk)
        self._adler32 = zlib.adler32(chunk, self._adler32)
        self._sha256.update(chunk)
        self._md5.update(chunk)

    def result(self) -> Checksums:
        """Checksums of all chunks so far, end to end."""
        return Checksums(self._bytes, f"{self._adler32:08x}", self._sha256.hexdigest(), self._md5.hexdigest())


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """The rest of `stream` in pieces of at most `CHUNK_BYTES`."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def stream_checksums(stream: BinaryIO) -> Checksums:
    """Checksums of the rest of an open file."""
    running = RunningChecksums()
    for chunk in chunks_of(stream):
        running.update(chunk)
    return running.result()


def file_checksums(path: Path) -> Checksums:
    """Size and checksums of a file, in one pass over it.

    Raises
    ------
    StorageError
        If the file cannot be read.
    """
    with storage_errors(f"reading {path}"), path.open("rb") as stream:
        return stream_checksums(stream)
