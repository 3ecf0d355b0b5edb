"""What jets of the reference detector are made of: energy fractions, constituents, identification.

Average fractions are those of particle flow (CMS PRF-14-001): about 62 % charged hadrons, 25 % photons,
10 % neutral hadrons within the tracker, all calorimetric beyond it.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.detector.draws import Bools, Floats, chance, gamma_about
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.events import Collection

#: end of the tracking acceptance, and where the forward calorimeter begins
_TRACKER_END, _FORWARD_BEGIN = 2.7, 2.98


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


def _tracked_share(abs_eta: Floats) -> Floats:
    """Share of a jet's area with tracking."""
    return np.clip((_TRACKER_END + 0.25 - abs_eta) / 0.5, 0.0, 1.0)


def _fractions(rng: np.random.Generator, jets: Collection, event: EventLatents) -> dict[str, Floats]:
    n = jets.n_objects
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    tracked = _tracked_share(abs_eta)
    wrong = event.wrong_vertex[jets.event_index] & ~jets["from_pileup"]
    # more constituents, smaller fluctuations; the latent makes neutral-rich jets
    strength = (3.0 + 2.2 * np.log(pt / 10.0)) * np.exp(0.25 * jets["fragmentation"])
    pileup_rich = 1.0 + 1.6 * jets["from_pileup"]
    charged = 0.63 * np.clip(tracked, 0.0, 1.0) * np.where(wrong, 0.1, 1.0) / pileup_rich**0.3
    neutral = (0.11 + 0.55 * (1.0 - tracked)) * np.exp(0.35 * jets["shower"]) * pileup_rich
    photon = np.where(abs_eta < _FORWARD_BEGIN, 0.26 + 0.05 * (1.0 - tracked), 0.05)
    parts = {
        "chHEF": rng.gamma(np.maximum(charged * strength, 1e-3)),
        "neHEF": rng.gamma(np.maximum(neutral * strength, 1e-3)),
        "neEmEF": rng.gamma(np.maximum(photon * strength, 1e-3)),
        # conversions and decays in flight of soft electrons
        "chEmEF": rng.gamma(0.6, 0.08, n) * strength,
    }
    parts = {name: np.where(_absent(rng, jets, name, tracked), 0.0, part) for name, part in parts.items()}
    total = sum(parts.values(), start=np.zeros(n))
    empty = total <= 0.0
    parts["neHEF"] = np.where(empty, 1.0, parts["neHEF"])
    hadronic = np.maximum(1.0 - jets["electron"] - jets["photon"] - jets["muon"], 0.0)
    shares = {name: part / np.where(empty, 1.0, total) * hadronic for name, part in parts.items()}
    shares["chEmEF"] = shares["chEmEF"] + np.where(tracked > 0, jets["electron"], 0.0)
    shares["neEmEF"] = shares["neEmEF"] + jets["photon"] + np.where(tracked > 0, 0.0, jets["electron"])
    shares["muEF"] = np.asarray(jets["muon"])
    norm = sum(shares.values(), start=np.zeros(n))
    return {name: share / norm for name, share in shares.items()}


def _absent(rng: np.random.Generator, jets: Collection, name: str, tracked: Floats) -> Bools:
    """Kinds of particles that a jet lacks altogether."""
    pt, forward = jets["pt"], np.abs(jets["eta"]) > _FORWARD_BEGIN
    central = np.abs(jets["eta"]) < 2.4
    probability = {
        "chHEF": np.where(tracked <= 0.0, 1.0, 0.02 * np.exp(-pt / 40.0)),
        "neHEF": np.where(
            central, np.where(np.abs(jets["eta"]) < 1.3, 0.44, 0.22) * np.exp(-pt / 170.0), 0.03
        )
        * (1.0 - 0.65 * jets["from_pileup"]),
        "neEmEF": np.where(forward, 0.25 * np.exp(-pt / 40.0), 0.05 * np.exp(-pt / 40.0)),
        "chEmEF": np.where(tracked > 0.0, 0.985 - 0.25 * (1 - np.exp(-pt / 80.0)), 1.0),
    }[name]
    return chance(rng, probability, jets.n_objects)


