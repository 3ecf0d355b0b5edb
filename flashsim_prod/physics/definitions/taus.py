"""What taus are found in and linked to, and their attributes that follow from others, as NanoAOD has them.

Every rule here reproduces the column of centrally produced files from the other columns of the same file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.links import Bools, Floats, Positions
from flashsim_prod.physics.events import Collection, Column, Events, of_collections

F64 = NDArray[np.float64]

#: working points of DeepTau 2017v2p1 (TAU-20-001, arXiv:2201.08458), each one bit, the loosest first
WORKING_POINTS = {
    "jet": (0.2599605, 0.4249705, 0.5983682, 0.7848675, 0.8834768, 0.9308689, 0.9573137, 0.9733927),
    "e": (0.0630386, 0.1686942, 0.3628130, 0.6815435, 0.8847544, 0.9675541, 0.9859251, 0.9928449),
    "mu": (0.1058354, 0.2158633, 0.5551894, 0.8754835),
}
#: decay modes of the older reconstruction: one charged hadron with up to two pi0s, or three
_OLD_DECAY_MODES = (0, 1, 2, 10)
#: share of the charged pileup energy taken for neutral pileup
_PILEUP_SHARE = 0.2

#: decay modes and, for all but the single track, centre and scale of the mass [GeV] that `decay_code` uses
_MODES = np.array([0, 1, 2, 5, 6, 10, 11])
_CENTRE = np.array([0.0, 0.77, 1.00, 0.65, 1.15, 1.13, 1.30])
_SCALE = np.array([1.0, 0.14, 0.15, 0.12, 0.17, 0.11, 0.11])
_PION_MASS = 0.13957
_LARGEST_LOGIT = 12.0
#: the leading track of a single-track tau without photons has all of its pt, or, by rounding, this much
ROUNDED_SHARE = 0.99951


def deep_tau_bits(
    score: NDArray[np.floating], against: str, points: Mapping[str, tuple[float, ...]] = WORKING_POINTS
) -> NDArray[np.uint8]:
    """Bit mask of the working points that `score` passes, `against` ``jet``, ``e`` or ``mu``."""
    passed = np.searchsorted(np.array(points[against], np.float32), score.astype(np.float32))
    return ((1 << passed.astype(np.int64)) - 1).astype(np.uint8)


def raw_isolation(charged: F64, neutral: F64, pileup: F64) -> F64:
    """``rawIso`` [GeV]: charged isolation and what is neutral beyond pileup."""
    return np.asarray(charged + neutral_excess(neutral, pileup))


def neutral_excess(neutral: F64, pileup: F64) -> F64:
    """Neutral isolation beyond what pileup is expected to give [GeV]."""
    return np.asarray(np.maximum(neutral - _PILEUP_SHARE * pileup, 0.0))


def tau_flags(
    taus: Mapping[str, Column], points: Mapping[str, tuple[float, ...]] = WORKING_POINTS
) -> dict[str, Column]:
    """Working points of DeepTau and the old decay modes, from the columns of Tau."""
    bits: dict[str, Column] = {
        f"idDeepTau2017v2p1VS{name}": deep_tau_bits(taus[f"rawDeepTau2017v2p1VS{name}"], name, points)
        for name in points
    }
    return bits | {"idDecayModeOldDMs": np.isin(taus["decayMode"], _OLD_DECAY_MODES)}


def decay_code(mode: NDArray[np.integer], mass: F64, lead: F64) -> F64:
    """Decay mode and mass as one number that is distributed without holes, but for the single track.

    The integer part tells the mode, the fraction is a logistic function of the mass. A single track
    always has the mass of the pion; its fraction tells by what rounding `lead` is below one.
    """
    place = np.minimum(np.searchsorted(_MODES, mode), len(_MODES) - 1)
    logit = np.clip((mass - _CENTRE[place]) / _SCALE[place], -_LARGEST_LOGIT, _LARGEST_LOGIT)
    rounded = np.where(lead > 0.5 * (1.0 + ROUNDED_SHARE), 0.25, 0.75)
    return np.asarray(place + np.where(place == 0, rounded, 1.0 / (1.0 + np.exp(-logit))))


def decay_of_code(code: F64) -> tuple[NDArray[np.int64], F64, F64]:
    """Decay mode, mass [GeV] and the share of a single track without photons; undoes `decay_code`."""
    place = np.clip(np.floor(code), 0, len(_MODES) - 1).astype(np.int64)
    edge = 1.0 / (1.0 + np.exp(_LARGEST_LOGIT))
    fraction = np.clip(code - place, edge, 1.0 - edge)
    mass = _CENTRE[place] + _SCALE[place] * np.log(fraction / (1.0 - fraction))
    mass = np.where(place == 0, _PION_MASS, np.maximum(mass, 2.0 * _PION_MASS))
    return _MODES[place], mass, np.where(fraction < 0.5, 1.0, ROUNDED_SHARE)


#: how far the truth may be from a tau or its jet
_MAX_DR = 0.3


#: a lepton with less of the jet's pt is part of a hadronic jet
_LEPTON_SHARE = 0.5


#: what a jet that may be taken for a tau is, in the column ``kind`` of `tau_seeds`
HADRONS, ELECTRON, MUON, TAU = 0, 1, 2, 5
#: share of the pt that the tau candidate of a hadronic jet has, roughly
_HADRONIC_SHARE = 0.65


@of_collections("Jet", "GenPart", "GenVisTau")
def tau_seeds(events: Events) -> Collection:
    """The jets of `events` with what a tau candidate in them would come of.

    Columns added: ``kind``; ``vis_tau`` (flat position in GenVisTau) and ``gen_mode`` (its decay mode), -1
    without a generated hadronic tau; and of the tau, the electron or muon that carries most of the pt, or
    else the jet: ``expected_pt`` [GeV], ``axis_eta``, ``axis_phi``, ``true_charge`` (1 for a jet).
    """
    jets, parts, vis_taus = events["Jet"], events["GenPart"], events["GenVisTau"]
    vis_tau = links.match_by_distance(*links.close_pairs(jets, vis_taus, _MAX_DR), jets.n_objects)
    lepton = np.where(vis_tau >= 0, -1, _hardest_lepton(jets, parts))
    pdg_id = links.linked_value(parts["pdgId"], lepton, 0)
    columns: dict[str, Column] = {
        "kind": np.select([vis_tau >= 0, lepton < 0], [TAU, HADRONS], np.where(abs(pdg_id) == 11, 1, 2)),
        "vis_tau": vis_tau,
        "gen_mode": links.linked_value(vis_taus["status"], vis_tau, -1),
        "expected_pt": _HADRONIC_SHARE * jets["pt"].astype(np.float64),
        "axis_eta": jets["eta"].astype(np.float64),
        "axis_phi": jets["phi"].astype(np.float64),
        "true_charge": np.where(vis_tau >= 0, links.linked_value(vis_taus["charge"], vis_tau, 1), 1),
    }
    columns["true_charge"] = np.where(lepton >= 0, -np.sign(pdg_id), columns["true_charge"])
    for truth, position in ((vis_taus, vis_tau), (parts, lepton)):
        found = position >= 0
        for column, name in (("expected_pt", "pt"), ("axis_eta", "eta"), ("axis_phi", "phi")):
            columns[column][found] = truth[name][position[found]]
    return jets.with_columns(**columns)


def _hardest_lepton(jets: Collection, parts: Collection) -> Positions:
    """The hardest electron or muon within 0.3 that has most of the jet's pt; -1 without."""
    stable = _is_lepton(parts) & (parts["status"] == 1)
    where, leptons = np.flatnonzero(stable), parts.select(stable)
    of_jet, of_lepton, _ = links.close_pairs(jets, leptons, _MAX_DR)
    hard = leptons["pt"][of_lepton] > _LEPTON_SHARE * jets["pt"][of_jet]
    of_jet, of_lepton = of_jet[hard], of_lepton[hard]
    hardest = np.full(jets.n_objects, -1, np.int64)
    # written in the order of pt, the hardest stays
    order = np.argsort(leptons["pt"][of_lepton], kind="stable")
    hardest[of_jet[order]] = where[of_lepton[order]]
    return hardest


