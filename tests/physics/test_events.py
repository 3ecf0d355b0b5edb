"""Branches of events by their full names."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.errors import MissingBranchError
from flashsim_prod.physics.events import Collection, Events, of_collections, split_name


@pytest.mark.parametrize(
    ("name", "collections", "parts"),
    [
        ("Jet_pt", {"Jet"}, ("Jet", "pt")),
        ("Muon_pfRelIso04_all", {"Jet", "Muon"}, ("Muon", "pfRelIso04_all")),
        ("Proton_multiRP_t", {"Proton_multiRP"}, ("Proton_multiRP", "t")),
        ("Proton_multiRP_time_unc", {"Proton", "Proton_multiRP"}, ("Proton_multiRP", "time_unc")),
        ("Proton_multiRP_t", set(), ("Proton", "multiRP_t")),
        ("Proton_multiRP", {"Proton_multiRP"}, ("Proton", "multiRP")),
        ("genWeight", {"Jet"}, ("genWeight", "")),
    ],
)
def test_the_longest_collection_that_there_is_owns_a_branch(name, collections, parts):
    assert split_name(name, collections) == parts


def test_a_branch_is_found_by_its_full_name():
    protons = Collection(np.array([2, 0, 1]), {"t": np.array([1.0, 2.0, 3.0])})
    events = Events(3, {"MET_pt": np.array([5.0, 6.0, 7.0])}, {"Proton_multiRP": protons})
    values, event = events.branch("Proton_multiRP_t")
    assert (values.tolist(), event.tolist()) == ([1, 2, 3], [0, 0, 2])
    values, event = events.branch("MET_pt")
    assert (values.tolist(), event.tolist()) == ([5, 6, 7], [0, 1, 2])
    there = [name for name in ("Proton_multiRP_t", "MET_pt") if events.has_branch(name)]
    absent = [
        name for name in ("Proton_multiRP_x", "Proton_t", "MET", "MET_phi", "t") if events.has_branch(name)
    ]
    assert (there, absent) == (["Proton_multiRP_t", "MET_pt"], [])
    with pytest.raises(MissingBranchError, match="no branch x"):
        events.branch("Proton_multiRP_x")
    with pytest.raises(MissingBranchError, match="no collection Jet"):
        events.branch("Jet_pt")


def test_what_is_derived_is_found_once_for_the_collections_that_it_is_made_of():
    asked = []

    @of_collections("Jet", "Muon")
    def doubled(events: Events) -> Collection:
        asked.append(set(events.collections))
        return events["Jet"].with_columns(twice=2 * events["Jet"]["pt"] + events["Muon"].n_objects)

    jets, muons, others = (Collection(np.array([1, 2]), {"pt": np.arange(3.0)}) for _ in range(3))
    events = Events(2, {}, {"Jet": jets, "Muon": muons, "Tau": others})
    first = doubled(events)
    assert first["twice"].tolist() == [3, 5, 7]
    assert doubled(events.with_collections({"Tau": muons})) is first
    assert asked == [{"Jet", "Muon"}]
    # of another collection, and back
    assert (
        doubled(events.with_collections({"Muon": muons.slice(0, 2).select(np.zeros(3, bool))}))["twice"][0]
        == 0
    )
    assert doubled(events)["twice"].tolist() == [3, 5, 7]
    with pytest.raises(MissingBranchError, match="Muon"):
        doubled(Events(2, {}, {"Jet": jets}))


def test_what_is_derived_is_found_once_for_each_number_that_it_is_asked_with() -> None:
    asked = []

    @of_collections("Jet")
    def times(events: Events, factor: int) -> Collection:
        asked.append(factor)
        return events["Jet"].with_columns(times=factor * events["Jet"]["pt"])

    events = Events(2, {}, {"Jet": Collection(np.array([1, 2]), {"pt": np.arange(3.0)})})
    assert times(events, 2)["times"].tolist() == [0, 2, 4]
    assert times(events, 3)["times"].tolist() == [0, 3, 6]
    assert times(events, 2) is times(events, 2)
    assert asked == [2, 3]
