"""Two measurements side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flashsim_prod.energy.record import Measurement
from flashsim_prod.energy.results.analysis import Row
from flashsim_prod.energy.results.budget import GAIN
from flashsim_prod.energy.results.conventions import Convention
from flashsim_prod.energy.results.uncertainty import Estimate, ratio
from flashsim_prod.errors import MeasurementError


@dataclass(frozen=True)
class Comparison:
    """One configuration in one convention, in both measurements.

    Attributes
    ----------
    first, second : Estimate
        Joules per event.
    ratio, ratio_u : float
        Second to first, and the half-width of its interval.
    """

    label: str
    convention: Convention
    first: Estimate
    second: Estimate
    ratio: float
    ratio_u: float

    @property
    def agree(self) -> bool:
        """Whether the interval of the ratio holds 1."""
        return abs(self.ratio - 1) <= self.ratio_u


def same_meter(first: Measurement, second: Measurement) -> bool:
    """Whether both were measured on one machine with the same meters, whose gain then cancels in a ratio."""
    one, two = first.node, second.node
    same_machine = (one.host, one.cpu, one.firmware) == (two.host, two.cpu, two.firmware)
    return same_machine and first.meters == second.meters


def compare(first: Sequence[Row], second: Sequence[Row], *, same_meter: bool = False) -> list[Comparison]:
    """Every configuration that both have, by label; a single one on each side is compared whatever its label.

    Parameters
    ----------
    same_meter : bool
        An error of the meter's gain is common to both, and left out of the interval of their ratio.

    Raises
    ------
    MeasurementError
        If they have none in common, or do not cover the same parts of a machine.
    """
    pairs = _pairs(first, second)
    if not pairs:
        labels = [", ".join(row.configuration.label for row in rows) or "nothing" for rows in (first, second)]
        raise MeasurementError(f"the two measured nothing in common: {labels[0]} against {labels[1]}")
    unlike = next(((one, two) for one, two in pairs if one.covers != two.covers), None)
    if unlike:
        raise MeasurementError(
            f"{unlike[0].configuration.label}: one covers the {unlike[0].covers}, the other the "
            f"{unlike[1].covers}; these cannot be compared"
        )
    common = (GAIN,) if same_meter else ()
    return [
        Comparison(one.configuration.label, convention, energy_j, two.energy_j[convention],
                   *ratio(two.energy_j[convention], energy_j, common))
        for one, two in pairs
        for convention, energy_j in one.energy_j.items()
    ]  # fmt: skip


def _pairs(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    by_label = {row.configuration.label: row for row in second if row.energy_j}
    counting = [row for row in first if row.energy_j]
    if len(counting) == 1 and len(by_label) == 1:
        return [(counting[0], next(iter(by_label.values())))]
    return [
        (row, by_label[row.configuration.label]) for row in counting if row.configuration.label in by_label
    ]
