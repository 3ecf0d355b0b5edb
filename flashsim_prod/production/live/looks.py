"""Looks at requests that all who watch share, at a pace that leaves the machine to its work."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Seen = TypeVar("Seen")

#: a look is fresh for this long at least [s]
FRESH_S = 2.0
#: and for this many times as long as it took: whoever looks at a batch system holds the request meanwhile
_REST = 20
#: looks that are kept
_KEPT = 64


@dataclass(frozen=True)
class Look(Generic[Seen]):
    """What was seen, when (of a monotonic clock), and how long that took [s]."""

    seen: Seen
    at_s: float
    took_s: float

    @property
    def is_fresh(self) -> bool:
        """Whether it need not be looked again yet."""
        return time.monotonic() - self.at_s < max(FRESH_S, _REST * self.took_s)


class Looks(Generic[Seen]):
    """The newest look at each thing, taken anew when somebody asks and it is no longer fresh.

    Parameters
    ----------
    look : callable
        From the name of a thing to what is seen; called in a thread, one at a time.
    """

    def __init__(self, look: Callable[[str], Seen]) -> None:
        self._look = look
        self._newest: OrderedDict[str, Look[Seen]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def at(self, name: str) -> Look[Seen]:
        """The look at `name`; raises what looking raises."""
        async with self._turn:
            found = self._newest.pop(name, None)
            if found is None or not found.is_fresh:
                began_s = time.monotonic()
                seen = await asyncio.to_thread(self._look, name)
                ended_s = time.monotonic()
                found = Look(seen, ended_s, ended_s - began_s)
            self._newest[name] = found
            while len(self._newest) > _KEPT:
                self._newest.popitem(last=False)
            return found
