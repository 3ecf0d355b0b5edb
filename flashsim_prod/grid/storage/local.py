"""Storage on a file system that this machine sees: local disk or a shared one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.checksums import Checksums


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
        raise NotImplementedError

    def put(
        self, source: Path, lfn: str, expected: Checksums, *, overwrite: bool = False, move: bool = False
    ) -> str:
        raise NotImplementedError

    def fetch(self, lfn: str, target: Path) -> Checksums:
        raise NotImplementedError

    def stat(self, lfn: str) -> int | None:
        raise NotImplementedError

    def checksums(self, lfn: str) -> Checksums:
        raise NotImplementedError

    def delete(self, lfn: str) -> None:
        raise NotImplementedError

    def listing(self, folder: str) -> Iterator[str]:
        raise NotImplementedError

    def clean(self, folder: str) -> int:
        raise NotImplementedError
