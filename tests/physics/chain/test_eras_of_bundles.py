"""The era of a bundle, and what a chain makes of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.errors import BundleError, RequestError
from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.combine import Parts
from flashsim_prod.physics.chain.model_card import model_card
from flashsim_prod.physics.chain.writing import save_manifest
from flashsim_prod.physics.definitions.jets_muons import pileup_id
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.production.order.library import find_card, find_checked_bundle, in_era


def of_era(bundle: Bundle, era: str | None) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"era": era}))


def test_a_manifest_without_an_era_is_of_2018_and_written_as_ever(bundle: Bundle, tmp_path: Path) -> None:
    silent = of_era(bundle, None)
    assert silent.era == "UL18"
    save_manifest(tmp_path, silent.manifest)
    assert "era" not in json.loads((tmp_path / "manifest.json").read_text())
    assert "| Era |" not in model_card(silent)
    assert "| Era | UL17 |" in model_card(of_era(bundle, "UL17"))


def test_models_of_v15_without_an_era_are_not_of_2018(bundle: Bundle) -> None:
    silent = of_era(bundle, None)
    entries = {
        name: entry.model_copy(update={"fit": {**entry.fit, "nano": "v15"}})
        for name, entry in silent.manifest.models.items()
    }
    of_v15 = replace(silent, manifest=silent.manifest.model_copy(update={"models": entries}))
    assert of_v15.era == "Run3_2022"
    # at the energy of its era there is nothing to tell of it
    found = replace(find_checked_bundle(None), bundle=of_v15)
    assert in_era(find_card("ttbar"), 13.6, found)[1] == ()


def test_an_era_that_is_not_known_is_no_bundles(tmp_path: Path) -> None:
    shutil.copytree(find_bundle("reference"), tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "era": "UL15"}))
    with pytest.raises(BundleError, match=r"manifest.json: era: unknown era 'UL15'"):
        load_bundle(tmp_path / "b")


def test_what_no_network_draws_is_that_of_the_bundles_era(bundle: Bundle, gen: Events) -> None:
    folds = fold_events(
        gen.slice(0, 6),
        oversample=2,
        gen_first=0,
        run=1,
        first_event=1,
        first_lumi=1,
        gen_events_per_lumi=100,
        job_gen_first=0,
    )
    branches = ("Jet_puId", "OtherPV_z")
    made = {
        era: Chain(of_era(bundle, era), branches=branches).simulate(folds, seed=5)
        for era in (None, "UL18", "UL16postVFP", "Run3_2022")
    }
    as_ever, jets = made[None]["Jet"], made["UL16postVFP"]["Jet"]
    assert np.array_equal(made["UL18"]["Jet"]["puId"], as_ever["puId"])
    expected = pileup_id(jets["puIdDisc"], jets["pt"], np.abs(jets["eta"]), "UL16postVFP")
    assert np.array_equal(jets["puId"], expected)
    assert not np.array_equal(jets["puId"], as_ever["puId"])
    assert np.array_equal(jets["pt"], as_ever["pt"])
    assert "puId" not in made["Run3_2022"]["Jet"]
    moved = made["UL16postVFP"]["OtherPV"]["z"] - made[None]["OtherPV"]["z"] * (3.65 / 3.5)
    assert moved == pytest.approx(0.93 - 0.04 * 3.65 / 3.5, abs=0.02)


def test_models_of_a_base_of_another_era_say_so(bundle: Bundle) -> None:
    whole = Parts.of(bundle)
    own = replace(whole, entries={"met": whole.entries["met"]}, weights={"met": whole.weights["met"]})
    assert own.completed(bundle, "UL16postVFP").entries["event_scalars"].fit["era"] == "UL18"
    assert "era" not in own.completed(bundle, "UL16postVFP").entries["met"].fit
    assert "era" not in own.completed(bundle, "UL18").entries["event_scalars"].fit


def test_a_card_is_ordered_in_the_era_of_the_bundle(bundle: Bundle) -> None:
    found, card = find_checked_bundle("reference"), find_card("ttbar")
    assert in_era(card, None, replace(found, bundle=of_era(bundle, None))) == (card, ())
    of_2016 = replace(found, bundle=of_era(bundle, "UL16preVFP"))
    moved, (remark,) = in_era(card, 13.0, of_2016)
    assert [one.pileup for one in moved.energies] == ["Run2_2016preVFP", "Run3_2022"]
    assert "bundle reference of UL16preVFP" in remark
    with pytest.raises(RequestError, match=r"is of Run3_2022 at 13\.6 TeV"):
        in_era(card, 13.6, of_2016)
