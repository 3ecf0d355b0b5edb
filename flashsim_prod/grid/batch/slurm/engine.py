"""Slurm as a batch system: arrays of simulate jobs, and merges that depend on their tasks.

Slurm itself starts again what its nodes lost, and a job that another start can help goes back into the queue
by itself. The rest (more memory, another node, jobs beyond a limit of the queue) is handed over by whoever
looks next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.core.states import JobState
from flashsim_prod.errors import StorageError
from flashsim_prod.grid.batch.base import (
    Finding,
    NodeKey,
    NodeStatus,
    Poll,
    Receipt,
    Submission,
    Training,
    TrainingBatch,
)
from flashsim_prod.grid.batch.slurm.arrays import (
    Array,
    drop,
    read_arrays,
    read_plan,
    write_number,
    write_plan,
)
from flashsim_prod.grid.batch.slurm.client import Slurm, check_client
from flashsim_prod.grid.batch.slurm.hand_over import HandOver
from flashsim_prod.grid.batch.slurm.judge import Judge, Verdict, tries_of
from flashsim_prod.grid.batch.slurm.records import Record, Task
from flashsim_prod.grid.batch.slurm.render import render

#: ordinary reasons to wait, of which nobody needs to know
_ORDINARY = ("", "Dependency", "Priority", "Resources", "BeginTime", "None", "JobArrayTaskLimit")
_AT_WORK = (JobState.IDLE, JobState.RUNNING, JobState.HELD, JobState.UNKNOWN)


@dataclass(frozen=True)
class _View:
    """All that is known of a submission."""

    arrays: list[Array]
    records: dict[Task, Record]
    verdicts: dict[NodeKey, Verdict]
    notes: tuple[str, ...]

    @property
    def live(self) -> frozenset[NodeKey]:
        """Jobs that Slurm still has."""
        return frozenset(
            key
            for array in self.arrays
            for task, key in enumerate(array.keys)
            if array.number is not None
            and (record := self.records.get((array.number, task))) is not None
            and record.name == array.name
            and not record.is_over
        )


class SlurmBatch(TrainingBatch):
    """Hands requests to the cluster of a site with a section ``slurm``."""

    def render(self, submission: Submission) -> None:
        render(submission, self._site)

    def submit(self, submission: Submission) -> Receipt:
        write_plan(submission)
        plan = read_plan(submission)
        done = HandOver(self._site, submission, plan).advance({}, frozenset())
        if not done.arrays:
            if done.trouble is not None:
                raise done.trouble
            return Receipt(None)
        rest = [f"not all was handed over: {done.trouble}"] if done.trouble else []
        return Receipt(_batch_id(done.arrays), (*done.remarks, *rest))

    def find(self, submission: Submission) -> str | None:
        arrays = self._settled(submission)
        return _batch_id(arrays) if arrays else None

    def poll(self, submission: Submission, batch_id: str) -> Poll:
        view = self._look(submission)
        plan = read_plan(submission)
        over = HandOver(self._site, submission, plan).advance(view.verdicts, view.live)
        alive = bool(view.live or over.handed)
        notes = [*view.notes, *over.remarks]
        if over.trouble is not None:
            notes.append(f"jobs wait to be handed over: {over.trouble}")
        stopped = None if alive else _stopped(view.verdicts)
        nodes: dict[NodeKey, NodeStatus] = {}
        for key in plan:
            verdict = view.verdicts.get(key)
            if key in over.handed or verdict is None:
                nodes[key] = NodeStatus(key, JobState.IDLE, reason=_before(verdict))
            elif verdict.taken_back and (alive or stopped is not None):
                # it had not ended; if the rest goes the same way, all of it counts as cancelled
                nodes[key] = NodeStatus(key, JobState.IDLE, reason=verdict.taken_back)
            elif verdict.status is not None:
                nodes[key] = verdict.status
        return Poll(alive, nodes, (*notes, *_waiting(view)), stopped)

    def complete(self, submission: Submission) -> tuple[str, ...]:
        # a look hands over what is missing, and one was just taken
        return ()

    def cancel(self, submission: Submission, batch_id: str) -> None:
        numbers = [array.number for array in self._settled(submission) if array.number is not None]
        if numbers:
            Slurm().cancel(numbers)

    def check_software(self) -> None:
        from flashsim_prod.grid.batch.slurm.check import check_software

        check_client()
        check_software(self._site)

    def check(self) -> Iterator[Finding]:
        from flashsim_prod.grid.batch.slurm.check import findings

        return findings(self._site)

    def train(self, training: Training) -> tuple[int, bool]:
        from flashsim_prod.grid.batch.slurm.training import submit_training

        return submit_training(self._site, training)

    def is_training(self, work: Path) -> bool:
        from flashsim_prod.grid.batch.slurm.training import training_at_work

        return training_at_work(work)

    def _settled(self, submission: Submission) -> list[Array]:
        """The arrays that Slurm has or had; one whose number was lost is found by its name."""
        arrays = []
        for array in read_arrays(submission):
            if array.number is not None:
                arrays.append(array)
                continue
            number = Slurm().number_of(array.name, _written(array.path))
            if number is None and not _was_started(array):
                drop(array)
            else:
                arrays.append(array if number is None else write_number(array, number))
        return arrays

    def _look(self, submission: Submission) -> _View:
        slurm = Slurm()
        arrays = self._settled(submission)
        wanted = {(array.number, task) for array in arrays for task in range(len(array.keys)) if array.number}
        records = {task: record for task, record in slurm.queue().items() if task in wanted}
        ended = {task[0] for task in wanted if task not in records or records[task].is_over}
        notes: tuple[str, ...] = ()
        has_accounts = True
        try:
            accounts = slurm.accounted(filter(None, ended)) if ended else {}
        except StorageError as error:
            accounts, notes = {}, (f"accounts cannot be read now, so some ends are not known: {error}",)
        if accounts is None:
            has_accounts, accounts = False, {}
        records = _joined(records, accounts)
        judge = Judge(self._site, has_accounts=has_accounts)
        verdicts = {key: judge.verdict(key, tries) for key, tries in tries_of(arrays, records).items()}
        return _View(arrays, records, verdicts, notes)


def _joined(queue: Mapping[Task, Record], accounts: Mapping[Task, Record]) -> dict[Task, Record]:
    """The queue knows what is at work, accounts know more of what has ended."""
    over = {task: record for task, record in accounts.items() if record.is_over}
    kept = {task: one for task, one in queue.items() if not one.is_over or one.is_blocked or task not in over}
    return {**over, **kept}


def _before(verdict: Verdict | None) -> str | None:
    """Why a job that was just handed over again was."""
    return (
        f"tried again after: {verdict.status.reason}"
        if verdict and verdict.status and verdict.status.reason
        else None
    )


def _stopped(verdicts: Mapping[NodeKey, Verdict]) -> str | None:
    """Who took the rest of a submission back, if that is why it ended."""
    failed = [one for one in verdicts.values() if one.state is JobState.FAILED]
    by = [one.taken_back for one in failed if one.taken_back]
    return by[0] if by and len(by) == len(failed) else None


def _waiting(view: _View) -> Iterator[str]:
    """Why jobs wait, where it is not for their turn."""
    why: Counter[str] = Counter()
    for key in view.live:
        status = view.verdicts[key].status
        if (
            status is not None
            and status.state in (JobState.IDLE, JobState.HELD)
            and status.reason not in _ORDINARY
        ):
            why[status.reason or ""] += 1
    for reason, number in why.most_common(3):
        yield f"{number} wait in the queue: {reason}"


def _was_started(array: Array) -> bool:
    return any(array.end_path(task).exists() for task in range(len(array.keys)))


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _batch_id(arrays: list[Array]) -> str:
    numbers = [str(array.number) for array in arrays if array.number is not None]
    if not numbers:
        return "started"
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]} and {len(numbers) - 1} more"
