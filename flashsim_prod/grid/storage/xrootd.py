"""Storage behind the XRootD protocol (``root://``), spoken by its own programs ``xrdcp`` and ``xrdfs``.

They find proxies and tokens themselves. Every copy is checked at both ends: against what the source holds,
and by the checksum that the server gives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from tenacity import (
    retry,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.errors import NodeError, NoSpaceError, StorageError
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.storage.atomic import Temporary, publish, temporary_beside
from flashsim_prod.grid.storage.base import Storage, check_lfn
from flashsim_prod.grid.storage.checksums import Checksums, file_checksums, stream_checksums

#: what the programs are told of patience, unless the user's environment says otherwise [s]
_PATIENCE = {
    "XRD_CONNECTIONWINDOW": "10",
    "XRD_CONNECTIONRETRY": "2",
    "XRD_REQUESTTIMEOUT": "120",
    "XRD_STREAMERRORWINDOW": "30",
}
#: codes of the protocol in what the programs say: not found, no space
_MISSING, _FULL = ("[3011]", "[3006]"), ("[3009]", "[3021]")
#: the same in words, of servers that give another code and of the disk of this machine
_FULL_WORDS = ("no space left", "quota exceeded", "not enough space", "no free space")
#: what exists under such names is being written
_UNFINISHED = ".flashsim-part"
#: a copy takes this long at most: 10 GB at 1 MB/s [s]
_COPY_S = 10_000
_CALL_S = 300


class XRootDStorage(Storage):
    """Files of a server: ``/store/mc/x.root`` is ``<prefix>/store/mc/x.root``.

    Parameters
    ----------
    rse : str
        Name of the storage element in catalogues.
    prefix : str
        ``root://host[:port]/`` and the folder that stands before an LFN, if there is one.
    """

    def __init__(self, rse: str, prefix: str) -> None:
        super().__init__(rse)
        url = urlsplit(prefix)
        self._server = f"{url.scheme}://{url.netloc}"
        self._top = f"/{url.path.strip('/')}".rstrip("/")

    def pfn(self, lfn: str) -> str:
        return f"{self._server}/{self._path(lfn)}"

    def put(
        self, source: Path, lfn: str, expected: Checksums, *, overwrite: bool = False, move: bool = False
    ) -> str:
        if not self._holds(lfn, expected, overwrite=overwrite):
            found = file_checksums(source)
            if found != expected:
                raise StorageError(
                    f"{source} has adler32 {found.adler32} and {found.bytes} bytes, expected "
                    f"{expected.adler32} and {expected.bytes}; it was altered or damaged"
                )
            self._copy_in(source, lfn, expected, overwrite=overwrite)
        if move:
            source.unlink(missing_ok=True)
        return self.pfn(lfn)

    def fetch(self, lfn: str, target: Path) -> Checksums:
        action = f"copying {lfn} from {self.rse} to {target}"
        with storage_errors(action), temporary_beside(target) as temporary:
            size = self.stat(lfn)
            _check_room(temporary, size or 0, action)
            self._copy(self.pfn(lfn), str(temporary.path), action)
            _check_whole(temporary, size, action)
            found, there = file_checksums(temporary.path), self._adler32(self._path(lfn))
            if found.adler32 != there:
                raise StorageError(f"{action}: adler32 is {found.adler32} here and {there} there")
            publish(temporary.path, target, overwrite=True)
        return found

    def stat(self, lfn: str) -> int | None:
        return self._size(self._path(lfn))

    def _size(self, path: str) -> int | None:
        said = self._ask("stat", path, missing_is_fine=True)
        if said is None:
            return None
        told = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        return None if "IsDir" in told.get("Flags", "") else int(told["Size"])

    def checksums(self, lfn: str) -> Checksums:
        command = ["xrdcp", "--silent", "--nopbar", self.pfn(lfn), "-"]
        with _started(command) as process:
            # both are pipes, as asked for
            found = stream_checksums(cast(BinaryIO, process.stdout))
            said = cast(BinaryIO, process.stderr).read().decode(errors="replace")
        if process.returncode:
            raise _error(f"reading {lfn} at {self.rse}", said)
        return found

    def delete(self, lfn: str) -> None:
        self._ask("rm", self._path(lfn), missing_is_fine=True)

    def listing(self, folder: str) -> Iterator[str]:
        for name in self._names(folder):
            if _UNFINISHED not in name:
                yield name

    def clean(self, folder: str) -> int:
        # another machine's copy cannot be told from a dead one: what is unfinished stays
        return 0

    def _path(self, lfn: str) -> str:
        return f"{self._top}/{check_lfn(lfn)}"

    def _names(self, folder: str) -> list[str]:
        said = self._ask("ls", "-R", "-l", self._path(folder), missing_is_fine=True) or ""
        # folders begin with a d; names are last and hold no blanks
        paths = [line.split()[-1] for line in said.splitlines() if line.startswith("-")]
        return sorted(path.removeprefix(self._top) for path in paths)

    def _holds(self, lfn: str, expected: Checksums, *, overwrite: bool) -> bool:
        """Whether the file is there as expected; `StorageError` if it is there, but different."""
        size = self.stat(lfn)
        if size is None:
            return False
        if size == expected.bytes and self._adler32(self._path(lfn)) == expected.adler32:
            return True
        if overwrite:
            return False
        raise StorageError(
            f"{self.rse} has other contents under {lfn} ({self.pfn(lfn)}); they are not overwritten"
        )

    def _copy_in(self, source: Path, lfn: str, expected: Checksums, *, overwrite: bool) -> None:
        action = f"writing {lfn} to {self.rse}"
        final = PurePosixPath(self._path(lfn))
        temporary = str(final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}{_UNFINISHED}"))
        try:
            self._copy(str(source), f"{self._server}/{temporary}", action)
            self._check_arrived(temporary, expected.bytes, action)
            there = self._adler32(temporary)
            if there != expected.adler32:
                raise StorageError(f"{action}: adler32 is {expected.adler32} here and {there} there")
            # another writer may have been faster: fine if it brought the same
            if not self._holds(lfn, expected, overwrite=overwrite):
                self._ask("mv", temporary, str(final))
        finally:
            # a server that fails here, too, must not hide why the copy failed
            with suppress(StorageError):
                self._ask("rm", temporary, missing_is_fine=True)

    def _check_arrived(self, path: str, size: int, action: str) -> None:
        """See that all of a copy is at the server, which may have run full without saying so."""
        there = self._size(path)
        if there == size:
            return
        free = self._free(path)
        if free is not None and free < size - (there or 0):
            raise NoSpaceError(
                f"{action}: the server is full ({there} of {size} bytes arrived, {free} are free); "
                "free some space, then retry"
            )
        raise StorageError(f"{action}: {there} of {size} bytes arrived")

    def _free(self, path: str) -> int | None:
        """Free space where `path` is [B]; ``None`` if the server does not say."""
        try:
            said = self._ask("query", "space", str(PurePosixPath(path).parent)) or ""
            told = dict(part.split("=", 1) for part in said.strip().split("&") if "=" in part)
            return int(told["oss.free"])
        except (StorageError, KeyError, ValueError):
            return None

    def _adler32(self, path: str) -> str | None:
        """The checksum that the server gives."""
        said = self._ask("query", "checksum", path) or ""
        kind, _, value = said.strip().partition(" ")
        if kind != "adler32":
            raise StorageError(f"{self.rse} gives no adler32 of {path} ({said.strip() or 'nothing'})")
        return value.strip().zfill(8)

    def _copy(self, source: str, target: str, action: str) -> None:
        command = ["xrdcp", "--silent", "--nopbar", "--force", "--path", source, target]
        _run(command, action, _COPY_S)

    def _ask(self, *words: str, missing_is_fine: bool = False) -> str | None:
        """What the server says; ``None`` if there is no such file and that is fine."""
        action = f"{' '.join(words)} at {self.rse}"
        try:
            return _run(["xrdfs", self._server, *words], action, _CALL_S)
        except StorageError as error:
            if missing_is_fine and _says(error, _MISSING):
                return None
            raise


def _check_room(temporary: Temporary, size: int, action: str) -> None:
    """See that a file of `size` bytes fits beside its target; `NoSpaceError` otherwise."""
    free = shutil.disk_usage(temporary.path.parent).free
    if free < size:
        raise NoSpaceError(
            f"{action}: {format_bytes(free)} are free, it has {format_bytes(size)}; "
            "free some space, then retry"
        )


def _check_whole(temporary: Temporary, size: int | None, action: str) -> None:
    """See that all of a copy has arrived: ``xrdcp`` ends with 0 on a disk that ran full meanwhile."""
    found = temporary.path.stat().st_size
    if size is None or found == size:
        return
    with temporary.path.open("r+b") as stream:
        # says what xrdcp did not: that the disk is full, or the quota used up
        os.posix_fallocate(stream.fileno(), 0, size)
    raise StorageError(f"{action}: {found} of {size} bytes arrived")


def _says(error: StorageError, codes: tuple[str, ...]) -> bool:
    return any(code in str(error) for code in codes)


def _may_pass(error: BaseException) -> bool:
    """Whether another try can help: neither where there is no such file nor where there is no space."""
    return (
        isinstance(error, StorageError) and not isinstance(error, NoSpaceError) and not _says(error, _MISSING)
    )


@retry(
    retry=retry_if_exception(_may_pass),
    wait=wait_random_exponential(multiplier=0.5, max=10),
    stop=stop_after_attempt(3),
    reraise=True,
)
def _run(command: list[str], action: str, limit_s: int) -> str:
    with _started(command) as process:
        try:
            out, said = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise StorageError(f"{action}: no end after {limit_s} s") from error
    if process.returncode:
        raise _error(action, said.decode(errors="replace"))
    return out.decode(errors="replace")


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**_PATIENCE, **os.environ}
        )
    except FileNotFoundError as error:
        raise NodeError(f"root:// needs {command[0]}; apt-get install xrootd-client") from error


def _error(action: str, said: str) -> StorageError:
    reason = " ".join(said.split()) or "no reason given"
    if any(code in said for code in _FULL) or any(words in said.lower() for words in _FULL_WORDS):
        return NoSpaceError(f"{action}: {reason}; free some space, then retry")
    return StorageError(f"{action}: {reason}")
