"""Outputs of finished jobs in the ledger, inside a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from flashsim_prod.core.states import Stage


def of_stage(db: sqlite3.Connection, request: int, stage: Stage) -> list[sqlite3.Row]:
    """Outputs of the stage's DONE jobs, by index."""
    where = "request = ? AND stage = ? ORDER BY idx"
    return db.execute(f"SELECT * FROM files WHERE {where}", (request, stage)).fetchall()


def of_job(db: sqlite3.Connection, request: int, stage: Stage, index: int) -> sqlite3.Row | None:
    """The output of one job, if it is DONE."""
    where = "request = ? AND stage = ? AND idx = ?"
    row: sqlite3.Row | None = db.execute(
        f"SELECT * FROM files WHERE {where}", (request, stage, index)
    ).fetchone()
    return row


def set_removed(db: sqlite3.Connection, request: int, stage: Stage, indices: Iterable[int]) -> None:
    """Note that outputs were taken out of storage on purpose."""
    db.execute(
        "UPDATE files SET removed = 1 WHERE request = ? AND stage = ? "
        "AND idx IN (SELECT value FROM json_each(?))",
        (request, stage, json.dumps(list(indices))),
    )
