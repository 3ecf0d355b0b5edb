"""All particles of a batch of Pythia events, as flat numpy columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Column

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
FourMomentum = tuple[Floats, Floats, Floats, Floats]

_NEUTRINOS = (12, 14, 16)
#: ROOT's pseudorapidity along the beam is this much more than pz [GeV]
_ETA_ALONG_BEAM = 22_756.0


@dataclass(frozen=True)
class Particles:
    """The particles of all events end to end; all arrays have the shape (n_particles,) but `counts`.

    Attributes
    ----------
    counts : int64 array of shape (n_events,)
    pdg_id : PDG code
    code : Pythia's status code
    mother, mother2 : position of the first and last mother in these arrays, -1 for none
    daughter : position of the first daughter, -1 for none
    px, py, pz, energy, mass : [GeV]
    """

    counts: Ints
    pdg_id: Ints
    code: Ints
    mother: Ints
    mother2: Ints
    daughter: Ints
    px: Floats
    py: Floats
    pz: Floats
    energy: Floats
    mass: Floats

    @staticmethod
    def from_batch(records: Any) -> Particles:
        """The particles of the ``prt`` records of Pythia's `nextBatch`.

        Entry 0 of an event is the system as a whole; it becomes nobody's mother.
        """
        counts, pdg_id = flat_column(records, "id")
        starts = np.repeat(np.cumsum(counts) - counts, counts)

        def link(name: str) -> Ints:
            local = flat_column(records, name)[1].astype(np.int64)
            return np.where(local > 0, local + starts, -1)

        return Particles(
            counts=counts,
            pdg_id=pdg_id.astype(np.int64),
            code=flat_column(records, "status")[1].astype(np.int64),
            mother=link("mother1"),
            mother2=link("mother2"),
            daughter=link("daughter1"),
            px=flat_column(records.p, "px")[1],
            py=flat_column(records.p, "py")[1],
            pz=flat_column(records.p, "pz")[1],
            energy=flat_column(records.p, "e")[1],
            mass=flat_column(records, "m")[1],
        )

    @cached_property
    def event(self) -> Ints:
        """The event of each particle."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def abs_id(self) -> Ints:
        """|PDG code|."""
        return np.abs(self.pdg_id)

    @cached_property
    def is_final(self) -> Mask:
        """Stable in the detector."""
        return self.code > 0

    @cached_property
    def is_visible(self) -> Mask:
        """Stable and seen by a perfect detector: all but neutrinos."""
        return self.is_final & ~self.is_neutrino

    @cached_property
    def is_neutrino(self) -> Mask:
        """nu_e, nu_mu or nu_tau, of either sign."""
        return np.isin(self.abs_id, _NEUTRINOS)

    @cached_property
    def is_hadron(self) -> Mask:
        """By the digits of the PDG code: two or three quarks; diquarks have none in the tens."""
        tens, hundreds = self.abs_id // 10 % 10, self.abs_id // 100 % 10
        return (self.abs_id > 100) & (self.abs_id < 10_000_000) & (tens > 0) & (hundreds > 0)

    @cached_property
    def status(self) -> Ints:
        """HepMC's status: 1 final, 2 decayed hadron, muon or tau, 4 beam, else |Pythia's code|.

        The rule is Pythia's own: a hadron counts as decayed if its daughters come from a decay
        (codes 91 to 94) and the first of them is not the hadron itself again.
        """
        may_decay = (self.is_hadron | np.isin(self.abs_id, (13, 15))) & (self.daughter >= 0)
        child = np.where(self.daughter >= 0, self.daughter, 0)
        child_code = np.abs(self.code[child])
        decayed = may_decay & (child_code > 90) & (child_code < 95) & (self.pdg_id[child] != self.pdg_id)
        return np.select([self.code > 0, self.code == -12, decayed], [1, 4, 2], np.abs(self.code))

    @cached_property
    def pt(self) -> Floats:
        """Transverse momentum [GeV]."""
        return np.hypot(self.px, self.py)

    @cached_property
    def eta(self) -> Floats:
        """Pseudorapidity."""
        return pseudorapidity(self.pt, self.pz)

    @cached_property
    def phi(self) -> Floats:
        """Azimuth in [-pi, pi]."""
        return np.arctan2(self.py, self.px)

    def momentum(self, rows: Ints) -> FourMomentum:
        """px, py, pz, energy of the particles `rows`."""
        return self.px[rows], self.py[rows], self.pz[rows], self.energy[rows]


def flat_column(records: Any, name: str) -> tuple[Ints, NDArray[Any]]:
    """One field of an awkward array of lists of records: (length of each list, values end to end)."""
    import awkward as ak

    field = records[name]
    return ak.to_numpy(ak.num(field, axis=1)).astype(np.int64), ak.to_numpy(ak.flatten(field, axis=1))


def pseudorapidity(pt: Floats, pz: Floats) -> Floats:
    """asinh(pz / pt); exactly along the beam the large number that ROOT, and so NanoAOD, gives."""
    along = pt == 0.0
    beyond = np.sign(pz) * _ETA_ALONG_BEAM + pz
    eta: Floats = np.where(along, beyond, np.arcsinh(pz / np.where(along, 1.0, pt)))
    return eta


def kinematics(momentum: FourMomentum) -> dict[str, Column]:
    """``pt eta phi mass`` in single precision of px, py, pz, energy; no mass is below zero."""
    px, py, pz, energy = momentum
    pt = np.hypot(px, py)
    columns = {
        "pt": pt,
        "eta": pseudorapidity(pt, pz),
        "phi": np.arctan2(py, px),
        "mass": np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0.0)),
    }
    return {name: column.astype(np.float32) for name, column in columns.items()}
