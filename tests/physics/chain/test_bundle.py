"""Bundles: what was altered, lost or made for another schema is refused with one clear line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import MANIFEST, find_bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def _edit(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _one_line(error: pytest.ExceptionInfo[BundleError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_the_digest_is_that_of_the_contents(bundle, copy):
    assert load_bundle(copy).digest == bundle.digest
    _edit(copy, title="other")
    assert load_bundle(copy).digest != bundle.digest


def test_a_flipped_bit_is_found(copy):
    weights = sorted(copy.glob("*.safetensors"))[0]
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(BundleError) as error:
        load_bundle(copy)
    assert weights.name in _one_line(error)
    assert "altered" in _one_line(error)


def test_a_missing_file_of_weights_is_named(copy):
    lost = sorted(copy.glob("*.safetensors"))[-1]
    lost.unlink()
    with pytest.raises(BundleError) as error:
        load_bundle(copy)
    assert lost.name in _one_line(error)
    assert "missing" in _one_line(error)


def test_another_schema_version_is_refused(copy):
    _edit(copy, schema_version=3)
    with pytest.raises(BundleError, match="schema version 3, this software reads 1 to 2"):
        load_bundle(copy)


def test_a_file_outside_the_bundle_is_refused(copy):
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["models"]["met"]["file"] = "../met.safetensors"
    _edit(copy, models=manifest["models"])
    with pytest.raises(BundleError, match=r"models\.met\.file"):
        load_bundle(copy)


def test_an_unknown_key_is_refused(copy):
    _edit(copy, titel="x")
    with pytest.raises(BundleError, match="did you mean 'title'"):
        load_bundle(copy)


def test_a_manifest_that_is_no_json_is_refused(copy):
    (copy / MANIFEST).write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(copy)


def test_an_unknown_bundle_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(BundleError, match="did you mean 'reference'"):
        find_bundle("referense")
    with pytest.raises(BundleError, match="no bundle there"):
        find_bundle(str(tmp_path))


def test_an_unknown_model_is_refused(copy):
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["models"]["jet_from_genjat"] = manifest["models"].pop("jet_from_genjet")
    _edit(copy, models=manifest["models"])
    with pytest.raises(BundleError, match="did you mean 'jet_from_genjet'"):
        Chain(load_bundle(copy))


def test_nothing_is_pickled(bundle):
    assert {path.suffix for path in bundle.path.iterdir()} == {".json", ".md", ".safetensors"}


def test_the_bundle_says_what_it_stands_for(bundle):
    assert "reference detector" in bundle.title
    assert bundle.manifest.training_sample
