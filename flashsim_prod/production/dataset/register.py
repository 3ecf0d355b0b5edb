"""Declaring a finished dataset in a catalogue; may be done any number of times, also at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

from flashsim_prod.core.request import Registration, Request
from flashsim_prod.core.site import StorageRules
from flashsim_prod.core.splitting import merge_job
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import CatalogError, RequestError, StateError, StorageError
from flashsim_prod.grid.catalog.base import MEASURED, Catalog, CatalogFile
from flashsim_prod.grid.ledger.rows import FileRow, StageTotals
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.checksums import Checksums
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.catalogs import RSE_VARIABLE, check_registration, open_catalog
from flashsim_prod.production.context import Outcome, RequestContext, opened_request, request_state
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.accepted import accepted_of

#: metadata that is known once all jobs have ended, and grows until then
_AT_THE_END = frozenset({"gen_events_accepted", "accepted_share"})

#: is told files registered and files in all
FilesProgress = Callable[[int, int], None]


def register(context: RequestContext, catalog: Catalog, progress: FilesProgress | None = None) -> None:
    """Declare container, blocks, files, replicas and a rule, and read them back.

    Where the catalogue has its own idea of where files belong, they are brought there, unless that is where
    they are; and nothing is declared there whose checksums were not just read.

    Parameters
    ----------
    context : Desk
    catalog : Catalog
        Of the scope that the request is registered under.
    progress : callable, optional
        Is told files registered and files in all.

    Raises
    ------
    StateError
        If the dataset is not finished.
    StorageError
        If a file is not where it should be, or not as it was made.
    CatalogError
        If the catalogue knows something else under one of the names.
    """
    request, rse = context.request, context.request.rse
    made = context.ledger.counts(context.name).get((Stage.MERGE, JobState.DONE), 0)
    if made != request.n_merge:
        raise StateError(f"{request.dataset}: {made} of {request.n_merge} files are made; nothing registered")
    check_registration(catalog.kind, catalog.scope, rse)
    container, done = str(request.dataset), 0
    catalog.ensure_container(container, metadata(context))
    for files in declare_blocks(catalog, container, _blocks(context, catalog), rse):
        done += files
        if progress:
            progress(done, request.n_merge)
    _add_rule(request, catalog)
    _read_back(context, catalog)
    context.ledger.set_registered(context.name, datetime.now(UTC))


def register_part(context: RequestContext, catalog: Catalog, progress: FilesProgress | None = None) -> None:
    """Declare the files that there are of a dataset that is not finished.

    A block is closed once all of its files are declared; the dataset is registered only when it is whole.

    Parameters and errors are those of `register`.
    """
    request, rse = context.request, context.request.rse
    check_registration(catalog.kind, catalog.scope, rse)
    container, done = str(request.dataset), 0
    left_out = MEASURED | _AT_THE_END
    settled = {key: value for key, value in metadata(context).items() if key not in left_out}
    catalog.ensure_container(container, settled)
    whole = _whole_blocks(context)
    for block, files in _blocks(context, catalog):
        portion = list(files)
        catalog.ensure_block(container, block)
        catalog.declare(block, portion, rse)
        if len(portion) == whole[block]:
            catalog.close_block(block)
        done += len(portion)
        if progress:
            progress(done, done)
    _add_rule(request, catalog)


def _whole_blocks(context: RequestContext) -> dict[str, int]:
    """How many files each block has once it is whole, of the blocks that have a file by now."""
    request, per_block = context.request, context.request.split.files_per_block
    indices = (row.index for row in context.ledger.files(context.name, Stage.MERGE))
    return {
        merge_job(request, index).block: min(per_block, request.n_merge - index // per_block * per_block)
        for index in indices
    }


def _add_rule(request: Request, catalog: Catalog) -> None:
    days = request.registration.lifetime_days
    lifetime_s = None if days is None else days * 86400
    catalog.add_rule(str(request.dataset), request.rse_expression, lifetime_s=lifetime_s)


def declare_blocks(
    catalog: Catalog, container: str, blocks: Iterable[tuple[str, Iterable[CatalogFile]]], rse: str
) -> Iterator[int]:
    """Declare blocks with all their files and close them.

    Parameters
    ----------
    catalog : Catalog
    container : str
        An existing one.
    blocks : iterable of (str, iterable of CatalogFile)
        Their names and files; no more than one block is held at a time.
    rse : str
        The storage element that holds them.

    Yields
    ------
    int
        How many files a block has, once it is closed.
    """
    for block, files in blocks:
        portion = list(files)
        catalog.ensure_block(container, block)
        catalog.declare(block, portion, rse)
        catalog.close_block(block)
        yield len(portion)


def metadata(context: RequestContext) -> dict[str, object]:
    """What the catalogue keeps of a dataset's making."""
    request = context.request
    return {
        "request": request.name,
        "request_digest": context.digest,
        "card": request.card.name,
        **({"card_settings": list(request.card.settings)} if request.source.runs_generator else {}),
        "energy_tev": request.energy_tev,
        "oversample": request.oversample,
        "gen_events": request.gen_events,
        "seed": request.seed,
        **_merging(context),
        "bundle": request.bundle.path,
        "bundle_digest": request.bundle.digest,
        **({"extends": request.extends.dataset} if request.extends else {}),
        **({"parents": list(request.source.parents)} if request.source.parents else {}),
        "software": f"flashsim-prod {request.software_version}",
        **_energy(list(context.ledger.totals(context.name).values())),
    }


