"""From rows of the tables to the classes that the ledger gives back."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import OutputFile
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.rows import AttemptRow, FileRow, JobRow, RequestRow


def to_request(row: sqlite3.Row) -> RequestRow:
    """A row of `requests`."""
    return RequestRow(
        name=row["name"],
        dataset=DatasetName(
            primary=row["primary_name"],
            era=row["era"],
            string=row["string"],
            version=row["version"],
            tier=row["tier"],
        ),
        folder=Path(row["folder"]),
        card=row["card"],
        site=row["site"],
        catalog=row["catalog"],
        seed=row["seed"],
        gen_events=row["gen_events"],
        oversample=row["oversample"],
        n_simulate=row["n_simulate"],
        n_merge=row["n_merge"],
        digest=row["digest"],
        created=_time(row["created"]),
        cancelled=bool(row["cancelled"]),
        registered=_time_or_none(row["registered"]),
    )


def to_job(row: sqlite3.Row) -> JobRow:
    """A row of `jobs`."""
    return JobRow(
        stage=Stage(row["stage"]),
        index=row["idx"],
        state=JobState(row["state"]),
        attempts=row["attempts"],
        updated=_time(row["updated"]),
    )


def to_attempt(row: sqlite3.Row) -> AttemptRow:
    """A row of `attempts`."""
    return AttemptRow(
        stage=Stage(row["stage"]),
        index=row["idx"],
        number=row["number"],
        started=_time(row["started"]),
        ended=_time_or_none(row["ended"]),
        exit_code=row["exit_code"],
        error=row["error"],
        log=Path(row["log"]),
        host=row["host"],
        pid=row["pid"],
        device=row["device"],
        gen_events=row["gen_events"],
        events=row["events"],
        timings_s=json.loads(row["timings_s"]),
        peak_rss_mb=row["peak_rss_mb"],
        energy_j=row["energy_j"],
    )


def to_file(row: sqlite3.Row) -> FileRow:
    """A row of `files`."""
    output = OutputFile.model_validate(
        {
            "lfn": row["lfn"],
            "pfn": row["pfn"],
            "bytes": row["bytes"],
            "events": row["events"],
            "adler32": row["adler32"],
            "sha256": row["sha256"],
            "lumis": json.loads(row["lumis"]),
        }
    )
    return FileRow(Stage(row["stage"]), row["idx"], output, bool(row["removed"]))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
