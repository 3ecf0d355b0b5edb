"""Isolation and identification of the reference detector's electrons.

What surrounds an electron is taken from the reconstructed jet around it, so isolations and the jet's content
tell one story; pileup is subtracted on average only. Cuts are those of `electron_id`; discriminators are
chosen to resemble the stored ones.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.egamma import STORED_ABOVE, in_barrel
from flashsim_prod.physics.definitions.electrons import TRACK_ETA, TRACK_PHI, electron_flags, track_class
from flashsim_prod.physics.definitions.jet_surroundings import around, lepton_aware_pt
from flashsim_prod.physics.detector.draws import Bools, Floats, chance, gamma_about, sigmoid, whole_particles
from flashsim_prod.physics.detector.electrons import FROM_JET, FROM_PHOTON, radiated
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.events import Collection, Column

#: mean energy of one particle near an electron or photon [GeV]
PARTICLE = 1.6
#: tanh of more than this is one in float32
_LARGEST_SCORE = 9.0


def with_isolation(
    rng: np.random.Generator, electrons: Collection, jets: Collection, event: EventLatents
) -> Collection:
    """`electrons` with isPFcand, all isolations and the variables of the jet around them."""
    jet = around(electrons, jets)
    electrons = electrons.with_columns(isPFcand=_in_particle_flow(rng, electrons, jet))
    rho = event.rho[electrons.event_index]
    electrons = electrons.with_columns(**_particle_flow(rng, electrons, jet, rho))
    electrons = electrons.with_columns(**_detector_based(rng, electrons, rho))
    return electrons.with_columns(**_jet_variables(rng, electrons, jet))


def with_identification(rng: np.random.Generator, electrons: Collection, event: EventLatents) -> Collection:
    """`electrons` with discriminators and all identification flags."""
    rho = event.rho[electrons.event_index]
    electrons = electrons.with_columns(**_hidden_cuts(rng, electrons, rho))
    electrons = electrons.with_columns(**_discriminators(rng, electrons))
    low = electrons["pt"] <= STORED_ABOVE
    masked = {
        name: np.where(low, 0.0, electrons[name]) for name in electrons.columns if name.startswith("dr03")
    }
    electrons = electrons.with_columns(**masked)
    return electrons.with_columns(**electron_flags(electrons.columns, rho))


def _in_particle_flow(rng: np.random.Generator, electrons: Collection, jet: dict[str, Column]) -> Bools:
    """In particle flow where the jet around has the electron among its electrons."""
    n = electrons.n_objects
    seen = jet["jet_electron"] > 0.5 * electrons["pt"]
    fake = electrons["source"] >= FROM_JET
    lone = (jet["jet_pt"] == 0) & ~fake & chance(rng, 0.75, n)
    return np.asarray(seen | lone | (fake & chance(rng, 0.35, n)))


def _particle_flow(
    rng: np.random.Generator, electrons: Collection, jet: dict[str, Column], rho: Floats
) -> dict[str, Column]:
    n, pt = electrons.n_objects, electrons["pt"]
    own = np.where(electrons["isPFcand"], 0.0, pt)
    charged = np.where(jet["jet_pt"] > 0, jet["jet_charged"], rng.exponential(1.5, n))
    neutral = np.maximum(jet["jet_photon"] + jet["jet_neutral"] - own, 0.0)
    neutral = np.where(jet["jet_pt"] > 0, neutral, rng.exponential(1.5, n))
    # a few soft particles are spread over the jet's area, a hard jet is a core around its axis
    crowd = np.clip((charged + neutral) / 20.0, 0.0, 1.0)
    core = 1.0 / (1.0 + (jet["jet_dr"] / 0.28) ** 4)
    inside = 0.6 * crowd * core + (1.0 - crowd) * 0.13
    chg03 = whole_particles(rng, 0.9 * charged * inside + 0.02, PARTICLE)
    pileup = np.sqrt(np.maximum(rho, 0.1)) * rng.normal(size=n)
    neu03 = np.maximum(0.8 * neutral * inside * np.exp(0.3 * rng.normal(size=n)) + 0.22 * pileup - 1.3, 0.0)
    cone = np.clip(10.0 / pt, 0.05, 0.2) / 0.3
    chg_mini = chg03 * _share(rng, cone**1.3)
    neu_mini = np.maximum(
        neu03 * cone**1.2 * np.exp(0.3 * rng.normal(size=n)) + 0.05 * rng.normal(size=n) - 0.05, 0.0
    )
    return {
        "pfRelIso03_chg": chg03 / pt,
        "pfRelIso03_all": (chg03 + neu03) / pt,
        "miniPFRelIso_chg": chg_mini / pt,
        "miniPFRelIso_all": (chg_mini + neu_mini) / pt,
    }


def _share(rng: np.random.Generator, mean: Floats) -> Floats:
    """Share of a few particles that a narrower cone keeps: often all or none of them."""
    draw = rng.random(len(mean))
    none, every = (1.0 - mean) ** 1.4, mean**1.4
    between = (draw - none) / np.maximum(1.0 - none - every, 1e-6)
    return np.clip(np.where(draw < none, 0.0, np.where(draw > 1.0 - every, 1.0, between)), 0.0, 1.0)


def _detector_based(rng: np.random.Generator, electrons: Collection, rho: Floats) -> dict[str, Column]:
    """Sums of tracks and towers, as if they were stored for all electrons."""
    n, pt = electrons.n_objects, electrons["pt"].astype(np.float64)
    charged = electrons["pfRelIso03_chg"] * pt
    neutral = electrons["pfRelIso03_all"] * pt - charged
    track = charged * np.exp(0.10 * rng.normal(size=n))
    extra = np.where(chance(rng, 0.04, n), rng.exponential(1.5, n), 0.0)
    ecal = gamma_about(rng, 0.4 + 0.045 * rho + 0.6 * neutral, 0.8 + 0.02 * rho + 0.2 * neutral)
    hcal = np.maximum(0.3 + 0.045 * rho + 0.25 * charged + (0.8 + 0.02 * rho) * rng.normal(size=n) - 0.9, 0.0)
    return {
        "dr03TkSumPt": track,
        "dr03TkSumPtHEEP": track + extra,
        "dr03EcalRecHitSumEt": np.where(ecal < 0.3, 0.0, ecal),
        "dr03HcalDepth1TowerSumEt": hcal,
    }


def _jet_variables(
    rng: np.random.Generator, electrons: Collection, jet: dict[str, Column]
) -> dict[str, Column]:
    """jetRelIso, jetPtRelv2 and jetNDauCharged."""
    n, pt = electrons.n_objects, electrons["pt"].astype(np.float64)
    inside = jet["jet_pt"] > 0
    whole = lepton_aware_pt(pt, jet["jet_pt"], jet["jet_raw"])
    relative = whole / pt * (0.985 + 0.02 * rng.normal(size=n)) - 1.0
    lone = electrons["pfRelIso03_all"] * (1.2 + 0.2 * rng.normal(size=n).clip(-2.0, 2.0))
    rest = np.maximum(whole - pt, 0.03 * pt)
    angle = jet["jet_dr"] * (1.0 + pt / rest)
    angle = np.minimum(angle * np.exp(0.2 * rng.normal(size=n)), 0.5 * np.sqrt(rng.random(n)) + 0.02)
    around_it = rng.poisson(np.clip(0.75 * np.sqrt(np.maximum(jet["jet_charged"] - 2.5, 0.0)), 0.0, 12.0))
    return {
        "jetRelIso": np.where(inside, relative, lone),
        "jetPtRelv2": np.where(inside, pt * np.sin(angle), 0.0),
        "jetNDauCharged": np.where(inside, around_it + electrons["isPFcand"], 0),
    }


def _hidden_cuts(rng: np.random.Generator, electrons: Collection, rho: Floats) -> dict[str, Column]:
    """Cuts on what is not stored: the match of track and cluster, and four of the high-energy bits."""
    n, pt = electrons.n_objects, electrons["pt"]
    cluster_eta = electrons["eta"] + electrons["deltaEtaSC"]
    barrel, lost = in_barrel(cluster_eta), radiated(electrons["brem"], electrons["eta"])
    fake = electrons["source"] >= FROM_JET
    poor = np.logaddexp(0.0, electrons["shower"] - 0.8) + 0.5 * np.logaddexp(0.0, -electrons["track"] - 0.8)
    spread = np.exp(0.45 * poor + 1.0 * fake)
    d_eta = np.where(barrel, 0.0008, 0.0016) * (1.0 + 4.0 / pt) * spread * np.abs(rng.normal(size=n))
    d_phi = (0.004 + 0.04 * lost**2 + 0.08 / pt) * spread * np.abs(rng.normal(size=n))
    calo = electrons["dr03EcalRecHitSumEt"] + electrons["dr03HcalDepth1TowerSumEt"]
    return {
        "trackEta": track_class(d_eta, barrel, TRACK_ETA),
        "trackPhi": track_class(d_phi, barrel, TRACK_PHI),
        "heepShape": ~barrel | (poor + 0.4 * rng.normal(size=n) < 2.0),
        "heepCaloIso": calo < 2.2 + 0.03 * pt + 0.28 * rho,
        "ecalDriven": chance(rng, sigmoid(4.5 - 8.0 / pt - 1.8 * fake), n),
    }


def _discriminators(rng: np.random.Generator, electrons: Collection) -> dict[str, Column]:
    n, pt = electrons.n_objects, electrons["pt"].astype(np.float64)
    cluster_eta = electrons["eta"] + electrons["deltaEtaSC"]
    lost = radiated(electrons["brem"], electrons["eta"])
    fake, converted = electrons["source"] >= FROM_JET, electrons["source"] == FROM_PHOTON
    poor = np.logaddexp(0.0, 1.5 * (electrons["shower"] - 0.3)) / 1.5
    rough = np.logaddexp(0.0, 1.5 * (-electrons["track"] - 0.6)) / 1.5
    leaked = np.log1p(electrons["hoe"] / 0.02)
    raw = 9.2 - 1.6 * ~in_barrel(cluster_eta) - 1.5 * poor - 1.3 * rough - 1.0 * leaked - 1.5 * lost
    raw = raw - 22.0 / (pt + 2.0) - 3.4 * fake - 1.3 * converted - 0.9 * np.minimum(electrons["lostHits"], 3)
    raw = raw + 0.9 * rng.normal(size=n)
    isolation = np.minimum(electrons["pfRelIso03_all"], 2.0)
    isolated = raw + 0.5 - 3.0 * isolation**0.7 + 0.35 * rng.normal(size=n)
    limit = _LARGEST_SCORE
    return {
        "mvaFall17V2noIso": np.tanh(raw.clip(-limit, limit)),
        "mvaFall17V2Iso": np.tanh(isolated.clip(-limit, limit)),
        "mvaTTH": _prompt_mva(rng, electrons, raw),
    }


def _prompt_mva(rng: np.random.Generator, electrons: Collection, raw: Floats) -> Floats:
    """Discriminator of prompt electrons, from isolation, impact parameter and identification; in (-1, 1)."""
    isolation = np.minimum(electrons["miniPFRelIso_all"], 2.0)
    jet = np.clip(electrons["jetRelIso"], 0.0, 4.0)
    impact = np.log1p(np.minimum(electrons["sip3d"], 200.0))
    logit = 3.8 - 4.3 * np.sqrt(isolation) - 2.2 * np.sqrt(jet) - 1.0 * impact
    logit = logit + 0.40 * (raw.clip(-4.0, 7.0) - 5.0) + 0.5 * rng.normal(size=len(raw))
    # trees saturate: the score crowds towards its ends instead of reaching them
    logit = np.where(logit < -5.0, -5.0 - 1.3 * np.log1p((-5.0 - logit).clip(0.0) / 1.3), logit)
    return np.clip(2.0 * sigmoid(logit) - 1.0, -0.9996, 0.99)