def _merging(context: RequestContext) -> dict[str, object]:
    """What merging in the shower left of the events that were tried, if there was any."""
    found = accepted_of(context.folder, context.request)
    if found is None or found.share is None:
        return {}
    return {"gen_events_accepted": found.accepted, "accepted_share": float(f"{found.share:.6g}")}


def _energy(stages: Sequence[StageTotals]) -> dict[str, object]:
    """What the jobs used whose nodes have meters, and how many of all jobs these are."""
    joules = [one.energy_j for one in stages if one.energy_j]
    if not joules:
        return {}
    return {
        "energy_j": round(sum(joules), 3),
        "energy_measured_jobs": sum(one.measured_jobs for one in stages),
        "energy_all_jobs": sum(one.jobs for one in stages),
    }


def _blocks(context: RequestContext, catalog: Catalog) -> Iterator[tuple[str, Iterator[CatalogFile]]]:
    """Each block with its files."""
    target: Storage | None = None
    rows = context.ledger.files(context.name, Stage.MERGE)
    for block, portion in groupby(rows, key=lambda row: merge_job(context.request, row.index).block):
        files = list(portion)
        target = target or _target(context, catalog, files[0].output.lfn)
        yield block, _placed(context, target, files)


def _placed(context: RequestContext, target: Storage, rows: Iterable[FileRow]) -> Iterator[CatalogFile]:
    """Each file, after it was seen to be where it is declared to be."""
    for row in rows:
        sums: Checksums | None = None
        if target is context.storage:
            _check_present(context, row)
        else:
            sums = _brought(context, row, target)
        yield _entry(row, target.pfn(row.output.lfn), sums)


def _target(context: RequestContext, catalog: Catalog, lfn: str) -> Storage:
    """Where the files are to be declared."""
    prefix = catalog.prefix(context.request.rse, lfn)
    if prefix is None:
        return context.storage
    return open_storage(StorageRules(rse=context.request.rse, prefix=prefix), context.home.path)


def _check_present(context: RequestContext, row: FileRow) -> None:
    """See that a file is in the site's storage, by its size."""
    file = row.output
    found = context.storage.stat(file.lfn)
    if found != file.bytes:
        raise StorageError(
            f"{file.pfn}: {'missing' if found is None else f'{found} bytes'}, "
            f"expected {file.bytes} bytes; flashsim-prod retry {context.name} makes it anew"
        )


