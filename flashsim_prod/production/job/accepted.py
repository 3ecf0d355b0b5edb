"""What merging in the shower has left of a request's generator events, by the reports of its jobs."""

from __future__ import annotations

import math

from flashsim_prod.core.report import Accepted
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.splitting import merge_job
from flashsim_prod.core.states import Stage
from flashsim_prod.production.job.run import read_report


def accepted_of(folder: RequestFolder, request: Request) -> Accepted | None:
    """The sum over the jobs that have ended well; ``None`` where the shower throws nothing away."""
    if not request.is_vetoed:
        return None
    total = Accepted()
    for index in range(request.n_merge):
        # a merge job tells the sum of what its inputs told: of thousands of jobs hundreds of reports are read
        of_merge = _told_by(folder, Stage.MERGE, index)
        if of_merge is not None:
            total += of_merge
            continue
        job = merge_job(request, index)
        for one in range(job.first, job.first + job.count):
            total += _told_by(folder, Stage.SIMULATE, one) or Accepted()
    return total


def _told_by(folder: RequestFolder, stage: Stage, index: int) -> Accepted | None:
    report = read_report(folder.report(stage, index))
    return report.merging if report is not None and report.succeeded else None


def told(found: Accepted, cross_section_pb: float | None) -> str:
    """What was left, and the cross section of it, in a line for people."""
    if found.share is None:
        return "no job has told yet how much merging leaves"
    line = (
        f"merging left {found.accepted:,} of {found.tried:,} gen events tried, "
        f"{found.share:.2%} of the cross section"
    )
    if cross_section_pb is None:
        return line
    after, error = cross_section_pb * found.share, cross_section_pb * found.share_error
    # two digits of the uncertainty, and as many places of the value
    places = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 4
    return f"{line}: {after:.{places}f} +- {error:.{places}f} pb of {cross_section_pb:.6g} pb"
