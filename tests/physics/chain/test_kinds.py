"""What every kind of model has to hold: shapes, seeds, gradients, saving and loading, chunks."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from flashsim_prod.core.choices import ModelKind
from flashsim_prod.core.request import Sampling
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import BundleError, RequestError
from flashsim_prod.physics.chain.bundle import MANIFEST, ModelEntry, load_bundle, read_tensors
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds import registry
from flashsim_prod.physics.chain.kinds.base import Examples, Kind, Loss, Stage
from flashsim_prod.physics.chain.kinds.registry import KINDS, Known, find_kind
from flashsim_prod.physics.chain.objects.event import SCALARS
from flashsim_prod.physics.chain.tensors import contract, expected_shapes
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.fit import fit_into_folder, fit_model, untrained
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import Table, extract, table_path
from tests.toy_models import toy_model

TOY = toy_model(most=2)
SETTINGS = FitSettings(flow_steps=20, multiplicity_steps=10, batch=64, multiplicity_batch=64, report_every=20)
N = 3000


class LineSection(StrictModel):
    """Of the kind `line`."""

    wide: int = Field(ge=1)


class LineLoss(Loss):
    """Half of the objects' noise is drawn, the other half is what a line through the conditions leaves."""

    def __init__(self, examples: Examples) -> None:
        self.examples, self.n = examples, len(examples.row)

    def __call__(self, network, rows, generator, device):
        x = self.examples.normal(rows, generator).to(device)
        seen = self.examples.conditions[self.examples.row[rows]].to(device)
        return nn.functional.mse_loss(network["mean"](seen), x)


class CountsLoss(Loss):
    """Cross-entropy."""

    def __init__(self, examples: Examples) -> None:
        self.examples, self.n = examples, len(examples.number)

    def __call__(self, network, rows, generator, device):
        seen = self.examples.conditions[rows].to(device)
        return nn.functional.cross_entropy(network["counts"](seen), self.examples.number[rows].to(device))


class LineKind(Kind[int]):
    """A kind unlike the flow: sizes, tensors, numbers of its own, and twice as much noise as targets."""

    name = "line"

    def declared_size(self, model, *, width, blocks):
        return width or 1

    def size(self, section):
        return section.wide

    def section(self, size):
        return {"wide": size}

    def combined(self, stage, new, last):
        return last if stage == "many" else new

    def networks(self, model, size):
        found: dict[str, nn.Module] = {
            "mean": nn.Linear(len(model.conditions), len(model.targets)),
            "mix": nn.Linear(2 * len(model.targets), len(model.targets), bias=False),
        }
        return found | ({"counts": nn.Linear(len(model.conditions), model.most + 1)} if model.most else {})

    def n_normals(self, model, size):
        return 2 * len(model.targets)

    def sample(self, networks, conditions, normals, sampling):
        return networks["mean"](conditions) + networks["mix"](normals)

    def logits(self, networks, conditions):
        return networks["counts"](conditions)

    def stages(self, networks):
        everything = nn.ModuleDict(networks)
        line = Stage(self.name, everything, LineLoss, ("mean", "mix"))
        many = Stage("many", everything, CountsLoss, ("counts",), of_numbers=True)
        return (line, many) if "counts" in networks else (line,)


@pytest.fixture
def line(monkeypatch) -> str:
    """Another kind, known for one test."""
    module: Any = ModuleType("kind_of_a_line")
    module.KIND = LineKind()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(KINDS, "line", Known(LineSection, module.__name__))
    return "line"


@pytest.fixture(params=[*KINDS, "line"])
def kind(request, line) -> str:
    return request.param


@pytest.fixture(scope="module")
def table() -> Table:
    rng = np.random.default_rng(2)
    conditions = rng.normal(size=(N, 2)).astype(np.float32)
    number = rng.integers(0, 3, N)
    row = np.repeat(np.arange(N), number)
    x = conditions[row, 0] + rng.normal(size=len(row))
    return Table(conditions, number, row, {"x": x, "flag": (x > 0).astype(np.int32)})


def _untrained(table: Table, kind: str, seed: int = 1) -> FittedModel:
    return untrained(TOY, table, seed, kind=kind)


