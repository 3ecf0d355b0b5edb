"""What jets of the reference detector are made of: energy fractions, constituents, identification.

As particle flow sees a jet (PRF-14-001, arXiv:1706.04965): charged hadrons have most of its energy, photons
about a quarter and neutral hadrons a tenth within the tracker, and beyond it everything is calorimetric.
The tables below were adjusted by eye to public simulated events.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.jets_muons import jet_id
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, gamma_about
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.events import Collection

#: where the forward calorimeter begins
_FORWARD_BEGIN = 2.98

#: nodes in abs(eta) and the average hadronic fractions there, of jets from the hard event and from pileup;
#: charged particles beyond 2.4 are rarely assigned to a pileup vertex, so pileup jets keep theirs
_ETA = np.array([0.0, 1.3, 2.0, 2.5, 2.7, 2.9, 3.0, 3.1])
_HARD = {
    "chHEF": np.array([0.61, 0.61, 0.63, 0.62, 0.50, 0.24, 0.06, 0.002]),
    "neHEF": np.array([0.11, 0.11, 0.14, 0.20, 0.35, 0.58, 0.80, 0.93]),
    "neEmEF": np.array([0.26, 0.25, 0.21, 0.14, 0.14, 0.15, 0.12, 0.068]),
}
_PILEUP = {
    "chHEF": np.array([0.42, 0.49, 0.55, 0.64, 0.48, 0.26, 0.06, 0.005]),
    "neHEF": np.array([0.22, 0.25, 0.27, 0.28, 0.41, 0.62, 0.82, 0.93]),
    "neEmEF": np.array([0.40, 0.30, 0.22, 0.12, 0.15, 0.16, 0.10, 0.065]),
}


def with_composition(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Collection:
    """`jets` with fractions, nConstituents, chFPV0EF, muonSubtrFactor, hf* and jetId."""
    jets = jets.with_columns(**_fractions(rng, jets, event))
    jets = jets.with_columns(
        nConstituents=_constituents(rng, jets, event),
        chFPV0EF=_pileup_fraction(rng, jets, event),
        muonSubtrFactor=_muon_subtracted(rng, jets),
        **_forward_shapes(rng, jets),
    )
    return jets.with_columns(jetId=jet_id(jets))


def _fractions(rng: np.random.Generator, jets: Collection, event: EventLatents) -> dict[str, Floats]:
    """Energy fractions, relative to the raw energy, that sum to one."""
    n = jets.n_objects
    abs_eta = np.abs(jets["eta"])
    share = _hadronic_shares(rng, jets, event)
    # neutral pileup under the jet dilutes what leptons and photons bring
    raw_pt = jets["pt"] * (1.0 - jets["rawFactor"])
    under = 0.50 * event.rho[jets.event_index] * jets["area"]
    hadronic = np.maximum(1.0 - jets["electron"] - jets["photon"] - jets["muon"], 0.0)
    hadronic = hadronic + gamma_about(rng, under, 0.5 * under) / raw_pt
    parts = {name: part * hadronic for name, part in share.items()}
    # bremsstrahlung is counted as photons, and so are electrons that were not found
    radiated = np.where(chance(rng, 0.95, n) & (abs_eta < 2.55), rng.beta(1.0, 25.0, n), 1.0)
    parts["chEmEF"] = parts["chEmEF"] + jets["electron"] * (1.0 - radiated)
    # the forward calorimeter's two fibre lengths hardly tell electrons from hadrons
    neutral = jets["photon"] + jets["electron"] * radiated
    as_hadron = np.where(abs_eta > 3.0, rng.beta(12.0, 1.2, n), 0.0)
    parts["neEmEF"] = parts["neEmEF"] + neutral * (1.0 - as_hadron)
    parts["neHEF"] = parts["neHEF"] + neutral * as_hadron
    parts["muEF"] = jets["muon"] + _soft_muons(rng, jets)
    norm = sum(parts.values(), start=np.zeros(n))
    return {name: part / norm for name, part in parts.items()}


def _hadronic_shares(rng: np.random.Generator, jets: Collection, event: EventLatents) -> dict[str, Floats]:
    """Shares of the jet's hadronic energy, without prompt leptons and photons."""
    n = jets.n_objects
    wrong = event.wrong_vertex[jets.event_index] & ~jets["from_pileup"] & (np.abs(jets["eta"]) < 2.5)
    # more constituents, smaller fluctuations
    strength = (2.6 + 2.4 * np.log(jets["pt"] / 10.0)) * np.exp(0.25 * jets["fragmentation"])
    strength = strength * np.where(jets["from_pileup"], 1.4, 1.0)
    weight = {
        name: np.where(
            jets["from_pileup"],
            np.interp(np.abs(jets["eta"]), _ETA, _PILEUP[name]),
            np.interp(np.abs(jets["eta"]), _ETA, _HARD[name]),
        )
        for name in _HARD
    }
    weight["chHEF"] = weight["chHEF"] * np.where(wrong, 0.1, 1.0)
    weight["neHEF"] = weight["neHEF"] * np.exp(0.35 * jets["shower"])
    parts = {name: rng.gamma(np.maximum(value * strength, 1e-3)) for name, value in weight.items()}
    # conversions and semileptonic decays
    parts["chEmEF"] = rng.gamma(0.8, 0.10, n) * strength
    parts = {name: np.where(_absent(rng, jets, name), 0.0, part) for name, part in parts.items()}
    total = sum(parts.values(), start=np.zeros(n))
    empty = total <= 0.0
    parts["neHEF"] = np.where(empty, 1.0, parts["neHEF"])
    return {name: part / np.where(empty, 1.0, total) for name, part in parts.items()}


