"""The jobs of a request as processes of this machine: their commands, and what becomes of each."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import StorageError
from flashsim_prod.grid.batch.base import Command, Node, NodeKey, Observer
from flashsim_prod.production.context import RequestContext
from flashsim_prod.production.drive.reconcile import Remaining, drop_inputs
from flashsim_prod.production.home import VARIABLE
from flashsim_prod.production.job.run import read_report
from flashsim_prod.production.order.folder import worker_command

#: so many failures without a success end the run
_HOPELESS = 10


@dataclass(frozen=True)
class Tally:
    """How far a driven request is.

    Attributes
    ----------
    events, events_expected : int
        Output events simulated so far, those of running jobs included, and in the end.
    done, expected : dict of Stage to int
        Jobs.
    running, failed, retried : int
        Jobs that run now; that failed for good; attempts that were repeated, all in this run.
    """

    events: int
    events_expected: int
    done: dict[Stage, int]
    expected: dict[Stage, int]
    running: int
    failed: int
    retried: int


class Display:
    """Is shown how a driven request goes on; override what is of interest."""

    def tally(self, tally: Tally) -> None:
        """Something has changed."""

    def registered(self, files: int, total: int) -> None:
        """So many files of the dataset are registered."""

    def remark(self, line: str) -> None:
        """Something worth a line has happened."""


class LocalRun(Observer):
    """Payload and observer of the local batch: writes every step into the ledger and shows it.

    Parameters
    ----------
    context : Desk
    remaining : Remaining
        The jobs that are run.
    display : Display
    """

    def __init__(self, context: RequestContext, remaining: Remaining, display: Display) -> None:
        self._desk = context
        self._display = display
        self._started: dict[NodeKey, tuple[int, datetime]] = {}
        self._report: JobReport | None = None
        self._events: dict[NodeKey, int] = {}
        request, aside = context.request, remaining.aside or Remaining((), ())
        self._expected = {
            Stage.SIMULATE: request.n_simulate - len(aside.simulate),
            Stage.MERGE: request.n_merge - len(aside.merge),
        }
        self._events_expected = request.events - _events(request, aside.simulate)
        self._events_done = self._events_expected - _events(request, remaining.simulate)
        #: events that were tried and have left in the shower
        self._events_lost = 0
        if request.is_thinned:
            made = context.ledger.totals(context.name).get(Stage.SIMULATE)
            self._lose(self._events_done - (made.events if made else 0))
        self._done = Counter(
            {
                Stage.SIMULATE: self._expected[Stage.SIMULATE] - len(remaining.simulate),
                Stage.MERGE: self._expected[Stage.MERGE] - len(remaining.merge),
            }
        )
        self._failed = 0
        self._retried = 0
        self._succeeded = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether many jobs have failed for good and none has succeeded: all the others would fail too."""
        return self._failed >= _HOPELESS and not self._succeeded

    # ---- payload

    def command(self, node: Node, attempt: int) -> Command:
        """The worker's command, after its start was written into the ledger."""
        context, stage, index = self._desk, node.key.stage, node.key.index
        if attempt == 1:
            context.ledger.transition(context.name, stage, [index], JobState.SUBMITTING)
        row = context.ledger.start_attempt(
            context.name,
            stage,
            index,
            log=lambda number: context.folder.log(stage, index, number),
            host=socket.gethostname(),
        )
        self._started[node.key] = (row.number, row.started)
        return Command(
            argv=tuple(worker_command(stage, context.folder.request, index)),
            log=row.log,
            environment={VARIABLE: str(context.home.path)},
            walltime_s=context.request.site.resources.walltime_min * 60,
        )

    def judge(self, node: Node, attempt: int, exit_code: int) -> int:
        """0 if the job's report and file are there, whatever the process said; never 0 otherwise."""
        self._report = self._desk.valid_report(node.key.stage, node.key.index)
        if self._report:
            return 0
        return exit_code or StorageError.exit_code

    # ---- observer

    def started(self, node: Node, attempt: int, pid: int) -> None:
        stage, index = node.key.stage, node.key.index
        self._desk.ledger.set_pid(self._desk.name, stage, index, self._started[node.key][0], pid)
        self._events[node.key] = 0
        self.show()

    def progress(self, node: Node, attempt: int, events: int) -> None:
        self._events[node.key] = events
        self.show()

    def finished(self, node: Node, attempt: int, exit_code: int, *, retrying: bool) -> None:
        self._events.pop(node.key, None)
        if exit_code == 0:
            self._note_done(node)
        else:
            self._note_failure(node, exit_code, retrying)
        self.show()

    def interrupted(self, node: Node, attempt: int) -> None:
        self._events.pop(node.key, None)
        self._finish(node, JobState.UNKNOWN, None, error="stopped together with its driver")
        self._desk.ledger.transition(self._desk.name, node.key.stage, [node.key.index], JobState.PLANNED)

    # ---- what becomes of an attempt

    def _note_done(self, node: Node) -> None:
        stage, index = node.key.stage, node.key.index
        self._finish(node, JobState.DONE, 0, report=self._report)
        self._done[stage] += 1
        self._succeeded += 1
        if stage is Stage.SIMULATE:
            planned = simulate_job(self._desk.request, index).events
            self._events_done += planned
            if self._desk.request.is_thinned and self._report is not None:
                self._lose(planned - self._report.events)
        else:
            drop_inputs(self._desk, index)

    def _note_failure(self, node: Node, exit_code: int, retrying: bool) -> None:
        stage, index = node.key.stage, node.key.index
        number, started = self._started[node.key]
        report = read_report(self._desk.folder.report(stage, index))
        if report is not None and report.started < started:
            report = None  # of an earlier attempt: this one died without a word
        error = (report.error if report else None) or _cause(exit_code)
        state = JobState.IDLE if retrying else JobState.FAILED
        self._finish(node, state, exit_code, error=error, report=report)
        self._retried += retrying
        self._failed += not retrying
        then = "trying again" if retrying else f"see {self._desk.folder.log(stage, index, number)}"
        self._display.remark(f"{node.key} failed: {error}; {then}")

    def _finish(
        self,
        node: Node,
        state: JobState,
        exit_code: int | None,
        *,
        error: str | None = None,
        report: JobReport | None = None,
    ) -> None:
        stage, index = node.key.stage, node.key.index
        number, _ = self._started[node.key]
        self._desk.ledger.finish_attempt(
            self._desk.name, stage, index, number, state, exit_code=exit_code, error=error, report=report
        )

    def _lose(self, events: int) -> None:
        """These are done with, and are not there."""
        self._events_done -= events
        self._events_lost += events

    def show(self) -> None:
        """Tell the display how far things are."""
        simulating = sum(n for key, n in self._events.items() if key.stage is Stage.SIMULATE)
        self._display.tally(
            Tally(
                events=self._events_done + simulating,
                events_expected=self._events_expected - self._events_lost,
                done=dict(self._done),
                expected=self._expected,
                running=len(self._events),
                failed=self._failed,
                retried=self._retried,
            )
        )


def _events(request: Request, jobs: Iterable[int]) -> int:
    return sum(simulate_job(request, index).events for index in jobs)


def _cause(exit_code: int) -> str:
    """Why a process ended that left no report."""
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    if exit_code == StorageError.exit_code:
        return "the process left no valid report, or its file is not there"
    return f"ended with exit code {exit_code} and no report"
