"""Requests at sites that go on by themselves: hand over, look, follow, finish."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from flashsim_prod.core.site import Site
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import FlashSimError, StorageError
from flashsim_prod.grid.batch.base import BatchSystem, NodeKey, Submission
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.batch.outage import Outage
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.context import Outcome, RequestContext, in_state, opened_request, outcome
from flashsim_prod.production.dataset.register import register_in
from flashsim_prod.production.drive.foreground import check_means, clean_storage, run_here
from flashsim_prod.production.drive.local_run import Display, Tally
from flashsim_prod.production.drive.reconcile import Remaining, reconcile
from flashsim_prod.production.drive.watch import adopt, look, submission_of
from flashsim_prod.production.home import Home
from flashsim_prod.production.notices.telling import telling
from flashsim_prod.production.order.folder import load_request

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


def hand_over(
    home: Home, name: str, display: Display | None = None, *, at_once: int | None = None
) -> HandOver:
    """Hand all that is missing of a request to its batch system, unless that is at work on it already.

    What the batch system does not run is run here, as soon as its inputs are there; a dataset that is
    complete is registered.

    Parameters
    ----------
    home : Home
    name : str
    display : Display, optional
    at_once : int, optional
        Jobs at a time, of an engine that can be told; as its site says by default.

    Raises
    ------
    LockedError
        If another command is at work on the request.
    RequestError, StateError, StorageError, ConfigError, BundleError, CatalogError
        If it cannot go on; nothing is lost.
    """
    folder, display = home.existing(name), display or Display()
    with telling(home, name), request_lock(folder.path), opened_request(home, folder) as context:
        batch = open_batch(context.request.site)
        poll = look(context, batch)
        row = context.ledger.submissions.open(name)
        if poll is not None and row is not None:
            done = {
                NodeKey(job.stage, job.index) for job in context.ledger.jobs(name, states={JobState.DONE})
            }
            added = batch.complete(submission_of(context, row, done))
            return HandOver(outcome(context), row.batch_id, False, added or poll.notes)
        context.ledger.set_cancelled(name, False)
        adopt(context)
        remaining = reconcile(context)
        theirs = _restricted(remaining, batch.stages)
        if theirs.simulate or theirs.merge:
            check_means(context, theirs)
            clean_storage(context)
            return _submit(_limited(context, at_once), batch, remaining)
        return HandOver(_finish_here(context, remaining, display), None, False)


def check_software(site: Site) -> None:
    """See, before anything is written, that jobs at `site` will find their software; `ConfigError` if not."""
    if site.rules.goes_on_alone:
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


def leftovers(home: Home, name: str) -> tuple[str, ...]:
    """What a person has to remove of a request that is done, a line each; nothing at most sites."""
    folder = home.existing(name)
    request = load_request(folder.request)
    if not request.site.rules.leaves_outputs():
        return ()
    whole = Submission(request, folder.request, home.path, folder.batch, nodes=())
    return open_batch(request.site).leftovers(whole)


def follow(home: Home, name: str, display: Display, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Look again and again until the batch system is done with a request, then finish it.

    `stop` ends the following; the request goes on. A batch system that does not answer is waited for.
    """
    outage, told = Outage(display.remark), set[str]()
    while True:
        try:
            found = observe(home, name, display, told)
        except StorageError as error:
            if stop() or not outage.is_borne(error):
                raise
        else:
            outage.ended()
            if found is None:
                return hand_over_rest(home, name, display)
            if stop():
                return found
        time.sleep(LOOK_INTERVAL_S)


def observe(home: Home, name: str, display: Display, told: set[str] | None = None) -> Outcome | None:
    """One look at a request that was handed over; ``None`` once nothing is at work on it.

    With `told`, the display gets what the batch system says, such as why jobs wait, unless that is in `told`.
    """
    folder = home.existing(name)
    with (
        telling(home, name),
        request_lock(folder.path, patience_s=_PATIENCE_S),
        opened_request(home, folder) as context,
    ):
        poll = look(context, open_batch(context.request.site))
        display.tally(tally(context))
        if poll is not None and told is not None:
            for note in poll.notes:
                # the same with other numbers is nothing new
                if (words := re.sub(r"\d+", "", note)) not in told:
                    told.add(words)
                    display.remark(note)
        return outcome(context) if poll is not None and poll.alive else None


