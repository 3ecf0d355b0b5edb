"""Fits learn what is in the table, and go on after an interruption as if there had been none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError, InputError
from flashsim_prod.physics.chain.bundle import ModelEntry
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import Condition, NetworkSize, ObjectModel, Target
from flashsim_prod.physics.training import fit as fitting
from flashsim_prod.physics.training.fit import fit_model
from flashsim_prod.physics.training.optimise import FitSettings, Optimisation
from flashsim_prod.physics.training.tables import Table

TOY = ObjectModel(
    name="toy",
    produces="Toy",
    uses=(),
    source=lambda events: pytest.fail("a fit needs no events"),
    conditions=(Condition("a"), Condition("b")),
    targets=(Target("x"), Target("flag")),
    match=lambda events, rows: pytest.fail("a fit needs no events"),
    size=NetworkSize(width=32, blocks=2, time_frequencies=4, classifier=(16,)),
)
SETTINGS = FitSettings(
    flow_steps=1500, multiplicity_steps=400, batch=512, average=0.98, report_every=50, checkpoint_every=100
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


def test_time_of_earlier_sittings_is_counted_once(tmp_path):
    table, settings = _table(2000), replace(SETTINGS, flow_steps=300, multiplicity_steps=100)
    _, first = fit_model(TOY, table, settings, tmp_path)
    _, again = fit_model(TOY, table, settings, tmp_path)
    # nothing was left to do, so the time is that of the first sitting
    assert again.seconds == pytest.approx(first.seconds, rel=0.2, abs=0.1)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    table, settings = _table(2000), replace(SETTINGS, flow_steps=100, multiplicity_steps=50)
    fit_model(TOY, table, settings, tmp_path)
    with pytest.raises(InputError, match="other settings"):
        fit_model(TOY, table, replace(settings, learning_rate=1e-4), tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "flow.checkpoint.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="damaged checkpoint"):
        fit_model(TOY, _table(2000), SETTINGS, tmp_path)


def test_too_small_a_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="objects to learn from"):
        fit_model(TOY, _table(1000), SETTINGS, tmp_path)


def _entry(**changes: object) -> ModelEntry:
    network = {"width": 32, "blocks": 2, "time_frequencies": 4, "classifier": (16,)}
    entry = {
        "file": "toy.safetensors",
        "sha256": "0" * 64,
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
