"""Photons: of the superclusters of electrons, of prompt photons, and fakes, mostly in jets.

An electron's supercluster nearly always gives a photon as well, with the very same shower shape; such photons
come of the reconstructed electron, or of the generator electron where none was reconstructed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.egamma_features import (
    EVENT_CONDITIONS,
    JET_CONDITIONS,
    JET_ROW_CONDITIONS,
    USES,
    jet_rows,
    nearest_row,
    of_event,
    particle_row,
    surroundings,
)
from flashsim_prod.physics.chain.forms import AsFloats, as_drawn
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Rows, Scale, Target, wrap_angle
from flashsim_prod.physics.chain.objects.electron import gen_electrons, prompt_photons
from flashsim_prod.physics.chain.objects.electron_attributes import shower_width
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.egamma import (
    BENDING,
    by_uncalibrated_pt,
    raw_score,
    smearing_width,
    supercluster_eta,
)
from flashsim_prod.physics.definitions.egamma_links import with_photon_truth
from flashsim_prod.physics.definitions.photons import (
    LEVELS,
    calibrated,
    cut_level,
    photon_flags,
    photon_levels,
)
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: NanoAODv9 keeps no photon below this [GeV], nor outside the preshower's reach
_LOWEST_PT = 10.0
_MAX_ETA = 3.0

_AS_STORED = ("seedGain", "pixelSeed")
_EXPRESSED = (
    *("pt", "eta", "phi", "mass", "energyErr", "r9", "sieie", "hoe", "charged", "neutral", "eCorr"),
    *("mvaID", "mvaID_Fall17V1p1", "oldShift"),
)
_TARGETS = tuple(Target(name) for name in (*_EXPRESSED, *_AS_STORED, *LEVELS))


def _express(attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    """Against the row's pt, direction and shower shape (0 where it has none)."""
    a = AsFloats(attributes)
    energy, cluster_eta = a["pt"] * np.cosh(a["eta"]), supercluster_eta(a["eta"], rows["vertex_z"])
    levels = photon_levels(attributes)
    known: dict[str, Column] = levels | {name: a[name] for name in ("pt", "sieie", "pfRelIso03_chg")}
    return {
        **{name: attributes[name] for name in _AS_STORED},
        **{name: levels[name] for name in LEVELS},
        "pt": a["pt"] / rows["pt"],
        "eta": a["eta"] - rows["eta"],
        "phi": wrap_angle(a["phi"] - rows["phi"]),
        "mass": a["mass"] / energy,
        "energyErr": a["energyErr"] / energy,
        "r9": a["r9"] - rows["r9"],
        "sieie": (a["sieie"] - rows["sieie"]) / shower_width(cluster_eta),
        "hoe": a["hoe"] - rows["hoe"],
        "charged": a["pfRelIso03_chg"] * a["pt"],
        "neutral": (a["pfRelIso03_all"] - a["pfRelIso03_chg"]) * a["pt"],
        "eCorr": (a["eCorr"] - 1.0) / smearing_width(cluster_eta, a["r9"]),
        "mvaID": raw_score(a["mvaID"]),
        "mvaID_Fall17V1p1": raw_score(a["mvaID_Fall17V1p1"]) - raw_score(a["mvaID"]),
        "oldShift": levels["oldLevel"] - cut_level(known, cluster_eta),
    }


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    made = as_drawn(drawn, _AS_STORED) | {name: drawn[name] for name in LEVELS}
    pt, eta = drawn["pt"] * rows["pt"], drawn["eta"] + rows["eta"]
    energy, cluster_eta = pt * np.cosh(eta), supercluster_eta(eta, rows["vertex_z"])
    r9 = drawn["r9"] + rows["r9"]
    charged = np.maximum(drawn["charged"], 0.0) / pt
    made |= {
        "pt": pt,
        "eta": eta,
        "phi": wrap_angle(drawn["phi"] + rows["phi"]),
        "mass": drawn["mass"] * energy,
        "energyErr": drawn["energyErr"] * energy,
        "r9": r9,
        "sieie": drawn["sieie"] * shower_width(cluster_eta) + rows["sieie"],
        "hoe": np.maximum(drawn["hoe"] + rows["hoe"], 0.0),
        "pfRelIso03_chg": charged,
        "pfRelIso03_all": charged + np.maximum(drawn["neutral"], 0.0) / pt,
        "eCorr": 1.0 + drawn["eCorr"] * smearing_width(cluster_eta, r9),
        "mvaID": np.tanh(drawn["mvaID"]),
        "mvaID_Fall17V1p1": np.tanh(drawn["mvaID"] + drawn["mvaID_Fall17V1p1"]),
        "electronIdx": rows["electronIdx"],
    }
    level = cut_level(made, cluster_eta) + np.rint(drawn["oldShift"]).astype(np.int64)
    return made | {"oldLevel": np.clip(level, 0, 3)}


