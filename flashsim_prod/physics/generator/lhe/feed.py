"""Pythia8 fed with hard processes, one at a time and each with a seed of its own.

What it makes of an event depends on the event and its seed alone, and not on those before it: it is seeded
when it asks for the next hard process, before it has drawn anything for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flashsim_prod.physics.generator.lhe.event import HardEvent

_PROTON = 2212
#: every event is taken, with its weight in pb, whichever sign that has
_STRATEGY = -4


class OutOfEventsError(RuntimeError):
    """Pythia8 asked for another hard process: it had thrown one away."""


def make_feed(pythia: Any, energy_gev: float) -> Any:
    """A `Pythia8::LHAup` of two beams of protons, to be given events by its ``give(events, seeds)``.

    Parameters
    ----------
    pythia : pythia8mc.Pythia
        That it feeds; it has to be told by ``setLHAupPtr``.
    energy_gev : float
        Centre-of-mass energy [GeV].
    """
    import pythia8mc

    class Feed(pythia8mc.LHAup):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(_STRATEGY)
            self.waiting: list[tuple[HardEvent, int]] = []
            self.veto: Any = None

        def give(self, events: Sequence[HardEvent], seeds: Sequence[int]) -> None:
            self.waiting = list(zip(events, seeds, strict=True))[::-1]

        def setInit(self) -> bool:
            for set_beam in (self.setBeamA, self.setBeamB):
                set_beam(_PROTON, energy_gev / 2, -1, -1)
            self.setStrategy(_STRATEGY)
            self.addProcess(1, 1.0, 0.0, 1.0)
            return True

        def setEvent(self, process: int = 0) -> bool:
            if not self.waiting:
                raise OutOfEventsError
            event, seed = self.waiting.pop()
            pythia.rndm.init(seed)
            if self.veto is not None:
                self.veto.begin(event.scale_gev)
            self.setProcess(1, event.weight, event.scale_gev, event.alpha_qed, event.alpha_qcd)
            for one in event.particles:
                momentum = (one.px, one.py, one.pz, one.e, one.m)
                self.addParticle(
                    one.id, one.status, *one.mothers, *one.colours, *momentum, one.lifetime, one.spin, -1.0
                )
            self._tell_partons(event)
            return True

        def _tell_partons(self, event: HardEvent) -> None:
            """Momentum fractions of the incoming partons, as Pythia takes them from a file."""
            first, second = event.particles[:2]
            partons = (first.id, second.id, 2 * first.e / energy_gev, 2 * second.e / energy_gev)
            self.setIdX(*partons)
            self.setPdf(*partons, event.scale_gev, 0.0, 0.0, False)

    return Feed()
