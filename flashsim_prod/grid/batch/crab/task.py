"""One task of a submission: whether CRAB has it, and getting it to run what is left of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.site import Resources
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import StorageError
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.grid.batch.base import NodeKey, Submission
from flashsim_prod.grid.batch.crab.client import CrabClient, NeverResubmittedError, NoStatusError, job_ranges
from flashsim_prod.grid.batch.crab.render import PROJECTS, config_of, project_of
from flashsim_prod.grid.batch.crab.replies import (
    LIFETIME_DAYS,
    TOO_MUCH_MEMORY,
    TOO_MUCH_TIME,
    CrabJob,
    TaskStatus,
    age_days,
    cached_task,
    submitted_task,
)
from flashsim_prod.grid.batch.crab.section import MAX_WALLTIME_MIN, max_memory_mb
from flashsim_prod.grid.batch.crab.tasks import CrabTask

#: a job that used too much memory gets so much more
_MEMORY_FACTOR = 1.5
#: by then CRAB has noticed a resubmission [s]
_NOTICED_S = 3600
#: older tasks CRAB does not let run jobs again: these could not end before it is taken away [days]
_OLD_DAYS = 23


@dataclass(frozen=True)
class Going:
    """What came of asking CRAB for what is left of a task.

    Attributes
    ----------
    name : str or None
        The server's name of the task, if it is at work now.
    missing : tuple of int
        Jobs, by CRAB's numbers, that it will never run in this task again.
    remarks : tuple of str
        Why, a line each.
    """

    name: str | None
    missing: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskAtCrab:
    """A task and the client that knows of it.

    Parameters
    ----------
    task : CrabTask
    folder : Path
        Of the submission.
    client : CrabClient
    owned : tuple of int, optional
        Its jobs, by CRAB's numbers, that no later task has; by default all.
    recorded : str, optional
        The server's name of it, if the request knows it though the client's files are gone.
    """

    task: CrabTask
    folder: Path
    client: CrabClient
    owned: tuple[int, ...] = ()
    recorded: str | None = None

    def __post_init__(self) -> None:
        if not self.owned:
            object.__setattr__(self, "owned", tuple(range(1, self.task.jobs + 1)))

    @property
    def project(self) -> Path:
        """CRAB's own folder of the task."""
        return self.folder / project_of(self.task)

    @property
    def name(self) -> str | None:
        """The server's name of the task, by what the client keeps; ``None`` if it has none there."""
        try:
            # a folder that was made anew has no log of the submission
            return cached_task((self.project / ".requestcache").read_bytes())
        except OSError:
            pass
        try:
            return submitted_task((self.project / "crab.log").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return None

    def found(self) -> str | None:
        """The server's name of the task, by the client's files, by what is recorded, or by the server's list.

        A client that was killed may have left a folder without the name, or the folder is lost: then it is
        made anew.
        """
        if self.name:
            return self.name
        name = self.recorded or self.client.listed(self.task.name)
        if name is not None:
            self.restore(name)
        return name

    def restore(self, name: str) -> None:
        """Make the client's folder anew, of a task with this name on the server."""
        if self.project.exists():
            self._put_aside()
        projects = self.folder / PROJECTS
        with storage_errors(f"making {projects}"):
            projects.mkdir(parents=True, exist_ok=True)
        self.client.remake(name, projects)
        if self.name != name:
            raise StorageError(f"crab remake --task={name}: it did not make {self.project}")

    def status(self) -> TaskStatus:
        """What CRAB says of it.

        Its reports are minutes old: what became of jobs before they were resubmitted is no news, and a task
        that was taken back is over.
        """
        status = self._asked()
        if self._is_taken_back(status):
            status = replace(status, killed=True)
        self._remember(status)
        again, numbers = self._resubmitted(status)
        old = {n for n in numbers if (job := status.jobs.get(n)) and _is_old(job, again)}
        if not old or status.killed:
            return status
        waiting = {
            n: replace(status.jobs[n], state=JobState.IDLE, word="resubmitted", error=None) for n in old
        }
        return replace(status, jobs={**status.jobs, **waiting}, scheduler="SUBMITTED")

    def _asked(self) -> TaskStatus:
        try:
            return self.client.status(project_of(self.task))
        except NoStatusError:
            name = self.name
            # its files can be gone before the client says that they are purged
            if name is None or age_days(name) <= LIFETIME_DAYS:
                raise
            return TaskStatus(name, "SUBMITTED", None, {}, purged=True)

    def left(self, submission: Submission) -> list[int]:
        """Its jobs that are not done and in no later task, by CRAB's numbers."""
        return [n for n in self.owned if NodeKey(Stage.SIMULATE, self.task.index(n)) not in submission.done]

    def set_going(self, jobs: list[int], resources: Resources) -> Going:
        """See that CRAB works on `jobs`, whatever became of the task before, as far as it still does."""
        name = self.found()
        if name is None:
            return self._submit_anew()
        status = self.status()
        if status.alive:
            return Going(name)
        if status.stillborn:
            return self._submit_anew()
        failed = [n for n in jobs if n in status.jobs and status.jobs[n].word == "failed"]
        why = _no_resubmission(status)
        if failed and why is None:
            try:
                self._resubmit(failed, status, resources)
            except NeverResubmittedError as error:
                why = str(error)
        again = failed if why is None else []
        missing = [n for n in jobs if n not in again]
        remarks = [self._remark(part, reason) for reason, part in _reasons(missing, status, why).items()]
        return Going(name if again else None, tuple(missing), tuple(remarks))

    def kill(self) -> None:
        """Stop it, unless it has ended."""
        if self.name is not None and self.status().alive:
            self.client.kill(project_of(self.task))
            with storage_errors(f"writing {self._killed}"):
                self._killed.touch()

    def codes(self) -> dict[int, int]:
        """CMS's exit codes of its failed jobs, as far as CRAB ever told them."""
        try:
            told: dict[str, int] = json.loads(read_text(self._codes))
            return {int(number): code for number, code in told.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def _submit_anew(self) -> Going:
        if self.project.exists():
            self._put_aside()
        with storage_errors(f"removing {self._killed}"):
            self._killed.unlink(missing_ok=True)
        return Going(self.client.submit(config_of(self.task)))

    def _remark(self, jobs: list[int], reason: str) -> str:
        what, need = ("job", "needs") if len(jobs) == 1 else ("jobs", "need")
        return f"task {self.task.number} ({self.name}): {what} {job_ranges(jobs)} {need} a new task: {reason}"

    def _resubmit(self, jobs: list[int], status: TaskStatus, resources: Resources) -> None:
        codes = {job.crab_code for number in jobs if (job := status.jobs.get(number))}
        began_s = time.time()
        more = more_for(resources, codes)
        self.client.resubmit(
            project_of(self.task),
            jobs,
            memory_mb=more.memory_mb if TOO_MUCH_MEMORY in codes else None,
            walltime_min=MAX_WALLTIME_MIN if TOO_MUCH_TIME in codes else None,
        )
        write_json(self._mark, jobs)
        os.utime(self._mark, times=(began_s, began_s))

    def _remember(self, status: TaskStatus) -> None:
        """Keep why jobs failed: a purged task tells it no more."""
        known = self.codes()
        told = {n: job.crab_code for n, job in status.jobs.items() if job.crab_code is not None}
        if told and {**known, **told} != known:
            write_json(self._codes, {str(n): code for n, code in {**known, **told}.items()})

    @property
    def _mark(self) -> Path:
        """A file with the jobs that were resubmitted last, as old as that."""
        return self._beside("resubmitted.json")

    @property
    def _killed(self) -> Path:
        """There if the task was taken back from here; the server comes to it later."""
        return self._beside("killed")

    @property
    def _codes(self) -> Path:
        return self._beside("codes.json")

    def _beside(self, suffix: str) -> Path:
        return self.project.with_name(f"{self.project.name}.{suffix}")

    def _is_taken_back(self, status: TaskStatus) -> bool:
        """Whether it was taken back from here, and the server may not have come to it yet."""
        try:
            age_s = time.time() - self._killed.stat().st_mtime
        except OSError:
            return False
        # if it failed there, or was put aside, jobs run on
        return age_s < _NOTICED_S and status.server != "KILLFAILED"

    def _resubmitted(self, status: TaskStatus) -> tuple[datetime, list[int]]:
        """When jobs were resubmitted, and which; none if CRAB must have noticed by now, or could not."""
        try:
            at_s = self._mark.stat().st_mtime
            jobs: list[int] = json.loads(read_text(self._mark))
        except (OSError, ValueError):
            return datetime.now(UTC), []
        noticed = not status.passing and time.time() - at_s >= _NOTICED_S
        return datetime.fromtimestamp(at_s, UTC), [] if noticed or status.server == "RESUBMITFAILED" else jobs

    def _put_aside(self) -> None:
        """Make way for a new folder of the same name; this one may still tell a person something."""
        with storage_errors(f"renaming {self.project}"):
            number = 1
            while (aside := self.project.with_name(f"{self.project.name}.old{number}")).exists():
                number += 1
            shutil.move(self.project, aside)


def _is_old(job: CrabJob, again: datetime) -> bool:
    ended = job.state in (JobState.FAILED, JobState.DONE)
    return ended and (job.since is None or job.since < again)


def more_for(resources: Resources, codes: set[int | None]) -> Resources:
    """What jobs get that ended with these of CMS's exit codes before."""
    more: dict[str, float] = {}
    if TOO_MUCH_MEMORY in codes:
        memory_mb = round(resources.memory_mb * _MEMORY_FACTOR)
        more["memory_mb"] = min(memory_mb, max_memory_mb(resources.cpus))
    if TOO_MUCH_TIME in codes:
        more["walltime_min"] = MAX_WALLTIME_MIN
    return resources.model_copy(update=more)


def _no_resubmission(status: TaskStatus) -> str | None:
    """Why CRAB runs no failed job of a task again; ``None`` if it does."""
    if status.purged:
        return "CRAB has purged the task"
    if status.killed or not status.resubmittable:
        return (
            f"the task is {'KILLED' if status.killed else status.server}, and such tasks CRAB never resubmits"
        )
    if (age := age_days(status.name)) > _OLD_DAYS:
        return f"the task is {age:.0f} days old, CRAB resubmits none after {_OLD_DAYS}"
    return None


def _reasons(missing: list[int], status: TaskStatus, why: str | None) -> dict[str, list[int]]:
    """Jobs that the task will not run again, by why."""
    found: dict[str, list[int]] = {}
    for number in missing:
        job = status.jobs.get(number)
        if why is not None:
            reason = why
        elif job is None:
            reason = "CRAB says nothing of them"
        elif job.state is JobState.DONE:
            reason = "CRAB counts them as finished, but their outputs are not there"
        else:
            reason = f"CRAB says {job.word}, and runs again only what is failed"
        found.setdefault(reason, []).append(number)
    return found