def _drawn(fitted: FittedModel, rows: int = 700) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(rows, 2)).astype(np.float32), rng.normal(size=(rows, fitted.n_normals))


def test_the_registry_and_the_kinds_agree(kind):
    found = find_kind(kind)
    assert found.name == kind
    size = found.declared_size(TOY, width=None, blocks=None)
    written = json.loads(json.dumps(found.section(size)))
    assert found.size(registry.read_section(kind, written, "here")) == size


def test_what_can_be_chosen_is_what_there_is():
    assert [one.value for one in ModelKind] == list(KINDS)


def test_shapes_are_those_expected(kind, table):
    fitted = _untrained(table, kind)
    tensors = fitted.tensors()
    expected = expected_shapes(TOY, fitted.kind, fitted.size)
    assert tensors.keys() == expected.keys()
    for name, shape in expected.items():
        assert tensors[name].ndim == len(shape), name
        assert -1 in shape or tensors[name].shape == shape, name
    conditions, normals = _drawn(fitted)
    drawn = fitted.sample(conditions, normals, Sampling())
    assert list(drawn) == ["x", "flag"]
    assert all(column.shape == (700,) and np.all(np.isfinite(column)) for column in drawn.values())
    chance = fitted.probabilities(conditions)
    assert chance.shape == (700, TOY.most + 1)
    assert chance.sum(axis=1) == pytest.approx(1)
    always = replace(fitted, model=replace(TOY, most=0))
    with pytest.raises(ValueError, match="always gives one"):
        always.probabilities(conditions)


def test_a_seed_decides_what_is_learned(kind, table, tmp_path):
    fits = [
        fit_model(TOY, table, replace(SETTINGS, seed=seed), tmp_path / name, kind=kind)[0].tensors()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert all(np.array_equal(fits[0][name], fits[1][name]) for name in fits[0])
    assert any(not np.array_equal(fits[0][name], fits[2][name]) for name in fits[0])


def test_every_stage_moves_its_networks_and_no_other(kind, table, tmp_path):
    start = _untrained(table, kind)
    for stage in start.kind.stages(start.networks):
        fresh = _untrained(table, kind)
        fitted, record = fit_model(TOY, table, SETTINGS, tmp_path / stage.name, only=stage.name, start=fresh)
        assert list(record.losses) == [stage.name]
        assert np.isfinite(record.losses[stage.name][-1][1:]).all()
        before, after = start.tensors(), fitted.tensors()
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        assert moved
        assert {name.partition(".")[0] for name in moved} <= set(stage.trains)


def test_a_loss_has_gradients_for_what_it_trains(kind, table):
    fitted = _untrained(table, kind)
    examples = _examples(fitted, table)
    for stage in fitted.kind.stages(fitted.networks):
        loss = stage.loss(examples)
        generator = torch.Generator().manual_seed(1)
        value = loss(stage.network, torch.arange(200), generator, "cpu")
        value.backward()
        gradients = [one.grad for one in stage.network.parameters() if one.grad is not None]
        assert any(bool(gradient.abs().sum() > 0) for gradient in gradients), stage.name
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients), stage.name
        again = loss(stage.network, torch.arange(200), torch.Generator().manual_seed(1), "cpu")
        assert again.item() == value.item()


def test_turns_have_gradients_for_what_they_move_and_share_what_the_stage_trains(kind, table):
    fitted = _untrained(table, kind)
    examples = _examples(fitted, table)
    for stage in fitted.kind.stages(fitted.networks):
        loss, moved = stage.loss(examples), set()
        # what is at rest in the beginning passes nothing back
        with torch.no_grad():
            for weight in stage.network.parameters():
                weight.add_(0.01)
        for turn in stage.turns:
            asked = (turn.name, stage.network, torch.arange(200))
            value = loss.in_turn(*asked, torch.Generator().manual_seed(1), "cpu")
            gradients = torch.autograd.grad(value, turn.parameters(stage.network), allow_unused=True)
            there = [one for one in gradients if one is not None]
            assert any(bool(one.abs().sum() > 0) for one in there), turn.name
            assert all(bool(torch.isfinite(one).all()) for one in there), turn.name
            again = loss.in_turn(*asked, torch.Generator().manual_seed(1), "cpu")
            assert again.item() == value.item()
            moved |= set(turn.parameters(stage.network))
        own = {one for name in stage.trains for one in fitted.networks[name].parameters()}
        assert own & moved


