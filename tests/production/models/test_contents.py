"""What is in a bundle, by the bundle's name or a model's."""

from __future__ import annotations

import json

import pytest

from flashsim_prod import resources
from flashsim_prod.errors import BundleError
from flashsim_prod.production.models.contents import BundleContents, OneModel, look_into

MANIFEST = resources.bundles_dir() / "reference" / "manifest.json"


def test_a_bundle_is_told_as_its_manifest_has_it() -> None:
    manifest = json.loads(MANIFEST.read_text())
    found = look_into("reference")
    assert isinstance(found, BundleContents)
    assert (found.name, found.title) == (manifest["name"], manifest["title"])
    for one, (name, entry) in zip(found.models, manifest["models"].items(), strict=True):
        assert (one.name, one.sha256, list(one.targets)) == (name, entry["sha256"], entry["targets"])
    assert [report.command for report in found.reports] == [one["command"] for one in manifest["fidelity"]]
    assert found.reports[0].models["met"].auc == manifest["fidelity"][0]["models"]["met"]["auc"]


def test_the_name_of_a_model_alone_is_one_of_the_shipped_bundle() -> None:
    found = look_into("met")
    assert isinstance(found, OneModel)
    assert (found.bundle, found.model.name) == ("reference", "met")
    assert found == look_into("reference", "met")
    assert all("met" in report.models for report in found.reports)


@pytest.mark.parametrize("words", [("mett",), ("reference", "mett")])
def test_a_misspelt_name_is_guessed(words: tuple[str, ...]) -> None:
    with pytest.raises(BundleError, match="did you mean 'met'"):
        look_into(*words)
