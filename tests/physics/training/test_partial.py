"""From a file that lacks an attribute to a bundle without it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from flashsim_prod.errors import BundleError, InputError
from flashsim_prod.physics.chain.bundle import NANO_KEY, find_bundle, load_bundle, nano_of
from flashsim_prod.physics.chain.compatibility import check_models
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.training.assemble import build_bundle
from flashsim_prod.physics.training.fit import fit_into_folder
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import load_tables

SCALARS = find_model("event_scalars")
LACKING = "fixedGridRhoFastjetCentralCalo"


def _table(version: str, absent: tuple[str, ...], **about: str) -> Table:
    rng = np.random.default_rng(1)
    n = 1200
    targets = {
        one.name: rng.normal(0, 1, n).astype(np.float32) for one in SCALARS.targets if one.name not in absent
    }
    conditions = rng.normal(0, 1, (n, len(SCALARS.conditions))).astype(np.float32)
    rows = np.arange(n)
    return Table(conditions, np.ones(n, np.int64), rows, targets, version=version, absent=absent, **about)


def _fitted(folder, table: Table):
    path = folder / "tables" / SCALARS.name / "a.safetensors"
    path.parent.mkdir(parents=True)
    table.save(path, SCALARS)
    settings = FitSettings(flow_steps=2, multiplicity_steps=2, batch=64)
    fit_into_folder(SCALARS, folder, settings, width=8, blocks=1)
    return folder / "fits" / SCALARS.name


def _bundle(fits, target):
    return build_bundle(fits, target, name="mine", title="mine", tag="Mine", training_sample=("a",))


def test_a_fit_without_an_attribute_goes_into_a_bundle_without_it(tmp_path):
    folder = _fitted(tmp_path, _table("v12", (LACKING,)))
    noted = json.loads((folder / "fit.json").read_text())
    assert (noted["version"], noted["absent"]) == ("v12", [LACKING])
    bundle = _bundle({SCALARS.name: folder}, tmp_path / "bundle")
    assert bundle.nano == "v12"
    (model,) = check_models(bundle)
    assert model.left_out == {LACKING}
    assert bundle.manifest.models[SCALARS.name].fit["without"] == LACKING


def test_a_fit_to_the_default_version_says_nothing_of_it(tmp_path):
    folder = _fitted(tmp_path, _table("v9", ()))
    bundle = _bundle({SCALARS.name: folder}, tmp_path / "bundle")
    assert bundle.nano == "v9"
    assert not {NANO_KEY, "without"} & bundle.manifest.models[SCALARS.name].fit.keys()


def test_models_of_several_versions_go_into_no_bundle(tmp_path):
    folder = _fitted(tmp_path, _table("v12", ()))
    manifest = _bundle({SCALARS.name: folder}, tmp_path / "one").manifest
    entry = manifest.models[SCALARS.name]
    models = {"a": entry, "b": entry.model_copy(update={"fit": {}})}
    with pytest.raises(BundleError, match="here: its models were fitted to several versions of NanoAOD, v12"):
        nano_of(manifest.model_copy(update={"models": models}), "here")
    # with others of the shipped bundle
    shipped = load_bundle(find_bundle("reference"))
    with pytest.raises(BundleError, match="two: its models were fitted to several versions"):
        build_bundle(
            {SCALARS.name: folder},
            tmp_path / "two",
            name="mine",
            title="mine",
            tag="Mine",
            training_sample=("a",),
            base=shipped,
        )
    assert not (tmp_path / "two").exists()


def test_a_target_that_is_lacking_without_a_word_is_refused(tmp_path):
    table = replace(_table("v9", (LACKING,)), absent=())
    with pytest.raises(InputError, match=rf"target\.{LACKING} is missing"):
        _fitted(tmp_path, table)


def test_a_bundle_is_of_the_era_of_its_tables(tmp_path):
    folder = _fitted(tmp_path / "one", _table("v9", (), era="UL17"))
    bundle = _bundle({SCALARS.name: folder}, tmp_path / "bundle")
    assert (bundle.era, bundle.manifest.era) == ("UL17", "UL17")
    entry = json.loads((folder / "entry.json").read_text())
    assert entry["fit"]["era"] == "UL17"
    # as if another model had been fitted to another era
    other = tmp_path / "met"
    shutil.copytree(folder, other)
    (other / "entry.json").write_text(json.dumps({**entry, "fit": {**entry["fit"], "era": "UL18"}}))
    with pytest.raises(BundleError, match=r"fitted to several eras, UL17 \(event_scalars\) and UL18"):
        _bundle({SCALARS.name: folder, "other": other}, tmp_path / "two")


def test_tables_of_several_eras_are_not_learned_from_together(tmp_path):
    _fitted(tmp_path, _table("v9", (), era="UL17"))
    folder = tmp_path / "tables" / SCALARS.name
    _table("v9", ()).save(folder / "b.safetensors", SCALARS)
    # what tells no era may be of that one
    assert load_tables(tmp_path / "tables", SCALARS).era == "UL17"
    for about in ({"era": "UL18"}, {"origin": "reference detector"}):
        _table("v9", (), **about).save(folder / "c.safetensors", SCALARS)
        with pytest.raises(
            InputError, match=r"a.safetensors is of UL17 and .*c.safetensors of UL18; fit each"
        ):
            load_tables(tmp_path / "tables", SCALARS)
