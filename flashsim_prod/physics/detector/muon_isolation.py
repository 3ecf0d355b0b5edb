"""Isolation of the reference detector's muons.

What surrounds a muon is drawn once, in GeV, and shared by all isolation variables: particles of the jet
it sits in, the underlying event, and pileup, which neutral sums can only subtract on average (delta-beta
and effective-area corrections, MUO-16-001).
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics import links
from flashsim_prod.physics.detector.draws import Floats, chance
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.muon_tracks import FROM_JET, FROM_PILEUP
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection


def with_isolation(
    rng: np.random.Generator, muons: Collection, jets: Collection, truth: Truth, event: EventLatents
) -> Collection:
    """`muons` with relative isolations, their identification bits and the variables of the jet around."""
    muons = muons.with_columns(**_relative_isolation(rng, muons, truth, event))
    muons = muons.with_columns(**_jet_variables(rng, muons, jets))
    return muons.with_columns(**_isolation_ids(muons))


def _surroundings(rng: np.random.Generator, muons: Collection, truth: Truth) -> tuple[Floats, Floats]:
    """Energy of the jet around each muon without muons [GeV], and the muon's distance to its axis."""
    n = muons.n_objects
    inside = muons["gen_jet"] >= 0
    jet = np.where(inside, muons["gen_jet"], 0)
    unseen = np.where(np.isin(muons["origin"], (3, 4, 5)), rng.exponential(3.5, n), 0.0)
    unseen = np.where(muons["source"] == FROM_PILEUP, rng.exponential(4.0, n) * (rng.random(n) < 0.6), unseen)
    if not truth.gen_jets.n_objects:
        return unseen, np.full(n, 0.1)
    jets = truth.gen_jets
    energy = np.where(inside, jets["pt"][jet] * (1.0 - jets["muon_fraction"][jet]), unseen)
    energy = energy - np.where(muons["source"] == FROM_JET, np.minimum(muons["pt"], 0.9 * energy), 0.0)
    d_phi = links.delta_phi(muons["phi"], jets["phi"][jet])
    distance = np.where(inside, np.hypot(muons["eta"] - jets["eta"][jet], d_phi), 0.1)
    return np.maximum(energy, 0.0), distance


def _relative_isolation(
    rng: np.random.Generator, muons: Collection, truth: Truth, event: EventLatents
) -> dict[str, Floats]:
    n = muons.n_objects
    pt = muons["pt"]
    energy, distance = _surroundings(rng, muons, truth)
    charged_share = np.clip(0.60 + 0.13 * rng.normal(size=n), 0.0, 1.0)
    mini_cone = np.clip(10.0 / pt, 0.05, 0.2)
    within = {cone: _containment(rng, distance, cone) for cone in (0.3, 0.4)}
    within["mini"] = _containment(rng, distance, mini_cone)
    within[0.4] = np.maximum(within[0.4], within[0.3])
    within["mini"] = np.minimum(within["mini"], within[0.3])
    underlying = np.where(chance(rng, 0.40, n), rng.exponential(0.9, n), 0.0)
    neutral_noise = 0.33 * np.sqrt(event.rho[muons.event_index]) * rng.normal(size=n) + 0.1
    charged, neutral = energy * charged_share, energy * (1.0 - charged_share)
    mini_share = np.where(rng.random(n) < (mini_cone / 0.3) ** 2, 1.0, 0.0)
    wider = np.where(chance(rng, 0.22, n), rng.exponential(0.8, n), 0.0)
    chg03 = _seen(charged * within[0.3]) + underlying
    chg_mini = np.minimum(_seen(charged * within["mini"]) + underlying * mini_share, chg03)
    chg04 = np.maximum(_seen(charged * within[0.4]) + underlying + wider, chg03)
    neu03 = np.maximum(neutral * within[0.3] + 0.8 * neutral_noise, 0.0)
    extra = np.abs(0.6 * neutral_noise + 0.25 * rng.normal(size=n) * np.sqrt(event.rho[muons.event_index]))
    neu04 = np.maximum(neutral * within[0.4] + neutral_noise + 0.5 * extra - 0.4, 0.0)
    neu_mini = np.maximum(neutral * within["mini"] + neutral_noise * (mini_cone / 0.35), 0.0)
    track = chg03 * np.exp(0.08 * rng.normal(size=n)) + np.where(
        chance(rng, 0.12, n), rng.exponential(1.0, n), 0.0
    )
    return {
        "pfRelIso03_chg": chg03 / pt,
        "pfRelIso03_all": (chg03 + neu03) / pt,
        "pfRelIso04_all": (chg04 + neu04) / pt,
        "miniPFRelIso_chg": chg_mini / pt,
        "miniPFRelIso_all": (chg_mini + neu_mini) / pt,
        "tkRelIso": track / pt,
        "puppiRelIso": (chg04 + 0.5 * neu04) / pt,
    }


