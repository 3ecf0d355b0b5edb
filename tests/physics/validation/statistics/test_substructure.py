"""Energy-flow polynomials, and physics distances, against what is known of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from flashsim_prod.physics.validation.statistics.efps import all_graphs, connected, polynomials
from flashsim_prod.physics.validation.statistics.physics_distances import (
    frechet,
    frechet_physics_distance,
    kernel_physics_distance,
    mean_discrepancy,
)

LINE, WEDGE, TRIANGLE = ((0, 1),), ((0, 1), (0, 2)), ((0, 1), (0, 2), (1, 2))


def test_there_are_as_many_graphs_as_published():
    # table 2 of arXiv:1712.07124: connected ones, and all
    assert [len(connected(edges)) for edges in range(1, 6)] == [1, 2, 5, 12, 33]
    edges_of_all = [sum(map(len, one)) for one in all_graphs(4)]
    assert [edges_of_all.count(edges) for edges in range(5)] == [1, 1, 3, 8, 23]
    four = [graph for graph in connected(4) if len({vertex for edge in graph for vertex in edge}) == 4]
    assert len(four) == 5


def test_polynomials_of_two_particles_are_what_the_formula_says():
    z, theta = np.array([[0.7, 0.3]]), 0.4 * (1 - np.eye(2))[None]
    found = polynomials(z, theta, [LINE, WEDGE, TRIANGLE, ((0, 1), (0, 1))])[0]
    assert found == pytest.approx([2 * 0.21 * 0.4, 0.21 * 0.16, 0.0, 2 * 0.21 * 0.16])


@pytest.mark.parametrize("graph", [graph for edges in (1, 2, 3, 4) for graph in connected(edges)])
def test_polynomials_are_sums_over_all_choices(graph):
    rng = np.random.default_rng(1)
    z, places = rng.random((3, 4)), rng.normal(size=(3, 4, 2))
    z[1, 2:] = 0.0
    theta = np.linalg.norm(places[:, :, None] - places[:, None], axis=3)
    n = 1 + max(vertex for edge in graph for vertex in edge)
    slow = np.zeros(3)
    for chosen in product(range(4), repeat=n):
        term = np.prod(z[:, list(chosen)], axis=1)
        for a, b in graph:
            term = term * theta[:, chosen[a], chosen[b]]
        slow += term
    assert polynomials(z, theta, [graph])[:, 0] == pytest.approx(slow)


def test_the_frechet_distance_of_normal_samples_is_known():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 3))
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x + np.array([1.0, 2.0, 0.0]), x) == pytest.approx(5)
    covariance = np.cov(x, rowvar=False)
    # of 2 x and x: sum of the variances, whatever the correlations
    assert frechet(2 * x - x.mean(axis=0), x) == pytest.approx(np.trace(covariance))


def test_the_frechet_physics_distance_of_large_samples_has_no_bias_of_their_size():
    rng = np.random.default_rng(3)
    truth, alike = rng.normal(size=(2, 3000, 4))
    scale = np.abs(truth).max(axis=0)
    far = alike + 0.5 * scale
    assert frechet_physics_distance(alike, truth).value < 1e-3
    found = frechet_physics_distance(far, truth)
    assert found.value == pytest.approx(1.0, abs=0.06)
    assert found.error < 0.05


def test_the_kernel_distance_is_what_the_formula_says_and_none_of_equal_samples():
    x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 0.0]])
    # kernels: of the two x (0/2 + 1)^4 = 1; of the two y 1; of each x with the y 1.5^4 and 1
    assert mean_discrepancy(x, y) == pytest.approx(1 + 1 - (1.5**4 + 1))
    rng = np.random.default_rng(4)
    truth, alike = rng.normal(size=(2, 1500, 3))
    same = kernel_physics_distance(alike, truth)
    assert abs(same.value) < 3 * same.error + 1e-4
    assert kernel_physics_distance(alike + 0.5, truth).value > 20 * abs(same.value)
