"""NanoAOD's GenVisTau: the visible part of hadronic tau decays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Column
from flashsim_prod.physics.generator.ancestry import Ancestry, nearest_ancestor
from flashsim_prod.physics.generator.particles import Ints, Mask, Particles, kinematics

_MIN_PT = 10.0
_OTHER = 15
_CHARGED_HADRONS = (211, 321, 2212)


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
    electrons, muons = (
        _count(owner, n_taus, particles.is_final & (particles.abs_id == kind)) for kind in (11, 13)
    )
    visible = (owner >= 0) & particles.is_visible
    px, py, pz, energy = (
        np.bincount(owner[visible], weights=column, minlength=n_taus).astype(np.float64)
        for column in particles.momentum(np.flatnonzero(visible))
    )
    columns: dict[str, Column] = {
        **kinematics((px, py, pz, energy)),
        "charge": np.where(particles.pdg_id[rows] > 0, -1, 1).astype(np.int32),
        "status": _decay_mode(particles, owner, n_taus),
        "genPartIdxMother": gen_part_index[rows].astype(np.int32),
    }
    kept = (electrons != 1) & (muons != 1) & (columns["pt"] > _MIN_PT)
    every = Collection.from_rows(len(particles.counts), particles.event[rows], columns)
    return every.select(kept).sorted_by("pt")


def _decay_mode(particles: Particles, owner: Ints, n_taus: int) -> NDArray[np.int32]:
    """NanoAOD's rule: counts of stable charged hadrons, photons (two for a pi0) and neutral hadrons."""
    hadron = particles.is_visible & particles.is_hadron
    charged = np.isin(particles.abs_id, _CHARGED_HADRONS)
    prongs = _count(owner, n_taus, hadron & charged)
    neutrals = _count(owner, n_taus, hadron & ~charged)
    photons = _count(owner, n_taus, particles.is_final & (particles.pdg_id == 22))
    simple = (neutrals == 0) & (photons % 2 == 0)
    one, three = simple & (prongs == 1) & (photons <= 4), simple & (prongs == 3) & (photons <= 2)
    return np.select([one, three], [photons // 2, 10 + photons // 2], _OTHER).astype(np.int32)


def _count(owner: Ints, n_taus: int, mask: Mask) -> Ints:
    return np.bincount(owner[(owner >= 0) & mask], minlength=n_taus).astype(np.int64)
