"""What a request's events weigh, where models weight what they draw, by the reports of its jobs."""

from __future__ import annotations

from flashsim_prod.core.report import EventWeights
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.splitting import merge_job
from flashsim_prod.core.states import Stage
from flashsim_prod.production.job.run import read_report


def weights_of(folder: RequestFolder, request: Request) -> EventWeights | None:
    """The sum over the jobs that have ended well; ``None`` where none of them weighed its events."""
    total: EventWeights | None = None
    for index in range(request.n_merge):
        job = merge_job(request, index)
        # a merge job tells the sum of what its inputs told
        found = _told_by(folder, Stage.MERGE, index)
        inputs = range(job.first, job.first + job.count) if found is None else ()
        for one in (found, *(_told_by(folder, Stage.SIMULATE, each) for each in inputs)):
            if one is not None:
                total = one + (total or EventWeights())
    return total


def _told_by(folder: RequestFolder, stage: Stage, index: int) -> EventWeights | None:
    report = read_report(folder.report(stage, index))
    return report.weights if report is not None and report.succeeded else None
