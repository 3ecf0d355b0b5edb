"""Stopping a request; what is finished stays, so that a retry can go on from there."""

from __future__ import annotations

import time

from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.states import FINAL, JobState, RequestState
from flashsim_prod.errors import LockedError, StateError
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import is_driven, request_lock
from flashsim_prod.production.context import opened_request, request_state
from flashsim_prod.production.drive.watch import look, submission_of
from flashsim_prod.production.home import Home
from flashsim_prod.production.notices.telling import telling

#: a driver looks about once a second, and gives its workers ten seconds to end
_PATIENCE_S = 30.0


def cancel(home: Home, name: str, *, patience_s: float = _PATIENCE_S) -> int:
    """Stop a request's driver, if there is one, and mark all unfinished jobs as cancelled.

    Returns
    -------
    int
        How many jobs were cancelled.

    Raises
    ------
    StateError
        If the request was never started, or is finished.
    LockedError
        If its driver does not stop in time.
    StorageError
        If its batch system cannot be reached; then nothing was taken back.
    """
    folder = home.existing(name)
    with telling(home, name), Ledger(home.ledger) as ledger:
        if not ledger.has_request(name):
            raise StateError(f"request {name} was never started; delete {folder.path} to be rid of it")
        before = ledger.counts(name)
        if request_state(ledger.request(name), before, driven=False) is RequestState.DONE:
            raise StateError(f"request {name} is finished; nothing to cancel")
        ledger.set_cancelled(name, True)
        deadline = time.monotonic() + patience_s
        while is_driven(folder.path):
            if time.monotonic() > deadline:
                raise LockedError(f"request {name}: its driver was asked to stop but is still running")
            time.sleep(0.2)
        with request_lock(folder.path):
            _take_back(home, folder)
            _end_open_attempts(ledger, name)
            ledger.move_all(name, set(JobState) - FINAL, JobState.CANCELLED)
        after = ledger.counts(name)
    return sum(n for (_, state), n in after.items() if state is JobState.CANCELLED) - sum(
        n for (_, state), n in before.items() if state is JobState.CANCELLED
    )


def _take_back(home: Home, folder: RequestFolder) -> None:
    """Take an open submission from its batch system; what its jobs finished meanwhile is entered first."""
    with opened_request(home, folder) as context:
        row = context.ledger.submissions.open(context.name)
        if row is None:
            return
        batch = open_batch(context.request.site)
        look(context, batch)
        row = context.ledger.submissions.open(context.name)
        if row is not None and row.batch_id is not None:
            batch.cancel(submission_of(context, row), row.batch_id)
            context.ledger.submissions.end(context.name)


def _end_open_attempts(ledger: Ledger, name: str) -> None:
    """Attempts that a killed driver left open; a retry still finds what their workers finished."""
    for row in ledger.open_attempts(name):
        ledger.finish_attempt(
            name,
            row.stage,
            row.index,
            row.number,
            JobState.CANCELLED,
            exit_code=None,
            error="cancelled after its driver was killed",
        )
