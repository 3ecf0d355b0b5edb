"""Jets of the reference detector: from generator jets and from pileup.

The mean response has the form of the toy detector of arXiv:2402.13684: an excess at low pt that falls as
exp(-pt/15), and a shift for each flavour. Its resolution has the noise, stochastic and constant terms of
the CMS jet energy resolution, noise growing with pileup (JME-13-004, arXiv:1607.03663). The numbers are
neither's: they were adjusted by eye to quantiles of public simulated events, and so were efficiencies and
pileup's jets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.jets_muons import in_ghosts
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, gamma_about, turn_on, wrap_phi
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection

MIN_PT = 15.0
MAX_ETA = 5.05

#: edges in abs(eta): barrel, end of the tracker, end of the endcap; one value of each table per region
_ETA_EDGES = np.array([1.3, 2.5, 3.0])
_PLATEAU = np.array([0.997, 0.993, 0.985, 0.97])
_NOISE = np.array([1.0, 1.15, 1.5, 1.15])
_STOCHASTIC = np.array([0.70, 0.80, 0.95, 0.70])
_CONSTANT = np.array([0.045, 0.055, 0.09, 0.08])
_DIRECTION = np.array([1.0, 1.3, 1.9, 1.4])
_CALORIMETER = np.array([0.925, 0.84, 0.80, 0.90])
_SOFT_LOSS = np.array([0.06, 0.08, 0.10, 0.06])
_OFFSET = np.array([0.27, 0.22, 0.26, 0.70])


@dataclass(frozen=True)
class _Content:
    """Transverse momenta inside each generator jet [GeV], each of shape (n_jets,)."""

    hadronic: Floats
    electron: Floats
    muon: Floats
    photon: Floats


def jet_efficiency(pt: Floats, eta: Floats) -> Floats:
    """Probability that a generator jet gives a jet that could pass the pt threshold.

    Parameters
    ----------
    pt, eta : arrays of shape (n,)
        Generated transverse momentum [GeV] and pseudorapidity.
    """
    plateau = _PLATEAU[_region(eta)] * turn_on(pt, 11.5, 2.2)
    return np.where(np.abs(eta) < 5.2, plateau, 0.0)


def jet_resolution(pt: Floats, eta: Floats, n_pu: Floats) -> Floats:
    """Relative resolution of pt [GeV] of hadronic jets, with `n_pu` pileup collisions."""
    region = _region(eta)
    noise = (1.2 + 0.45 * np.sqrt(np.maximum(n_pu, 0.0))) * _NOISE[region] / pt
    stochastic = _STOCHASTIC[region] / np.sqrt(pt)
    return np.asarray(np.sqrt(noise**2 + stochastic**2 + _CONSTANT[region] ** 2))


def jet_response(pt: Floats, parton: Floats, hadron: Floats) -> Floats:
    """Mean of reconstructed over generated pt [GeV], by parton and hadron flavour."""
    flavour = np.select(
        [hadron == 5, hadron == 4, parton == 21, (parton != 0) & (np.abs(parton) < 4)],
        [-0.020, -0.010, -0.012, 0.018],
        0.0,
    )
    return np.asarray(1.0 + 0.34 * np.exp(-pt / 15.0) + flavour)


def reconstruct_jets(
    rng: np.random.Generator, truth: Truth, event: EventLatents, muons: Collection, pileup_jets: float = 1.0
) -> Collection:
    """Jets from both sources, unsorted; `pileup_jets` scales the number of those of pileup.

    Columns: pt eta phi mass area rawFactor partonFlavour and, for the rest of the simulation, ``gen_pt``,
    ``from_pileup``, ``hadron`` (hadron flavour), the pt fractions ``electron``, ``muon`` and ``photon`` of
    prompt-like particles inside, and the latents ``shower`` (high: much neutral energy, low response) and
    ``fragmentation`` (high: many soft constituents), standard normal.
    """
    genuine = _from_gen_jets(rng, truth, event, muons)
    pileup = _away_from(_from_pileup(rng, truth, event, pileup_jets), truth.gen_jets, genuine)
    return _with_raw_energy(rng, Collection.join([genuine, pileup]), event)


def _region(eta: Floats) -> Ints:
    return np.searchsorted(_ETA_EDGES, np.abs(eta)).astype(np.int64)


def _calorimeter_scale(pt: Floats, eta: Floats) -> Floats:
    """Raw over calibrated energy of hadrons; leptons keep their energy and are calibrated all the same."""
    region = _region(eta)
    return np.asarray(_CALORIMETER[region] - _SOFT_LOSS[region] * np.exp(-pt / 35.0))


def _from_gen_jets(
    rng: np.random.Generator, truth: Truth, event: EventLatents, muons: Collection
) -> Collection:
    gen = truth.gen_jets
    n = gen.n_objects
    pt, eta = gen["pt"].astype(np.float64), gen["eta"].astype(np.float64)
    found = chance(rng, jet_efficiency(pt, eta), n)
    latents = {
        "shower": rng.normal(size=n),
        "fragmentation": rng.normal(size=n) + 0.5 * (gen["partonFlavour"] == 21),
    }
    content = _content(gen, muons)
    lepton_scale = (1.0 + 0.03 * rng.normal(size=n)) / _calorimeter_scale(pt, eta)
    leptonic = lepton_scale * (content.electron + content.photon + content.muon)
    reco = _hadronic_pt(rng, truth, event, content, latents["shower"]) + leptonic
    angle = np.hypot(0.006, 0.70 / pt) * _DIRECTION[_region(eta)]
    rho = event.rho[gen.event_index]
    columns = {
        "pt": reco,
        "gen_pt": pt,
        "eta": eta + angle * rng.normal(size=n),
        "phi": wrap_phi(gen["phi"] + angle * rng.normal(size=n)),
        "mass": _mass(rng, gen["mass"].astype(np.float64), reco / pt, rho, reco),
        "from_pileup": np.zeros(n, bool),
        "partonFlavour": gen["partonFlavour"].astype(np.int64),
        "hadron": gen["hadronFlavour"].astype(np.int64),
        "electron": lepton_scale * content.electron / reco,
        "photon": lepton_scale * content.photon / reco,
        "muon": lepton_scale * content.muon / reco,
        **latents,
    }
    made = Collection(gen.counts, columns)
    return made.select(found & (reco > MIN_PT) & (np.abs(made["eta"]) < MAX_ETA))


def _content(gen: Collection, muons: Collection) -> _Content:
    """What each generator jet brings; muons as they were reconstructed by particle flow."""
    pt = gen["pt"].astype(np.float64)
    electron, photon = pt * gen["electron_fraction"], pt * gen["photon_fraction"]
    hadronic = np.maximum(pt - electron - photon - pt * gen["muon_fraction"], 0.5)
    inside = (muons["gen_jet"] >= 0) & muons["isPFcand"]
    muon = np.bincount(muons["gen_jet"][inside], weights=muons["pt"][inside], minlength=gen.n_objects)
    return _Content(hadronic, electron, muon.astype(np.float64), photon)


def _hadronic_pt(
    rng: np.random.Generator, truth: Truth, event: EventLatents, content: _Content, shower: Floats
) -> Floats:
    """Calibrated pt of the hadrons; a neutral-rich shower (`shower` high) responds less."""
    gen = truth.gen_jets
    eta, n_pu = gen["eta"].astype(np.float64), truth.n_pu[gen.event_index]
    pt = np.maximum(content.hadronic, 8.0)
    pull = 0.9 * rng.normal(size=gen.n_objects) - 0.436 * shower
    parton, hadron = gen["partonFlavour"].astype(np.float64), gen["hadronFlavour"].astype(np.float64)
    response = jet_response(pt, parton, hadron) + jet_resolution(pt, eta, n_pu) * pull
    # with another primary vertex the jet's charged hadrons are taken for pileup and removed
    lost: Bools = event.wrong_vertex[gen.event_index] & (np.abs(eta) < 2.5)
    reco = content.hadronic * np.maximum(response, 0.05) * np.where(lost, 0.55, 1.0)
    # little but leptons: what is left is pileup, subtracted on average
    residue = 0.20 * np.sqrt(event.rho[gen.event_index]) * rng.normal(size=gen.n_objects)
    return np.maximum(reco + np.where(content.hadronic < 3.0, residue, 0.0), 0.1)


def _mass(rng: np.random.Generator, gen_mass: Floats, ratio: Floats, rho: Floats, pt: Floats) -> Floats:
    """Generated mass scaled by the response, and the pileup's share, which adds in quadrature."""
    n = len(pt)
    own = np.maximum(0.93 * gen_mass, 0.05) * ratio * np.exp(rng.normal(0.0, 0.12, n))
    share = pt * rho * gamma_about(rng, np.full(n, 0.016), np.full(n, 0.008))
    return np.asarray(np.sqrt(own**2 + share))