def _without_shape(n: int) -> dict[str, Column]:
    """For sources that have no reconstructed cluster to compare with."""
    return {"electronIdx": np.full(n, -1), **{name: np.zeros(n) for name in ("r9", "sieie", "hoe")}}


def _electrons(events: Events) -> Rows:
    """Reconstructed electrons, and generator electrons that none of them came of."""
    objects = Collection.join([_reconstructed(events), _lost(events)])
    columns = {**objects.columns, **surroundings(events, objects), **of_event(events, objects.event_index)}
    columns["width"] = columns["sieie"] / shower_width(
        supercluster_eta(objects["eta"], np.asarray(columns["vertex_z"]))
    )
    return Rows(objects.event_index, objects.local_index, columns)


def _reconstructed(events: Events) -> Collection:
    """Electrons with the pt and direction of their clusters."""
    electrons = events["Electron"]
    pt = electrons["pt"].astype(np.float64)
    columns: dict[str, Column] = {
        "pt": pt * np.maximum(1.0 + electrons["scEtOverPt"], 0.05),
        "eta": electrons["eta"].astype(np.float64),
        "phi": wrap_angle(electrons["phi"] - BENDING * electrons["charge"] / pt),
        "charged": electrons["pfRelIso03_chg"] * pt,
        "everything": electrons["pfRelIso03_all"] * pt,
        "relativeErr": electrons["energyErr"] / (pt * np.cosh(electrons["eta"])),
        "score": raw_score(electrons["mvaFall17V2noIso"]),
        "prompt": np.isin(electrons["genPartFlav"], (1, 15)),
        "seedGain": electrons["seedGain"],
        "has_electron": np.ones(electrons.n_objects, bool),
        "electronIdx": electrons.local_index,
        "position": np.full(electrons.n_objects, -1),
        **{name: electrons[name].astype(np.float64) for name in ("r9", "sieie", "hoe")},
    }
    return Collection(electrons.counts, columns)


def _lost(events: Events) -> Collection:
    gen = gen_electrons(events)
    lost = gen.select(~_has_electron(events, gen))
    n = lost.n_objects
    columns: dict[str, Column] = {name: lost[name].astype(np.float64) for name in ("pt", "eta", "phi")}
    columns |= {name: np.zeros(n) for name in ("charged", "everything", "relativeErr", "score", "seedGain")}
    columns |= {"prompt": (lost["statusFlags"].astype(np.int64) & links.IS_PROMPT) > 0}
    columns |= {"has_electron": np.zeros(n, bool), "position": lost["position"], **_without_shape(n)}
    return Collection(lost.counts, columns)


def _has_electron(events: Events, gen: Collection) -> NDArray[np.bool_]:
    """Whether a reconstructed electron came of each generator particle."""
    electrons, particles = events["Electron"], events["GenPart"]
    position = links.flat(electrons["genPartIdx"], electrons, particles)
    found = np.zeros(particles.n_objects + 1, bool)
    found[position[position >= 0]] = True
    taken: NDArray[np.bool_] = found[gen["position"]]
    return taken


