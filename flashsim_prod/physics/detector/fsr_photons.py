"""Photons near muons in the reference detector: radiated ones, and others that happen to be there.

The energy resolution has the stochastic, noise and constant terms of the electromagnetic calorimeter of CMS
(JINST 3 (2008) S08004: 2.8 %, 0.12 GeV, 0.3 %), with a larger constant for the material in front of it.
Rates of chance photons and isolation were adjusted by eye to public simulated events.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import fsr
from flashsim_prod.physics.detector.draws import Floats, chance, turn_on, whole_particles, wrap_phi
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection, Column

#: mean energy of one particle near a photon [GeV]
_PARTICLE = 0.9


def simulate_fsr_photons(
    rng: np.random.Generator, truth: Truth, rho: Floats, muons: Collection
) -> Collection:
    """``FsrPhoton``: pt eta phi relIso03 dROverEt2 muonIdx.

    Parameters
    ----------
    rng : Generator
    truth : Truth
    rho : float array of shape (n_events,)
        Energy density from pileup [GeV per unit area].
    muons : Collection
        Reconstructed muons in their final order, with pfRelIso03_all.
    """
    photons = Collection.join([_radiated(rng, truth, muons), _by_chance(rng, truth, muons)])
    return fsr.select_photons(_with_isolation(rng, photons, rho, muons), muons)


def _radiated(rng: np.random.Generator, truth: Truth, muons: Collection) -> Collection:
    """Final-state photons that the generator has near a reconstructed muon."""
    parts = truth.events["GenPart"]
    gen = parts.select((parts["pdgId"] == 22) & (parts["status"] == 1) & (parts["pt"] > 1.0))
    _, distance = fsr.nearest_muon(gen, muons)
    pt, eta = gen["pt"].astype(np.float64), gen["eta"].astype(np.float64)
    # the showers of a photon that all but follows its muon are taken for the muon's
    apart = 1.0 - 0.5 * np.exp(-distance / 0.015)
    near = distance < fsr.MAX_DR
    found = near & chance(rng, 0.66 * turn_on(pt, 2.0, 0.35) * apart, len(pt))
    gen, pt, eta = gen.select(found), pt[found], eta[found]
    n = len(pt)
    energy = pt * np.cosh(eta)
    width = np.sqrt(0.028**2 / energy + (0.12 / energy) ** 2 + 0.02**2)
    response = 1.0 + width * rng.normal(size=n) - 0.03 * rng.exponential(size=n)
    angle = np.hypot(0.002, 0.010 / pt)
    return Collection(
        gen.counts,
        {
            "pt": pt * np.maximum(response, 0.1),
            "eta": eta + angle * rng.normal(size=n),
            "phi": wrap_phi(gen["phi"] + angle * rng.normal(size=n)),
        },
    )


def _by_chance(rng: np.random.Generator, truth: Truth, muons: Collection) -> Collection:
    """Photons of pileup, and of the jet that a muon sits in."""
    likely = muons.select(fsr.may_radiate(muons))
    around = likely["pfRelIso03_all"] * likely["pt"].astype(np.float64)
    in_jet = np.minimum(0.003 * around, 0.4)
    from_pileup = 0.005 + 0.00022 * truth.n_pu[likely.event_index]
    number = rng.poisson(in_jet + from_pileup)
    muon = np.repeat(np.arange(likely.n_objects), number)
    n = len(muon)
    jet = chance(rng, (in_jet / (in_jet + from_pileup))[muon], n)
    distance = fsr.MAX_DR * np.where(jet, rng.random(n), np.sqrt(rng.random(n)))
    angle = rng.uniform(-np.pi, np.pi, n)
    scale = np.where(jet, 1.0 + 0.05 * around[muon], 1.0)
    columns: dict[str, Column] = {
        "pt": fsr.MIN_PT + rng.exponential(size=n) * scale,
        "eta": likely["eta"][muon] + distance * np.sin(angle),
        "phi": wrap_phi(likely["phi"][muon] + distance * np.cos(angle)),
    }
    return Collection.from_rows(truth.events.n, likely.event_index[muon], columns)


def _with_isolation(
    rng: np.random.Generator, photons: Collection, rho: Floats, muons: Collection
) -> Collection:
    """relIso03: whole particles of pileup and of what surrounds the muon, over the photon's pt."""
    muon, distance = fsr.nearest_muon(photons, muons)
    of_muon = np.where(muon >= 0, muon, 0)
    around = np.zeros(photons.n_objects)
    if muons.n_objects:
        around = (muons["pfRelIso03_all"] * muons["pt"].astype(np.float64))[of_muon]
    shared = np.clip(1.0 - distance / 0.6, 0.0, 1.0)
    mean = 0.60 + 0.05 * rho[photons.event_index] + shared * around
    return photons.with_columns(relIso03=whole_particles(rng, mean, _PARTICLE) / photons["pt"])
