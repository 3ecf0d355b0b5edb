"""Declaring a finished dataset in the catalogue; may be done any number of times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby

from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import merge_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import CatalogError, StateError, StorageError
from flashsim_prod.grid.catalog.base import Catalog, CatalogFile
from flashsim_prod.grid.ledger.rows import FileRow
from flashsim_prod.production.reconcile import Desk


def register(desk: Desk, catalog: Catalog) -> None:
    """Declare container, blocks, files, replicas and a rule, and read them back.

    Raises
    ------
    StateError
        If the dataset is not finished.
    StorageError
        If a file is not where it should be.
    CatalogError
        If the catalogue knows something else under one of the names.
    """
    request = desk.request
    files = list(desk.ledger.files(desk.name, Stage.MERGE))
    if len(files) != request.n_merge:
        raise StateError(
            f"{request.dataset}: {len(files)} of {request.n_merge} files are made; nothing registered"
        )
    _check_storage(desk, files)
    container = str(request.dataset)
    catalog.ensure_container(container, metadata(request, desk.digest))
    for block, entries in _by_block(request, files):
        catalog.ensure_block(container, block)
        catalog.declare(block, entries, desk.storage.rse)
        catalog.close_block(block)
    catalog.add_rule(container, desk.storage.rse)
    _read_back(request, catalog)
    desk.ledger.set_registered(desk.name, datetime.now(UTC))


def metadata(request: Request, digest: str) -> dict[str, object]:
    """What the catalogue keeps of a dataset's making."""
    return {
        "request": request.name,
        "request_digest": digest,
        "card": request.card.name,
        "energy_tev": request.energy_tev,
        "oversample": request.oversample,
        "gen_events": request.gen_events,
        "seed": request.seed,
        "bundle": request.bundle.path,
        "bundle_digest": request.bundle.digest,
        "software": f"flashsim-prod {request.software_version}",
    }


def _check_storage(desk: Desk, files: list[FileRow]) -> None:
    for file in files:
        found = desk.storage.stat(file.output.lfn)
        if found != file.output.bytes:
            raise StorageError(
                f"{file.output.pfn}: {'missing' if found is None else f'{found} bytes'}, "
                f"expected {file.output.bytes} bytes; flashsim-prod retry {desk.name} makes it anew"
            )


def _by_block(request: Request, files: list[FileRow]) -> Iterator[tuple[str, list[CatalogFile]]]:
    for block, rows in groupby(files, key=lambda row: merge_job(request, row.index).block):
        yield block, [_entry(row) for row in rows]


def _entry(row: FileRow) -> CatalogFile:
    file = row.output
    return CatalogFile(
        lfn=file.lfn,
        pfn=file.pfn,
        bytes=file.bytes,
        events=file.events,
        adler32=file.adler32,
        sha256=file.sha256,
        lumis=file.lumis,
    )


def _read_back(request: Request, catalog: Catalog) -> None:
    found = catalog.container(str(request.dataset))
    if (found.files, found.events, found.open_blocks) != (request.n_merge, request.events, 0):
        raise CatalogError(
            f"{found.name}: the catalogue has {found.files} files with {found.events} events and "
            f"{found.open_blocks} open blocks, expected {request.n_merge}, {request.events} and 0"
        )