def _absent(rng: np.random.Generator, jets: Collection, name: str) -> Bools:
    """Kinds of particles that a jet lacks altogether."""
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    neutral = np.interp(abs_eta, [0.0, 1.3, 1.4, 2.5, 2.7, 2.9], [0.44, 0.44, 0.22, 0.15, 0.04, 0.0])
    heavy = np.where(jets["hadron"] > 0, 0.02, 0.01)
    photon = np.interp(abs_eta, [0.0, 1.3, 2.3, 2.5, 2.7, 2.9, 3.1], [0.03, 0.04, 0.08, 0.5, 0.25, 0.1, 0.4])
    probability = {
        "chHEF": np.where(abs_eta > 3.0, 0.93, 0.02 * np.exp(-pt / 40.0)),
        "neHEF": neutral * np.exp(-pt / 170.0),
        "neEmEF": photon * np.exp(-pt / 40.0),
        "chEmEF": np.where(
            abs_eta < 2.5,
            1.0 - heavy * (1.0 - np.exp(-pt / 50.0)) * np.where(jets["from_pileup"], 0.3, 1.0),
            1.0,
        ),
    }[name]
    return chance(rng, probability, jets.n_objects)


def _soft_muons(rng: np.random.Generator, jets: Collection) -> Floats:
    """Share of muons too soft to be stored as such, mostly of heavy flavour."""
    rate = np.select(
        [jets["hadron"] == 5, jets["hadron"] == 4, jets["from_pileup"]], [0.06, 0.05, 0.045], 0.022
    )
    present = chance(rng, rate * (np.abs(jets["eta"]) < 2.5), jets.n_objects)
    return np.where(present, rng.uniform(1.0, 3.5, jets.n_objects) / jets["pt"], 0.0)


