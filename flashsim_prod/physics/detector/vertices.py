"""Secondary vertices of the reference detector: decays of b and c hadrons and taus, and all the others.

Decay lengths follow lifetimes (Review of Particle Physics) and boosts; rates, and vertices of light jets
and those away from jets (kaons, interactions in the material, accidental crossings), were adjusted by eye
to public simulated events. The finder imitated is the inclusive one of BTV-16-002 (arXiv:1712.07158).
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.taus import TAU
from flashsim_prod.physics.definitions.vertices import (
    Flight,
    as_found,
    fit_columns,
    jets_by_kind,
    position_columns,
)
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, sigmoid, wrap_phi
from flashsim_prod.physics.events import Collection, Column, Events

MIN_PT = 1.6
MAX_ETA = 2.45
#: vertices are kept above this significance of the decay length
MIN_SIGNIFICANCE = 3.0
_LEAST_MASS = 0.285
_KAON_MASS = 0.4976
#: most vertices in one jet
_MAX_IN_JET = 3

_LIGHT, _CHARM, _BOTTOM, _TAU, _STRAY = range(5)
#: decay length over transverse momentum of the tracks, c tau / m and what escapes the vertex [cm/GeV]
_LIFE = np.array([0.0, 0.0145, 0.0125, 0.0062, 0.0])
#: mean and spread of the logit of the share of the jet's pt
_SHARE = np.array([[0.0, 1.0], [-1.0, 0.8], [-0.9, 0.75], [0.5, 0.7], [0.0, 1.0]])
#: mean number of tracks beyond two, and mass of two tracks above the least [GeV]
_EXTRA_TRACKS = np.array([0.38, 0.65, 1.6, 0.6, 0.10])
_MASS = np.array([0.25, 0.55, 0.80, 0.50, 0.17])
_MASS_SPREAD = np.array([0.90, 0.45, 0.45, 0.30, 0.85])
_MAX_MASS = np.array([6.0, 3.0, 6.5, 1.75, 6.0])


def find_vertices(rng: np.random.Generator, events: Events) -> Collection:
    """``SV`` of `events`, which have Jet and its links, PV and Pileup; in an order of chance, all columns."""
    seeds = Collection.join([_in_jets(rng, jets_by_kind(events)), _strays(rng, events)])
    vertices = _with_tracks(rng, seeds)
    vertices = _with_flight(rng, vertices, events)
    kept = (
        (vertices["dlenSig"] > MIN_SIGNIFICANCE)
        & (np.abs(vertices["eta"]) < MAX_ETA)
        & (np.abs(vertices["ndof"]) > 0.02)
    )
    return as_found(vertices.select(kept))


def vertex_rate(jets: Collection) -> Floats:
    """Mean number of vertices in each jet (of `jets_by_kind`) before the cut on their significance."""
    pt, tag = jets["pt"].astype(np.float64), np.clip(jets["btagDeepFlavB"].astype(np.float64), 0.0, 1.0)
    flavour = jets["hadronFlavour"].astype(np.int64)
    rise = 1.0 - np.exp(-pt / 35.0)
    of_tau = np.where(jets["gen_mode"] >= 10, 0.75, 0.20)
    light = (0.065 + 0.33 * tag + 0.0006 * np.minimum(pt, 300.0)) * np.where(jets["genJetIdx"] >= 0, 1.0, 0.7)
    kinds = [flavour == 5, flavour == 4, jets["kind"] == TAU]
    rate = np.select(kinds, [rise * (0.99 + 1.05 * tag), rise * (0.50 + 0.97 * tag), of_tau], light)
    return np.asarray(rate * sigmoid((2.45 - np.abs(jets["eta"].astype(np.float64))) / 0.06))


def _in_jets(rng: np.random.Generator, jets: Collection) -> Collection:
    number = np.minimum(rng.poisson(vertex_rate(jets)), _MAX_IN_JET)
    jet = np.repeat(np.arange(jets.n_objects), number)
    flavour = jets["hadronFlavour"][jet].astype(np.int64)
    origin = np.select(
        [flavour == 5, flavour == 4, jets["kind"][jet] == TAU], [_BOTTOM, _CHARM, _TAU], _LIGHT
    )
    n, jet_pt = len(jet), jets["pt"][jet].astype(np.float64)
    mean, spread = _SHARE[origin].T
    pt = jet_pt * sigmoid(mean + spread * rng.normal(size=n))
    soft = np.minimum(np.exp(1.55 + 0.65 * rng.normal(size=n)), 0.8 * jet_pt)
    pt = np.where(origin == _LIGHT, soft, pt)
    wide = np.where(origin == _LIGHT, 0.085, np.where(origin == _TAU, 0.015, 0.05))
    width = wide * np.sqrt(40.0 / jet_pt) * np.exp(0.3 * rng.normal(size=n))
    columns: dict[str, Column] = {
        "origin": origin,
        "pt": np.maximum(pt, MIN_PT + rng.exponential(0.4, n)),
        "eta": jets["eta"][jet] + width * rng.normal(size=n),
        "phi": wrap_phi(jets["phi"][jet] + width * rng.normal(size=n)),
    }
    return Collection.from_rows(jets.n_events, jets.event_index[jet], columns)


def _strays(rng: np.random.Generator, events: Events) -> Collection:
    """Soft vertices anywhere, more of them with more pileup."""
    number = rng.poisson(0.05 + 0.0028 * events.scalars["Pileup_nTrueInt"].astype(np.float64))
    event_index = np.repeat(np.arange(events.n), number)
    n = len(event_index)
    columns: dict[str, Column] = {
        "origin": np.full(n, _STRAY),
        "pt": MIN_PT + rng.gamma(1.9, 0.70, n),
        "eta": rng.uniform(-MAX_ETA, MAX_ETA, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
    }
    return Collection.from_rows(events.n, event_index, columns)


def _with_tracks(rng: np.random.Generator, seeds: Collection) -> Collection:
    """Tracks, their charges and mass, and the quality of the fit."""
    n, origin = seeds.n_objects, seeds["origin"]
    tracks = np.minimum(2 + rng.poisson(_EXTRA_TRACKS[origin]), 12)
    kaon = chance(rng, np.where(np.isin(origin, (_LIGHT, _STRAY)), 0.14, 0.0), n)
    tracks = np.where(kaon, 2, np.where(origin == _TAU, np.minimum(tracks, 3), tracks))
    growth = ((tracks - 1.0) ** 0.8) * np.exp(_MASS_SPREAD[origin] * rng.normal(size=n))
    mass = np.minimum(_LEAST_MASS + _MASS[origin] * growth, _MAX_MASS[origin] - 0.3 * rng.random(n))
    chi2 = 2.2 * rng.gamma((2.0 * tracks - 3.0) / 2.0)
    return seeds.with_columns(
        kaon=kaon,
        ntracks=tracks,
        charge=_charge(rng, tracks, origin, kaon),
        mass=np.where(kaon, rng.normal(_KAON_MASS, 0.012, n), mass),
        **fit_columns(chi2, tracks),
    )


def _charge(rng: np.random.Generator, tracks: Ints, origin: Ints, kaon: Bools) -> Ints:
    """Sum of the charges: pairs of light jets and strays are mostly neutral, three tracks of a tau odd."""
    n = len(tracks)
    positive = rng.binomial(tracks, 0.5)
    paired = kaon | ((tracks == 2) & np.isin(origin, (_LIGHT, _STRAY)) & chance(rng, 0.45, n))
    one_sign = (tracks == 3) & (origin == _TAU) & np.isin(positive, (0, 3))
    positive = np.where(paired, 1, np.where(one_sign, 1 + (positive > 0), positive))
    return np.asarray(2 * positive - tracks, np.int64)


def _with_flight(rng: np.random.Generator, vertices: Collection, events: Events) -> Collection:
    n = vertices.n_objects
    length, significance = _decay_length(rng, vertices)
    pt, eta = vertices["pt"], vertices["eta"].astype(np.float64)
    scale = (
        0.030
        * (np.maximum(length, 0.02) / 0.6) ** -0.6
        * np.sqrt(5.0 / pt)
        * np.exp(0.4 * rng.normal(size=n))
    )
    angle = np.minimum(scale * np.sqrt(2.0 * rng.exponential(size=n)), 0.9)
    flight = Flight(length, angle, rng.uniform(-np.pi, np.pi, n))
    x, y, z = (events.scalars[f"PV_{axis}"].astype(np.float64)[vertices.event_index] for axis in "xyz")
    return vertices.with_columns(
        dlenSig=significance,
        dxySig=significance * np.clip(1.0 + 0.045 * rng.normal(size=n), 0.75, 1.25),
        **position_columns(eta, vertices["phi"].astype(np.float64), flight, (x, y, z)),
    )


def _decay_length(rng: np.random.Generator, vertices: Collection) -> tuple[Floats, Floats]:
    """Length [cm] and its significance: lifetime and resolution, or the mix of a vertex without lifetime."""
    n, origin = vertices.n_objects, vertices["origin"]
    boost = vertices["pt"] * np.cosh(vertices["eta"])
    life = _LIFE[origin] * boost * rng.exponential(size=n)
    error = 0.018 * (1.0 + 8.0 / boost) * (1.0 + life / 0.8) * np.exp(0.5 * rng.normal(size=n))
    mixed = MIN_SIGNIFICANCE * np.exp(rng.exponential(0.95, n))
    centre = np.where(origin == _STRAY, -0.25, -1.05) + np.where(vertices["kaon"], 0.6, 0.0)
    spread = np.where(origin == _STRAY, 0.80, 1.30)
    loose = np.exp(centre + spread * rng.normal(size=n)) * (mixed / MIN_SIGNIFICANCE) ** 0.4
    alive = np.isin(origin, (_CHARM, _BOTTOM, _TAU))
    length = np.where(alive, np.maximum(life, 0.005), np.minimum(loose, 60.0))
    return length, np.where(alive, length / error, mixed)
