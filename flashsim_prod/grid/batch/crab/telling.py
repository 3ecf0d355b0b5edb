"""What a user should know of tasks, beyond where their jobs stand, and what is left to do by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from flashsim_prod.core.request import Request
from flashsim_prod.grid.batch.crab.client import job_ranges
from flashsim_prod.grid.batch.crab.replies import TaskStatus
from flashsim_prod.grid.batch.crab.section import RUCIO_FOLDERS
from flashsim_prod.grid.batch.crab.task import TaskAtCrab
from flashsim_prod.grid.batch.crab.tasks import OUTPUT, REPORT, lfn_base, rules_of


def told_of(task: TaskAtCrab, status: TaskStatus) -> Iterator[str]:
    """What to tell of a task, a line each."""
    yield from status.remarks
    if status.stillborn and status.page:
        yield f"{status.server}; its page says why: {status.page}"
    if status.server in ("KILLFAILED", "RESUBMITFAILED"):
        what, again = ("kill", "cancel") if status.server == "KILLFAILED" else ("resubmit", "retry")
        yield f"{status.server}: CRAB's server could not {what} it, so {again} again; see {status.page}"
    if status.strange:
        yield f"CRAB says {', '.join(status.strange)}, which is not known here; it counts as at work"
    if status.purged:
        yield "CRAB has purged it; what storage has of its jobs counts, the rest needs a new task"
    if status.alive and status.waiting:
        words = "; ".join(f"{word}: {job_ranges(jobs)}" for word, jobs in status.waiting.items())
        yield f"jobs that CRAB goes on with by itself, sooner or later ({words})"
    if status.rule:
        yield "its outputs are kept by rules of Rucio; which ones to remove, status says once all is done"


def removals(request: Request, names: Iterable[str]) -> tuple[str, ...]:
    """What to type so that Rucio drops the outputs of tasks, by the server's names of them; a line each.

    CRAB never ends its rules, and they count in their owner's quota. Each file is kept by two: of the
    container that all files of a task are transferred in, which ``crab status`` names, and of one for each
    kind of file, into which CRAB puts it for a publication that it does not make.
    """
    base = f"{lfn_base(request)}/"
    if not base.startswith(RUCIO_FOLDERS):
        return ()
    owner = base.split("/")[4]
    is_group = base.startswith("/store/group/")
    scope, account = (f"group.{owner}", f"--account {owner}_group ") if is_group else (f"user.{owner}", "")
    rse = rules_of(request.site).storage_site
    lines = [
        f"  rucio {account}rule remove {scope}:{container} --rses {rse}"
        for name in names
        for container in _containers(name)
    ]
    why = "the outputs that were merged stay in your quota at Rucio until you remove CRAB's rules:"
    return (why, *lines) if lines else ()


def _containers(name: str) -> tuple[str, ...]:
    """CRAB's containers of a task without publication that hold files, by the server's name of it."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    endings = (f"_TRANSFER.{digest[:8]}", f"_{OUTPUT}", f"_{REPORT}")
    return tuple(f"/FakeDataset/fakefile-FakePublish-{digest}{ending}/USER" for ending in endings)
