"""Bundles made elsewhere: the format's formulas hold, and what cannot be run is refused in one clear line."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.archive import pack, unpack
from flashsim_prod.physics.chain.bundle import MANIFEST, Bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.combine import completed
from flashsim_prod.physics.chain.compatibility import check_needs
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.chain.tensors import contract

SCRIPT = Path(__file__).parents[2] / "outside" / "write_bundle.py"
MODEL = "jet_from_genjet"
RNG = np.random.default_rng(4)
#: how the toy's attributes hang on its first two conditions, and how far they scatter beside
PULL, SCATTER = np.array([0.1, -0.05]), 0.08


@pytest.fixture(scope="module")
def table() -> dict[str, np.ndarray]:
    """A table as `train extract` writes it: an efficiency, a regression and a flag, known in truth."""
    model = find_model(MODEL)
    conditions = RNG.normal(2.0, 3.0, size=(20_000, len(model.conditions))).astype(np.float32)
    number = (RNG.random(20_000) < _efficiency(conditions)).astype(np.int64)
    row = np.flatnonzero(number)
    targets = {f"target.{target.name}": RNG.normal(size=len(row)) for target in model.targets}
    x = (conditions[row, :2] - 2.0) / 3.0
    targets["target.pt"] = 1 + x @ PULL + SCATTER * RNG.normal(size=len(row))
    targets["target.nConstituents"] = RNG.integers(0, 5, len(row)).astype(np.int32)
    return {"conditions": conditions, "number": number, "row": row, **targets}


def _efficiency(conditions: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(conditions[:, 1] - 2.0) / 3.0 - 0.5))


@pytest.fixture(scope="module")
def outside(table, tmp_path_factory) -> Path:
    """What the script writes, in a process that cannot see this package's checkout."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "contract.json").write_text(json.dumps(contract(MODEL)))
    save_file(table, folder / "toy.safetensors")
    command = [sys.executable, "-I", str(SCRIPT), "contract.json", "toy.safetensors", "linear"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "linear"


@pytest.fixture
def copy(outside, tmp_path) -> Path:
    return Path(shutil.copytree(outside, tmp_path / "copy"))


def test_the_script_needs_nothing_of_this_package():
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"numpy", "safetensors"}


def test_its_networks_do_what_the_format_says(outside):
    (fitted,) = (one for _, models in Chain(load_bundle(outside)).groups for one in models)
    conditions = RNG.normal(2.0, 3.0, size=(500, len(fitted.model.conditions))).astype(np.float32)
    off = fitted.probabilities(conditions)[:, 1] - _efficiency(conditions)
    # as far as a regression on 20,000 sources tells
    assert np.abs(off).max() < 0.12
    assert np.std(off) < 0.04
    some = np.tile(np.full(len(fitted.model.conditions), 2.0, np.float32), (3, 1))
    some[1, 0], some[2, 1] = 5.0, 5.0
    for where, mean in zip(some, (1.0, 1.1, 0.95), strict=True):
        noise = RNG.normal(size=(4000, len(fitted.model.targets)))
        drawn = fitted.sample(np.tile(where, (4000, 1)), noise, Sampling(evaluations=40))
        assert drawn["pt"].mean() == pytest.approx(mean, abs=0.015)
        assert drawn["pt"].std() == pytest.approx(SCATTER, rel=0.1)
        assert set(drawn["nConstituents"]) == {0, 1, 2, 3, 4}


def _entry(folder: Path, **changes: object) -> None:
    """Change the model's entry in the manifest."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["models"][MODEL] |= changes
    path.write_text(json.dumps(manifest))


def _weights(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the weights, with a manifest that agrees."""
    path = folder / f"{MODEL}.safetensors"
    tensors = {name: tensor.copy() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    _entry(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _set(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda tensors: tensors.update({name: change(tensors[name])})


def _spoilt(tensor: np.ndarray) -> np.ndarray:
    tensor.flat[3] = np.nan
    return tensor


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop("velocity.leave.bias"), r"velocity\.leave\.bias is missing"),
        (lambda t: t.pop("pt.cdf"), r"pt\.cdf is missing"),
        (lambda t: t.update(more=np.zeros(3, np.float32)), "tensor more that is not of this model"),
        (_set("velocity.enter.weight", lambda x: x.T.copy()), r"enter\.weight has the shape \(34, 136\)"),
        (_set("velocity.enter.weight", _spoilt), r"enter\.weight holds numbers that are not finite"),
        (_set("pt.value", _spoilt), r"pt\.value holds numbers that are not finite"),
        (_set("velocity.leave.bias", lambda x: x.astype(np.int32)), "of type int32"),
        (_set("conditions.width", lambda x: 0 * x), "not above 0"),
        (_set("pt.cdf", lambda x: x[::-1].copy()), r"pt\.cdf does not rise from 0 to 1"),
        (_set("pt.cdf", lambda x: x[:-1].copy()), "100 and 101 knots"),
        (_set("pt.value", lambda x: -x), r"pt\.value falls"),
    ],
)
def test_weights_that_cannot_be_run_are_refused(copy, change, complaint):
    _weights(copy, change)
    with pytest.raises(BundleError, match=complaint) as told:
        Chain(load_bundle(copy))
    assert "\n" not in str(told.value)
    assert MODEL in str(told.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"produces": "Jets"}, "Jets instead of Jet"),
        ({"most": 2}, "2 instead of 1"),
        ({"form": 4}, "made for other form than this software declares: 4 instead of 3"),
        ({"form": 0}, "does not say which form of its formulas it was made for"),
        ({"conditions": ["pt:linear"]}, r"it lacks pt:log and \d+ more"),
        ({"targets": [*contract(MODEL)["targets"], "new:value:new"]}, "it has new:value:new;"),
        ({"targets": contract(MODEL)["targets"][::-1]}, "another order"),
        ({"network": {**contract(MODEL)["network"], "width": 10**6}}, "has the shape"),
    ],
)
def test_weights_for_something_else_are_refused(copy, changes, complaint):
    _entry(copy, **changes)
    with pytest.raises(BundleError, match=complaint) as told:
        Chain(load_bundle(copy))
    assert "\n" not in str(told.value)


