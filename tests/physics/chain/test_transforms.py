"""Attributes survive the way to a normal distribution and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import kstest

from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser

rng = np.random.default_rng(1)


def _spiked() -> np.ndarray:
    """An impact parameter's like: a spike at -1, then a continuum from 0.2."""
    sample = rng.exponential(1.0, 20_000) + 0.2
    sample[:6000] = -1.0
    return sample


def _to_normal(fitted: Gaussianiser, values: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """What the flow is fitted to: `uniform` spreads the steps."""
    lower, upper = fitted.levels(values)
    return ndtri(lower + uniform * (upper - lower))


def test_a_continuous_attribute_becomes_normal():
    sample = rng.gamma(2.0, size=20_000)
    normal = _to_normal(Gaussianiser.fit(sample), sample, rng.uniform(size=sample.shape))
    assert kstest(normal, "norm").pvalue > 1e-3


def test_an_attribute_with_a_spike_becomes_normal():
    sample = _spiked()
    normal = _to_normal(Gaussianiser.fit(sample), sample, rng.uniform(size=sample.shape))
    assert kstest(normal, "norm").pvalue > 1e-3


def test_back_gives_the_value():
    sample = _spiked()
    fitted = Gaussianiser.fit(sample)
    back = fitted.from_normal(_to_normal(fitted, sample, rng.uniform(size=sample.shape)))
    assert np.array_equal(back[sample == -1], sample[sample == -1])
    assert np.allclose(back, sample, rtol=2e-3, atol=2e-3)


def test_nothing_appears_in_the_gap_beside_a_spike():
    drawn = Gaussianiser.fit(_spiked()).from_normal(rng.normal(size=50_000))
    assert not np.any((drawn > -1) & (drawn < 0.2))
    assert abs(np.mean(drawn == -1) - 0.3) < 0.01


@given(st.lists(st.sampled_from([0, 4, 5, 21, 200]), min_size=1, max_size=60))
def test_discrete_attributes_come_out_legal(values):
    fitted = Gaussianiser.fit(np.array(values, dtype=np.int32))
    drawn = fitted.from_normal(np.linspace(-8, 8, 997))
    assert set(drawn) <= set(values)


def test_probabilities_of_rare_categories_are_kept():
    sample = np.repeat([0, 4, 6, 7], [100, 5, 3000, 20_000]).astype(np.int32)
    drawn = Gaussianiser.fit(sample).from_normal(rng.normal(size=200_000))
    for value, count in zip(*np.unique(sample, return_counts=True), strict=True):
        expected = count / len(sample)
        assert np.mean(drawn == value) == pytest.approx(expected, abs=5 * np.sqrt(expected / 200_000))


def test_booleans_are_categories():
    sample = rng.uniform(size=1000) < 0.2
    assert set(Gaussianiser.fit(sample).from_normal(rng.normal(size=100))) == {0.0, 1.0}


def test_a_constant_attribute_stays_constant():
    fitted = Gaussianiser.fit(np.full(100, 3.5))
    assert set(fitted.from_normal(rng.normal(size=100))) == {3.5}


def test_values_outside_the_training_range_are_taken_to_its_edge():
    fitted = Gaussianiser.fit(rng.uniform(size=5000))
    normal = _to_normal(fitted, np.array([-3.0, 7.0]), np.array([0.5, 0.5]))
    assert np.all(np.isfinite(normal))
    assert normal[0] < -3 < 3 < normal[1]


def test_standardiser_keeps_constants_and_clips():
    sample = np.stack([rng.normal(5, 2, 1000), np.full(1000, 7.0)], axis=1)
    scaled = Standardiser.fit(sample)
    assert np.allclose(scaled(sample).mean(axis=0), 0, atol=1e-5)
    assert scaled(np.array([[1e9, 7.0]]))[0, 0] == 8.0


def test_in_a_small_sample_a_spike_is_what_comes_again_and_again():
    rng = np.random.default_rng(1)
    sample = np.concatenate((rng.normal(size=300), np.full(5, 0.25), np.full(2, -10.0)))
    fitted = Gaussianiser.fit(sample)
    lower, upper = fitted.levels(np.concatenate(([0.25, -10.0], sample[:300])))
    assert upper[0] - lower[0] == pytest.approx(5 / 307, rel=0.3)
    assert upper[1] - lower[1] == pytest.approx(2 / 307, rel=0.3)
    # all others but the neighbours of these, and the ends
    assert np.count_nonzero(upper[2:] > lower[2:]) <= 6
    # neither do whole numbers get broken
    numbers = Gaussianiser.fit(np.array([0.0, 1, 1, 2, 7, 30]))
    assert set(numbers.from_normal(rng.normal(size=500))) <= {0, 1, 2, 7, 30}


def test_values_count_as_their_weights_say():
    sample = np.concatenate((np.zeros(50), np.ones(50))).astype(np.int32)
    weighted = Gaussianiser.fit(sample, np.where(sample > 0, 3.0, 1.0))
    drawn = weighted.from_normal(np.random.default_rng(2).normal(size=4000))
    assert drawn.mean() == pytest.approx(0.75, abs=0.03)
