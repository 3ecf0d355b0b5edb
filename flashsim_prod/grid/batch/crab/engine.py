"""CRAB as a batch system: a request is one or several tasks, whose retries and transfers are CRAB's own.

CRAB runs the simulate jobs only. Their outputs and reports land on the storage site of the site file; a look
at a task brings the reports of finished jobs home, and merging happens where the command is typed.

The folder of a submission holds CRAB's project folders, so that a task is found again by what its client
wrote there. It also holds the lists of jobs of tasks that were made for what others left undone
(`flashsim_prod.grid.batch.crab.recovery`). If it is lost, the request's record of its tasks
(`flashsim_prod.grid.batch.crab.record`) and the server's list of them lead back to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import ClassVar

from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.site import Site
from flashsim_prod.core.sizes import format_duration
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import ConfigError, FlashSimError, StateError, StorageError
from flashsim_prod.files import write_whole
from flashsim_prod.grid.batch.base import (
    BatchSystem,
    Finding,
    NodeKey,
    NodeStatus,
    Poll,
    Receipt,
    Submission,
)
from flashsim_prod.grid.batch.crab.client import CrabClient, by_hand
from flashsim_prod.grid.batch.crab.collect import Arrival, bring_home
from flashsim_prod.grid.batch.crab.recovery import (
    client_of,
    drop_untried,
    is_lost,
    known_tasks,
    record_of,
    restore,
    write_again,
    write_recovery,
)
from flashsim_prod.grid.batch.crab.render import config_of, project_of, render
from flashsim_prod.grid.batch.crab.replies import CrabJob, TaskStatus
from flashsim_prod.grid.batch.crab.section import USER
from flashsim_prod.grid.batch.crab.task import Going, TaskAtCrab
from flashsim_prod.grid.batch.crab.tasks import OUTPUT, REPORT, crab_lfn, lfn_base, merged_place, rules_of
from flashsim_prod.grid.batch.crab.telling import removals, told_of
from flashsim_prod.grid.storage.opening import open_storage

#: idle jobs are worth a note after this time [s]
_LONG_IDLE_S = 3600
#: names of tasks that a batch id spells out
_SPELLED_OUT = 2


class CrabBatch(BatchSystem):
    """The tasks of requests at one site."""

    stages: ClassVar[frozenset[Stage]] = frozenset({Stage.SIMULATE})

    def render(self, submission: Submission) -> None:
        render(submission.request, submission.request_file, submission.folder)

    def submit(self, submission: Submission) -> Receipt:
        drop_untried(submission)
        tasks = known_tasks(submission)
        if CrabClient.is_here():
            restore(submission, tasks)
        left = [(task, jobs) for task in tasks if (jobs := task.left(submission))]
        new = [config_of(task.task) for task, _ in left if task.name is None and task.recorded is None]
        if new and not CrabClient.is_here():
            reminders = (
                f"see first that {_software(self._site)} is there: jobs need it",
                *(f"and that this succeeds: {check}" for check in _write_checks(submission)),
            )
            return Receipt(None, (*by_hand(submission.folder, new, submission.request.name), *reminders))
        if new:
            self._check_means(submission)
        names: list[str] = []
        remarks: list[str] = []
        missing: list[tuple[TaskAtCrab, int]] = []
        try:
            for task, jobs in left:
                going = self._set_going(submission, task, jobs)
                names += [going.name] if going.name else []
                remarks += going.remarks
                missing += [(task, job) for job in going.missing]
            if missing and not new:
                self._check_means(submission)
            for task in write_recovery(submission, missing, self._site.resources) if missing else ():
                going = self._set_going(submission, task, list(task.owned))
                names += [going.name] if going.name else []
                remarks.append(f"new task {task.task.number} for {task.task.jobs} jobs: {going.name}")
        except StorageError as error:
            if not names:
                raise
            return Receipt(_batch_id(names), (*remarks, f"not all was handed over; a retry does it: {error}"))
        return Receipt(_batch_id(names), tuple(remarks))

    def find(self, submission: Submission) -> str | None:
        tasks = known_tasks(submission)
        if CrabClient.is_here():
            restore(submission, tasks)
        for task in tasks:
            if task.name is None and (task.project.exists() or task.recorded) and not CrabClient.is_here():
                raise StateError(
                    f"whether CRAB has {task.task.name} cannot be told: there is no 'crab' on this machine"
                )
        names = [name for task in tasks if (name := task.name)]
        return _batch_id(names) if names else None

    def poll(self, submission: Submission, batch_id: str) -> Poll:
        tasks = known_tasks(submission)
        if is_lost(submission, tasks):
            restore(submission, tasks)
        handed = [task for task in tasks if task.name is not None]
        notes = [_not_handed(len(tasks) - len(handed), len(tasks))] if len(handed) < len(tasks) else []
        nodes: dict[NodeKey, NodeStatus] = {}
        alive = False
        for task in handed:
            status = task.status()
            jobs = tuple(task.task.indices) if task.task.is_recovery else None
            record_of(submission).enter(task.task.number, name=task.name, jobs=jobs)
            alive = alive or status.alive
            notes += [f"task {task.task.number} ({status.name}): {told}" for told in told_of(task, status)]
            self._bring_home(submission, task, status)
            _keep_logs(submission, task, status)
            nodes.update(_nodes(task, status))
        return Poll(alive, nodes, (*notes, *_idle_notes(nodes, self._site)))

    def complete(self, submission: Submission) -> tuple[str, ...]:
        new = [
            (task, jobs)
            for task in known_tasks(submission)
            if task.name is None and (jobs := task.left(submission))
        ]
        names = [self._set_going(submission, task, jobs).name for task, jobs in new]
        return tuple(f"handed over as well: {name}" for name in names if name is not None)

    def leftovers(self, submission: Submission) -> tuple[str, ...]:
        names = [task.name for task in record_of(submission).tasks().values() if task.name is not None]
        return removals(submission.request, names)

    def cancel(self, submission: Submission, batch_id: str) -> None:
        failures = []
        for task in known_tasks(submission):
            try:
                task.kill()
            except StorageError as error:
                failures.append(f"task {task.task.number} was not taken back: {error}")
        if failures:
            raise StorageError(f"{'; '.join(failures)}; cancel again in a while")

    def _set_going(self, submission: Submission, task: TaskAtCrab, jobs: list[int]) -> Going:
        write_again(submission, task, self._site.resources)
        going = task.set_going(jobs, self._site.resources)
        if going.name is not None:
            record_of(submission).enter(task.task.number, name=going.name)
        return going

    def _check_means(self, submission: Submission) -> None:
        """See that new tasks will find their software, and may write to where they are told to."""
        self.check_software()
        client = client_of(submission)
        for site, lfn in _landings(submission):
            client.check_write(site, lfn)

    def check_software(self) -> None:
        # where there is a CRAB client there is CVMFS, too: what is not there is nowhere
        path = _software(self._site)
        if CrabClient.is_here() and not path.exists():
            raise ConfigError(
                f"site {self._site.name}: there is no {path}, so no job could start; build an image, "
                "name it in a copy of the site file (crab.software), and say --site FILE"
            )

    def check(self) -> Iterator[Finding]:
        rules = rules_of(self._site)
        path = _software(self._site)
        seen = path.exists()
        yield Finding("software", seen, f"{path} {'is' if seen else 'is not'} there, seen from this machine")
        # the client leaves files where it is called
        with TemporaryDirectory(prefix="flashsim-crab-") as folder:
            client = CrabClient(Path(folder), log=Path(gettempdir()) / "flashsim-crab-check.log")
            try:
                yield Finding("crab", True, client.version())
            except FlashSimError as error:
                yield Finding("crab", False, str(error))
                return
            try:
                user = client.user() if USER in rules.lfn_base else ""
                lfn = rules.lfn_base.replace(USER, user)
                yield Finding("landing", True, client.check_write(rules.storage_site, lfn))
            except FlashSimError as error:
                yield Finding("landing", False, str(error))

    def _bring_home(self, submission: Submission, task: TaskAtCrab, status: TaskStatus) -> None:
        files = RequestFolder(submission.request_file.parent)
        place = partial(crab_lfn, submission.request, task.task, status.name)
        arrivals = [
            Arrival(
                report=place(number, REPORT),
                output=place(number, OUTPUT),
                target=files.report(Stage.SIMULATE, task.task.index(number)),
            )
            for number in task.owned
            # of a task that is over, storage knows more than CRAB
            if not status.alive or ((job := status.jobs.get(number)) and job.state is JobState.DONE)
        ]
        bring_home(arrivals, open_storage(self._site.storage, submission.home))


def _software(site: Site) -> Path:
    """What a node must have: the container's image or, without one, the interpreter."""
    software = rules_of(site).software
    return Path(software.container or software.python)


