"""Copies of files of records: verified, taken up where they ended, no more than there is to be room for."""

from __future__ import annotations

import asyncio
import os
import sys
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.errors import InputError, RequestError, StorageError, WrongChecksumError
from flashsim_prod.files import fsync_folder, storage_errors
from flashsim_prod.grid.opendata.portal import RemoteFile
from flashsim_prod.patience import patiently

#: asked for at a time [B]
BLOCK = 16 * 2**20
_PART, _LOCK = ".part", ".lock"

Progress = Callable[[str, int, int | None], None]


class Cache:
    """A folder of whole files, by record; the ones longest unused go where room is wanted.

    Parameters
    ----------
    folder : Path
        Made if need be.
    limit : int
        Of all files in it [B]; those that are being copied count as what they will be, and what is left of
        copies that were interrupted as what is there.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def find(self, recid: int, file: RemoteFile) -> Path | None:
        """The copy of a file, if there is a whole one."""
        path = self._path(recid, file)
        return path if path.is_file() and path.stat().st_size == file.size else None

    def fetch(
        self, recid: int, file: RemoteFile, keep: Collection[Path], progress: Progress | None = None
    ) -> Path:
        """Copy a file, unless it is there; a copy that was interrupted goes on.

        Parameters
        ----------
        keep : collection of Path
            Copies that may not go to make room.

        Raises
        ------
        RequestError
            If there is no room for it within the limit.
        InputError
            If the server does not have it.
        StorageError
            If it cannot be copied, or ends too early; `NoSpaceError` if the disk is full.
        WrongChecksumError
            If its contents are not what the portal says; the copy is removed.
        """
        path = self._path(recid, file)
        with storage_errors(f"writing {path.parent}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            # whoever else fetches it is waited for
            with FileLock(f"{path}{_LOCK}"):
                if self.find(recid, file) is None:
                    part = path.with_name(f"{path.name}.{file.size}{_PART}")
                    for other in path.parent.glob(f"{escape(path.name)}.*{_PART}"):
                        # of when the portal said another size
                        if other != part:
                            other.unlink(missing_ok=True)
                    self._make_room(file, part, {*keep, path})
                    _copy(file, part, progress)
                    os.replace(part, path)
                    fsync_folder(path.parent)
                # it was used now
                os.utime(path)
        return path

    def _path(self, recid: int, file: RemoteFile) -> Path:
        return self.folder / str(recid) / file.name

    def _make_room(self, file: RemoteFile, part: Path, keep: Collection[Path]) -> None:
        if file.size > self.limit:
            raise self._too_small(f"{file.name} has {format_bytes(file.size)}")
        with FileLock(self.folder / _LOCK):
            sizes = dict(self._sizes(without=part))
            excess = sum(sizes.values()) + file.size - self.limit
            for path in sorted(sizes.keys() - keep, key=_last_used):
                if excess <= 0:
                    break
                # what is being copied is held by who copies it
                with suppress(Timeout), FileLock(_lock_of(path), timeout=0):
                    path.unlink(missing_ok=True)
                    excess -= sizes[path]
            if excess > 0:
                raise self._too_small(f"{format_bytes(excess)} more are wanted at once")
            # counted by its name from here on
            part.touch()

    def _too_small(self, why: str) -> RequestError:
        return RequestError(
            f"the cache {self.folder} may hold {format_bytes(self.limit)}, and {why}; raise --cache-limit, "
            "or read them without copies: train extract opendata:RECID"
        )

    def _sizes(self, without: Path) -> Iterator[tuple[Path, int]]:
        """What is there, and what will be of what is being copied."""
        for path in self.folder.glob("*/*"):
            if path.suffix == _PART:
                if path != without:
                    yield path, _size_of_part(path)
            elif path.suffix == ".root":
                yield path, path.stat().st_size


def _lock_of(path: Path) -> str:
    """Who holds it copies the file that `path` is, or is a part of."""
    whole = path.name.removesuffix(_PART).rpartition(".")[0] if path.suffix == _PART else path.name
    return f"{path.with_name(whole)}{_LOCK}"


def _size_of_part(path: Path) -> int:
    """What a part takes: the size that it is to get where somebody is at it, else what is there."""
    try:
        with FileLock(_lock_of(path), timeout=0):
            return path.stat().st_size if path.exists() else 0
    except Timeout:
        return int(path.suffixes[-2].lstrip("."))


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _copy(file: RemoteFile, part: Path, progress: Progress | None) -> None:
    with part.open("r+b") as target:
        checksum = 1
        while block := target.read(BLOCK):
            checksum = zlib.adler32(block, checksum)
        done = target.tell()
        if done > file.size:
            target.truncate(0)
            target.seek(0)
            done, checksum = 0, 1
        while done < file.size:
            wanted = min(BLOCK, file.size - done)
            block = patiently(partial(_read, file.url, done, wanted))
            if len(block) != wanted:
                raise _odd(file, done, len(block), wanted)
            target.write(block)
            checksum = zlib.adler32(block, checksum)
            done += len(block)
            if progress is not None:
                progress(file.name, done, file.size)
        target.flush()
        os.fsync(target.fileno())
    if f"{checksum:08x}" != file.adler32:
        part.unlink()
        raise WrongChecksumError(
            f"{file.url} came with adler32 {checksum:08x}, the portal says {file.adler32}; the copy was "
            "removed, fetch it again"
        )


def _odd(file: RemoteFile, done: int, length: int, wanted: int) -> StorageError:
    if length > wanted:
        return StorageError(f"{file.url}: its server gives whole files only; take --protocol xrootd")
    return StorageError(
        f"{file.url} ends after {done + length:,} of {file.size:,} bytes, truncated there; try again later"
    )


def _read(url: str, start: int, size: int) -> bytes:
    with _remote_errors(url):
        import fsspec

        files, path = fsspec.core.url_to_fs(url)
        found: bytes = files.cat_file(path, start=start, end=start + size)
    return found


@contextmanager
def _remote_errors(url: str) -> Iterator[None]:
    library: Any = sys.modules.get("aiohttp")
    passing = (OSError, asyncio.TimeoutError, *((library.ClientError,) if library else ()))
    try:
        yield
    except ImportError as error:
        raise InputError(f"{url} needs: pip install 'flashsim-prod[opendata]' ({error})") from error
    except FileNotFoundError as error:
        raise InputError(f"{url} does not exist; is the record right?") from error
    except passing as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        told = f"{url} cannot be read: {reason}; say it again to go on"
        if "[3011]" in reason:
            raise InputError(f"{url} does not exist; is the record right?") from error
        raise StorageError(told) from error
