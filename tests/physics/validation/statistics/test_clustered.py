"""Comparisons of samples whose entries belong to generator events."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flashsim_prod.physics.validation.statistics.clustered import (
    Entries,
    chi2_edges,
    chi2_test,
    compare_rates,
    distances,
    mean_and_width,
    shape_test,
)


def sample(rng, n_gen, folds, *, first=0, centre=None, shift=0.0, spread=0.5):
    """Objects of events that share much of their value with their generator event, some of weight < 0."""
    centre = rng.normal(size=n_gen) if centre is None else centre
    number = rng.poisson(2, size=n_gen * folds)
    of_gen = np.repeat(np.repeat(np.arange(n_gen), folds), number)
    values = centre[of_gen] + shift + spread * rng.normal(size=len(of_gen))
    weight = rng.choice([1.0, -0.3], size=len(of_gen), p=[0.9, 0.1])
    return Entries(values, of_gen + first, weight)


def _uniform(p_values):
    return stats.kstest(p_values, "uniform").pvalue


def test_p_values_are_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(5)
    shapes, rates, paired = [], [], []
    for _ in range(50):
        first, second = sample(rng, 150, 5), sample(rng, 300, 2, first=10**6)
        shapes.append(shape_test(first, second, discrete=False).p_value)
        passes = [one.values + rng.normal(size=len(one)) > 0 for one in (first, second)]
        rates.append(compare_rates(first, passes[0], second, passes[1]).test.p_value)
        centre = rng.normal(size=150)
        both = sample(rng, 150, 4, centre=centre), sample(rng, 150, 3, centre=centre)
        paired.append(shape_test(*both, discrete=False).p_value)
    assert min(_uniform(shapes), _uniform(rates), _uniform(paired)) > 1e-3
    # entries taken as independent see differences
    naive = []
    for _ in range(50):
        both = sample(rng, 150, 5), sample(rng, 300, 2)
        alone = [
            Entries(one.values, np.arange(len(one)) + side * 10**6, one.weight)
            for side, one in enumerate(both)
        ]
        naive.append(shape_test(*alone, discrete=False).p_value)
    assert _uniform(naive) < 1e-3


def test_a_shared_generator_event_makes_a_small_shift_visible():
    rng = np.random.default_rng(6)
    centre = rng.normal(size=150)
    first = sample(rng, 150, 10, centre=centre)
    second = sample(rng, 150, 10, centre=centre, shift=0.12)
    other = Entries(second.values, second.gen + 10**6, second.weight)
    paired = mean_and_width(first)[0].difference(mean_and_width(second)[0])
    apart = mean_and_width(first)[0].difference(mean_and_width(other)[0])
    assert paired.value == apart.value
    assert paired.error < 0.4 * apart.error
    ratios = [mean_and_width(first)[1].ratio(mean_and_width(one)[1]) for one in (second, other)]
    assert ratios[0].error < 0.6 * ratios[1].error


def test_moments_have_the_scatter_that_they_state():
    rng = np.random.default_rng(7)
    found = [mean_and_width(sample(rng, 200, 4)) for _ in range(150)]
    for which in (0, 1):
        values = np.array([one[which].value for one in found])
        stated = np.mean([one[which].measured.error for one in found])
        assert values.std() == pytest.approx(stated, rel=0.2)


def test_distances_are_those_of_scipy():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=300).round(1), rng.normal(0.3, 1.2, size=500).round(1)
    wx, wy = rng.uniform(0.5, 2, 300), rng.uniform(0.5, 2, 500)
    w1, _ = distances(Entries(x, np.arange(300), wx), Entries(y, np.arange(500), wy))
    mean = np.average(y, weights=wy)
    unit = np.sqrt(np.average((y - mean) ** 2, weights=wy))
    assert w1 == pytest.approx(stats.wasserstein_distance(x, y, wx, wy) / unit)
    ones = [Entries(one, np.arange(len(one)), np.ones(len(one))) for one in (x, y)]
    assert distances(*ones)[1] == pytest.approx(stats.ks_2samp(x, y).statistic)


def test_a_spike_and_few_values_get_bins_of_their_own():
    rng = np.random.default_rng(1)
    spiky = np.where(rng.random(1000) < 0.3, -1.0, rng.random(1000))
    edges = chi2_edges(spiky, spiky, discrete=False)
    assert edges[0] == -1.0
    assert edges[1] == np.nextafter(-1.0, 0)
    np.testing.assert_array_equal(
        chi2_edges(np.array([0.0, 4.0]), np.array([7.0]), discrete=True), [0, 4, 7, 8]
    )
    assert len(chi2_edges(np.arange(500.0), np.arange(500.0), discrete=True)) <= 22


def test_a_difference_of_discrete_values_is_found():
    rng = np.random.default_rng(2)
    gen = np.arange(2000)
    first, second = (
        Entries(rng.choice([0.0, 4.0, 7.0], 2000, p=shares), gen + start, np.ones(2000))
        for shares, start in (((0.2, 0.3, 0.5), 0), ((0.1, 0.4, 0.5), 10**6))
    )
    test = shape_test(first, second, discrete=True)
    assert test.ndf == 2
    assert test.p_value < 1e-6


def test_rates_and_their_errors():
    n = 4000
    rng = np.random.default_rng(3)
    axis = rng.uniform(0, 10, n)
    one = Entries(axis, np.arange(n), np.ones(n))
    other = Entries(axis, np.arange(n) + 10**6, np.ones(n))
    found = compare_rates(one, rng.random(n) < 0.5, other, rng.random(n) < 0.8)
    assert np.mean(found.sample) == pytest.approx(0.5, abs=0.03)
    assert found.difference == pytest.approx(0.3, abs=0.03)
    per_bin = n / len(found.sample)
    np.testing.assert_allclose(found.sample_error, np.sqrt(0.25 / per_bin), rtol=0.15)
    assert found.test.p_value < 1e-10
    assert len(found.edges) == len(found.sample) + 1


def test_directions_without_variance_do_not_count():
    test = chi2_test(np.array([1.0, 0.0, 2.0]), np.diag([1.0, 0.0, 4.0]), 1000)
    assert (test.chi2, test.ndf) == (pytest.approx(2.0), 2)
    assert chi2_test(np.zeros(0), np.zeros((0, 0)), 10).ndf == 0
    # more bins than generator events: nothing can be said
    assert chi2_test(np.ones(5), np.eye(5), 4).p_value == 1.0
