"""All particles of a batch of generated events, as flat numpy columns."""

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

    Who is whose copy, which hadrons have decayed and what a string began with is written in another way in
    each generator's record, so each kind of record is a class below this one.

    Attributes
    ----------
    counts : int64 array of shape (n_events,)
    pdg_id : PDG code
    mother : position of the first mother in these arrays, -1 for none
    px, py, pz, energy, mass : [GeV]
    """

    counts: Ints
    pdg_id: Ints
    mother: Ints
    px: Floats
    py: Floats
    pz: Floats
    energy: Floats
    mass: Floats

    @cached_property
    def status(self) -> Ints:
        """HepMC's status: 1 final, 2 decayed hadron, muon or tau, 4 beam, else the generator's own."""
        raise NotImplementedError

    @cached_property
    def is_final(self) -> Mask:
        """Stable in the detector."""
        final: Mask = self.status == 1
        return final

    @cached_property
    def may_have_decayed(self) -> Mask:
        """Hadrons, muons and taus that have decayed; only the last of its copies really has."""
        decayed: Mask = self.status == 2
        return decayed

    @cached_property
    def is_marked_hard(self) -> Mask:
        """Whether the record says, by other means than Pythia's codes, that it is of the hard process."""
        return np.zeros(len(self.pdg_id), dtype=bool)

    @cached_property
    def is_hadronising(self) -> Mask:
        """Partons that hadronise, by Pythia's codes."""
        return np.isin(self.status, (71, 72))

    @cached_property
    def previous_copy(self) -> Ints:
        """The mother with the same PDG code, or -1."""
        raise NotImplementedError

    @cached_property
    def next_copy(self) -> Ints:
        """The first daughter with the same PDG code, or -1."""
        following = np.full(len(self.previous_copy), -1, dtype=np.int64)
        copies = np.flatnonzero(self.previous_copy >= 0)[::-1]
        following[self.previous_copy[copies]] = copies
        return following

    def mother_in_string(self, known: Mask) -> Ints:
        """The mother of each particle; where a string's hadron has some, the first of its mothers `known`."""
        raise NotImplementedError

    @cached_property
    def event(self) -> Ints:
        """The event of each particle."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def abs_id(self) -> Ints:
        """|PDG code|."""
        return np.abs(self.pdg_id)

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

    def same_kind(self, other: Ints) -> Mask:
        """Whether each particle has the PDG code of the `other` one, where there is one."""
        ids = self.pdg_id
        same: Mask = (other >= 0) & (ids[np.where(other >= 0, other, 0)] == ids)
        return same


@dataclass(frozen=True)
class PythiaParticles(Particles):
    """Pythia's record.

    Attributes
    ----------
    code : Pythia's status code
    mother2 : position of the last mother, -1 for none
    daughter : position of the first daughter, -1 for none
    """

    code: Ints
    mother2: Ints
    daughter: Ints

    @staticmethod
    def from_batch(records: Any) -> PythiaParticles:
        """The particles of the ``prt`` records of Pythia's `nextBatch`.

        Entry 0 of an event is the system as a whole; it becomes nobody's mother.
        """
        counts, pdg_id = flat_column(records, "id")
        starts = np.repeat(np.cumsum(counts) - counts, counts)

        def link(name: str) -> Ints:
            local = flat_column(records, name)[1].astype(np.int64)
            return np.where(local > 0, local + starts, -1)

        return PythiaParticles(
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
    def is_final(self) -> Mask:
        """Stable in the detector."""
        return self.code > 0

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
    def previous_copy(self) -> Ints:
        """The first or else the last mother, if it has the same PDG code, or -1."""
        first, last = self.same_kind(self.mother), self.same_kind(self.mother2)
        return np.where(first, self.mother, np.where(last, self.mother2, -1))

    def mother_in_string(self, known: Mask) -> Ints:
        """The mother of each particle; where a string's hadron has some, the first of its mothers `known`.

        The partons of a string stand together: they are all from the first mother to the last.
        """
        mother, last = self.mother, self.mother2
        following = np.where(known, np.arange(len(known)), len(known))
        following = np.minimum.accumulate(following[::-1])[::-1]
        from_string = (mother >= 0) & (last > mother) & (np.abs(self.code) // 10 == 8)
        first = following[np.where(from_string, mother, 0)]
        return np.where(from_string & (first <= last), first, mother)


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