def _constituents(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Ints:
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    hadronic = np.clip(1.0 - jets["electron"] - jets["photon"] - jets["muon"], 0.0, 1.0)
    flavour = np.select([jets["partonFlavour"] == 21, jets["hadron"] == 5], [1.2, 1.15], 0.95)
    own = (3.5 + 4.2 * np.log(np.maximum(pt * hadronic, 1.0) / 8.0).clip(0.0)) * flavour
    own = own * np.exp(0.18 * jets["fragmentation"]) * (0.3 + 0.7 * hadronic)
    pileup = 0.36 * event.rho[jets.event_index]
    region = np.interp(abs_eta, [2.4, 2.9, 3.1], [1.0, 0.78, 0.92])
    drawn = rng.poisson(np.maximum((own + pileup) * region, 0.2))
    present = sum(
        (jets[name] > 0).astype(np.int64) for name in ("chHEF", "neHEF", "neEmEF", "chEmEF", "muEF")
    )
    return np.asarray(np.clip(np.maximum(drawn, present), 1, 255), dtype=np.int64)


def _pileup_fraction(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Floats:
    """Energy of charged particles of other vertices, taken out of the jet, relative to the jet."""
    tracked = np.interp(np.abs(jets["eta"]), [2.1, 2.45, 2.75, 2.95], [1.0, 0.40, 0.12, 0.0])
    density = 0.75 * event.rho_charged[jets.event_index] * jets["area"]
    energy = gamma_about(rng, density * np.where(jets["from_pileup"], 1.7, 1.0), 1.15 * np.sqrt(density))
    lost = event.wrong_vertex[jets.event_index] & ~jets["from_pileup"]
    ratio = energy / (jets["pt"] * (1.0 - jets["rawFactor"]))
    ratio = ratio + np.where(lost, rng.uniform(0.2, 1.0, jets.n_objects), 0.0)
    none = chance(rng, np.clip(2.6 * (0.34 - tracked), 0.0, 1.0), jets.n_objects)
    return np.where(none, 0.0, np.minimum(ratio * tracked, 1.5))


def _muon_subtracted(rng: np.random.Generator, jets: Collection) -> Floats:
    """1 - (muon-subtracted raw pt)/(raw pt): the muons' share up to angles, rounding noise without muons."""
    n = jets.n_objects
    stored = (jets["muEF"] > 0.0) & (jets["muon"] > 0.0)
    angles = 1.008 + 0.010 * rng.normal(size=n)
    angles = angles + np.where(chance(rng, 0.09, n), 0.3 * rng.exponential(size=n), 0.0)
    share = np.clip(jets["muEF"] * angles, 0.0, 0.995)
    # two components of momentum are rounded
    noise = rng.triangular(-5.8e-8, 0.0, 5.8e-8, n)
    return np.where(stored, share, noise)


def _forward_shapes(rng: np.random.Generator, jets: Collection) -> dict[str, Floats | Ints]:
    """Shower shapes in the forward calorimeter; -1 where no tower is above threshold."""
    n = jets.n_objects
    abs_eta, pt = np.abs(jets["eta"]), jets["pt"]
    inside = np.interp(abs_eta, [2.9, 3.2, 4.2, 5.2], [0.0, 1.0, 0.9, 0.3])
    seen = chance(rng, inside * (1.0 - np.exp(-pt / 50.0)) * np.where(jets["from_pileup"], 0.6, 1.0), n)
    width = np.clip(0.062 + 0.024 * rng.normal(size=n), 0.0, 0.2)
    narrow = chance(rng, 0.15, n)
    eta_width = np.where(narrow, 0.015 * rng.random(n), width)
    phi_width = np.where(narrow, 0.015 * rng.random(n), np.clip(width * rng.normal(1.05, 0.3, n), 0.0, 0.25))
    central = np.where(seen, rng.binomial(2, 0.45, n), 0)
    return {
        "hfsigmaEtaEta": np.where(seen, eta_width, -1.0),
        "hfsigmaPhiPhi": np.where(seen, phi_width, -1.0),
        "hfcentralEtaStripSize": central,
        "hfadjacentEtaStripsSize": np.where(seen, rng.poisson(0.03, n), 0),
    }
