"""Telling of requests that end, fail or idle: once each, by whichever command is the first to see it.

Nothing here harms a request: what cannot be told is a line in the log, and tried again by who looks next.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from signal import Signals
from typing import Any

from flashsim_prod.core.notices.targets import shown
from flashsim_prod.core.sizes import counted, format_count
from flashsim_prod.core.states import ACTIVE, JobState, RequestState
from flashsim_prod.errors import FlashSimError, LockedError, RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import Counts, RequestRow
from flashsim_prod.grid.locks import is_driven
from flashsim_prod.production.asked import Asked, asked_of
from flashsim_prod.production.context import in_state, request_state
from flashsim_prod.production.home import Home

log = logging.getLogger("flashsim_prod.notices")

#: causes of failures that are told, the commonest
_SHOWN = 3

_ENDS = {
    RequestState.DONE: "done",
    RequestState.FAILED: "failed",
    RequestState.CANCELLED: "cancelled",
}


@dataclass(frozen=True)
class Event:
    """Something that is told.

    Attributes
    ----------
    kind : str
        done, failed, cancelled, stopped or idle.
    sign : str
        What tells it from another event of this kind.
    why : str
        In words; may be empty.
    """

    kind: str
    sign: str
    why: str = ""


@dataclass
class Ending:
    """How a command that is at work on a request ends, as far as the ledger does not tell."""

    stopped_by: int | None = None


@contextmanager
def telling(home: Home, name: str, *, errors: bool = False) -> Iterator[Ending]:
    """Tell how a request stands once the block has ended, which must have let go of it by then.

    Parameters
    ----------
    errors : bool
        Whether an error that ends the block is one of the request, which cannot go on.
    """
    ending = Ending()
    try:
        yield ending
    except FlashSimError as error:
        # another command is at work on it, or there is none such
        is_other = isinstance(error, LockedError) or type(error) is RequestError
        if errors and not is_other:
            tell(home, name, error=str(error))
        raise
    tell(home, name, stopped_by=ending.stopped_by)


def tell_aside(home: Home, name: str) -> None:
    """As `tell`, in a thread of its own, for commands that only look and should not wait for a server."""
    try:
        if home.is_read_only or asked_of(home, name) is None:
            return
    except FlashSimError as error:
        log.warning("request %s: nobody is told: %s", name, error)
        return
    threading.Thread(target=tell, args=(home, name), name=f"notice of {name}").start()


def tell(home: Home, name: str, *, error: str | None = None, stopped_by: int | None = None) -> None:
    """Tell those who asked for it how a request stands, if it is something to be told and was not yet.

    Parameters
    ----------
    error : str, optional
        Why the request cannot go on, where that is no failure of its jobs.
    stopped_by : int, optional
        The signal that ended the command that drove it.
    """
    if home.is_read_only:
        return
    try:
        asked = asked_of(home, name)
        if asked is not None and asked.notify.to:
            _tell(home, name, asked, error, stopped_by)
    except (FlashSimError, OSError) as wrong:
        log.warning("request %s: nobody is told: %s", name, wrong)


def _tell(home: Home, name: str, asked: Asked, error: str | None, stopped_by: int | None) -> None:
    with Ledger(home.ledger) as ledger:
        if not ledger.has_request(name):
            return
        row, counts = ledger.request(name), ledger.counts(name)
        folder = home.folder(name).path
        driven = ledger.submissions.open(name) is not None or (folder.is_dir() and is_driven(folder))
        state = request_state(row, counts, driven=driven)
        event = _event(ledger, row, counts, state, asked, error, stopped_by)
        if event is None:
            return
        for target in asked.notify.to:
            told = _contents(home, ledger, row, counts, state, event)
            _send_once(ledger, name, event, target, told)


def _event(
    ledger: Ledger,
    row: RequestRow,
    counts: Counts,
    state: RequestState,
    asked: Asked,
    error: str | None,
    stopped_by: int | None,
) -> Event | None:
    moved = ledger.notices.movement(row.name)
    sign = f"{moved.attempts}.{moved.submissions}"
    if error is not None and state is not RequestState.DONE:
        return Event("failed", f"{sign}.{zlib.crc32(error.encode()):08x}", error)
    if state in _ENDS:
        return Event(_ENDS[state], sign) if moved.at >= asked.since else None
    if stopped_by is not None and stopped_by != Signals.SIGINT:
        return Event("stopped", sign, f"by {Signals(stopped_by).name}")
    return _idle(row, counts, state, asked, moved.at)


def _idle(
    row: RequestRow, counts: Counts, state: RequestState, asked: Asked, moved: datetime
) -> Event | None:
    """That nothing of a request has moved for too long, and nothing is at work on it."""
    limit = timedelta(minutes=asked.notify.idle_min)
    if datetime.now(UTC) - moved < limit or in_state(counts, JobState.DONE) == row.n_simulate + row.n_merge:
        return None
    span = f"for more than {asked.notify.idle_min:g} minutes"
    if state is RequestState.INTERRUPTED:
        # one that was left long before somebody asked is no news
        return (
            Event("idle", moved.isoformat(), f"nobody is at work on it {span}")
            if moved + limit >= asked.since
            else None
        )
    waiting = in_state(counts, *(ACTIVE - {JobState.RUNNING}))
    if state is RequestState.RUNNING and waiting and not in_state(counts, JobState.RUNNING):
        held = in_state(counts, JobState.HELD)
        which = f"{counted(held, 'job')} held" if held else f"{counted(waiting, 'job')} waiting"
        return Event("idle", moved.isoformat(), f"nothing has moved {span}, {which}")
    return None


def _contents(
    home: Home, ledger: Ledger, row: RequestRow, counts: Counts, state: RequestState, event: Event
) -> dict[str, Any]:
    jobs: dict[str, int] = {}
    for (_, one), number in counts.items():
        jobs[one.value] = jobs.get(one.value, 0) + number
    failures = [] if event.kind == "done" else ledger.failures(row.name)[:_SHOWN]
    why = event.why or (f"{failures[0].error}" if event.kind == "failed" and failures else "")
    is_done = event.kind == "done"
    events = ledger.made_events(row.name) if is_done else row.events
    subject = f"flashsim-prod: {row.name} {_WORDS[event.kind]}"
    lines = [
        f"{subject}{f': {why}' if why else ''}",
        f"{row.dataset}, {format_count(events)} events at {row.site}",
    ]
    if not is_done:
        lines.append(f"see: flashsim-prod status {row.name}; to go on: flashsim-prod retry {row.name}")
    return {
        # what servers of chats show
        "text": "\n".join(lines),
        "subject": subject,
        # the same for each try to tell the same
        "id": hashlib.sha256(f"{row.digest} {row.created} {event.kind} {event.sign}".encode()).hexdigest()[
            :32
        ],
        "event": event.kind,
        "why": why,
        "request": row.name,
        "state": state.value,
        "dataset": str(row.dataset),
        "events": events,
        "card": row.card,
        "site": row.site,
        "jobs": jobs,
        "failures": [
            {
                "stage": one.stage.value,
                "exit_code": one.exit_code,
                "error": one.error,
                "jobs": one.jobs,
                "log": str(one.log),
            }
            for one in failures
        ],
        "home": str(home.path),
        "host": socket.gethostname(),
        "at": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }


_WORDS = {
    "done": "is done",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "stopped": "was stopped",
    "idle": "idles",
}


def _send_once(ledger: Ledger, name: str, event: Event, target: str, told: dict[str, Any]) -> None:
    key = (name, event.kind, event.sign, hashlib.sha256(target.encode()).hexdigest()[:16])
    if not ledger.notices.begin(*key):
        return
    # clients of HTTP and mail, which few commands need
    from flashsim_prod.production.notices.sending import SendingError, send_firmly

    try:
        send_firmly(target, told)
    except SendingError as error:
        what = f"request {name}: {shown(target)} could not be told that it {_WORDS[event.kind]}"
        log.warning("%s: %s", what, error)
        return
    ledger.notices.sent(*key)