def with_tau_jets(taus: Collection, jets: Collection) -> Collection:
    """Taus with jetIdx: the jet within 0.4, one-to-one, the nearest first."""
    jet = links.match_by_distance(*links.close_pairs(taus, jets, 0.4), taus.n_objects)
    return taus.with_columns(jetIdx=links.local(jet, jets))


def with_gen_taus(taus: Collection, events: Events) -> Collection:
    """Taus with genPartIdx and genPartFlav, and the cleaning that keeps all of them.

    An electron or muon within 0.3 and half its pt comes first (flavour 1 and 2 if prompt, 3 and 4 from a
    prompt tau, 0 otherwise), then a hadronic tau within 0.3 and its own pt (5), whose position in
    GenVisTau is noted.
    """
    parts, vis_taus = events["GenPart"], events["GenVisTau"]
    lepton = _match(taus, parts, _is_lepton(parts), 0.5)
    hadronic = _match(taus, vis_taus, np.ones(vis_taus.n_objects, bool), 1.0)
    hadronic = np.where(lepton >= 0, -1, hadronic)
    muon = links.linked_value(np.abs(parts["pdgId"].astype(np.int64)), lepton, 0) == 13
    flags = links.linked_value(parts["statusFlags"].astype(np.int64), lepton, 0)
    prompt, of_tau = (flags & links.IS_PROMPT) > 0, (flags & links.IS_DIRECT_PROMPT_TAU_DECAY) > 0
    index = np.where(hadronic >= 0, links.local(hadronic, vis_taus), links.local(lepton, parts))
    return taus.with_columns(
        genPartIdx=index.astype(np.int32),
        genPartFlav=np.select([prompt, of_tau, hadronic >= 0], [1 + muon, 3 + muon, 5], 0).astype(np.uint8),
        cleanmask=np.ones(taus.n_objects, np.uint8),
    )


def _is_lepton(parts: Collection) -> Bools:
    return np.isin(np.abs(parts["pdgId"].astype(np.int64)), (11, 13))


def _match(taus: Collection, truth: Collection, eligible: Bools, max_relative_pt: float) -> Positions:
    where, candidates = np.flatnonzero(eligible), truth.select(eligible)
    of_tau, of_truth, distance = links.close_pairs(taus, candidates, _MAX_DR)
    gen_pt: Floats = candidates["pt"][of_truth].astype(np.float64)
    alike = np.abs(taus["pt"][of_tau] - gen_pt) < max_relative_pt * gen_pt
    matched = links.match_by_distance(of_tau[alike], of_truth[alike], distance[alike], taus.n_objects)
    return links.linked_value(where, matched, -1)
