"""Bringing the ledger in line with what reports and storage say, before a driver goes on.

The report wins: a job is done if its report says so and its file is there, whatever the ledger last heard.
What a dead driver left as running becomes unknown first, and then done or planned by that evidence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.splitting import merge_job, merge_of
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.batch.base import Node, NodeKey
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import JobRow
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.run import valid_output

#: a batch system had these jobs; the local one dies with its driver
_IN_FLIGHT = (JobState.IDLE, JobState.RUNNING, JobState.HELD)
#: from here a job may be planned again
_TO_PLAN = (JobState.SUBMITTING, JobState.UNKNOWN, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Desk:
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
class Remaining:
    """Jobs of a request that are not done."""

    simulate: tuple[int, ...]
    merge: tuple[int, ...]

    def nodes(self, request: Request) -> list[Node]:
        """The graph of these jobs, each merge right behind the last of its inputs."""
        inputs: dict[int, list[Node]] = {}
        for index in self.simulate:
            inputs.setdefault(merge_of(request, index), []).append(Node(NodeKey(Stage.SIMULATE, index)))
        nodes: list[Node] = []
        for merge in self.merge:
            before = inputs.pop(merge, [])
            nodes += before
            nodes.append(Node(NodeKey(Stage.MERGE, merge), tuple(node.key for node in before)))
        return nodes + [node for rest in inputs.values() for node in rest]


def reconcile(desk: Desk) -> Remaining:
    """Make the ledger tell the truth; what is not done is PLANNED afterwards.

    Returns
    -------
    Remaining
        The jobs that are to be run.
    """
    _end_open_attempts(desk)
    ledger, name = desk.ledger, desk.name
    ledger.move_all(name, _IN_FLIGHT, JobState.UNKNOWN)
    ledger.move_all(name, _TO_PLAN, JobState.PLANNED)
    merged = _still_done(desk, Stage.MERGE)
    superseded = {
        row.index for row in _done(desk, Stage.SIMULATE) if merge_of(desk.request, row.index) in merged
    }
    simulated = _still_done(desk, Stage.SIMULATE, without_file=superseded)
    for merge in merged:
        drop_inputs(desk, merge)
    return Remaining(
        simulate=tuple(i for i in range(desk.request.n_simulate) if i not in simulated),
        merge=tuple(i for i in range(desk.request.n_merge) if i not in merged),
    )


def drop_inputs(desk: Desk, merge: int) -> None:
    """Take a merge job's inputs out of storage; to be called only once its file is recorded as done."""
    job = merge_job(desk.request, merge)
    files = [desk.ledger.file(desk.name, Stage.SIMULATE, i) for i in range(job.first, job.first + job.count)]
    left = [file for file in files if file is not None and not file.removed]
    for file in left:
        desk.storage.delete(file.output.lfn)
    if left:
        desk.ledger.set_removed(desk.name, Stage.SIMULATE, [file.index for file in left])


def _end_open_attempts(desk: Desk) -> None:
    """Attempts whose end nobody saw: their driver was killed."""
    for row in desk.ledger.open_attempts(desk.name):
        report = desk.valid_report(row.stage, row.index)
        desk.ledger.finish_attempt(
            desk.name,
            row.stage,
            row.index,
            row.number,
            JobState.DONE if report else JobState.UNKNOWN,
            exit_code=0 if report else None,
            error=None if report else "the driver ended before the job did",
            report=report,
        )


def _still_done(desk: Desk, stage: Stage, *, without_file: Collection[int] = ()) -> set[int]:
    """Jobs that are rightly DONE; those whose file was lost are planned again."""
    done = {row.index for row in _done(desk, stage)}
    lost = {index for index in done if index not in without_file and desk.valid_report(stage, index) is None}
    if lost:
        desk.ledger.transition(desk.name, stage, sorted(lost), JobState.PLANNED)
    return done - lost


def _done(desk: Desk, stage: Stage) -> list[JobRow]:
    return desk.ledger.jobs(desk.name, stage, {JobState.DONE})
