"""The beginning and the end of an attempt, inside a transaction that holds the write lock."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from flashsim_prod.core.report import JobReport, OutputFile
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import StateError
from flashsim_prod.grid.ledger import files
from flashsim_prod.grid.ledger.causes import cause, one_line
from flashsim_prod.grid.ledger.steps import step_jobs

#: keys of `JobReport.timings_s` that the ledger understands: time before the first event, and time spent
#: generating events; the rest of an attempt's wall time counts as simulation
STARTUP = "startup"
GENERATE = "generate"

#: a job and one attempt at it, as named parameters of SQL
_KEY = "request = :request AND stage = :stage AND idx = :idx"


def begin(
    db: sqlite3.Connection,
    request: sqlite3.Row,
    stage: Stage,
    index: int,
    log: Callable[[int], Path],
    host: str,
) -> sqlite3.Row:
    """Enter an attempt, move its job to RUNNING; the attempt's row."""
    key = {"request": request["id"], "stage": stage, "idx": index}
    job = db.execute(f"SELECT state, attempts FROM jobs WHERE {_KEY}", key).fetchone()
    if job is not None and job["state"] == JobState.RUNNING:
        raise StateError(f"request {request['name']}: {stage} {index} runs already")
    step_jobs(db, request, stage, [index], JobState.RUNNING)
    number = job["attempts"] + 1
    now = time.time()
    # earlier attempts whose end nobody saw: at most one attempt of a job is open
    db.execute(f"UPDATE attempts SET ended = :now WHERE {_KEY} AND ended IS NULL", {**key, "now": now})
    db.execute(f"UPDATE jobs SET attempts = :number WHERE {_KEY}", {**key, "number": number})
    db.execute(
        "INSERT INTO attempts (request, stage, idx, number, started, log, host) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (request["id"], stage, index, number, now, str(log(number)), host),
    )
    return find(db, request, stage, index, number)


def find(db: sqlite3.Connection, request: sqlite3.Row, stage: Stage, index: int, number: int) -> sqlite3.Row:
    """The row of an attempt; `StateError` if there is none such."""
    key = {"request": request["id"], "stage": stage, "idx": index, "number": number}
    row: sqlite3.Row | None = db.execute(
        f"SELECT * FROM attempts WHERE {_KEY} AND number = :number", key
    ).fetchone()
    if row is None:
        raise StateError(f"request {request['name']}: {stage} {index} has no attempt {number}")
    return row


def end(
    db: sqlite3.Connection,
    request: sqlite3.Row,
    attempt: sqlite3.Row,
    to: JobState,
    exit_code: int | None,
    error: str | None,
    report: JobReport | None,
) -> None:
    """Enter the end of an attempt, move its job on, record its file if the job is DONE."""
    stage, index = Stage(attempt["stage"]), int(attempt["idx"])
    if attempt["ended"] is not None:
        raise StateError(
            f"request {request['name']}: attempt {attempt['number']} at {stage} {index} has ended already"
        )
    output = _proven_output(request, stage, index, exit_code, report) if to is JobState.DONE else None
    step_jobs(db, request, stage, [index], to)
    _write_end(db, attempt, exit_code, error, report)
    if output is not None:
        files.record(db, request, stage, index, output)


def _proven_output(
    request: sqlite3.Row, stage: Stage, index: int, exit_code: int | None, report: JobReport | None
) -> OutputFile:
    where = f"request {request['name']}: {stage} {index} is not done"
    if report is None or report.output is None or not report.succeeded or exit_code != 0:
        raise StateError(f"{where}: it has no report of success with an output file")
    if (report.request, report.stage, report.index) != (request["name"], stage, index):
        raise StateError(f"{where}: the report is that of {report.request}, {report.stage} {report.index}")
    if report.request_digest != request["digest"]:
        raise StateError(f"{where}: the report is of another version of the request")
    return report.output


def _write_end(
    db: sqlite3.Connection,
    attempt: sqlite3.Row,
    exit_code: int | None,
    error: str | None,
    report: JobReport | None,
) -> None:
    now = time.time()
    said = one_line(error or (report.error if report else None) or "")
    values: dict[str, object] = {
        "ended": now,
        "exit_code": exit_code,
        "error": said,
        "cause": cause(said),
        "wall_s": now - attempt["started"],
    }
    if report is not None:
        values |= _measured(report)
    assignments = ", ".join(f"{column} = :{column}" for column in values)
    key = {name: attempt[name] for name in ("request", "stage", "idx", "number")}
    db.execute(f"UPDATE attempts SET {assignments} WHERE {_KEY} AND number = :number", {**values, **key})


def _measured(report: JobReport) -> dict[str, object]:
    return {
        "wall_s": (report.ended - report.started).total_seconds(),
        "startup_s": report.timings_s.get(STARTUP),
        "generate_s": report.timings_s.get(GENERATE),
        "timings_s": json.dumps(report.timings_s),
        "gen_events": report.gen_events,
        "events": report.events,
        "bytes": report.output.bytes if report.output else 0,
        "peak_rss_mb": report.peak_rss_mb,
        "energy_j": report.energy_j,
        "device": report.device,
        "host": report.host,
    }
