"""Weights from before an attribute was declared go on as they did; what needs it is told at once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain import compatibility
from flashsim_prod.physics.chain.bundle import Bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.combine import completed
from flashsim_prod.physics.chain.compatibility import (
    DECLARED,
    check_models,
    check_needs,
    lacks,
    told_lacks,
    told_missing,
)
from flashsim_prod.physics.chain.left_out import check_left_out
from flashsim_prod.physics.chain.model import Target
from flashsim_prod.physics.chain.objects import jet_attributes
from flashsim_prod.physics.chain.tensors import contract
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.merger import merge_files
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")
SCRIPT = Path(__file__).parents[2] / "outside" / "write_bundle.py"
JETS = ("jet_from_genjet", "jet_from_pileup")
RNG = np.random.default_rng(4)


@pytest.fixture(scope="module")
def folds(gen) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 9, "job_gen_first": 0}
    return fold_events(gen.slice(0, 12), oversample=2, gen_first=0, **numbering)


def _declare(monkeypatch, *targets: Target, models: tuple[str, ...] = JETS) -> None:
    """Declare more attributes of jets, drawn as they are, before all others."""
    names = tuple(target.name for target in targets)
    monkeypatch.setattr(jet_attributes, "_FREE", (*names, *jet_attributes._FREE))
    more = {name: replace(DECLARED[name], targets=(*targets, *DECLARED[name].targets)) for name in models}
    monkeypatch.setattr(compatibility, "DECLARED", {**DECLARED, **more})


def test_an_attribute_declared_later_changes_no_number(bundle, chain, folds, monkeypatch):
    before = chain.simulate(folds, seed=7)
    _declare(monkeypatch, Target("lateScore"), Target("lateFlag", default=0.5))
    after = Chain(bundle).simulate(folds, seed=7)
    assert after.scalars.keys() == before.scalars.keys()
    for name, column in before.scalars.items():
        assert np.array_equal(column, after.scalars[name]), name
    assert after.collections.keys() == before.collections.keys()
    for name, collection in before.collections.items():
        assert np.array_equal(collection.counts, after[name].counts), name
        for attribute, column in collection.columns.items():
            assert np.array_equal(column, after[name][attribute]), f"{name}_{attribute}"
        new = after[name].columns.keys() - collection.columns.keys()
        # the one with a default has it everywhere, the other one is left out
        assert new == ({"lateFlag"} if name == "Jet" else set())
    assert np.all(after["Jet"]["lateFlag"] == 0.5)


def all_lacks(bundle):
    found = {name: lacks(name, entry) for name, entry in bundle.manifest.models.items()}
    return {name: targets for name, targets in found.items() if targets}


def test_a_bundle_says_what_it_lacks(bundle, monkeypatch):
    assert all_lacks(bundle) == {}
    _declare(monkeypatch, Target("lateScore"), Target("lateFlag", default=0.5))
    lacking = {"lateScore": None, "lateFlag": 0.5}
    assert all_lacks(bundle) == dict.fromkeys(sorted(JETS), lacking)
    entry = bundle.manifest.models[JETS[0]]
    assert told_lacks(JETS[0], entry) == "lateScore (left out), lateFlag (drawn as 0.5 everywhere)"
    lacking = "lateScore (left out), lateFlag (drawn as 0.5 everywhere)"
    assert told_missing(bundle.manifest.models) == tuple(f"Jet of {name}: {lacking}" for name in sorted(JETS))


def test_what_a_bundle_makes_none_of_is_told(bundle):
    models = dict(bundle.manifest.models)
    assert told_missing(models) == ()
    for name in ("fatjet_from_genjet", "jet_from_pileup"):
        del models[name]
    no_fat_jets, no_pileup = told_missing(models)
    assert no_fat_jets == "no FatJet: the bundle has no model that makes them"
    assert no_pileup == "no objects of jet_from_pileup: the bundle lacks these models"


@pytest.fixture(scope="module")
def older(bundle, tmp_path_factory) -> Bundle:
    """Jets of the independent writer, which does not know two attributes; all else of the shipped bundle."""
    folder = tmp_path_factory.mktemp("older")
    model = DECLARED[JETS[0]]
    conditions = RNG.normal(2.0, 3.0, size=(4000, len(model.conditions))).astype(np.float32)
    number = (RNG.random(4000) < 0.9).astype(np.int64)
    row = np.flatnonzero(number)
    targets = {f"target.{one.name}": RNG.uniform(0.8, 1.2, len(row)) for one in model.targets}
    targets["target.nConstituents"] = RNG.integers(5, 40, len(row)).astype(np.int32)
    (folder / "contract.json").write_text(json.dumps(contract(JETS[0])))
    save_file({"conditions": conditions, "number": number, "row": row, **targets}, folder / "t.safetensors")
    command = [sys.executable, "-I", str(SCRIPT), "contract.json", "t.safetensors", "old", "area", "qgl"]
    subprocess.run(command, cwd=folder, check=True)
    return completed(load_bundle(folder / "old"), bundle, folder / "whole")


def test_files_of_a_bundle_that_lacks_attributes_are_whole_without_them(older, folds, tmp_path):
    check_needs(older)
    assert all_lacks(older) == {JETS[0]: {"area": None, "qgl": -1.0}}
    made = Chain(older, branches=("Jet_pt",)).simulate(folds, seed=3)
    jets = made["Jet"]
    # left out for jets of pileup, too, whose weights know it
    assert "area" not in jets
    genuine = jets["genJetIdx"] >= 0
    assert genuine.sum() > 20
    assert np.all(jets["qgl"][genuine] == -1.0)
    paths = []
    for number, part in enumerate((made.slice(0, 10), made.slice(10, made.n))):
        paths.append(tmp_path / f"{number}.root")
        with NanoWriter(paths[-1], schema=V9, provenance={"software": "test"}) as writer:
            writer.write(part)
        check_file(paths[-1], schema=V9)
    merge_files(paths, tmp_path / "merged.root", schema=V9, tool="uproot")
    assert check_file(tmp_path / "merged.root", schema=V9).events == made.n
    with NanoFile(str(tmp_path / "merged.root")) as file:
        assert "Jet_qgl" in file.branches
        assert "Jet_area" not in file.branches


def _without(name: str, target: str) -> list:
    models = [DECLARED[one] for one in DECLARED]
    kept = {str(one) for one in DECLARED[name].targets if one.name != target}
    assert len(kept) == len(DECLARED[name].targets) - 1
    return [model.drawing(kept) if model.name == name else model for model in models]


@pytest.mark.parametrize(
    ("model", "target", "complaint"),
    [
        # an attribute follows from it
        ("jet_from_genjet", "puIdDisc", "what else follows from it in Jet needs it"),
        ("jet_from_pileup", "muEF_share", "what else follows from it in Jet needs it"),
        # the collection is put together with it
        ("fsrphoton_from_muon", "relIso03", "FsrPhoton as a whole needs it"),
        # later models see it
        ("fatjet_from_genjet", "btagDeepB", "the source of subjet_from_prong needs it"),
        ("electron_from_jet", "seedGain", "the source of photon_from_electron needs it"),
    ],
)
def test_what_is_needed_cannot_be_lacking(model, target, complaint):
    with pytest.raises(BundleError) as told:
        check_left_out(_without(model, target), V9, "here")
    text = str(told.value)
    assert "\n" not in text
    assert text.startswith(f"here: {target} is not drawn by {model}, and {complaint}; fit again")


def _told(models: list) -> str:
    try:
        check_left_out(models, V9, "here")
    except BundleError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", list(DECLARED))
def test_of_every_target_it_is_known_whether_it_may_be_lacking(name):
    """Left out or refused by name: nothing else happens, whichever one it is."""
    for target in DECLARED[name].targets[:: 1 + len(DECLARED[name].targets) // 6]:
        told = _told(_without(name, target.name))
        assert not told or f"here: {target.name} is not drawn by {name}" in told


def test_a_scalar_that_others_use_is_told_as_missing(bundle, tmp_path):
    entry = bundle.manifest.models["event_scalars"]
    targets = tuple(one for one in entry.targets if not one.startswith("fixedGridRhoFastjetAll:"))
    entry = entry.model_copy(update={"targets": targets})
    models = {**bundle.manifest.models, "event_scalars": entry}
    changed = replace(bundle, manifest=bundle.manifest.model_copy(update={"models": models}))
    check_models(changed)
    with pytest.raises(
        BundleError, match="needs fixedGridRhoFastjetAll, which no model of this bundle makes"
    ):
        check_needs(changed)
