"""Storage on a file system that this machine sees: local disk or a shared one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from flashsim_prod.errors import StorageError
from flashsim_prod.files import storage_error, storage_errors
from flashsim_prod.grid.storage.atomic import (
    copy_verified,
    is_temporary,
    publish,
    remove_stale,
    temporary_beside,
    to_disk,
)
from flashsim_prod.grid.storage.base import Storage, check_lfn
from flashsim_prod.grid.storage.checksums import Checksums, file_checksums


class LocalStorage(Storage):
    """Files below a folder: ``/store/mc/x.root`` is ``<prefix>/store/mc/x.root``.

    Parameters
    ----------
    rse : str
        Name of the storage element in catalogues.
    prefix : Path
        The folder; it is made when the first file comes.
    """

    def __init__(self, rse: str, prefix: Path) -> None:
        super().__init__(rse)
        self.prefix = prefix.absolute()

    def pfn(self, lfn: str) -> str:
        return str(self._path(lfn))

    def local_path(self, lfn: str) -> Path | None:
        path = self._path(lfn)
        return path if path.is_file() else None

    def put(
        self, source: Path, lfn: str, expected: Checksums, *, overwrite: bool = False, move: bool = False
    ) -> str:
        target = self._path(lfn)
        with storage_errors(f"writing {lfn} to {self.rse}"):
            if not self._holds(target, lfn, expected, overwrite=overwrite):
                self._bring(source, target, lfn, expected, overwrite=overwrite, move=move)
            if move:
                source.unlink(missing_ok=True)
        return str(target)

    def fetch(self, lfn: str, target: Path) -> Checksums:
        with (
            storage_errors(f"copying {lfn} from {self.rse} to {target}"),
            self._path(lfn).open("rb") as stream,
            temporary_beside(target) as temporary,
        ):
            copied = copy_verified(stream, temporary)
            publish(temporary.path, target, overwrite=True)
        return copied

    def stat(self, lfn: str) -> int | None:
        path = self._path(lfn)
        with storage_errors(f"looking for {lfn} at {self.rse}"):
            return path.stat().st_size if path.is_file() else None

    def checksums(self, lfn: str) -> Checksums:
        return file_checksums(self._path(lfn))

    def delete(self, lfn: str) -> None:
        with storage_errors(f"removing {lfn} from {self.rse}"):
            self._path(lfn).unlink(missing_ok=True)

    def listing(self, folder: str) -> Iterator[str]:
        for top, folders, names in os.walk(self._path(folder), onerror=_unless_missing):
            folders.sort()
            for name in sorted(names):
                if not is_temporary(name):
                    yield f"/{Path(top, name).relative_to(self.prefix)}"

    def clean(self, folder: str) -> int:
        with storage_errors(f"cleaning {folder} at {self.rse}"):
            return remove_stale(self._path(folder))

    def _path(self, lfn: str) -> Path:
        return self.prefix / check_lfn(lfn)

    def _holds(self, target: Path, lfn: str, expected: Checksums, *, overwrite: bool) -> bool:
        """Whether the target is there as expected; `StorageError` if it is there, but different."""
        if not target.exists():
            return False
        if target.stat().st_size == expected.bytes and file_checksums(target) == expected:
            return True
        if overwrite:
            return False
        raise StorageError(f"{self.rse} has other contents under {lfn} ({target}); they are not overwritten")

    def _bring(
        self, source: Path, target: Path, lfn: str, expected: Checksums, *, overwrite: bool, move: bool
    ) -> None:
        try:
            if not (move and _moved(source, target, expected, overwrite=overwrite)):
                _copy(source, target, expected, overwrite=overwrite)
        except FileExistsError:
            # another writer was faster: fine if it brought the same
            self._holds(target, lfn, expected, overwrite=False)


class FlatStorage(LocalStorage):
    """Files that were sent to a node, or are to be sent back: side by side, by the last part of their names.

    Parameters
    ----------
    rse : str
        Name of the storage element that they come from.
    prefix : Path
        Where they are.
    """

    def _path(self, lfn: str) -> Path:
        return self.prefix / check_lfn(lfn).name


def _copy(source: Path, target: Path, expected: Checksums, *, overwrite: bool) -> None:
    with source.open("rb") as stream, temporary_beside(target) as temporary:
        _compare(source, copy_verified(stream, temporary), expected)
        publish(temporary.path, target, overwrite=overwrite)


def _moved(source: Path, target: Path, expected: Checksums, *, overwrite: bool) -> bool:
    """Rename the file to its target; False if that cannot be done from one file system to the other."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as stream:
        to_disk(stream)
    _compare(source, file_checksums(source), expected)
    try:
        publish(source, target, overwrite=overwrite)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise storage_error(error, f"listing {error.filename}") from error


def _compare(source: Path, found: Checksums, expected: Checksums) -> None:
    if found != expected:
        raise StorageError(
            f"{source} has adler32 {found.adler32} and {found.bytes} bytes, "
            f"expected {expected.adler32} and {expected.bytes}; it was altered or damaged"
        )