def _landings(submission: Submission) -> list[tuple[str, str]]:
    """Sites and folders where outputs of jobs and merged files land."""
    request = submission.request
    merged = merged_place(request)
    outputs = (rules_of(request.site).storage_site, lfn_base(request))
    return list(dict.fromkeys([outputs, *([merged] if merged else [])]))


def _write_checks(submission: Submission) -> list[str]:
    return [f"crab checkwrite --site={site} --lfn={lfn}" for site, lfn in _landings(submission)]


def _keep_logs(submission: Submission, task: TaskAtCrab, status: TaskStatus) -> None:
    files = RequestFolder(submission.request_file.parent)
    for number in task.owned:
        job = status.jobs.get(number)
        if job is not None and job.state is JobState.FAILED:
            lines = (
                f"job {number} of {status.name}: {job.word} after {job.starts} starts, last at {job.site}",
                f"CMS exit code {job.crab_code}",
                job.told or "",
                "All of it, as long as CRAB keeps it:",
                f"  cd {submission.folder}; crab getlog --short --jobids {number} -d {project_of(task.task)}",
            )
            path = files.log(Stage.SIMULATE, task.task.index(number), submission.number)
            write_whole(path, "\n".join(lines) + "\n")


def _batch_id(names: list[str]) -> str:
    more = len(names) - _SPELLED_OUT
    return ", ".join(names[:_SPELLED_OUT]) + (f" and {more} more" if more > 0 else "")


