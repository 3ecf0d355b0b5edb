"""Photons that muons radiate: generator photons near a reconstructed muon, and others found there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import PILEUP_BRANCHES, PILEUP_CONDITIONS, per_object, stable
from flashsim_prod.physics.chain.model import (
    Condition,
    NetworkSize,
    ObjectModel,
    Relation,
    Rows,
    Scale,
    Target,
)
from flashsim_prod.physics.definitions import fsr
from flashsim_prod.physics.definitions.links import close_pairs, delta_phi, flat, match_by_distance
from flashsim_prod.physics.events import Collection, Column, Events

#: softer generator photons are not found, and none is found further from where it was [GeV]
_LOWEST_GEN_PT = 1.0
_SAME_PHOTON = 0.05
#: how much its pt may differ, relatively
_ALIKE = 0.5
_RHO = "fixedGridRhoFastjetAll"
_USES = ("Muon", "GenPart", _RHO, *PILEUP_BRANCHES)


def _gen_photons(events: Events) -> Rows:
    """Generator photons near a muon that may have radiated them, with that muon."""
    photons = stable(events, 22)
    photons = photons.select(photons["pt"] > _LOWEST_GEN_PT)
    muon, distance = fsr.nearest_muon(photons, events["Muon"])
    near = muon >= 0
    photons, muon = photons.select(near), muon[near]
    around = _muon_columns(events["Muon"], muon) | {
        "muon_dr": distance[near],
        "muon_deta": events["Muon"]["eta"][muon] - photons["eta"],
        "muon_dphi": delta_phi(events["Muon"]["phi"][muon], photons["phi"]),
        "rho": events.scalars[_RHO][photons.event_index],
        # NanoAOD cuts on it
        "closeness": distance[near] / photons["pt"].astype(np.float64) ** 2,
    }
    return per_object(events, photons, [around])


def _muons(events: Events) -> Rows:
    """Muons that photons are looked for around."""
    muons = events["Muon"]
    muons = muons.with_columns(position=np.arange(muons.n_objects)).select(fsr.may_radiate(muons))
    around = _muon_columns(events["Muon"], muons["position"])
    return per_object(events, muons, [around | {"rho": events.scalars[_RHO][muons.event_index]}])


def _muon_columns(muons: Collection, position: NDArray[np.int64]) -> dict[str, Column]:
    pt = muons["pt"][position].astype(np.float64)
    kinds = {"all": "pfRelIso03_all", "chg": "pfRelIso03_chg", "wide": "pfRelIso04_all"}
    energies = {f"muon_{kind}": muons[name][position] * pt for kind, name in kinds.items()}
    return {"muon_pt": pt, **energies}


def _match_gen_photons(events: Events, rows: Rows) -> NDArray[np.int64]:
    photons = events["FsrPhoton"]
    gen = Collection.from_rows(events.n, rows.event_index, {name: rows[name] for name in ("eta", "phi")})
    of_a, of_b, distance = close_pairs(photons, gen, _SAME_PHOTON)
    gen_pt = rows["pt"][of_b]
    alike = np.abs(photons["pt"][of_a] - gen_pt) < _ALIKE * gen_pt
    return match_by_distance(of_a[alike], of_b[alike], distance[alike], photons.n_objects)


def _match_muons(events: Events, rows: Rows) -> NDArray[np.int64]:
    """The muon of each photon that is no generator photon."""
    photons, muons = events["FsrPhoton"], events["Muon"]
    row_of_muon = np.full(muons.n_objects + 1, -1, dtype=np.int64)
    row_of_muon[rows["position"]] = np.arange(len(rows))
    row = row_of_muon[flat(photons["muonIdx"], photons, muons)]
    return np.where(_match_gen_photons(events, _gen_photons(events)) >= 0, -1, row)


_SURROUNDINGS = (
    Condition("muon_pt", Scale.LOG),
    *(Condition(f"muon_{kind}", Scale.LOG1P) for kind in ("all", "chg", "wide")),
    Condition("rho"),
    *PILEUP_CONDITIONS,
)
_SIZE = NetworkSize(width=64, blocks=3, classifier=(64, 32))
_TARGETS = (Target("eta", Relation.DIFFERENCE), Target("phi", Relation.ANGLE), Target("relIso03"))

FROM_GEN_PHOTON = ObjectModel(
    name="fsrphoton_from_genphoton",
    produces="FsrPhoton",
    uses=_USES,
    source=_gen_photons,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        *(Condition(f"muon_{name}") for name in ("dr", "deta", "dphi")),
        *_SURROUNDINGS,
        Condition("closeness", Scale.LOG),
    ),
    targets=(Target("pt", Relation.RATIO), *_TARGETS),
    match=_match_gen_photons,
    size=_SIZE,
)

FROM_MUON = ObjectModel(
    name="fsrphoton_from_muon",
    produces="FsrPhoton",
    uses=_USES,
    source=_muons,
    conditions=(Condition("eta"), *_SURROUNDINGS),
    targets=(Target("pt"), *_TARGETS),
    match=_match_muons,
    most=2,
    size=_SIZE,
)

MODELS = (FROM_GEN_PHOTON, FROM_MUON)


def finish(parts: list[Collection], events: Events) -> Collection:
    """The photons that NanoAOD keeps, by falling pt, each with its muon."""
    return fsr.select_photons(Collection.join(parts), events["Muon"])
