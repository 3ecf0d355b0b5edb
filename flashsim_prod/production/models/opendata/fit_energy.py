"""What fits cost: measured by the node's meters while they run, noted beside each, and added up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.energy.results.conventions import JOULE_PER_KWH
from flashsim_prod.files import read_text, write_json
from flashsim_prod.production.job.energy import NodeEnergy

_NOTE = "energy.json"


@dataclass(frozen=True)
class FitEnergy:
    """What the fits of one model cost, all sittings together.

    Attributes
    ----------
    energy_j : float
        Of the sittings that were measured.
    seconds : float
        Wall time of all.
    unmeasured_s : float
        Of those without a figure.
    source : str
        What the figure is: of the whole server, or a lower bound.
    """

    energy_j: float = 0.0
    seconds: float = 0.0
    unmeasured_s: float = 0.0
    source: str = ""

    @property
    def energy_kwh(self) -> float:
        """Of the sittings that were measured."""
        return self.energy_j / JOULE_PER_KWH


@dataclass(frozen=True)
class EnergyOfFits:
    """What a work folder's fits cost, by object model."""

    fits: dict[str, FitEnergy]

    @property
    def energy_j(self) -> float:
        """Of all that was measured."""
        return sum(one.energy_j for one in self.fits.values())

    @property
    def energy_kwh(self) -> float:
        """The same [kWh]."""
        return self.energy_j / JOULE_PER_KWH

    @property
    def unmeasured_s(self) -> float:
        """Wall time without a figure [s]."""
        return sum(one.unmeasured_s for one in self.fits.values())


@contextmanager
def measured_fit(work: Path, model: str, *, on_gpu: bool) -> Iterator[None]:
    """Measure what the block uses, for the fit of `model`, whether or not it ends well."""
    node = NodeEnergy()
    try:
        with node:
            yield
    finally:
        found, path = node.of_this_job(on_gpu=on_gpu), work / "fits" / model / _NOTE
        before = _read(path)
        took_s = node.seconds
        write_json(
            path,
            FitEnergy(
                before.energy_j + (found.energy_j if found else 0.0),
                before.seconds + took_s,
                before.unmeasured_s + (0.0 if found else took_s),
                found.source if found else before.source,
            ),
        )


def energy_of_fits(work: Path) -> EnergyOfFits:
    """What the fits in the folder `work` cost, those that nodes of a site made included."""
    paths = sorted((work / "fits").glob(f"*/{_NOTE}"))
    return EnergyOfFits({path.parent.name: _read(path) for path in paths})


def _read(path: Path) -> FitEnergy:
    return FitEnergy(**json.loads(read_text(path))) if path.is_file() else FitEnergy()
