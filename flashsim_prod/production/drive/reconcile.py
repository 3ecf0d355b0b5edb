"""Bringing the ledger in line with what reports and storage say, before a driver goes on.

The report wins: a job is done if its report says so and its file is there, whatever the ledger last heard.
What a dead driver left as running becomes unknown first, and then done or planned by that evidence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import merge_job, merge_of
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.batch.base import Node, NodeKey
from flashsim_prod.grid.ledger.rows import JobRow
from flashsim_prod.production.context import RequestContext

#: a batch system had these jobs; the local one dies with its driver
_IN_FLIGHT = (JobState.IDLE, JobState.RUNNING, JobState.HELD)
#: from here a job may be planned again
_TO_PLAN = (JobState.SUBMITTING, JobState.UNKNOWN, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Remaining:
    """Jobs of a request that are not done.

    Attributes
    ----------
    simulate, merge : tuple of int
        Those that are to be run.
    aside : Remaining, optional
        Those that are not, since nobody asked for their files.
    """

    simulate: tuple[int, ...]
    merge: tuple[int, ...]
    aside: Remaining | None = None

    def of_files(self, request: Request, files: Collection[int]) -> Remaining:
        """Those jobs alone that the dataset's `files` need; the others are left aside."""
        wanted = frozenset(files)
        mine = [index for index in self.simulate if merge_of(request, index) in wanted]
        others = [index for index in self.simulate if merge_of(request, index) not in wanted]
        aside = Remaining(tuple(others), tuple(index for index in self.merge if index not in wanted))
        return Remaining(tuple(mine), tuple(index for index in self.merge if index in wanted), aside)

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


def reconcile(context: RequestContext) -> Remaining:
    """Make the ledger tell the truth; what is not done is PLANNED afterwards.

    Returns
    -------
    Remaining
        The jobs that are to be run.
    """
    _end_open_attempts(context)
    ledger, name = context.ledger, context.name
    ledger.move_all(name, _IN_FLIGHT, JobState.UNKNOWN)
    ledger.move_all(name, _TO_PLAN, JobState.PLANNED)
    merged = _still_done(context, Stage.MERGE)
    superseded = {
        row.index for row in _done(context, Stage.SIMULATE) if merge_of(context.request, row.index) in merged
    }
    simulated = _still_done(context, Stage.SIMULATE, without_file=superseded)
    for merge in merged:
        drop_inputs(context, merge)
    return Remaining(
        simulate=tuple(i for i in range(context.request.n_simulate) if i not in simulated),
        merge=tuple(i for i in range(context.request.n_merge) if i not in merged),
    )


def drop_inputs(context: RequestContext, merge: int) -> None:
    """Take a merge job's inputs out of storage; to be called only once its file is recorded as done."""
    job = merge_job(context.request, merge)
    files = [
        context.ledger.file(context.name, Stage.SIMULATE, i) for i in range(job.first, job.first + job.count)
    ]
    left = [file for file in files if file is not None and not file.removed]
    rules = context.request.site.rules
    for file in left:
        # Rucio would go on to believe in a file that was removed behind its back
        if not rules.removed_by_rule(file.output.lfn):
            context.storage.delete(file.output.lfn)
    if left:
        context.ledger.set_removed(context.name, Stage.SIMULATE, [file.index for file in left])


def _end_open_attempts(context: RequestContext) -> None:
    """Attempts whose end nobody saw: their driver was killed."""
    for row in context.ledger.open_attempts(context.name):
        report = context.valid_report(row.stage, row.index)
        context.ledger.finish_attempt(
            context.name,
            row.stage,
            row.index,
            row.number,
            JobState.DONE if report else JobState.UNKNOWN,
            exit_code=0 if report else None,
            error=None if report else "the driver ended before the job did",
            report=report,
        )


def _still_done(context: RequestContext, stage: Stage, *, without_file: Collection[int] = ()) -> set[int]:
    """Jobs that are rightly DONE; those whose file was lost are planned again."""
    done = {row.index for row in _done(context, stage)}
    lost = {
        index for index in done if index not in without_file and context.valid_report(stage, index) is None
    }
    if lost:
        context.ledger.transition(context.name, stage, sorted(lost), JobState.PLANNED)
    return done - lost


def _done(context: RequestContext, stage: Stage) -> list[JobRow]:
    return context.ledger.jobs(context.name, stage, {JobState.DONE})
