"""Which years the reference detector imitates: pileup, jets, and whose quantiles it is moved to."""

from __future__ import annotations

from dataclasses import dataclass

from flashsim_prod.core.names import NANO_RUN3, NANO_VERSION
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import RequestError
from flashsim_prod.physics import eras

#: collisions from here on are those of Run 3 [TeV]
_RUN3_TEV = 13.5


@dataclass(frozen=True)
class DetectorEra:
    """Years of data-taking.

    Attributes
    ----------
    name : str
        As ``physics/eras.py`` has it.
    told : str
        For people.
    nano : str
        Version of NanoAOD whose attributes objects have.
    tables : tuple of str
        Files that attributes are moved by, one after the other.
    pileup_jets : float
        Number of jets of pileup, relative to that of jets without charged pileup hadrons (CHS).
    fake_taus : float
        Number of taus of hadronic jets, relative to that of 2018.
    """

    name: str
    told: str
    nano: str
    tables: tuple[str, ...]
    pileup_jets: float = 1.0
    fake_taus: float = 1.0


ERAS = {
    "UL18": DetectorEra("UL18", "2018", NANO_VERSION, ("fullsim.txt",)),
    "Run3_2022": DetectorEra(
        "Run3_2022", "2022", NANO_RUN3, ("fullsim.txt", "run3.txt"), pileup_jets=0.40, fake_taus=1.9
    ),
}
DEFAULT_ERA = ERAS["UL18"]


def find_detector_era(name: str) -> DetectorEra:
    """The years called `name`; `RequestError` if there are none."""
    if name not in ERAS:
        raise RequestError(
            f"--era: there is no '{name}'; there are {', '.join(ERAS)}{nearest(name, list(ERAS))}"
        )
    return ERAS[name]


def era_of_energy(energy_tev: float) -> DetectorEra:
    """The years with collisions of this energy."""
    return ERAS["Run3_2022" if energy_tev >= _RUN3_TEV else "UL18"]


def era_of_version(version: str) -> DetectorEra:
    """The years that files of a version of NanoAOD are of, which may be unknown: ``v9``, or empty."""
    return ERAS[eras.era_of_version(version)]
