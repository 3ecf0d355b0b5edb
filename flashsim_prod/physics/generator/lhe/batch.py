"""Events of LHE files that are showered together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flashsim_prod.physics.generator.lhe.event import HardEvent

#: tries of an event that Pythia8 gives up, each with another seed
ATTEMPTS = 10

#: the generator's seed of a gen event, by its number and the attempt at it
EventSeed = Callable[[int, int], int]


@dataclass(frozen=True)
class Batch:
    """Consecutive events.

    Attributes
    ----------
    where : tuple of str
        What each is called in messages.
    texts : tuple of str
        From ``<event`` on, without ``</event>``.
    hard : tuple of HardEvent
    first : int
        Number of the first one in the dataset.
    """

    where: tuple[str, ...]
    texts: tuple[str, ...]
    hard: tuple[HardEvent, ...]
    first: int

    @property
    def numbers(self) -> range:
        """Their numbers in the dataset."""
        return range(self.first, self.first + len(self.hard))

    def singles(self) -> Iterator[Batch]:
        """Each event alone."""
        for place, number in enumerate(self.numbers):
            yield Batch((self.where[place],), (self.texts[place],), (self.hard[place],), number)
