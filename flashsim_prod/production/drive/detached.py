"""Requests at sites that go on by themselves: hand over, look, follow, finish."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from flashsim_prod.core.site import Site
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import FlashSimError, StorageError
from flashsim_prod.grid.batch.base import BatchSystem, NodeKey, Submission
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.drive.foreground import (
    Outcome,
    check_means,
    clean_storage,
    opened_desk,
    outcome,
    register_in,
    run_here,
)
from flashsim_prod.production.drive.local_run import Display, Tally
from flashsim_prod.production.drive.reconcile import Desk, Remaining, reconcile
from flashsim_prod.production.drive.watch import adopt, look, submission_of
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.state import in_state

#: between two looks of a command that follows a request [s]
LOOK_INTERVAL_S = 5.0
#: how long the last job of a graph waits for commands that hold the request [s]
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class HandOver:
    """What came of handing a request over.

    Attributes
    ----------
    outcome : Outcome
        How the request stands now.
    batch_id : str or None
        The batch system's name for what was handed over, or was already; ``None`` if nothing is at work.
    is_new : bool
        Whether it was handed over just now.
    remarks : tuple of str
        What to tell the user, a line each.
    """

    outcome: Outcome
    batch_id: str | None
    is_new: bool
    remarks: tuple[str, ...] = ()


def hand_over(home: Home, name: str, display: Display | None = None) -> HandOver:
    """Hand all that is missing of a request to its batch system, unless that is at work on it already.

    What the batch system does not run is run here, as soon as its inputs are there; a dataset that is
    complete is registered.

    Raises
    ------
    LockedError
        If another command is at work on the request.
    RequestError, StateError, StorageError, ConfigError, BundleError, CatalogError
        If it cannot go on; nothing is lost.
    """
    folder, display = home.existing(name), display or Display()
    with request_lock(folder.path), opened_desk(home, folder) as desk:
        batch = open_batch(desk.request.site)
        poll = look(desk, batch)
        row = desk.ledger.submissions.open(name)
        if poll is not None and row is not None:
            done = {NodeKey(job.stage, job.index) for job in desk.ledger.jobs(name, states={JobState.DONE})}
            added = batch.complete(submission_of(desk, row, done))
            return HandOver(outcome(desk), row.batch_id, False, added or poll.notes)
        desk.ledger.set_cancelled(name, False)
        adopt(desk)
        remaining = reconcile(desk)
        theirs = _restricted(remaining, batch.stages)
        if theirs.simulate or theirs.merge:
            check_means(desk, theirs)
            clean_storage(desk)
            return _submit(desk, batch, remaining)
        return HandOver(_finish_here(desk, remaining, display), None, False)


def check_software(site: Site) -> None:
    """See, before anything is written, that jobs at `site` will find their software; `ConfigError` if not."""
    if site.engine.is_detached:
        open_batch(site).check_software()


def render(home: Home, name: str) -> None:
    """Write what would be handed over of a request that has only a folder, for review."""
    folder = home.existing(name)
    request = load_request(folder.request)
    batch = open_batch(request.site)
    nodes = Remaining(tuple(range(request.n_simulate)), tuple(range(request.n_merge))).nodes(request)
    batch.render(
        Submission(
            request=request,
            request_file=folder.request,
            home=home.path,
            folder=folder.batch,
            nodes=tuple(nodes),
        )
    )


def follow(home: Home, name: str, display: Display, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Look again and again until the batch system is done with a request, then finish it.

    `stop` ends the following; the request goes on.
    """
    while True:
        found = observe(home, name, display)
        if found is None:
            return hand_over_rest(home, name, display)
        if stop():
            return found
        time.sleep(LOOK_INTERVAL_S)


def observe(home: Home, name: str, display: Display) -> Outcome | None:
    """One look at a request that was handed over; ``None`` once nothing is at work on it."""
    folder = home.existing(name)
    with request_lock(folder.path, patience_s=_PATIENCE_S), opened_desk(home, folder) as desk:
        poll = look(desk, open_batch(desk.request.site))
        display.tally(tally(desk))
        return outcome(desk) if poll is not None and poll.alive else None


