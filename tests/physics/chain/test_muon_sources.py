"""The chain with all sources of muons and their photons, from the smallest bundle that has them."""

from __future__ import annotations

import warnings

import awkward as ak
import numpy as np
import pytest
import torch

from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.definitions import fsr, links
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

MODELS = (
    "event_scalars",
    "jet_from_genjet",
    "muon_from_genmuon",
    "muon_duplicate",
    "muon_from_jet",
    "muon_from_pileup",
    "fsrphoton_from_genphoton",
    "fsrphoton_from_muon",
)
#: objects of each row: many more fakes and photons than there are, so that a small test has some
MEAN = {"muon_duplicate": 0.2, "muon_from_jet": 0.2, "muon_from_pileup": 0.5, "fsrphoton_from_muon": 0.6}


def _folds(gen: Events, k: int) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 2000, "job_gen_first": 0}
    return fold_events(gen, oversample=k, gen_first=0, **numbering)


@pytest.fixture(scope="module")
def chain(gen, untrained_chain, tmp_path_factory) -> Chain:
    reconstructed = ReferenceDetector().simulate(_folds(gen, 20), seed=3)
    return untrained_chain(map(find_model, MODELS), reconstructed, tmp_path_factory.mktemp("fits"), MEAN)


@pytest.fixture(scope="module")
def made(chain, gen) -> Events:
    torch.set_num_threads(1)
    return chain.simulate(_folds(gen, 10), seed=99)


def test_there_are_fakes_and_photons_of_every_source(made):
    muons = made["Muon"]
    assert (muons["genPartIdx"] >= 0).sum() > 100
    assert (muons["genPartIdx"] < 0).sum() > 100
    assert made["FsrPhoton"].n_objects > 10
    assert np.array_equal(made["OtherPV"].counts, np.clip(made.scalars["PV_npvs"] - 1, 0, 3))


def test_photons_and_muons_point_at_each_other(made):
    photons, muons = made["FsrPhoton"], made["Muon"]
    muon = links.flat(photons["muonIdx"], photons, muons)
    assert np.all(muons["pt"][muon] >= fsr.MIN_MUON_PT)
    forward = links.flat(muons["fsrPhotonIdx"], muons, photons)
    linked = np.flatnonzero(forward >= 0)
    assert np.array_equal(muon[forward[linked]], linked)
    assert set(linked) == set(muon)


def test_chunks_change_nothing(chain, gen, made):
    parts = []
    for start, stop in ((0, 23), (23, gen.n)):
        folds = fold_events(
            gen.slice(start, stop),
            oversample=10,
            gen_first=start,
            run=1,
            first_event=1,
            first_lumi=1,
            gen_events_per_lumi=2000,
            job_gen_first=0,
        )
        parts.append(chain.simulate(folds, seed=99))
    whole = Events.concatenate(parts)
    for name in ("Muon", "FsrPhoton", "OtherPV"):
        assert np.array_equal(whole[name].counts, made[name].counts)
        for attribute, column in made[name].columns.items():
            assert np.array_equal(whole[name][attribute], column), f"{name}_{attribute}"


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
    photons = ak.flatten(nano.FsrPhoton.matched_muon.pt)
    muons, position = made["Muon"], links.flat(made["FsrPhoton"]["muonIdx"], made["FsrPhoton"], made["Muon"])
    np.testing.assert_allclose(ak.to_numpy(photons), muons["pt"][position], rtol=1e-3)
    back = ak.flatten(nano.Muon.matched_fsrPhoton.pt)
    assert int(ak.count(back)) == int((muons["fsrPhotonIdx"] >= 0).sum())