def test_what_only_training_needs_begins_alike_and_is_not_stored(kind, table):
    fitted, again = _untrained(table, kind), _untrained(table, kind)
    stored = {id(one) for network in fitted.networks.values() for one in network.parameters()}
    pairs = zip(fitted.kind.stages(fitted.networks), again.kind.stages(again.networks), strict=True)
    besides = 0
    for stage, twin in pairs:
        for one, other in zip(stage.network.parameters(), twin.network.parameters(), strict=True):
            assert one.equal(other)
            besides += id(one) not in stored
    assert (besides > 0) == (kind in ("gan", "bibae", "cloud"))


def _examples(fitted: FittedModel, table: Table) -> Examples:
    levels = [
        one.levels(table.targets[name]) for one, name in zip(fitted.gaussianisers, ("x", "flag"), strict=True)
    ]
    lower, upper = (
        torch.from_numpy(np.stack(ends, 1).astype(np.float32)) for ends in zip(*levels, strict=True)
    )
    conditions = torch.from_numpy(fitted.standardiser(table.conditions))
    return Examples(conditions, torch.from_numpy(table.number), torch.from_numpy(table.row), lower, upper)


def test_what_is_saved_is_what_is_loaded(kind, table, tmp_path):
    fitted, record = fit_model(TOY, table, SETTINGS, tmp_path / "work", kind=kind)
    save_fitted(fitted, record, tmp_path)
    entry = ModelEntry.from_mapping(json.loads((tmp_path / "entry.json").read_text()), "entry")
    assert entry.kind == kind
    assert entry.parameters == fitted.n_parameters
    first = FittedModel.load(TOY, entry, read_tensors(tmp_path / entry.file))
    again = FittedModel.load(TOY, entry, first.tensors())
    conditions, normals = _drawn(fitted)
    for name, column in first.sample(conditions, normals, Sampling()).items():
        assert np.array_equal(column, again.sample(conditions, normals, Sampling())[name]), name
    # matrices are stored in half precision
    off = first.probabilities(conditions) - fitted.probabilities(conditions)
    assert np.abs(off).max() < 5e-3


def test_chunks_change_nothing(kind, table):
    fitted = _untrained(table, kind)
    conditions, normals = _drawn(fitted, 1500)
    whole = fitted.sample(conditions, normals, Sampling())
    for cuts in ((37, 1100), (1,), (256, 512)):
        parts = [
            fitted.sample(c, z, Sampling())
            for c, z in zip(np.split(conditions, cuts), np.split(normals, cuts), strict=True)
        ]
        for name, column in whole.items():
            assert np.array_equal(np.concatenate([part[name] for part in parts]), column), name


@pytest.mark.parametrize("width", [10, 50])
def test_a_row_comes_out_alike_wherever_it_stands_in_networks_of_odd_sizes(kind, table, width):
    """Few outputs of a number of inputs that is no multiple of four are what libraries compute by place."""
    found = find_kind(kind)
    size = found.declared_size(TOY, width=width, blocks=1)
    fitted = untrained(TOY, table, 1, size=size, kind=kind)
    with torch.no_grad():
        for network in fitted.networks.values():
            for weight in network.parameters():
                weight.add_(0.3 * torch.randn(weight.shape))
    entry = ModelEntry(
        file="toy.safetensors",
        sha256="0" * 64,
        kind=kind,
        **TOY.signature(),
        network=found.section(size),
        parameters=fitted.n_parameters,
    )
    loaded = FittedModel.load(TOY, entry, fitted.tensors())
    conditions, normals = _drawn(loaded, 64)
    whole, chances = loaded.latents(conditions, normals, Sampling()), loaded.probabilities(conditions)
    for first in (1, 3, 6):
        assert np.array_equal(loaded.latents(conditions[first:], normals[first:], Sampling()), whole[first:])
        assert np.array_equal(loaded.probabilities(conditions[first:]), chances[first:])


