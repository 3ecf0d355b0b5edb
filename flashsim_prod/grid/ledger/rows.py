"""What the ledger gives back, one class per kind of row or summary."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import JobReport, OutputFile
from flashsim_prod.core.states import JobState, Stage

#: jobs by stage and state
Counts = dict[tuple[Stage, JobState], int]


@dataclass(frozen=True)
class RequestRow:
    """A request as the ledger knows it; all else is in its ``request.yaml``.

    `digest` is that of the request's contents, as given when it was created. `cancelled` says that somebody
    asked for the request to stop. `registered` is when the catalogue had all of it.
    """

    name: str
    dataset: DatasetName
    folder: Path
    card: str
    site: str
    catalog: str
    seed: int
    gen_events: int
    oversample: int
    n_simulate: int
    n_merge: int
    digest: str
    created: datetime
    cancelled: bool
    registered: datetime | None

    @property
    def events(self) -> int:
        """Output events: every fold of every gen event."""
        return self.gen_events * self.oversample


@dataclass(frozen=True)
class JobRow:
    """A job; `attempts` counts those ever started."""

    stage: Stage
    index: int
    state: JobState
    attempts: int
    updated: datetime


@dataclass(frozen=True)
class SubmissionRow:
    """A graph handed to a batch system, or about to be; `batch_id` is the batch system's name for it.

    Without `batch_id` the answer was never entered: it may or may not have been handed over. Without `ended`
    the batch system may still be at work on it. `stopped` says why it ended before its jobs had, if it did.
    """

    number: int
    token: str
    created: datetime
    batch_id: str | None
    ended: datetime | None
    stopped: str | None = None


@dataclass(frozen=True)
class RemoteEnd:
    """The end of a job that a batch system ran, as found out later; `report` is needed for DONE.

    `logs` are those of all its attempts, the last of them of this end; there is at least one.
    """

    stage: Stage
    index: int
    to: JobState
    exit_code: int | None
    logs: tuple[Path, ...]
    host: str
    error: str | None = None
    report: JobReport | None = None


@dataclass(frozen=True)
class AttemptRow:
    """One attempt at a job, numbered from 1; without `ended` it is not known to have ended.

    `exit_code` is None also where an attempt ended and nobody knows how.
    """

    stage: Stage
    index: int
    number: int
    started: datetime
    ended: datetime | None
    exit_code: int | None
    error: str | None
    log: Path
    host: str
    pid: int | None
    device: str | None
    gen_events: int
    events: int
    timings_s: dict[str, float]
    peak_rss_mb: float
    energy_j: float | None


@dataclass(frozen=True)
class FileRow:
    """The output of a finished job; `removed` once it was taken out of storage on purpose."""

    stage: Stage
    index: int
    output: OutputFile
    removed: bool


@dataclass(frozen=True)
class Failure:
    """Failed attempts of one cause.

    Attributes
    ----------
    stage, exit_code : Stage, int
        What failed and how.
    error : str
        The newest of the messages, which differ at most in numbers and paths.
    attempts, jobs, failed_jobs : int
        Attempts that ended so; jobs they belong to; how many of those stand at FAILED now.
    log : Path
        Log of the newest attempt.
    """

    stage: Stage
    exit_code: int
    error: str
    attempts: int
    jobs: int
    failed_jobs: int
    log: Path


@dataclass(frozen=True)
class StageTotals:
    """Sums over the successful attempts of a stage, those that count: the last one of each DONE job.

    Attributes
    ----------
    jobs : int
        Jobs that are DONE.
    gen_events, events, bytes : int
        What they made.
    wall_s : float
        Their wall time, added up [s].
    first_started, last_ended : datetime
        The span they cover.
    max_rss_mb : float
        The largest peak memory of any [MB].
    energy_j : float or None
        Energy measured on the nodes [J]; None where no node had a meter.
    measured_jobs, measured_events : int
        Jobs that this energy is of, and their events: those whose nodes had a meter.
    """

    jobs: int
    gen_events: int
    events: int
    bytes: int
    wall_s: float
    first_started: datetime
    last_ended: datetime
    max_rss_mb: float
    energy_j: float | None
    measured_jobs: int
    measured_events: int


@dataclass(frozen=True)
class MeasuredRates:
    """Speeds that finished simulate jobs had; None where none of them can tell.

    Attributes
    ----------
    jobs : int
        Jobs that the figures come from.
    generator_hz : float or None
        Gen events generated per second and job.
    flashsim_hz : float or None
        Output events per second and job in all that is neither start-up nor generation.
    startup_s : float or None
        Mean time before the first event [s].
    bytes_per_event : float or None
        Size of an output event [B].
    watts : float or None
        Mean power of a running job, from those whose node had a meter [W].
    """

    jobs: int
    generator_hz: float | None
    flashsim_hz: float | None
    startup_s: float | None
    bytes_per_event: float | None
    watts: float | None
