"""A request as CRAB tasks: pure functions of the request.

CRAB's splitter (WMCore's EventBased) cuts a task into jobs that it numbers from 1, each with the events and
luminosity sections that follow those of the one before. Jobs of a request are cut by the same rule
(`flashsim_prod.core.splitting`), so job n of a task is simulate job ``first + n - 1``, and CRAB's numbers are
those of the request less what the tasks before hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flashsim_prod.core.names import owner_of
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.errors import RequestError
from flashsim_prod.grid.batch.crab.section import MAX_LUMIS, USER, CrabRules

#: what a job leaves in its folder, and what CRAB makes of such names is `crab_lfn`
OUTPUT = "output.root"
REPORT = "report.json"

_JOBS_PER_FOLDER = 1000
#: of a request's name, so that with a digest and a number CRAB's limit of 100 characters is kept
_NAME_MAX = 80


@dataclass(frozen=True)
class CrabTask:
    """Simulate jobs [first, first + jobs) of a request.

    Attributes
    ----------
    number : int
        From 0.
    name : str
        CRAB's ``General.requestName`` and ``Data.outputDatasetTag``; no other request or task has it.
    units, units_per_job : int
        Output events.
    lumis_per_file : int
        Luminosity sections of a full job.
    """

    number: int
    name: str
    first: int
    jobs: int
    units: int
    units_per_job: int
    lumis_per_file: int

    def index(self, job: int) -> int:
        """The simulate job that CRAB's job number `job`, counted from 1, is."""
        return self.first + job - 1

    def job(self, index: int) -> int:
        """CRAB's number, from 1, of a simulate job that is in this task."""
        return index - self.first + 1


def rules_of(site: Site) -> CrabRules:
    """What a site says of CRAB; `ConfigError` if it says nothing."""
    return site.rules_as(CrabRules)


def crab_tasks(request: Request) -> list[CrabTask]:
    """The tasks of a request, each within CRAB's limits.

    Raises
    ------
    RequestError
        If a job holds more luminosity sections than CRAB allows in a file.
    """
    per_task = rules_of(request.site).jobs_per_task
    return [_task(request, number, per_task) for number in range(-(-request.n_simulate // per_task))]


def _task(request: Request, number: int, per_task: int) -> CrabTask:
    first = number * per_task
    jobs = min(per_task, request.n_simulate - first)
    full, last = simulate_job(request, first), simulate_job(request, first + jobs - 1)
    if full.n_lumis > MAX_LUMIS:
        raise RequestError(
            f"a job of {full.events} events has {full.n_lumis} luminosity sections, CRAB allows {MAX_LUMIS}; "
            "lower --events-per-job"
        )
    return CrabTask(
        number=number,
        name=f"{_plain(request.name)}_{request.digest()[:8]}_{number:03d}",
        first=first,
        jobs=jobs,
        units=last.first_event + last.events - full.first_event,
        units_per_job=full.events,
        lumis_per_file=full.n_lumis,
    )


def lfn_base(request: Request) -> str:
    """Folder below which CRAB puts the request's files, ``Data.outLFNDirBase``.

    Raises
    ------
    RequestError
        If the site names it after the owner, and the request has none.
    """
    base = rules_of(request.site).lfn_base.rstrip("/")
    owner = owner_of(request.registration.scope)
    if USER in base and owner is None:
        raise RequestError(
            f"site {request.site.name} puts CRAB's outputs into {base}: say --scope user.NAME with your CERN "
            "name, or write the folder into a site file of your own (crab.lfn_base)"
        )
    return base.replace(USER, owner or "")


def crab_lfn(request: Request, task: CrabTask, server_name: str, job: int, file: str) -> str:
    """Where CRAB puts `file` of job number `job`, counted from 1.

    Parameters
    ----------
    server_name : str
        The server's name of the task, ``YYMMDD_HHMMSS:user_crab_name``. Two tasks can have the same time, so
        the task's own name is in the path, too, as ``Data.outputDatasetTag``.
    file : str
        As the job calls it.
    """
    stamp = server_name.split(":", 1)[0]
    stem, _, suffix = file.rpartition(".")
    folder = "/".join((lfn_base(request), request.dataset.primary, task.name, stamp))
    return f"{folder}/{job // _JOBS_PER_FOLDER:04d}/{stem}_{job}.{suffix}"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_\-]", "_", name)[:_NAME_MAX]
