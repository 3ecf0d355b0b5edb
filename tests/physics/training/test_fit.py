"""Fits learn what is in the table, and go on after an interruption as if there had been none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError, InputError
from flashsim_prod.physics.chain.bundle import ModelEntry, read_tensors
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import NetworkSize
from flashsim_prod.physics.training import fit as fitting
from flashsim_prod.physics.training import optimise
from flashsim_prod.physics.training.assemble import fitted_entry, is_fit_of
from flashsim_prod.physics.training.fit import fit_into_folder, fit_model
from flashsim_prod.physics.training.optimise import FitSettings, Optimisation
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import Table, load_tables, table_path
from tests.toy_models import toy_model

TOY = replace(
    toy_model(1), size=NetworkSize(width=32, blocks=2, time_frequencies=4, classifier=(16,), knots=4)
)
SETTINGS = FitSettings(
    flow_steps=1500,
    multiplicity_steps=400,
    batch=512,
    multiplicity_batch=512,
    average=0.98,
    report_every=50,
    checkpoint_every=100,
)


def _table(n: int = 20_000) -> Table:
    """Efficiency and width depend on `a`, the mean on `b`, and the flag on the sign of x's deviation."""
    rng = np.random.default_rng(2)
    conditions = rng.normal(size=(n, 2)).astype(np.float32)
    number = (rng.uniform(size=n) < 1 / (1 + np.exp(-2 * conditions[:, 0]))).astype(np.int64)
    row = np.flatnonzero(number)
    deviation = rng.normal(size=len(row)) * np.where(conditions[row, 0] > 0, 0.2, 1.0)
    targets = {"x": conditions[row, 1] + deviation, "flag": (deviation > 0).astype(np.int32)}
    return Table(conditions, number, row, targets)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    torch.set_num_threads(1)
    return fit_model(TOY, _table(), SETTINGS, tmp_path_factory.mktemp("fit"))


def test_the_efficiency_is_learned(fitted):
    probability = fitted[0].probabilities(np.array([[-2, 0], [0, 0], [2, 0]], dtype=np.float32))[:, 1]
    assert probability == pytest.approx(1 / (1 + np.exp(-2 * np.array([-2, 0, 2]))), abs=0.05)


@pytest.mark.parametrize(("a", "b", "width"), [(1.0, 0.5, 0.2), (-1.0, -1.0, 1.0)])
def test_the_conditional_distribution_is_learned(fitted, a, b, width):
    conditions = np.tile(np.array([a, b], dtype=np.float32), (4000, 1))
    noise = np.random.default_rng(3).normal(size=(4000, 2))
    drawn = fitted[0].sample(conditions, noise, Sampling(evaluations=16))
    assert drawn["x"].mean() == pytest.approx(b, abs=0.2)
    assert drawn["x"].std() == pytest.approx(width, rel=0.35)
    assert set(drawn["flag"]) == {0.0, 1.0}
    # the flag goes with the sign of the deviation
    agreement = np.mean((drawn["flag"] > 0.5) == (drawn["x"] > b))
    assert agreement > 0.8


def test_the_held_out_loss_falls(fitted):
    held_out = [loss for _, _, loss in fitted[1].losses["flow"]]
    assert held_out[-1] < 0.9 * held_out[0]


def test_an_interrupted_fit_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    table, settings = _table(4000), replace(SETTINGS, flow_steps=200, multiplicity_steps=100)
    whole, _ = fit_model(TOY, table, settings, tmp_path / "whole")

    advance, calls = Optimisation.advance, []

    def failing(self: Optimisation, steps: int) -> None:
        calls.append(steps)
        if len(calls) == 4:
            raise KeyboardInterrupt
        advance(self, steps)

    monkeypatch.setattr(fitting.Optimisation, "advance", failing)
    with pytest.raises(KeyboardInterrupt):
        fit_model(TOY, table, settings, tmp_path / "parts")
    monkeypatch.undo()
    assert (tmp_path / "parts" / "flow.checkpoint.safetensors").exists()
    resumed, record = fit_model(TOY, table, settings, tmp_path / "parts")
    for name, tensor in whole.tensors().items():
        assert np.array_equal(tensor, resumed.tensors()[name]), name
    assert [step for step, _, _ in record.losses["flow"]] == [50, 100, 150, 200]


