"""Subjets from the generated prongs of fat jets, conditioned on how the fat jet was seen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import PILEUP_BRANCHES, PILEUP_CONDITIONS, pileup
from flashsim_prod.physics.chain.forms import AsFloats, as_drawn, filled_along
from flashsim_prod.physics.chain.model import (
    Condition,
    ObjectModel,
    Relation,
    Rows,
    Scale,
    Target,
    wrap_angle,
)
from flashsim_prod.physics.definitions import fat_jets as fat
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]

#: attributes that are learned as they are
_ATTRIBUTES = ("btagDeepB",)
_TAUS = ("tau1", "tau2", "tau3", "tau4")
#: N2 and N3, and the number of particles, or axes of N-subjettiness, that they need
_CORRELATIONS = (("n2b1", 2), ("n3b1", 3))
#: what the older b-tag is where the newer one is negative
_UNTAGGED = -10.0
#: what of the fat jet a subjet depends on
_OF_FAT_JET = ("pt", "mass", "rawFactor", "nConstituents", "btagDeepB", "particleNet_mass")
#: masses are learned as ratios after this was added [GeV]
_SOFT_MASS = 1.0
#: how far subjets stray from their prongs in direction, and in the logarithm of pt
_TYPICAL_DR, _TYPICAL_LOG_PT = 0.02, 0.1


def _prongs(events: Events) -> Rows:
    jets = events["FatJet"]
    columns: dict[str, Column] = dict(fat.prong_rows(events, jets))
    event, fat_jet, rank = columns["event"], columns["fat_jet"], columns["rank"]
    columns |= {f"fat_{name}": jets[name][fat_jet] for name in _OF_FAT_JET}
    columns["fat_tau21"] = jets["tau2"][fat_jet] / np.maximum(jets["tau1"][fat_jet], 1e-9)
    columns["share"] = columns["expected_pt"] / np.maximum(columns["fat_pt"], 1.0)
    columns["slope"] = columns["expected_mass"] / np.maximum(columns["expected_pt"], 1e-3)
    d_phi = links.delta_phi(columns["expected_phi"], jets["phi"][fat_jet])
    columns["distance"] = np.hypot(columns["expected_eta"] - jets["eta"][fat_jet], d_phi)
    item = 2 * jets.local_index[fat_jet] + rank
    return Rows(event, item, columns | pileup(events, event))


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    """The prong of each subjet: of those of its fat jet the most alike in direction and pt, one-to-one.

    Direction alone would mix up prongs that are close to each other.
    """
    jets, subjets = events["FatJet"], events["SubJet"]
    of_row = [links.flat(jets[name], jets, subjets)[rows["fat_jet"]] for name in ("subJetIdx1", "subJetIdx2")]
    subjet, row = np.concatenate(of_row), np.tile(np.arange(len(rows)), 2)
    subjet, row = subjet[subjet >= 0], row[subjet >= 0]
    d_eta = subjets["eta"][subjet] - rows["expected_eta"][row]
    d_phi = links.delta_phi(subjets["phi"][subjet], rows["expected_phi"][row])
    ratio = subjets["pt"][subjet] / np.maximum(rows["expected_pt"][row], 1e-3)
    unlike = np.hypot(np.hypot(d_eta, d_phi) / _TYPICAL_DR, np.log(ratio) / _TYPICAL_LOG_PT)
    return links.match_by_distance(subjet, row, unlike, subjets.n_objects)


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    value = AsFloats(attributes)
    drawn: dict[str, Column] = {
        **{name: attributes[name] for name in _ATTRIBUTES},
        "pt": value["pt"] / np.maximum(rows["expected_pt"], 1e-3),
        "eta": value["eta"] - rows["expected_eta"],
        "phi": wrap_angle(value["phi"] - rows["expected_phi"]),
        "mass": (value["mass"] + _SOFT_MASS) / (rows["expected_mass"] + _SOFT_MASS),
        "rawFactor": value["rawFactor"] / _calibration(value["pt"], value["eta"]),
        "axes": np.sum([value[name] > 0 for name in _TAUS], axis=0),
    }
    ratios = {"tau1": value["tau1"] / np.maximum(value["mass"] / value["pt"], 1e-6)}
    ratios |= {name: value[name] / np.maximum(value[under], 1e-9) for under, name in pairwise(_TAUS)}
    for name, ratio in ratios.items():
        drawn[name] = filled_along(ratio, value[name] > 0, rows["slope"])
    for name, _ in _CORRELATIONS:
        drawn[name] = filled_along(value[name], value[name] >= 0, rows["slope"])
    drawn["btagCSVV2"] = filled_along(value["btagCSVV2"], value["btagCSVV2"] >= 0, rows["slope"])
    return drawn


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    pt = drawn["pt"] * np.maximum(rows["expected_pt"], 1e-3)
    eta = rows["expected_eta"] + drawn["eta"]
    mass = np.maximum(drawn["mass"] * (rows["expected_mass"] + _SOFT_MASS) - _SOFT_MASS, 0.0)
    made: dict[str, Column] = {
        **as_drawn(drawn, _ATTRIBUTES),
        "fat_jet": rows["fat_jet"],
        "pt": pt,
        "eta": eta,
        "phi": wrap_angle(rows["expected_phi"] + drawn["phi"]),
        "mass": mass,
        "rawFactor": drawn["rawFactor"] * _calibration(pt, eta),
        "btagCSVV2": np.where(drawn["btagDeepB"] >= 0, drawn["btagCSVV2"], _UNTAGGED),
    }
    tau = np.maximum(mass / pt, 1e-6)
    for axes, name in enumerate(_TAUS, 1):
        tau = tau * drawn[name]
        made[name] = np.where(drawn["axes"] >= axes, tau, 0.0)
    for name, least in _CORRELATIONS:
        made[name] = np.where(drawn["axes"] >= least, drawn[name], fat.TOO_FEW)
    return made


def _calibration(pt: Column, eta: Column) -> F64:
    """About what calibration adds to a subjet: what it adds to fat jets of twice its pt."""
    return fat.typical_raw_factor(2.0 * pt.astype(np.float64), eta)


FROM_PRONG = ObjectModel(
    name="subjet_from_prong",
    produces="SubJet",
    uses=("FatJet", "GenJetAK8", "SubGenJetAK8", "GenPart", *PILEUP_BRANCHES),
    source=_prongs,
    conditions=(
        Condition("expected_pt", Scale.LOG),
        Condition("expected_eta"),
        Condition("expected_mass", Scale.LOG1P),
        *(Condition(name) for name in ("slope", "rank", "share", "distance", "hadron_b", "hadron_c")),
        Condition("fat_pt", Scale.LOG),
        Condition("fat_mass", Scale.LOG1P),
        Condition("fat_particleNet_mass", Scale.LOG1P),
        *(Condition(name) for name in ("fat_rawFactor", "fat_nConstituents", "fat_btagDeepB", "fat_tau21")),
        *PILEUP_CONDITIONS,
    ),
    targets=(
        Target("pt", Relation.RATIO, to="expected_pt"),
        Target("eta", Relation.DIFFERENCE, to="expected_eta"),
        Target("phi", Relation.ANGLE, to="expected_phi"),
        Target("mass", Relation.RATIO, to="expected_mass"),
        *(Target(name, Relation.RATIO) for name in ("rawFactor", *_TAUS)),
        *(Target(name) for name in ("axes", "n2b1", "n3b1", "btagCSVV2", *_ATTRIBUTES)),
    ),
    match=_match,
    express=_express,
    assemble=_assemble,
)

MODELS = (FROM_PRONG,)


def finish(parts: list[Collection], events: Events) -> Collection:
    """Subjets in the order of their fat jets, the harder one first."""
    return fat.in_order(Collection.join(parts))
