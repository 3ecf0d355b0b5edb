"""Figures of distance: known answers on known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.validation.statistics.distances import (
    DECILES,
    ChiSquare,
    compare_along,
    correlation_difference,
    ks_distance,
    rank_correlations,
    two_sample_chi2,
    wasserstein_in_sigma,
)

RNG = np.random.default_rng(7)
NORMAL = RNG.normal(size=20_000)


@given(shift=st.floats(-5, 5), scale=st.floats(0.1, 100))
def test_a_shift_is_its_size_in_sigma(shift, scale):
    sample = scale * NORMAL[:500]
    expected = abs(shift) / np.std(NORMAL[:500])
    assert wasserstein_in_sigma(sample + scale * shift, sample) == pytest.approx(expected, abs=1e-9)


def test_two_normals_apart_by_half_a_sigma():
    other = RNG.normal(0.5, size=20_000)
    assert wasserstein_in_sigma(other, NORMAL) == pytest.approx(0.5, abs=0.03)
    # 2 Phi(d/2) - 1
    assert ks_distance(other, NORMAL) == pytest.approx(0.1974, abs=0.015)


def test_a_constant_reference_has_no_sigma_to_measure_in():
    assert wasserstein_in_sigma(np.full(10, 3.0), np.full(20, 1.0)) == pytest.approx(2.0)


def test_chi2_of_the_same_discrete_distribution_is_one_per_degree_of_freedom():
    p = [0.5, 0.3, 0.15, 0.05]
    found = [
        two_sample_chi2(rng.choice(4, 3000, p=p), rng.choice(4, 1000, p=p)).per_ndf
        for rng in map(np.random.default_rng, range(60))
    ]
    # 180 degrees of freedom in all
    assert np.mean(found) == pytest.approx(1, abs=4 * np.sqrt(2 / 180))


def test_chi2_of_another_distribution_is_large_whichever_comes_first():
    one, other = RNG.choice(3, 2000, p=[0.5, 0.3, 0.2]), RNG.choice(3, 1500, p=[0.4, 0.4, 0.2])
    found = two_sample_chi2(one, other)
    assert found.per_ndf > 10
    assert found.ndf == 2
    assert two_sample_chi2(other, one).chi2 == pytest.approx(found.chi2)


def test_how_often_chance_makes_a_chi2_large():
    # of two degrees of freedom it is exponential
    assert ChiSquare(1.0, 2).chance_above(1.5) == pytest.approx(np.exp(-1.5))
    assert ChiSquare(1.0, 20).chance_above(1.5) < 0.1
    assert ChiSquare(0.0, 0).chance_above(1.5) == 0


def test_rare_values_share_a_bin():
    common = np.repeat([0, 1], 500)
    found = two_sample_chi2(np.append(common, [7, 8, 9]), np.append(common, [10, 11, 12]))
    assert found.ndf == 2
    assert found.chi2 == pytest.approx(0, abs=0.1)


def test_rank_correlations_ignore_how_far_out_values_are():
    x = RNG.normal(size=(4000, 1))
    y = 0.6 * x + 0.8 * RNG.normal(size=(4000, 1))
    columns = np.hstack((x, y))
    found = rank_correlations(columns)
    # of a binormal with correlation rho: 6/pi asin(rho/2)
    assert found[0, 1] == pytest.approx(6 / np.pi * np.arcsin(0.3), abs=0.04)
    assert np.allclose(rank_correlations(np.exp(5 * columns)), found)
    assert np.allclose(np.diag(found), 1)


def test_a_constant_column_is_correlated_with_nothing():
    columns = np.stack([np.ones(100), RNG.normal(size=100)], axis=1)
    assert rank_correlations(columns)[0].tolist() == [0, 0]
    assert rank_correlations(columns, columns[:, :1]).shape == (2, 1)


def test_a_constant_column_is_not_taken_for_a_lost_correlation_with_itself():
    first = np.random.default_rng(1).normal(size=(500, 3))
    second = first.copy()
    # as a rare flag that is never drawn
    second[:, 1] = 0.0
    difference = correlation_difference(first, second)
    assert np.array_equal(np.diag(difference), np.zeros(3))
    assert np.abs(difference).max() < 0.15
    first[:, 2] += 3 * first[:, 1]
    assert correlation_difference(first, second)[1, 2] > 0.8


def _efficiencies(n: int = 30_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """pt, probabilities of no and of one object, and numbers drawn with them."""
    pt = RNG.exponential(30, n)
    efficiency = 1 / (1 + np.exp(-(pt - 20) / 5))
    number = (RNG.uniform(size=n) < efficiency).astype(np.int64)
    return pt, np.stack((1 - efficiency, efficiency), axis=1), number


def test_a_true_efficiency_agrees_along_any_axis():
    pt, probabilities, number = _efficiencies()
    along_pt = compare_along("pt", pt, probabilities, number, np.arange(len(pt)))
    calibration = compare_along(
        "predicted", probabilities[:, 1], probabilities, number, np.arange(len(pt)), DECILES
    )
    for curve in (along_pt, calibration):
        assert curve.chi2.per_ndf < 1 + 4 * np.sqrt(2 / curve.chi2.ndf)
        assert sum(curve.rows) == len(pt)
        assert len(curve.edges) == len(curve.rows) + 1
        assert list(curve.edges) == sorted(curve.edges)
    assert along_pt.observed[0] < 0.1
    assert along_pt.observed[-1] > 0.95


def test_an_efficiency_two_per_cent_off_is_seen():
    pt, probabilities, number = _efficiencies()
    lost = number * (RNG.uniform(size=len(number)) > 0.02)
    assert compare_along("pt", pt, probabilities, lost, np.arange(len(pt))).chi2.per_ndf > 3


def test_chi2_of_numbers_is_one_per_bin_on_average():
    p = np.array([0.2, 0.5, 0.2, 0.1])
    rows = np.tile(p, (2000, 1))
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        curve = compare_along("x", rng.uniform(size=2000), rows, rng.choice(4, 2000, p=p), np.arange(2000))
        found.append(curve.chi2.per_ndf)
        assert curve.predicted == pytest.approx([1.2] * len(curve.predicted))
    assert np.mean(found) == pytest.approx(1, abs=0.2)


def _reconstructed_again(seed: int, lost: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place, number and generator event of sources that were reconstructed six times each.

    Their efficiency is 0.6 on average; half of them are in a spot that the prediction does not know of.
    """
    rng = np.random.default_rng(seed)
    gen_event = np.repeat(np.arange(500), 6)
    place, in_spot = rng.uniform(size=500)[gen_event], (rng.random(500) < 0.5)[gen_event]
    efficiency = np.where(in_spot, 0.35, 0.85) * (1 - lost)
    return place, (rng.random(3000) < efficiency).astype(np.int64), gen_event


