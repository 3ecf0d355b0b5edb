"""Columns that describe a source and its surroundings, shared by the object models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.model import Condition, Rows, Scale
from flashsim_prod.physics.definitions.links import IS_PROMPT, close_pairs, delta_phi, nearest
from flashsim_prod.physics.events import Collection, Column, Events, of_collections

#: how far a neighbour may be to count; also the distance noted where there is none
NEIGHBOURHOOD = 1.0

#: no momentum that is divided by is taken for less [GeV]
_SMALLEST_PT = 1e-3

PILEUP = ("nTrueInt", "nPU", "gpudensity", "pudensity", "sumEOOT", "sumLOOT")

#: branches that `pileup` reads
PILEUP_BRANCHES = tuple(f"Pileup_{name}" for name in PILEUP)
PILEUP_CONDITIONS = tuple(Condition(f"pileup_{name}") for name in PILEUP)

_PARTON_FLAVOURS = {"undefined": (0,), "light": (1, 2, 3), "c": (4,), "b": (5,), "gluon": (21,)}
_HADRON_FLAVOURS = {"light": 0, "c": 4, "b": 5}

#: what was reconstructed of the event as a whole and shapes every object in it
RECONSTRUCTION_BRANCHES = (
    "fixedGridRhoFastjetAll",
    "fixedGridRhoFastjetCentralChargedPileUp",
    "PV_z",
    "GenVtx_z",
)
RECONSTRUCTION_CONDITIONS = (Condition("rho"), Condition("rho_charged"), Condition("wrong_vertex"))
#: farther than this from the generated vertex [cm], the primary vertex is another collision's
_WRONG_VERTEX = 0.05

#: kinds of stable particles whose share in a jet matters to it: GenPart's pdgId and the flags asked for
_CONTENT = {"electron": (11, 0), "muon": (13, 0), "photon": (22, IS_PROMPT)}
CONTENT_CONDITIONS = tuple(Condition(f"{kind}_fraction") for kind in _CONTENT)
#: the tracker's end in abs(eta)
TRACKER_ETA = 2.5
#: radius of the jets
_JET_RADIUS = 0.4

#: all status flags that NanoAOD keeps, bits 0 to 14
STATUS_BITS = range(15)


def pileup(events: Events, event_index: NDArray[np.int64]) -> dict[str, Column]:
    """The event's pileup conditions for each row: ``pileup_nTrueInt`` and so on."""
    return {f"pileup_{name}": events.scalars[f"Pileup_{name}"][event_index] for name in PILEUP}


def reconstruction(events: Events, event_index: NDArray[np.int64]) -> dict[str, Column]:
    """Pileup's reconstructed densities and where the primary vertex is, for each row.

    Columns are ``rho``, ``rho_charged``, ``wrong_vertex`` and ``vertex_dz``: generated less found z of
    the primary vertex [cm], which is the dz of what comes from the generated one.
    """
    rho, charged, found, true = (events.scalars[name] for name in RECONSTRUCTION_BRANCHES)
    shift = true.astype(np.float64) - found
    columns = {"rho": rho, "rho_charged": charged, "wrong_vertex": np.abs(shift) > _WRONG_VERTEX}
    return {name: column[event_index] for name, column in (columns | {"vertex_dz": shift}).items()}


@of_collections("GenPart", "GenJet")
def content(events: Events) -> dict[str, Column]:
    """Shares of electrons, muons and prompt photons in each generator jet's pt: ``electron_fraction``, ..."""
    jets, columns = events["GenJet"], {}
    for kind, (pdg_id, flags) in _CONTENT.items():
        particles = stable(events, pdg_id)
        chosen = (particles["statusFlags"].astype(np.int64) & flags) == flags
        particles = particles.select(chosen)
        jet, _ = nearest(particles, jets, _JET_RADIUS)
        inside = jet >= 0
        total = np.bincount(jet[inside], particles["pt"][inside], minlength=jets.n_objects)
        columns[f"{kind}_fraction"] = np.clip(total / np.maximum(jets["pt"], _SMALLEST_PT), 0.0, 1.0)
    return columns


def flavours(partons: Column, hadrons: Column, prefix: str = "") -> dict[str, Column]:
    """One-hot columns for a generator jet's parton and hadron flavour."""
    magnitude = np.abs(partons.astype(np.int64))
    found: dict[str, Column] = {
        f"{prefix}parton_{name}": np.isin(magnitude, ids) for name, ids in _PARTON_FLAVOURS.items()
    }
    return found | {f"{prefix}hadron_{name}": hadrons == value for name, value in _HADRON_FLAVOURS.items()}


def flavour_conditions(prefix: str = "") -> tuple[Condition, ...]:
    """Conditions for the columns of `flavours`."""
    names = [f"parton_{name}" for name in _PARTON_FLAVOURS] + [f"hadron_{name}" for name in _HADRON_FLAVOURS]
    return tuple(Condition(prefix + name) for name in names)


