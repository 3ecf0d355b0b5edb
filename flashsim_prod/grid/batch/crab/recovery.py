"""All tasks of a request, which of them a job last belonged to, and new ones for what none will run again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from flashsim_prod.core.site import Resources
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.batch.base import Submission
from flashsim_prod.grid.batch.crab.client import CrabClient
from flashsim_prod.grid.batch.crab.render import config_of, jobs_list_of, recorded_jobs, render_recovery
from flashsim_prod.grid.batch.crab.task import TaskAtCrab, more_for
from flashsim_prod.grid.batch.crab.tasks import CrabTask, crab_tasks, recovery_task, rules_of


def known_tasks(submission: Submission) -> list[TaskAtCrab]:
    """The tasks of a submission that some job last belonged to, in their order.

    Those that cut the request into slices come first; the folder has the lists of all others.
    """
    tasks = _all_tasks(submission)
    owner = {index: task.number for task in tasks for index in task.indices}
    client = CrabClient(submission.folder)
    found = []
    for task in tasks:
        owned = tuple(n for n, index in enumerate(task.indices, 1) if owner[index] == task.number)
        if owned:
            found.append(TaskAtCrab(task, submission.folder, client, owned))
    return found


def drop_untried(submission: Submission) -> None:
    """Forget recovery tasks that were never handed over: what is missing now is looked for anew."""
    client = CrabClient(submission.folder)
    for task in _all_tasks(submission):
        if task.is_recovery and not TaskAtCrab(task, submission.folder, client).project.exists():
            with storage_errors(f"removing the folder of {task.name}"):
                (submission.folder / jobs_list_of(task)).unlink(missing_ok=True)
                shutil.rmtree((submission.folder / config_of(task)).parent)


def write_recovery(
    submission: Submission, missing: Iterable[tuple[TaskAtCrab, int]], resources: Resources
) -> list[TaskAtCrab]:
    """Write tasks for jobs, by CRAB's numbers in the tasks that they belonged to.

    Jobs that CRAB stopped for it get more memory or time.
    """
    wanted: dict[int, int | None] = {}
    codes: dict[int, dict[int, int]] = {}
    for at_crab, number in missing:
        told = codes.setdefault(at_crab.task.number, at_crab.codes())
        wanted[at_crab.task.index(number)] = told.get(number)
    indices = sorted(wanted)
    request = submission.request
    per_task = rules_of(request.site).jobs_per_task
    first = max(task.number for task in _all_tasks(submission)) + 1
    client = CrabClient(submission.folder)
    tasks = []
    for number, begin in enumerate(range(0, len(indices), per_task), first):
        task = recovery_task(request, number, indices[begin : begin + per_task])
        more = more_for(resources, {wanted[index] for index in task.indices})
        render_recovery(request, submission.folder, task, more)
        tasks.append(TaskAtCrab(task, submission.folder, client))
    return tasks


def _all_tasks(submission: Submission) -> list[CrabTask]:
    request = submission.request
    tasks = crab_tasks(request)
    for number, indices in sorted(recorded_jobs(submission.folder).items()):
        if (
            number < len(tasks)
            or not all(0 <= index < request.n_simulate for index in indices)
            or not indices
        ):
            raise ConfigError(
                f"{submission.folder}/task_{number:03d}/jobs.txt is not of this request; put the folder aside"
            )
        tasks.append(recovery_task(request, number, indices))
    return tasks
