"""Models of fat jets and subjets: sources, what they learn, and the chain with a small bundle of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.chain.bundle import load_bundle
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.forms import filled_along
from flashsim_prod.physics.chain.model import NetworkSize, Rows
from flashsim_prod.physics.chain.objects import fatjet
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.definitions import fat_jets as fat
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.boosted import four_momentum, invariant_mass, sum_of
from flashsim_prod.physics.definitions.fat_jet_scores import odds
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.fit import fit_model
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.tables import extract

V9 = Schema.load("v9")

MODELS = ("fatjet_from_genjet", "subjet_from_prong")
SIZE = NetworkSize(width=32, blocks=1, time_frequencies=4, classifier=(16,))
SETTINGS = FitSettings(flow_steps=150, multiplicity_steps=150, batch=512, learning_rate=5e-3, average=0.9)


def _folds(gen: Events, k: int) -> Events:
    return fold_events(
        gen,
        oversample=k,
        gen_first=0,
        run=1,
        first_event=1,
        first_lumi=1,
        gen_events_per_lumi=5000,
        job_gen_first=0,
    )


@pytest.fixture(scope="module")
def boosted_gen(boosted_events: Callable[..., Events]) -> Events:
    kinds = ("light", "w_qq", "h_bb", "top")
    parts = [boosted_events(kind, 150, pt=(130.0, 600.0), seed=seed) for seed, kind in enumerate(kinds)]
    return Events.concatenate(parts)


@pytest.fixture(scope="module")
def reconstructed(boosted_gen: Events) -> Events:
    return ReferenceDetector().simulate(_folds(boosted_gen, 4), seed=3)


@pytest.fixture(scope="module")
def chain(reconstructed: Events, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Both models, fitted in seconds."""
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("fits")
    for name in MODELS:
        model = find_model(name)
        fitted, record = fit_model(model, extract(reconstructed, model), SETTINGS, folder / name, size=SIZE)
        save_fitted(fitted, record, folder / name)
    fits = {name: folder / name for name in MODELS}
    build_bundle(fits, folder / "bundle", name="m", title="t", tag="Mini", training_sample=("boosted",))
    return Chain(load_bundle(folder / "bundle"))


@pytest.fixture(scope="module")
def made(chain: Chain, boosted_gen: Events) -> Events:
    return chain.simulate(_folds(boosted_gen, 3), seed=99)


# ---------------------------------------------------------------- extraction


@pytest.mark.parametrize(("name", "collection"), [(MODELS[0], "FatJet"), (MODELS[1], "SubJet")])
def test_every_object_goes_to_one_row_of_its_own(reconstructed: Events, name: str, collection: str) -> None:
    model = find_model(name)
    row = model.match(reconstructed, model.source(reconstructed))
    assert len(row) == reconstructed[collection].n_objects > 1000
    assert (row >= 0).all()
    assert len(np.unique(row)) == len(row)


def test_prongs_that_are_close_are_not_mixed_up(reconstructed: Events) -> None:
    table = extract(reconstructed, find_model("subjet_from_prong"))
    assert np.median(table.targets["pt"]) == pytest.approx(1.0, abs=0.02)
    assert (np.abs(np.log(table.targets["pt"])) < 0.5).mean() > 0.998


def test_no_spike_is_left_to_learn_where_a_rule_decides(reconstructed: Events) -> None:
    table = extract(reconstructed, find_model("fatjet_from_genjet"))
    assert (reconstructed["FatJet"]["n2b1"] == np.float32(fat.NOT_GROOMED)).mean() > 0.02
    assert (table.targets["n3b1"] > 0).all()
    assert set(np.unique(table.targets["n2b1"][table.targets["n2b1"] <= 0])) <= {fat.TOO_FEW}
    subjets = extract(reconstructed, find_model("subjet_from_prong")).targets
    assert all((subjets[name] >= 0).all() for name in ("n2b1", "n3b1", "btagCSVV2"))
    assert set(np.unique(subjets["axes"])) <= {0, 1, 2, 3, 4}


def test_jets_that_rounding_takes_over_the_threshold_upset_no_other(reconstructed: Events) -> None:
    """In files a jet may look groomed by its uncalibrated pt although it was not."""
    jets, model = reconstructed["FatJet"], find_model("fatjet_from_genjet")
    odd = np.arange(jets.n_objects) % 100 == 0
    missing = np.where(odd, np.float32(fat.NOT_GROOMED), jets["n2b1"])
    events = reconstructed.with_collections({"FatJet": jets.with_columns(n2b1=missing)})
    learned = extract(events, model).targets["n2b1"]
    assert np.all((learned == fat.TOO_FEW) | ((learned > 0) & (learned < 0.6)))


@given(st.floats(100.0, 5000.0), st.floats(1e-3, 3.0))
def test_bending_pt_is_undone_and_keeps_the_threshold(gen_pt: float, excess: float) -> None:
    rows = Rows(np.zeros(1, np.int64), np.zeros(1, np.int64), {"pt": np.array([gen_pt])})
    ratio = np.array([fat.LOWEST_PT / gen_pt + excess])
    bent = fatjet._bent(ratio, rows)
    assert fatjet._straight(bent, rows) == pytest.approx(ratio, rel=1e-9)
    assert fatjet._straight(bent - 1000.0, rows) * gen_pt == pytest.approx(fat.LOWEST_PT)


