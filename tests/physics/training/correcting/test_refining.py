"""Refiners of every kind of model: only what is continuous moves, of that model alone, in any pieces."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.errors import BundleError, RequestError
from flashsim_prod.physics.chain.bundle import ModelEntry
from flashsim_prod.physics.chain.corrections.refiner import Refinement, Refiner, moving, stretches, untrained
from flashsim_prod.physics.chain.corrections.reweighter import Reweighter, classifier
from flashsim_prod.physics.chain.corrections.section import (
    RefinerSection,
    ReweighterSection,
    without_corrections,
)
from flashsim_prod.physics.chain.devices.work import Task
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.registry import KINDS, find_kind
from flashsim_prod.physics.chain.kinds.sets.base import KindOfSets
from flashsim_prod.physics.chain.transforms import Gaussianiser
from flashsim_prod.physics.training.correcting import folder
from flashsim_prod.physics.training.correcting.folder import Unseen
from flashsim_prod.physics.training.correcting.refine import RefineLoss, RefineSettings, learn_refiner
from flashsim_prod.physics.training.fit import examples_of
from flashsim_prod.physics.training.table import Table
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
SPIKE = -9.0
N = 2000


@functools.cache
def _table() -> Table:
    return toy_table(N, SPIKE)


@functools.cache
def _unseen(kind: str) -> Unseen:
    return unseen_toy(TOY, _table(), kind)


@functools.cache
def _refined(kind: str, *, at_rest: bool = False) -> Unseen:
    """With a refiner that moves draws anywhere, or nowhere."""
    found = _unseen(kind)
    integrates = find_kind(kind).integrates
    section = RefinerSection(
        of=found.digest, moves=("x",), width=8, blocks=1, sampling=SAMPLING if integrates else None
    )
    torch.manual_seed(5)
    network = untrained(TOY, section)
    if not at_rest:
        torch.nn.init.normal_(network.leave.weight)
    return found.corrected(Refiner.trained(section, network, found.fitted.gaussianisers), {})


@pytest.fixture(params=SINGLE)
def kind(request) -> str:
    return request.param


def test_what_is_continuous_moves_and_all_else_stays(kind):
    fitted = _refined(kind).loaded()
    conditions, normals = asked(fitted)
    assert fitted.n_normals == fitted.bare.n_normals
    drawn = fitted.bare.sample(conditions, normals, SAMPLING)
    refined = fitted.sample(conditions, normals, SAMPLING)
    assert np.array_equal(refined["flag"], drawn["flag"])
    spike = drawn["x"] == SPIKE
    assert spike.any()
    assert np.array_equal(refined["x"] == SPIKE, spike)
    moved = np.abs(refined["x"] - drawn["x"])[~spike]
    assert np.median(moved) > 0.05
    assert fitted.columns(Task.ATTRIBUTES) == 4


def test_one_that_has_learned_nothing_moves_nothing(kind):
    fitted = _refined(kind, at_rest=True).loaded()
    conditions, normals = asked(fitted)
    latents = fitted.latents(conditions, normals, SAMPLING)
    assert latents == pytest.approx(fitted.bare.latents(conditions, normals, SAMPLING), abs=1e-5)


def test_what_is_refined_is_the_same_in_any_pieces_and_again(kind):
    is_the_same_in_any_pieces(lambda: _refined(kind).loaded())


def test_a_refiner_of_another_model_is_refused(kind):
    told = is_refused_with_another_model(_refined(kind), _unseen(kind), "refiner", ".*")
    assert "flashsim-prod train refine toy" in told


def test_draws_that_it_does_not_know_are_refused(kind):
    knows_its_own_draws_alone(_refined(kind).loaded(), "refiner")


def test_models_that_are_changed_have_none(kind):
    fitted = _refined(kind).loaded()
    assert fitted.with_networks(fitted.networks).refiner is None
    assert fitted.tensors().keys() == _unseen(kind).tensors.keys()


def _reweighted(found: Unseen, of: str) -> Unseen:
    section = ReweighterSection(
        **{"of": of, "use": WeightUse.RESAMPLE, "candidates": 3, "least": 0.05, "most": 20.0, "scale": 1.0},
        **{"shift": 0.0, "mean": 1.0, "classifier": (8,), "knots": 4},
    )
    torch.manual_seed(6)
    network = classifier(TOY, (8,), 4)
    network.spread_knots(torch.randn(200, 4))
    return found.corrected(Reweighter.trained(section, network), {})


def test_candidates_of_resampling_are_refined(kind):
    refined = _refined(kind)
    found = _reweighted(refined, refined.digest)
    fitted = found.loaded()
    conditions, normals = asked(fitted)
    own = fitted.bare.n_normals
    assert normals.shape[1] == 3 * own + 1
    taken = fitted.latents(conditions, normals, SAMPLING)
    candidates = [
        refined.loaded().latents(conditions, normals[:, one * own : (one + 1) * own], SAMPLING)
        for one in range(3)
    ]
    which = [np.all(taken == one, axis=1) for one in candidates]
    assert np.all(np.any(which, axis=0))
    assert all(0.1 < one.mean() < 0.7 for one in which)
    # a reweighter knows the model as it is refined
    assert refined.digest != _unseen(kind).digest
    with pytest.raises(BundleError, match="its reweighter is of another model"):
        _reweighted(refined, _unseen(kind).digest).loaded()


def test_what_is_learned_again_goes_with_what_would_come_after_it():
    refined = _refined("gan")
    both = _reweighted(refined, refined.digest)
    entry = both.entry.model_copy(update={"fit": {"rows": 1, "refiner_objects": 2, "reweighter_objects": 3}})
    found, tensors = folder._before(RefinerSection, entry, both.tensors)
    assert found.refiner is found.reweighter is None
    assert found.fit == {"rows": 1}
    assert tensors.keys() == _unseen("gan").tensors.keys()
    assert folder._lost(RefinerSection, entry) == "reweighter"
    found, tensors = folder._before(ReweighterSection, entry, both.tensors)
    assert found.refiner == refined.entry.refiner
    assert found.reweighter is None
    assert found.fit == {"rows": 1, "refiner_objects": 2}
    assert tensors.keys() == refined.tensors.keys()
    # what an interruption left of a refiner beside an entry that says no word of it
    silent = entry.model_copy(update={"refiner": None})
    assert folder._before(ReweighterSection, silent, both.tensors)[1].keys() == _unseen("gan").tensors.keys()


def test_one_that_moves_other_targets_or_is_of_a_later_form_is_refused():
    found = _refined("gan")
    for moves in (("flag",), ("y",)):
        entry = found.entry.model_copy(
            update={"refiner": found.entry.refiner.model_copy(update={"moves": moves})}
        )
        with pytest.raises(BundleError, match="its refiner moves other targets than those that lie between"):
            FittedModel.load(TOY, entry, found.tensors)
    told = json.loads(found.entry.model_dump_json())
    assert ModelEntry.from_mapping(told, "entry").refiner == found.entry.refiner
    assert "refiner" not in json.loads(_unseen("gan").entry.model_dump_json())
    told["refiner"]["form"] = 2
    with pytest.raises(Exception, match="of form 2, and this software knows 1") as later:
        ModelEntry.from_mapping(told, "entry")
    assert "\n" not in str(later.value)


def test_sets_are_not_refined():
    sets = next(one for one in KINDS if isinstance(find_kind(one), KindOfSets))
    entry = _unseen("gan").entry.model_copy(update={"kind": sets})
    with pytest.raises(
        RequestError, match="a refiner knows single objects; fit it as another kind to refine"
    ):
        folder._refuse_sets(TOY, entry, RefinerSection)
    refined = entry.model_copy(update={"refiner": _refined("gan").entry.refiner})
    with pytest.raises(BundleError, match="a refiner knows single objects"):
        FittedModel.load(TOY, refined, _refined("gan").tensors)


def test_stretches_lie_between_steps():
    whole = Gaussianiser.fit(np.random.default_rng(1).normal(size=1000))
    assert stretches(whole).tolist() == [[0.0, 1.0]]
    assert len(stretches(Gaussianiser.fit(np.repeat(np.arange(6), (1, 3000, 1, 1, 4000, 1))))) == 0
    spiky = np.random.default_rng(1).normal(size=1000)
    spiky[:300] = 0.0
    (_, below), (above, _) = stretches(Gaussianiser.fit(spiky))
    assert above - below == pytest.approx(0.3, abs=1e-5)
    spiky[:300] = -9.0
    assert stretches(Gaussianiser.fit(spiky)) == pytest.approx(np.array([[0.3, 1.0]]), abs=1e-5)
    assert moving(TOY, (whole, Gaussianiser.fit(np.arange(2)))) == ("x",)


def test_nothing_leaves_its_stretch_and_gradients_are_finite():
    spiky = np.random.default_rng(1).normal(size=1000)
    spiky[:300] = 0.0
    gaussianiser = Gaussianiser.fit(spiky)
    drawn = torch.randn(400, 1, generator=torch.Generator().manual_seed(1))
    for shift in (-50.0, -0.3, 0.3, 50.0):
        amount = torch.full((400, 1), shift, requires_grad=True)
        moved = Refinement(_Given(amount), [stretches(gaussianiser)])(drawn, torch.zeros(400, 1))
        before, after = (gaussianiser.from_normal(one.detach().numpy()[:, 0]) for one in (drawn, moved))
        assert np.array_equal(before == 0, after == 0)
        assert np.array_equal(np.sign(before), np.sign(after))
        assert np.all((after - before)[before != 0] * np.sign(shift) >= 0)
        moved.sum().backward()
        assert torch.isfinite(amount.grad).all()
        # what lies on a step is moved by nothing
        assert np.all(amount.grad.numpy()[:, 0][before == 0] == 0)
        if abs(shift) < 1:
            assert np.mean(amount.grad.numpy()[:, 0] > 0.2) > 0.5


class _Given(torch.nn.Module):
    def __init__(self, amount: torch.Tensor) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, drawn: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        return self.amount


def test_it_learns_what_the_model_did_not():
    found = _unseen("gan")
    settings = RefineSettings(steps=40, batch=256, width=16, blocks=1, learning_rate=2e-2, draws=2)
    made = learn_refiner(found.fitted, found.digest, _table(), settings, SAMPLING)
    assert made.loss_after < made.loss_before
    assert not made.is_at_rest
    fitted = found.corrected(made.refiner, {}).loaded()
    conditions, normals = asked(fitted, 2000)
    before, after = (
        np.corrcoef(ndtr(one.latents(conditions, normals, SAMPLING)[:, 0]), conditions[:, 0])[0, 1]
        for one in (fitted.bare, fitted)
    )
    assert abs(before) < 0.1
    assert after > 0.2
    again = learn_refiner(found.fitted, found.digest, _table(), replace(settings, steps=5), SAMPLING)
    assert again.loss_after <= again.loss_before == made.loss_before


def test_the_loss_is_least_for_the_truth_and_takes_no_draw_to_its_pair():
    fitted = _unseen("gan").fitted
    examples = examples_of(fitted, _table())
    rows = torch.arange(1000)
    truth = examples.normal(torch.arange(len(_table().row)), torch.Generator().manual_seed(3))
    other = torch.randn(truth.shape, generator=torch.Generator().manual_seed(4))

    def loss(drawn: torch.Tensor) -> float:
        found = RefineLoss(examples, drawn[None], pairing=0.0)
        with torch.no_grad():
            return float(found(_AsDrawn(), rows, torch.Generator().manual_seed(1), "cpu"))

    assert abs(loss(truth)) < 0.005 < loss(other)
    assert set(without_corrections(_refined("gan").tensors)) == set(_unseen("gan").tensors)


class _AsDrawn(torch.nn.Module):
    def forward(self, drawn: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        return drawn
