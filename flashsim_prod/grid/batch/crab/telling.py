"""What a user should know of a task, beyond where its jobs stand."""

from __future__ import annotations

from collections.abc import Iterator

from flashsim_prod.grid.batch.crab.client import job_ranges
from flashsim_prod.grid.batch.crab.replies import TaskStatus
from flashsim_prod.grid.batch.crab.task import TaskAtCrab


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
        yield f"its outputs are kept by Rucio's rule; once they are merged: rucio rule remove {status.rule}"
