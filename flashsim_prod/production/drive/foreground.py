"""Driving a request on this machine, in the foreground, from wherever it stands to its dataset."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from flashsim_prod import __version__
from flashsim_prod.core.report import OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.core.states import FINAL, JobState, RequestState, Stage
from flashsim_prod.errors import NoSpaceError, StateError
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.batch.local import LocalBatch, RunSummary
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import Failure
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.grid.storage.local import LocalStorage
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.catalogs import open_catalog
from flashsim_prod.production.dataset.register import Progress, register
from flashsim_prod.production.drive.local_run import Display, LocalRun
from flashsim_prod.production.drive.reconcile import Desk, Remaining, reconcile
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.place import enter_existing, measured_rates
from flashsim_prod.production.state import request_state

#: jobs that run at a time on a machine from which others are handed over
_SLOTS_BESIDE_OTHERS = 2


@dataclass(frozen=True)
class Outcome:
    """How a drive ended.

    Attributes
    ----------
    files : tuple of OutputFile
        The dataset's files that are there, by number.
    failures : tuple of Failure
        Why jobs failed, grouped; empty unless `state` is FAILED.
    stopped_by : int or None
        The signal that ended the drive early.
    stopped : str or None
        Why a batch system ended it before its jobs had, where somebody else saw to that.
    """

    request: Request
    state: RequestState
    files: tuple[OutputFile, ...]
    failures: tuple[Failure, ...] = ()
    stopped_by: int | None = None
    stopped: str | None = None


def drive(home: Home, name: str, display: Display | None = None) -> Outcome:
    """Run all that is missing of a request, then register its dataset.

    Kill it at any point: the next drive goes on from there to the very same dataset.

    Raises
    ------
    LockedError
        If another command drives the request.
    RequestError
        If there is no such request.
    StateError
        If its ``request.yaml`` was changed.
    NoSpaceError, StorageError, CatalogError, BundleError
        If it cannot go on; nothing is lost.
    """
    folder = home.existing(name)
    display = display or Display()
    with request_lock(folder.path), opened_desk(home, folder) as desk:
        desk.ledger.set_cancelled(name, False)
        remaining = reconcile(desk)
        check_means(desk, remaining)
        summary = run_here(desk, remaining, display)
        _finish(desk, summary, display)
        return outcome(desk, summary.stopped_by)


@contextmanager
def opened_desk(home: Home, folder: RequestFolder) -> Iterator[Desk]:
    """Ledger and storage of a request that is at hand in `folder`; it is entered if it was not.

    Raises
    ------
    StateError
        If the request is not the one that was entered.
    """
    request = load_request(folder.request)
    with Ledger(home.ledger) as ledger:
        if not ledger.has_request(folder.name):
            enter_existing(ledger, folder, request)
        digest = request.digest()
        if ledger.request(folder.name).digest != digest:
            raise StateError(
                f"{folder.request}: changed since the request was placed; bring the old one back, "
                "or order a new request"
            )
        storage = open_storage(request.site.storage, home.path)
        yield Desk(home, request, digest, folder, ledger, storage)


def check_means(desk: Desk, remaining: Remaining) -> None:
    """Software, bundle and free space, before thousands of jobs find out one by one."""
    if not remaining.simulate:
        return
    from flashsim_prod.production.job.simulate import bound_bundle

    if desk.request.software_version != __version__:
        raise StateError(
            f"request {desk.name} was placed with flashsim-prod {desk.request.software_version}, this is "
            f"{__version__}, which may draw other numbers; install that version, or order a new request"
        )
    bound_bundle(desk.request)
    if not isinstance(desk.storage, LocalStorage):
        return  # a server has its own room, and says when it is full
    needed = _bytes_needed(desk, remaining)
    with storage_errors(f"asking for free space in {desk.home.path}"):
        free = shutil.disk_usage(desk.home.path).free
    if free < needed:
        raise NoSpaceError(
            f"{desk.home.path}: {format_bytes(free)} are free, request {desk.name} still needs "
            f"about {format_bytes(needed)}; free some space, then retry"
        )


def _bytes_needed(desk: Desk, remaining: Remaining) -> float:
    """Space for the files still to be made, each event once as simulated and once as merged [B]."""
    request = desk.request
    measured = measured_rates(desk.ledger, request.site, request.card.name, request.device)
    sizes = [rates.bytes_per_event for rates in (request.site.rates, *([measured.rates] if measured else []))]
    return 2 * request.events * max(sizes) * len(remaining.simulate) / request.n_simulate


def run_here(desk: Desk, remaining: Remaining, display: Display) -> RunSummary:
    """Run jobs as processes of this machine, to the end of all that can run."""
    clean_storage(desk)
    site = desk.request.site
    run = LocalRun(desk, remaining, display)
    run.show()
    # where jobs run elsewhere, people share the machine from which they are handed over
    slots = _SLOTS_BESIDE_OTHERS if site.engine.is_detached else site.slots
    batch = LocalBatch(slots, max_attempts=site.max_attempts)
    return batch.run(
        remaining.nodes(desk.request),
        run,
        run,
        stop=lambda: run.is_hopeless or desk.ledger.request(desk.name).cancelled,
    )


def clean_storage(desk: Desk) -> None:
    """Sweep out half copies of killed workers."""
    dataset = desk.request.dataset
    for lfn in (dataset.unmerged_lfn(desk.name, 0), dataset.lfn(0, uuid.UUID(int=0))):
        # an LFN ends in a numbered group and the file
        desk.storage.clean(str(PurePosixPath(lfn).parent.parent))


def _finish(desk: Desk, summary: RunSummary, display: Display) -> None:
    shutil.rmtree(desk.folder.work, ignore_errors=True)
    if desk.ledger.request(desk.name).cancelled:
        desk.ledger.move_all(desk.name, set(JobState) - FINAL, JobState.CANCELLED)
    elif summary.succeeded and desk.request.catalog != "none":
        register_in(desk, desk.request.catalog, display.registered)


def register_in(desk: Desk, catalog: str, progress: Progress | None = None) -> None:
    """Register the finished dataset of a request in the catalogue named; errors as of `register`."""
    with open_catalog(catalog, desk.home, desk.request.registration.scope) as opened:
        register(desk, opened, progress)


def outcome(desk: Desk, stopped_by: int | None = None) -> Outcome:
    """How a request stands at the end of a drive."""
    row, counts = desk.ledger.request(desk.name), desk.ledger.counts(desk.name)
    at_work = desk.ledger.submissions.open(desk.name) is not None
    state = request_state(row, counts, driven=at_work)
    last = desk.ledger.submissions.last(desk.name)
    return Outcome(
        request=desk.request,
        state=state,
        files=tuple(file.output for file in desk.ledger.files(desk.name, Stage.MERGE)),
        failures=tuple(desk.ledger.failures(desk.name)) if state is RequestState.FAILED else (),
        stopped_by=stopped_by,
        stopped=last.stopped if last is not None and state is RequestState.CANCELLED else None,
    )