def hand_over_rest(home: Home, name: str, display: Display) -> Outcome:
    """Finish on this machine what a batch system has left to do here; hands nothing over again."""
    folder = home.existing(name)
    with request_lock(folder.path, patience_s=_PATIENCE_S), opened_desk(home, folder) as desk:
        batch = open_batch(desk.request.site)
        row = desk.ledger.request(name)
        given_up = in_state(desk.ledger.counts(name), JobState.FAILED, JobState.CANCELLED)
        if given_up or row.cancelled:
            return outcome(desk)
        adopt(desk)
        remaining = reconcile(desk)
        theirs = _restricted(remaining, batch.stages)
        if theirs.simulate or theirs.merge:
            return outcome(desk)
        return _finish_here(desk, remaining, display)


def register_finished(home: Home, name: str) -> Outcome:
    """The last job of a graph: see that all is done, and register the dataset.

    Knows the reports only, not the batch system.

    Raises
    ------
    StorageError
        If some job is not done after all; worth another try, since files can be late to appear.
    """
    folder = home.existing(name)
    with request_lock(folder.path, patience_s=_PATIENCE_S), opened_desk(home, folder) as desk:
        adopt(desk)
        counts = desk.ledger.counts(name)
        done = in_state(counts, JobState.DONE)
        jobs = desk.request.n_simulate + desk.request.n_merge
        if done != jobs:
            raise StorageError(f"request {name}: reports of {jobs - done} jobs are not there; not registered")
        if desk.request.catalog != "none":
            register_in(desk, desk.request.catalog)
        _sweep(desk)
        return outcome(desk)


def tally(desk: Desk) -> Tally:
    """How far a request is, by the ledger."""
    counts, request = desk.ledger.counts(desk.name), desk.request
    done = {stage: counts.get((stage, JobState.DONE), 0) for stage in Stage}
    last = simulate_job(request, request.n_simulate - 1).events
    per_job = request.split.gen_events_per_job * request.oversample
    return Tally(
        events=min(done[Stage.SIMULATE] * per_job, (request.n_simulate - 1) * per_job + last),
        events_expected=request.events,
        done=done,
        expected={Stage.SIMULATE: request.n_simulate, Stage.MERGE: request.n_merge},
        running=in_state(counts, JobState.RUNNING),
        failed=in_state(counts, JobState.FAILED),
        retried=sum(desk.ledger.retries(desk.name).values()),
    )


def _restricted(remaining: Remaining, stages: frozenset[Stage]) -> Remaining:
    return Remaining(
        simulate=remaining.simulate if Stage.SIMULATE in stages else (),
        merge=remaining.merge if Stage.MERGE in stages else (),
    )


def _submit(desk: Desk, batch: BatchSystem, remaining: Remaining) -> HandOver:
    left = {node.key for node in remaining.nodes(desk.request)}
    submissions = desk.ledger.submissions
    row = submissions.intend(desk.name, secrets.token_hex(16), batch.stages)
    whole = submission_of(desk, row)
    submission = submission_of(desk, row, {node.key for node in whole.nodes} - left)
    try:
        batch.render(submission)
    except FlashSimError:
        submissions.end(desk.name)
        raise
    receipt = batch.submit(submission)
    if receipt.batch_id is None:
        submissions.end(desk.name)
    else:
        submissions.handed_over(desk.name, receipt.batch_id)
    return HandOver(outcome(desk), receipt.batch_id, receipt.batch_id is not None, receipt.remarks)


def _finish_here(desk: Desk, remaining: Remaining, display: Display) -> Outcome:
    """Run what is left on this machine and register; all that the batch system runs is done."""
    if remaining.simulate or remaining.merge:
        summary = run_here(desk, remaining, display)
        if not summary.succeeded:
            return outcome(desk, summary.stopped_by)
    row = desk.ledger.request(desk.name)
    if desk.request.catalog != "none" and row.registered is None:
        register_in(desk, desk.request.catalog, display.registered)
    _sweep(desk)
    return outcome(desk)


def _sweep(desk: Desk) -> None:
    """Remove the jobs' scratch folder and locks; all of them are done."""
    shutil.rmtree(desk.folder.work, ignore_errors=True)
