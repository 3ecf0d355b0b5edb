"""The ledger of all requests: who asked for what, where each job stands, what was tried, what came of it.

Every method is one transaction. Writing methods take SQLite's write lock before they look, so a decision
never rests on what another command is just changing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.rows import (
    AttemptRow,
    Counts,
    Failure,
    FileRow,
    JobRow,
    MeasuredRates,
    RequestRow,
    StageTotals,
)

#: keys of `JobReport.timings_s` that the ledger understands: time before the first event, and time spent
#: generating events; the rest of an attempt's wall time counts as simulation
STARTUP = "startup"
GENERATE = "generate"


class Ledger:
    """The ledger in an SQLite file (``ledger.sqlite`` in the state folder), made if missing.

    Used as a context manager or closed by `close`; belongs to the thread that opened it. Methods that take
    the name of a request raise `RequestError`, with the nearest known name, if there is none such.

    Raises
    ------
    StorageError
        If the file cannot be made, opened or written; `NoSpaceError` if the disk is full.
    StateError
        If the file is no ledger, damaged, or written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError

    # ---- requests

    def create_request(
        self,
        name: str,
        dataset: DatasetName,
        folder: Path,
        *,
        card: str,
        site: str,
        catalog: str,
        seed: int,
        gen_events: int,
        oversample: int,
        n_simulate: int,
        n_merge: int,
        write: Callable[[DatasetName], str],
    ) -> RequestRow:
        """Enter a request and its jobs, all PLANNED.

        Parameters
        ----------
        name : str
            Name of the request, not taken yet.
        dataset : DatasetName
            What it makes. The version is the least one to take: it is raised above those of all requests
            for the same dataset, so two requests never make the same one.
        folder : Path
            The request's folder.
        card, site, catalog : str
            Names of what was asked for.
        seed, gen_events, oversample : int
            As in the request.
        n_simulate, n_merge : int
            Numbers of jobs.
        write : callable
            Is given the dataset's final name, writes the request's folder and returns the request's
            digest. Called inside the transaction: if it raises, nothing was entered.

        Raises
        ------
        RequestError
            If the name is taken.
        """
        raise NotImplementedError

    def requests(self) -> list[RequestRow]:
        """All requests, the oldest first."""
        raise NotImplementedError

    def request(self, name: str) -> RequestRow:
        """One request."""
        raise NotImplementedError

    def has_request(self, name: str) -> bool:
        """Whether the name is taken."""
        raise NotImplementedError

    def set_cancelled(self, name: str, cancelled: bool) -> None:
        """Ask the request's driver to stop, or take that back (as a retry does)."""
        raise NotImplementedError

    def set_registered(self, name: str, when: datetime | None) -> None:
        """Note when the catalogue had all of the dataset; None when that is no longer so."""
        raise NotImplementedError

    # ---- jobs

    def transition(
        self,
        name: str,
        stage: Stage,
        indices: Iterable[int],
        to: JobState,
        *,
        expect: Collection[JobState] | None = None,
    ) -> int:
        """Move jobs to a state, all or none.

        Parameters
        ----------
        name : str
            The request.
        stage, indices : Stage, iterable of int
            The jobs.
        to : JobState
            Where they go; jobs that are there already stay.
        expect : collection of JobState, optional
            States that the jobs must be in; without it, any from which the step is legal.

        Returns
        -------
        int
            How many jobs have moved.

        Raises
        ------
        StateError
            If some job does not exist or may not make this step; no job has moved then.
        """
        raise NotImplementedError

    def move_all(
        self, name: str, states: Collection[JobState], to: JobState, *, stage: Stage | None = None
    ) -> int:
        """Move all jobs that are in one of `states` (of all stages, or of one); how many those were.

        Raises
        ------
        StateError
            If the step is not legal from all of `states`.
        """
        raise NotImplementedError

    def set_batch_ids(self, name: str, stage: Stage, batch_ids: Iterable[tuple[int, str]]) -> None:
        """Note the batch system's names for jobs, as pairs (index, name)."""
        raise NotImplementedError

    def jobs(
        self, name: str, stage: Stage | None = None, states: Collection[JobState] | None = None
    ) -> list[JobRow]:
        """The jobs of a request, of one stage or in some states only; simulate jobs first, by index."""
        raise NotImplementedError

    # ---- attempts

    def start_attempt(
        self, name: str, stage: Stage, index: int, *, log: Callable[[int], Path], host: str
    ) -> AttemptRow:
        """Enter a new attempt and move its job to RUNNING.

        Parameters
        ----------
        name, stage, index : str, Stage, int
            The job.
        log : callable
            From the attempt's number, counted from 1, to the log file.
        host : str
            Where it runs.

        Raises
        ------
        StateError
            If the job runs already, or may not run from where it stands.
        """
        raise NotImplementedError

    def set_pid(self, name: str, stage: Stage, index: int, number: int, pid: int) -> None:
        """Note the process of an attempt."""
        raise NotImplementedError

    def finish_attempt(
        self,
        name: str,
        stage: Stage,
        index: int,
        number: int,
        to: JobState,
        *,
        exit_code: int | None,
        error: str | None = None,
        report: JobReport | None = None,
    ) -> None:
        """Enter the end of an attempt, move its job on, and record its file if the job is DONE.

        Parameters
        ----------
        name, stage, index, number : str, Stage, int, int
            The attempt.
        to : JobState
            Where the job goes: DONE, FAILED, IDLE (another attempt follows), UNKNOWN, CANCELLED.
        exit_code : int or None
            How it ended; None if nobody knows.
        error : str, optional
            What went wrong, in one line; by default what the report says.
        report : JobReport, optional
            What the worker says; needed, with its output file, for DONE.

        Raises
        ------
        StateError
            If the attempt has ended already or there is none such, if the job may not make the step, if
            the job is to be DONE and the report does not show a success of this very job, or if the
            output's logical name belongs to another job.
        """
        raise NotImplementedError

    def attempts(self, name: str, stage: Stage, index: int) -> list[AttemptRow]:
        """All attempts at a job, the first one first."""
        raise NotImplementedError

    def open_attempts(self, name: str) -> list[AttemptRow]:
        """Attempts of a request that are not known to have ended."""
        raise NotImplementedError

    # ---- files

    def files(self, name: str, stage: Stage) -> Iterator[FileRow]:
        """Outputs of the stage's DONE jobs, by index."""
        raise NotImplementedError

    def file(self, name: str, stage: Stage, index: int) -> FileRow | None:
        """The output of one job, if it is DONE."""
        raise NotImplementedError

    def set_removed(self, name: str, stage: Stage, indices: Iterable[int]) -> None:
        """Note that outputs were taken out of storage on purpose, as after a merge."""
        raise NotImplementedError

    # ---- summaries

    def counts(self, name: str) -> Counts:
        """Jobs of a request by stage and state; pairs without jobs are left out."""
        raise NotImplementedError

    def all_counts(self) -> dict[str, Counts]:
        """`counts` of every request, by its name."""
        raise NotImplementedError

    def failures(self, name: str) -> list[Failure]:
        """Failed attempts grouped by cause, the most frequent first."""
        raise NotImplementedError

    def retries(self, name: str) -> dict[Stage, int]:
        """Attempts beyond the first one of each job, by stage; stages without any are left out."""
        raise NotImplementedError

    def totals(self, name: str) -> dict[Stage, StageTotals]:
        """Sums over finished jobs, by stage; stages without any are left out."""
        raise NotImplementedError

    def recent_rates(self, site: str, card: str, *, on_gpu: bool | None = None) -> MeasuredRates | None:
        """Speeds measured by the newest 100 finished simulate jobs of a card at a site, of all requests.

        `on_gpu` limits them to jobs that ran on a GPU, or on none. None if there are no such jobs.
        """
        raise NotImplementedError
