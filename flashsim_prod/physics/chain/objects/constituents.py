"""Constituents of reconstructed jets: sets of particle-flow candidates, as many as a jet says it has.

Each is seen beside its jet: its pt as a share of the jet's, times their number; its direction from the axis,
in units of the jet's mass over its pt. What is drawn is then changed as little as makes the constituents sum
up to the jet before corrections (`definitions.constituents.sums.projected`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import PILEUP_BRANCHES, per_object
from flashsim_prod.physics.chain.forms import AsFloats, filled_along
from flashsim_prod.physics.chain.model import (
    Condition,
    NetworkSize,
    ObjectModel,
    Rows,
    Scale,
    Target,
    wrap_angle,
)
from flashsim_prod.physics.definitions.constituents import candidates as found
from flashsim_prod.physics.definitions.constituents import sums
from flashsim_prod.physics.definitions.links import delta_phi
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]

_FRACTIONS = ("chHEF", "neHEF", "chEmEF", "neEmEF", "muEF")
#: of tracks
_TRACK = ("d0", "d0Err", "dz", "dzErr")
#: of a jet's pt before corrections, what linked candidates have to have for the jet to be learned from
_COMPLETE = 0.95
#: angles are learned in units of the jet's mass over its pt, and at least this
_NARROWEST = 0.01


def _jets(events: Events) -> Rows:
    jets = events["Jet"]
    raw = 1.0 - jets["rawFactor"].astype(np.float64)
    pt, mass = jets["pt"] * raw, jets["mass"] * raw
    about: dict[str, Column] = {
        "place": np.arange(jets.n_objects),
        "item_of_jet": jets.local_index,
        "raw_pt": pt,
        "raw_mass": mass,
        "spread": mass / np.maximum(pt, 1e-3) + _NARROWEST,
        "abs_eta": np.abs(jets["eta"]),
        "hadron_b": jets["hadronFlavour"] == 5,
        "hadron_c": jets["hadronFlavour"] == 4,
        "rho": events.scalars["fixedGridRhoFastjetAll"][jets.event_index],
    }
    return per_object(events, jets, [about])


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    """The jet of each candidate, as JetPFCands has it.

    Files may lack some of a jet's candidates. Jets of which much is lacking are not learned from.
    """
    candidate, jet = found.flat_jets(events)
    pt = events["PFCands"]["pt"].astype(np.float64)
    vectors = sums.cartesian(*(events["PFCands"][name][candidate] for name in ("pt", "eta", "phi", "mass")))
    total = sums.summed(vectors, jet, events["Jet"].n_objects)
    share = np.hypot(total[:, 1], total[:, 2]) / np.maximum(rows["raw_pt"], 1e-3)
    whole = (share > _COMPLETE) & (share < 2.0 - _COMPLETE)
    origin = np.full(len(pt), -1, dtype=np.int64)
    kept = whole[jet]
    origin[candidate[kept]] = jet[kept]
    return origin


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    value = AsFloats(attributes)
    kind = found.species(attributes["pdgId"], attributes["charge"])
    has_track = found.CHARGES[kind] != 0
    share = value["pt"] * np.maximum(rows["nConstituents"], 1) / np.maximum(rows["raw_pt"], 1e-3)
    drawn: dict[str, Column] = {
        "share": share,
        "deta": (value["eta"] - rows["eta"]) / rows["spread"],
        "dphi": delta_phi(value["phi"], rows["phi"]) / rows["spread"],
        "species": kind.astype(np.int32),
        "puppiWeight": attributes["puppiWeight"],
    }
    return drawn | {name: filled_along(attributes[name], has_track, share) for name in _TRACK}


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    pt = drawn["share"] * rows["raw_pt"] / np.maximum(rows["nConstituents"], 1)
    eta = rows["eta"] + drawn["deta"] * rows["spread"]
    phi = rows["phi"] + drawn["dphi"] * rows["spread"]
    kind = np.clip(np.rint(drawn["species"]), 0, len(found.PDG_IDS) - 1).astype(np.int64)
    momenta = sums.cartesian(np.maximum(pt, 1e-3), np.clip(eta, -6.0, 6.0), phi, np.zeros(len(pt)))[:, 1:]
    group, first = _sets(rows)
    jets = sums.cartesian(*(rows[name][first] for name in ("raw_pt", "eta", "phi", "raw_mass")))
    momenta, masses = sums.projected(momenta, found.MASSES[kind], group, jets)
    pt, eta, phi = sums.polar(momenta)
    has_track = found.CHARGES[kind] != 0
    made: dict[str, Column] = {
        "pt": pt,
        "eta": eta,
        "phi": wrap_angle(phi),
        "mass": masses,
        "pdgId": found.PDG_IDS[kind],
        "charge": found.CHARGES[kind],
        "puppiWeight": drawn["puppiWeight"] if "puppiWeight" in drawn else np.ones(len(pt)),
        found.JET: rows["item_of_jet"],
    }
    return made | {name: np.where(has_track, drawn[name], found.NO_TRACK) for name in _TRACK if name in drawn}


def _sets(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which set each row is of, counted from 0, and the first row of each set."""
    keys = (rows["raw_mass"], rows["raw_pt"], rows["place"], rows.event_index)
    order = np.lexsort(keys)
    is_new = np.zeros(len(order), dtype=bool)
    is_new[:1] = True
    for key in keys:
        is_new[1:] |= np.diff(key[order].astype(np.float64)) != 0
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(is_new) - 1
    return group, order[is_new]


JET_CONSTITUENTS = ObjectModel(
    name="jet_constituents",
    produces="PFCands",
    uses=("Jet", "fixedGridRhoFastjetAll", *PILEUP_BRANCHES),
    source=_jets,
    conditions=(
        Condition("raw_pt", Scale.LOG),
        Condition("spread", Scale.LOG),
        Condition("eta"),
        Condition("abs_eta"),
        Condition("nConstituents", Scale.LOG1P),
        *(Condition(name) for name in (*_FRACTIONS, "hadron_b", "hadron_c", "rho")),
    ),
    targets=tuple(Target(name) for name in ("share", "deta", "dphi", "species", "puppiWeight", *_TRACK)),
    match=_match,
    most=found.MOST,
    express=_express,
    assemble=_assemble,
    size=NetworkSize(width=64),
    numbered_by="nConstituents",
)

MODELS = (JET_CONSTITUENTS,)


def finish(parts: list[Collection], events: Events) -> Collection:
    """Candidates in the order of their jets, those of a jet by falling pt."""
    joined = Collection.join(parts)
    order = np.lexsort((-joined["pt"], joined[found.JET], joined.event_index))
    return Collection(joined.counts, {name: column[order] for name, column in joined.columns.items()})
