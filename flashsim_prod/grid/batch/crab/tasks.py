"""A request as CRAB tasks: pure functions of the request.

CRAB's splitter (WMCore's EventBased) cuts a task into jobs that it numbers from 1, each with the events and
luminosity sections that follow those of the one before. Jobs of a request are cut by the same rule
(`flashsim_prod.core.splitting`), so job n of a task is simulate job ``first + n - 1``, and CRAB's numbers are
those of the request less what the tasks before hold.

CRAB never runs jobs of a killed, old or purged task again, nor finished ones whose outputs are lost. A
*recovery task* has jobs of any numbers; which ones, a list says that travels with it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from flashsim_prod.core.names import is_temporary, owner_of
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.errors import RequestError
from flashsim_prod.grid.batch.crab.section import MAX_LUMIS, RUCIO_FOLDERS, USER, CrabRules

#: what a job leaves in its folder, and what CRAB makes of such names is `crab_lfn`
OUTPUT = "output.root"
REPORT = "report.json"

_JOBS_PER_FOLDER = 1000
#: of a request's name, so that with a digest and a number CRAB's limit of 100 characters is kept
_NAME_MAX = 80


@dataclass(frozen=True)
class CrabTask:
    """Simulate jobs of a request: a slice of it, or what is missing of the tasks before.

    Attributes
    ----------
    number : int
        From 0.
    name : str
        CRAB's ``General.requestName`` and ``Data.outputDatasetTag``; no other request or task has it.
    indices : sequence of int
        Its simulate jobs, in order; CRAB's job n is the n-th of them.
    units, units_per_job : int
        Output events.
    lumis_per_file : int
        Luminosity sections of a full job.
    """

    number: int
    name: str
    indices: Sequence[int]
    units: int
    units_per_job: int
    lumis_per_file: int

    @property
    def first(self) -> int:
        """Its first simulate job."""
        return self.indices[0]

    @property
    def jobs(self) -> int:
        """How many jobs it has."""
        return len(self.indices)

    @property
    def is_recovery(self) -> bool:
        """Whether it is for jobs that others have left undone, and not a slice of the request."""
        return not isinstance(self.indices, range)

    def index(self, job: int) -> int:
        """The simulate job that CRAB's job number `job`, counted from 1, is."""
        return self.indices[job - 1]

    def job(self, index: int) -> int:
        """CRAB's number, from 1, of a simulate job that is in this task."""
        return bisect_left(self.indices, index) + 1


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


def recovery_task(request: Request, number: int, indices: Sequence[int]) -> CrabTask:
    """The task number `number` of a request: simulate jobs that others have left undone."""
    return _of_jobs(request, number, tuple(sorted(indices)))


def _task(request: Request, number: int, per_task: int) -> CrabTask:
    first = number * per_task
    task = _of_jobs(request, number, range(first, min(first + per_task, request.n_simulate)))
    if task.lumis_per_file > MAX_LUMIS:
        raise RequestError(
            f"a job of {task.units_per_job} events has {task.lumis_per_file} luminosity sections, "
            f"CRAB allows {MAX_LUMIS}; lower --events-per-job"
        )
    return task


def _of_jobs(request: Request, number: int, indices: Sequence[int]) -> CrabTask:
    # only the last job of a request is shorter than the others, and so it is the last of its task
    full, last = simulate_job(request, indices[0]), simulate_job(request, indices[-1])
    return CrabTask(
        number=number,
        name=f"{_plain(request.name)}_{request.digest()[:8]}_{number:03d}",
        indices=indices,
        units=(len(indices) - 1) * full.events + last.events,
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


def merged_place(request: Request) -> tuple[str, str] | None:
    """Storage element and folder of a user's merged files, if the user writes there by own hand.

    Raises
    ------
    RequestError
        If they are to go where only Rucio writes.
    """
    storage = request.site.storage
    if not request.dataset.is_users or is_temporary(storage.rse):
        return None
    folder = request.dataset.user_folder(storage.user_lfn)
    if f"{folder}/".startswith(RUCIO_FOLDERS):
        raise RequestError(
            f"site {request.site.name} writes merged files into {folder} at {storage.rse}, where only Rucio "
            "may; write storage.user_lfn: /store/user/{user}/flashsim into a copy of the site file, "
            f"or storage.rse: {storage.rse}_Temp, from where a rule takes them"
        )
    return storage.rse, folder


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
