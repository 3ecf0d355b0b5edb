"""What a batch system and the reports say of a request, entered into the ledger.

The report wins: a job is done if its report says so and its file is there. Where nobody can say, a job is
UNKNOWN; it is never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.states import ACTIVE, JobState, Stage
from flashsim_prod.errors import FlashSimError, LockedError, StorageError
from flashsim_prod.grid.batch.base import BatchSystem, NodeKey, NodeStatus, Poll, Submission
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.ledger.rows import JobRow, RemoteEnd, SubmissionRow
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.context import RequestContext, opened_request
from flashsim_prod.production.drive.reconcile import Remaining, drop_inputs
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.run import read_report
from flashsim_prod.production.notices.telling import tell_aside

#: what a batch system says of these, a report must bear out
_ENDED = (JobState.DONE, JobState.FAILED)


def submission_of(context: RequestContext, row: SubmissionRow, done: Iterable[NodeKey] = ()) -> Submission:
    """A submission as its batch system knows it: the whole graph of the request."""
    everything = Remaining(tuple(range(context.request.n_simulate)), tuple(range(context.request.n_merge)))
    return Submission(
        request=context.request,
        request_file=context.folder.request,
        home=context.home.path,
        folder=context.folder.batch,
        nodes=tuple(everything.nodes(context.request)),
        done=frozenset(done),
        number=row.number,
        token=row.token,
    )


def look(context: RequestContext, batch: BatchSystem) -> Poll | None:
    """Bring the ledger up to date with the open submission; ``None`` if none is open any more.

    To be called while the request is held. A submission whose name was never entered is looked for first.

    Raises
    ------
    StorageError
        If the batch system cannot be reached; the ledger is as it was.
    StateError
        If the batch system cannot tell whether the submission was ever handed over.
    """
    row = context.ledger.submissions.open(context.name)
    if row is None:
        return None
    submission = submission_of(context, row)
    batch_id = row.batch_id
    if batch_id is None:
        batch_id = batch.find(submission)
        if batch_id is None:
            context.ledger.submissions.end(context.name)
            return None
        context.ledger.submissions.handed_over(context.name, batch_id)
    poll = batch.poll(submission, batch_id)
    _enter(context, poll, row.created)
    if not poll.alive:
        context.ledger.submissions.end(context.name, stopped=poll.stopped)
    return poll


@dataclass(frozen=True)
class Glance:
    """What a command that only looks could find out.

    Attributes
    ----------
    alive : bool
        Whether a batch system works on the request.
    notes : tuple of str
        What it says, a line each.
    trouble : str or None
        Why nothing could be found out.
    """

    alive: bool
    notes: tuple[str, ...] = ()
    trouble: str | None = None


def glance(home: Home, name: str) -> Glance | None:
    """One look at a request that was handed over; ``None`` if none is open, or another command looks."""
    try:
        folder = home.existing(name)
        with request_lock(folder.path), opened_request(home, folder) as context:
            poll = look(context, open_batch(context.request.site))
    except LockedError:
        return None
    except FlashSimError as error:
        return Glance(False, trouble=str(error))
    tell_aside(home, name)
    return None if poll is None else Glance(poll.alive, poll.notes)


def adopt(context: RequestContext) -> None:
    """Enter as DONE whatever reports and storage show to be done."""
    left = [row for row in context.ledger.jobs(context.name) if row.state is not JobState.DONE]
    ends = [_success(row, report) for row in left if (report := _valid(context, row))]
    _settle(context, {}, ends)


def _enter(context: RequestContext, poll: Poll, since: datetime) -> None:
    states: dict[tuple[Stage, JobState], list[int]] = defaultdict(list)
    ends = []
    for row in context.ledger.jobs(context.name, states=ACTIVE):
        said = poll.nodes.get(NodeKey(row.stage, row.index))
        found = _judged(context, row, said, poll, since)
        if isinstance(found, RemoteEnd):
            ends.append(found)
        else:
            states[row.stage, found].append(row.index)
    _settle(context, states, ends)


def _settle(
    context: RequestContext, states: dict[tuple[Stage, JobState], list[int]], ends: list[RemoteEnd]
) -> None:
    logs = context.folder.all_logs() if ends else {}
    attempted = context.ledger.submissions.open(context.name) or context.ledger.submissions.last(context.name)
    number = attempted.number if attempted else 1
    ends = [replace(end, logs=_of_submission(context, end, logs, number)) for end in ends]
    context.ledger.submissions.settle(context.name, states, ends)
    for end in ends:
        if end.stage is Stage.MERGE and end.to is JobState.DONE:
            drop_inputs(context, end.index)


def _of_submission(
    context: RequestContext, end: RemoteEnd, logs: dict[tuple[Stage, int], list[Path]], number: int
) -> tuple[Path, ...]:
    """Logs of the attempts that one submission made at a job; at least one, be it there or not."""
    found = logs.get((end.stage, end.index), [])
    mine = tuple(path for path in found if path.name.split(".")[1] == str(number))
    return mine or (found[-1] if found else context.folder.log(end.stage, end.index, number),)


def _judged(
    context: RequestContext, row: JobRow, said: NodeStatus | None, poll: Poll, since: datetime
) -> JobState | RemoteEnd:
    """Where a job stands, by its report first and by the batch system second."""
    alive = poll.alive
    if said is not None and alive and said.state not in _ENDED:
        return said.state
    report = _valid(context, row)
    if report is not None:
        return _success(row, report)
    if said is None:
        return JobState.UNKNOWN
    if said.state is JobState.FAILED:
        return _failure(context, row, said, since)
    if said.state is JobState.DONE:
        # files of another machine can be late to appear here
        return JobState.UNKNOWN if alive else _failure(context, row, said, since)
    # never started, or never ended: all was stopped, or something before it failed
    return JobState.CANCELLED if poll.stopped else JobState.PLANNED


def _valid(context: RequestContext, row: JobRow) -> JobReport | None:
    return context.valid_report(row.stage, row.index)


def _success(row: JobRow, report: JobReport) -> RemoteEnd:
    return RemoteEnd(row.stage, row.index, JobState.DONE, 0, (), report.host, report=report)


def _failure(context: RequestContext, row: JobRow, said: NodeStatus, since: datetime) -> RemoteEnd:
    report = read_report(context.folder.report(row.stage, row.index))
    if report is not None and (report.started < since or report.exit_code == 0):
        report = None  # of an earlier submission, or its file is gone
    code = said.exit_code or (report.exit_code if report else 0) or StorageError.exit_code
    error = (report.error if report else None) or said.reason
    return RemoteEnd(
        row.stage,
        row.index,
        JobState.FAILED,
        code,
        (),
        said.host or (report.host if report else "?"),
        error=error or "the job left no valid report, or its file is not there",
        report=report,
    )
