"""Outputs of finished jobs in the ledger, inside a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from flashsim_prod.core.report import OutputFile
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import StateError


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


def record(
    db: sqlite3.Connection, request: sqlite3.Row, stage: Stage, index: int, output: OutputFile
) -> None:
    """Enter what a job left; `StateError` if another job left it."""
    owner = db.execute("SELECT stage, idx FROM files WHERE lfn = ?", (output.lfn,)).fetchone()
    if owner is not None:
        raise StateError(
            f"request {request['name']}: {output.lfn}, made by {stage} {index}, "
            f"is known as the output of another job ({owner['stage']} {owner['idx']})"
        )
    db.execute(
        "INSERT INTO files (request, stage, idx, lfn, pfn, bytes, events, adler32, sha256, lumis) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request["id"],
            stage,
            index,
            output.lfn,
            output.pfn,
            output.bytes,
            output.events,
            output.adler32,
            output.sha256,
            json.dumps([lumi.model_dump() for lumi in output.lumis]),
        ),
    )


def set_sums(
    db: sqlite3.Connection, request: sqlite3.Row, stage: Stage, index: int, sums: tuple[int, str, str]
) -> None:
    """The output of a DONE job has another size, adler32 and sha256 by now."""
    db.execute(
        "UPDATE files SET bytes = ?, adler32 = ?, sha256 = ? WHERE request = ? AND stage = ? AND idx = ?",
        (*sums, request["id"], stage, index),
    )
