"""Photons of the reference detector: clusters of electrons, prompt photons, and fakes in jets.

As in NanoAOD an electron's supercluster nearly always makes a photon too: with the same shower shape, and
with the electron's links and vetoes against it. Efficiencies, shapes and rates were adjusted by eye to public
simulated events; the cuts of the identification are those of `photon_id`.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.egamma import (
    BENDING,
    by_region,
    by_uncalibrated_pt,
    count_passed,
    in_barrel,
    supercluster_eta,
)
from flashsim_prod.physics.definitions.egamma_links import (
    ELECTRON,
    PHOTON,
    with_electron_truth,
    with_photon_truth,
)
from flashsim_prod.physics.definitions.jet_surroundings import around
from flashsim_prod.physics.definitions.photons import HOE, calibrated, cut_level, photon_flags
from flashsim_prod.physics.detector.draws import (
    Floats,
    chance,
    sigmoid,
    stream,
    turn_on,
    whole_particles,
    wrap_phi,
)
from flashsim_prod.physics.detector.electron_identification import (
    PARTICLE,
    with_identification,
    with_isolation,
)
from flashsim_prod.physics.detector.electrons import calibration, particles, reconstruct_electrons
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection, Column

#: `source` of a reconstructed photon
FROM_ELECTRON, FROM_PHOTON, FROM_LOST_ELECTRON, FROM_JET, FROM_PILEUP = range(5)

MIN_PT = 10.0
MAX_ETA = 3.0


def photon_efficiency(pt: Floats, eta: Floats) -> Floats:
    """Probability that a prompt photon that made no electron gives a NanoAOD photon.

    Parameters
    ----------
    pt, eta : arrays of shape (n,)
        Generated transverse momentum [GeV] and pseudorapidity.
    """
    abs_eta = np.abs(eta)
    plateau = (
        0.965 - 0.05 * (abs_eta > 1.5) - 0.35 * (np.abs(abs_eta - 1.505) < 0.05) - 0.15 * (abs_eta > 2.5)
    )
    return np.where(abs_eta < MAX_ETA - 0.05, plateau * turn_on(pt, 10.0, 0.35), 0.0)


def reconstruct_photons(
    rng: np.random.Generator,
    truth: Truth,
    event: EventLatents,
    jets: Collection,
    electrons: Collection,
    vertex_z: Column,
) -> Collection:
    """Photons with all attributes, in NanoAOD's order.

    Parameters
    ----------
    jets, electrons : Collection
        Reconstructed, in their final order.
    vertex_z : array of shape (n_events,)
        Reconstructed z of the primary vertex [cm].
    """
    shared = _of_electrons(rng, electrons)
    prompt = _lone(rng, particles(truth, PHOTON, 5.0), electrons, FROM_PHOTON)
    lost = _lone(rng, particles(truth, ELECTRON, 5.0), electrons, FROM_LOST_ELECTRON)
    clusters = Collection.join([shared, prompt, lost])
    fakes = Collection.join([_from_jets(rng, jets), _from_pileup(rng, truth)])
    _, distance = links.nearest(fakes, clusters, 0.15)
    photons = Collection.join([clusters, fakes.select(np.isinf(distance))])
    photons = photons.select((photons["pt"] > MIN_PT) & (np.abs(photons["eta"]) < MAX_ETA))
    z = vertex_z[photons.event_index].astype(np.float64)
    cluster_eta = supercluster_eta(photons["eta"], z)
    photons = _with_shower(rng, photons, cluster_eta)
    photons = _with_isolation(rng, photons, jets, event.rho[photons.event_index])
    photons = photons.with_columns(**_scores(rng, photons, cluster_eta))
    photons = calibrated(photons, cluster_eta)
    return by_uncalibrated_pt(photons.with_columns(**photon_flags(photons.columns, cluster_eta)))


def _of_electrons(rng: np.random.Generator, electrons: Collection) -> Collection:
    """The clusters of electrons; their direction is that of the cluster, not of the track."""
    n, pt = electrons.n_objects, electrons["pt"].astype(np.float64)
    cluster_pt = pt * (1.0 + electrons["scEtOverPt"]) * (1.012 + 0.018 * rng.normal(size=n))
    found = turn_on(cluster_pt, 10.2, 0.3) * np.where(electrons["hoe"] < 0.5, 0.98, 0.5)
    bend = -electrons["charge"] * BENDING / pt * (1.0 + 0.15 * rng.normal(size=n))
    made = Collection(
        electrons.counts,
        {
            "pt": cluster_pt,
            "eta": electrons["eta"] + 0.002 * rng.normal(size=n),
            "phi": wrap_phi(electrons["phi"] + bend),
            "source": np.full(n, FROM_ELECTRON),
            "poor": np.logaddexp(0.0, electrons["shower"].astype(np.float64)),
            "electronIdx": electrons.local_index,
            "electron": np.arange(n),
            **{name: electrons[name].astype(np.float64) for name in ("r9", "sieie", "hoe")},
        },
    )
    return made.select(chance(rng, found, n))


def _clusters(
    rng: np.random.Generator, found: Collection, source: int, poor: Floats, pt: Floats
) -> Collection:
    n = found.n_objects
    missing = {name: np.full(n, -1.0) for name in ("r9", "sieie", "hoe")}
    return Collection(
        found.counts,
        {
            "pt": pt,
            "eta": found["eta"] + 0.003 * rng.normal(size=n),
            "phi": wrap_phi(found["phi"] + 0.003 * rng.normal(size=n)),
            "source": np.full(n, source),
            "poor": np.logaddexp(0.0, poor),
            "electronIdx": np.full(n, -1),
            "electron": np.full(n, -1),
            **missing,
        },
    )


def _lone(rng: np.random.Generator, gen: Collection, electrons: Collection, source: int) -> Collection:
    """Generator photons and electrons that no reconstructed electron stands for."""
    _, distance = links.nearest(gen, electrons, 0.1)
    found = chance(rng, photon_efficiency(gen["pt"], gen["eta"]), gen.n_objects) & np.isinf(distance)
    chosen = gen.select(found)
    n, pt = chosen.n_objects, chosen["pt"]
    width = np.hypot(0.010 + 0.012 * ~in_barrel(chosen["eta"]), 0.25 / pt)
    pull = 0.8 * rng.standard_t(6.0, n) - 0.15
    return _clusters(rng, chosen, source, rng.normal(size=n), pt * np.maximum(1.0 + width * pull, 0.5))


def _from_jets(rng: np.random.Generator, jets: Collection) -> Collection:
    """The hardest neutral pions and the like of a jet, taken from its photons."""
    energy = jets["pt"] * (1.0 - jets["rawFactor"]) * jets["neEmEF"]
    n = jets.n_objects
    pt = energy * rng.beta(3.0, 1.4, n)
    rate = 0.43 * turn_on(pt, MIN_PT, 0.3) * (np.abs(jets["eta"]) < MAX_ETA - 0.1)
    hit = chance(rng, rate, n)
    chosen = Collection(jets.counts, {"eta": jets["eta"], "phi": jets["phi"]}).select(hit)
    spread = 0.10 / np.sqrt(1.0 + jets["pt"][hit] / 40.0)
    chosen = chosen.with_columns(
        eta=chosen["eta"] + spread * rng.normal(size=chosen.n_objects),
        phi=chosen["phi"] + spread * rng.normal(size=chosen.n_objects),
    )
    return _clusters(rng, chosen, FROM_JET, rng.normal(2.8, 1.3, chosen.n_objects), pt[hit])


def _from_pileup(rng: np.random.Generator, truth: Truth) -> Collection:
    event_index = np.repeat(np.arange(truth.events.n), rng.poisson(0.0008 * truth.n_pu))
    n = len(event_index)
    columns = {"eta": rng.uniform(-2.9, 2.9, n), "phi": rng.uniform(-np.pi, np.pi, n)}
    found = Collection.from_rows(truth.events.n, event_index, columns)
    return _clusters(rng, found, FROM_PILEUP, rng.normal(2.8, 1.3, n), MIN_PT + rng.exponential(2.0, n))


def _with_shower(rng: np.random.Generator, photons: Collection, cluster_eta: Floats) -> Collection:
    """Shower shape, energy and its uncertainty, and the pixel seed."""
    n, barrel = photons.n_objects, in_barrel(cluster_eta)
    alone, poor = photons["electron"] < 0, photons["poor"]
    spread = np.maximum(rng.normal(-0.6, 1.0, n) + 0.35 * np.abs(cluster_eta), -0.5)
    converted = sigmoid(1.6 * spread - 2.0)
    width = np.where(barrel, 0.0083 + 0.0007 * np.abs(cluster_eta), 0.0300 - 0.0030 * np.abs(cluster_eta))
    sieie = width * np.exp(0.05 * rng.normal(size=n) + 0.22 * (poor - 0.7).clip(0.0))
    r9 = np.clip(1.0 - 0.45 * converted - 0.04 * poor + 0.022 * (1.0 + poor) * rng.normal(size=n), 0.2, 1.5)
    hidden = 0.7 * poor + rng.normal(size=n) - 0.55
    hoe = np.where(hidden > 0.0, 0.015 * np.expm1(0.9 * hidden.clip(0.0, 5.0)), 0.0)
    # the same cluster, with the towers behind it summed up anew
    again = np.where(chance(rng, 0.25, n), photons["hoe"] * np.exp(0.1 * rng.normal(size=n)), photons["hoe"])
    r9, sieie = np.where(alone, r9, photons["r9"]), np.where(alone, sieie, photons["sieie"])
    energy = photons["pt"] * np.cosh(photons["eta"])
    error = -4.2 + 2.0 * (1.0 - r9).clip(0.0) + 0.35 * np.abs(cluster_eta) + 6.0 / photons["pt"] + 0.1 * poor
    kept = sigmoid(
        np.where(alone, np.where(photons["source"] == FROM_PHOTON, -2.8, -2.0), 3.6) + 2.0 * (0.9 - r9)
    )
    return photons.with_columns(
        r9=r9,
        sieie=sieie,
        hoe=np.where(alone, hoe, again),
        energyErr=energy * np.exp(error + 0.2 * rng.normal(size=n)),
        pixelSeed=chance(rng, kept, n),
        **calibration(rng, cluster_eta, r9, energy),
    )


def _with_isolation(
    rng: np.random.Generator, photons: Collection, jets: Collection, rho: Floats
) -> Collection:
    """Isolations, from the jet around, and the levels of the cuts whose variables are not stored."""
    n, pt = photons.n_objects, photons["pt"].astype(np.float64)
    jet = around(photons, jets)
    charged = np.where(jet["jet_pt"] > 0, jet["jet_charged"], rng.exponential(1.5, n))
    crowd = np.clip((charged + jet["jet_neutral"]) / 20.0, 0.0, 1.0)
    inside = 0.5 * crowd / (1.0 + (jet["jet_dr"] / 0.28) ** 4) + (1.0 - crowd) * 0.13
    own = jet["jet_photon"] + jet["jet_electron"] - pt
    pileup = 0.22 * np.sqrt(np.maximum(rho, 0.1)) * rng.normal(size=n)
    chg = whole_particles(rng, 0.9 * charged * inside + 0.02, PARTICLE)
    hadron = np.maximum(
        0.8 * jet["jet_neutral"] * inside + 0.10 * pt**0.5 * rng.normal(size=n) + pileup - 0.7, 0.0
    )
    photon = np.maximum(0.6 * own.clip(0.0) * inside + 0.5 * rng.normal(size=n) - pileup - 0.7, 0.0)
    barrel = in_barrel(photons["eta"])
    return photons.with_columns(
        pfRelIso03_chg=chg / pt,
        pfRelIso03_all=(chg + hadron + photon) / pt,
        neutralLevel=_levels(hadron, barrel, [(24.0, 19.7), (1.19, 2.72), (0.32, 2.0)], 0.015 * pt),
        photonLevel=_levels(photon, barrel, [(2.88, 4.16), (2.08, 3.87), (2.04, 3.03)], 0.004 * pt),
        hoeLevel=_levels(photons["hoe"] - 0.008 * rho / np.sqrt(pt), barrel, HOE, np.zeros(n)),
    )


def _levels(value: Floats, barrel: Column, cuts: list[tuple[float, float]], more: Floats) -> Column:
    return count_passed(value, [cut + more for cut in by_region(barrel, cuts)])


def _scores(rng: np.random.Generator, photons: Collection, cluster_eta: Floats) -> dict[str, Column]:
    """Discriminators, and the level of the older cut-based identification, which is nearly the newer one."""
    n, barrel = photons.n_objects, in_barrel(cluster_eta)
    width = np.log(photons["sieie"] / np.where(barrel, 0.0090, 0.0240))
    charged = np.sqrt(np.minimum(photons["pfRelIso03_chg"], 4.0))
    everything = np.sqrt(np.minimum(photons["pfRelIso03_all"], 4.0))
    raw = 1.85 - 2.8 * width.clip(-0.1) - 1.3 * np.log1p(photons["hoe"] / 0.04) - 1.0 * charged
    raw = (
        raw
        - 0.7 * everything
        - 0.9 * (0.95 - photons["r9"]).clip(0.0)
        - 0.35 * ~barrel
        + 0.3 * rng.normal(size=n)
    )
    older = raw + 0.12 + 0.18 * rng.normal(size=n)
    level = cut_level(photons.columns, cluster_eta)
    off = chance(rng, 0.12, n) * rng.choice([-1, 1, 1], n)
    return {
        "mvaID": np.tanh(raw.clip(-4.0, 4.0)),
        "mvaID_Fall17V1p1": np.tanh(older.clip(-4.0, 4.0)),
        "oldLevel": np.clip(level + off, 0, 3),
    }


def simulate_electrons_and_photons(
    seed: int, truth: Truth, event: EventLatents, jets: Collection, vertex_z: Column
) -> dict[str, Collection]:
    """Electron and Photon in NanoAOD's order, with generator particles but without links to each other."""
    electrons = reconstruct_electrons(stream(seed, "electrons"), truth, event, jets, vertex_z)
    electrons = with_isolation(stream(seed, "electron isolation"), electrons, jets, event)
    electrons = with_identification(stream(seed, "electron identification"), electrons, event)
    electrons = by_uncalibrated_pt(electrons)
    photons = reconstruct_photons(stream(seed, "photons"), truth, event, jets, electrons, vertex_z)
    particles = truth.events["GenPart"]
    return {
        "Electron": with_electron_truth(electrons, particles),
        "Photon": with_photon_truth(photons, particles),
    }
