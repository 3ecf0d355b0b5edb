"""What takes room in a state folder: datasets by what is there of them, and what else there is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import PurePosixPath

from flashsim_prod.core.names import DatasetName
from flashsim_prod.errors import RequestError
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.storage.local import LocalStorage
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.catalogs import local_datasets
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.quota import quota_of
from flashsim_prod.production.retention.leftovers import find_leftovers
from flashsim_prod.production.retention.walking import bytes_below


@dataclass(frozen=True)
class DatasetSize:
    """One dataset that a request of this state folder makes.

    Attributes
    ----------
    catalogued : int
        Size of its files as the catalogue has them [B].
    unmerged : int
        Outputs that are yet to be merged, or were left [B].
    folder : int
        The request's folder: logs, reports, scratch [B].
    """

    dataset: str
    request: str | None
    catalogued: int
    unmerged: int
    folder: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.catalogued + self.unmerged + self.folder


@dataclass(frozen=True)
class Sizes:
    """All of a state folder.

    Attributes
    ----------
    home : int
        Size of everything in the state folder [B].
    leftovers : int
        What ``purge`` would remove [B].
    again, slim : int
        What is being made again; files with some branches [B].
    quota : int or None
        What the state folder may hold [B].
    free : int
        What is free on its disk [B].
    """

    datasets: tuple[DatasetSize, ...]
    home: int
    leftovers: int
    again: int
    slim: int
    quota: int | None
    free: int


def sizes(home: Home) -> Sizes:
    """What takes room; reads no contents."""
    catalogued = {one.name: one.bytes for one in local_datasets(home)}
    found = [_of_request(home, name, catalogued) for name in home.names()]
    made = {one.dataset for one in found}
    others = [DatasetSize(name, None, size, 0, 0) for name, size in catalogued.items() if name not in made]
    with storage_errors(f"asking for free space in {home.path}"):
        free = shutil.disk_usage(home.path).free
    return Sizes(
        datasets=tuple(sorted([*found, *others], key=lambda one: (-one.bytes, one.dataset))),
        home=bytes_below(home.path),
        leftovers=sum(one.bytes for one in find_leftovers(home).found),
        again=bytes_below(home.path / "again"),
        slim=bytes_below(home.path / "slim"),
        quota=quota_of(home),
        free=free,
    )


def _of_request(home: Home, name: str, catalogued: dict[str, int]) -> DatasetSize:
    folder = bytes_below(home.folder(name).path)
    try:
        request = load_request(home.folder(name).request)
        storage = open_storage(request.site.storage, home.path)
    except RequestError:
        return DatasetSize(str(home.folder(name).path), name, 0, 0, folder)
    unmerged = 0
    if isinstance(storage, LocalStorage):
        lfn = request.dataset.unmerged_lfn(name, 0, request.site.storage.user_lfn)
        unmerged = bytes_below(storage.prefix / PurePosixPath(lfn).parent.parent.relative_to("/"))
    dataset: DatasetName = request.dataset
    return DatasetSize(str(dataset), name, catalogued.get(str(dataset), 0), unmerged, folder)
