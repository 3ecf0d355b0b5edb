"""The ledger of all requests: who asked for what, where each job stands, what was tried, what came of it.

Every method is one transaction. Writing methods take SQLite's write lock before they look, so a decision
never rests on what another command is just changing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import RequestError
from flashsim_prod.grid.database import Database
from flashsim_prod.grid.ledger import attempts, files, requests, views
from flashsim_prod.grid.ledger.notices import Notices
from flashsim_prod.grid.ledger.records import to_attempt, to_file, to_job, to_request
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
from flashsim_prod.grid.ledger.schema import APPLICATION_ID, SCHEMA
from flashsim_prod.grid.ledger.steps import refuse_done, step_all, step_jobs
from flashsim_prod.grid.ledger.submissions import Submissions


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

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._database = Database(path, "ledger", APPLICATION_ID, SCHEMA, read_only=read_only)
        self.submissions = Submissions(self._database)
        self.notices = Notices(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

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
        with self._database.writing() as db:
            if db.execute("SELECT 1 FROM requests WHERE name = ?", (name,)).fetchone():
                raise RequestError(
                    f"a request named '{name}' exists already; choose another name, "
                    f"or see: flashsim-prod status {name}"
                )
            final = requests.next_version(db, dataset)
            digest = write(final)
            row = {
                **{column: getattr(final, column) for column in ("era", "string", "version", "tier")},
                "primary_name": final.primary,
                "name": name,
                "folder": str(folder),
                "card": card,
                "site": site,
                "catalog": catalog,
                "seed": seed,
                "gen_events": gen_events,
                "oversample": oversample,
                "n_simulate": n_simulate,
                "n_merge": n_merge,
                "digest": digest,
                "created": time.time(),
            }
            requests.insert(db, row)
            return to_request(requests.find(db, name))

    def requests(self) -> list[RequestRow]:
        """All requests, the oldest first."""
        with self._database.reading() as db:
            return [to_request(row) for row in db.execute("SELECT * FROM requests ORDER BY id")]

    def request(self, name: str) -> RequestRow:
        """One request."""
        with self._database.reading() as db:
            return to_request(requests.find(db, name))

    def has_request(self, name: str) -> bool:
        """Whether the name is taken."""
        with self._database.reading() as db:
            return db.execute("SELECT 1 FROM requests WHERE name = ?", (name,)).fetchone() is not None

    def set_cancelled(self, name: str, cancelled: bool) -> None:
        """Ask the request's driver to stop, or take that back (as a retry does)."""
        with self._database.writing() as db:
            request = requests.find(db, name)
            db.execute("UPDATE requests SET cancelled = ? WHERE id = ?", (cancelled, request["id"]))

    def set_registered(self, name: str, when: datetime | None) -> None:
        """Note when the catalogue had all of the dataset; None when that is no longer so."""
        with self._database.writing() as db:
            request = requests.find(db, name)
            seconds = None if when is None else when.timestamp()
            db.execute("UPDATE requests SET registered = ? WHERE id = ?", (seconds, request["id"]))

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
        refuse_done(to)
        with self._database.writing() as db:
            return step_jobs(db, requests.find(db, name), stage, indices, to, expect)

    def move_all(
        self, name: str, states: Collection[JobState], to: JobState, *, stage: Stage | None = None
    ) -> int:
        """Move all jobs that are in one of `states` (of all stages, or of one); how many those were.

        Raises
        ------
        StateError
            If the step is not legal from all of `states`.
        """
        refuse_done(to)
        with self._database.writing() as db:
            return step_all(db, requests.find(db, name), states, to, stage)

    def jobs(
        self, name: str, stage: Stage | None = None, states: Collection[JobState] | None = None
    ) -> list[JobRow]:
        """The jobs of a request, of one stage or in some states only; simulate jobs first, by index."""
        wanted = {
            "stages": json.dumps([stage] if stage else list(Stage)),
            "states": json.dumps(sorted(states if states is not None else JobState)),
        }
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE request = :request "
                "AND stage IN (SELECT value FROM json_each(:stages)) "
                "AND state IN (SELECT value FROM json_each(:states)) ORDER BY stage = 'merge', idx",
                {"request": requests.find(db, name)["id"], **wanted},
            )
            return [to_job(row) for row in rows]

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
        with self._database.writing() as db:
            return to_attempt(attempts.begin(db, requests.find(db, name), stage, index, log, host))

    def set_pid(self, name: str, stage: Stage, index: int, number: int, pid: int) -> None:
        """Note the process of an attempt."""
        with self._database.writing() as db:
            attempt = attempts.find(db, requests.find(db, name), stage, index, number)
            db.execute(
                "UPDATE attempts SET pid = ? WHERE request = ? AND stage = ? AND idx = ? AND number = ?",
                (pid, attempt["request"], stage, index, number),
            )

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
        with self._database.writing() as db:
            request = requests.find(db, name)
            attempt = attempts.find(db, request, stage, index, number)
            attempts.end(db, request, attempt, to, exit_code, error, report)

    def attempts(self, name: str, stage: Stage, index: int) -> list[AttemptRow]:
        """All attempts at a job, the first one first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM attempts WHERE request = ? AND stage = ? AND idx = ? ORDER BY number",
                (requests.find(db, name)["id"], stage, index),
            )
            return [to_attempt(row) for row in rows]

    def open_attempts(self, name: str) -> list[AttemptRow]:
        """Attempts of a request that are not known to have ended."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM attempts WHERE request = ? AND ended IS NULL ORDER BY stage = 'merge', idx",
                (requests.find(db, name)["id"],),
            )
            return [to_attempt(row) for row in rows]

    # ---- files

    def files(self, name: str, stage: Stage) -> Iterator[FileRow]:
        """Outputs of the stage's DONE jobs, by index."""
        with self._database.reading() as db:
            rows = files.of_stage(db, requests.find(db, name)["id"], stage)
        return map(to_file, rows)

    def file(self, name: str, stage: Stage, index: int) -> FileRow | None:
        """The output of one job, if it is DONE."""
        with self._database.reading() as db:
            row = files.of_job(db, requests.find(db, name)["id"], stage, index)
        return None if row is None else to_file(row)

    def set_removed(self, name: str, stage: Stage, indices: Iterable[int]) -> None:
        """Note that outputs were taken out of storage on purpose, as after a merge."""
        with self._database.writing() as db:
            files.set_removed(db, requests.find(db, name)["id"], stage, indices)

    def replace_file(self, name: str, stage: Stage, index: int, size: int, adler32: str, sha256: str) -> None:
        """Note that the output of a DONE job was made again: the same events in `size` other bytes."""
        with self._database.writing() as db:
            files.set_sums(db, requests.find(db, name), stage, index, (size, adler32, sha256))

    # ---- summaries

    def counts(self, name: str) -> Counts:
        """Jobs of a request by stage and state; pairs without jobs are left out."""
        with self._database.reading() as db:
            return views.counts(db, requests.find(db, name)["id"])

    def all_counts(self) -> dict[str, Counts]:
        """`counts` of every request, by its name."""
        with self._database.reading() as db:
            return views.all_counts(db)

    def failures(self, name: str) -> list[Failure]:
        """Failed attempts grouped by cause, the most frequent first."""
        with self._database.reading() as db:
            return views.failures(db, requests.find(db, name)["id"])

    def retries(self, name: str) -> dict[Stage, int]:
        """Attempts beyond the first one of each job, by stage; stages without any are left out."""
        with self._database.reading() as db:
            return views.retries(db, requests.find(db, name)["id"])

    def totals(self, name: str) -> dict[Stage, StageTotals]:
        """Sums over finished jobs, by stage; stages without any are left out."""
        with self._database.reading() as db:
            return views.totals(db, requests.find(db, name)["id"])

    def made_events(self, name: str) -> int:
        """Events in the finished files of a request's dataset."""
        with self._database.reading() as db:
            return views.made_events(db, requests.find(db, name)["id"])

    def recent_rates(self, site: str, card: str, *, on_gpu: bool | None = None) -> MeasuredRates | None:
        """Speeds measured by the newest 100 finished simulate jobs of a card at a site, of all requests.

        `on_gpu` limits them to jobs that ran on a GPU, or on none. None if there are no such jobs. The size
        of an event is that in the newest merged files of 1000 events or more.
        """
        with self._database.reading() as db:
            return views.recent_rates(db, site, card, on_gpu)
