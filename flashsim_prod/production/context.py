"""An opened request: what every step works on, and how it stands at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flashsim_prod.core.report import JobReport, OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.sizes import counted
from flashsim_prod.core.states import JobState, RequestState, Stage
from flashsim_prod.errors import JobsFailedError, StateError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import Counts, Failure, RequestRow
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.run import valid_output
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.place import enter_existing


@dataclass(frozen=True)
class RequestContext:
    """What every step of a driven request needs at hand."""

    home: Home
    request: Request
    digest: str
    folder: RequestFolder
    ledger: Ledger
    storage: Storage

    @property
    def name(self) -> str:
        """Name of the request."""
        return self.request.name

    def valid_report(self, stage: Stage, index: int) -> JobReport | None:
        """The report of a job that is done, its file in storage; ``None`` of any other."""
        return valid_output(self.folder.report(stage, index), self.digest, stage, index, self.storage)


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

    def jobs_failed(self) -> JobsFailedError:
        """The error of a request with failed jobs: of the commonest cause, with its log."""
        worst, name = self.failures[0], self.request.name
        jobs = sum(failure.failed_jobs for failure in self.failures)
        return JobsFailedError(
            f"request {name}: {counted(jobs, 'job')} failed: {worst.error} (log: {worst.log}); "
            f"see: flashsim-prod status {name}; once it is mended: flashsim-prod retry {name}"
        )


@contextmanager
def opened_request(home: Home, folder: RequestFolder) -> Iterator[RequestContext]:
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
        yield RequestContext(home, request, digest, folder, ledger, storage)


def outcome(context: RequestContext, stopped_by: int | None = None) -> Outcome:
    """How a request stands at the end of a drive."""
    row, counts = context.ledger.request(context.name), context.ledger.counts(context.name)
    at_work = context.ledger.submissions.open(context.name) is not None
    state = request_state(row, counts, driven=at_work)
    last = context.ledger.submissions.last(context.name)
    return Outcome(
        request=context.request,
        state=state,
        files=tuple(file.output for file in context.ledger.files(context.name, Stage.MERGE)),
        failures=tuple(context.ledger.failures(context.name)) if state is RequestState.FAILED else (),
        stopped_by=stopped_by,
        stopped=last.stopped if last is not None and state is RequestState.CANCELLED else None,
    )


def request_state(row: RequestRow, counts: Counts, *, driven: bool) -> RequestState:
    """The state of a request.

    Parameters
    ----------
    row : RequestRow
    counts : Counts
        Its jobs by stage and state.
    driven : bool
        Whether some command drives it at this moment.
    """
    jobs = row.n_simulate + row.n_merge
    if in_state(counts, JobState.DONE) == jobs and (row.registered or row.catalog == "none"):
        return RequestState.DONE
    if driven:
        return RequestState.RUNNING
    if row.cancelled:
        return RequestState.CANCELLED
    if in_state(counts, JobState.FAILED):
        return RequestState.FAILED
    if in_state(counts, JobState.CANCELLED):
        # by somebody who went to the batch system itself
        return RequestState.CANCELLED
    if in_state(counts, JobState.PLANNED) == jobs:
        return RequestState.PLANNED
    return RequestState.INTERRUPTED


def in_state(counts: Counts, *states: JobState) -> int:
    """Jobs of all stages in one of `states`."""
    return sum(number for (_, state), number in counts.items() if state in states)
