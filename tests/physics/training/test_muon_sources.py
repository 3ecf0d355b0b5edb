"""Muons and their photons: each to one source, and fakes that come out as NanoAOD would have them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.chain.registry import MODELS, find_model
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.training.tables import extract

V9 = Schema.load("v9")

SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
FAKES = ("muon_duplicate", "muon_from_jet", "muon_from_pileup")


@pytest.fixture(scope="module")
def reconstructed(gen, reconstruct) -> Events:
    return reconstruct(gen, 40, seed=3)


@pytest.mark.parametrize("collection", ["Muon", "FsrPhoton"])
def test_every_object_goes_to_exactly_one_source(reconstructed, collection):
    models = [model for model in MODELS if model.produces == collection]
    matched = np.array([model.match(reconstructed, model.source(reconstructed)) >= 0 for model in models])
    assert np.all(matched.sum(axis=0) == 1)
    # and every source has some
    assert matched.any(axis=1).sum() == len(models) > 1


def test_a_duplicate_is_next_to_a_muon_and_a_fake_is_not(reconstructed):
    muons = reconstructed["Muon"]
    genuine = muons.select(muons["genPartIdx"] >= 0)
    for name, least, most in (("muon_duplicate", 0.0, 0.12), ("muon_from_jet", 0.08, np.inf)):
        model = find_model(name)
        chosen = model.match(reconstructed, model.source(reconstructed)) >= 0
        _, distance = links.nearest(muons.select(chosen), genuine)
        assert np.mean((distance >= least) & (distance <= most)) > 0.8, name


def test_fakes_of_pileup_are_anywhere_along_the_beam(reconstructed):
    spread = {}
    for name in FAKES[1:]:
        model = find_model(name)
        chosen = model.match(reconstructed, model.source(reconstructed)) >= 0
        spread[name] = np.median(np.abs(reconstructed["Muon"]["dz"][chosen]))
    assert spread["muon_from_pileup"] > 1.0 > 10 * spread["muon_from_jet"]


def test_all_sources_of_muons_give_the_same_columns(reconstructed):
    """The first source's columns are those of the collection."""
    columns = []
    for model in (find_model(name) for name in ("muon_from_genmuon", *FAKES)):
        table = extract(reconstructed, model)
        drawn = {name: column.astype(np.float64) for name, column in table.targets.items()}
        columns.append(model.restore(drawn, model.source(reconstructed).take(table.row)).keys())
    assert all(set(one) == set(columns[0]) for one in columns)


@pytest.mark.parametrize("name", FAKES)
def test_whatever_is_drawn_is_a_muon_that_nanoaod_could_hold(reconstructed, name):
    """Targets drawn independently of each other, as from a network that has learned no correlation at all."""
    model = find_model(name)
    table = extract(reconstructed, model)
    rng = np.random.default_rng(1)
    n = 500
    rows = model.source(reconstructed).take(rng.integers(0, len(table.number), n))
    drawn = {key: rng.choice(column, n).astype(np.float64) for key, column in table.targets.items()}
    made = model.restore(drawn, rows)
    assert all(np.isfinite(column).all() for column in made.values())
    flags = {key: column > 0 for key, column in made.items()}
    for inner, outer in [
        ("tightId", "mediumId"),
        ("mediumId", "isPFcand"),
        ("tightId", "isGlobal"),
        ("softId", "isTracker"),
        ("softId", "triggerIdLoose"),
    ]:
        assert not (flags[inner] & ~flags[outer]).any(), f"{inner} without {outer}"
    assert (made["pfRelIso03_chg"] <= made["pfRelIso03_all"] + 1e-6).all()
    assert np.array_equal(made["jetPtRelv2"] == 0, made["jetNDauCharged"] == 0)
    assert (made["softMva"][~flags["isGlobal"]] == -1).all()
    stored = flags["isPFcand"] | flags["softId"] | (made["softMva"] > 0.58) | flags["highPtId"]
    assert stored.all()


@pytest.mark.skipif(not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
def test_real_muons_go_to_exactly_one_source():
    with NanoFile(str(Path(SAMPLES or "") / "dyjets_ul17_v8like.root")) as file:
        known = [one for one in V9.branches if one in file.branches]
        real = file.read(known, 0, file.n_entries)
    models = [find_model(one) for one in ("muon_from_genmuon", *FAKES)]
    matched = np.array([model.match(real, model.source(real)) >= 0 for model in models])
    assert np.all(matched.sum(axis=0) == 1)
    assert matched[0].mean() > 0.5
    assert matched[2].any()