def _match_electrons(events: Events, rows: Rows) -> I64:
    photons, electrons = events["Photon"], events["Electron"]
    electron = links.flat(photons["electronIdx"], photons, electrons)
    row_of = np.flatnonzero(rows["electronIdx"] >= 0)
    lost = np.flatnonzero(rows["electronIdx"] < 0)
    of_lost = particle_row(events, photons, rows["position"][lost])
    result = np.where(of_lost >= 0, np.append(lost, -1)[of_lost], -1)
    # rows of electrons stand in the order of the electrons
    return np.where(electron >= 0, np.append(row_of, -1)[electron], result)


def _prompt(events: Events) -> Rows:
    photons = prompt_photons(events)
    photons = photons.with_columns(
        has_electron=_has_electron(events, photons), **_without_shape(photons.n_objects)
    )
    columns = {**photons.columns, **surroundings(events, photons), **of_event(events, photons.event_index)}
    return Rows(photons.event_index, photons.local_index, columns)


def _match_prompt(events: Events, rows: Rows) -> I64:
    taken = _match_electrons(events, _electrons(events)) >= 0
    return np.where(taken, -1, particle_row(events, events["Photon"], rows["position"]))


def _jets(events: Events) -> Rows:
    """Fakes are held against the jet's direction and its photons."""
    rows = jet_rows(events)
    own = {
        "pt": np.maximum(rows["jet_photon"], _LOWEST_PT),
        "eta": rows["jet_eta"],
        "phi": rows["jet_phi"],
        **_without_shape(len(rows)),
    }
    return Rows(rows.event_index, rows.item, rows.columns | own)


def _match_jets(events: Events, rows: Rows) -> I64:
    """All that comes of no electron and of no prompt photon."""
    genuine = (_match_electrons(events, _electrons(events)) >= 0) | (
        _match_prompt(events, _prompt(events)) >= 0
    )
    return np.where(genuine, -1, nearest_row(events["Photon"], events["Jet"]))


_USES = (*USES, "Electron")

FROM_ELECTRON = ObjectModel(
    name="photon_from_electron",
    produces="Photon",
    uses=_USES,
    source=_electrons,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("has_electron"),
        Condition("prompt"),
        *(Condition(name) for name in ("r9", "width", "score", "seedGain")),
        *(Condition(name, Scale.LOG1P) for name in ("charged", "everything", "hoe", "relativeErr")),
        *JET_CONDITIONS,
        *EVENT_CONDITIONS,
    ),
    targets=_TARGETS,
    match=_match_electrons,
    completed=("mass",),
    express=_express,
    assemble=_assemble,
)

FROM_PHOTON = ObjectModel(
    name="photon_from_photon",
    produces="Photon",
    uses=_USES,
    source=_prompt,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("has_electron"),
        *JET_CONDITIONS,
        *EVENT_CONDITIONS,
    ),
    targets=_TARGETS,
    match=_match_prompt,
    completed=("mass",),
    express=_express,
    assemble=_assemble,
)

FROM_JET = ObjectModel(
    name="photon_from_jet",
    produces="Photon",
    uses=_USES,
    source=_jets,
    conditions=JET_ROW_CONDITIONS,
    targets=_TARGETS,
    match=_match_jets,
    most=3,
    completed=("mass",),
    express=_express,
    assemble=_assemble,
)

MODELS = (FROM_ELECTRON, FROM_PHOTON, FROM_JET)

#: drawn for the identification, and not stored
_NOT_STORED = frozenset((*LEVELS, "oldLevel"))


def finish(parts: list[Collection], events: Events) -> Collection:
    """All photons in NanoAOD's order, with their identification and their generator particles."""
    photons = Collection.join(parts)
    kept = (photons["pt"] >= _LOWEST_PT) & (np.abs(photons["eta"]) < _MAX_ETA)
    photons = photons.select(kept)
    cluster_eta = supercluster_eta(photons["eta"], events.scalars["PV_z"][photons.event_index])
    photons = calibrated(photons, cluster_eta)
    photons = by_uncalibrated_pt(photons.with_columns(**photon_flags(photons.columns, cluster_eta)))
    photons = with_photon_truth(photons, events["GenPart"])
    stored = {name: column for name, column in photons.columns.items() if name not in _NOT_STORED}
    return Collection(photons.counts, stored)
