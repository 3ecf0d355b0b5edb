"""What a whole dataset comes to: kWh, money, carbon dioxide."""

from __future__ import annotations

from dataclasses import dataclass

from flashsim_prod.core.site import Electricity
from flashsim_prod.energy.results.conventions import kwh
from flashsim_prod.energy.results.uncertainty import Estimate


@dataclass(frozen=True)
class Projection:
    """Cost of a number of events, with the half-width of the interval stated.

    Attributes
    ----------
    energy_kwh, energy_u_kwh : float
    cost : float or None
        In the site's currency.
    co2_kg : float or None
    """

    events: int
    energy_kwh: float
    energy_u_kwh: float
    cost: float | None
    co2_kg: float | None


def project(energy_j: Estimate, events: int, electricity: Electricity) -> Projection:
    """What `events` events at `energy_j` joules each come to."""
    total = kwh(energy_j.value) * events
    return Projection(
        events=events,
        energy_kwh=total,
        energy_u_kwh=kwh(energy_j.expanded) * events,
        cost=electricity.cost(total),
        co2_kg=electricity.co2_kg(total),
    )