def test_time_of_earlier_sittings_is_counted_once(tmp_path, monkeypatch):
    table, settings = _table(2000), replace(SETTINGS, flow_steps=300, multiplicity_steps=100)
    advance, clock = Optimisation.advance, [1000.0]

    def timed(self: Optimisation, steps: int) -> None:
        advance(self, steps)
        clock[0] += steps

    monkeypatch.setattr(fitting.Optimisation, "advance", timed)
    monkeypatch.setattr(fitting.time, "monotonic", lambda: clock[0])
    _, first = fit_model(TOY, table, settings, tmp_path)
    _, again = fit_model(TOY, table, settings, tmp_path)
    # nothing was left to do, so the time is that of the first sitting
    assert again.seconds == first.seconds == 400


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    table, settings = _table(2000), replace(SETTINGS, flow_steps=100, multiplicity_steps=50)
    fit_model(TOY, table, settings, tmp_path)
    with pytest.raises(InputError, match="other settings"):
        fit_model(TOY, table, replace(settings, learning_rate=1e-4), tmp_path)


def test_a_checkpoint_of_other_tables_of_the_same_size_is_refused(tmp_path):
    table, settings = _table(2000), replace(SETTINGS, flow_steps=10, multiplicity_steps=10)
    fit_model(TOY, table, settings, tmp_path)
    other = replace(table, targets={**table.targets, "x": table.targets["x"] + 5})
    with pytest.raises(InputError, match="other settings or events"):
        fit_model(TOY, other, settings, tmp_path)
    # one that does not say it is taken at its word
    path = tmp_path / "flow.checkpoint.safetensors"
    with safe_open(path, framework="np") as file:
        notes, tensors = json.loads(file.metadata()["notes"]), read_tensors(path)
    del notes["learns_from"]
    save_file(tensors, path, {"notes": json.dumps(notes)})
    (tmp_path / "multiplicity.checkpoint.safetensors").unlink()
    fit_model(TOY, other, settings, tmp_path)


def test_a_fit_says_by_which_rows_it_can_be_judged(work):
    quick = replace(SETTINGS, flow_steps=10, multiplicity_steps=10)
    folder, table = work / "fits" / "toy", load_tables(work / "tables", TOY)
    fit_into_folder(TOY, work, quick)
    other = replace(table, conditions=table.conditions + 1)
    assert [is_fit_of(fitted_entry(folder, "toy"), one) for one in (table, other)] == [True, False]
    fit_into_folder(TOY, work, quick, further=True)
    assert is_fit_of(fitted_entry(folder, "toy"), table)
    # rows that one of two fits held out, the other has seen
    fit_into_folder(TOY, work, replace(quick, seed=2), only="multiplicity")
    assert not is_fit_of(fitted_entry(folder, "toy"), table)
    fit_into_folder(TOY, work, replace(quick, seed=2), further=True)
    assert not is_fit_of(fitted_entry(folder, "toy"), table)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "flow.checkpoint.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="damaged checkpoint"):
        fit_model(TOY, _table(2000), SETTINGS, tmp_path)


def test_too_small_a_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="objects to learn from"):
        fit_model(TOY, _table(1000), SETTINGS, tmp_path)


def _entry(**changes: object) -> ModelEntry:
    network = {"width": 32, "blocks": 2, "time_frequencies": 4, "classifier": (16,), "knots": 4}
    entry = {
        "file": "toy.safetensors",
        "sha256": "0" * 64,
        "kind": "flow",
        "network": network,
        "parameters": 1,
        **TOY.signature(),
    }
    return ModelEntry.model_validate({**entry, **changes})


