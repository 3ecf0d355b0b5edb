"""What is stated of a mean, against Student's tables and against drawn numbers."""

from __future__ import annotations

import math
import random

import pytest

from flashsim_prod.energy.results.uncertainty import combine, coverage_factor, ratio, uniform


@pytest.mark.parametrize(
    ("dof", "factor"), [(1, 13.97), (2, 4.53), (4, 2.87), (9, 2.32), (50, 2.05), (math.inf, 2.0)]
)
def test_coverage_factors_of_the_gum(dof: float, factor: float) -> None:
    # JCGM 100:2008, table G.2, column 95.45 %
    assert coverage_factor(dof) == pytest.approx(factor, abs=0.005)


def test_few_cycles_cover_as_often_as_stated() -> None:
    rng = random.Random(1)
    inside = sum(combine([rng.gauss(100, 3) for _ in range(5)], {}).contains(100) for _ in range(4000))
    assert inside / 4000 == pytest.approx(0.9545, abs=0.011)


def test_what_no_repetition_shows_is_added_in_quadrature() -> None:
    estimate = combine([10.0, 10.0, 10.0], {"gain": uniform(0.3), "offset": uniform(0.4)})
    assert estimate.standard == pytest.approx(0.5 / math.sqrt(3))
    assert estimate.coverage_factor == 2.0


def test_a_single_cycle_has_no_scatter() -> None:
    assert combine([10.0], {"gain": 0.1}).type_a is None


def test_a_ratio_carries_both_intervals() -> None:
    value, half = ratio(combine([10.0], {"x": 0.15}), combine([5.0], {"x": 0.1}))
    assert (value, half) == (2.0, pytest.approx(2 * math.hypot(0.03, 0.04)))


def test_what_is_common_cancels_in_a_ratio() -> None:
    top, bottom = combine([10.0], {"x": 0.15, "gain": 3.0}), combine([5.0], {"x": 0.1, "gain": 1.5})
    assert ratio(top, bottom, ("gain",)) == (2.0, pytest.approx(2 * 2 * math.hypot(0.015, 0.02)))
    assert ratio(top, bottom)[1] > 1
