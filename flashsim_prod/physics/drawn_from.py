"""What training tables were drawn from: a file, or a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.physics.event_range import WHOLE, EventRange, told


@dataclass(frozen=True)
class DrawnFrom:
    """The file that a table was drawn from, and how much of it.

    Attributes
    ----------
    url : str
        Local files with their whole path.
    uuid : str
        The file's own.
    events : int
        That were looked at, one after another.
    of : int
        Events in the file.
    objects : int
        Of the model's collection in these events.
    first : int
        Event of the file where they begin.
    weight : float
        What each counts for when a bundle's models are fine-tuned.
    n_bytes : int
        Of the file; 0 in tables from before they remembered it.
    """

    url: str
    uuid: str
    events: int
    of: int
    objects: int
    first: int = 0
    weight: float = 1.0
    n_bytes: int = 0

    def is_other_file(self, other: DrawnFrom) -> bool:
        """Whether this was drawn from another file than `other`, for all that is known."""
        sizes = {self.n_bytes, other.n_bytes} - {0}
        return self.uuid != other.uuid or len(sizes) > 1

    def shares_events(self, other: DrawnFrom) -> bool:
        """Whether this has events of `other`, from the same file or from a copy of it."""
        if self.is_other_file(other) or not (self.n_bytes and other.n_bytes):
            return False
        return self.first < other.first + other.events and other.first < self.first + self.events

    def is_of(self, events: int | None, part: EventRange = WHOLE) -> bool:
        """Whether just this part was looked at, its first events if so many are given."""
        first, last = part.of(self.of, self.url)
        wanted = last - first if events is None else min(events, last - first)
        return (self.first, self.events, self.weight) == (first, wanted, part.weight)

    def told(self) -> str:
        """The file in a line of a training sample."""
        is_whole = self.events == self.of
        return told(
            Path(self.url).stem, "" if is_whole else f"{self.first}:{self.first + self.events}", self.weight
        )
