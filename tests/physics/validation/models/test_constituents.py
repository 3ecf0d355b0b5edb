"""Sets of constituents, drawn against held out."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.validation.models.constituents import compare_sets
from flashsim_prod.physics.validation.models.held_out import HeldOut, view


@pytest.fixture(scope="module")
def held_out(gen) -> HeldOut:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    folds = fold_events(gen, oversample=1, gen_first=0, **numbering)
    events = ReferenceDetector(constituents=True).simulate(folds, seed=3)
    return view(events, find_model("jet_constituents"))


def test_the_same_sets_have_no_distance(held_out):
    found = compare_sets(held_out, held_out.attributes, 1)
    assert found.sets == len(held_out.table.number)
    values = {one.name: one.value.value for one in found.figures}
    assert list(values)[-2:] == ["FPD", "KPD"]
    assert max(value for name, value in values.items() if name not in ("FPD", "KPD")) < 1e-9
    assert all(one.floor.value > 0 for one in found.figures if one.name not in ("FPD", "KPD"))


def test_members_that_are_put_on_one_side_change_the_substructure_and_nothing_else(held_out):
    # each about the axis of its jet: the same pt and the same distances from the axis
    sources = held_out.sources
    eta = held_out.attributes["eta"] - sources["eta"]
    phi = (held_out.attributes["phi"] - sources["phi"] + np.pi) % (2 * np.pi) - np.pi
    distance = np.hypot(eta, phi)
    aligned = {
        **held_out.attributes,
        "eta": sources["eta"] + distance,
        "phi": sources["phi"].astype(np.float64),
    }
    found = {one.name: one for one in compare_sets(held_out, aligned, 1).figures}
    assert found["pt"].value.value < 1e-9
    assert found["charged multiplicity"].value.value == 0
    assert found["EFPs"].value.value > 2 * found["EFPs"].floor.value
    assert found["FPD"].value.value > found["FPD"].floor.value


def test_nothing_is_said_of_few_sets(held_out):
    few = held_out.head(200)
    assert compare_sets(few, few.attributes, 1) is None
