"""Requests in the ledger, inside a transaction."""

from __future__ import annotations

import sqlite3
import time

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import RequestError


def find(db: sqlite3.Connection, name: str) -> sqlite3.Row:
    """The row of a request; `RequestError` with the nearest known name if there is none such."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM requests WHERE name = ?", (name,)).fetchone()
    if row is None:
        known = [other["name"] for other in db.execute("SELECT name FROM requests")]
        hint = nearest(name, known) if known else "; there are none yet"
        raise RequestError(f"no request named '{name}'{hint}")
    return row


def next_version(db: sqlite3.Connection, dataset: DatasetName) -> DatasetName:
    """`dataset` with the first version, from its own on, that lies above those of all requests."""
    (highest,) = db.execute(
        "SELECT coalesce(max(version), 0) FROM requests "
        "WHERE primary_name = ? AND era = ? AND string = ? AND tier = ?",
        (dataset.primary, dataset.era, dataset.string, dataset.tier),
    ).fetchone()
    return dataset.model_copy(update={"version": max(dataset.version, highest + 1)})


def insert(db: sqlite3.Connection, row: dict[str, object]) -> None:
    """Enter a request, given by columns, and its jobs, all PLANNED."""
    columns = ", ".join(row)
    values = ", ".join(f":{column}" for column in row)
    request = db.execute(f"INSERT INTO requests ({columns}) VALUES ({values})", row).lastrowid
    for stage, number in ((Stage.SIMULATE, row["n_simulate"]), (Stage.MERGE, row["n_merge"])):
        db.execute(
            "WITH RECURSIVE counted(idx) AS "
            "(SELECT 0 WHERE :number > 0 UNION ALL SELECT idx + 1 FROM counted WHERE idx + 1 < :number) "
            "INSERT INTO jobs (request, stage, idx, state, updated) "
            "SELECT :request, :stage, idx, :state, :now FROM counted",
            {
                "request": request,
                "stage": stage,
                "number": number,
                "state": JobState.PLANNED,
                "now": time.time(),
            },
        )
