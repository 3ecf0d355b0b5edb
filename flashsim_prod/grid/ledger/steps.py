"""The one place where jobs change state. Works inside a transaction that holds the write lock."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable

from flashsim_prod.core.states import LEGAL, JobState, Stage, may_follow
from flashsim_prod.errors import StateError

_SHOWN = 5


def step_jobs(
    db: sqlite3.Connection,
    request: sqlite3.Row,
    stage: Stage,
    indices: Iterable[int],
    to: JobState,
    expect: Collection[JobState] | None = None,
) -> int:
    """Move the jobs `indices` to a state, all or none; how many have moved. `StateError` otherwise."""
    chosen = {"request": request["id"], "stage": stage, "indices": json.dumps(sorted(set(indices)))}
    _refuse_others(db, request["name"], chosen, allowed_before(to, expect), to)
    where = "request = :request AND stage = :stage AND idx IN (SELECT value FROM json_each(:indices))"
    return _write_state(db, where, chosen, to)


def step_all(
    db: sqlite3.Connection,
    request: sqlite3.Row,
    states: Collection[JobState],
    to: JobState,
    stage: Stage | None = None,
) -> int:
    """Move all jobs of a request that are in one of `states`; how many have moved."""
    chosen = {
        "request": request["id"],
        "stages": json.dumps([stage] if stage else list(Stage)),
        "states": json.dumps(sorted(allowed_before(to, states))),
    }
    where = (
        "request = :request AND stage IN (SELECT value FROM json_each(:stages)) "
        "AND state IN (SELECT value FROM json_each(:states))"
    )
    return _write_state(db, where, chosen, to)


def refuse_done(to: JobState) -> None:
    """`StateError` for a step to DONE that no report backs."""
    if to is JobState.DONE:
        raise StateError("a job becomes DONE only by the end of an attempt with a report of success")


def allowed_before(to: JobState, expect: Collection[JobState] | None) -> frozenset[JobState]:
    """States that jobs may be in before a step to `to`.

    Raises
    ------
    StateError
        If the step is illegal from one of the states expected.
    """
    if expect is None:
        return frozenset({to} | {before for before in LEGAL if to in LEGAL[before]})
    for before in expect:
        if not may_follow(before, to):
            raise StateError(f"a job never goes from {before} to {to}")
    return frozenset(expect)


def _refuse_others(
    db: sqlite3.Connection, name: str, chosen: dict[str, object], allowed: frozenset[JobState], to: JobState
) -> None:
    offenders = db.execute(
        "SELECT value AS idx, state FROM json_each(:indices) LEFT JOIN jobs "
        "ON request = :request AND stage = :stage AND idx = value "
        "WHERE state IS NULL OR state NOT IN (SELECT value FROM json_each(:allowed)) LIMIT :shown",
        {**chosen, "allowed": json.dumps(sorted(allowed)), "shown": _SHOWN},
    ).fetchall()
    if offenders:
        jobs = ", ".join(
            f"{chosen['stage']} {row['idx']} ({row['state'] or 'no such job'})" for row in offenders
        )
        raise StateError(f"request {name}: not from here to {to}: {jobs}")


def _write_state(db: sqlite3.Connection, where: str, chosen: dict[str, object], to: JobState) -> int:
    if to is not JobState.DONE:
        # what a job made counts only as long as the job is DONE
        db.execute(
            "DELETE FROM files WHERE (request, stage, idx) IN "
            f"(SELECT request, stage, idx FROM jobs WHERE {where} AND state = 'DONE')",
            chosen,
        )
    moved = db.execute(
        f"UPDATE jobs SET state = :to, updated = :now WHERE {where} AND state <> :to",
        {**chosen, "to": to, "now": time.time()},
    )
    return moved.rowcount
