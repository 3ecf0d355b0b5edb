"""Batch systems that do not answer for a while: whoever follows their jobs waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from flashsim_prod.errors import FlashSimError, NoSpaceError, StorageError

#: how long in one go a batch system may be away; longer than most maintenance of a server takes [s]
PATIENCE_S = 3600.0


class Outage:
    """Whether a look that failed is worth another one.

    Parameters
    ----------
    say : callable
        Is told, once for each time that it is away, why and what is done about it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since: float | None = None

    def ended(self) -> None:
        """It has answered."""
        self._since = None

    def is_borne(self, error: FlashSimError) -> bool:
        """Whether to look again after this error; not if it is of another kind, or for too long now."""
        if not isinstance(error, StorageError) or isinstance(error, NoSpaceError):
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._say(f"{error}; tried again for {PATIENCE_S / 3600:g} h")
        return now - self._since < PATIENCE_S
