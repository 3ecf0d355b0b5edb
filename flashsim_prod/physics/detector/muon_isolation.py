"""Isolation of the reference detector's muons.

What surrounds a muon is drawn once, in GeV, and shared by all isolation variables: particles of the jet
it sits in, the underlying event, and pileup, which neutral sums can only subtract on average (the delta-beta
correction of MUO-16-001, arXiv:1804.04528). All numbers were adjusted by eye to public simulated events.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.jets_muons import count_below
from flashsim_prod.physics.detector.draws import Floats, Ints, chance, whole_particles
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.muon_tracks import FROM_JET, FROM_PILEUP
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection

#: mean energy of one particle near a muon [GeV]
_PARTICLE = 1.6
_PUPPI_ISOLATION = (0.25, 0.15, 0.10)


def with_isolation(
    rng: np.random.Generator, muons: Collection, jets: Collection, truth: Truth, event: EventLatents
) -> Collection:
    """`muons` with relative isolations, puppiIsoId and the variables of the jet around."""
    muons = muons.with_columns(**_relative_isolation(rng, muons, truth, event))
    puppi = count_below(muons["puppiRelIso"], _PUPPI_ISOLATION)
    return muons.with_columns(**_jet_variables(rng, muons, jets), puppiIsoId=puppi)


def _surroundings(rng: np.random.Generator, muons: Collection, truth: Truth) -> tuple[Floats, Floats]:
    """Energy of the jet around each muon without muons [GeV], and the muon's distance to its axis.

    Where the muon itself makes the jet, the rest is spread over the jet's area: its distance is large.
    """
    n = muons.n_objects
    pt, jets = muons["pt"].astype(np.float64), truth.gen_jets
    unseen = np.where(np.isin(muons["origin"], (3, 4, 5)), rng.exponential(3.5, n), rng.exponential(0.7, n))
    unseen = np.where(muons["source"] == FROM_PILEUP, rng.exponential(4.0, n), unseen)
    inside = muons["gen_jet"] >= 0
    if not inside.any():
        return unseen, np.full(n, 0.25)
    jet = np.where(inside, muons["gen_jet"], 0)
    energy = np.where(inside, jets["pt"][jet] * (1.0 - jets["muon_fraction"][jet]), unseen)
    taken = np.where(muons["source"] == FROM_JET, np.minimum(pt, 0.9 * energy), 0.0)
    energy = np.maximum(energy - taken, 0.0)
    axis = np.hypot(muons["eta"] - jets["eta"][jet], links.delta_phi(muons["phi"], jets["phi"][jet]))
    # the muon pulls the jet's axis towards itself: distance to the axis of the rest
    axis = axis * (1.0 + pt / np.maximum(energy, 0.5))
    scattered = 0.4 * np.sqrt(rng.random(n))
    return energy, np.where(inside, np.where(energy < 0.5 * pt, scattered, np.minimum(axis, 0.42)), 0.25)


def _relative_isolation(
    rng: np.random.Generator, muons: Collection, truth: Truth, event: EventLatents
) -> dict[str, Floats]:
    n = muons.n_objects
    pt = muons["pt"].astype(np.float64)
    energy, distance = _surroundings(rng, muons, truth)
    energy = energy * np.exp(0.15 * rng.normal(size=n))
    charged_share = np.clip(0.54 + 0.14 * rng.normal(size=n), 0.0, 1.0)
    charged, neutral = energy * charged_share, energy * (1.0 - charged_share)
    mini_cone = np.clip(10.0 / pt, 0.05, 0.2)
    crowd = np.clip(energy / 15.0, 0.0, 1.0)
    in_04, in_03, in_mini = (_containment(rng, distance, cone, crowd) for cone in (0.4, 0.3, mini_cone))
    # nested cones: the wider sees what the narrower sees, and more
    chg_mini = whole_particles(rng, charged * in_mini, _PARTICLE)
    chg03 = chg_mini + whole_particles(rng, charged * np.maximum(in_03 - in_mini, 0.0) + 0.20, _PARTICLE)
    chg04 = chg03 + whole_particles(rng, charged * np.maximum(in_04 - in_03, 0.0) + 0.15, _PARTICLE)
    pileup = np.sqrt(np.maximum(event.rho[muons.event_index], 0.1)) * rng.normal(size=n)
    neu_mini = np.maximum(neutral * in_mini * 0.8 + 0.5 * mini_cone * pileup - 0.10, 0.0)
    neu03 = np.maximum(neutral * in_03 * 0.85 + 0.20 * pileup - 0.35, 0.0)
    wider = 0.33 * pileup + 0.20 * np.sqrt(event.rho[muons.event_index]) * rng.normal(size=n)
    neu04 = np.maximum(neutral * in_04 * 0.9 + wider - 0.35, neu03 * 0.8)
    track = chg03 * np.exp(0.08 * rng.normal(size=n)) + np.where(
        chance(rng, 0.10, n), rng.exponential(1.0, n), 0.0
    )
    return {
        "pfRelIso03_chg": chg03 / pt,
        "pfRelIso03_all": (chg03 + neu03) / pt,
        "pfRelIso04_all": np.maximum(chg04 + neu04, chg03 + neu03) / pt,
        "miniPFRelIso_chg": chg_mini / pt,
        "miniPFRelIso_all": (chg_mini + neu_mini) / pt,
        "tkRelIso": track / pt,
        "puppiRelIso": 1.25 * (chg04 + 0.5 * neu04) / pt,
    }


def _containment(rng: np.random.Generator, distance: Floats, cone: float | Floats, crowd: Floats) -> Floats:
    """Share of the energy around a muon that lies within a cone.

    A hard jet is a core around its axis at `distance` from the muon; a few soft particles (`crowd` near
    zero) are spread over the area of radius 0.4.
    """
    cone = np.asarray(cone)
    core = 1.0 / (1.0 + (distance / (0.95 * cone)) ** 4)
    spread = (cone / 0.4) ** 2
    share = crowd * core + (1.0 - crowd) * spread
    return np.clip(share * np.exp(0.10 * rng.normal(size=len(distance))), 0.0, 1.0)


def _jet_variables(rng: np.random.Generator, muons: Collection, jets: Collection) -> dict[str, Floats | Ints]:
    """jetRelIso, jetPtRelv2 and jetNDauCharged from the reconstructed jet that holds the muon."""
    n = muons.n_objects
    pt = muons["pt"].astype(np.float64)
    position = links.lepton_jet(muons, jets, muons["isPFcand"].astype(bool))
    inside = position >= 0
    alone = {
        "jetRelIso": muons["pfRelIso04_all"].copy(),
        "jetPtRelv2": np.zeros(n),
        "jetNDauCharged": np.zeros(n),
    }
    if not inside.any():
        return alone
    jet = np.where(inside, position, 0)
    # the jet without the muon, which the calibration of hadrons must not touch; pileup is subtracted from it
    # on average only, so little can come out as less than nothing
    rest = jets["pt"][jet] * (1.0 - jets["muon"][jet]) * (1.0 + 0.05 * rng.normal(size=n))
    rest = np.maximum(rest + (0.045 + 0.05 * rng.normal(size=n)) * pt, -0.05 * pt)
    axis = np.hypot(muons["eta"] - jets["eta"][jet], links.delta_phi(muons["phi"], jets["phi"][jet]))
    angle = np.minimum(axis * (1.0 + pt / np.maximum(rest, 0.5)), 0.4 * np.sqrt(rng.random(n)) + 0.02)
    charged = rng.poisson(
        np.clip(0.60 * np.sqrt(np.maximum(rest - 0.1 * pt, 0.0)), 0.2, 12.0) * (jets["chHEF"][jet] > 0)
    )
    found = {"jetRelIso": rest / pt, "jetPtRelv2": pt * np.sin(angle), "jetNDauCharged": 1 + charged}
    return {name: np.where(inside, value, alone[name]) for name, value in found.items()}
