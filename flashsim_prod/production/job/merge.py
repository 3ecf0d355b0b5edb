"""A merge job: the outputs of some simulate jobs joined into one checked file of the dataset."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import FileFormat
from flashsim_prod.core.report import Accepted, EventWeights, OutputFile
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.splitting import MergeJob, merge_job, simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import StorageError
from flashsim_prod.grid.storage.checksums import Checksums, file_checksums
from flashsim_prod.production.job.run import JobRun, valid_output

if TYPE_CHECKING:
    from flashsim_prod.core.request import Request
    from flashsim_prod.physics.nanoaod.runs import RunSums

log = logging.getLogger("flashsim_prod.worker")


def merge(attempt: JobRun, folder: RequestFolder) -> OutputFile:
    """Run a merge job to its end; the inputs are left where they are.

    Raises
    ------
    StorageError, NoSpaceError
        If an input is missing or altered, or the output cannot be written.
    ValidationError
        If the merged file does not hold exactly what its inputs hold.
    """
    from flashsim_prod.physics.analysis.schemas import schema_of
    from flashsim_prod.physics.nanoaod.checks import check_file
    from flashsim_prod.physics.nanoaod.merger import merge_files

    request = attempt.request
    job = merge_job(request, attempt.index)
    inputs = reported_inputs(attempt, folder, job)
    attempt.need_space(sum(file.bytes for file in inputs))
    attempt.start_clock()
    with attempt.timings.step("stage_in"):
        paths = [verified(attempt, file) for file in inputs]
    target, schema = attempt.work / "merged.root", schema_of(request)
    with attempt.timings.step("merge"):
        tool = merge_files(paths, target, schema=schema)
    log.info("merge %d: %d files joined by %s", job.index, len(paths), tool)
    with attempt.timings.step("check"):
        lumis = [lumi for file in inputs for lumi in file.lumis]
        found = check_file(
            target,
            schema=schema,
            events=sum(file.events for file in inputs) if request.is_thinned else job.events,
            lumis=lumis,
            name=job.lfn,
            runs=_runs(request, job, paths),
            may_be_empty=request.is_thinned,
        )
    target = in_its_form(request, target, attempt.timings)
    attempt.events, attempt.content = found.events, dict(found.content)
    attempt.progress(found.events, job.events)
    return attempt.store(target, job.lfn, found.events, found.lumis)


def in_its_form(request: Request, merged: Path, timings: Timings) -> Path:
    """What is to be stored of a checked file of ROOT: itself, or beside it what the request's files are.

    Errors as of `write_parquet`.
    """
    if request.format is FileFormat.ROOT:
        return merged
    from flashsim_prod.physics.analysis.parquet import write_parquet
    from flashsim_prod.physics.analysis.schemas import schema_of

    target = merged.with_suffix(f".{request.format}")
    with timings.step("convert"):
        write_parquet(merged, target, schema=schema_of(request))
    return target


def _runs(request: Request, job: MergeJob, paths: Sequence[Path]) -> tuple[RunSums, ...]:
    """What the events count for, if they are not all that was simulated or it is the input that says so."""
    from flashsim_prod.physics.generator.kinds import find_kind
    from flashsim_prod.physics.nanoaod.runs import read_runs

    if request.analysis is not None:
        return tuple(sums for path in paths if (sums := read_runs(str(path))) is not None)

    jobs = [simulate_job(request, index) for index in (job.first, job.first + job.count - 1)]
    first, last = jobs[0].gen_first, jobs[-1].gen_first + jobs[-1].gen_events
    return find_kind(request.source.kind).runs(request.source, first, last - first, request.oversample)


def reported_inputs(attempt: JobRun, folder: RequestFolder, job: MergeJob) -> list[OutputFile]:
    """The outputs to be merged, in order; `StorageError` if one is not there."""
    digest = attempt.request.digest()
    found = []
    for index in range(job.first, job.first + job.count):
        path = folder.report(Stage.SIMULATE, index)
        report = valid_output(path, digest, Stage.SIMULATE, index, attempt.storage)
        if report is None or report.output is None:
            raise StorageError(f"merge {job.index}: the output of simulate job {index} is not there ({path})")
        found.append(report.output)
        attempt.gen_events += report.gen_events
        if report.merging is not None:
            attempt.merging = report.merging + (attempt.merging or Accepted())
        if report.weights is not None:
            attempt.weights = report.weights + (attempt.weights or EventWeights())
    return found


def verified(attempt: JobRun, file: OutputFile) -> Path:
    """`file` on this machine, fetched if need be; `StorageError` if its contents are not those reported."""
    path = attempt.storage.local_path(file.lfn)
    if path is None:
        path = attempt.work / Path(file.lfn).name
        sums = attempt.storage.fetch(file.lfn, path)
    else:
        sums = file_checksums(path)
    if sums != Checksums(file.bytes, file.adler32, file.sha256):
        raise StorageError(f"{file.pfn}: altered since it was written; delete it, then retry")
    return path
