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
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.grid.batch.base import NodeKey, Submission
from flashsim_prod.grid.batch.crab.client import CrabClient
from flashsim_prod.grid.batch.crab.render import PROJECTS, config_of, project_of
from flashsim_prod.grid.batch.crab.replies import (
    TOO_MUCH_MEMORY,
    TOO_MUCH_TIME,
    CrabJob,
    TaskStatus,
    submitted_task,
)
from flashsim_prod.grid.batch.crab.section import MAX_WALLTIME_MIN, max_memory_mb
from flashsim_prod.grid.batch.crab.tasks import CrabTask

#: a job that used too much memory gets so much more
_MEMORY_FACTOR = 1.5
#: by then CRAB has noticed a resubmission [s]
_NOTICED_S = 3600


@dataclass(frozen=True)
class TaskAtCrab:
    """A task and the client that knows of it.

    Parameters
    ----------
    task : CrabTask
    folder : Path
        Of the submission.
    client : CrabClient
    """

    task: CrabTask
    folder: Path
    client: CrabClient

    @property
    def project(self) -> Path:
        """CRAB's own folder of the task."""
        return self.folder / project_of(self.task)

    @property
    def name(self) -> str | None:
        """The server's name of the task, by the log that the client keeps; ``None`` if it has none there."""
        try:
            return submitted_task((self.project / "crab.log").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return None

    def found(self) -> str | None:
        """The server's name of the task, by the client's log or by the server's list.

        A client that was killed may have left a folder without the name: then the server is asked, and the
        folder made anew.
        """
        if self.name or not self.project.exists():
            return self.name
        name = self.client.listed(self.task.name)
        if name is not None:
            self._put_aside()
            self.client.remake(name, self.folder / PROJECTS)
        return name

    def status(self) -> TaskStatus:
        """What CRAB says of it.

        Its reports are minutes old: what became of jobs before they were resubmitted is no news.
        """
        status = self.client.status(project_of(self.task))
        again, numbers = self._resubmitted()
        old = {n for n in numbers if (job := status.jobs.get(n)) and _is_old(job, again)}
        if not old:
            return status
        waiting = {
            n: replace(status.jobs[n], state=JobState.IDLE, word="resubmitted", error=None) for n in old
        }
        return replace(status, jobs={**status.jobs, **waiting}, scheduler="SUBMITTED")

    def left(self, submission: Submission) -> list[int]:
        """Its jobs that are not done, by CRAB's numbers."""
        numbers = range(1, self.task.jobs + 1)
        return [n for n in numbers if NodeKey(Stage.SIMULATE, self.task.index(n)) not in submission.done]

    def set_going(self, jobs: list[int], resources: Resources) -> str:
        """See that CRAB works on `jobs`, whatever became of the task before; its name on the server."""
        name = self.found()
        if name is not None:
            status = self.status()
            if status.alive:
                return name
            if not status.stillborn:
                self._resubmit(jobs, status, resources)
                return name
        if self.project.exists():
            self._put_aside()
        return self.client.submit(config_of(self.task))

    def kill(self) -> None:
        """Stop it, unless it has ended."""
        if self.name is not None and self.status().alive:
            self.client.kill(project_of(self.task))

    def _resubmit(self, jobs: list[int], status: TaskStatus, resources: Resources) -> None:
        told = [status.jobs[number] for number in jobs if number in status.jobs]
        codes = {job.crab_code for job in told}
        began_s = time.time()
        more = min(round(resources.memory_mb * _MEMORY_FACTOR), max_memory_mb(resources.cpus))
        self.client.resubmit(
            project_of(self.task),
            jobs,
            # CRAB counts them as done, but what they made is not there
            force=any(job.state is JobState.DONE for job in told),
            memory_mb=more if TOO_MUCH_MEMORY in codes else None,
            walltime_min=MAX_WALLTIME_MIN if TOO_MUCH_TIME in codes else None,
        )

        write_json(self._mark, jobs)
        os.utime(self._mark, times=(began_s, began_s))

    @property
    def _mark(self) -> Path:
        """A file with the jobs that were resubmitted last, as old as that."""
        return self.project.with_name(f"{self.project.name}.resubmitted.json")

    def _resubmitted(self) -> tuple[datetime, list[int]]:
        """When jobs were resubmitted, and which; none if CRAB must have noticed by now."""
        try:
            at_s = self._mark.stat().st_mtime
            jobs: list[int] = json.loads(read_text(self._mark))
        except (OSError, ValueError):
            return datetime.now(UTC), []
        return datetime.fromtimestamp(at_s, UTC), jobs if time.time() - at_s < _NOTICED_S else []

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
