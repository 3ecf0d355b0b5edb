"""Reweighters of every kind of model: nearer to the truth, of that model alone, the same in any pieces."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.physics.chain.bundle import ModelEntry, save_model
from flashsim_prod.physics.chain.corrections.reweighter import Reweighter, taken
from flashsim_prod.physics.chain.corrections.section import ReweighterSection
from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.training.assemble import load_fitted, save_fitted
from flashsim_prod.physics.training.correcting import folder
from flashsim_prod.physics.training.correcting.folder import (
    Unseen,
    groups,
    learned_and_judged,
    leave,
    unseen,
    unseen_by_fit,
)
from flashsim_prod.physics.training.correcting.reweight import ReweightSettings, learn_reweighter
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import table_path
from tests.corrections import (
    SAMPLING,
    SINGLE,
    asked,
    is_refused_with_another_model,
    is_the_same_in_any_pieces,
    knows_its_own_draws_alone,
    toy_table,
    unseen_toy,
)
from tests.toy_models import toy_model

TOY = toy_model(most=2)
SETTINGS = ReweightSettings(steps=200, batch=256, hidden=(32,), knots=8, learning_rate=3e-3)
N = 3000
NO_BUNDLE = SimpleNamespace(name="none", manifest=SimpleNamespace(training_sample=()))


@functools.cache
def _table() -> Table:
    return toy_table(N)


@functools.cache
def _unseen(kind: str) -> Unseen:
    return unseen_toy(TOY, _table(), kind)


@functools.cache
def _reweighted(kind: str) -> Unseen:
    found = _unseen(kind)
    learned = learn_reweighter(found.fitted, found.digest, _table(), SETTINGS, SAMPLING)
    return found.corrected(learned, {"reweighter_objects": 1})


def _weighted(kind: str) -> Unseen:
    """The same, whose weights are to be weights of events."""
    found = _reweighted(kind)
    section = found.entry.reweighter.model_copy(update={"use": WeightUse.WEIGHT})
    return replace(found, entry=found.entry.model_copy(update={"reweighter": section}))


@pytest.fixture(params=SINGLE)
def kind(request) -> str:
    return request.param


def test_what_is_resampled_is_nearer_to_the_truth(kind):
    fitted = _reweighted(kind).loaded()
    conditions, normals = asked(fitted, 2000)
    assert normals.shape[1] == SETTINGS.candidates * fitted.bare.n_normals + 1
    drawn = fitted.sample(conditions, normals, SAMPLING)
    # without it, what the first candidates are
    bare = fitted.bare.sample(conditions, normals[:, : fitted.bare.n_normals], SAMPLING)
    before, after = (np.corrcoef(one["x"], conditions[:, 0])[0, 1] for one in (bare, drawn))
    assert abs(before) < 0.2 < after - before
    agrees, agree = (np.mean((one["x"] > 0) == (one["flag"] > 0)) for one in (bare, drawn))
    assert agrees < 0.6 < 0.68 < agree
    assert not fitted.weights_events


def test_what_is_resampled_is_the_same_in_any_pieces_and_again(kind):
    is_the_same_in_any_pieces(lambda: _reweighted(kind).loaded())


def test_weights_have_unit_mean_and_leave_draws_as_they_are(kind):
    fitted = _weighted(kind).loaded()
    assert fitted.weights_events
    assert fitted.n_normals == fitted.bare.n_normals
    conditions, normals = asked(fitted, 2000)
    latents = fitted.latents(conditions, normals, SAMPLING)
    assert np.array_equal(latents, fitted.bare.latents(conditions, normals, SAMPLING))
    weights = fitted.weights(conditions, latents)
    assert weights.mean() == pytest.approx(1, abs=0.2)
    section = fitted.reweighter.section
    assert section.least / section.mean <= weights.min() < weights.max() <= section.most / section.mean
    # weighted, x goes with the condition
    x = fitted.targets(latents)["x"]
    assert np.average(x * conditions[:, 0], weights=weights) > np.mean(x * conditions[:, 0]) + 0.2


def test_steps_are_seen_by_their_values_alone(kind):
    """Where within a step a draw lies is not in the attribute, and weighs nothing."""
    fitted = _reweighted(kind).loaded()
    conditions = np.zeros((2, 2), np.float32)
    latents = np.float32([[0.5, 0.8], [0.5, 2.0]])
    assert len(set(fitted.targets(latents)["flag"])) == 1
    first, second = fitted.weights(conditions, latents)
    assert first == second


def test_a_reweighter_of_another_model_is_refused(kind):
    is_refused_with_another_model(_reweighted(kind), _unseen(kind), "reweighter", "knots")


def test_draws_that_it_does_not_know_are_refused(kind):
    knows_its_own_draws_alone(_reweighted(kind).loaded(), "reweighter")


def test_models_that_are_changed_have_none(kind):
    fitted = _reweighted(kind).loaded()
    assert fitted.bare.reweighter is None
    assert fitted.with_networks(fitted.networks).reweighter is None
    assert fitted.tensors().keys() == _unseen(kind).tensors.keys()


def test_what_an_interruption_left_is_begun_anew(tmp_path):
    """Weights with a reweighter beside an entry that says no word of it yet."""
    found = _reweighted("gan")
    record = FitRecord(N, len(_table().row), FitSettings(), {"gan": [(0, 1.0, 1.0)]})
    folder = tmp_path / "fits" / "toy"
    save_fitted(found.fitted, record, folder)
    save_model(folder, "toy", found.tensors)
    model, _ = load_fitted(folder, TOY)
    assert model.tensors().keys() == _unseen("gan").tensors.keys()
    path = table_path(tmp_path / "tables", "file.root", TOY)
    path.parent.mkdir(parents=True)
    many = Table.concatenate([_table()] * 12)
    many.save(path, TOY)
    entry = folder / "entry.json"
    entry.write_text(entry.read_text().replace(f'"rows": {N}', f'"rows": {12 * N}'))
    entry.write_text(
        entry.read_text().replace(f'"objects": {len(_table().row)}', f'"objects": {len(many.row)}')
    )
    unseen = unseen_by_fit(TOY, tmp_path, ReweighterSection)
    assert unseen.digest == _unseen("gan").digest
    assert 1300 <= len(unseen.table.row) < 0.1 * len(many.row)
    assert unseen.fitted.reweighter is None
    leave(
        unseen.corrected(Reweighter.trained(found.entry.reweighter, found.loaded().reweighter.network), {}),
        tmp_path,
    )
    assert json.loads(entry.read_text())["reweighter"]["of"] == unseen.digest


def test_an_entry_tells_it_and_others_say_no_word():
    found = json.loads(_reweighted("gan").entry.model_dump_json())
    assert ModelEntry.from_mapping(found, "entry").reweighter == _reweighted("gan").entry.reweighter
    assert found["reweighter"]["of"] == _unseen("gan").digest
    assert "reweighter" not in json.loads(_unseen("gan").entry.model_dump_json())
    with pytest.raises(ValueError, match="is not below most"):
        ReweighterSection(**{**found["reweighter"], "least": 30.0})


def test_candidates_are_taken_as_often_as_they_weigh():
    level = np.random.default_rng(1).random(40_000)
    weights = np.broadcast_to(np.array([1.0, 0.5, 2.5]), (len(level), 3))
    assert np.bincount(taken(weights, level), minlength=3) / len(level) == pytest.approx(
        [0.25, 0.125, 0.625], abs=0.01
    )


def test_objects_that_judge_are_of_other_sources():
    learned, judged = learned_and_judged(_table())
    assert len(learned.row) + len(judged.row) == len(_table().row)
    assert not set(learned.row) & set(judged.row)
    assert 0.25 <= len(judged.row) / len(_table().row) < 0.35
    assert np.all(np.diff(groups(judged)) >= 0)
    assert len(np.unique(groups(judged))) >= 40


def test_events_that_the_bundle_learned_from_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "base_unlike_tables", lambda *_: [])
    monkeypatch.setattr(folder, "unseen_by_bundle", lambda *_: _unseen(SINGLE[0]))
    for name, first in (("old", 0), ("half", 50), ("new", 0)):
        path = table_path(tmp_path / "tables", f"{name}.root", TOY)
        path.parent.mkdir(parents=True, exist_ok=True)
        _table().save(path, source=DrawnFrom(f"{name}.root", "1", 50, 100, 1, first))
    samples = {("old", "half, events 0:50"): ["old: named in"], ("half",): ["half: named in"], ("prose",): []}
    for sample, lines in samples.items():
        manifest = SimpleNamespace(training_sample=sample)
        base = SimpleNamespace(name="a", manifest=manifest)
        told = unseen(TOY, tmp_path, base, ReweighterSection).mixtures
        assert len(told) == len(lines)
        assert all(line.startswith(start) for line, start in zip(told, lines, strict=True))


def test_weights_of_tables_that_corrections_do_not_know_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "base_unlike_tables", lambda *_: ["a line"])
    for weight, lines in ((None, 1), (np.full(N, 0.5), 2)):
        found = replace(_unseen(SINGLE[0]), table=replace(_table(), weight=weight))
        monkeypatch.setattr(folder, "unseen_by_bundle", lambda *_, one=found: one)
        told = unseen(TOY, tmp_path, NO_BUNDLE, ReweighterSection).mixtures
        assert len(told) == lines
        assert told[0] == "a line"
        assert (
            "toy: tables with a weight, which only fits with --base know: here all" in told[-1] or lines == 1
        )
