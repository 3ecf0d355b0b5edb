"""Summaries of a request's jobs and attempts, each one query."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.rows import Counts, Failure, MeasuredRates, StageTotals

#: jobs that a measured rate is taken from
_RATE_JOBS = 100
#: events that a file holds at least for its size to tell that of an event: a part of each is fixed
_SIZE_EVENTS = 1000


def counts(db: sqlite3.Connection, request: int) -> Counts:
    """Jobs by stage and state."""
    rows = db.execute(
        "SELECT stage, state, count(*) AS n FROM jobs WHERE request = ? GROUP BY stage, state", (request,)
    )
    return {(Stage(row["stage"]), JobState(row["state"])): row["n"] for row in rows}


def all_counts(db: sqlite3.Connection) -> dict[str, Counts]:
    """Jobs by stage and state of every request."""
    found: dict[str, Counts] = {
        row["name"]: {} for row in db.execute("SELECT name FROM requests ORDER BY id")
    }
    rows = db.execute(
        "SELECT name, stage, state, n FROM requests JOIN "
        "(SELECT request, stage, state, count(*) AS n FROM jobs GROUP BY request, stage, state) "
        "ON request = id"
    )
    for row in rows:
        found[row["name"]][Stage(row["stage"]), JobState(row["state"])] = row["n"]
    return found


def failures(db: sqlite3.Connection, request: int) -> list[Failure]:
    """Failed attempts grouped by cause, the most frequent first.

    A FAILED job counts under the cause of its last attempt only.
    """
    rows = db.execute(
        """
        WITH grouped AS (
            SELECT a.stage, exit_code, cause, count(*) AS attempts, count(DISTINCT a.idx) AS jobs,
                   sum(j.state = 'FAILED' AND a.number = j.attempts) AS failed_jobs, max(ended) AS newest
            FROM attempts a JOIN jobs j USING (request, stage, idx)
            WHERE a.request = :request AND exit_code <> 0
            GROUP BY a.stage, exit_code, cause
        )
        SELECT g.*, a.error, a.log
        FROM grouped g JOIN attempts a ON a.request = :request AND a.stage = g.stage
             AND a.exit_code = g.exit_code AND a.exit_code <> 0 AND a.cause = g.cause AND a.ended = g.newest
        GROUP BY g.stage, g.exit_code, g.cause
        ORDER BY attempts DESC, g.stage DESC, g.exit_code
        """,
        {"request": request},
    )
    return [
        Failure(
            stage=Stage(row["stage"]),
            exit_code=row["exit_code"],
            error=row["error"],
            attempts=row["attempts"],
            jobs=row["jobs"],
            failed_jobs=row["failed_jobs"],
            log=Path(row["log"]),
        )
        for row in rows
    ]


def retries(db: sqlite3.Connection, request: int) -> dict[Stage, int]:
    """Attempts beyond the first one of each job."""
    rows = db.execute(
        "SELECT stage, sum(attempts - 1) AS n FROM jobs WHERE request = ? AND attempts > 1 GROUP BY stage",
        (request,),
    )
    return {Stage(row["stage"]): row["n"] for row in rows}


def totals(db: sqlite3.Connection, request: int) -> dict[Stage, StageTotals]:
    """Sums over the last attempts of DONE jobs."""
    rows = db.execute(
        """
        SELECT a.stage, count(*) AS jobs, sum(gen_events) AS gen_events, sum(events) AS events,
               sum(bytes) AS bytes, sum(wall_s) AS wall_s, min(started) AS first_started,
               max(ended) AS last_ended, max(peak_rss_mb) AS max_rss_mb, sum(energy_j) AS energy_j,
               count(energy_j) AS measured_jobs,
               coalesce(sum(events) FILTER (WHERE energy_j IS NOT NULL), 0) AS measured_events
        FROM jobs j JOIN attempts a USING (request, stage, idx)
        WHERE j.request = ? AND j.state = 'DONE' AND a.number = j.attempts
        GROUP BY a.stage
        """,
        (request,),
    )
    return {
        Stage(row["stage"]): StageTotals(
            jobs=row["jobs"],
            gen_events=row["gen_events"],
            events=row["events"],
            bytes=row["bytes"],
            wall_s=row["wall_s"],
            first_started=datetime.fromtimestamp(row["first_started"], UTC),
            last_ended=datetime.fromtimestamp(row["last_ended"], UTC),
            max_rss_mb=row["max_rss_mb"],
            energy_j=row["energy_j"],
            measured_jobs=row["measured_jobs"],
            measured_events=row["measured_events"],
        )
        for row in rows
    }


def made_events(db: sqlite3.Connection, request: int) -> int:
    """Events in the finished files of the dataset."""
    row = db.execute(
        "SELECT coalesce(sum(events), 0) AS n FROM files WHERE request = ? AND stage = 'merge'", (request,)
    ).fetchone()
    return int(row["n"])


def recent_rates(db: sqlite3.Connection, site: str, card: str, on_gpu: bool | None) -> MeasuredRates | None:
    """Sums of events over sums of time of the newest finished simulate jobs of a card at a site.

    The size of an event is that in merged files, on whatever device they were made.
    """
    row = db.execute(
        """
        WITH succeeded AS (
            SELECT * FROM attempts
            WHERE request IN (SELECT id FROM requests WHERE site = :site AND card = :card) AND exit_code = 0
        ),
        newest AS (
            SELECT * FROM succeeded
            WHERE stage = 'simulate' AND (:on_gpu IS NULL OR (device <> 'cpu') = :on_gpu)
            ORDER BY ended DESC LIMIT :limit
        ),
        merged AS (
            SELECT * FROM succeeded
            WHERE stage = 'merge' AND events >= :size_events
            ORDER BY ended DESC LIMIT :limit
        )
        SELECT count(*) AS jobs,
               sum(gen_events) FILTER (WHERE generate_s > 0) / sum(generate_s) AS generator_hz,
               sum(events) / nullif(sum(wall_s - coalesce(startup_s, 0) - coalesce(generate_s, 0)
                   - coalesce(json_extract(timings_s, '$.overlap'), 0)), 0) AS flashsim_hz,
               avg(startup_s) AS startup_s,
               (SELECT 1.0 * sum(bytes) / sum(events) FROM merged) AS bytes_per_event,
               sum(energy_j) / nullif(sum(wall_s) FILTER (WHERE energy_j IS NOT NULL), 0) AS watts
        FROM newest
        """,
        {"site": site, "card": card, "on_gpu": on_gpu, "limit": _RATE_JOBS, "size_events": _SIZE_EVENTS},
    ).fetchone()
    if row["jobs"] == 0:
        return None
    return MeasuredRates(
        jobs=row["jobs"],
        generator_hz=_positive(row["generator_hz"]),
        flashsim_hz=_positive(row["flashsim_hz"]),
        startup_s=row["startup_s"],
        bytes_per_event=_positive(row["bytes_per_event"]),
        watts=_positive(row["watts"]),
    )


def _positive(rate: float | None) -> float | None:
    return rate if rate is not None and rate > 0 else None
