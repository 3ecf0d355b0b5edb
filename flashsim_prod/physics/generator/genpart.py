"""NanoAOD's GenPart: which particles are kept, and whose mother is who.

NanoAOD prunes twice, first for MiniAOD (``prunedGenParticles``), then for its own table
(``finalGenParticles``); the rules here are those two lists in their order, written as masks. A particle's
mother is its nearest ancestor that was kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection
from flashsim_prod.physics.generator.ancestry import (
    Ancestry,
    ancestors_of,
    at,
    nearest_ancestor,
    string_mother,
)
from flashsim_prod.physics.generator.particles import Ints, Mask, Particles

_LEPTONS = (11, 13, 15)
_BOSONS = (23, 24, 25, 37)
#: the PDG table gives these masses, so v9 stores zero: quarks but top, leptons, gluon, pi, D0, D+, ...
_MASSLESS = (1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16, 21, 111, 211, 421, 411)


def gen_part(ancestry: Ancestry) -> tuple[Collection, Ints]:
    """The GenPart collection of a batch.

    Returns
    -------
    Collection
        ``pt eta phi mass genPartIdxMother pdgId status statusFlags``, in NanoAODv9's types.
    int64 array of shape (n_particles,)
        For each particle of the batch its index within its event's GenPart; -1 if it was pruned.
    """
    particles = ancestry.particles
    kept = _final(ancestry, _pruned(ancestry))
    counts = np.bincount(particles.event[kept], minlength=len(particles.counts)).astype(np.int64)
    index = np.full(len(kept), -1, dtype=np.int64)
    index[kept] = np.arange(kept.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    mother = nearest_ancestor(string_mother(particles, kept), kept)[kept]
    columns: dict[str, NDArray[np.generic]] = {
        "pt": particles.pt[kept].astype(np.float32),
        "eta": particles.eta[kept].astype(np.float32),
        "phi": particles.phi[kept].astype(np.float32),
        "mass": _stored_mass(particles)[kept].astype(np.float32),
        "genPartIdxMother": np.where(mother >= 0, index[mother], -1).astype(np.int32),
        "pdgId": particles.pdg_id[kept].astype(np.int32),
        "status": particles.status[kept].astype(np.int32),
        "statusFlags": ancestry.status_flags()[kept],
    }
    return Collection(counts, columns), index


def is_heavy_hadron(particles: Particles) -> Mask:
    """b and c hadrons in the ground states and first excitations, as NanoAOD selects them."""
    code = particles.abs_id
    heavy: Mask = ((code > 400) & (code < 600)) | ((code > 4000) & (code < 6000))
    return heavy


def _pruned(ancestry: Ancestry) -> Mask:
    """What MiniAOD keeps."""
    particles = ancestry.particles
    code, status, pt, mother = particles.abs_id, particles.status, particles.pt, particles.mother
    lepton, heavy = np.isin(code, _LEPTONS), is_heavy_hadron(particles)
    kept = lepton | ancestors_of(mother, lepton)
    kept &= status != 2
    kept |= heavy | (nearest_ancestor(mother, heavy) >= 0)
    kept &= status != 1
    kept |= heavy | at(heavy, mother) | lepton | particles.is_neutrino
    prompt_final = (status == 1) & ancestry.is_prompt
    photon = _photon(ancestry)
    electron = (code == 11) & (status == 1) & ((pt > 3) | prompt_final)
    kept |= _with_mother(photon | electron, mother)
    kept |= (code == 15) | (nearest_ancestor(mother, code == 15) >= 0)
    kept &= ~((status > 30) & (status < 70)) & ~((code == 21) & ((pt < 5) | (status == 2)))
    kept |= np.isin(code, (6, *_BOSONS)) | (code == 333)
    kept |= _with_mother((code == 13) & (status == 1), mother)
    light = (code <= 3) | (code == 21)
    kept |= np.isin(code, (4, 5)) | (light & np.isin(status, (2, 11, 71, 72)) & (pt > 5))
    kept |= (particles.pdg_id == 2212) | ((status >= 11) & (status <= 19))
    kept |= _summary(ancestry) | ancestry.before_fsr
    return kept


def _final(ancestry: Ancestry, pruned: Mask) -> Mask:
    """What NanoAOD keeps of `pruned`."""
    particles = ancestry.particles
    code, status, pt = particles.abs_id, particles.status, particles.pt
    mother = nearest_ancestor(string_mother(particles, pruned), pruned)
    tau = code == 15
    traced = tau & ((pt > 15) | (ancestry.is_decayed & ancestry.is_prompt)) & pruned
    kept: Mask = traced | (nearest_ancestor(mother, traced) >= 0)
    kept |= tau | at(tau, mother)
    kept |= _with_mother((_photon(ancestry) | np.isin(code, _LEPTONS)) & pruned, mother)
    kept &= ~((code == 2212) & (np.abs(particles.pz) > 1000))
    kept |= is_heavy_hadron(particles) | particles.is_neutrino | _summary(ancestry)
    kept |= (status > 70) & (status < 80) & (pt > 15)
    kept |= np.isin(code, _BOSONS)
    kept &= pruned
    return kept


def _photon(ancestry: Ancestry) -> Mask:
    """Photons of more than 10 GeV, and prompt ones of any energy."""
    particles = ancestry.particles
    hard = (particles.pt > 10) | ancestry.is_prompt
    photon: Mask = (particles.pdg_id == 22) & (particles.status == 1) & hard
    return photon


def _summary(ancestry: Ancestry) -> Mask:
    """The matrix element and what became of its particles."""
    status = ancestry.particles.status
    result = ancestry.from_hard & ((status == 1) | ancestry.is_last_copy)
    summary: Mask = (status == 3) | ((status > 20) & (status < 30)) | ancestry.is_hard | result
    return summary


def _with_mother(chosen: Mask, mother: Ints) -> Mask:
    both: Mask = chosen.copy()
    mothers = mother[chosen]
    both[mothers[mothers >= 0]] = True
    return both


def _stored_mass(particles: Particles) -> NDArray[np.float64]:
    tabulated = np.isin(particles.abs_id, _MASSLESS) | ((particles.pdg_id == 22) & (particles.mass < 1))
    return np.where(tabulated, 0.0, particles.mass)