def _containment(rng: np.random.Generator, distance: Floats, cone: float | Floats) -> Floats:
    """Share of a jet's energy in a cone around a muon at some distance from the jet's axis."""
    core = np.clip(1.15 - (distance / np.asarray(cone)) ** 2 * 0.5, 0.05, 1.0)
    return np.clip(core * np.exp(0.12 * rng.normal(size=len(distance))), 0.0, 1.0)


def _seen(energy: Floats) -> Floats:
    """Charged particles below half a GeV do not count."""
    return np.where(energy > 0.5, energy, 0.0)


def _jet_variables(rng: np.random.Generator, muons: Collection, jets: Collection) -> dict[str, Floats]:
    """jetRelIso, jetPtRelv2 and jetNDauCharged from the reconstructed jet that holds the muon."""
    n = muons.n_objects
    position = links.lepton_jet(muons, jets, muons["isPFcand"].astype(bool))
    inside = position >= 0
    if not jets.n_objects:
        return {
            "jetRelIso": muons["pfRelIso04_all"].copy(),
            "jetPtRelv2": np.zeros(n),
            "jetNDauCharged": np.zeros(n),
        }
    jet = np.where(inside, position, 0)
    pt = muons["pt"]
    rest = np.maximum(jets["pt"][jet] * (1.0 - jets["muEF"][jet]) * (1.0 + 0.05 * rng.normal(size=n)), 0.02)
    # energy left of a muon that is a jet of its own can come out slightly negative
    rest = np.where(rest < 0.06 * pt, rest - 0.03 * pt * rng.random(n), rest)
    d_phi = links.delta_phi(muons["phi"], jets["phi"][jet])
    angle = np.hypot(muons["eta"] - jets["eta"][jet], d_phi) * (1.0 + pt / np.maximum(rest, 0.5))
    rel = pt * np.sin(np.minimum(angle, np.pi / 2))
    charged = rng.poisson(
        np.clip(1.1 * np.sqrt(np.maximum(rest, 0.0)), 0.15, 14.0) * (jets["chHEF"][jet] > 0)
    )
    return {
        "jetRelIso": np.where(inside, rest / pt, muons["pfRelIso04_all"]),
        "jetPtRelv2": np.where(inside, rel, 0.0),
        "jetNDauCharged": np.where(inside, 1 + charged, 0),
    }


def _isolation_ids(muons: Collection) -> dict[str, Floats]:
    """Working points of MUO-16-001, counted from loose to tight."""
    ratio = 1.0 / (1.0 + np.maximum(muons["jetRelIso"], -0.5))
    mini, rel = muons["miniPFRelIso_all"], muons["jetPtRelv2"]
    loose = (mini < 0.20) & ((ratio > 0.69) | (rel > 6.0))
    medium = (mini < 0.16) & ((ratio > 0.76) | (rel > 7.2))
    return {
        "pfIsoId": count_below(muons["pfRelIso04_all"], (0.40, 0.25, 0.20, 0.15, 0.10, 0.05)),
        "tkIsoId": count_below(muons["tkRelIso"], (0.10, 0.05)),
        "miniIsoId": count_below(mini, (0.40, 0.20, 0.10, 0.05)),
        "puppiIsoId": count_below(muons["puppiRelIso"], (0.25, 0.15, 0.10)),
        "multiIsoId": 1 * loose + 1 * (loose & medium),
    }


def count_below(value: Floats, cuts: tuple[float, ...]) -> Floats:
    """How many of the falling thresholds `cuts` each value is below."""
    return np.sum([value < cut for cut in cuts], axis=0)
