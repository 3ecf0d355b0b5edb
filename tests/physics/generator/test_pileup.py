"""Pileup: the same numbers however they are asked for, in the ranges of real simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.generator.pileup import PROFILES, PileupDraws, find_profile


def _draw(name, seed, sizes):
    draws = PileupDraws(find_profile(name), seed)
    parts = [draws.draw(size) for size in sizes]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


@settings(max_examples=25)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 2**64 - 1))
def test_draws_do_not_depend_on_how_many_are_asked_for_at_a_time(sizes, seed):
    at_once = _draw("Run2_2018", seed, [sum(sizes)])
    in_parts = _draw("Run2_2018", seed, sizes)
    for name, column in at_once.items():
        np.testing.assert_array_equal(column, in_parts[name], err_msg=name)


def test_another_seed_draws_other_numbers():
    one, other = (_draw("Run2_2018", seed, [50]) for seed in (1, 2))
    assert not np.array_equal(one["Pileup_nTrueInt"], other["Pileup_nTrueInt"])


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_quantities_hang_together(name):
    drawn, profile = _draw(name, 5, [20_000]), PROFILES[name]
    true = drawn["Pileup_nTrueInt"].astype(float)
    assert profile.low - 1 < true.min()
    assert true.max() <= profile.high
    assert abs(true.mean() - profile.mean) < 1.0
    # the stored number is the integer part: half an interaction less in the mean
    for other, crossings in (("nPU", 1), ("sumEOOT", 12), ("sumLOOT", 3)):
        assert drawn[f"Pileup_{other}"].mean() / crossings == pytest.approx(true.mean() + 0.5, rel=0.01)
        assert np.corrcoef(true, drawn[f"Pileup_{other}"])[0, 1] > 0.8
    # within 1 mm to either side of a vertex, of a Gaussian luminous region
    expected = drawn["Pileup_nPU"].mean() * 0.2 / (2 * np.sqrt(np.pi) * profile.spread_cm[2])
    assert drawn["Pileup_pudensity"].mean() == pytest.approx(expected, rel=0.05)
    assert drawn["GenVtx_z"].std() == pytest.approx(profile.spread_cm[2], rel=0.03)


def test_densities_per_mm_are_counts_over_the_widths_of_bins():
    drawn = _draw("Run2_2018", 7, [500])
    central = np.abs(drawn["GenVtx_z"]) < 1.7
    counts = drawn["Pileup_gpudensity"][central] * 20 * 1.7
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)
    assert (counts <= drawn["Pileup_nPU"][central]).all()


def test_an_unknown_profile_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'Run2_2018'"):
        find_profile("Run2_2016")
