"""Bringing the reports of finished jobs home from where CRAB has put them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from flashsim_prod.core.report import JobReport
from flashsim_prod.files import read_bytes, write_whole
from flashsim_prod.grid.storage.base import Storage

#: reports that are fetched at a time
_FETCHES = 8


@dataclass(frozen=True)
class Arrival:
    """A finished job: the logical names that CRAB gave its files, and where its report goes."""

    report: str
    output: str
    target: Path


def bring_home(arrivals: Iterable[Arrival], storage: Storage) -> None:
    """Write the reports of jobs beside the request, with the names that CRAB gave their outputs.

    A report that is home is not fetched again; one that is not in storage is left out.

    Raises
    ------
    StorageError
        If storage cannot be read: nothing is said of what is there then.
    """
    wanted = [arrival for arrival in arrivals if not _is_home(arrival)]
    if not wanted:
        return
    with TemporaryDirectory(prefix="flashsim-") as folder, ThreadPoolExecutor(_FETCHES) as pool:
        # the first failure ends it
        list(pool.map(partial(_fetch, storage=storage, folder=Path(folder)), wanted))


def _is_home(arrival: Arrival) -> bool:
    report = _success_in(arrival.target)
    return report is not None and report.output is not None and report.output.lfn == arrival.output


def _fetch(arrival: Arrival, storage: Storage, folder: Path) -> None:
    if storage.stat(arrival.report) is None:
        return
    scratch = folder / arrival.target.name
    storage.fetch(arrival.report, scratch)
    report = _success_in(scratch)
    if report is None or report.output is None:
        return
    named = {"lfn": arrival.output, "pfn": storage.pfn(arrival.output)}
    report = report.model_copy(update={"output": report.output.model_copy(update=named)})
    write_whole(arrival.target, report.model_dump_json(indent=1) + "\n")


def _success_in(path: Path) -> JobReport | None:
    try:
        report = JobReport.model_validate_json(read_bytes(path))
    except (OSError, ValidationError):
        return None
    return report if report.succeeded else None