def test_numbers_that_numpy_does_not_have_are_refused(copy):
    import torch
    from safetensors.torch import save_file as save_torch

    path = copy / f"{MODEL}.safetensors"
    save_torch({"a": torch.zeros(2, dtype=torch.bfloat16)}, path)
    _entry(copy, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(BundleError, match="cannot be read as safetensors"):
        Chain(load_bundle(copy))


def test_what_a_model_needs_must_be_made(outside, bundle, tmp_path):
    with pytest.raises(BundleError, match="jet_from_genjet needs fixedGridRhoFastjetAll, which no model"):
        check_needs(load_bundle(outside))
    whole = completed(load_bundle(outside), bundle, tmp_path / "whole")
    check_needs(whole)
    assert whole.manifest.models.keys() == bundle.manifest.models.keys()
    assert whole.manifest.models[MODEL].sha256 == load_bundle(outside).manifest.models[MODEL].sha256
    assert any(bundle.digest[:12] in line for line in whole.manifest.training_sample)
    again = completed(load_bundle(outside), bundle, tmp_path / "again")
    assert again.digest == whole.digest


def test_an_archive_is_the_same_bytes_each_time_and_gives_the_bundle_back(outside, tmp_path):
    for name in ("a.tar", "b.tar"):
        shutil.copytree(outside, tmp_path / name[0])
        pack(load_bundle(tmp_path / name[0]), tmp_path / name)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    (tmp_path / "out").mkdir()
    assert unpack(tmp_path / "a.tar", tmp_path / "out").digest == load_bundle(outside).digest
    pack(load_bundle(outside), tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes(b"else")
    with pytest.raises(BundleError, match="exists and is something else"):
        pack(load_bundle(outside), tmp_path / "b.tar")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("inside", [".", "linear", "deep/er"])
def test_archives_of_other_programs_are_understood(outside, tmp_path, inside):
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        archive.add(outside, arcname=inside)
    (tmp_path / "out").mkdir()
    assert unpack(tmp_path / "x.tgz", tmp_path / "out").digest == load_bundle(outside).digest


def test_nothing_is_written_outside_of_the_folder(outside, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("whole")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        link = tarfile.TarInfo(f"{MODEL}.safetensors")
        link.type, link.linkname = tarfile.SYMTYPE, str(victim)
        archive.addfile(link)
        for name in ("../victim", str(victim), f"../{MODEL}.safetensors"):
            archive.add(outside / f"{MODEL}.safetensors", arcname=name)
        archive.add(outside / MANIFEST, arcname=MANIFEST)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BundleError, match="the weights of model jet_from_genjet, is missing"):
        unpack(tmp_path / "x.tar", out)
    assert victim.read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "victim", "x.tar"]


@pytest.mark.parametrize("contents", [b"", b"no archive at all" * 100])
def test_what_is_no_archive_is_refused(tmp_path, contents):
    (tmp_path / "x.tar").write_bytes(contents)
    with pytest.raises(BundleError, match="nor a tar archive"):
        unpack(tmp_path / "x.tar", tmp_path)


def test_a_truncated_archive_is_refused(outside, tmp_path):
    pack(load_bundle(outside), tmp_path / "x.tar")
    raw = (tmp_path / "x.tar").read_bytes()
    for part in (0.3, 0.9):
        (tmp_path / "x.tar").write_bytes(raw[: int(part * len(raw))])
        (tmp_path / f"out{part}").mkdir()
        with pytest.raises(BundleError) as told:
            unpack(tmp_path / "x.tar", tmp_path / f"out{part}")
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "../x"}, "name: '../x' cannot name a bundle"),
        ({"tag": "a b"}, "tag: 'a b' cannot be a processing string"),
        ({"models": {}}, "models"),
    ],
)
def test_a_manifest_with_a_wrong_name_is_refused(copy, change, complaint):
    path = copy / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=complaint):
        load_bundle(copy)


def test_the_shipped_manifest_needs_no_figures(bundle: Bundle):
    raw = json.loads((bundle.path / MANIFEST).read_text())
    raw.pop("fidelity", None)
    assert type(bundle.manifest).from_mapping(raw, "x").fidelity == ()


def test_weights_from_before_forms_had_versions_are_refused(copy):
    path = copy / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["models"][MODEL]["form"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="jet_from_genjet of the bundle does not say which form"):
        Chain(load_bundle(copy))
