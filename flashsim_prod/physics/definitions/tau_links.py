"""What taus are linked to, and what lies inside the jets that they are found in."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.links import Bools, Floats, Positions
from flashsim_prod.physics.events import Collection, Column, Events

#: how far the truth may be from a tau or its jet
_MAX_DR = 0.3
#: a lepton with less of the jet's pt is part of a hadronic jet
_LEPTON_SHARE = 0.5


#: what a jet that may be taken for a tau is, in the column ``kind`` of `tau_seeds`
HADRONS, ELECTRON, MUON, TAU = 0, 1, 2, 5

#: share of the pt that the tau candidate of a hadronic jet has, roughly
_HADRONIC_SHARE = 0.65


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
