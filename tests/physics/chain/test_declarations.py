"""Attributes come back from what the flows learn of them, and anything the flows draw is consistent."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.definitions.jets_muons import bottom_score, impact_3d, parton_flavour, pileup_id
from flashsim_prod.physics.definitions.links import lots
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.training.tables import extract

SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
NAMES = ("event_scalars", "jet_from_genjet", "jet_from_pileup", "muon_from_genmuon", "met")
#: stored with less precision than their relations would need
_COARSE = {"sip3d": 0.02, "jetRelIso": 0.05, "MET_significance": 0.02}


@pytest.fixture(scope="module")
def reconstructed(gen, reconstruct) -> Events:
    return reconstruct(gen, 6, seed=5)


def _rows(events: Events, model: ObjectModel) -> tuple[dict[str, Column], Rows, dict[str, Column]]:
    """Targets of `model`, their rows, and the attributes that they were made of."""
    table = extract(events, model)
    sources = model.source(events)
    if model.scalar:
        return table.targets, sources.take(table.row), dict(events.scalars)
    chosen = np.flatnonzero(model.match(events, sources) >= 0)
    assert len(chosen) == len(table.row)
    attributes = {name: column[chosen] for name, column in events[model.produces].columns.items()}
    return table.targets, sources.take(table.row), attributes


@pytest.mark.parametrize("name", NAMES)
def test_attributes_come_back_from_their_targets(reconstructed, name):
    model = find_model(name)
    targets, rows, attributes = _rows(reconstructed, model)
    made = model.restore({target: column.astype(np.float64) for target, column in targets.items()}, rows)
    # tells the jets of pileup from the others until both are together, and is not stored
    made.pop("from_pileup", None)
    if name == "jet_from_genjet":
        # what jets get from their generator jets when both are together
        made["partonFlavour"] = parton_flavour(made["partonFlavour"], lots(made["eta"], made["phi"]))
    assert len(made) > 15
    for attribute, column in made.items():
        known = attributes[attribute].astype(np.float64)
        tolerance = _COARSE.get(attribute, 0.01) * np.maximum(np.abs(known), 0.05 * known.std() + 1e-6)
        assert np.mean(np.abs(column - known) > tolerance) < 0.005, attribute


@pytest.mark.parametrize("name", NAMES)
def test_targets_drawn_without_any_correlation_make_consistent_attributes(reconstructed, name):
    model = find_model(name)
    targets, rows, _ = _rows(reconstructed, model)
    rng = np.random.default_rng(1)
    drawn = {target: rng.permutation(column).astype(np.float64) for target, column in targets.items()}
    made = model.restore(drawn, rows)
    assert all(np.all(np.isfinite(column.astype(np.float64))) for column in made.values())
    _CHECKS[name](made)


def _check_scalars(made: dict[str, Column]) -> None:
    counts = [made[f"SoftActivityJetNjets{threshold}"] for threshold in (2, 5, 10)]
    sums = [made[f"SoftActivityJetHT{threshold}"] for threshold in ("", 2, 5, 10)]
    for wider, narrower in (*pairwise(counts), *pairwise(sums)):
        assert np.all(wider >= narrower)
    assert np.array_equal(made["SoftActivityJetHT10"] == 0, made["SoftActivityJetNjets10"] == 0)
    assert np.all(made["PV_npvsGood"] <= made["PV_npvs"])


def _check_jets(made: dict[str, Column]) -> None:
    total = sum(made[name] for name in ("muEF", "chEmEF", "chHEF", "neEmEF", "neHEF"))
    assert np.allclose(total, 1.0)
    none = made["btagDeepB"] < 0
    assert none.any()
    assert np.array_equal(none, made["btagDeepCvL"] < 0)
    assert np.all(made["qgl"][made["pt"] < 20] == -1)
    unseen = made["hfsigmaEtaEta"] < 0
    assert np.all(made["hfsigmaPhiPhi"][unseen] == -1)
    assert set(np.unique(made["puId"])) <= {0, 4, 6, 7}


def _check_muons(made: dict[str, Column]) -> None:
    # the wider cone may have less, as one in six of public files: more is taken off for pileup
    assert np.all(made["pfRelIso03_all"] >= made["pfRelIso03_chg"] - 1e-9)
    assert not np.any((made["tightId"] > 0) & ~(made["mediumId"] > 0))
    assert np.all(made["triggerIdLoose"][made["softId"] > 0])


def _check_met(made: dict[str, Column]) -> None:
    assert np.all(made["MET_covXX"] * made["MET_covYY"] > made["MET_covXY"] ** 2)
    assert np.all(made["MET_significance"] >= 0)


_CHECKS = {
    "event_scalars": _check_scalars,
    "jet_from_genjet": _check_jets,
    "jet_from_pileup": _check_jets,
    "muon_from_genmuon": _check_muons,
    "met": _check_met,
}


@pytest.mark.skipif(SAMPLES is None, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
def test_relations_hold_in_real_files():
    folder = Path(SAMPLES or "")
    with NanoFile(str(folder / "dyjets_ul17_v8like.root")) as file:
        jets = file.read(["nJet", *(f"Jet_btagDeep{name}" for name in ("B", "CvB", "CvL"))], 0, 1000)["Jet"]
    defined = jets["btagDeepB"] >= 0
    score = bottom_score(jets["btagDeepCvB"], jets["btagDeepCvL"])
    assert np.abs(score - jets["btagDeepB"])[defined].max() < 1e-3
    with NanoFile(str(folder / "ttbar_opendata2015_v9.root")) as file:
        names = [f"Muon_{name}" for name in ("dxy", "dz", "eta", "ip3d")]
        muons = file.read(["nMuon", *names], 0, 1000)["Muon"]
    found = impact_3d(muons["dxy"], muons["dz"], muons["eta"])
    assert np.allclose(found, muons["ip3d"], rtol=2e-3)


def test_the_pileup_identification_is_nested_cuts():
    disc = np.linspace(-1, 1, 401)
    bits = pileup_id(disc, np.full(401, 25.0), np.full(401, 1.0))
    assert set(bits) == {0, 4, 6, 7}
    assert np.all(np.diff(bits) >= 0)
    # the cuts rise with pt
    assert np.all(pileup_id(disc, np.full(401, 45.0), np.full(401, 1.0)) <= bits)