def test_what_several_reconstructions_share_counts_once():
    probabilities = np.tile([0.4, 0.6], (3000, 1))
    found, naive = [], []
    for seed in range(40):
        place, number, gen_event = _reconstructed_again(seed)
        found.append(compare_along("x", place, probabilities, number, gen_event).chi2.per_ndf)
        naive.append(compare_along("x", place, probabilities, number, np.arange(3000)).chi2.per_ndf)
    assert np.mean(found) == pytest.approx(1, abs=0.15)
    # 1 + (6 - 1) * the correlation of two reconstructions, (0.25 / 0.49)^2
    assert np.mean(naive) == pytest.approx(2.3, abs=0.2)


def test_a_wrong_efficiency_of_events_reconstructed_again_is_seen():
    probabilities = np.tile([0.4, 0.6], (3000, 1))
    for seed in range(10):
        place, number, gen_event = _reconstructed_again(seed, lost=0.15)
        assert compare_along("x", place, probabilities, number, gen_event).chi2.per_ndf > 1.5


def test_bins_with_too_little_expected_are_joined():
    rows = np.tile([0.999, 0.001], (15_000, 1))
    curve = compare_along("x", np.arange(15_000.0), rows, np.zeros(15_000, dtype=np.int64), np.arange(15_000))
    # 15 expected in all: not enough for two bins
    assert len(curve.rows) == 1
    assert curve.chi2.chi2 == pytest.approx(15, rel=0.01)


def test_an_axis_with_one_value_has_one_bin():
    curve = compare_along(
        "x", np.ones(500), np.tile([0.5, 0.5], (500, 1)), np.ones(500, dtype=np.int64), np.arange(500)
    )
    assert curve.rows == (500,)
    assert len(curve.edges) == 2


def test_rank_correlations_of_weighted_rows_are_those_of_as_many_rows():
    rng = np.random.default_rng(5)
    columns = np.round(rng.normal(size=(400, 3)), 1)
    columns[:, 1] += columns[:, 0]
    weight = rng.integers(0, 4, 400)
    often = rank_correlations(np.repeat(columns, weight, axis=0))
    found = rank_correlations(columns, weight=weight.astype(np.float64))
    assert np.allclose(found, often)
    assert not np.allclose(found, rank_correlations(columns), atol=0.005)
    others = np.repeat(columns, weight, axis=0)
    assert np.allclose(correlation_difference(columns, others, (weight.astype(np.float64), None)), 0)