def test_tensors_restore_the_model(fitted):
    restored = FittedModel.load(TOY, _entry(), fitted[0].tensors())
    conditions = np.random.default_rng(1).normal(size=(700, 2)).astype(np.float32)
    noise = np.random.default_rng(2).normal(size=(700, 2))
    # the matrices were rounded to half precision
    assert np.allclose(restored.probabilities(conditions), fitted[0].probabilities(conditions), atol=2e-3)
    drawn = [one.sample(conditions, noise, Sampling())["x"] for one in (restored, fitted[0])]
    assert np.mean(np.abs(drawn[0] - drawn[1])) < 2e-3 * np.std(drawn[1])
    again = FittedModel.load(TOY, _entry(), restored.tensors())
    assert np.array_equal(again.sample(conditions, noise, Sampling())["x"], drawn[0])


def test_what_is_drawn_does_not_depend_on_the_batch(fitted):
    conditions = np.random.default_rng(1).normal(size=(1500, 2)).astype(np.float32)
    noise = np.random.default_rng(2).normal(size=(1500, 2))
    whole = fitted[0].sample(conditions, noise, Sampling())["x"]
    pieces = [
        fitted[0].sample(conditions[part], noise[part], Sampling())["x"]
        for part in (slice(0, 37), slice(37, 1100), slice(1100, 1500))
    ]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_weights_for_other_conditions_are_refused(fitted):
    with pytest.raises(BundleError, match="conditions"):
        FittedModel.load(TOY, _entry(conditions=("a:linear",)), fitted[0].tensors())


def test_a_missing_weight_is_named(fitted):
    tensors = {name: tensor for name, tensor in fitted[0].tensors().items() if name != "velocity.leave.bias"}
    with pytest.raises(BundleError, match=r"leave\.bias"):
        FittedModel.load(TOY, _entry(), tensors)


def test_the_edge_of_an_efficiency_is_sharp(tmp_path):
    """With the intervals between knots; the conditions alone would blur it in as many steps."""
    rng = np.random.default_rng(5)
    conditions = rng.uniform(-3, 3, size=(40_000, 2)).astype(np.float32)
    number = ((np.abs(conditions[:, 0]) < 2.4) & (rng.random(40_000) < 0.9)).astype(np.int64)
    row = np.flatnonzero(number)
    table = Table(conditions, number, row, {"x": rng.normal(size=len(row)), "flag": number[row]})
    near = np.array([[2.3, 0], [2.5, 0], [-2.3, 1], [-2.5, 1]], dtype=np.float32)
    off = {}
    for knots in (0, 20):
        size = replace(TOY.size, classifier=(32, 16), knots=knots)
        settings = replace(SETTINGS, flow_steps=1, multiplicity_steps=300)
        edged, _ = fit_model(TOY, table, settings, tmp_path / str(knots), size=size)
        off[knots] = np.abs(edged.probabilities(near)[:, 1] - [0.9, 0, 0.9, 0]).max()
    assert off[20] < 0.25
    assert off[20] < 0.7 * off[0]


@pytest.fixture
def work(tmp_path):
    """A working folder with a table."""
    path = table_path(tmp_path / "tables", "some.root", TOY)
    path.parent.mkdir(parents=True)
    _table(4000).save(path)
    return tmp_path


SHORT = replace(SETTINGS, flow_steps=150, multiplicity_steps=50)


def _weights(work: Path, network: str) -> dict[str, np.ndarray]:
    tensors = read_tensors(work / "fits" / "toy" / "toy.safetensors")
    return {name: value for name, value in tensors.items() if name.startswith(network)}


def _same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("only", "prefix", "kept"),
    [("multiplicity", "multiplicity.", "velocity."), ("flow", "velocity.", "multiplicity.")],
)
def test_one_network_is_fitted_anew_and_the_other_kept(work, only, prefix, kept):
    fit_into_folder(TOY, work, SHORT)
    before, kept_before = _weights(work, prefix), _weights(work, kept)
    losses = FitRecord.losses_in(work / "fits" / "toy" / "fit.json")
    longer = replace(SHORT, flow_steps=200, multiplicity_steps=100, seed=2)
    fit_into_folder(TOY, work, longer, only=only)
    assert not _same(before, _weights(work, prefix))
    assert _same(kept_before, _weights(work, kept))
    after = FitRecord.losses_in(work / "fits" / "toy" / "fit.json")
    other = next(network for network in ("flow", "multiplicity") if network != only)
    assert after[other] == losses[other]
    assert after[only][-1][0] == {"flow": 200, "multiplicity": 100}[only]


