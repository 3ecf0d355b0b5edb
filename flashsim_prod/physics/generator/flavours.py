"""What decides a jet's flavour, and how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.generator.ancestry import Ancestry
from flashsim_prod.physics.generator.particles import Ints, Mask, Particles

#: softer light partons are not in MiniAOD, so they name no jet [GeV]
_LIGHT_PARTON_MIN_PT = 5.0


@dataclass(frozen=True)
class FlavourGhosts:
    """Particles that go into a jet as ghosts and name it; masks over the particles of a batch.

    Attributes
    ----------
    b_hadron, c_hadron : the last of each chain of such hadrons
    parton : the partons that hadronise, light ones above 5 GeV
    """

    particles: Particles
    b_hadron: Mask
    c_hadron: Mask
    parton: Mask

    @classmethod
    def of(cls, ancestry: Ancestry) -> FlavourGhosts:
        """Those of a batch."""
        particles = ancestry.particles
        light = np.isin(particles.abs_id, (1, 2, 3, 21)) & (particles.pt > _LIGHT_PARTON_MIN_PT)
        parton = particles.is_hadronising & (light | np.isin(particles.abs_id, (4, 5)))
        return cls(particles, _last_hadrons(particles, 5), _last_hadrons(particles, 4), parton)

    @property
    def any(self) -> Mask:
        """All ghosts."""
        return self.b_hadron | self.c_hadron | self.parton

    def hadron_flavour(self, row: Ints, jet: Ints, n_jets: int) -> NDArray[np.uint8]:
        """5 for jets with a b hadron, 4 for others with a c hadron, 0 for the rest, shape (n_jets,).

        Parameters
        ----------
        row, jet : shape (n_ghosts,)
            The particle that a ghost stands for, and the jet it is in.
        """
        b_jet, c_jet = (
            np.bincount(jet[kind[row]], minlength=n_jets) > 0 for kind in (self.b_hadron, self.c_hadron)
        )
        return np.select([b_jet, c_jet], [5, 4], 0).astype(np.uint8)

    def parton_flavour(self, row: Ints, jet: Ints, n_jets: int) -> NDArray[np.int32]:
        """PDG code of the hardest b, else the hardest c, else the hardest parton, else 0; as above."""
        chosen = self.parton[row]
        row, jet = row[chosen], jet[chosen]
        code = self.particles.abs_id[row]
        order = np.lexsort((self.particles.pt[row], np.select([code == 5, code == 4], [2, 1], 0), jet))
        flavour = np.zeros(n_jets, dtype=np.int32)
        # of several assignments to one jet the last stands: the best in this order
        flavour[jet[order]] = self.particles.pdg_id[row[order]]
        return flavour


def _last_hadrons(particles: Particles, quark: int) -> Mask:
    """Hadrons with such a quark that have no daughter of the kind."""
    digits = particles.abs_id // 100 % 10, particles.abs_id // 1000 % 10
    last: Mask = particles.is_hadron & ((digits[0] == quark) | (digits[1] == quark))
    mothers = particles.mother[last]
    last[mothers[mothers >= 0]] = False
    return last
