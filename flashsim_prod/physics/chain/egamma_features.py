"""Rows and conditions that the models of electrons and photons share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import PILEUP_BRANCHES, pileup
from flashsim_prod.physics.chain.model import Condition, Rows, Scale
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.egamma_links import JET_RADIUS
from flashsim_prod.physics.definitions.jet_surroundings import around, of_jets
from flashsim_prod.physics.events import Collection, Column, Events

I64 = NDArray[np.int64]

RHO = "fixedGridRhoFastjetAll"
#: what all rows of electrons and photons are made from
USES = ("GenPart", "GenJet", "Jet", "PV_z", "GenVtx_z", RHO, *PILEUP_BRANCHES)

#: conditions for the columns of `surroundings`
JET_CONDITIONS = (
    Condition("jet_dr"),
    Condition("jet_deta"),
    Condition("jet_dphi"),
    *(
        Condition(f"jet_{name}", Scale.LOG1P)
        for name in ("pt", "raw", "charged", "neutral", "photon", "electron")
    ),
    Condition("jet_nConstituents"),
)
EVENT_CONDITIONS = (Condition("rho"), Condition("pileup_nPU"))


def of_event(events: Events, event_index: I64) -> dict[str, Column]:
    """Vertex, density and pileup of each row's event.

    ``vertex_z`` is where the primary vertex was reconstructed, ``vertex_shift`` that less where the hard
    collision was [cm]: another collision may have been taken for it.
    """
    z, true_z = (events.scalars[name][event_index].astype(np.float64) for name in ("PV_z", "GenVtx_z"))
    columns = {"vertex_z": z, "vertex_shift": z - true_z, "rho": events.scalars[RHO][event_index]}
    return columns | pileup(events, event_index)


def surroundings(events: Events, objects: Collection) -> dict[str, Column]:
    """The reconstructed jet around each object, and which share of the object's pt its electrons have."""
    found = around(objects, events["Jet"])
    share = found["jet_electron"] / np.maximum(objects["pt"].astype(np.float64), 1e-3)
    return found | {"jet_share": np.minimum(share, 2.0)}


def jet_rows(events: Events) -> Rows:
    """A row for each event, for what lies in no jet, followed by one for each of its jets.

    Columns ``in_jet``, ``jet_eta``, ``jet_phi``, those of `of_jets`, ``jet_btag`` and ``jet_genuine``, all 0
    in the event's own row, and those of `of_event`.
    """
    jets = events["Jet"]
    n = events.n + jets.n_objects
    jet = np.full(n, -1, np.int64)
    jet[jet_row(jets)] = np.arange(jets.n_objects)
    event_index = np.repeat(np.arange(events.n), jets.counts + 1)
    inside = jet >= 0
    columns: dict[str, Column] = {"in_jet": inside, **of_jets(jets, jet)}
    values = {
        "jet_eta": jets["eta"],
        "jet_phi": jets["phi"],
        "jet_btag": jets["btagDeepFlavB"],
        "jet_genuine": jets["genJetIdx"] >= 0,
    }
    for name, value in values.items():
        columns[name] = np.zeros(n)
        columns[name][inside] = value[jet[inside]]
    item = np.zeros(n, np.int64)
    item[inside] = 1 + jets.local_index[jet[inside]]
    return Rows(event_index, item, columns | of_event(events, event_index))


#: conditions for the columns of `jet_rows`
JET_ROW_CONDITIONS = (
    Condition("in_jet"),
    Condition("jet_eta"),
    Condition("jet_phi"),
    *(
        Condition(f"jet_{name}", Scale.LOG1P)
        for name in ("pt", "raw", "charged", "neutral", "photon", "electron")
    ),
    Condition("jet_nConstituents"),
    Condition("jet_btag"),
    Condition("jet_genuine"),
    *EVENT_CONDITIONS,
)


def jet_row(jets: Collection) -> I64:
    """The row of each jet among those of `jet_rows`."""
    return np.arange(jets.n_objects) + jets.event_index + 1


def nearest_row(objects: Collection, jets: Collection) -> I64:
    """The row among those of `jet_rows` of the jet around each object, or of its event."""
    jet, _ = links.nearest(objects, jets, JET_RADIUS)
    of_event_row = jets.starts + np.arange(jets.n_events)
    row = of_event_row[objects.event_index]
    inside = jet >= 0
    row[inside] = jet_row(jets)[jet[inside]]
    return row


def particle_row(events: Events, objects: Collection, position: Column) -> I64:
    """The row of each object's generator particle, if `position` holds the rows' places in GenPart; or -1."""
    particles = events["GenPart"]
    row_of = np.full(particles.n_objects + 1, -1, np.int64)
    row = np.arange(len(position))
    row_of[position] = row
    kind = particles["pdgId"]
    mothers = links.flat(particles["genPartIdxMother"], particles, particles)
    # earlier copies of a particle, which files may link objects to, are of the same row
    copy = mothers[position]
    while len(copy := np.where((copy >= 0) & (kind[copy] == kind[position]), copy, -1)) and copy.max() >= 0:
        first = (copy >= 0) & (row_of[copy] < 0)
        row_of[copy[first]] = row[first]
        copy = np.where(copy >= 0, mothers[copy], -1)
    # an object without generator particle has position -1, the last entry
    return row_of[links.flat(objects["genPartIdx"], objects, particles)]
