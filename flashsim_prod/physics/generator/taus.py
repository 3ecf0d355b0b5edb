"""NanoAOD's GenVisTau: the visible part of hadronic tau decays."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.events import Collection
from flashsim_prod.physics.generator.ancestry import Ancestry, nearest_ancestor
from flashsim_prod.physics.generator.particles import Ints, Particles, pseudorapidity

_MIN_PT = 10.0
_OTHER = 15


def gen_vis_tau(ancestry: Ancestry, gen_part_index: Ints) -> Collection:
    """The visible decay products of each hadronically decaying tau, pt > 10 GeV.

    Parameters
    ----------
    gen_part_index : shape (n_particles,)
        Index in GenPart of each particle, as `gen_part` returns it.

    Returns
    -------
    Collection
        ``pt eta phi mass charge status genPartIdxMother``; ``status`` is the decay mode
        (0, 1, 2: one prong with so many pi0; 10, 11: three prongs; 15: other).
    """
    particles = ancestry.particles
    last_tau = (particles.abs_id == 15) & ancestry.is_decayed
    tau = nearest_ancestor(particles.mother, last_tau)
    rows = np.flatnonzero(last_tau)
    number = np.full(len(tau), -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    owner = np.where(tau >= 0, number[tau], -1)
    n_taus = len(rows)
    leptonic = _count(owner, n_taus, (particles.mother == tau) & np.isin(particles.abs_id, (11, 13))) > 0
    visible = (owner >= 0) & particles.is_final & ~particles.is_neutrino
    px, py, pz, energy = (
        np.bincount(owner[visible], weights=column[visible], minlength=n_taus)
        for column in (particles.px, particles.py, particles.pz, particles.energy)
    )
    pt = np.hypot(px, py)
    kept = ~leptonic & (pt > _MIN_PT)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0.0))
    columns = {
        "pt": pt.astype(np.float32),
        "eta": pseudorapidity(pt, pz).astype(np.float32),
        "phi": np.arctan2(py, px).astype(np.float32),
        "mass": mass.astype(np.float32),
        "charge": -np.sign(particles.pdg_id[rows]).astype(np.int32),
        "status": _decay_mode(particles, owner, n_taus),
        "genPartIdxMother": gen_part_index[rows].astype(np.int32),
    }
    every = Collection.from_rows(len(particles.counts), particles.event[rows], columns)
    return every.select(kept).sorted_by("pt")


def _decay_mode(particles: Particles, owner: Ints, n_taus: int) -> Ints:
    charged_kind = particles.is_final & np.isin(particles.abs_id, (211, 321))
    prongs = _count(owner, n_taus, charged_kind)
    pi0 = _count(owner, n_taus, particles.abs_id == 111)
    mode = np.select([(prongs == 1) & (pi0 <= 2), (prongs == 3) & (pi0 <= 1)], [pi0, 10 + pi0], _OTHER)
    return mode.astype(np.int32)  # type: ignore[return-value]


def _count(owner: Ints, n_taus: int, mask: np.ndarray) -> Ints:
    return np.bincount(owner[(owner >= 0) & mask], minlength=n_taus).astype(np.int64)