def hand_over_rest(home: Home, name: str, display: Display) -> Outcome:
    """Finish on this machine what a batch system has left to do here; hands nothing over again."""
    folder = home.existing(name)
    with (
        telling(home, name, errors=True),
        request_lock(folder.path, patience_s=_PATIENCE_S),
        opened_request(home, folder) as context,
    ):
        batch = open_batch(context.request.site)
        row = context.ledger.request(name)
        given_up = in_state(context.ledger.counts(name), JobState.FAILED, JobState.CANCELLED)
        if given_up or row.cancelled:
            return outcome(context)
        adopt(context)
        remaining = reconcile(context)
        theirs = _restricted(remaining, batch.stages)
        if theirs.simulate or theirs.merge:
            return outcome(context)
        return _finish_here(context, remaining, display)


def register_finished(home: Home, name: str) -> Outcome:
    """The last job of a graph: see that all is done, and register the dataset.

    Knows the reports only, not the batch system.

    Raises
    ------
    StorageError
        If some job is not done after all; worth another try, since files can be late to appear.
    """
    folder = home.existing(name)
    with (
        telling(home, name),
        request_lock(folder.path, patience_s=_PATIENCE_S),
        opened_request(home, folder) as context,
    ):
        adopt(context)
        counts = context.ledger.counts(name)
        done = in_state(counts, JobState.DONE)
        jobs = context.request.n_simulate + context.request.n_merge
        if done != jobs:
            raise StorageError(f"request {name}: reports of {jobs - done} jobs are not there; not registered")
        if context.request.catalog != "none":
            register_in(context, context.request.catalog)
        _sweep(context)
        return outcome(context)


def tally(context: RequestContext) -> Tally:
    """How far a request is, by the ledger."""
    counts, request = context.ledger.counts(context.name), context.request
    done = {stage: counts.get((stage, JobState.DONE), 0) for stage in Stage}
    last = simulate_job(request, request.n_simulate - 1).events
    per_job = request.split.gen_events_per_job * request.oversample
    events = min(done[Stage.SIMULATE] * per_job, (request.n_simulate - 1) * per_job + last)
    lost = 0
    if request.is_thinned:
        made = context.ledger.totals(context.name).get(Stage.SIMULATE)
        lost = max(0, events - (made.events if made else 0))
    return Tally(
        events=events - lost,
        events_expected=request.events - lost,
        done=done,
        expected={Stage.SIMULATE: request.n_simulate, Stage.MERGE: request.n_merge},
        running=in_state(counts, JobState.RUNNING),
        failed=in_state(counts, JobState.FAILED),
        retried=sum(context.ledger.retries(context.name).values()),
    )


def _restricted(remaining: Remaining, stages: frozenset[Stage]) -> Remaining:
    return Remaining(
        simulate=remaining.simulate if Stage.SIMULATE in stages else (),
        merge=remaining.merge if Stage.MERGE in stages else (),
    )


def _limited(context: RequestContext, at_once: int | None) -> RequestContext:
    """The same, its site with no more than so many jobs at a time: of this submission, not of the request."""
    site = context.request.site
    rules = None if at_once is None else site.rules.limited(at_once)
    if rules is None:
        return context
    limited = context.request.model_copy(update={"site": site.model_copy(update={"rules": rules})})
    return replace(context, request=limited)


def _submit(context: RequestContext, batch: BatchSystem, remaining: Remaining) -> HandOver:
    left = {node.key for node in remaining.nodes(context.request)}
    submissions = context.ledger.submissions
    row = submissions.intend(context.name, secrets.token_hex(16), batch.stages)
    whole = submission_of(context, row)
    submission = submission_of(context, row, {node.key for node in whole.nodes} - left)
    try:
        batch.render(submission)
    except FlashSimError:
        submissions.end(context.name)
        raise
    receipt = batch.submit(submission)
    if receipt.batch_id is None:
        submissions.end(context.name)
    else:
        submissions.handed_over(context.name, receipt.batch_id)
    return HandOver(outcome(context), receipt.batch_id, receipt.batch_id is not None, receipt.remarks)


def _finish_here(context: RequestContext, remaining: Remaining, display: Display) -> Outcome:
    """Run what is left on this machine and register; all that the batch system runs is done."""
    if remaining.simulate or remaining.merge:
        summary = run_here(context, remaining, display)
        if not summary.succeeded:
            return outcome(context, summary.stopped_by)
    row = context.ledger.request(context.name)
    if context.request.catalog != "none" and row.registered is None:
        register_in(context, context.request.catalog, display.registered)
    _sweep(context)
    return outcome(context)


def _sweep(context: RequestContext) -> None:
    """Remove the jobs' scratch folder and locks; all of them are done."""
    shutil.rmtree(context.folder.work, ignore_errors=True)
