"""Electrons: from generator electrons, from prompt photons that convert, and fakes, mostly in jets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.egamma_features import (
    EVENT_CONDITIONS,
    JET_CONDITIONS,
    JET_ROW_CONDITIONS,
    RHO,
    USES,
    jet_rows,
    nearest_row,
    of_event,
    particle_row,
    surroundings,
)
from flashsim_prod.physics.chain.features import GEN_JET_CONDITIONS, STATUS_BITS, closest_gen_jet, stable
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Rows, Scale
from flashsim_prod.physics.chain.objects.electron_attributes import CLASSES, TARGETS, assemble, express
from flashsim_prod.physics.definitions.egamma import by_uncalibrated_pt
from flashsim_prod.physics.definitions.egamma_links import ELECTRON, PHOTON, with_electron_truth
from flashsim_prod.physics.definitions.electrons import electron_flags
from flashsim_prod.physics.definitions.links import IS_PROMPT
from flashsim_prod.physics.events import Collection, Events

#: NanoAODv9 keeps no electron below this, nor outside the tracker [GeV]
_LOWEST_PT = 5.0
_MAX_ETA = 2.5
#: no electron comes of softer particles, or of such outside [GeV]
_LOWEST_GEN_PT = 3.0
_MAX_GEN_ETA = 2.7
_MAX_PHOTON_ETA = 3.1


def gen_electrons(events: Events) -> Collection:
    """Generator electrons that may be reconstructed, with ``position`` in GenPart and charge."""
    electrons = stable(events, ELECTRON)
    near = (electrons["pt"] > _LOWEST_GEN_PT) & (np.abs(electrons["eta"]) < _MAX_GEN_ETA)
    electrons = electrons.select(near)
    return electrons.with_columns(charge=-np.sign(electrons["pdgId"].astype(np.float64)))


def prompt_photons(events: Events) -> Collection:
    """Prompt generator photons that may be reconstructed, with ``position`` in GenPart."""
    photons = stable(events, PHOTON)
    prompt = (photons["statusFlags"].astype(np.int64) & IS_PROMPT) > 0
    near = (photons["pt"] > _LOWEST_GEN_PT) & (np.abs(photons["eta"]) < _MAX_PHOTON_ETA)
    return photons.select(prompt & near)


def _rows(events: Events, objects: Collection) -> Rows:
    columns = {**objects.columns, **surroundings(events, objects), **of_event(events, objects.event_index)}
    return Rows(objects.event_index, objects.local_index, columns)


def _gen_electrons(events: Events) -> Rows:
    electrons = gen_electrons(events)
    flags = electrons["statusFlags"].astype(np.int64)
    bits = {f"flag{bit}": (flags >> bit) & 1 for bit in STATUS_BITS}
    gen_jet = closest_gen_jet(electrons, events["GenJet"])
    return _rows(events, electrons.with_columns(**bits, **gen_jet))


def _convertible(events: Events) -> Collection:
    photons = prompt_photons(events)
    return photons.select(np.abs(photons["eta"]) < _MAX_GEN_ETA)


def _prompt_photons(events: Events) -> Rows:
    photons = _convertible(events)
    return _rows(events, photons.with_columns(charge=np.ones(photons.n_objects)))


def _jets(events: Events) -> Rows:
    """Fakes are held against the jet's direction; one may have any pt and charge."""
    rows = jet_rows(events)
    one = np.ones(len(rows))
    own = {"pt": one, "charge": one, "eta": rows["jet_eta"], "phi": rows["jet_phi"]}
    return Rows(rows.event_index, rows.item, rows.columns | own)


def _match_particles(events: Events, rows: Rows) -> NDArray[np.int64]:
    return particle_row(events, events["Electron"], rows["position"])


def _match_jets(events: Events, rows: Rows) -> NDArray[np.int64]:
    """All that comes of no generator electron and of no prompt photon."""
    electrons = events["Electron"]
    genuine = np.zeros(electrons.n_objects, bool)
    for particles in (gen_electrons(events), _convertible(events)):
        genuine |= particle_row(events, electrons, particles["position"]) >= 0
    return np.where(genuine, -1, nearest_row(electrons, events["Jet"]))


FROM_GEN_ELECTRON = ObjectModel(
    name="electron_from_genelectron",
    produces="Electron",
    uses=USES,
    source=_gen_electrons,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        Condition("charge"),
        *(Condition(f"flag{bit}") for bit in STATUS_BITS),
        *GEN_JET_CONDITIONS,
        *JET_CONDITIONS,
        Condition("jet_share"),
        *EVENT_CONDITIONS,
    ),
    targets=TARGETS,
    match=_match_particles,
    express=express,
    assemble=assemble,
)

FROM_PHOTON = ObjectModel(
    name="electron_from_photon",
    produces="Electron",
    uses=USES,
    source=_prompt_photons,
    conditions=(
        Condition("pt", Scale.LOG),
        Condition("eta"),
        Condition("phi"),
        *JET_CONDITIONS,
        Condition("jet_share"),
        *EVENT_CONDITIONS,
    ),
    targets=TARGETS,
    match=_match_particles,
    express=express,
    assemble=assemble,
)

FROM_JET = ObjectModel(
    name="electron_from_jet",
    produces="Electron",
    uses=USES,
    source=_jets,
    conditions=JET_ROW_CONDITIONS,
    targets=TARGETS,
    match=_match_jets,
    most=3,
    express=express,
    assemble=assemble,
)

MODELS = (FROM_GEN_ELECTRON, FROM_PHOTON, FROM_JET)


def finish(parts: list[Collection], events: Events) -> Collection:
    """All electrons in NanoAOD's order, with their identification and their generator particles."""
    electrons = Collection.join(parts)
    kept = (electrons["pt"] >= _LOWEST_PT) & (np.abs(electrons["eta"]) < _MAX_ETA)
    electrons = by_uncalibrated_pt(electrons.select(kept))
    flags = electron_flags(electrons.columns, events.scalars[RHO][electrons.event_index])
    electrons = with_electron_truth(electrons.with_columns(**flags), events["GenPart"])
    stored = {name: column for name, column in electrons.columns.items() if name not in CLASSES}
    return Collection(electrons.counts, stored)
