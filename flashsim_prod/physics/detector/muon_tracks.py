"""Muons of the reference detector: which are reconstructed, and their tracks.

Of the size that CMS publishes: loose identification above 99 % where there are chambers, a resolution of 1
% in the barrel rising to 3 % in the endcaps up to 100 GeV (MUO-16-001, arXiv:1804.04528), below 10 % at 1
TeV in the barrel (MUO-10-004, arXiv:1206.4071), impact parameters measured to some 10 um at high pt and 100
um at 1 GeV (TRK-11-001, arXiv:1405.6569). The shapes in pt and eta, rates of fakes and of duplicates and
all tails were adjusted by eye to public simulated events.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.jets_muons import impact_3d
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, sigmoid, turn_on, wrap_phi
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection, Column

#: `source` of a reconstructed muon
FROM_GEN, FROM_JET, FROM_PILEUP, DUPLICATE = 0, 1, 2, 3

MIN_PT = 3.0
MAX_ETA = 2.4

#: mean transverse decay length seen by a daughter's track [cm], by origin; for taus, b and c about the c tau
#: of the Review of Particle Physics (0.009; 0.045 to 0.049; 0.012 and 0.031 for D0 and D+), for others
#: chosen
_DISPLACEMENT = {1: 0.0, 15: 0.0075, 5: 0.042, 4: 0.013, 3: 0.25, 0: 0.02}


def muon_efficiency(pt: Floats, eta: Floats) -> Floats:
    """Probability that a generator muon gives a NanoAOD muon (loose or soft identification).

    Parameters
    ----------
    pt, eta : arrays of shape (n,)
        Generated transverse momentum [GeV] and pseudorapidity.
    """
    abs_eta = np.abs(eta)
    # a muon needs about 3.5 GeV of pt in the barrel, or as much momentum in the endcap, to reach the stations
    half = np.where(abs_eta < 1.2, 3.3, np.maximum(3.5 - 1.8 * (abs_eta - 1.2), 2.0))
    plateau = 0.988 - 0.030 * np.exp(-(((abs_eta - 0.25) / 0.05) ** 2)) - 0.012 * (abs_eta > 2.1)
    return np.where(abs_eta < MAX_ETA, plateau * turn_on(pt, half, 0.32), 0.0)


def momentum_resolution(pt: Floats, eta: Floats) -> Floats:
    """Relative resolution of pt [GeV]: multiple scattering and, growing with pt, the sagitta."""
    abs_eta = np.abs(eta)
    scattering = 0.0085 + 0.0012 * abs_eta + 0.0021 * abs_eta**2
    sagitta = (5.0e-5 + 2.5e-5 * abs_eta**2) * pt
    return np.hypot(scattering, sagitta)


def charge_flip_probability(pt: Floats) -> Floats:
    """Probability of a wrong charge: below 1e-4 up to several hundred GeV, 0.03 % at 1 TeV."""
    return np.asarray(1e-5 * (1.0 + (pt / 200.0) ** 2), dtype=np.float64)


def reconstruct_muons(rng: np.random.Generator, truth: Truth, event: EventLatents) -> Collection:
    """Reconstructed muons with their tracks, unsorted.

    Columns: pt eta phi charge ptErr tunepRelPt dxy dxyErr dxybs dz dzErr ip3d sip3d nTrackerLayers
    and, for the rest of the simulation, ``source``, ``origin`` (as genPartFlav), ``gen_jet`` (flat position
    of the generator jet around the muon, -1 for none) and the latents ``track`` and ``system``, standard
    normal qualities of the inner track and of the muon-system track.
    """
    seeds = Collection.join([_genuine(rng, truth), _from_jets(rng, truth), _from_pileup(rng, truth)])
    seeds = Collection.join([seeds, _duplicates(rng, seeds)])
    muons = _with_momentum(rng, seeds)
    muons = muons.select((muons["pt"] > MIN_PT) & (np.abs(muons["eta"]) < MAX_ETA))
    return _with_impact(rng, muons, event)


def _genuine(rng: np.random.Generator, truth: Truth) -> Collection:
    gen = truth.gen_muons
    n = gen.n_objects
    found = chance(rng, muon_efficiency(gen["pt"], gen["eta"]), n)
    # latent qualities fall where the muon barely reaches the stations
    edge = np.exp(-(gen["pt"] - MIN_PT) / 2.5)
    made = Collection(
        gen.counts,
        {
            **{name: gen[name] for name in ("pt", "eta", "phi", "charge", "origin", "gen_jet")},
            "source": np.full(n, FROM_GEN),
            "track": rng.normal(size=n),
            "system": rng.normal(size=n) - 0.9 * edge.clip(0.0, 1.0),
        },
    )
    return made.select(found)


def _from_jets(rng: np.random.Generator, truth: Truth) -> Collection:
    """Punch-through and decays in flight of hadrons inside generator jets."""
    jets = truth.gen_jets
    hadronic = 1.0 - jets["electron_fraction"] - jets["muon_fraction"] - jets["photon_fraction"]
    jet_pt = jets["pt"].astype(np.float64) * hadronic
    hit = chance(rng, 0.036 * (1.0 - np.exp(-jet_pt / 25.0)) * (np.abs(jets["eta"]) < 2.5), jets.n_objects)
    where = np.flatnonzero(hit)
    n = len(where)
    spread = 0.15 / np.sqrt(1.0 + jet_pt[where] / 50.0)
    columns: dict[str, Column] = {
        "pt": MIN_PT + rng.exponential(0.5 + 0.07 * jet_pt[where]),
        "eta": jets["eta"][where] + rng.normal(size=n) * spread,
        "phi": wrap_phi(jets["phi"][where] + rng.normal(size=n) * spread),
        "gen_jet": where,
    }
    return _fakes(rng, jets.event_index[where], truth.events.n, columns, FROM_JET)


def _from_pileup(rng: np.random.Generator, truth: Truth) -> Collection:
    number = rng.poisson(0.0053 * truth.n_pu)
    event_index = np.repeat(np.arange(truth.events.n), number)
    n = len(event_index)
    columns: dict[str, Column] = {
        "pt": MIN_PT + rng.exponential(1.4, n),
        "eta": np.clip(rng.normal(0.0, 1.0, n) + rng.choice([-1.2, 1.2], n), -2.6, 2.6),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "gen_jet": np.full(n, -1),
    }
    return _fakes(rng, event_index, truth.events.n, columns, FROM_PILEUP)


def _fakes(
    rng: np.random.Generator, event_index: Ints, n_events: int, columns: dict[str, Column], source: int
) -> Collection:
    n = len(event_index)
    columns = columns | {
        "charge": rng.choice([-1, 1], n),
        "origin": np.full(n, 3 if source == FROM_JET else 0),
        "source": np.full(n, source),
        "track": rng.normal(-0.7, 1.3, n),
        "system": rng.normal(-2.3, 1.3, n),
    }
    return Collection.from_rows(n_events, event_index, columns)


def _duplicates(rng: np.random.Generator, seeds: Collection) -> Collection:
    """Second tracks of one muon, close to the first."""
    chosen = seeds.select(chance(rng, 0.033 * (seeds["source"] == FROM_GEN), seeds.n_objects))
    n = chosen.n_objects
    return chosen.with_columns(
        pt=chosen["pt"] * np.exp(rng.normal(-0.3, 0.5, n)),
        eta=chosen["eta"] + rng.normal(0.0, 0.03, n),
        phi=wrap_phi(chosen["phi"] + rng.normal(0.0, 0.03, n)),
        source=np.full(n, DUPLICATE),
        track=rng.normal(-1.3, 1.0, n),
        system=rng.normal(-1.2, 1.0, n),
    )


def _with_momentum(rng: np.random.Generator, seeds: Collection) -> Collection:
    n = seeds.n_objects
    track, true_pt = seeds["track"].astype(np.float64), seeds["pt"].astype(np.float64)
    sigma = momentum_resolution(true_pt, seeds["eta"].astype(np.float64))
    sigma = sigma * np.exp(-0.12 * track)
    genuine = seeds["source"] == FROM_GEN
    pull = np.where(genuine, rng.standard_t(6.0, n) * 0.85, 0.0)
    pt: Floats = true_pt * np.maximum(1.0 + sigma * pull, 0.2)
    flipped = chance(rng, charge_flip_probability(pt), n)
    near = np.abs(rng.normal(0.0, 0.004, n))
    # nearly always the very same fit; otherwise the other one by up to a percent
    tune = np.where(chance(rng, np.where(pt > 60.0, 0.20, 0.10), n), 1.0 - near, 1.0)
    return seeds.with_columns(
        pt=pt,
        gen_pt=true_pt,
        eta=seeds["eta"] + rng.normal(size=n) * (3e-4 + 1e-3 / pt),
        phi=wrap_phi(seeds["phi"] + rng.normal(size=n) * (2e-4 + 3e-3 / pt)),
        charge=np.where(flipped, -seeds["charge"], seeds["charge"]),
        ptErr=pt * sigma * np.exp(rng.normal(0.0, 0.08, n)),
        tunepRelPt=tune
        * np.where(chance(rng, np.where(genuine, 0.002, 0.03), n), rng.uniform(0.4, 1.4, n), 1.0),
        nTrackerLayers=_layers(rng, track, seeds["eta"].astype(np.float64)),
    )


def _layers(rng: np.random.Generator, track: Floats, eta: Floats) -> Ints:
    """Tracker layers with hits: more where barrel and discs overlap, fewer for poor tracks."""
    mean = 13.0 + 1.6 * np.exp(-(((np.abs(eta) - 1.5) / 0.4) ** 2)) - 1.6 * (np.abs(eta) > 2.1)
    return np.clip(np.rint(mean + 1.1 * track + 0.6 * rng.normal(size=len(eta))), 4, 18).astype(np.int64)


def _with_impact(rng: np.random.Generator, muons: Collection, event: EventLatents) -> Collection:
    """Impact parameters: resolution, true displacement by origin, and the vertex that they refer to."""
    n = muons.n_objects
    pt, eta = muons["pt"], muons["eta"].astype(np.float64)
    sin_theta = 1.0 / np.cosh(eta)
    quality = np.exp(-0.12 * muons["track"] + rng.normal(0.0, 0.07, n))
    dxy_err = np.hypot(0.00115, 0.0095 / pt) * (1.0 + 0.09 * eta**2) * quality
    dz_err = np.hypot(0.0018, 0.0110 / pt) * np.cosh(eta) ** 0.8 * quality
    dz_err = dz_err * np.exp(rng.normal(0.0, 0.10, n))
    true_xy, true_z = _displacement(rng, muons)
    beam_line = rng.normal(0.0, 0.0012, n)
    dxy = true_xy + rng.normal(size=n) * dxy_err
    dz = true_z + rng.normal(size=n) * dz_err + _other_vertex(rng, muons, event)
    along_z, z_err = dz * sin_theta, dz_err * sin_theta
    ip3d = np.maximum(impact_3d(dxy, dz, eta), 1e-5)
    ip3d_err = np.hypot(dxy * dxy_err, along_z * z_err) / ip3d
    return muons.with_columns(
        dxy=dxy, dxyErr=dxy_err, dxybs=dxy + beam_line, dz=dz, dzErr=dz_err, ip3d=ip3d, sip3d=ip3d / ip3d_err
    )


def _displacement(rng: np.random.Generator, muons: Collection) -> tuple[Floats, Floats]:
    n = muons.n_objects
    scale = np.select([muons["origin"] == kind for kind in _DISPLACEMENT], list(_DISPLACEMENT.values()), 0.0)
    length = rng.exponential(size=n) * scale
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    # a fake of a light jet is as often a straight punch-through as a decay in flight
    punch = (muons["origin"] == 3) & chance(rng, 0.6, n)
    length = np.where(punch, 0.0, length)
    eta = muons["eta"].astype(np.float64)
    return length * np.cos(angle), length * np.sin(angle) * np.cosh(eta) * sigmoid(2.0 - np.abs(eta))


def _other_vertex(rng: np.random.Generator, muons: Collection, event: EventLatents) -> Floats:
    """Shift along z where the muon's vertex is not the primary one."""
    of_pileup: Bools = muons["source"] == FROM_PILEUP
    pileup_dz = rng.normal(0.0, 4.8, muons.n_objects)
    return np.where(of_pileup, pileup_dz, -event.vertex_dz[muons.event_index])
