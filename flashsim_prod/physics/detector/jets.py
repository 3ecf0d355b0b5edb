"""Jets of the reference detector: from generator jets and from pileup.

The response starts from the toy detector of arXiv:2402.13684 (a low-pt excess falling as exp(-pt/15),
flavour dependence) with the noise, stochastic and constant terms of the CMS jet energy resolution
(JME-13-004, DP-2021-033) and their growth with pileup.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics import links
from flashsim_prod.physics.detector.draws import Floats, chance, gamma_about, turn_on, wrap_phi
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection

MIN_PT = 15.0
MAX_ETA = 5.05

#: edges in abs(eta): barrel, tracker's end, endcap's end, forward calorimeter
_ETA_EDGES = np.array([1.3, 2.5, 3.0])
_NOISE = np.array([1.0, 1.15, 1.5, 1.15])
_STOCHASTIC = np.array([0.70, 0.80, 0.95, 0.70])
_CONSTANT = np.array([0.045, 0.055, 0.09, 0.08])


def jet_efficiency(pt: Floats, eta: Floats) -> Floats:
    """Probability that a generator jet gives a jet that could pass the pt threshold."""
    region = np.searchsorted(_ETA_EDGES, np.abs(eta))
    plateau = np.array([0.997, 0.993, 0.985, 0.97])[region]
    return np.where(np.abs(eta) < 5.2, plateau * turn_on(pt, 11.0, 2.2), 0.0)


def jet_resolution(pt: Floats, eta: Floats, n_pu: Floats) -> Floats:
    """Relative pt resolution of hadronic jets."""
    region = np.searchsorted(_ETA_EDGES, np.abs(eta))
    noise = (1.2 + 0.45 * np.sqrt(np.maximum(n_pu, 0.0))) * _NOISE[region] / pt
    stochastic = _STOCHASTIC[region] / np.sqrt(pt)
    return np.asarray(np.sqrt(noise**2 + stochastic**2 + _CONSTANT[region] ** 2))


def jet_response(pt: Floats, parton: Floats, hadron: Floats) -> Floats:
    """Mean of reconstructed over generated pt."""
    flavour = np.select(
        [hadron == 5, hadron == 4, parton == 21, (parton != 0) & (np.abs(parton) < 4)],
        [-0.020, -0.010, -0.012, 0.018],
        0.0,
    )
    return np.asarray(1.0 + 0.45 * np.exp(-pt / 15.0) + flavour)


def reconstruct_jets(
    rng: np.random.Generator, truth: Truth, event: EventLatents, muons: Collection
) -> Collection:
    """Jets from both sources, unsorted.

    Columns: pt eta phi mass area rawFactor and, for the rest of the simulation, ``from_pileup``, flavours
    (``parton``, ``hadron``), the pt fractions ``electron``, ``muon`` and ``photon`` of prompt-like particles
    inside, and the latents ``shower`` (high: much neutral energy and fluctuation, low
    response) and ``fragmentation`` (high: many soft constituents), standard normal.
    """
    genuine = _from_gen_jets(rng, truth, event, muons)
    pileup = _from_pileup(rng, truth, event)
    pileup = _away_from(pileup, truth.gen_jets, genuine)
    jets = Collection.join([genuine, pileup])
    return _with_calibration(rng, jets, event)


def _from_gen_jets(
    rng: np.random.Generator, truth: Truth, event: EventLatents, muons: Collection
) -> Collection:
    gen = truth.gen_jets
    n = gen.n_objects
    pt, eta = gen["pt"].astype(np.float64), gen["eta"].astype(np.float64)
    parton, hadron = gen["partonFlavour"].astype(np.float64), gen["hadronFlavour"].astype(np.float64)
    found = chance(rng, jet_efficiency(pt, eta), n)
    shower, fragmentation = rng.normal(size=n), rng.normal(size=n) + 0.5 * (parton == 21)
    electron, photon = pt * gen["electron_fraction"], pt * gen["photon_fraction"]
    muon = _muon_content(muons, n)
    gen_muon = pt * gen["muon_fraction"]
    hadronic = np.maximum(pt - electron - photon - gen_muon, 0.5)
    wrong = event.wrong_vertex[gen.event_index]
    resolution = jet_resolution(np.maximum(hadronic, 8.0), eta, truth.n_pu[gen.event_index])
    pull = 0.9 * rng.normal(size=n) - 0.436 * shower
    response = jet_response(np.maximum(hadronic, 8.0), parton, hadron) + resolution * pull
    # charged hadrons of another vertex are subtracted from the jet
    response = np.maximum(response, 0.05) * np.where(wrong & (np.abs(eta) < 2.5), 0.55, 1.0)
    # leptons get the hadrons' calibration too, which overshoots
    lepton_scale = 1.06 + 0.03 * rng.normal(size=n)
    pileup_offset = 0.04 * np.sqrt(event.rho[gen.event_index]) * rng.normal(size=n)
    hadronic_reco = hadronic * response + pileup_offset * 5.0 * (hadronic < 3.0)
    reco = np.maximum(hadronic_reco, 0.1) + lepton_scale * (electron + photon + muon)
    angle = np.hypot(0.006, 0.65 / np.maximum(reco, 5.0)) * np.where(np.abs(eta) > 1.3, 1.3, 1.0)
    made = Collection(
        gen.counts,
        {
            "pt": reco,
            "gen_pt": pt,
            "eta": eta + angle * rng.normal(size=n),
            "phi": wrap_phi(gen["phi"] + angle * rng.normal(size=n)),
            "mass": _mass(rng, gen["mass"].astype(np.float64), reco / pt, event.rho[gen.event_index], reco),
            "from_pileup": np.zeros(n, bool),
            "parton": parton,
            "hadron": hadron,
            "electron": lepton_scale * electron / reco,
            "photon": lepton_scale * photon / reco,
            "muon": lepton_scale * muon / reco,
            "shower": shower,
            "fragmentation": fragmentation,
        },
    )
    return made.select(found & (reco > MIN_PT) & (np.abs(made["eta"]) < MAX_ETA))


def _muon_content(muons: Collection, n_jets: int) -> Floats:
    """Summed pt of the particle-flow muons in each generator jet."""
    inside = (muons["gen_jet"] >= 0) & muons["isPFcand"]
    jet = muons["gen_jet"][inside]
    return np.bincount(jet, weights=muons["pt"][inside], minlength=n_jets).astype(np.float64)


def _mass(rng: np.random.Generator, gen_mass: Floats, ratio: Floats, rho: Floats, pt: Floats) -> Floats:
    """Generated mass scaled by the response, and the pileup's share, which adds in quadrature."""
    own = np.maximum(0.93 * gen_mass, 0.05) * ratio * np.exp(rng.normal(0.0, 0.12, len(pt)))
    share = pt * rho * gamma_about(rng, np.full(len(pt), 0.016), np.full(len(pt), 0.008))
    return np.sqrt(own**2 + share)