def _from_pileup(rng: np.random.Generator, truth: Truth, event: EventLatents, scale: float) -> Collection:
    """Jets of pileup: their number grows faster than linearly, their pt falls as a power law."""
    mean = scale * _mean_pileup_jets(truth.n_pu, event.rho)
    event_index = np.repeat(np.arange(truth.events.n), rng.poisson(mean))
    n = len(event_index)
    pt = MIN_PT * rng.random(n) ** (-1.0 / 4.2)
    columns = {
        "pt": pt,
        "gen_pt": np.zeros(n),
        "eta": _pileup_eta(rng, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "mass": pt * gamma_about(rng, np.full(n, 0.262), np.full(n, 0.048)),
        "from_pileup": np.ones(n, bool),
        "partonFlavour": _pileup_flavour(rng, n),
        "hadron": np.zeros(n, np.int64),
        **dict.fromkeys(("electron", "photon", "muon"), np.zeros(n)),
        "shower": rng.normal(0.7, 1.0, n),
        "fragmentation": rng.normal(0.6, 1.0, n),
    }
    return Collection.from_rows(truth.events.n, event_index, columns)


def _mean_pileup_jets(n_pu: Floats, rho: Floats) -> Floats:
    """Pileup jets above threshold: chance overlaps of several collisions add to single hard ones."""
    activity = np.clip((rho + 1.0) / (0.62 * n_pu + 1.3), 0.4, 2.5)
    return np.clip((0.0125 * n_pu + 0.00127 * n_pu**2) * activity, 0.0, 60.0)


def _pileup_flavour(rng: np.random.Generator, n: int) -> Ints:
    flavours = np.array([0, 21, 1, -1, 2, -2, 3, -3])
    return rng.choice(flavours, n, p=[0.26, 0.60, 0.0225, 0.0225, 0.0275, 0.0275, 0.02, 0.02])


def _pileup_eta(rng: np.random.Generator, n: int) -> Floats:
    """Pileup jets crowd where the tracker ends and the endcap is coarse."""
    horn = rng.normal(2.80, 0.17, n)
    central, forward = rng.uniform(0.0, 2.75, n), 2.95 + 2.1 * rng.beta(1.1, 1.8, n)
    kind = rng.random(n)
    eta = np.select([kind < 0.22, kind < 0.57], [horn, central], forward)
    return np.asarray(np.clip(eta, 0.0, 5.0) * rng.choice([-1.0, 1.0], n))


def _away_from(pileup: Collection, gen_jets: Collection, genuine: Collection) -> Collection:
    """Pileup jets that no other jet would have absorbed."""
    _, to_gen = links.nearest(pileup, gen_jets, 0.4)
    _, to_jet = links.nearest(pileup, genuine, 0.4)
    kept = pileup.select(np.isinf(to_gen) & np.isinf(to_jet))
    one, other, _ = links.close_pairs(kept, kept, 0.4)
    absorbed = np.zeros(kept.n_objects, bool)
    absorbed[one[kept["pt"][one] < kept["pt"][other]]] = True
    return kept.select(~absorbed)


def _with_raw_energy(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Collection:
    """`jets` with area, and the share of pt that calibration added: response less the pileup offset."""
    n = jets.n_objects
    pt, eta = jets["pt"].astype(np.float64), jets["eta"].astype(np.float64)
    width = 0.018 + 0.35 / pt + 0.02 * jets["from_pileup"]
    jets = in_ghosts(jets.with_columns(area=np.clip(0.506 + rng.normal(size=n) * width, 0.05, 0.95)))
    area = jets["area"]
    offset = _OFFSET[_region(eta)] * event.rho[jets.event_index] * area
    raw = pt * _calorimeter_scale(pt, eta) * (1.0 + 0.035 * rng.normal(size=n))
    raw = raw + offset * np.exp(0.15 * rng.normal(size=n))
    return jets.with_columns(rawFactor=1.0 - raw / pt)
