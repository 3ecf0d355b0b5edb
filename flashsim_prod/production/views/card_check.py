"""Whether a card works: a few events of it, all the way to checked NANOAOD, and nothing kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from flashsim_prod import __version__
from flashsim_prod.core.choices import RegisterIn
from flashsim_prod.errors import RequestError
from flashsim_prod.production.drive.in_memory import simulate_in_memory
from flashsim_prod.production.order.library import find_card
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.plan import make_plan

#: events that a check makes at each energy
EVENTS = 20
_SEED = 1


@dataclass(frozen=True)
class CardTried:
    """What came of a card at one energy.

    Attributes
    ----------
    dataset : str
        What a first dataset of it would be called.
    seconds : float
        Time that the events took, start-up of libraries included [s].
    """

    card: str
    energy_tev: float
    dataset: str
    events: int
    seconds: float


def check_card(
    name_or_file: str, energy_tev: float | None = None, told: Callable[[CardTried], None] = lambda one: None
) -> list[CardTried]:
    """Make `EVENTS` events at each energy of a card, or at one.

    Parameters
    ----------
    told : callable, optional
        Is given each energy's as it is done.

    Raises
    ------
    RequestError
        If there is no such card or energy; `ConfigError` names the field that is wrong.
    FlashSimError
        As of a simulate job.
    """
    card = find_card(name_or_file)
    energies = [one.tev for one in card.energies] if energy_tev is None else [energy_tev]
    found = []
    for tev in energies:
        found.append(_tried(name_or_file, tev))
        told(found[-1])
    return found


def _tried(name_or_file: str, energy_tev: float) -> CardTried:
    typed = Typed(
        card=name_or_file, events=str(EVENTS), energy_tev=energy_tev, seed=_SEED, catalog=RegisterIn.NONE
    )
    plan = make_plan(
        make_order(typed)[0],
        name="check",
        version=1,
        created=datetime.now(UTC).replace(microsecond=0),
        software_version=__version__,
    )
    start = time.perf_counter()
    events = len(simulate_in_memory(plan.request))
    if events != EVENTS:
        raise RequestError(f"card {plan.request.card.name}: {events} of {EVENTS} events came out")
    seconds = round(time.perf_counter() - start, 2)
    return CardTried(plan.request.card.name, energy_tev, str(plan.request.dataset), events, seconds)
