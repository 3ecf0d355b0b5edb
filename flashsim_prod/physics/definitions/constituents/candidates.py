"""What particle flow calls the constituents of jets, and which jet has which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Column, Events

I64 = NDArray[np.int64]

#: most constituents of a jet: what NanoAOD's counter can hold
MOST = 255
#: kinds of candidates that particle flow knows: charged hadrons, photons, neutral hadrons, electrons, muons,
#: and hadronic and electromagnetic energy of the forward calorimeter; with the masses that they have [GeV]
PDG_IDS = np.array([-211, 211, 22, 130, 11, -11, 13, -13, 1, 2])
CHARGES = np.array([-1, 1, 0, 0, -1, 1, -1, 1, 0, 0])
MASSES = np.array([0.13957, 0.13957, 0.0, 0.0, 0.000511, 0.000511, 0.10566, 0.10566, 0.0, 0.0])
#: what neutral candidates have in the place of numbers of tracks
NO_TRACK = -1.0

#: which attributes of PFCands `linked` makes JetPFCands of, beside the indices
_COPIED = ("pt",)
#: a column of PFCands on their way: the jet of each, as its position in the event
JET = "jet"


def species(pdg_id: Column, charge: Column) -> I64:
    """Position in `PDG_IDS` of each candidate; what is not in it is a hadron of its charge."""
    order = np.argsort(PDG_IDS)
    place = order[np.searchsorted(PDG_IDS, pdg_id, sorter=order).clip(max=len(PDG_IDS) - 1)]
    hadron = np.select([charge < 0, charge > 0], [0, 1], 3)
    return np.where(PDG_IDS[place] == pdg_id, place, hadron).astype(np.int64)


def flat_jets(events: Events) -> tuple[I64, I64]:
    """Of each entry of JetPFCands its candidate and its jet, as positions in all events' PFCands and Jet.

    Entries that point to nothing are left out.
    """
    entries, jets, candidates = events["JetPFCands"], events["Jet"], events["PFCands"]
    event = entries.event_index
    jet, candidate = (entries[name].astype(np.int64) for name in ("jetIdx", "pFCandsIdx"))
    there = (
        (jet >= 0) & (jet < jets.counts[event]) & (candidate >= 0) & (candidate < candidates.counts[event])
    )
    event, jet, candidate = event[there], jet[there], candidate[there]
    return candidates.starts[event] + candidate, jets.starts[event] + jet


def link(events: Events) -> Events:
    """The events with JetPFCands, where their PFCands say which jets they are of."""
    if "PFCands" not in events or JET not in events["PFCands"]:
        return events
    found = events["PFCands"]
    entries = Collection(
        found.counts,
        {
            **{name: found[name] for name in _COPIED},
            "pFCandsIdx": found.local_index.astype(np.int32),
            "jetIdx": found[JET].astype(np.int32),
        },
    )
    kept = found.only([name for name in found.columns if name != JET])
    return events.with_collections({"PFCands": kept, "JetPFCands": entries})
