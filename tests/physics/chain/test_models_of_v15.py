"""Models as they are in v15: what they learn, draw and write, and that others are as ever."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.chain.coverage import coverage, made_branches
from flashsim_prod.physics.chain.registry import MODELS, find_model, in_version, models_of, variant_of
from flashsim_prod.physics.detector.eras import ERAS
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.training.tables import extract, match_objects


@pytest.fixture(scope="module")
def run3(gen: Events) -> Events:
    """Top quark pairs as the reference detector sees them in Run 3."""
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    folds = fold_events(gen, oversample=3, gen_first=0, **numbering)
    return ReferenceDetector(era=ERAS["Run3_2022"]).simulate(folds, seed=4)


def test_a_model_is_itself_in_the_version_that_it_is_declared_in() -> None:
    for model in MODELS:
        for version in ("v9", "v13", ""):
            assert in_version(model, version) is model
        assert in_version(model, "v15") is in_version(in_version(model, "v15"), "v15")
        assert in_version(in_version(model, "v15"), "v9") is model


def test_attributes_of_another_version_are_not_drawn_and_its_own_are() -> None:
    jets = in_version(find_model("jet_from_genjet"), "v15")
    names = {target.name for target in jets.targets}
    assert {"btagPNetCvB", "btagUParTAK4B", "btagDeepFlavCvB", "pt"} <= names
    assert not {"btagDeepCvB", "btagCSVV2", "qgl", "bRegCorr"} & names
    assert jets.conditions == find_model("jet_from_genjet").conditions


def test_all_that_models_of_v15_make_is_written_into_it() -> None:
    models = models_of("v15")
    found = coverage(models, "v15", "v15")
    assert not [name for name, why in found.left_out.items() if "training" in why]
    gone = {f"{model.produces}_{name}" for model in models for name in variant_of(model).gone}
    assert not gone & set(made_branches(models))
    for name in ("Jet_btagPNetB", "Jet_btagUParTAK4B", "Muon_mvaMuID_WP", "Electron_mvaIso_WP80"):
        assert name not in found.absent
    for name in (
        "Electron_cutBased",
        "Photon_mvaID_WP90",
        "Tau_idDeepTau2018v2p5VSjet",
        "PFMET_ptUnclusteredUp",
    ):
        assert name not in found.absent


def test_every_model_learns_all_that_it_draws_from_files_without_the_attributes_of_run_2(
    run3: Events,
) -> None:
    assert "btagCSVV2" not in run3["Jet"]
    for model in models_of("v15"):
        table = extract(run3, model)
        assert table.absent == ()
        assert table.targets.keys() == {target.name for target in model.targets}


@pytest.mark.parametrize("name", ["jet_from_genjet", "muon_from_jet", "electron_from_jet", "photon_from_jet"])
def test_what_is_learned_gives_back_the_attributes(run3: Events, name: str) -> None:
    model = in_version(find_model(name), "v15")
    matched = match_objects(run3, model)
    rows = matched.rows.take(matched.row)
    targets = {
        key: one.astype(np.float64) for key, one in model.express_targets(matched.attributes, rows).items()
    }
    made = model.restore(targets, rows)
    for added in variant_of(model).added:
        assert np.allclose(made[added.name], matched.attributes[added.name], atol=1e-6), added.name
    for key in ("pt", "eta"):
        assert np.allclose(made[key], matched.attributes[key], rtol=1e-4, atol=1e-5)


def test_scores_are_undefined_outside_the_tracker_and_go_together(run3: Events) -> None:
    jets = run3["Jet"]
    outside = np.abs(jets["eta"]) >= 2.5
    assert outside.any()
    assert np.all(jets["btagPNetB"][outside] == -1)
    assert np.all(jets["btagUParTAK4UDG"][outside] == -3)
    assert np.all(jets["btagPNetQvG"] >= 0)
    bottom = jets["hadronFlavour"] == 5
    for name in ("btagPNetB", "btagUParTAK4B"):
        assert np.median(jets[name][bottom & ~outside]) > 0.5 > np.median(jets[name][~bottom & ~outside])
    muons = run3["Muon"]
    total = sum(muons[f"pnScore_{name}"].astype(float) for name in ("prompt", "heavy", "tau", "light"))
    assert np.all(total > 0.99)
    assert np.median(muons["mvaMuID"][muons["tightId"]]) > np.median(muons["mvaMuID"][~muons["tightId"]])