def _not_handed(missing: int, all_: int) -> str:
    return f"{missing} of {all_} tasks were not handed over; a retry does it"


def _nodes(task: TaskAtCrab, status: TaskStatus) -> dict[NodeKey, NodeStatus]:
    """Where the jobs stand that last belonged to a task."""
    keys = {number: NodeKey(Stage.SIMULATE, task.task.index(number)) for number in task.owned}
    if not status.jobs and status.alive:
        waits = f"the task is {status.server} on CRAB's server"
        return {key: NodeStatus(key, JobState.IDLE, reason=waits) for key in keys.values()}
    if status.alive:
        known = {number: status.jobs[number] for number in keys if number in status.jobs}
        return {keys[number]: _node(keys[number], job) for number, job in known.items()}
    return {key: _ended(key, status, status.jobs.get(number)) for number, key in keys.items()}


def _ended(key: NodeKey, status: TaskStatus, job: CrabJob | None) -> NodeStatus:
    """A job of a task that is over: whatever it waits for does not come any more."""
    if job is not None and job.word in ("finished", "failed"):
        return _node(key, job)
    over = "purged by CRAB" if status.purged else "killed" if status.killed else status.server
    why = [f"its task {status.name} is {over}", *([f"CRAB says {job.word}"] if job else []), *status.remarks]
    if status.stillborn and status.page:
        why.append(f"see {status.page}")
    return NodeStatus(key, JobState.FAILED, reason="; ".join(why))


def _node(key: NodeKey, job: CrabJob) -> NodeStatus:
    return NodeStatus(
        key,
        job.state,
        exit_code=job.exit_code,
        reason=job.error or (None if job.state is JobState.DONE else f"CRAB says {job.word}"),
        since=job.since,
        host=job.site,
        starts=job.starts,
    )


def _idle_notes(nodes: dict[NodeKey, NodeStatus], site: Site) -> list[str]:
    """Jobs that may be waiting for a site that does not exist."""
    since = [node.since for node in nodes.values() if node.state is JobState.IDLE and node.since]
    if not since or (age_s := (datetime.now(UTC) - min(since)).total_seconds()) < _LONG_IDLE_S:
        return []
    oldest = format_duration(age_s)
    note = f"{len(since)} jobs are idle, the first for {oldest}; CRAB gives them up after a week"
    scarce = "; few sites may have such GPUs: see crab.accelerator and crab.whitelist of the site"
    return [note + (scarce if site.gpus else "")]
