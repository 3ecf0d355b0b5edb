"""Shares are free of each other and give back their parts; what is undefined is filled with the defined."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flashsim_prod.physics.chain.forms import filled, parts, shares

NAMES = ("one", "two", "three", "four")
_AMOUNTS = arrays(np.float64, (4, 7), elements=st.sampled_from([0.0, 1e-3, 0.5, 1.0, 7.0]))


@given(_AMOUNTS)
def test_parts_come_back_from_their_shares(amounts):
    whole = amounts.sum(axis=0)
    made = parts(shares(dict(zip(NAMES, amounts, strict=True)), NAMES), NAMES)
    for name, amount in zip(NAMES, amounts, strict=True):
        expected = np.divide(amount, whole, out=np.zeros_like(whole), where=whole > 0)
        assert np.allclose(made[name][whole > 0], expected[whole > 0], atol=1e-12), name


@given(arrays(np.float64, (3, 7), elements=st.floats(0, 1)))
def test_any_shares_make_one_whole(drawn):
    made = parts(dict(zip(NAMES[:-1], drawn, strict=True)), NAMES)
    assert np.allclose(sum(made.values()), 1.0)
    assert all(np.all(part >= 0) for part in made.values())


@given(arrays(np.int64, 9, elements=st.integers(-5, 5)), arrays(np.bool_, 9))
def test_filling_keeps_what_is_known_and_takes_the_rest_from_it(column, known):
    complete = filled(column, known)
    assert np.array_equal(complete[known], column[known])
    if known.any():
        assert set(complete) <= set(column[known])
    else:
        assert not complete.any()