def test_fills_follow_the_trend_and_touch_nothing_that_is_defined() -> None:
    rng = np.random.default_rng(1)
    along = rng.uniform(size=4000)
    values = 2.0 * along + 0.1 * rng.normal(size=4000)
    defined = along < 0.6
    result = filled_along(np.where(defined, values, -99999.0), defined, along)
    assert np.array_equal(result[defined], values[defined])
    assert result.min() >= values[defined].min()
    assert result.max() <= values[defined].max()
    some = rng.random(4000) < 0.5
    again = filled_along(np.where(some, values, -1.0), some, along)
    assert np.corrcoef(again[~some], along[~some])[0, 1] > 0.95
    assert (filled_along(values, np.zeros(4000, bool), along) == 0).all()


# ---------------------------------------------------------------- the chain


def test_types_and_values_are_those_of_nanoaod(made: Events) -> None:
    for name in ("FatJet", "SubJet"):
        collection = made[name]
        assert collection.n_objects > 500
        assert set(collection.columns) == {branch.attribute for branch in V9.attributes(name)}
        for key, column in collection.columns.items():
            branch = V9.branches[f"{name}_{key}"]
            assert column.dtype == branch.dtype, key
            assert np.isfinite(column.astype(float)).all(), key
            if branch.legal is not None:
                assert set(np.unique(column).tolist()) <= set(branch.legal), key


def test_fat_jets_and_subjets_are_consistent(made: Events) -> None:
    jets, subjets = made["FatJet"], made["SubJet"]
    assert jets["pt"].min() >= fat.LOWEST_PT
    slots = tuple(links.flat(jets[name], jets, subjets) for name in ("subJetIdx1", "subJetIdx2"))
    linked = np.concatenate(slots)
    assert np.array_equal(np.sort(linked[linked >= 0]), np.arange(subjets.n_objects))
    mass = np.where(slots[0] >= 0, invariant_mass(sum_of(four_momentum(subjets), slots)), -1.0)
    assert np.allclose(jets["msoftdrop"], mass, rtol=1e-4, atol=0.02)
    groomed = fat.raw_pt(jets) > fat.LOWEST_PT * (1 + 1e-6)
    assert np.all(groomed[slots[0] >= 0])
    assert np.array_equal(jets["n2b1"] == np.float32(fat.NOT_GROOMED), slots[0] < 0)
    taus = [jets[f"tau{n}"] for n in (1, 2, 3, 4)]
    assert all((after <= before + 1e-6).all() for before, after in pairwise(taus))
    decorrelated = sum(jets[f"particleNetMD_{name}"] for name in ("QCD", "Xbb", "Xcc", "Xqq"))
    assert np.allclose(decorrelated, 1, atol=1e-4)
    either = odds(jets["deepTagMD_ZbbvsQCD"]) + odds(jets["deepTagMD_HbbvsQCD"])
    defined = (jets["deepTagMD_ZbbvsQCD"] >= 0) | (jets["deepTagMD_HbbvsQCD"] >= 0)
    assert np.allclose(jets["deepTagMD_ZHbbvsQCD"][defined], (either / (1 + either))[defined], atol=1e-3)
    assert np.all(jets["deepTagMD_ZHbbvsQCD"][~defined] == -10)


def test_subjets_in_few_pieces_have_nothing_that_needs_more(made: Events) -> None:
    subjets = made["SubJet"]
    axes = np.sum([subjets[f"tau{n}"] > 0 for n in (1, 2, 3, 4)], axis=0)
    assert np.array_equal(subjets["n2b1"] == fat.TOO_FEW, axes < 2)
    assert np.array_equal(subjets["n3b1"] == fat.TOO_FEW, axes < 3)
    assert np.array_equal(subjets["btagCSVV2"] == -10, subjets["btagDeepB"] < 0)


def test_the_chain_is_close_to_the_reference_detector(made: Events, reconstructed: Events) -> None:
    """As far as fits of seconds go: numbers, and where the masses are."""
    per_event = [events["FatJet"].n_objects / events.n for events in (made, reconstructed)]
    assert per_event[0] == pytest.approx(per_event[1], rel=0.1)
    for name in ("pt", "mass", "msoftdrop", "nConstituents"):
        ours, theirs = (np.median(events["FatJet"][name]) for events in (made, reconstructed))
        assert ours == pytest.approx(theirs, rel=0.15), name


def test_chunks_change_nothing(chain: Chain, boosted_gen: Events, made: Events) -> None:
    folds = _folds(boosted_gen, 3)
    parts = [chain.simulate(folds.slice(start, stop), seed=99) for start, stop in ((0, 60), (60, folds.n))]
    whole = Events.concatenate(parts)
    for name in ("FatJet", "SubJet"):
        assert np.array_equal(whole[name].counts, made[name].counts)
        for key, column in made[name].columns.items():
            assert np.array_equal(whole[name][key], column), key


def test_the_file_passes_the_checks_and_coffea_follows_its_links(made: Events, tmp_path: Path) -> None:
    path = tmp_path / "boosted.root"
    with NanoWriter(path, schema=V9, provenance={"software": "test"}) as writer:
        writer.write(made)
    assert check_file(path, events=made.n, schema=V9).events == made.n
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

        events = NanoEventsFactory.from_root(
            {str(path): "Events"}, schemaclass=NanoAODSchema, mode="eager"
        ).events()
        jets = events.FatJet
        total = ak.sum(jets.subjets, axis=-1)
        matched = jets.matched_gen
    groomed = ak.flatten(jets.subJetIdx2 >= 0)
    mass, stored = (
        ak.to_numpy(ak.flatten(column))[ak.to_numpy(groomed)] for column in (total.mass, jets.msoftdrop)
    )
    assert np.allclose(mass, stored, rtol=0.02, atol=0.5)
    assert ak.all(jets.delta_r(matched) < 0.8, axis=None)
