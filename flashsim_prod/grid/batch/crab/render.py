"""The folder that is handed to CRAB: one ``crabConfig.py`` a task, and what all tasks share.

::

    PSet.py, flashsim.sh        what CRAB wants to know of a job, and what a job runs
    sandbox/                    what travels with it; sandbox.txt lists it
    task_000/crabConfig.py      the first task
    task_007/jobs.txt           of a recovery task: its simulate jobs, a line each
    projects/crab_<task>/       CRAB's own folder of a task, made by ``crab submit``
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod import resources
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Resources
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.errors import RequestError, StateError
from flashsim_prod.files import read_text, storage_errors, write_whole
from flashsim_prod.grid.batch.crab.framework_report import MODULE_LABEL
from flashsim_prod.grid.batch.crab.sandbox import PACKAGE, check_size, pack_bundle, pack_package
from flashsim_prod.grid.batch.crab.tasks import (
    OUTPUT,
    REPORT,
    CrabTask,
    crab_tasks,
    lfn_base,
    rules_of,
)
from flashsim_prod.threads import VARIABLES

if TYPE_CHECKING:
    from jinja2 import Environment

PROJECTS = "projects"
#: the simulate jobs of a recovery task, a line each; travels with it
JOBS_FILE = "jobs.txt"
_TASK_FOLDER = re.compile(r"task_[0-9]{3,}")
_PSET, _SCRIPT, _SANDBOX = "PSet.py", "flashsim.sh", "sandbox"
#: what a job can read wherever it runs
_EVERYWHERE = ("root://", "xroot://", "https://", "http://", "davs://", "/cvmfs/")


def config_of(task: CrabTask) -> str:
    """Where a task's configuration is, in the folder."""
    return f"task_{task.number:03d}/crabConfig.py"


def jobs_list_of(task: CrabTask) -> str:
    """Where the list of a recovery task's jobs is, in the folder."""
    return f"task_{task.number:03d}/{JOBS_FILE}"


def project_of(task: CrabTask) -> str:
    """CRAB's own folder of a task, in the folder."""
    return f"{PROJECTS}/crab_{task.name}"


def render(request: Request, request_file: Path, folder: Path) -> list[CrabTask]:
    """Write all that CRAB is given; the tasks.

    Raises
    ------
    RequestError
        If CRAB would not take it.
    StorageError
        If it cannot be written.
    """
    tasks = crab_tasks(request)
    _check_inputs(request)
    sandbox = _fill_sandbox(request, request_file, folder / _SANDBOX)
    shared = _shared_values(request, folder, sandbox)
    environment = _environment()
    _write(folder / _PSET, environment, shared | {"units_per_job": tasks[0].units_per_job})
    _write(folder / _SCRIPT, environment, shared, mode=0o755)
    for task in tasks:
        _write_task(task, folder, environment, shared)
    listed = [folder / _SCRIPT, *sandbox]
    size = check_size(listed)
    lines = [f"{format_bytes(path.stat().st_size):>9}  {path.relative_to(folder)}" for path in listed]
    write_whole(folder / "sandbox.txt", "\n".join([*lines, f"{format_bytes(size):>9}  in all"]) + "\n")
    return tasks


def render_recovery(request: Request, folder: Path, task: CrabTask, resources: Resources) -> None:
    """Write what CRAB is given of a recovery task into a folder that is rendered already."""
    sandbox = sorted(path for path in (folder / _SANDBOX).iterdir() if path.is_file())
    shared = _shared_values(request, folder, sandbox) | {"resources": resources}
    lines = "".join(f"{index}\n" for index in task.indices)
    # the list comes last: a task without one is none
    _write_task(task, folder, _environment(), shared)
    write_whole(folder / jobs_list_of(task), lines)


def recorded_jobs(folder: Path) -> dict[int, Sequence[int]]:
    """The simulate jobs of all recovery tasks that a folder holds, by the tasks' numbers.

    Folders of other names are none of them: a person may have put one aside.

    Raises
    ------
    StateError
        If something else is in a list.
    """
    return {
        int(path.parent.name.removeprefix("task_")): _jobs_in(path)
        for path in sorted(folder.glob(f"task_[0-9]*/{JOBS_FILE}"))
        if _TASK_FOLDER.fullmatch(path.parent.name)
    }


def _jobs_in(path: Path) -> tuple[int, ...]:
    with storage_errors(f"reading {path}"):
        text = read_text(path)
    try:
        return tuple(map(int, text.split()))
    except ValueError as error:
        raise StateError(f"{path}: it should have the number of a job in each line: {error}") from error


def _write_task(task: CrabTask, folder: Path, environment: Environment, shared: dict[str, object]) -> None:
    values = {
        "task": task,
        "config": config_of(task),
        "jobs_list": jobs_list_of(task),
        "jobs_file": JOBS_FILE,
    }
    _write(folder / config_of(task), environment, shared | values)


def _check_inputs(request: Request) -> None:
    for file in (*request.source.files, *request.source.sent):
        if not file.url.startswith(_EVERYWHERE):
            raise RequestError(
                f"{file.url}: nodes of CRAB cannot read this; "
                "give inputs as root://..., https://... or /cvmfs/..."
            )


def _fill_sandbox(request: Request, request_file: Path, sandbox: Path) -> list[Path]:
    with storage_errors(f"filling {sandbox}"):
        sandbox.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(request_file, sandbox / "request.yaml")
    paths = [sandbox / "request.yaml", sandbox / PACKAGE]
    pack_package(sandbox / PACKAGE, request.bundle.path)
    # a shipped bundle is part of the package, and called by its name
    if os.sep in request.bundle.path:
        paths.append(pack_bundle(Path(request.bundle.path), sandbox))
    return paths


def _shared_values(request: Request, folder: Path, sandbox: list[Path]) -> dict[str, object]:
    rules = rules_of(request.site)
    return {
        "request": request,
        "resources": request.site.resources,
        "threads": request.site.threads,
        "rules": rules,
        "software": rules.software,
        "gpu": rules.accelerator is not None,
        "folder": folder,
        "projects": PROJECTS,
        "pset": _PSET,
        "script": _SCRIPT,
        "inputs": [path.relative_to(folder).as_posix() for path in sandbox],
        "archives": [path.name for path in sandbox if path.name.endswith(".tar.gz")],
        "output": OUTPUT,
        "report": REPORT,
        "label": MODULE_LABEL,
        "cores": request.site.resources.cpus,
        "lfn_base": lfn_base(request),
        "thread_variables": sorted(VARIABLES),
    }


def _environment() -> Environment:
    environment = resources.templates("crab", are_pages=False)
    environment.filters.update(python=repr, shell=shlex.quote)
    return environment


def _write(path: Path, environment: Environment, values: dict[str, object], *, mode: int = 0o644) -> None:
    write_whole(path, environment.get_template(f"{path.name}.j2").render(values), mode=mode)
