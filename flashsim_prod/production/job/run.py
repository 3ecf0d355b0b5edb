"""What every job on a node has in common: scratch space, clock, progress, checks of its target, a report."""

from __future__ import annotations

import json
import logging
import resource
import shutil
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import ValidationError

from flashsim_prod import __version__
from flashsim_prod.core.report import Accepted, EventWeights, JobReport, LumiRange, OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.core.speed import Timings, add_overlap
from flashsim_prod.core.states import Stage
from flashsim_prod.energy.results.attribution import JobEnergy
from flashsim_prod.errors import NoSpaceError
from flashsim_prod.files import read_bytes, storage_errors, write_whole
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.checksums import file_checksums
from flashsim_prod.software import code_digest

log = logging.getLogger("flashsim_prod.worker")

#: compression and baskets differ from event to event: room left beside the size expected
_SPACE_MARGIN = 1.5


@dataclass(frozen=True)
class KeptHere:
    """What becomes of a job on a machine from which somebody else brings its output into storage.

    Attributes
    ----------
    output : Path
        Where the output is left.
    framework_report : Path or None
        Where CMS's report of the job goes, which those who bring it away may want to read.
    """

    output: Path
    framework_report: Path | None = None


@dataclass
class JobRun:
    """One run of one job on this machine.

    Attributes
    ----------
    work : Path
        Scratch folder of this job alone, emptied before and removed after.
    report_path : Path
        Where the report goes.
    sandbox : Path or None
        Folder that the job's input was sent to.
    kept : KeptHere or None
        The output is left on this machine.
    content : dict of str to str, optional
        Digests of the values in a merged file.
    any_bundle : bool
        Whether a bundle of another digest than the request's will do.
    processes : int
        So many simulate at a time.
    memory_mb : float
        Most that all processes together were seen to have [MB]; what one alone had is known anyway.
    """

    request: Request
    stage: Stage
    index: int
    storage: Storage
    work: Path
    report_path: Path
    sandbox: Path | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    timings: Timings = field(default_factory=Timings)
    device: str = "cpu"
    gpus: tuple[str, ...] = ()
    seed: int | None = None
    gen_events: int = 0
    events: int = 0
    energy: JobEnergy | None = None
    energy_void: str | None = None
    kept: KeptHere | None = None
    merging: Accepted | None = None
    weights: EventWeights | None = None
    events_by_lumi: dict[int, int] | None = None
    content: dict[str, str] | None = None
    any_bundle: bool = False
    processes: int = 1
    memory_mb: float = 0.0

    def start_clock(self) -> None:
        """Count what the process has done so far as start-up."""
        self.timings.add("startup", time.time() - psutil.Process().create_time())

    def progress(self, events: int, total: int) -> None:
        """Tell the driver how far the job is, as a line of JSON on standard output."""
        # a driver that died no longer listens; the job is worth finishing all the same
        with suppress(BrokenPipeError):
            sys.stdout.write(json.dumps({"events": events, "of": total}) + "\n")
            sys.stdout.flush()

    def need_space(self, expected_bytes: float) -> None:
        """See that `expected_bytes` fit into the scratch folder; `NoSpaceError` otherwise."""
        with storage_errors(f"asking for free space in {self.work}"):
            free = shutil.disk_usage(self.work).free
        needed = expected_bytes * _SPACE_MARGIN
        if free < needed:
            raise NoSpaceError(
                f"{self.work}: {format_bytes(free)} are free, the job needs {format_bytes(needed)}; "
                "free some space, then retry"
            )

    def store(self, path: Path, lfn: str, events: int, lumis: tuple[LumiRange, ...]) -> OutputFile:
        """Checksum a finished file and move it into storage under its logical name, or to its place here."""
        with self.timings.step("stage_out"):
            sums = file_checksums(path)
            if self.kept is None:
                # what stands there without a valid report of this request is of no worth
                pfn = self.storage.put(path, lfn, sums, overwrite=True, move=True)
            else:
                pfn = str(shutil.move(str(path), self.kept.output.absolute()))
        log.info("stored %s: %d bytes, adler32 %s", pfn, sums.bytes, sums.adler32)
        return OutputFile(
            lfn=lfn,
            pfn=pfn,
            bytes=sums.bytes,
            events=events,
            adler32=sums.adler32,
            sha256=sums.sha256,
            lumis=lumis,
        )

    def report(
        self, exit_code: int, *, error: str | None = None, output: OutputFile | None = None
    ) -> JobReport:
        """The report of this attempt, as things stand now."""
        ended = datetime.now(UTC)
        if self.processes > 1:
            add_overlap(self.timings, (ended - self.started).total_seconds())
        return JobReport(
            request=self.request.name,
            request_digest=self.request.digest(),
            stage=self.stage,
            index=self.index,
            exit_code=exit_code,
            error=error,
            started=self.started,
            ended=ended,
            host=socket.gethostname(),
            device=self.device,
            gpus=self.gpus,
            software_version=__version__,
            code=code_digest(),
            bundle_digest=self.request.bundle.digest,
            seed=self.seed,
            gen_events=self.gen_events,
            events=self.events,
            timings_s={name: round(seconds, 4) for name, seconds in self.timings.seconds.items()},
            processes=self.processes,
            peak_rss_mb=round(max(_peak_rss_mb(), self.memory_mb), 3),
            energy_j=round(self.energy.energy_j, 3) if self.energy else None,
            energy_from=self.energy.source if self.energy else None,
            energy_void=self.energy_void,
            output=output,
            merging=self.merging,
            weights=self.weights,
            events_by_lumi=self.events_by_lumi,
            content=self.content if output else None,
        )


def write_report(path: Path, report: JobReport) -> None:
    """Write a report; `StorageError` if that fails."""
    write_whole(path, report.model_dump_json(indent=1) + "\n")


def read_report(path: Path) -> JobReport | None:
    """The report at `path`, or ``None`` if there is none or it is no report."""
    try:
        return JobReport.model_validate_json(read_bytes(path))
    except (OSError, ValidationError):
        return None


def valid_output(
    path: Path, request_digest: str, stage: Stage, index: int, storage: Storage
) -> JobReport | None:
    """The report of a job that is done: it says success, is of this very job, and its file is there.

    Reads no contents; `flashsim-prod verify` compares checksums.
    """
    report = read_report(path)
    if report is None or report.output is None or report.exit_code != 0:
        return None
    if (report.request_digest, report.stage, report.index) != (request_digest, stage, index):
        return None
    output = report.output
    if storage.stat(output.lfn) != output.bytes:
        return None
    # a file that was sent here lies elsewhere than where it was made
    return report.model_copy(update={"output": output.model_copy(update={"pfn": storage.pfn(output.lfn)})})


def _peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