@of_collections("GenPart")
def stable(events: Events, pdg_id: int) -> Collection:
    """Final-state generator particles of one kind, with their place in GenPart as ``position`` (flat)."""
    particles = events["GenPart"]
    chosen = (np.abs(particles["pdgId"].astype(np.int64)) == pdg_id) & (particles["status"] == 1)
    return particles.with_columns(position=np.arange(particles.n_objects)).select(chosen)


def closest(objects: Collection, others: Collection, number: int, prefix: str) -> dict[str, Column]:
    """Distance, displacement and pt of the `number` closest of `others` to each object.

    Columns are ``<prefix><i>_dr``, ``_deta``, ``_dphi`` and ``_pt`` for i = 1, 2, ...; where there is
    none within the neighbourhood, the distance is its radius and all else is 0.
    """
    of_a, of_b, distance = close_pairs(objects, others, NEIGHBOURHOOD)
    order = np.lexsort((distance, of_a))
    of_a, of_b, distance = of_a[order], of_b[order], distance[order]
    counts = np.bincount(of_a, minlength=objects.n_objects)
    rank = np.arange(len(of_a)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns: dict[str, Column] = {}
    for i in range(number):
        a, b = of_a[rank == i], of_b[rank == i]
        values = {
            "dr": (distance[rank == i], NEIGHBOURHOOD),
            "deta": (others["eta"][b] - objects["eta"][a], 0.0),
            "dphi": (delta_phi(others["phi"][b], objects["phi"][a]), 0.0),
            "pt": (others["pt"][b], 0.0),
        }
        for name, (found, missing) in values.items():
            column = np.full(objects.n_objects, missing, dtype=np.float32)
            column[a] = found
            columns[f"{prefix}{i + 1}_{name}"] = column
    return columns


def closest_conditions(number: int, prefix: str) -> tuple[Condition, ...]:
    """Conditions for the columns of `closest`."""
    return tuple(
        Condition(f"{prefix}{i + 1}_{name}", Scale.LOG1P if name == "pt" else Scale.LINEAR)
        for i in range(number)
        for name in ("dr", "deta", "dphi", "pt")
    )


def closest_gen_jet(objects: Collection, gen_jets: Collection) -> dict[str, Column]:
    """Kinematics and flavour of the closest generator jet of each object, prefix ``genjet_``."""
    position, distance = nearest(objects, gen_jets, NEIGHBOURHOOD)
    found = position >= 0

    def of_jet(name: str) -> Column:
        column = np.zeros(objects.n_objects, dtype=gen_jets[name].dtype)
        column[found] = gen_jets[name][position[found]]
        return column

    columns: dict[str, Column] = {
        "genjet_dr": np.where(found, distance, NEIGHBOURHOOD),
        "genjet_deta": np.where(found, of_jet("eta") - objects["eta"], 0.0),
        "genjet_dphi": np.where(found, delta_phi(of_jet("phi"), objects["phi"]), 0.0),
        "genjet_pt": of_jet("pt"),
        "genjet_mass": of_jet("mass"),
    }
    return columns | flavours(of_jet("partonFlavour"), of_jet("hadronFlavour"), "genjet_")


GEN_JET_CONDITIONS = (
    Condition("genjet_dr"),
    Condition("genjet_deta"),
    Condition("genjet_dphi"),
    Condition("genjet_pt", Scale.LOG1P),
    Condition("genjet_mass", Scale.LOG1P),
    *flavour_conditions("genjet_"),
)


def vector_sum(events: Events, objects: Collection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the transverse momenta of each event's objects [GeV]: x and y, shape (n_events,)."""
    pt, phi = objects["pt"].astype(np.float64), objects["phi"].astype(np.float64)
    return _sum(events, objects, pt * np.cos(phi)), _sum(events, objects, pt * np.sin(phi))


def scalar_sum(events: Events, objects: Collection) -> NDArray[np.float64]:
    """Sum of the magnitudes of the transverse momenta of each event's objects [GeV], shape (n_events,)."""
    return _sum(events, objects, objects["pt"].astype(np.float64))


def central_ht(events: Events) -> NDArray[np.float64]:
    """Scalar sum of the pt of the generator jets that the tracker sees [GeV], shape (n_events,)."""
    jets = events["GenJet"]
    return scalar_sum(events, jets.select(np.abs(jets["eta"]) < TRACKER_ETA))


def _sum(events: Events, objects: Collection, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(objects.event_index, weights, minlength=events.n).astype(np.float64)


def per_event(events: Events, columns: dict[str, Column]) -> Rows:
    """One row for each event, with the pileup conditions added."""
    index = np.arange(events.n)
    return Rows(index, np.zeros(events.n, dtype=np.int64), columns | pileup(events, index))


def per_object(events: Events, objects: Collection, columns: Sequence[dict[str, Column]]) -> Rows:
    """One row for each object, with its own attributes, `columns` and the pileup conditions."""
    merged = dict(objects.columns)
    for more in columns:
        merged |= more
    return Rows(objects.event_index, objects.local_index, merged | pileup(events, objects.event_index))
