"""The classifier two-sample test: blind where there is nothing to see, and right where there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from flashsim_prod.physics.validation.statistics.c2st import area, area_with_error, tell_apart

N = 3000
EACH = (np.arange(N), np.arange(N))


def _normals(seed: int, shift: float = 0.0) -> np.ndarray:
    columns = np.random.default_rng(seed).normal(size=(N, 4))
    columns[:, 2] += shift
    return columns


def test_the_same_distribution_cannot_be_told_apart():
    found = tell_apart(_normals(1), _normals(2), EACH, seed=1)
    assert found.auc.value == pytest.approx(0.5, abs=4 * found.auc.error)
    assert 0.003 < found.auc.error < 0.02


def test_a_shift_is_seen_as_well_as_it_can_be():
    found = tell_apart(_normals(1), _normals(2, shift=1.5), EACH, seed=1, columns=range(4))
    # nothing tells two normals apart better than Phi(d / sqrt(2))
    assert found.auc.value == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.03)
    assert np.argmax(found.importance) == 2
    assert max(abs(fall) for column, fall in enumerate(found.importance) if column != 2) < 0.02


def test_the_area_by_ranks_is_that_under_the_curve():
    rng = np.random.default_rng(5)
    label = rng.integers(0, 2, size=400)
    for scores in (rng.normal(size=400) + label, rng.integers(0, 4, size=400) / 3, np.ones(400)):
        assert area(scores, label) == pytest.approx(roc_auc_score(label, scores), abs=1e-12)


def test_a_lost_correlation_is_seen():
    rng = np.random.default_rng(3)
    x, noise = rng.normal(size=(2, 2 * N))
    related = np.stack((x, 0.8 * x + 0.6 * noise), axis=1)
    unrelated = np.stack((x, rng.permutation(related[:, 1])), axis=1)
    assert tell_apart(related[:N], unrelated[N:], EACH, seed=1).auc.value > 0.6


def test_twins_stay_in_one_half():
    """Both samples have the same conditions; a classifier that remembers them must gain and lose nothing."""
    conditions = np.random.default_rng(4).normal(size=(400, 3))
    told = [
        tell_apart(conditions, conditions, (np.arange(400), np.arange(400)), seed=seed).auc.value
        for seed in range(5)
    ]
    assert np.mean(told) == pytest.approx(0.5, abs=0.01)


def test_equal_seeds_give_equal_figures():
    one, other = (tell_apart(_normals(1), _normals(2), EACH, seed=5, columns=(0,)) for _ in range(2))
    assert one == other


def test_the_error_is_how_far_areas_scatter():
    rng = np.random.default_rng(6)
    label = np.repeat([0, 1], 150)
    found = [area_with_error(rng.normal(size=300) + 0.7 * label, label, np.arange(300)) for _ in range(300)]
    assert np.mean([one.error for one in found]) == pytest.approx(
        np.std([one.value for one in found]), rel=0.15
    )


def test_copies_of_a_row_make_no_area_more_certain():
    scores = np.random.default_rng(7).normal(size=200)
    label, group = np.tile([0, 1], 100), np.arange(200)
    once = area_with_error(scores, label, group)
    often = area_with_error(np.tile(scores, 9), np.tile(label, 9), np.tile(group, 9))
    assert often.value == pytest.approx(once.value)
    assert often.error == pytest.approx(once.error)


def test_a_weight_is_so_many_rows():
    rng = np.random.default_rng(8)
    label = np.tile([0, 1], 150)
    scores, group = np.round(rng.normal(size=300) + label, 1), np.arange(300)
    weight = rng.integers(0, 5, 300)
    weighted = area_with_error(scores, label, group, weight.astype(np.float64))
    often = area_with_error(*(np.repeat(one, weight) for one in (scores, label, group)))
    assert weighted.value == pytest.approx(often.value)
    assert weighted.error == pytest.approx(often.error)
    assert weighted.value == pytest.approx(roc_auc_score(label, scores, sample_weight=weight))
    assert area(scores, label, weight.astype(np.float64)) == pytest.approx(weighted.value)


def test_weights_that_make_samples_alike_are_seen_by_the_trees():
    first, second = _normals(1), _normals(2, shift=0.8)
    likelihoods = np.exp(0.8 * first[:, 2] - 0.32)
    weights = (likelihoods, np.ones(len(second)))
    plain, weighted = (tell_apart(first, second, EACH, seed=1, weights=one).auc for one in (None, weights))
    assert plain.value > 0.65
    assert abs(weighted.value - 0.5) < 3 * weighted.error + 0.02
    alike = (np.full(len(first), 3.0), np.full(len(second), 0.1))
    assert tell_apart(first, second, EACH, seed=1, weights=alike).auc == plain


def test_a_column_in_which_nothing_is_known_says_nothing():
    first, second = _normals(1), _normals(2, shift=1.5)
    first[:, 0] = second[:, 0] = np.nan
    assert tell_apart(first, second, EACH, seed=1).auc.value > 0.8
