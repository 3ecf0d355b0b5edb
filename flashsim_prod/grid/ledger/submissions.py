"""Graphs of jobs handed to a batch system: first the intention, then its answer, then what was seen of it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.states import JobState, Stage, steps_between
from flashsim_prod.errors import StateError
from flashsim_prod.grid.database import Database
from flashsim_prod.grid.ledger import attempts, requests
from flashsim_prod.grid.ledger.rows import RemoteEnd, SubmissionRow
from flashsim_prod.grid.ledger.steps import step_all, step_jobs


class Submissions:
    """The part of the ledger that knows of batch systems; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, name: str) -> SubmissionRow | None:
        """The submission of a request that may still be at work, or may never have been handed over."""
        with self._database.reading() as db:
            return _find(db, requests.find(db, name)["id"], "ended IS NULL")

    def last(self, name: str) -> SubmissionRow | None:
        """The newest submission of a request, open or not."""
        with self._database.reading() as db:
            return _find(db, requests.find(db, name)["id"], "1")

    def open_names(self) -> set[str]:
        """Names of all requests with an open submission."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT name FROM submissions JOIN requests ON request = id WHERE ended IS NULL"
            )
            return {row["name"] for row in rows}

    def intend(self, name: str, token: str, stages: Collection[Stage]) -> SubmissionRow:
        """Enter that the PLANNED jobs of `stages` are about to be handed over, which are SUBMITTING then.

        Raises
        ------
        StateError
            If an earlier submission is open.
        """
        with self._database.writing() as db:
            request = requests.find(db, name)
            if _find(db, request["id"], "ended IS NULL"):
                raise StateError(f"request {name}: an earlier submission has not ended")
            last = _find(db, request["id"], "1")
            db.execute(
                "INSERT INTO submissions (request, number, token, created) VALUES (?, ?, ?, ?)",
                (request["id"], last.number + 1 if last else 1, token, time.time()),
            )
            for stage in stages:
                step_all(db, request, {JobState.PLANNED}, JobState.SUBMITTING, stage)
            return _must_find(db, request)

    def handed_over(self, name: str, batch_id: str) -> None:
        """Enter the batch system's name for the open submission; its jobs are IDLE then."""
        with self._database.writing() as db:
            request = requests.find(db, name)
            open_ = _must_find(db, request)
            db.execute(
                "UPDATE submissions SET batch_id = ? WHERE request = ? AND number = ?",
                (batch_id, request["id"], open_.number),
            )
            step_all(db, request, {JobState.SUBMITTING}, JobState.IDLE)

    def end(self, name: str, *, stopped: str | None = None) -> None:
        """Enter that the open submission has ended, or was never handed over; SUBMITTING jobs are PLANNED.

        `stopped` says why, if it was before its jobs had ended.
        """
        with self._database.writing() as db:
            request = requests.find(db, name)
            open_ = _must_find(db, request)
            db.execute(
                "UPDATE submissions SET ended = ?, stopped = ? WHERE request = ? AND number = ?",
                (time.time(), stopped, request["id"], open_.number),
            )
            step_all(db, request, {JobState.SUBMITTING}, JobState.PLANNED)

    def settle(
        self,
        name: str,
        states: Mapping[tuple[Stage, JobState], Collection[int]],
        ends: Iterable[RemoteEnd] = (),
    ) -> None:
        """Enter what was seen of jobs: where they stand, and which have ended.

        Whatever lies between a job's last known state and this one is passed through. Jobs that are DONE
        stay so.

        Raises
        ------
        StateError
            As by `Ledger.finish_attempt`.
        """
        with self._database.writing() as db:
            request = requests.find(db, name)
            for (stage, state), indices in states.items():
                _lead(db, request, stage, indices, state)
            ended = list(ends)
            for stage in Stage:
                _lead(db, request, stage, [end.index for end in ended if end.stage is stage], JobState.IDLE)
            for end in ended:
                _enter_end(db, request, end)


def _find(db: sqlite3.Connection, request: int, where: str) -> SubmissionRow | None:
    row = db.execute(
        f"SELECT * FROM submissions WHERE request = ? AND {where} ORDER BY number DESC LIMIT 1", (request,)
    ).fetchone()
    if row is None:
        return None
    return SubmissionRow(
        number=row["number"],
        token=row["token"],
        created=datetime.fromtimestamp(row["created"], UTC),
        batch_id=row["batch_id"],
        ended=None if row["ended"] is None else datetime.fromtimestamp(row["ended"], UTC),
        stopped=row["stopped"],
    )


def _must_find(db: sqlite3.Connection, request: sqlite3.Row) -> SubmissionRow:
    found = _find(db, request["id"], "ended IS NULL")
    if found is None:
        raise StateError(f"request {request['name']}: no submission is open")
    return found


def _lead(
    db: sqlite3.Connection, request: sqlite3.Row, stage: Stage, indices: Collection[int], to: JobState
) -> None:
    """Move jobs to a state from wherever they are, but for those that are DONE."""
    rows = db.execute(
        "SELECT state, idx FROM jobs WHERE request = ? AND stage = ? "
        "AND idx IN (SELECT value FROM json_each(?))",
        (request["id"], stage, json.dumps(sorted(indices))),
    )
    by_state: dict[JobState, list[int]] = {}
    for row in rows:
        by_state.setdefault(JobState(row["state"]), []).append(row["idx"])
    for before, some in by_state.items():
        if before is JobState.DONE:
            continue
        for state in steps_between(before, to):
            step_jobs(db, request, stage, some, state)


def _enter_end(db: sqlite3.Connection, request: sqlite3.Row, end: RemoteEnd) -> None:
    """An attempt at a job, IDLE by now, that began and ended while nobody looked."""
    for log in end.logs[:-1]:
        # an attempt that the batch system itself repeated: how it ended only its log knows
        row = _begin(db, request, end, log)
        attempts.end(db, request, row, JobState.IDLE, None, "tried again by the batch system", None)
    row = _begin(db, request, end, end.logs[-1])
    attempts.end(db, request, row, end.to, end.exit_code, end.error, end.report)
    if end.report is not None:
        db.execute(
            "UPDATE attempts SET started = ?, ended = ? "
            "WHERE request = ? AND stage = ? AND idx = ? AND number = ?",
            (
                end.report.started.timestamp(),
                end.report.ended.timestamp(),
                *(row[column] for column in ("request", "stage", "idx", "number")),
            ),
        )


def _begin(db: sqlite3.Connection, request: sqlite3.Row, end: RemoteEnd, log: Path) -> sqlite3.Row:
    return attempts.begin(db, request, end.stage, end.index, lambda number: log, end.host)