def _brought(context: RequestContext, row: FileRow, target: Storage) -> Checksums:
    """See that a file is at `target`, by its contents; it is copied there if it is not."""
    file = row.output
    if target.stat(file.lfn) is None:
        _check_present(context, row)
        expected = Checksums(file.bytes, file.adler32, file.sha256)
        with context.storage.readable(file.lfn) as source:
            target.put(source, file.lfn, expected)
    found = target.checksums(file.lfn)
    if (found.bytes, found.adler32, found.sha256) != (file.bytes, file.adler32, file.sha256):
        raise StorageError(
            f"{target.pfn(file.lfn)} has adler32 {found.adler32} and {found.bytes} bytes, expected "
            f"{file.adler32} and {file.bytes}; not registered; remove it, "
            f"then flashsim-prod register {context.name}"
        )
    return found


def _entry(row: FileRow, pfn: str, sums: Checksums | None) -> CatalogFile:
    return CatalogFile.of(row.output, pfn, sums.md5 if sums else None)


def _read_back(context: RequestContext, catalog: Catalog) -> None:
    request = context.request
    events = request.events
    if request.is_thinned:
        events = sum(file.output.events for file in context.ledger.files(context.name, Stage.MERGE))
    found = catalog.container(str(request.dataset))
    if (found.files, found.events, found.open_blocks) != (request.n_merge, events, 0):
        raise CatalogError(
            f"{found.name}: the catalogue has {found.files} files with {found.events} events and "
            f"{found.open_blocks} open blocks, expected {request.n_merge}, {events} and 0"
        )


def register_in(context: RequestContext, catalog: str, progress: FilesProgress | None = None) -> None:
    """Register the finished dataset of a request in the catalogue named; errors as of `register`."""
    with open_catalog(catalog, context.home, context.request.registration.scope) as opened:
        register(context, opened, progress)


def register_part_in(context: RequestContext, catalog: str, progress: FilesProgress | None = None) -> None:
    """Register what there is of a dataset in the catalogue named; errors as of `register`."""
    with open_catalog(catalog, context.home, context.request.registration.scope) as opened:
        register_part(context, opened, progress)


def register_request(
    home: Home,
    name: str,
    *,
    catalog: str | None = None,
    rse: str | None = None,
    rse_expression: str | None = None,
    lifetime_days: float | None = None,
    progress: FilesProgress | None = None,
) -> Outcome:
    """Register a finished dataset; what is registered already is compared and left alone.

    Several of these may run at once. Options that are ``None`` are as in the request.

    Raises
    ------
    RequestError
        If there is no such request, or it names no catalogue.
    StateError, StorageError, CatalogError
        As by `flashsim_prod.production.dataset.register.register`.
    """
    given = {"rse": rse, "rse_expression": rse_expression, "lifetime_days": lifetime_days}
    with opened_request(home, home.existing(name)) as opened:
        chosen = catalog or opened.request.catalog
        if chosen == "none":
            raise RequestError(f"request {name} names no catalogue; say --catalog local or --catalog rucio")
        told = {key: value for key, value in given.items() if value is not None}
        if rse is None and opened.request.registration.rse is None and os.environ.get(RSE_VARIABLE):
            told["rse"] = os.environ[RSE_VARIABLE]
        known = opened.request.registration.model_dump()
        registration = Registration.from_mapping({**known, **told}, "--rse, --rse-expression, --lifetime")
        request = opened.request.model_copy(update={"catalog": chosen, "registration": registration})
        context = replace(opened, request=request)
        register_in(context, chosen, progress)
        row, counts = context.ledger.request(name), context.ledger.counts(name)
        return Outcome(
            request=request,
            state=request_state(row, counts, driven=False),
            files=tuple(file.output for file in context.ledger.files(name, Stage.MERGE)),
        )
