"""Particle-level leptons and photons, as NanoAOD takes them from Rivet's particle-level definitions."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.events import Collection
from flashsim_prod.physics.generator.ancestry import Ancestry
from flashsim_prod.physics.generator.particles import Floats, FourMomentum, Ints, Particles, kinematics

_DRESSING_CONE = 0.1
_LEPTON_MIN_PT = 15.0
_PHOTON_MIN_PT = 10.0
_ISOLATION_CONE = 0.4
_MAX_RELATIVE_ISOLATION = 0.5
_MAX_ETA = 2.5


def gen_dressed_lepton(ancestry: Ancestry) -> Collection:
    """Prompt electrons and muons, and those of prompt taus, with the photons within 0.1 added.

    Kept with pt > 15 GeV and abs(eta) < 2.5; columns ``pt eta phi mass pdgId hasTauAnc``. A photon is
    added to its nearest lepton only.
    """
    particles = ancestry.particles
    near_hard = particles.is_final & (ancestry.is_prompt | ancestry.is_from_prompt_tau)
    lepton = np.flatnonzero(near_hard & np.isin(particles.abs_id, (11, 13)))
    photon = np.flatnonzero(near_hard & (particles.pdg_id == 22))
    p4 = _dressed(particles, lepton, photon)
    columns = kinematics(p4)
    kept = (columns["pt"] > _LEPTON_MIN_PT) & (np.abs(columns["eta"]) < _MAX_ETA)
    every = Collection.from_rows(
        len(particles.counts),
        particles.event[lepton],
        {
            **columns,
            "pdgId": particles.pdg_id[lepton].astype(np.int32),
            "hasTauAnc": ~ancestry.is_prompt[lepton],
        },
    )
    return every.select(kept).sorted_by("pt")


def gen_isolated_photon(ancestry: Ancestry) -> Collection:
    """Prompt photons with pt > 10 GeV, abs(eta) < 2.5 and less than half their pt around them (0.4)."""
    particles = ancestry.particles
    good = (particles.pt > _PHOTON_MIN_PT) & (np.abs(particles.eta) < _MAX_ETA)
    photon = np.flatnonzero((particles.pdg_id == 22) & particles.is_final & ancestry.is_prompt & good)
    around = np.flatnonzero(particles.is_visible)
    one, other, _ = _near_pairs(particles, photon, around, _ISOLATION_CONE)
    outside = photon[one] != around[other]
    activity = np.bincount(one[outside], weights=particles.pt[around[other[outside]]], minlength=len(photon))
    isolated = photon[activity < _MAX_RELATIVE_ISOLATION * particles.pt[photon]]
    columns = kinematics(particles.momentum(isolated))
    return Collection.from_rows(len(particles.counts), particles.event[isolated], columns).sorted_by("pt")


def _dressed(particles: Particles, lepton: Ints, photon: Ints) -> FourMomentum:
    one, other, distance = _near_pairs(particles, photon, lepton, _DRESSING_CONE)
    owner = np.full(len(photon), -1, dtype=np.int64)
    nearest_last = np.lexsort((-distance, one))
    owner[one[nearest_last]] = other[nearest_last]
    taken = owner >= 0
    added = particles.momentum(photon[taken])
    px, py, pz, energy = (
        own + np.bincount(owner[taken], weights=extra, minlength=len(lepton))
        for own, extra in zip(particles.momentum(lepton), added, strict=True)
    )
    return px, py, pz, energy


def _near_pairs(particles: Particles, ones: Ints, others: Ints, cone: float) -> tuple[Ints, Ints, Floats]:
    """Pairs of the same event within `cone`: index in `ones`, index in `others`, distance."""
    counts = np.bincount(particles.event[others], minlength=len(particles.counts))
    starts = np.cumsum(counts) - counts
    event = particles.event[ones]
    n_pairs = counts[event]
    one = np.repeat(np.arange(len(ones)), n_pairs)
    rank = np.arange(n_pairs.sum()) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
    other = np.repeat(starts[event], n_pairs) + rank
    a, b = ones[one], others[other]
    delta_phi = np.remainder(particles.phi[a] - particles.phi[b] + np.pi, 2 * np.pi) - np.pi
    distance = np.hypot(particles.eta[a] - particles.eta[b], delta_phi)
    near = distance < cone
    return one[near], other[near], distance[near]
