"""Driving a request on this machine, in the foreground, from wherever it stands to its dataset."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Collection
from pathlib import PurePosixPath

from flashsim_prod.core.choices import FileFormat
from flashsim_prod.core.request import Request
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.core.states import FINAL, JobState, Stage
from flashsim_prod.errors import LockedError, NoSpaceError
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.batch.local import LocalBatch, RunSummary
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.grid.storage.local import LocalStorage
from flashsim_prod.production.context import Outcome, RequestContext, opened_request, outcome
from flashsim_prod.production.dataset.register import register_in, register_part_in
from flashsim_prod.production.drive.local_run import Display, LocalRun
from flashsim_prod.production.drive.reconcile import Remaining, reconcile
from flashsim_prod.production.home import Home
from flashsim_prod.production.notices.telling import telling
from flashsim_prod.production.order.place import measured_rates
from flashsim_prod.production.order.plan import slots_of
from flashsim_prod.production.quota import check_quota
from flashsim_prod.software import check_same_software

#: jobs that run at a time on a machine from which others are handed over
_SLOTS_BESIDE_OTHERS = 2


def drive(
    home: Home,
    name: str,
    display: Display | None = None,
    *,
    files: Collection[int] | None = None,
    slots: int | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run all that is missing of a request, then register its dataset.

    Kill it at any point: the next drive goes on from there to the very same dataset.

    Parameters
    ----------
    home : Home
    name : str
        Name of the request.
    display : Display, optional
        Is shown how it goes on.
    files : collection of int, optional
        Only these files of the dataset, which are registered, their blocks staying open until all files are.
    slots : int, optional
        Jobs at a time; the site's by default.
    meanwhile : callable
        Called about once a second while jobs run.

    Raises
    ------
    LockedError
        If another command drives the request, or with `files` its jobs are at work elsewhere.
    RequestError
        If there is no such request.
    StateError
        If its ``request.yaml`` was changed, or it was placed with software that may draw other numbers.
    NoSpaceError, StorageError, CatalogError, BundleError
        If it cannot go on; nothing is lost.
    """
    folder = home.existing(name)
    display = display or Display()
    with (
        telling(home, name, errors=True) as ending,
        request_lock(folder.path),
        opened_request(home, folder) as context,
    ):
        context.ledger.set_cancelled(name, False)
        remaining = reconcile(context)
        if files is not None:
            remaining = _of_files(context, remaining, files)
        _check_form(context.request, remaining)
        check_means(context, remaining)
        summary = run_here(context, remaining, display, slots=slots, meanwhile=meanwhile)
        _finish(context, summary, display)
        ending.stopped_by = summary.stopped_by
        return outcome(context, summary.stopped_by)


def _of_files(context: RequestContext, remaining: Remaining, files: Collection[int]) -> Remaining:
    if context.ledger.submissions.open(context.name) is not None:
        raise LockedError(
            f"request {context.name} is at work at {context.request.site.name}; wait for it to end, "
            f"or stop it: flashsim-prod cancel {context.name}"
        )
    return remaining.of_files(context.request, files)


def _check_form(request: Request, remaining: Remaining) -> None:
    """`ConfigError` if what merging here needs is not installed any more."""
    if remaining.merge and request.format is FileFormat.PARQUET:
        from flashsim_prod.physics.analysis.parquet import refuse_without_library

        refuse_without_library()


def check_means(context: RequestContext, remaining: Remaining) -> None:
    """Software, bundle and free space, before thousands of jobs find out one by one."""
    if not remaining.simulate:
        return
    from flashsim_prod.production.job.simulate import bound_bundle

    check_same_software(context.request)
    bound_bundle(context.request)
    if not isinstance(context.storage, LocalStorage):
        return  # a server has its own room, and says when it is full
    needed = _bytes_needed(context, remaining)
    if context.storage.prefix.is_relative_to(context.home.path.absolute()):
        check_quota(context.home, needed, f"request {context.name}")
    with storage_errors(f"asking for free space in {context.home.path}"):
        free = shutil.disk_usage(context.home.path).free
    if free < needed:
        raise NoSpaceError(
            f"{context.home.path}: {format_bytes(free)} are free, request {context.name} still needs "
            f"about {format_bytes(needed)}; free some space, then retry"
        )


def _bytes_needed(context: RequestContext, remaining: Remaining) -> float:
    """Space for the files still to be made, each event once as simulated and once as merged [B]."""
    request = context.request
    measured = measured_rates(context.ledger, request.site, request.card.name, request.device)
    sizes = [rates.bytes_per_event for rates in (request.site.rates, *([measured.rates] if measured else []))]
    return 2 * request.events * max(sizes) * len(remaining.simulate) / request.n_simulate


def run_here(
    context: RequestContext,
    remaining: Remaining,
    display: Display,
    *,
    slots: int | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> RunSummary:
    """Run jobs as processes of this machine, to the end of all that can run; parameters as of `drive`."""
    clean_storage(context)
    site = context.request.site
    run = LocalRun(context, remaining, display)
    run.show()
    # where jobs run elsewhere, people share the machine from which they are handed over
    usual = _SLOTS_BESIDE_OTHERS if site.rules.goes_on_alone else slots_of(site)
    batch = LocalBatch(usual if slots is None else slots, max_attempts=site.max_attempts)

    def stop() -> bool:
        meanwhile()
        return run.is_hopeless or context.ledger.request(context.name).cancelled

    return batch.run(remaining.nodes(context.request), run, run, stop=stop)


def clean_storage(context: RequestContext) -> None:
    """Sweep out half copies of killed workers."""
    dataset, users = context.request.dataset, context.request.site.storage.user_lfn
    for lfn in (dataset.unmerged_lfn(context.name, 0, users), dataset.lfn(0, uuid.UUID(int=0), users)):
        # an LFN ends in a numbered group and the file
        context.storage.clean(str(PurePosixPath(lfn).parent.parent))


def _finish(context: RequestContext, summary: RunSummary, display: Display) -> None:
    shutil.rmtree(context.folder.work, ignore_errors=True)
    if context.ledger.request(context.name).cancelled:
        context.ledger.move_all(context.name, set(JobState) - FINAL, JobState.CANCELLED)
    elif summary.succeeded and context.request.catalog != "none":
        made = context.ledger.counts(context.name).get((Stage.MERGE, JobState.DONE), 0)
        is_whole = made == context.request.n_merge
        (register_in if is_whole else register_part_in)(context, context.request.catalog, display.registered)
