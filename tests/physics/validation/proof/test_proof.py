"""The proof itself: it must pass for correlated folds, and must not where they are independent."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.validation.dataset.observables import find_observable
from flashsim_prod.physics.validation.proof.page import write_proof
from flashsim_prod.physics.validation.proof.proof import Pool, ProofOfProcess, prove

N_GEN, FOLDS = 400, 12


def _pool(resolution: float, n_gen: int = N_GEN, folds: int = FOLDS) -> Pool:
    """MET that is mostly its generator event's, if the resolution is good."""
    rng = np.random.default_rng(1)
    gen = np.repeat(rng.exponential(40, n_gen), folds)
    met = np.abs(gen + resolution * rng.normal(size=len(gen)))
    scalars = {"MET_pt": met, "FlashSim_genEvent": np.repeat(np.arange(n_gen), folds)}
    return Pool.of(Events(len(met), scalars))


def _proof(pool: Pool, factor: int = 10):
    observables = [find_observable("MET_pt", {"MET_pt"})]
    (found,) = prove(pool, n_events=2400, factors=(factor,), n_toys=150, seed=4, observables=observables)
    return found


@pytest.fixture(scope="module")
def proof():
    return _proof(_pool(10.0))


def test_pulls_have_unit_width_and_naive_errors_fail(proof):
    assert proof.is_proven
    assert proof.correlated.width == pytest.approx(1, abs=4 * proof.correlated.width_error)
    assert proof.naive.width > 1.2
    assert not proof.naive.holds
    assert len(proof.pulls) % 150 == 0
    assert np.std(proof.pulls) == pytest.approx(1, abs=0.08)


def test_the_gain_lies_between_none_and_the_factor(proof):
    assert 1 < proof.gain < 10
    # the better the resolution, the less is gained
    assert _proof(_pool(2.0)).gain < proof.gain < _proof(_pool(60.0)).gain


def test_folds_that_share_nothing_but_their_number_gain_what_follows_from_it():
    # few folds would still have a mean of their own in each generator event
    found = _proof(_pool(1e6, n_gen=60, folds=300))
    assert found.correlated.holds
    # variance of a bin with the share p: that of Poisson times 1 + (k - 1) p
    assert found.gain == pytest.approx(10 / (1 + 9 / 12), rel=0.08)


def test_errors_that_are_too_small_are_refuted(proof):
    """The test has teeth: a fifth less, and it fails."""
    from flashsim_prod.physics.validation.proof import proof as module

    rng = np.random.default_rng(2)
    difference = rng.normal(size=(150, 8))
    right = np.tile(np.eye(8), (150, 1, 1))
    n_gen = np.full(150, 10**6)
    assert module._treatment(difference, right, n_gen).holds
    assert not module._treatment(difference, 0.64 * right, n_gen).holds


def test_a_pool_needs_its_folds():
    with pytest.raises(InputError, match="12 folds, too few for a factor of 20"):
        _proof(_pool(10.0), factor=20)
    scalars = {"FlashSim_genEvent": np.array([1, 1, 2])}
    with pytest.raises(InputError, match="same number of folds"):
        Pool.of(Events(3, scalars))


def test_the_page_says_yes_or_no(proof, tmp_path):
    made = ProofOfProcess("a process", N_GEN, FOLDS, 2400, 150, (proof,))
    page = write_proof([made], tmp_path / "proof")
    assert "Yes: in every observable" in page.read_text()
    figures = json.loads((page.parent / "proof.json").read_text())
    assert figures["proven"]
    assert figures["processes"][0]["observables"][0]["gain"] == proof.gain