def test_each_number_of_a_row_counts_and_no_other_rows(kind, table):
    fitted, conditions = _untrained(table, kind), np.zeros((2, 2), np.float32)
    normals = np.random.default_rng(1).normal(size=(2, fitted.n_normals))
    base = fitted.sample(conditions, normals, Sampling())["x"]
    other = normals.copy()
    other[1] += 1
    moved = fitted.sample(conditions, other, Sampling())["x"]
    assert moved[0] == base[0]
    assert moved[1] != base[1]


def test_the_contract_says_the_kind(kind):
    found = contract("jet_from_genjet", kind)
    assert found["kind"] == kind
    assert registry.read_section(kind, found["network"], "here")


def test_a_fit_can_go_on_and_be_begun_anew_in_part(kind, table, tmp_path):
    path = table_path(tmp_path / "tables", "file.root", TOY)
    path.parent.mkdir(parents=True)
    table.save(path, TOY)
    fit_into_folder(TOY, tmp_path, SETTINGS, kind=kind)
    entry = json.loads((tmp_path / "fits" / "toy" / "entry.json").read_text())
    stages = [stage.name for stage in find_kind(kind).stages(_untrained(table, kind).networks)]
    # what is not said again is as the last fit has it: its kind, and its sizes
    fit_into_folder(TOY, tmp_path, SETTINGS, further=True)
    for stage in stages:
        record = fit_into_folder(TOY, tmp_path, SETTINGS, only=stage)
        assert set(record.losses) == set(stages)
    again = json.loads((tmp_path / "fits" / "toy" / "entry.json").read_text())
    assert {key: again[key] for key in ("kind", "network")} == {
        key: entry[key] for key in ("kind", "network")
    }
    assert not list((tmp_path / "fits" / "toy").glob("*.checkpoint.*"))
    with pytest.raises(RequestError, match=f"toy, a {kind}, has no 'else' to fit; it has {stages[0]}"):
        fit_into_folder(TOY, tmp_path, SETTINGS, only="else")


@pytest.fixture
def scalars(kind, gen, tmp_path) -> Path:
    """A bundle of one model, of each kind."""
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 9, "job_gen_first": 0}
    events = ReferenceDetector().simulate(fold_events(gen, oversample=3, gen_first=0, **numbering), seed=1)
    table = extract(events, SCALARS)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[one.name]) for one in SCALARS.targets)
    torch.manual_seed(3)
    fitted = FittedModel.untrained(SCALARS, Standardiser.fit(table.conditions), gaussianisers, kind=kind)
    record = FitRecord(1, 1, FitSettings(), {kind: [(0, 1.0, 1.0)]})
    save_fitted(fitted, record, tmp_path / "fit")
    fits = {SCALARS.name: tmp_path / "fit"}
    build_bundle(fits, tmp_path / "b", name="b", title="t", tag="T", training_sample=("s",))
    return tmp_path / "b"


def test_the_chain_runs_it_from_a_bundle_in_any_pieces(kind, scalars, gen):
    bundle = load_bundle(scalars)
    assert bundle.manifest.models[SCALARS.name].kind == kind
    chain = Chain(bundle)
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 9, "job_gen_first": 0}
    folds = fold_events(gen, oversample=2, gen_first=0, **numbering)
    whole = chain.simulate(folds, seed=5).scalars
    parts = [chain.simulate(part, seed=5).scalars for part in (folds.slice(0, 11), folds.slice(11, folds.n))]
    for name in SCALARS.outputs:
        assert np.array_equal(np.concatenate([part[name] for part in parts]), whole[name]), name


