"""All tasks of a request, which of them a job last belonged to, and new ones for what none will run again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence

from flashsim_prod.core.site import Resources
from flashsim_prod.errors import ConfigError, StateError
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.batch.base import Submission
from flashsim_prod.grid.batch.crab.client import CrabClient
from flashsim_prod.grid.batch.crab.record import Record
from flashsim_prod.grid.batch.crab.render import (
    JOBS_FILE,
    PROJECTS,
    config_of,
    jobs_list_of,
    recorded_jobs,
    render_recovery,
)
from flashsim_prod.grid.batch.crab.task import TaskAtCrab, more_for
from flashsim_prod.grid.batch.crab.tasks import CrabTask, crab_tasks, recovery_task, rules_of


def known_tasks(submission: Submission) -> list[TaskAtCrab]:
    """The tasks of a submission that some job last belonged to, in their order.

    Those that cut the request into slices come first; the folder has the lists of all others, and if that is
    lost the request's record.
    """
    tasks = _all_tasks(submission)
    owner = {index: task.number for task in tasks for index in task.indices}
    client = client_of(submission)
    recorded = record_of(submission).tasks()
    found = []
    for task in tasks:
        owned = tuple(n for n, index in enumerate(task.indices, 1) if owner[index] == task.number)
        if owned:
            name = recorded[task.number].name if task.number in recorded else None
            found.append(TaskAtCrab(task, submission.folder, client, owned, name))
    return found


def client_of(submission: Submission) -> CrabClient:
    """The client, in the folder of a submission; tasks before the request there were none."""
    return CrabClient(submission.folder, since=submission.request.created)


def record_of(submission: Submission) -> Record:
    """What the request keeps of its tasks."""
    return Record(submission.request_file.parent)


def is_lost(submission: Submission, tasks: Iterable[TaskAtCrab]) -> bool:
    """Whether the client's files are gone of tasks that were handed over."""
    no_folder = not (submission.folder / PROJECTS).exists()
    return no_folder or any(task.recorded and task.name is None for task in tasks)


def restore(submission: Submission, tasks: Sequence[TaskAtCrab]) -> None:
    """Make the client's folders anew of tasks that the server has; it is asked for those not recorded.

    Raises
    ------
    StateError
        If it has one whose jobs are not known any more.
    """
    unnamed = [task for task in tasks if task.name is None]
    if any(task.recorded is None for task in unnamed):
        _check_lists(submission, tasks[0].client)
    for task in unnamed:
        task.found()


def write_again(submission: Submission, task: TaskAtCrab, resources: Resources) -> None:
    """Write what CRAB is given of a recovery task once more, if that was lost."""
    if task.task.is_recovery and not (submission.folder / config_of(task.task)).exists():
        render_recovery(submission.request, submission.folder, task.task, resources)


def _check_lists(submission: Submission, client: CrabClient) -> None:
    """See that the jobs of all tasks are known that the server has of a request; `StateError` if not."""
    tasks = _all_tasks(submission)
    known = {task.number for task in tasks}
    stem = tasks[0].name.rsplit("_", 1)[0]
    for number, name in client.listed_below(stem).items():
        if number not in known:
            jobs_list = submission.folder / f"task_{number:03d}/{JOBS_FILE}"
            raise StateError(
                f"CRAB has a task {name} of this request, but the list of its jobs is lost; bring it back as "
                f"{jobs_list} (it is in what 'crab remake --task={name}' and 'crab getsandbox' fetch)"
            )


def drop_untried(submission: Submission) -> None:
    """Forget recovery tasks that were never handed over: what is missing now is looked for anew."""
    client, record = client_of(submission), record_of(submission)
    recorded = record.tasks()
    for task in _all_tasks(submission):
        handed = task.number in recorded and recorded[task.number].name is not None
        tried = handed or TaskAtCrab(task, submission.folder, client).project.exists()
        if task.is_recovery and not tried:
            with storage_errors(f"removing the folder of {task.name}"):
                (submission.folder / jobs_list_of(task)).unlink(missing_ok=True)
                shutil.rmtree((submission.folder / config_of(task)).parent, ignore_errors=True)
            record.forget(task.number)


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
    client = client_of(submission)
    tasks = []
    for number, begin in enumerate(range(0, len(indices), per_task), first):
        task = recovery_task(request, number, indices[begin : begin + per_task])
        more = more_for(resources, {wanted[index] for index in task.indices})
        render_recovery(request, submission.folder, task, more)
        record_of(submission).enter(number, jobs=tuple(task.indices))
        tasks.append(TaskAtCrab(task, submission.folder, client))
    return tasks


def _all_tasks(submission: Submission) -> list[CrabTask]:
    request = submission.request
    tasks = crab_tasks(request)
    lists = {n: task.jobs for n, task in record_of(submission).tasks().items() if task.jobs is not None}
    for number, indices in sorted({**lists, **recorded_jobs(submission.folder)}.items()):
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
