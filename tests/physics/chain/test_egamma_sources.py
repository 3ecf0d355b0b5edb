"""The chain with all sources of electrons and photons, from the smallest bundle that has them."""

from __future__ import annotations

import warnings

import awkward as ak
import numpy as np
import pytest
import torch

from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.objects import electron, photon
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

BEFORE = ("event_scalars", "jet_from_genjet")


def _folds(gen: Events, k: int, first: int = 0) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 2000, "job_gen_first": 0}
    return fold_events(gen, oversample=k, gen_first=first, **numbering)


@pytest.fixture(scope="module")
def chain(gen, untrained_chain, tmp_path_factory) -> Chain:
    reconstructed = ReferenceDetector().simulate(_folds(gen, 40), seed=3)
    models = [*map(find_model, BEFORE), *electron.MODELS, *photon.MODELS]
    return untrained_chain(models, reconstructed, tmp_path_factory.mktemp("fits"))


@pytest.fixture(scope="module")
def made(chain, gen) -> Events:
    torch.set_num_threads(1)
    return chain.simulate(_folds(gen, 20), seed=99)


def test_all_columns_of_nanoaod_are_there_with_legal_values(made):
    for name in ("Electron", "Photon"):
        objects = made[name]
        assert objects.n_objects > 200
        assert set(objects.columns) == {branch.attribute for branch in V9.attributes(name)}
        for branch in V9.attributes(name):
            column = objects[branch.attribute]
            assert np.isfinite(column.astype(float)).all(), branch.name
            if branch.legal is not None:
                assert set(np.unique(column).tolist()) <= set(branch.legal), branch.name


def test_electrons_and_photons_are_ordered_and_within_acceptance(made):
    for name, lowest, most in (("Electron", 5, 2.5), ("Photon", 10, 3.0)):
        objects = made[name]
        assert objects["pt"].min() >= lowest
        assert np.abs(objects["eta"]).max() <= most
        same_event = np.diff(objects.event_index) == 0
        # NanoAOD has them in the order of pt before calibration
        before = objects["pt"] / objects["eCorr"].astype(np.float64)
        assert (np.diff(before)[same_event] <= 1e-6 * before[1:][same_event]).all()


def test_a_photon_has_the_shower_of_its_electron(made):
    electrons, photons = made["Electron"], made["Photon"]
    of_photon = links.flat(photons["electronIdx"], photons, electrons)
    linked = np.flatnonzero(of_photon >= 0)
    assert len(linked) > 100
    back = links.flat(electrons["photonIdx"], electrons, photons)
    assert np.array_equal(back[of_photon[linked]], linked)
    assert (back >= 0).sum() == len(linked)
    prompt = electrons["convVeto"] & (electrons["lostHits"] == 0)
    assert np.array_equal(photons["electronVeto"][linked], ~prompt[of_photon[linked]])


def test_jets_and_electrons_point_at_each_other(made):
    jets, electrons = made["Jet"], made["Electron"]
    jet = links.flat(electrons["jetIdx"], electrons, jets)
    inside = jet >= 0
    assert np.array_equal(np.bincount(jet[inside], minlength=jets.n_objects), jets["nElectrons"])
    assert np.array_equal(jets["electronIdx1"] >= 0, jets["nElectrons"] > 0)
    assert np.array_equal(jets["electronIdx2"] >= 0, jets["nElectrons"] > 1)


def test_every_source_gives_some(made):
    assert {0, 1, 5, 22} <= set(np.unique(made["Electron"]["genPartFlav"]).tolist())
    assert {0, 1, 11} <= set(np.unique(made["Photon"]["genPartFlav"]).tolist())


def test_chunks_change_nothing(chain, gen, made):
    pieces = ((0, 23), (23, gen.n))
    parts = [chain.simulate(_folds(gen.slice(*piece), 20, piece[0]), seed=99) for piece in pieces]
    whole = Events.concatenate(parts)
    for name in ("Electron", "Photon"):
        assert np.array_equal(whole[name].counts, made[name].counts)
        for attribute, column in made[name].columns.items():
            assert np.array_equal(whole[name][attribute], column), f"{name}_{attribute}"


def test_events_without_particles_have_none_of_them(chain, gen):
    particles = gen["GenPart"]
    none = gen.with_collections({"GenPart": particles.select(np.zeros(particles.n_objects, bool))})
    made = chain.simulate(_folds(none, 5), seed=1)
    assert (made["Electron"]["genPartIdx"] == -1).all()
    assert (made["Photon"]["genPartFlav"] == 0).all()


@pytest.mark.filterwarnings("error:Missing cross-reference index for (Electron|Photon|Jet_electron)")
def test_the_file_passes_the_checks_and_coffea_follows_its_links(made, tmp_path):
    path = tmp_path / "made.root"
    with NanoWriter(path, schema=V9, provenance={"software": "test"}) as writer:
        writer.write(made)
    assert check_file(path, events=made.n, schema=V9).events == made.n
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
    nano = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    electrons, photons, jets = made["Electron"], made["Photon"], made["Jet"]
    for found, source, link, target, name in [
        (nano.Electron.matched_photon.r9, electrons, "photonIdx", photons, "r9"),
        (nano.Electron.matched_jet.area, electrons, "jetIdx", jets, "area"),
        (nano.Electron.matched_gen.pt, electrons, "genPartIdx", made["GenPart"], "pt"),
        (nano.Photon.matched_electron.r9, photons, "electronIdx", electrons, "r9"),
    ]:
        position = links.flat(source[link], source, target)
        expected = np.where(position >= 0, target[name][position], -1.0)
        read = ak.to_numpy(ak.flatten(ak.fill_none(found, -1.0)))
        np.testing.assert_allclose(read, expected, rtol=1e-2)
