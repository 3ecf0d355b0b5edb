"""Bringing the reports of finished jobs home from where CRAB has put them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from flashsim_prod.core.crab_tasks import OUTPUT, REPORT, crab_lfn
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.grid.oserrors import storage_errors
from flashsim_prod.grid.storage.base import Storage

#: reports that are fetched at a time
_FETCHES = 8


def bring_home(
    request: Request,
    task_name: str,
    jobs: Iterable[tuple[int, Path]],
    storage: Storage,
) -> None:
    """Write the reports of jobs beside the request, with the logical names that CRAB gave their outputs.

    A report that is home is not fetched again; one that is not in storage is left out.

    Parameters
    ----------
    task_name : str
        The server's name of the task.
    jobs : iterable of (int, Path)
        CRAB's number of a job, and where its report goes.
    storage : Storage
        Where CRAB puts outputs.

    Raises
    ------
    StorageError
        If storage cannot be read: nothing is said of what is there then.
    """
    wanted = [
        (job, path) for job, path in jobs if not _is_home(path, crab_lfn(request, task_name, job, OUTPUT))
    ]
    if not wanted:
        return
    with TemporaryDirectory(prefix="flashsim-") as folder, ThreadPoolExecutor(_FETCHES) as pool:

        def fetch(one: tuple[int, Path]) -> None:
            _fetch(request, task_name, one[0], one[1], storage, Path(folder))

        # the first failure ends it
        for _ in pool.map(fetch, wanted):
            pass


def _is_home(path: Path, lfn: str) -> bool:
    try:
        report = JobReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return False
    return report.output is not None and report.output.lfn == lfn


def _fetch(request: Request, task_name: str, job: int, target: Path, storage: Storage, scratch: Path) -> None:
    there = crab_lfn(request, task_name, job, REPORT)
    if storage.stat(there) is None:
        return
    here = scratch / f"{job}.json"
    storage.fetch(there, here)
    with storage_errors(f"writing {target}"):
        try:
            report = JobReport.model_validate_json(here.read_bytes())
        except ValidationError:
            return  # no report of ours: as good as none
        if report.output is None:
            return
        lfn = crab_lfn(request, task_name, job, OUTPUT)
        output = report.output.model_copy(update={"lfn": lfn, "pfn": storage.pfn(lfn)})
        final = report.model_copy(update={"output": output}).model_dump_json(indent=1) + "\n"
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(final, encoding="utf-8")
        os.replace(temporary, target)
