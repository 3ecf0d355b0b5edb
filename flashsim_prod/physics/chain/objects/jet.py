"""Jets: from generator jets, and fakes from pileup."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    closest,
    closest_conditions,
    flavour_conditions,
    flavours,
    per_event,
    per_object,
    scalar_sum,
    stable,
)
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Relation, Rows, Scale, Target
from flashsim_prod.physics.completion import with_gen_jets
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.identification import jet_id
from flashsim_prod.physics.links import flat

#: what every jet has, whatever it came from
_ATTRIBUTES = (
    "area",
    "btagCSVV2",
    "btagDeepB",
    "btagDeepCvB",
    "btagDeepCvL",
    "btagDeepFlavB",
    "btagDeepFlavCvB",
    "btagDeepFlavCvL",
    "btagDeepFlavQG",
    "chEmEF",
    "chFPV0EF",
    "chHEF",
    "muEF",
    "muonSubtrFactor",
    "neEmEF",
    "neHEF",
    "puIdDisc",
    "qgl",
    "rawFactor",
    "bRegCorr",
    "bRegRes",
    "cRegCorr",
    "cRegRes",
    "puId",
    "nConstituents",
    "hfadjacentEtaStripsSize",
    "hfcentralEtaStripSize",
    "hfsigmaEtaEta",
    "hfsigmaPhiPhi",
)
#: NanoAODv9 keeps no jet below this [GeV]
_LOWEST_PT = 15.0
_FRACTIONS = ("chEmEF", "chHEF", "neEmEF", "neHEF", "muEF")


def _gen_jets(events: Events) -> Rows:
    jets = events["GenJet"]
    return per_object(
        events,
        jets,
        [
            flavours(jets["partonFlavour"], jets["hadronFlavour"]),
            closest(jets, stable(events, 13), 2, "muon"),
            closest(jets, stable(events, 11), 1, "electron"),
            closest(jets, stable(events, 22), 1, "photon"),
        ],
    )


def _match_gen_jets(events: Events, rows: Rows) -> NDArray[np.int64]:
    jets = events["Jet"]
    return flat(jets["genJetIdx"], jets, events["GenJet"])


def _pileup(events: Events) -> Rows:
    return per_event(
        events,
        {
            "gen_ht": scalar_sum(events, events["GenJet"]),
            "n_gen_jets": events["GenJet"].counts.astype(np.float32),
        },
    )


def _match_pileup(events: Events, rows: Rows) -> NDArray[np.int64]:
    jets = events["Jet"]
    return np.where(_match_gen_jets(events, rows) < 0, jets.event_index, -1)


FROM_GEN_JET = ObjectModel(
    name="jet_from_genjet",
    produces="Jet",
    uses=("GenJet", "GenPart", *PILEUP_BRANCHES),
    source=_gen_jets,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("mass", Scale.LOG1P),
        *flavour_conditions(),
        *closest_conditions(2, "muon"),
        *closest_conditions(1, "electron"),
        *closest_conditions(1, "photon"),
        *PILEUP_CONDITIONS,
    ),
    targets=(
        Target("pt", Relation.RATIO),
        Target("eta", Relation.DIFFERENCE),
        Target("phi", Relation.ANGLE),
        Target("mass", Relation.RATIO, to="pt"),
        *(Target(name) for name in _ATTRIBUTES),
    ),
    copies=("partonFlavour",),
    match=_match_gen_jets,
)

FROM_PILEUP = ObjectModel(
    name="jet_from_pileup",
    produces="Jet",
    uses=("GenJet", *PILEUP_BRANCHES),
    source=_pileup,
    conditions=(Condition("gen_ht", Scale.LOG1P), Condition("n_gen_jets"), *PILEUP_CONDITIONS),
    targets=tuple(Target(name) for name in ("pt", "eta", "phi", "mass", "partonFlavour", *_ATTRIBUTES)),
    match=_match_pileup,
    most=25,
)

MODELS = (FROM_GEN_JET, FROM_PILEUP)


def finish(parts: list[Collection], events: Events) -> Collection:
    """All jets by falling pt, their energy fractions summing to 1, with their generator jets."""
    jets = Collection.join(parts)
    jets = jets.select(jets["pt"] >= _LOWEST_PT).sorted_by("pt")
    total = np.sum([jets[name] for name in _FRACTIONS], axis=0)
    shares = {name: jets[name] / np.where(total > 0, total, 1.0) for name in _FRACTIONS}
    jets = jets.with_columns(**shares)
    return with_gen_jets(jets.with_columns(jetId=jet_id(jets)), events["GenJet"])