def _edited(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    for entry in manifest["models"].values():
        entry |= changes
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_kind_that_is_not_there_is_told_with_those_that_are(bundle, tmp_path):
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    _edited(copy, kind="gone", network={"bins": 8})
    with pytest.raises(BundleError) as told:
        load_bundle(copy)
    text = str(told.value)
    assert "\n" not in text
    assert told.value.exit_code == 11
    assert f"{copy / MANIFEST}: model electron_from_genelectron is of the kind 'gone'" in text
    assert "known: bibae, cloud, flow, gan, spline;" in text
    assert "flashsim-prod 0.1.0, python" in text
    with pytest.raises(BundleError, match="of the kind 'gone', which flashsim-prod"):
        find_kind("gone")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"width": 8, "blocks": 1, "time_frequencies": 2, "classifer": [4]}, "did you mean 'classifier'"),
        ({"width": 0, "blocks": 1, "time_frequencies": 2, "classifier": [4]}, "width: must be greater"),
        ({}, "the key 'width' is missing"),
    ],
)
def test_sizes_that_are_not_of_the_kind_are_refused(bundle, tmp_path, section, complaint):
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    _edited(copy, network=section)
    with pytest.raises(BundleError, match=f"model electron_from_genelectron: network: .*{complaint}"):
        load_bundle(copy)


def _as_version_1(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    for entry in manifest["models"].values():
        del entry["kind"]
    (folder / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 1}))


def test_a_manifest_of_version_1_means_flows(bundle, tmp_path):
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    _as_version_1(copy)
    old = load_bundle(copy)
    assert {entry.kind for entry in old.manifest.models.values()} == {"flow"}
    assert old.manifest == bundle.manifest
    # its digest stays that of its own bytes
    assert old.digest == hashlib.sha256((copy / MANIFEST).read_bytes()).hexdigest() != bundle.digest


def test_a_manifest_of_version_1_has_no_kinds(bundle, tmp_path):
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 1}))
    with pytest.raises(BundleError, match=r"models\.\w+\.kind: schema version 1 has no such key"):
        load_bundle(copy)


def test_a_manifest_of_this_version_has_to_say_the_kind(bundle, tmp_path):
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    _as_version_1(copy)
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 2}))
    with pytest.raises(BundleError, match=r"the key 'models\.\w+\.kind' is missing"):
        load_bundle(copy)


def test_a_spline_learns_a_density_that_it_can_say(tmp_path):
    """Correlated normals: the least loss is the entropy, and what is drawn has their correlation."""
    rng = np.random.default_rng(5)
    conditions = rng.normal(size=(6000, 2)).astype(np.float32)
    x, noise = rng.normal(size=(2, 6000))
    targets = {"x": x, "flag": 0.8 * x + 0.6 * noise}
    table = Table(conditions, np.ones(6000, np.int64), np.arange(6000), targets)
    settings = replace(SETTINGS, flow_steps=300, batch=256)
    fitted, record = fit_model(TOY, table, settings, tmp_path, kind="spline", only=None)
    entropy = np.log(2 * np.pi * np.e) + np.log(0.6)
    assert min(loss[2] for loss in record.losses["spline"]) == pytest.approx(entropy, abs=0.1)
    drawn = fitted.sample(conditions, rng.normal(size=(6000, 2)), Sampling())
    assert np.corrcoef(drawn["x"], drawn["flag"])[0, 1] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("kind", ["gan", "bibae"])
def test_a_kind_without_a_likelihood_learns_a_correlation(tmp_path, kind):
    """Before, targets are independent; afterwards they have a good part of the table's correlation."""
    rng = np.random.default_rng(5)
    conditions = rng.normal(size=(4000, 2)).astype(np.float32)
    x, noise = rng.normal(size=(2, 4000))
    table = Table(
        conditions, np.ones(4000, np.int64), np.arange(4000), {"x": x, "flag": 0.8 * x + 0.6 * noise}
    )
    settings = replace(SETTINGS, flow_steps=500, learning_rate=2e-3, batch=128, average=0.95, report_every=50)
    model = replace(TOY, most=0)
    fitted, record = fit_model(model, table, settings, tmp_path, kind=kind)
    drawn = fitted.sample(conditions, rng.normal(size=(4000, 2)), Sampling())
    assert np.corrcoef(drawn["x"], drawn["flag"])[0, 1] == pytest.approx(0.8, abs=0.25)
    for column in drawn.values():
        assert (column.mean(), column.std()) == pytest.approx((0, 1), abs=0.3)
    losses = [held_out for _, _, held_out in record.losses[kind]]
    assert min(losses) < 0.85 * losses[0]