def test_a_fit_goes_on_from_the_weights_that_are_there(work):
    fit_into_folder(TOY, work, SHORT)
    first = FitRecord.losses_in(work / "fits" / "toy" / "fit.json")["flow"]
    fit_into_folder(TOY, work, replace(SHORT, learning_rate=1e-3), further=True)
    further = FitRecord.losses_in(work / "fits" / "toy" / "fit.json")["flow"]
    # it begins about where the first ended, and gets better
    assert further[0][2] < first[0][2]
    assert further[-1][2] < first[-1][2]


def test_a_network_alone_needs_a_fit_before(work):
    with pytest.raises(BundleError, match="train fit toy"):
        fit_into_folder(TOY, work, SHORT, only="multiplicity")


def test_a_checkpoint_of_another_kind_is_not_passed_over(work):
    folder = work / "fits" / "toy"
    folder.mkdir(parents=True)
    (folder / "flow.checkpoint.safetensors").write_bytes(b"of a flow")
    with pytest.raises(InputError, match=r"a checkpoint of a flow, not of a gan; go on with --kind flow"):
        fit_into_folder(TOY, work, SHORT, kind="gan")
    assert [path.name for path in folder.iterdir()] == ["flow.checkpoint.safetensors"]


def test_a_small_table_is_not_learned_by_heart(tmp_path):
    """With as many weights as rows, what is kept is what was best on rows never seen."""
    size = replace(TOY.size, classifier=(64, 32), knots=20)
    settings = replace(SETTINGS, flow_steps=1, multiplicity_steps=800, learning_rate=5e-3)
    rng = np.random.default_rng(8)
    conditions = rng.normal(size=(2500, 2)).astype(np.float32)
    table = _table(2500)
    known, record = fit_model(TOY, table, settings, tmp_path, size=size)
    held_out = [loss for _, _, loss in record.losses["multiplicity"]]
    assert min(held_out) < held_out[-1]
    efficiency = 1 / (1 + np.exp(-2 * conditions[:, 0]))
    off = known.probabilities(conditions)[:, 1] - efficiency
    assert np.sqrt(np.mean(off**2)) < 0.08


def test_twins_are_held_out_together():
    """Reconstructions of one generator event stand side by side in a table."""
    held_out, rows = optimise.split_rows(10_000, replace(SETTINGS, held_out=0.1))
    assert sorted(torch.cat((held_out, rows)).tolist()) == list(range(10_000))
    assert len(held_out) == pytest.approx(1000, rel=0.5)
    beside = np.isin(held_out.numpy() + 1, rows.numpy())
    assert beside.sum() <= len(held_out) / 50


def _spoil(work: Path, which: slice) -> None:
    table = _table(4000)
    table.targets["x"][which] = np.nan
    table.save(table_path(work / "tables", "some.root", TOY))


def test_rows_that_are_not_finite_are_not_learned_from(work):
    _spoil(work, slice(0, 50))
    record = fit_into_folder(TOY, work, replace(SHORT, flow_steps=50, multiplicity_steps=50))
    assert (record.left_out.objects, record.left_out.names) == (50, {"target x": 50})
    assert record.objects == len(_table(4000).row) - 50
    assert all(np.isfinite(tensor).all() for tensor in _weights(work, "").values())


def test_a_table_with_nothing_finite_is_refused(work):
    _spoil(work, slice(None))
    with pytest.raises(InputError, match=r"only 0 objects.*were left out, not finite: target x \("):
        fit_into_folder(TOY, work, SHORT)
    assert not (work / "fits").exists()
