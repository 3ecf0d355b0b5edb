"""Whether catalogue, ledger and storage tell the same story of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import StorageRules
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import (
    ExtraFileError,
    MissingFileError,
    RequestError,
    StorageError,
    VerifyError,
    WrongChecksumError,
    WrongSizeError,
)
from flashsim_prod.grid.catalog.base import Catalog, FileEntry
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import FileRow, RequestRow
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.catalogs import open_catalog
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request

#: what is raised when all problems are of one kind
_ERRORS: dict[str, type[VerifyError]] = {
    "missing": MissingFileError,
    "extra": ExtraFileError,
    "size": WrongSizeError,
    "checksum": WrongChecksumError,
}


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


def error_of(found: Verification) -> VerifyError | None:
    """The error that tells what was found, by its class too; ``None`` if all agree."""
    if not found.problems:
        return None
    kinds = sorted({problem.kind for problem in found.problems})
    number = len(found.problems)
    line = f"{found.dataset}: {number} disagreement{'' if number == 1 else 's'} ({', '.join(kinds)})"
    return (_ERRORS.get(kinds[0], VerifyError) if len(kinds) == 1 else VerifyError)(line)


def verify(
    home: Home,
    dataset: str,
    *,
    catalog: str = "local",
    scope: str = "cms",
    seen: Callable[[str, int], None] | None = None,
) -> Verification:
    """Compare all files of a dataset, reading every byte of them.

    Parameters
    ----------
    home : Home
    dataset : str
        Its name, as the catalogue knows it.
    catalog, scope : str
        Which catalogue, and whose names.
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
    with open_catalog(catalog, home, scope) as opened:
        container = opened.container(dataset)
        entries = list(opened.files(dataset))
        with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
            row = _request_of(ledger, dataset)
            recorded = {file.output.lfn: file for file in ledger.files(row.name, Stage.MERGE)}
        request = load_request(home.folder(row.name).request)
        storage = storage_of(home, request, opened, entries)
        # of events that may leave in the shower, only the jobs know how many are left
        expected = sum(file.output.events for file in recorded.values()) if request.is_thinned else row.events
        problems = list(_against_ledger(entries, recorded, row, expected))
        for entry in entries:
            problems += against_storage(entry, storage, opened)
            if seen:
                seen(entry.lfn, entry.bytes)
    problems += _extra(entries, storage)
    return Verification(container.name, len(entries), container.bytes, tuple(problems))


def storage_of(home: Home, request: Request, catalog: Catalog, entries: Sequence[FileEntry]) -> Storage:
    """The storage element that the catalogue says has the files: the request's, or the first one named."""
    named = {replica.rse for entry in entries for replica in entry.replicas}
    rse = request.rse if request.rse in named else min(named, default=request.rse)
    prefix = catalog.prefix(rse, entries[0].lfn) if entries else None
    rules = request.site.storage if prefix is None else StorageRules(rse=rse, prefix=prefix)
    return open_storage(rules, home.path)


def _request_of(ledger: Ledger, dataset: str) -> RequestRow:
    for row in ledger.requests():
        if str(row.dataset) == dataset:
            return row
    raise RequestError(f"{dataset}: the ledger knows no request that made it")


def _against_ledger(
    entries: list[FileEntry], recorded: dict[str, FileRow], row: RequestRow, expected: int
) -> Iterator[Problem]:
    for entry in entries:
        file = recorded.pop(entry.lfn, None)
        if file is None:
            yield Problem(entry.lfn, "ledger", "in the catalogue, but not in the ledger")
        elif _identity(file.output) != _identity(entry):
            yield Problem(entry.lfn, "ledger", "catalogue and ledger have other sizes, checksums or events")
    for lfn in recorded:
        yield Problem(lfn, "ledger", "in the ledger, but not in the catalogue")
    events = sum(entry.events for entry in entries)
    if events != expected:
        yield Problem(str(row.dataset), "events", f"{events} events in the catalogue, {expected} asked for")


def _identity(file: OutputFile | FileEntry) -> tuple[int, str, int]:
    return file.bytes, file.adler32, file.events


def against_storage(
    entry: FileEntry, storage: Storage, catalog: Catalog | None, *, read: bool = True
) -> Iterator[Problem]:
    """What is wrong with a file in storage; without `read` only its size is looked at.

    Parameters
    ----------
    catalog : Catalog, optional
        Where the entry is from.
    """
    rse = storage.rse
    if rse not in {replica.rse for replica in entry.replicas}:
        # a replica that nobody gets is none, and yet there
        word = catalog.withheld(entry.lfn, rse) if catalog else None
        none = f"the catalogue has no replica of it at {rse}"
        yield Problem(
            entry.lfn, "missing", none if word is None else f"the catalogue calls its replica at {rse} {word}"
        )
        return
    size = storage.stat(entry.lfn)
    if size is None:
        yield Problem(entry.lfn, "missing", f"not in storage: {storage.pfn(entry.lfn)}")
        return
    if size != entry.bytes:
        yield Problem(entry.lfn, "size", f"{size} bytes in storage, {entry.bytes} in the catalogue")
        return
    if not read:
        return
    try:
        found = storage.checksums(entry.lfn)
    except StorageError as error:
        yield Problem(entry.lfn, "missing", str(error))
        return
    # not every catalogue keeps sha256
    if found.adler32 != entry.adler32 or entry.sha256 not in ("", found.sha256):
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
