"""Fat jets from generated fat jets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    closest,
    closest_conditions,
    flavour_conditions,
    flavours,
    per_object,
    stable,
)
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
from flashsim_prod.physics.definitions.boosted import DECAYS, gen_fat_jets
from flashsim_prod.physics.definitions.fat_jet_scores import class_scores, odds, shares
from flashsim_prod.physics.definitions.jets_muons import in_ghosts
from flashsim_prod.physics.definitions.links import flat
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]

#: attributes that are learned as they are
_ATTRIBUTES = (
    "area",
    "nConstituents",
    "jetId",
    "btagCSVV2",
    "btagDDBvLV2",
    "btagDeepB",
    "btagHbb",
    *(f"deepTagMD_{name}vsQCD" for name in ("H4q", "Hbb", "T", "W", "Z", "ZHcc", "Zbb")),
    "deepTagMD_bbvsLight",
    "deepTagMD_ccvsLight",
    "deepTag_H",
    *(f"deepTag_{name}vsQCD" for name in ("T", "W", "Z")),
    *(f"particleNet_{name}vsQCD" for name in ("H4q", "Hbb", "Hcc", "T", "W", "Z")),
)
#: DeepDoubleX scores that are -1 where that of bb against light is
_WITH_BVL = ("btagDDCvBV2", "btagDDCvLV2")
#: what other scores of a family are worked out from (`fat_jet_scores`)
_SHARES = (
    "deepTag_others",
    "particleNet_share",
    "particleNetMD_Xbb",
    "particleNetMD_Xcc",
    "particleNetMD_Xqq",
)
_FAMILIES = ("particleNet", "particleNetMD", "deepTag", "deepTagMD")
_RATIOS = (("tau2", "tau1"), ("tau3", "tau2"), ("tau4", "tau3"))
#: ratios of pt are bent within about this much of the threshold
_BEND = 0.05
#: the regressed mass is learned over that of the generated prongs, which is not to fall below this [GeV]
_LEAST_MASS = 6.0
#: tau1 grows as this power of mass over pt
_POWER = 1.5


def _gen_jets(events: Events) -> Rows:
    jets = gen_fat_jets(events)
    return per_object(
        events,
        jets,
        [
            flavours(jets["partonFlavour"], jets["hadronFlavour"]),
            *(closest(jets, stable(events, code), 1, name) for name, code in _NEIGHBOURS.items()),
        ],
    )


#: stable particles whose nearest one is noted
_NEIGHBOURS = {"muon": 13, "electron": 11, "photon": 22}


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    jets = events["FatJet"]
    return flat(jets["genJetAK8Idx"], jets, events["GenJetAK8"])


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    value = AsFloats(attributes)
    slope = value["mass"] / value["pt"]
    drawn: dict[str, Column] = {name: attributes[name] for name in _ATTRIBUTES}
    drawn |= {
        "pt": _bent(value["pt"] / rows["pt"], rows),
        "eta": value["eta"] - rows["eta"],
        "phi": wrap_angle(value["phi"] - rows["phi"]),
        "mass": slope / _gen_slope(rows),
        "rawFactor": value["rawFactor"] / fat.typical_raw_factor(value["pt"], value["eta"]),
        "tau1": value["tau1"] / np.maximum(slope, 1e-6) ** _POWER,
        "particleNet_mass": value["particleNet_mass"] / _prong_mass(rows),
        **shares(value),
    }
    return drawn | _filled_along(value)


def _filled_along(value: Mapping[str, F64]) -> dict[str, Column]:
    """Attributes that are not always defined, as if they were."""
    drawn: dict[str, Column] = {}
    for name, under in _RATIOS:
        ratio = value[name] / np.maximum(value[under], 1e-9)
        drawn[name] = filled_along(ratio, value[name] > 0, value["nConstituents"])
    for name in _WITH_BVL:
        drawn[name] = filled_along(value[name], value[name] >= 0, value["btagDeepB"])
    few = value["n2b1"] == fat.TOO_FEW
    drawn["n2b1"] = np.where(few, fat.TOO_FEW, filled_along(value["n2b1"], value["n2b1"] > 0, drawn["tau2"]))
    drawn["n3b1"] = filled_along(value["n3b1"], value["n3b1"] > 0, drawn["tau3"])
    return drawn


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    pt = rows["pt"] * _straight(drawn["pt"], rows)
    eta = rows["eta"] + drawn["eta"]
    slope = drawn["mass"] * _gen_slope(rows)
    made = as_drawn(drawn, _ATTRIBUTES) | {
        "pt": pt,
        "eta": eta,
        "phi": wrap_angle(rows["phi"] + drawn["phi"]),
        "mass": slope * pt,
        "rawFactor": drawn["rawFactor"] * fat.typical_raw_factor(pt, eta),
        # what lies within the cone is at most its radius away from the axis
        "tau1": np.minimum(drawn["tau1"] * slope**_POWER, 1.0),
        "particleNet_mass": drawn["particleNet_mass"] * _prong_mass(rows),
    }
    for axes, (name, under) in enumerate(_RATIOS, 2):
        made[name] = np.where(made["nConstituents"] > axes, made[under] * drawn[name], 0.0)
    return made | _scores(drawn) | _correlations(drawn, made, rows)


def _scores(drawn: Mapping[str, F64]) -> dict[str, Column]:
    """Scores that follow from those that are drawn, or are defined where another is."""
    found: dict[str, Column] = {
        name: np.where(drawn["btagDDBvLV2"] >= 0, drawn[name], -1.0) for name in _WITH_BVL
    }
    against = {name: odds(drawn[name]) for name in _SHARES if name.startswith("particleNetMD")}
    return found | class_scores({**drawn, **against}, _FAMILIES)


def _correlations(drawn: Mapping[str, F64], made: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    """N2 and N3, each where it is defined."""
    groomed, hard = _energy_correlated(made, rows)
    few = drawn["n2b1"] <= 0
    return {
        "n2b1": np.where(groomed, np.where(few, fat.TOO_FEW, drawn["n2b1"]), fat.NOT_GROOMED),
        "n3b1": np.where(groomed, np.where(hard & ~few, drawn["n3b1"], fat.TOO_FEW), fat.NOT_GROOMED),
    }


def _energy_correlated(jets: Mapping[str, Column], rows: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether a jet is groomed, and whether it is hard enough for N3."""
    raw = jets["pt"].astype(np.float64) * (1.0 - jets["rawFactor"].astype(np.float64))
    return raw > fat.LOWEST_PT, raw * rows["groomed_share"] > fat.LOWEST_PT_N3


