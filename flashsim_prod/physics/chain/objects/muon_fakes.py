"""Muons that are no generator muon: duplicates of one, fakes in jets, fakes of pileup.

Extraction tells them apart by NanoAOD truth: of the muons without a generator particle, those next to a
generator muon are its duplicates, those in a generator jet come of the jet, all others of the pileup.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import (
    GEN_JET_CONDITIONS,
    PILEUP_CONDITIONS,
    STATUS_BITS,
    closest,
    closest_conditions,
    flavour_conditions,
    flavours,
    per_event,
    per_object,
    scalar_sum,
    stable,
)
from flashsim_prod.physics.chain.model import (
    Assemble,
    Condition,
    Express,
    NetworkSize,
    ObjectModel,
    Relation,
    Rows,
    Scale,
    Target,
)
from flashsim_prod.physics.chain.objects import muon_attributes
from flashsim_prod.physics.chain.objects.muon import FROM_GEN_MUON
from flashsim_prod.physics.definitions.links import delta_phi, nearest
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]
Positions = NDArray[np.int64]

#: how near to a generator muon a second track of it is, and how near to a jet's axis what comes of it
_SAME_MUON = 0.1
_IN_JET = 0.4
#: generator jets beyond give no muons
_MAX_JET_ETA = 2.8
_RHO = "fixedGridRhoFastjetAll"
#: extraction must tell generator muons from what is left, so each source needs what they need
_USES = tuple(dict.fromkeys((*FROM_GEN_MUON.uses, "Jet", _RHO, "PV_z", "PV_npvs", "GenVtx_z")))


def _gen_muons(events: Events) -> Rows:
    rows = FROM_GEN_MUON.source(events)
    muons = Collection.from_rows(events.n, rows.event_index, {name: rows[name] for name in ("eta", "phi")})
    return _with_vertex(events, rows, _closest_jet(muons, events["Jet"]))


def _gen_jets(events: Events) -> Rows:
    jets = _central(events)
    rows = per_object(
        events,
        jets,
        [
            flavours(jets["partonFlavour"], jets["hadronFlavour"]) | {"abs_eta": np.abs(jets["eta"])},
            closest(jets, stable(events, 13), 1, "muon"),
        ],
    )
    return _with_vertex(events, rows, _closest_jet(jets, events["Jet"]))


def _pileup(events: Events) -> Rows:
    rows = per_event(
        events,
        {
            "gen_ht": scalar_sum(events, events["GenJet"]),
            "n_jets": events["Jet"].counts,
            "vertices": events.scalars["PV_npvs"],
        },
    )
    # pileup's vertices are anywhere along the beam: dz in cm
    along: dict[str, Column] = {"dz_expected": np.zeros(len(rows)), "dz_unit": np.ones(len(rows))}
    return Rows(rows.event_index, rows.item, rows.columns | along | {"rho": events.scalars[_RHO]})


def _central(events: Events) -> Collection:
    jets = events["GenJet"]
    return jets.select(np.abs(jets["eta"]) < _MAX_JET_ETA)


def _with_vertex(events: Events, rows: Rows, jet: dict[str, Column]) -> Rows:
    """Rows with the reconstructed jet around, the density, and the dz of a track from the hard collision."""
    shift = events.scalars["GenVtx_z"].astype(np.float64) - events.scalars["PV_z"]
    columns: dict[str, Column] = {
        "rho": events.scalars[_RHO][rows.event_index],
        "dz_expected": shift[rows.event_index],
        "dz_unit": np.zeros(len(rows)),
    }
    return Rows(rows.event_index, rows.item, rows.columns | jet | columns)


def _closest_jet(objects: Collection, jets: Collection) -> dict[str, Column]:
    """The reconstructed jet around each object, prefix ``recojet_``: pt (0 for none), place and contents."""
    position, _ = nearest(objects, jets, _IN_JET)
    found = position >= 0

    def of_jet(name: str) -> F64:
        column = np.zeros(objects.n_objects)
        column[found] = jets[name][position[found]]
        return column

    return {
        "recojet_pt": of_jet("pt"),
        "recojet_muon_pt": of_jet("muEF") * of_jet("pt") * (1.0 - of_jet("rawFactor")),
        "recojet_deta": np.where(found, of_jet("eta") - objects["eta"], 0.0),
        "recojet_dphi": np.where(found, delta_phi(of_jet("phi"), objects["phi"]), 0.0),
        "recojet_muEF": of_jet("muEF"),
        "recojet_chHEF": of_jet("chHEF"),
        "recojet_chEmEF": of_jet("chEmEF"),
    }


_RECO_JET_CONDITIONS = (
    Condition("recojet_pt", Scale.LOG1P),
    Condition("recojet_muon_pt", Scale.LOG1P),
    *(Condition(f"recojet_{name}") for name in ("deta", "dphi", "muEF", "chHEF", "chEmEF")),
)


def _match_duplicates(events: Events, rows: Rows) -> Positions:
    """The generator muon next to each muon that has no generator particle."""
    muons = events["Muon"]
    gen = Collection.from_rows(events.n, rows.event_index, {name: rows[name] for name in ("eta", "phi")})
    row, _ = nearest(muons, gen, _SAME_MUON)
    genuine = FROM_GEN_MUON.match(events, rows) >= 0
    return np.where(genuine, -1, row)


def _of_gen_muons(events: Events) -> NDArray[np.bool_]:
    """Muons that are a generator muon, or a duplicate of one."""
    rows = FROM_GEN_MUON.source(events)
    return (FROM_GEN_MUON.match(events, rows) >= 0) | (_match_duplicates(events, rows) >= 0)


def _match_jets(events: Events, rows: Rows) -> Positions:
    jet, _ = nearest(events["Muon"], _central(events), _IN_JET)
    return np.where(_of_gen_muons(events), -1, jet)


def _match_pileup(events: Events, rows: Rows) -> Positions:
    taken = _of_gen_muons(events) | (_match_jets(events, rows) >= 0)
    return np.where(taken, -1, events["Muon"].event_index)


def _targets(kinematics: tuple[Target, ...]) -> tuple[Target, ...]:
    return (*kinematics, *(Target(name) for name in muon_attributes.DRAWN))


def _express(kinematics: tuple[Target, ...]) -> Express:
    def express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
        seen = {target.name: target.express(attributes[target.name], rows) for target in kinematics}
        return seen | muon_attributes.express(attributes, rows)

    return express


def _assemble(kinematics: tuple[Target, ...]) -> Assemble:
    def assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
        made: dict[str, Column] = {
            target.name: target.restore(drawn[target.name], rows) for target in kinematics
        }
        return made | muon_attributes.assemble(drawn, made["pt"], made["eta"], rows)

    return assemble


_NEAR_A_MUON = (
    Target("pt", Relation.RATIO),
    Target("eta", Relation.DIFFERENCE),
    Target("phi", Relation.ANGLE),
    Target("charge", Relation.SIGN),
)
_IN_A_JET = (
    Target("pt"),
    Target("eta", Relation.DIFFERENCE),
    Target("phi", Relation.ANGLE),
    Target("charge"),
)
_ANYWHERE = (Target("pt"), Target("eta"), Target("phi"), Target("charge"))

DUPLICATE = ObjectModel(
    name="muon_duplicate",
    produces="Muon",
    uses=_USES,
    source=_gen_muons,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("charge"),
        *(Condition(f"flag{bit}") for bit in STATUS_BITS),
        *GEN_JET_CONDITIONS,
        *_RECO_JET_CONDITIONS,
        Condition("rho"),
        *PILEUP_CONDITIONS,
    ),
    targets=_targets(_NEAR_A_MUON),
    match=_match_duplicates,
    express=_express(_NEAR_A_MUON),
    assemble=_assemble(_NEAR_A_MUON),
    # there are only thousands of duplicates to learn from
    size=NetworkSize(width=48, blocks=2, classifier=(32, 16)),
)

FROM_JET = ObjectModel(
    name="muon_from_jet",
    produces="Muon",
    uses=_USES,
    source=_gen_jets,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("abs_eta"),
        Condition("phi"),
        Condition("mass", Scale.LOG1P),
        *flavour_conditions(),
        *closest_conditions(1, "muon"),
        *_RECO_JET_CONDITIONS,
        Condition("rho"),
        *PILEUP_CONDITIONS,
    ),
    targets=_targets(_IN_A_JET),
    match=_match_jets,
    most=2,
    express=_express(_IN_A_JET),
    assemble=_assemble(_IN_A_JET),
)

FROM_PILEUP = ObjectModel(
    name="muon_from_pileup",
    produces="Muon",
    uses=_USES,
    source=_pileup,
    conditions=(
        Condition("gen_ht", Scale.LOG1P),
        Condition("n_jets"),
        Condition("vertices"),
        Condition("rho"),
        *PILEUP_CONDITIONS,
    ),
    targets=_targets(_ANYWHERE),
    match=_match_pileup,
    most=3,
    express=_express(_ANYWHERE),
    assemble=_assemble(_ANYWHERE),
)

MODELS = (DUPLICATE, FROM_JET, FROM_PILEUP)
