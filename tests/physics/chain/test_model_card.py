"""Model cards: all from the manifest, and the shipped one is what its bundle says now."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flashsim_prod import resources
from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.assessment import Assessment, ModelFigures
from flashsim_prod.physics.chain.bundle import (
    DEFAULT,
    MANIFEST,
    Bundle,
    find_bundle,
    load_bundle,
    shipped_bundles,
)
from flashsim_prod.physics.chain.model_card import model_card
from flashsim_prod.physics.chain.writing import copy_bundle

CARD = "README.md"


@pytest.fixture
def bundle() -> Bundle:
    return load_bundle(find_bundle(DEFAULT))


def _with_figures(bundle: Bundle, **models: ModelFigures) -> Bundle:
    report = Assessment(
        made=datetime(2026, 1, 2, tzinfo=UTC),
        software="flashsim-prod 9",
        command="flashsim-prod train report reference held_out.root",
        compared_with="full simulation",
        files={"held_out.root": 1234},
        max_rows=6000,
        seed=1,
        sampling=Sampling(),
        models=models,
    )
    manifest = bundle.manifest.model_copy(update={"fidelity": (report,) if models else ()})
    return Bundle(bundle.path, manifest, bundle.digest)


@pytest.mark.parametrize("name", shipped_bundles())
def test_the_card_beside_a_shipped_bundle_is_the_one_of_its_manifest(name: str) -> None:
    found = load_bundle(find_bundle(name))
    written = (resources.bundles_dir() / name / CARD).read_text(encoding="utf-8")
    assert written == model_card(found), (
        f"flashsim-prod bundle card {name} > flashsim_prod/bundles/{name}/{CARD}"
    )


def test_a_card_names_digest_models_training_and_use(bundle: Bundle) -> None:
    card = model_card(bundle)
    for heading in ("Intended use", "Training data", "Models", "Fidelity", "Limits"):
        assert f"\n## {heading}\n" in card
    assert bundle.digest in card
    assert all(f"| `{name}` |" in card for name in bundle.manifest.models)
    assert all(line in card for line in bundle.manifest.training_sample)


def test_limits_are_what_the_figures_say(bundle: Bundle) -> None:
    good = ModelFigures(objects=500, auc=0.52, auc_error=0.01, auc_floor=0.51, median_w1=0.01)
    told_apart = good.model_copy(update={"auc": 0.70})
    too_many = good.model_copy(update={"chi2_per_ndf": {"pt": 1.0, "eta": 4.2}})
    figures = {"jet_from_genjet": good, "met": told_apart, "muon_from_jet": too_many}
    limits = model_card(_with_figures(bundle, **figures)).split("\n## Limits\n")[1].splitlines()
    (apart,) = (line for line in limits if "classifier" in line)
    (numbers,) = (line for line in limits if "Numbers of objects" in line)
    (unknown,) = (line for line in limits if "not measured" in line)
    assert [f"`{name}`" in apart for name in figures] == [False, True, False]
    assert [f"`{name}`" in numbers for name in figures] == [False, False, True]
    assert [f"`{name}`" in unknown for name in figures] == [False, False, False]
    assert "`tau_from_jet`" in unknown


def test_a_bundle_without_a_report_says_how_to_get_one(bundle: Bundle) -> None:
    card = model_card(_with_figures(bundle))
    assert "train report" in card.split("\n## Fidelity\n")[1].split("\n## ")[0]


def test_a_card_in_the_folder_changes_nothing_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    with_card, without = tmp_path / "with", tmp_path / "without"
    shutil.copytree(bundle.path, with_card)
    shutil.copytree(bundle.path, without)
    (with_card / CARD).write_text("anything")
    (without / CARD).unlink(missing_ok=True)
    assert load_bundle(with_card).digest == load_bundle(without).digest == bundle.digest
    copied = copy_bundle(load_bundle(with_card), tmp_path / "copied")
    assert copied.digest == bundle.digest
    assert json.loads((copied.path / MANIFEST).read_text())["name"] == DEFAULT
