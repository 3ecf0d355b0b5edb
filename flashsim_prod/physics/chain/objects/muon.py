"""Muons from generator muons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    GEN_JET_CONDITIONS,
    NEIGHBOURHOOD,
    PILEUP_BRANCHES,
    PILEUP_CONDITIONS,
    RECONSTRUCTION_BRANCHES,
    RECONSTRUCTION_CONDITIONS,
    STATUS_BITS,
    closest_gen_jet,
    content,
    per_object,
    reconstruction,
    stable,
)
from flashsim_prod.physics.chain.forms import F64, filled
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Relation, Rows, Scale, Target
from flashsim_prod.physics.chain.objects import muon_attributes
from flashsim_prod.physics.definitions.completion import with_gen_parts
from flashsim_prod.physics.definitions.jets_muons import muon_flags
from flashsim_prod.physics.definitions.links import flat, lepton_flavour, nearest
from flashsim_prod.physics.events import Collection, Column, Events

#: NanoAODv9 keeps no muon below this, and none comes of a generator muon below that [GeV]
_LOWEST_PT = 3.0
_LOWEST_GEN_PT = 2.0
#: within this distance of a jet's axis a muon is in it
_IN_JET = 0.4
#: what is left of a generator jet beside a muon [GeV], and of a reconstructed one relative to it, at least
_LEAST_REST = 0.5
_LEAST_JET = -0.05

#: none is reconstructed beyond [abs(eta) of the generator muon]
_HIGHEST_ETA = 2.5
#: origins of a lepton as genPartFlav numbers them
_ORIGINS = {"prompt": 1, "tau": 15, "b": 5, "c": 4, "light": 3}


def _gen_muons(events: Events) -> Rows:
    muons = stable(events, 13)
    reachable = (muons["pt"] > _LOWEST_GEN_PT) & (np.abs(muons["eta"]) < _HIGHEST_ETA)
    muons = muons.select(reachable)
    flags = muons["statusFlags"].astype(np.int64)
    bits = {f"flag{bit}": (flags >> bit) & 1 for bit in STATUS_BITS}
    charge = -np.sign(muons["pdgId"].astype(np.float64))
    origin = lepton_flavour(events["GenPart"], muons["position"])
    origins = {f"origin_{name}": origin == number for name, number in _ORIGINS.items()}
    columns = [{"charge": charge, "abs_eta": np.abs(muons["eta"])}, bits, origins]
    jets = [_cleaned_gen_jet(events, muons), _reconstructed_jet(muons, events["Jet"])]
    event = reconstruction(events, muons.event_index)
    vertex = {"dz_expected": event["vertex_dz"], "dz_unit": np.zeros(muons.n_objects)}
    return per_object(events, muons, [*columns, *jets, event, vertex])


def _cleaned_gen_jet(events: Events, muons: Collection) -> dict[str, Column]:
    """The closest generator jet, and what is left of it without muons: pt [GeV] and distance of its axis."""
    jets = events["GenJet"]
    found = closest_gen_jet(muons, jets)
    position, _ = nearest(muons, jets, NEIGHBOURHOOD)
    muon_share = content(events)["muon_fraction"]
    share = _value_at(muon_share, position)
    rest = found["genjet_pt"] * (1.0 - share)
    # to first order the muon pulled the axis towards itself by its share
    away = found["genjet_dr"] * (1.0 + muons["pt"] / np.maximum(rest, _LEAST_REST))
    return found | {"genjet_rest_pt": rest, "genjet_rest_dr": np.minimum(away, NEIGHBOURHOOD)}


def _reconstructed_jet(muons: Collection, jets: Collection) -> dict[str, Column]:
    """Distance and pt [GeV] of the reconstructed jet that a muon at the generated place would be in."""
    position, distance = nearest(muons, jets, _IN_JET)
    dr = np.where(position >= 0, distance, _IN_JET)
    return {"recojet_dr": dr, "recojet_pt": _value_at(jets["pt"], position)}


def _value_at(column: Column, position: NDArray[np.int64]) -> NDArray[np.float64]:
    """`column` at `position`; 0 where that is negative."""
    found = position >= 0
    values = np.zeros(len(position))
    values[found] = column[position[found]]
    return values


def _match_gen_muons(events: Events, rows: Rows) -> NDArray[np.int64]:
    muons, particles = events["Muon"], events["GenPart"]
    row_of_particle = np.full(particles.n_objects + 1, -1, dtype=np.int64)
    row_of_particle[rows["position"]] = np.arange(len(rows))
    # a muon without generator particle has position -1, the last entry
    return row_of_particle[flat(muons["genPartIdx"], muons, particles)]


_KINEMATICS = (
    Target("pt", Relation.RATIO),
    Target("eta", Relation.DIFFERENCE),
    Target("phi", Relation.ANGLE),
    Target("charge", Relation.SIGN),
)
#: what is drawn of the jet around is relative to the jet that was made before
_DRAWN = (*(name for name in muon_attributes.DRAWN if name != "jetRest"), "jetShare")


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    seen = {target.name: target.express(attributes[target.name], rows) for target in _KINEMATICS}
    drawn = muon_attributes.express(attributes, rows)
    del drawn["jetRest"]
    jet_pt = rows["recojet_pt"]
    inside = (attributes["jetNDauCharged"] > 0) & (jet_pt > 0)
    whole = (1.0 + attributes["jetRelIso"]) * attributes["pt"].astype(np.float64)
    return seen | drawn | {"jetShare": filled(whole / np.where(inside, jet_pt, 1.0), inside)}


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    made: dict[str, Column] = {
        target.name: target.restore(drawn[target.name], rows) for target in _KINEMATICS
    }
    rest = drawn["jetShare"] * rows["recojet_pt"] - made["pt"]
    jet = {"jetRest": np.maximum(rest, _LEAST_JET * made["pt"])}
    return made | muon_attributes.assemble({**drawn, **jet}, made["pt"], made["eta"], rows)


FROM_GEN_MUON = ObjectModel(
    name="muon_from_genmuon",
    produces="Muon",
    uses=("GenPart", "GenJet", "Jet", *PILEUP_BRANCHES, *RECONSTRUCTION_BRANCHES),
    source=_gen_muons,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("charge"),
        *(Condition(f"flag{bit}") for bit in STATUS_BITS),
        *(Condition(f"origin_{name}") for name in _ORIGINS),
        Condition("abs_eta"),
        *GEN_JET_CONDITIONS,
        Condition("genjet_rest_pt", Scale.LOG1P),
        Condition("genjet_rest_dr"),
        Condition("recojet_dr"),
        Condition("recojet_pt", Scale.LOG1P),
        *PILEUP_CONDITIONS,
        *RECONSTRUCTION_CONDITIONS,
    ),
    targets=(*_KINEMATICS, *(Target(name) for name in _DRAWN)),
    match=_match_gen_muons,
    express=_express,
    assemble=_assemble,
)

MODELS = (FROM_GEN_MUON,)


def finish(parts: list[Collection], events: Events) -> Collection:
    """All muons by falling pt, with their mass, flags and generator particles."""
    muons = Collection.join(parts)
    muons = muons.select(muons["pt"] >= _LOWEST_PT).sorted_by("pt")
    return with_gen_parts(muons.with_columns(**muon_flags(muons)), events["GenPart"])
