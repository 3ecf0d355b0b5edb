"""What every storage element can do, whatever protocol leads to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from flashsim_prod.errors import RequestError
from flashsim_prod.grid.storage.checksums import Checksums


class Storage(ABC):
    """A storage element: files under logical names.

    A file stands under its final name only when it is whole and its checksums have been verified.
    All methods raise `StorageError` when reading or writing fails, `NoSpaceError` when the element is
    full, and `RequestError` for a name that is no logical file name.

    Attributes
    ----------
    rse : str
        Name of the storage element in catalogues (Rucio storage element).
    """

    def __init__(self, rse: str) -> None:
        self.rse = rse

    @abstractmethod
    def pfn(self, lfn: str) -> str:
        """Physical file name: what a program opens to read `lfn`."""

    @abstractmethod
    def put(
        self, source: Path, lfn: str, expected: Checksums, *, overwrite: bool = False, move: bool = False
    ) -> str:
        """Stage out a file.

        Calling it again is free: a file that is there already with the checksums expected stays as it is.

        Parameters
        ----------
        source : Path
            The file on this machine.
        lfn : str
            The name it gets.
        expected : Checksums
            What the file must hold; the copy is read back and compared.
        overwrite : bool
            Replace other contents under the same name, as a retry of a corrupted file does.
        move : bool
            `source` is not needed any more: it is renamed where that can be done, and is gone afterwards.

        Returns
        -------
        str
            The physical file name.

        Raises
        ------
        StorageError
            If the name holds other contents (and not `overwrite`), or the copy does not have the
            checksums expected.
        """

    @abstractmethod
    def fetch(self, lfn: str, target: Path) -> Checksums:
        """Copy `lfn` to the local file `target`, which appears only when whole; its checksums."""

    @abstractmethod
    def stat(self, lfn: str) -> int | None:
        """Size [B], or ``None`` if there is no such file."""

    @abstractmethod
    def checksums(self, lfn: str) -> Checksums:
        """Checksums of what is stored, by reading all of it."""

    @abstractmethod
    def delete(self, lfn: str) -> None:
        """Remove a file; one that is not there is no error."""

    @abstractmethod
    def listing(self, folder: str) -> Iterator[str]:
        """Logical names of all finished files below a logical folder, folder by folder in order."""

    @abstractmethod
    def clean(self, folder: str) -> int:
        """Remove what dead writers left below a logical folder; how many files that were.

        Copies that are being written at this moment are left alone.
        """

    @contextmanager
    def readable(self, lfn: str) -> Iterator[Path]:
        """The file `lfn` on this machine for as long as the block runs: itself, or a copy."""
        local = self.local_path(lfn)
        if local is not None:
            yield local
            return
        with TemporaryDirectory(prefix="flashsim-") as folder:
            copy = Path(folder) / PurePosixPath(lfn).name
            self.fetch(lfn, copy)
            yield copy

    def local_path(self, lfn: str) -> Path | None:
        """The file itself if this machine can open it in place, else ``None`` (then `fetch` it)."""
        return None


@lru_cache(maxsize=64)  # a name is mostly asked for several times in a row
def check_lfn(lfn: str) -> PurePosixPath:
    """`lfn` as a path relative to the top of a storage element; `RequestError` if it is no such name."""
    path = PurePosixPath(lfn)
    if path.parts[:2] != ("/", "store") or ".." in path.parts or "\0" in lfn or str(path) != lfn:
        raise RequestError(f"'{lfn}' is no logical file name; it looks like /store/mc/...")
    return path.relative_to("/")
