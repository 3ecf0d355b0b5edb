"""Seeing that whoever is to be told can be told."""

from __future__ import annotations

import socket
import uuid
from datetime import UTC, datetime

from flashsim_prod.core.notices.targets import Notify, shown
from flashsim_prod.errors import NodeError
from flashsim_prod.production.home import Home
from flashsim_prod.production.notices.sending import SendingError, send


def try_notify(home: Home, notify: Notify) -> None:
    """Send a notice that tells of nothing to each address.

    Raises
    ------
    NodeError
        If one could not be told; the others were.
    """
    wrong = []
    for target in notify.to:
        try:
            send(target, _contents(home))
        except SendingError as error:
            wrong.append(f"{shown(target)} could not be told: {error}")
    if wrong:
        raise NodeError("; ".join(wrong))


def _contents(home: Home) -> dict[str, object]:
    text = f"flashsim-prod on {socket.gethostname()} will tell here of requests that end, fail or idle"
    return {
        "text": text,
        "subject": "flashsim-prod: a try",
        "id": uuid.uuid4().hex,
        "event": "try",
        "home": str(home.path),
        "host": socket.gethostname(),
        "at": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