def _bent(ratio: F64, rows: Rows) -> F64:
    """Ratio of pt, with what lies just above the threshold stretched to minus infinity; see `_straight`."""
    floor = fat.LOWEST_PT / rows["pt"].astype(np.float64)
    above = np.maximum(ratio - floor, 1e-5) / _BEND
    # log(exp(above) - 1), safe for large values
    return np.asarray(above + np.log(-np.expm1(-above)) + floor / _BEND)


def _straight(bent: F64, rows: Rows) -> F64:
    """Undoes `_bent`; never below the threshold."""
    floor = fat.LOWEST_PT / rows["pt"].astype(np.float64)
    return np.asarray(floor + _BEND * np.logaddexp(0.0, bent - floor / _BEND))


def _gen_slope(rows: Rows) -> F64:
    return np.asarray(np.maximum(rows["mass"].astype(np.float64), 0.1) / rows["pt"])


def _prong_mass(rows: Rows) -> F64:
    return np.asarray(np.hypot(_LEAST_MASS, rows["groomed_mass"]))


FROM_GEN_JET = ObjectModel(
    name="fatjet_from_genjet",
    produces="FatJet",
    uses=("GenJetAK8", "SubGenJetAK8", "GenPart", *PILEUP_BRANCHES),
    source=_gen_jets,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("mass", Scale.LOG1P),
        *flavour_conditions(),
        *(Condition(name) for name in DECAYS),
        *(
            Condition(name)
            for name in ("n_b", "n_c", "lepton_share", "hardness", "groomed_share", "distance")
        ),
        *(Condition(name) for name in ("share1", "share2", "mass1", "mass2")),
        Condition("groomed_mass", Scale.LOG1P),
        *(condition for name in _NEIGHBOURS for condition in closest_conditions(1, name)),
        *PILEUP_CONDITIONS,
    ),
    targets=(
        Target("pt", Relation.RATIO),
        Target("eta", Relation.DIFFERENCE),
        Target("phi", Relation.ANGLE),
        Target("mass", Relation.RATIO),
        *(
            Target(name, Relation.RATIO)
            for name in ("tau1", "tau2", "tau3", "tau4", "rawFactor", "particleNet_mass")
        ),
        *(Target(name) for name in ("n2b1", "n3b1", *_ATTRIBUTES, *_WITH_BVL, *_SHARES)),
        Target("deepTag_share", default=1.0),
    ),
    match=_match,
    express=_express,
    assemble=_assemble,
)

MODELS = (FROM_GEN_JET,)


def finish(parts: list[Collection], events: Events) -> Collection:
    """All fat jets by falling pt, with their generated jets and hadrons."""
    jets = Collection.join(parts)
    jets = in_ghosts(jets.select(jets["pt"] >= fat.LOWEST_PT).sorted_by("pt"))
    return fat.with_gen_jets(jets, events)
