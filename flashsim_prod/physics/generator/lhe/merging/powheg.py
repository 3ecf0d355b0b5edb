"""POWHEG's matching: emissions of the shower that are harder than the one that POWHEG made are vetoed.

No event leaves by that. The scale of an event is its SCALUP; showers begin at the kinematic limit. Emissions
count with their transverse momentum to the beam in the initial state, and with POWHEG's d_ij, or the same as
there, in the final state.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from flashsim_prod.core.sources.lhe import values_of
from flashsim_prod.errors import ConfigError

_MADE_BY = re.compile(r"file generated with POWHEG|Input file powheg\.input", re.IGNORECASE)
_ABOUT = re.compile(r"\s*POWHEG:", re.IGNORECASE)
_SWITCH = re.compile(r"\s*POWHEG:veto\b", re.IGNORECASE)
#: what CMS sets for all samples of POWHEG
_USUAL = {
    "POWHEG:veto": "1",
    "POWHEG:pTdef": "1",
    "POWHEG:vetoCount": "100",
    "SpaceShower:pTmaxMatch": "2",
    "TimeShower:pTmaxMatch": "2",
}
#: the ways to compare that are there; those of Pythia8's hooks that want the number of Born partons are not
_KNOWN = {
    "powheg:veto": ("0", "1"),
    "powheg:ptdef": ("0", "1"),
    "powheg:pthard": ("0",),
    "powheg:ptemt": ("0",),
    "powheg:emitted": ("0",),
    "powheg:mpiveto": ("0",),
    "powheg:qedveto": ("0", "1"),
}
_INCOMING_AFTER, _EMITTED_BY_BEAM, _EMITTED = -41, 43, 51


def is_of_powheg(head: str) -> bool:
    """Whether POWHEG made a file, by its head."""
    return _MADE_BY.search(head) is not None


def vetoes_emissions(settings: Sequence[str]) -> bool:
    """Whether `settings` switch the veto on."""
    return values_of(settings).get("powheg:veto", "0") == "1"


def powheg_settings(settings: Sequence[str], *, is_powheg: bool) -> tuple[str, ...]:
    """`settings` with the veto that files of POWHEG need, unless they say themselves what is to be.

    Raises
    ------
    ConfigError
        If they ask for a way to veto that is not there.
    """
    values = values_of(settings)
    for name, known in _KNOWN.items():
        if values.get(name, known[-1]) not in known:
            raise ConfigError(
                f"{name.replace('powheg', 'POWHEG')} = {values[name]}: that way to veto is not there; "
                f"known: {', '.join(known)}"
            )
    wants = values.get("powheg:veto", "1" if is_powheg else "0") == "1"
    if not wants:
        idle = next((one for one in settings if _ABOUT.match(one) and not _SWITCH.match(one)), None)
        if idle is not None:
            raise ConfigError(f"'{idle}' does nothing: POWHEG:veto = 1 is not set; leave it out")
        return tuple(settings)
    usual = [f"{name} = {value}" for name, value in _USUAL.items() if name.lower() not in values]
    return (*settings, *usual)


def make_veto(pythia: Any, settings: Sequence[str]) -> Any:
    """Pythia8's hooks for the veto; they have to be told the scale of each event by ``begin(scale_gev)``."""
    import pythia8mc

    values = values_of(settings)
    count_most, definition = int(values.get("powheg:vetocount", "3")), values.get("powheg:ptdef", "0")

    class Veto(pythia8mc.UserHooks):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.begin(0.0)

        def begin(self, scale_gev: float) -> None:
            self.scale_gev, self.accepted, self.vetoed = scale_gev, 0, 0

        def canVetoMPIStep(self) -> bool:
            return True

        def numberVetoMPIStep(self) -> int:
            return 1

        def doVetoMPIStep(self, number: int, event: Any) -> bool:
            # the partons of an event may be showered again
            self.accepted = 0
            return False

        def canVetoISREmission(self) -> bool:
            return True

        def canVetoFSREmission(self) -> bool:
            return True

        def doVetoISREmission(self, before: int, event: Any, system: int) -> bool:
            if system or self.accepted >= count_most:
                return False
            emitted = next(
                (one for one in range(before, event.size()) if event[one].status() == _EMITTED_BY_BEAM), None
            )
            return emitted is not None and self._judged(event[emitted].pT())

        def doVetoFSREmission(self, before: int, event: Any, system: int, in_resonance: bool = False) -> bool:
            if system or in_resonance or self.accepted >= count_most:
                return False
            pair = [one for one in range(before, event.size()) if event[one].status() == _EMITTED][:2]
            if len(pair) < 2:
                return False
            radiator, emitted = (event[one] for one in pair)
            if definition == "0":
                return self._judged(emitted.pT())
            return self._judged(_distance(radiator, emitted, _boost(pythia, event)))

        def _judged(self, momentum_gev: float) -> bool:
            if momentum_gev > self.scale_gev:
                self.accepted = 0
                self.vetoed += 1
                return True
            self.accepted += 1
            return False

    return Veto()


def _boost(pythia: Any, event: Any) -> float:
    """Velocity of the hard process along the beam."""
    one, other = (event[place] for place in (pythia.partonSystems.getInA(0), pythia.partonSystems.getInB(0)))
    return float((one.pz() + other.pz()) / (one.e() + other.e()))


def _distance(one: Any, other: Any, beta: float) -> float:
    """POWHEG's d_ij of two partons, in the frame of the hard process [GeV]."""
    gamma = 1 / math.sqrt(1 - beta * beta)
    first, second = (float(gamma * (parton.e() - beta * parton.pz())) for parton in (one, other))
    px, py, pz, e = (
        float(getattr(one, component)() + getattr(other, component)())
        for component in ("px", "py", "pz", "e")
    )
    squared = max(0.0, e * e - px * px - py * py - pz * pz)
    return math.sqrt(squared * first * second) / (first + second)