def _from_pileup(rng: np.random.Generator, truth: Truth, event: EventLatents) -> Collection:
    """Jets of pileup: their number grows faster than linearly, their pt falls as a power law."""
    n_events = truth.events.n
    mean = 0.030 * truth.n_pu + 0.0024 * truth.n_pu**2
    relative_rho = (event.rho + 1.0) / (0.62 * truth.n_pu + 1.3)
    number = rng.poisson(np.clip(mean * np.clip(relative_rho, 0.4, 2.5), 0.0, 60.0))
    event_index = np.repeat(np.arange(n_events), number)
    n = len(event_index)
    pt = MIN_PT * rng.random(n) ** (-1.0 / 4.2)
    parton = rng.choice([0, 21, 1, -1, 2, -2, 3, -3], n, p=[0.45, 0.40, 0.03, 0.02, 0.04, 0.03, 0.015, 0.015])
    zeros = np.zeros(n)
    columns = {
        "pt": pt,
        "gen_pt": np.zeros(n),
        "eta": _pileup_eta(rng, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "mass": pt * gamma_about(rng, np.full(n, 0.262), np.full(n, 0.048)),
        "from_pileup": np.ones(n, bool),
        "parton": parton.astype(np.float64),
        **dict.fromkeys(("hadron", "electron", "photon", "muon"), zeros),
        "shower": rng.normal(0.7, 1.0, n),
        "fragmentation": rng.normal(0.6, 1.0, n),
    }
    return Collection.from_rows(n_events, event_index, columns)


def _pileup_eta(rng: np.random.Generator, n: int) -> Floats:
    """Pileup jets crowd where the tracker ends and the endcap is coarse."""
    horn = rng.normal(2.78, 0.16, n)
    flat = rng.uniform(0.0, 4.8, n) ** 0.9
    eta = np.where(rng.random(n) < 0.42, horn, flat)
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


def _with_calibration(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Collection:
    """Area, and the share of pt that calibration added: response of the region and pileup offset."""
    n = jets.n_objects
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    rho = event.rho[jets.event_index]
    width = 0.018 + 0.35 / pt + 0.02 * jets["from_pileup"]
    area = np.clip(np.rint((0.506 + rng.normal(size=n) * width) / 0.00998) * 0.00998, 0.05, 0.95)
    region = np.searchsorted(np.array([1.3, 2.5, 3.0]), abs_eta)
    scale = np.array([0.925, 0.84, 0.80, 0.90])[region] - np.array([0.06, 0.08, 0.1, 0.06])[region] * np.exp(
        -pt / 35
    )
    offset = np.array([0.27, 0.22, 0.26, 0.70])[region] * rho * area
    raw = pt * scale * (1.0 + 0.035 * rng.normal(size=n)) + offset * np.exp(0.15 * rng.normal(size=n))
    return jets.with_columns(area=area, rawFactor=1.0 - raw / pt)
