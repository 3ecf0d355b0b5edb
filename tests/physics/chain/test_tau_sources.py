"""The chain with taus and secondary vertices, from the smallest bundle that has them."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import torch

from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.objects import secondary_vertex, tau
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.taus import raw_isolation, tau_flags
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.tables import extract

V9 = Schema.load("v9")

MODELS = ("event_scalars", "jet_from_genjet", "jet_from_pileup")


def _folds(gen: Events, first: int = 0, k: int = 20) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 2000, "job_gen_first": 0}
    return fold_events(gen, oversample=k, gen_first=first, **numbering)


@pytest.fixture(scope="module")
def reconstructed(gen) -> Events:
    return ReferenceDetector().simulate(_folds(gen, k=60), seed=3)


@pytest.fixture(scope="module")
def chain(reconstructed, untrained_chain, tmp_path_factory) -> Chain:
    models = [*map(find_model, MODELS), *tau.MODELS, *secondary_vertex.MODELS]
    return untrained_chain(models, reconstructed, tmp_path_factory.mktemp("fits"))


@pytest.fixture(scope="module")
def made(chain, gen) -> Events:
    torch.set_num_threads(1)
    return chain.simulate(_folds(gen), seed=99)


@pytest.mark.parametrize("models", [tau.MODELS, secondary_vertex.MODELS], ids=["Tau", "SV"])
def test_every_object_goes_to_exactly_one_source(reconstructed, models):
    matched = np.array([model.match(reconstructed, model.source(reconstructed)) >= 0 for model in models])
    assert np.all(matched.sum(axis=0) == 1)
    assert matched.any(axis=1).all()


def test_every_jet_of_the_tracker_is_one_row_of_each_collection(reconstructed):
    central = np.abs(reconstructed["Jet"]["eta"]) < 3.0
    for models in (tau.MODELS, secondary_vertex.MODELS):
        assert sum(len(model.source(reconstructed)) for model in models) == central.sum()


def test_a_tau_without_link_goes_with_its_nearest_jet(reconstructed):
    taus = reconstructed["Tau"]
    unlinked = taus.with_columns(jetIdx=np.full(taus.n_objects, -1, np.int32))
    events = reconstructed.with_collections({"Tau": unlinked})
    for model in tau.MODELS:
        rows = model.source(reconstructed)
        assert np.mean(model.match(events, rows) == model.match(reconstructed, rows)) > 0.99


def test_without_any_jet_nothing_has_a_source(reconstructed):
    jets = reconstructed["Jet"]
    events = reconstructed.with_collections({"Jet": jets.select(np.zeros(jets.n_objects, bool))})
    for model in (*tau.MODELS, *secondary_vertex.MODELS):
        assert (model.match(events, model.source(events)) == -1).all()


def test_real_taus_and_vertices_have_one_source_each():
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    with NanoFile(str(Path(folder) / "dyjets_ul17_v8like.root")) as file:
        real = file.read(
            sorted(one for one in file.branches if not one.startswith("HLT_")), 0, file.n_entries
        )
    for models, name in ((tau.MODELS, "Tau"), (secondary_vertex.MODELS, "SV")):
        matched = np.array([model.match(real, model.source(real)) >= 0 for model in models])
        assert np.all(matched.sum(axis=0) == 1), name
    flavour = real["Tau"]["genPartFlav"]
    sources = {model.name: model.match(real, model.source(real)) >= 0 for model in tau.MODELS}
    assert np.array_equal(sources["tau_from_gentau"], flavour == 5)
    # a fake may stem from a lepton that is too far from it to be its truth
    assert np.mean(sources["tau_from_electron"] == np.isin(flavour, (1, 3))) > 0.97
    assert np.mean(sources["tau_from_muon"] == np.isin(flavour, (2, 4))) > 0.97
    for model in tau.MODELS:
        for target, column in extract(real, model).targets.items():
            assert np.isfinite(column.astype(float)).all(), target


def test_taus_are_what_nanoaod_could_hold(made):
    taus = made["Tau"]
    assert taus.n_objects > 100
    assert taus["pt"].min() >= 18
    for name, column in tau_flags(taus.columns).items():
        assert np.array_equal(column, taus[name]), name
    parts = [taus[one].astype(float) for one in ("chargedIso", "neutralIso", "puCorr")]
    np.testing.assert_allclose(raw_isolation(*parts), taus["rawIso"], rtol=1e-4, atol=1e-4)
    assert (taus["rawIsodR03"] <= taus["rawIso"] * 1.0001).all()
    single = taus["decayMode"] == 0
    assert taus["mass"][single] == pytest.approx(0.13957)
    assert np.isin(taus["charge"], (-1, 1)).all()
    assert np.isin(taus["genPartFlav"], (1, 2, 5)).mean() > 0.05


def test_taus_link_to_jets_and_truth(made):
    taus = made["Tau"]
    jet = links.flat(taus["jetIdx"], taus, made["Jet"])
    assert np.mean(jet >= 0) > 0.9
    assert len(np.unique(jet[jet >= 0])) == (jet >= 0).sum()
    hadronic = taus.select(taus["genPartFlav"] == 5)
    truth = links.flat(hadronic["genPartIdx"], hadronic, made["GenVisTau"])
    assert (truth >= 0).all()
    assert links.delta_r(hadronic, made["GenVisTau"], np.arange(len(truth)), truth).max() < 0.3
    light = taus.select(np.isin(taus["genPartFlav"], (1, 2, 3, 4)))
    lepton = links.flat(light["genPartIdx"], light, made["GenPart"])
    expected = np.where(light["genPartFlav"] % 2 == 1, 11, 13)
    assert np.array_equal(np.abs(made["GenPart"]["pdgId"][lepton]), expected)


def test_vertices_are_what_nanoaod_could_hold(made):
    vertices = made["SV"]
    assert vertices.n_objects > 100
    tracks, charge = vertices["ntracks"].astype(int), vertices["charge"]
    assert (np.abs(charge) <= tracks).all()
    assert ((tracks + charge) % 2 == 0).all()
    x, y, z = (
        vertices[axis] - made.scalars[f"PV_{axis}"].astype(float)[vertices.event_index] for axis in "xyz"
    )
    np.testing.assert_allclose(np.sqrt(x**2 + y**2 + z**2), vertices["dlen"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.hypot(x, y), vertices["dxy"], rtol=1e-3, atol=1e-5)
    assert vertices["dlenSig"].min() > 3


def test_chunks_change_nothing(chain, gen, made):
    parts = [
        chain.simulate(_folds(gen.slice(start, stop), start), seed=99)
        for start, stop in ((0, 23), (23, gen.n))
    ]
    whole = Events.concatenate(parts)
    for name in ("Tau", "SV"):
        assert np.array_equal(whole[name].counts, made[name].counts)
        for attribute, column in made[name].columns.items():
            assert np.array_equal(whole[name][attribute], column), f"{name}_{attribute}"


def test_events_without_generated_taus_have_fakes_only(chain, gen):
    taus = gen["GenVisTau"]
    none = gen.with_collections({"GenVisTau": taus.select(np.zeros(taus.n_objects, bool))})
    made = chain.simulate(_folds(none), seed=1)
    assert made["Tau"].n_objects > 0
    assert (made["Tau"]["genPartFlav"] != 5).all()
    empty = replace(none, collections={name: _emptied(one) for name, one in none.collections.items()})
    assert chain.simulate(_folds(empty), seed=1)["SV"].n_events == 20 * gen.n


def _emptied(objects: Collection) -> Collection:
    return objects.select(np.zeros(objects.n_objects, bool))


@pytest.mark.filterwarnings("ignore:Missing cross-reference", "ignore:Branch Photon_")
def test_the_file_passes_the_checks_and_coffea_follows_its_links(made, tmp_path):
    path = tmp_path / "made.root"
    with NanoWriter(path, schema=V9, provenance={"software": "test"}) as writer:
        writer.write(made)
    assert check_file(path, events=made.n, schema=V9).events == made.n
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
    nano = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    taus = made["Tau"]
    jet = links.flat(taus["jetIdx"], taus, made["Jet"])
    expected = np.where(jet >= 0, made["Jet"]["nConstituents"][jet].astype(int), -1)
    found = ak.flatten(ak.fill_none(nano.Tau.matched_jet.nConstituents, -1))
    assert np.array_equal(ak.to_numpy(found), expected)
    # coffea gives vertices a four-vector and a distance of their own
    np.testing.assert_allclose(ak.to_numpy(ak.flatten(nano.SV.p4.mass)), made["SV"]["mass"], rtol=1e-2)
