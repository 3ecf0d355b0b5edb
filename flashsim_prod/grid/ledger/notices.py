"""What was told of requests, so that each thing is told once, whichever commands saw it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from flashsim_prod.grid.database import Database
from flashsim_prod.grid.ledger import requests

#: who began to tell something and has not said that it was told was killed, or could not [s]
PATIENCE_S = 60.0
#: after so many tries nobody is told any more
MOST_TRIES = 5


@dataclass(frozen=True)
class Movement:
    """What of a request has moved so far.

    Attributes
    ----------
    attempts, submissions : int
        That were ever made; more of them, and what ends is another end.
    at : datetime
        When a job last changed its state, or the dataset was registered.
    """

    attempts: int
    submissions: int
    at: datetime


class Notices:
    """The part of the ledger that knows what was told; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def movement(self, name: str) -> Movement:
        """What of a request has moved."""
        with self._database.reading() as db:
            request = requests.find(db, name)
            attempts, moved = db.execute(
                "SELECT coalesce(sum(attempts), 0), max(updated) FROM jobs WHERE request = ?",
                (request["id"],),
            ).fetchone()
            (submissions,) = db.execute(
                "SELECT count(*) FROM submissions WHERE request = ?", (request["id"],)
            ).fetchone()
        at = max(moved or 0.0, request["created"], request["registered"] or 0.0)
        return Movement(attempts, submissions, datetime.fromtimestamp(at, UTC))

    def begin(self, name: str, event: str, sign: str, target: str) -> bool:
        """Whether the caller is to tell `target` of `event`: nobody has, and nobody is about to.

        Parameters
        ----------
        name : str
            The request.
        event, sign : str
            What is told, and what tells one such event of the request from the next.
        target : str
            Stands for the address.
        """
        now = time.time()
        with self._database.writing() as db:
            key = (requests.find(db, name)["id"], event, sign, target)
            where = "request = ? AND event = ? AND sign = ? AND target = ?"
            row = db.execute(f"SELECT * FROM notices WHERE {where}", key).fetchone()
            if row is None:
                db.execute(
                    "INSERT INTO notices (request, event, sign, target, begun) VALUES (?, ?, ?, ?, ?)",
                    (*key, now),
                )
                return True
            if row["sent"] is not None or row["tries"] >= MOST_TRIES or now - row["begun"] < PATIENCE_S:
                return False
            db.execute(f"UPDATE notices SET begun = ?, tries = tries + 1 WHERE {where}", (now, *key))
            return True

    def sent(self, name: str, event: str, sign: str, target: str) -> None:
        """Enter that `target` was told."""
        with self._database.writing() as db:
            db.execute(
                "UPDATE notices SET sent = ? WHERE request = ? AND event = ? AND sign = ? AND target = ?",
                (time.time(), requests.find(db, name)["id"], event, sign, target),
            )

    def left(self) -> set[str]:
        """Names of requests of which something was not told that is still to be."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT name FROM notices JOIN requests ON request = id "
                "WHERE sent IS NULL AND tries < ?",
                (MOST_TRIES,),
            )
            return {row["name"] for row in rows}
