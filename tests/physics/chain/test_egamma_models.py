"""Electrons and photons in the chain: every one has one source, and what networks learn gives them back."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from flashsim_prod.physics.chain.egamma_features import jet_row, jet_rows, nearest_row
from flashsim_prod.physics.chain.objects import electron, photon
from flashsim_prod.physics.definitions import egamma_links
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.training.tables import extract

SOURCES = [("Electron", electron), ("Photon", photon)]


@pytest.fixture(scope="module")
def reco(gen: Events) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 200, "job_gen_first": 0}
    folds = fold_events(gen, oversample=10, gen_first=0, **numbering)
    return ReferenceDetector().simulate(folds, seed=5)


@pytest.mark.parametrize(("name", "module"), SOURCES)
def test_every_object_comes_of_exactly_one_source(reco: Events, name: str, module: ModuleType) -> None:
    sources = np.zeros(reco[name].n_objects, int)
    for model in module.MODELS:
        row = model.match(reco, model.source(reco))
        sources += row >= 0
        assert (row >= 0).any(), model.name
    assert (sources == 1).all()


@pytest.mark.parametrize(("name", "module"), SOURCES)
def test_rows_lie_in_the_event_of_their_objects(reco: Events, name: str, module: ModuleType) -> None:
    for model in module.MODELS:
        rows = model.source(reco)
        row = model.match(reco, rows)
        matched = row >= 0
        assert np.array_equal(rows.event_index[row[matched]], reco[name].event_index[matched])
        # random numbers are drawn for event and item
        assert len(np.unique(rows.event_index * 100_000 + rows.item)) == len(rows)


@pytest.mark.parametrize(("name", "module"), SOURCES)
def test_targets_give_back_the_objects_with_all_their_flags(
    reco: Events, name: str, module: ModuleType
) -> None:
    """What is left out of the targets is computed; so nothing may be lost on the way through them."""
    parts = []
    for model in module.MODELS:
        rows, table = model.source(reco), extract(reco, model)
        own = rows.take(table.row)
        drawn = {key: column.astype(np.float64) for key, column in table.targets.items()}
        parts.append(Collection.from_rows(reco.n, own.event_index, model.restore(drawn, own)))
    made = egamma_links.link(reco.with_collections({name: module.finish(parts, reco)}))[name]
    wanted = reco[name]
    assert np.array_equal(made.counts, wanted.counts)
    assert set(made.columns) == set(wanted.columns)
    for column, values in wanted.columns.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(made[column], values, rtol=2e-3, atol=2e-4, err_msg=column)
        else:
            # rounding may carry an attribute over a cut
            assert np.mean(made[column].astype(values.dtype) != values) < 0.004, column


def test_an_electron_outside_all_jets_belongs_to_its_event(reco: Events) -> None:
    rows, jets = jet_rows(reco), reco["Jet"]
    assert np.array_equal(rows["jet_pt"][jet_row(jets)], jets["pt"].astype(np.float64))
    assert rows["in_jet"].sum() == jets.n_objects
    electrons = reco["Electron"]
    row = nearest_row(electrons, jets)
    assert np.array_equal(rows["in_jet"][row], electrons["jetIdx"] >= 0)
