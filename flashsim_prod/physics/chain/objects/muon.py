"""Muons from generator muons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    GEN_JET_CONDITIONS,
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    STATUS_BITS,
    closest_gen_jet,
    per_object,
    stable,
)
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Relation, Rows, Scale, Target
from flashsim_prod.physics.completion import with_gen_parts
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.identification import muon_flags
from flashsim_prod.physics.links import flat

#: NanoAODv9 keeps no muon below this, and none comes of a generator muon below that [GeV]
_LOWEST_PT = 3.0
_LOWEST_GEN_PT = 2.0
MUON_MASS = np.float32(0.105658)

_ATTRIBUTES = (
    "dxy",
    "dxyErr",
    "dxybs",
    "dz",
    "dzErr",
    "ip3d",
    "sip3d",
    "jetPtRelv2",
    "jetRelIso",
    "miniPFRelIso_all",
    "miniPFRelIso_chg",
    "pfRelIso03_all",
    "pfRelIso03_chg",
    "pfRelIso04_all",
    "segmentComp",
    "softMva",
    "tkRelIso",
    "tunepRelPt",
    "mvaLowPt",
    "mvaTTH",
    "nStations",
    "nTrackerLayers",
    "highPtId",
    "highPurity",
    "inTimeMuon",
    "isGlobal",
    "isPFcand",
    "isStandalone",
    "isTracker",
    "jetNDauCharged",
    "mediumId",
    "miniIsoId",
    "multiIsoId",
    "mvaId",
    "mvaLowPtId",
    "puppiIsoId",
    "softId",
    "tightId",
    "triggerIdLoose",
)


def _gen_muons(events: Events) -> Rows:
    muons = stable(events, 13)
    muons = muons.select(muons["pt"] > _LOWEST_GEN_PT)
    flags = muons["statusFlags"].astype(np.int64)
    bits = {f"flag{bit}": (flags >> bit) & 1 for bit in STATUS_BITS}
    charge = -np.sign(muons["pdgId"].astype(np.float64))
    return per_object(events, muons, [{"charge": charge}, bits, closest_gen_jet(muons, events["GenJet"])])


def _match_gen_muons(events: Events, rows: Rows) -> NDArray[np.int64]:
    muons, particles = events["Muon"], events["GenPart"]
    row_of_particle = np.full(particles.n_objects + 1, -1, dtype=np.int64)
    row_of_particle[rows["position"]] = np.arange(len(rows))
    # a muon without generator particle has position -1, the last entry
    return row_of_particle[flat(muons["genPartIdx"], muons, particles)]


FROM_GEN_MUON = ObjectModel(
    name="muon_from_genmuon",
    produces="Muon",
    uses=("GenPart", "GenJet", *PILEUP_BRANCHES),
    source=_gen_muons,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("charge"),
        *(Condition(f"flag{bit}") for bit in STATUS_BITS),
        *GEN_JET_CONDITIONS,
        *PILEUP_CONDITIONS,
    ),
    targets=(
        Target("pt", Relation.RATIO),
        Target("eta", Relation.DIFFERENCE),
        Target("phi", Relation.ANGLE),
        Target("ptErr", Relation.RATIO, to="pt"),
        Target("charge", Relation.SIGN),
        *(Target(name) for name in _ATTRIBUTES),
    ),
    match=_match_gen_muons,
)

MODELS = (FROM_GEN_MUON,)


def finish(parts: list[Collection], events: Events) -> Collection:
    """All muons by falling pt, with their mass, flags and generator particles."""
    muons = Collection.join(parts)
    muons = muons.select(muons["pt"] >= _LOWEST_PT).sorted_by("pt")
    muons = muons.with_columns(mass=np.full(muons.n_objects, MUON_MASS), **muon_flags(muons))
    return with_gen_parts(muons, events["GenPart"])
