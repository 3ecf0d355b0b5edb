"""Whether catalogue, ledger and storage tell the same story of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import RequestError, StorageError
from flashsim_prod.grid.catalog.base import FileEntry
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import FileRow, RequestRow
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.home import Home
from flashsim_prod.production.request_folder import load_request


@dataclass(frozen=True)
class Problem:
    """One disagreement.

    Attributes
    ----------
    kind : str
        ``missing``, ``size``, ``checksum``, ``extra``, ``ledger`` or ``events``.
    """

    lfn: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What a comparison found; without `problems` all agree."""

    dataset: str
    files: int
    bytes: int
    problems: tuple[Problem, ...]


def verify(home: Home, dataset: str, *, seen: Callable[[str, int], None] | None = None) -> Verification:
    """Compare all files of a dataset, reading every byte of them.

    Parameters
    ----------
    home : Home
    dataset : str
        Its name, as the catalogue knows it.
    seen : callable, optional
        Is told name and size [B] of each file that was read.

    Raises
    ------
    CatalogError
        If the catalogue has no such dataset.
    RequestError
        If nothing is known of the request that made it.
    """
    DatasetName.parse(dataset)
    with LocalCatalog(home.catalog) as catalog, Ledger(home.ledger) as ledger:
        container = catalog.container(dataset)
        entries = list(catalog.files(dataset))
        row = _request_of(ledger, dataset)
        recorded = {file.output.lfn: file for file in ledger.files(row.name, Stage.MERGE)}
    storage = open_storage(load_request(home.folder(row.name).request).site.storage, home.path)
    problems = list(_against_ledger(entries, recorded, row))
    for entry in entries:
        problems += _against_storage(entry, storage)
        if seen:
            seen(entry.lfn, entry.bytes)
    problems += _extra(entries, storage)
    return Verification(container.name, len(entries), container.bytes, tuple(problems))


def _request_of(ledger: Ledger, dataset: str) -> RequestRow:
    for row in ledger.requests():
        if str(row.dataset) == dataset:
            return row
    raise RequestError(f"{dataset}: the ledger knows no request that made it")


def _against_ledger(
    entries: list[FileEntry], recorded: dict[str, FileRow], row: RequestRow
) -> Iterator[Problem]:
    for entry in entries:
        file = recorded.pop(entry.lfn, None)
        if file is None:
            yield Problem(entry.lfn, "ledger", "in the catalogue, but not in the ledger")
        elif (file.output.bytes, file.output.sha256) != (entry.bytes, entry.sha256):
            yield Problem(entry.lfn, "ledger", "catalogue and ledger have other sizes or checksums")
    for lfn in recorded:
        yield Problem(lfn, "ledger", "in the ledger, but not in the catalogue")
    events = sum(entry.events for entry in entries)
    if events != row.events:
        yield Problem(str(row.dataset), "events", f"{events} events in the catalogue, {row.events} asked for")


def _against_storage(entry: FileEntry, storage: Storage) -> Iterator[Problem]:
    size = storage.stat(entry.lfn)
    if size is None:
        yield Problem(entry.lfn, "missing", f"not in storage: {storage.pfn(entry.lfn)}")
        return
    if size != entry.bytes:
        yield Problem(entry.lfn, "size", f"{size} bytes in storage, {entry.bytes} in the catalogue")
        return
    try:
        found = storage.checksums(entry.lfn)
    except StorageError as error:
        yield Problem(entry.lfn, "missing", str(error))
        return
    if (found.adler32, found.sha256) != (entry.adler32, entry.sha256):
        detail = f"adler32 {found.adler32} in storage, {entry.adler32} in the catalogue"
        yield Problem(entry.lfn, "checksum", detail)


def _extra(entries: list[FileEntry], storage: Storage) -> Iterator[Problem]:
    """Files in the dataset's folder that the catalogue does not know."""
    known = {entry.lfn for entry in entries}
    # an LFN ends in a numbered group and the file
    folders = sorted({str(PurePosixPath(lfn).parent.parent) for lfn in known})
    for folder in folders:
        for lfn in storage.listing(folder):
            if lfn not in known:
                yield Problem(lfn, "extra", "in storage, but not in the catalogue")
