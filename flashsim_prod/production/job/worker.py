"""What runs on a node: one job, from request.yaml to a report; knows no batch system."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flashsim_prod.core.report import JobReport, OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder, SandboxFolder
from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import FlashSimError
from flashsim_prod.files import storage_errors, write_whole
from flashsim_prod.grid.batch.lifeline import die_with_parent
from flashsim_prod.grid.batch.opening import engine_report
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.home import home_of
from flashsim_prod.production.job.energy import NodeEnergy
from flashsim_prod.production.job.run import JobRun, KeptHere, valid_output, write_report
from flashsim_prod.production.job.sandbox import in_sandbox
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.software import check_same_code

log = logging.getLogger("flashsim_prod.worker")


def run_job(
    stage: Stage,
    request_file: Path,
    index: int,
    *,
    work: Path | None = None,
    report: Path | None = None,
    sandbox: bool = False,
    kept: KeptHere | None = None,
    any_bundle: bool = False,
) -> JobReport:
    """Run job `index` of a request on this machine.

    A job whose target exists is done: then its report is given back and nothing is run. Of two runs of
    the same job, the second waits for the first.

    Parameters
    ----------
    stage : Stage
    request_file : Path
        The ``request.yaml``; logs and reports of its jobs are beside it.
    index : int
        Number of the job, from 0.
    work : Path, optional
        Folder for scratch files, which go below it; by default one beside the request.
    report : Path, optional
        Where the report goes; by default beside the request.
    sandbox : bool
        The job's input was sent to the folder of the request, without anything else, and what it makes is
        fetched from there.
    kept : KeptHere, optional
        With `sandbox`: where the output is left, for somebody else to bring it into storage.
    any_bundle : bool
        Whether a bundle of another digest than the request's will do, since the outcome is compared.

    Returns
    -------
    JobReport
        A successful one.

    Raises
    ------
    FlashSimError
        Why the job failed; the report says it too, if it could be written.
    """
    die_with_parent()
    _log_to_stderr()
    request = load_request(request_file)
    _check_index(request, stage, index)
    if kept is not None and kept.framework_report is not None:
        # before anything runs: whether there is such a report
        engine_report(request.site)
    here = request_file.absolute().parent
    folder = SandboxFolder(here) if sandbox else RequestFolder(here)
    report_path = report or folder.report(stage, index)
    storage = open_storage(request.site.storage, home_of(request_file))
    if sandbox:
        storage = in_sandbox(storage, here, request.site)
    with _job_lock(folder, stage, index):
        done = valid_output(report_path, request.digest(), stage, index, storage)
        if done:
            log.info("%s %d is done already", stage, index)
            return done
        with _scratch((work or folder.work) / f"{request.name}_{stage}_{index:06d}") as scratch:
            sent_to = here if sandbox else None
            attempt = JobRun(
                request,
                stage,
                index,
                storage,
                scratch,
                report_path,
                sent_to,
                kept=kept,
                any_bundle=any_bundle,
            )
            with _temporary_files_in(scratch):
                return _reported(attempt, folder)


def _reported(attempt: JobRun, folder: RequestFolder) -> JobReport:
    watch = NodeEnergy()
    try:
        with watch:
            output = _run(attempt, folder)
    except FlashSimError as error:
        _report_failure(attempt, error.exit_code, str(error))
        raise
    except Exception as error:
        # a defect: whoever mends it needs to see where, and the report must say that the job failed
        log.exception("unexpected")
        _report_failure(attempt, FlashSimError.exit_code, f"{type(error).__name__}: {error}")
        raise
    attempt.energy = watch.of_this_job(on_gpu=attempt.device != "cpu")
    attempt.energy_void = watch.void
    report = attempt.report(0, output=output)
    _write(attempt, report)
    return report


def _run(attempt: JobRun, folder: RequestFolder) -> OutputFile:
    with storage_errors(f"{attempt.stage} {attempt.index}"):
        if attempt.stage is Stage.SIMULATE:
            # before the libraries are loaded
            check_same_code(attempt.request)
            from flashsim_prod.production.job.simulate import simulate

            return simulate(attempt)
        from flashsim_prod.production.job.merge import merge

        return merge(attempt, folder)


def _report_failure(attempt: JobRun, exit_code: int, error: str) -> None:
    try:
        _write(attempt, attempt.report(exit_code, error=" ".join(error.split())))
    except FlashSimError as unwritten:
        # the exit code still tells the driver; the first error is the one that matters
        log.error("%s", unwritten)


def _write(attempt: JobRun, report: JobReport) -> None:
    write_report(attempt.report_path, report)
    if attempt.kept is not None and attempt.kept.framework_report is not None:
        words = engine_report(attempt.request.site)(attempt.request, report, attempt.kept.output.name)
        write_whole(attempt.kept.framework_report, words)


def _check_index(request: Request, stage: Stage, index: int) -> None:
    """`RequestError` for a job that the request does not have."""
    if stage is Stage.SIMULATE:
        simulate_job(request, index)
    else:
        merge_job(request, index)


@contextmanager
def _job_lock(folder: RequestFolder, stage: Stage, index: int) -> Iterator[None]:
    with storage_errors(f"locking {stage} {index}"):
        folder.work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.work / f"{stage}_{index:06d}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("%s %d runs already; waiting for that to end", stage, index)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """An empty folder for the block; what a killed run left is swept out."""
    with storage_errors(f"making {path}"):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Whatever is made for a while is made here, where a killed run's is swept out with all else."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _log_to_stderr() -> None:
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[stream])
