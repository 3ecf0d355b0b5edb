"""Stopping a campaign: the command that brings it forward, and all of its requests that are not finished."""

from __future__ import annotations

import time

from flashsim_prod.core.states import RequestState
from flashsim_prod.errors import FlashSimError, LockedError
from flashsim_prod.production.campaigns.status import campaign_status
from flashsim_prod.production.campaigns.store import campaign_folder
from flashsim_prod.production.drive.cancel import cancel
from flashsim_prod.production.home import Home

#: a driver ends its workers within ten seconds, and then the campaign
_PATIENCE_S = 60.0
_OPEN = (RequestState.RUNNING, RequestState.PLANNED, RequestState.INTERRUPTED, RequestState.FAILED)


def cancel_campaign(
    home: Home, name: str, *, patience_s: float = _PATIENCE_S
) -> tuple[dict[str, int], dict[str, FlashSimError]]:
    """Stop all of a campaign; what is finished stays, and ``campaign retry`` goes on from there.

    Returns
    -------
    dict of str to int
        Jobs that were cancelled, by request.
    dict of str to FlashSimError
        Requests that could not be stopped, and why.

    Raises
    ------
    RequestError
        If there is no such campaign.
    LockedError
        If the command that is at work on it does not stop in time.
    """
    campaign_status(home, name)
    folder = campaign_folder(home, name)
    folder.stop()
    cancelled: dict[str, int] = {}
    deadline = time.monotonic() + patience_s
    while folder.is_at_work:
        # what it drives ends, and then it starts nothing more
        _cancel_open(home, name, cancelled, (RequestState.RUNNING,))
        if time.monotonic() > deadline:
            raise LockedError(f"campaign {name}: its driver was asked to stop but is still running")
        time.sleep(0.5)
    with folder.lock(patience_s=patience_s):
        wrong = _cancel_open(home, name, cancelled, _OPEN)
        folder.go_on()
    return cancelled, wrong


def _cancel_open(
    home: Home, name: str, cancelled: dict[str, int], states: tuple[RequestState, ...]
) -> dict[str, FlashSimError]:
    wrong: dict[str, FlashSimError] = {}
    for line in campaign_status(home, name).lines:
        if line.state not in states:
            continue
        try:
            cancelled[line.name] = cancelled.get(line.name, 0) + cancel(home, line.name)
        except FlashSimError as error:
            wrong[line.name] = error
    return wrong