def _constituents(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Floats:
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    hadronic = 1.0 - jets["electron"] - jets["photon"] - jets["muon"]
    flavour = np.select([jets["parton"] == 21, jets["hadron"] == 5], [1.2, 1.2], 0.95)
    own = (3.5 + 4.2 * np.log(np.maximum(pt * hadronic, 1.0) / 8.0).clip(0.0)) * flavour
    own = own * np.exp(0.18 * jets["fragmentation"])
    pileup = 0.25 * event.rho[jets.event_index] * (1.0 + 0.25 * jets["from_pileup"])
    region = np.select([abs_eta > _FORWARD_BEGIN, abs_eta > 2.5], [0.75, 0.9], 1.0)
    mean = (own * np.clip(hadronic + 0.1, 0.1, 1.0) + pileup) * region
    present = sum(
        (jets[name] > 0).astype(np.int64) for name in ("chHEF", "neHEF", "neEmEF", "chEmEF", "muEF")
    )
    return np.clip(np.maximum(rng.poisson(np.maximum(mean, 0.2)), present), 1, 255)


def _pileup_fraction(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Floats:
    """Energy of charged particles of other vertices, taken out of the jet, relative to the jet."""
    tracked = _tracked_share(np.abs(jets["eta"])) * (np.abs(jets["eta"]) < 2.85)
    density = 0.60 * event.rho_charged[jets.event_index] * jets["area"]
    energy = gamma_about(rng, density * (1.0 + 1.3 * jets["from_pileup"]), 1.0 * np.sqrt(density * 1.5))
    lost = event.wrong_vertex[jets.event_index] & ~jets["from_pileup"]
    ratio = energy / (jets["pt"] * (1.0 - jets["rawFactor"])) + np.where(
        lost, rng.uniform(0.2, 1.0, jets.n_objects), 0
    )
    return np.where(tracked > 0.05, np.minimum(ratio * tracked, 1.5), 0.0)


def _muon_subtracted(rng: np.random.Generator, jets: Collection) -> Floats:
    """1 - (muon-subtracted raw pt)/(raw pt): the muons' share up to angles, rounding noise without muons."""
    n = jets.n_objects
    share = np.clip(jets["muEF"] * (1.0 + 0.02 * rng.normal(size=n)), 0.0, 0.995)
    return np.where(jets["muEF"] > 0.0, share, rng.uniform(-5.8e-8, 5.8e-8, n))


def _forward_shapes(rng: np.random.Generator, jets: Collection) -> dict[str, Floats]:
    """Shower shapes in the forward calorimeter; -1 where no tower is above threshold."""
    n = jets.n_objects
    abs_eta, pt = np.abs(jets["eta"]), jets["pt"]
    inside = np.clip((abs_eta - 2.9) / 0.3, 0.0, 1.0) * np.clip((5.2 - abs_eta) / 0.8, 0.3, 1.0)
    seen = chance(rng, inside * (1.0 - np.exp(-pt / 55.0)), n)
    width = np.clip(0.055 + 0.022 * rng.normal(size=n), 0.0, 0.2)
    narrow = chance(rng, 0.15, n)
    eta_width = np.where(narrow, 0.015 * rng.random(n), width)
    phi_width = np.where(narrow, 0.015 * rng.random(n), np.clip(width * rng.normal(1.05, 0.3, n), 0.0, 0.25))
    central = np.where(seen, rng.binomial(2, 0.35, n) * chance(rng, 0.8, n), 0)
    return {
        "hfsigmaEtaEta": np.where(seen, eta_width, -1.0),
        "hfsigmaPhiPhi": np.where(seen, phi_width, -1.0),
        "hfcentralEtaStripSize": central,
        "hfadjacentEtaStripsSize": np.where(seen, rng.poisson(0.03, n), 0),
    }


def jet_id(jets: Collection) -> Floats:
    """Identification bits: 2 tight, 4 tight with lepton veto (Run-2 Ultra-Legacy working points)."""
    abs_eta = np.abs(jets["eta"])
    charged, neutral, photon = jets["chHEF"], jets["neHEF"], jets["neEmEF"]
    within = (neutral < 0.90) & (photon < 0.90) & (jets["nConstituents"] > 1) & (charged > 0)
    edge = (neutral < 0.90) & (photon < 0.99) & (charged > 0)
    endcap = (photon > 0.01) & (photon < 0.99)
    forward = (neutral > 0.20) & (photon < 0.90) & (jets["nConstituents"] > 2)
    tight = np.select([abs_eta <= 2.6, abs_eta <= 2.7, abs_eta <= 3.0], [within, edge, endcap], forward)
    no_lepton = (jets["muEF"] < 0.80) & (jets["chEmEF"] < 0.80) | (abs_eta > 2.7)
    return 2 * tight + 4 * (tight & no_lepton)
