"""Rounding and conversion to what is stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flashsim_prod.errors import EventsError
from flashsim_prod.physics.nanoaod.precision import as_stored, rounded
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

NORMAL = hnp.arrays(
    np.float32,
    st.integers(0, 30),
    elements=st.floats(2.0**-100, 2.0**100, width=32) | st.floats(-(2.0**100), -(2.0**-100), width=32),
)
BITS = st.integers(1, 23)


@given(NORMAL, BITS)
def test_the_error_is_at_most_half_of_the_last_bit_kept(values: np.ndarray, bits: int) -> None:
    result = rounded(values, bits).astype(np.float64)
    unit = 2.0 ** (np.floor(np.log2(np.abs(values.astype(np.float64)))) - bits)
    assert (np.abs(result - values) <= unit / 2).all()


@given(NORMAL, BITS)
def test_dropped_bits_are_zero_and_rounding_again_changes_nothing(values: np.ndarray, bits: int) -> None:
    result = rounded(values, bits)
    assert not (result.view(np.uint32) & np.uint32((1 << (23 - bits)) - 1)).any()
    np.testing.assert_array_equal(rounded(result, bits), result)


@given(NORMAL, BITS)
def test_order_is_kept(values: np.ndarray, bits: int) -> None:
    assert (np.diff(rounded(np.sort(values), bits)) >= 0).all()


def test_ties_go_to_even_and_special_values_stay() -> None:
    one_bit = np.array([1.25, 1.75, 0.0, -1.25, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(rounded(one_bit, 1), np.float32([1.0, 2.0, 0.0, -1.0, np.inf, -np.inf]))
    assert np.isnan(rounded(np.array([np.nan, -np.nan], np.float32), 10)).all()


def test_input_is_left_alone() -> None:
    values = np.array([1.1], np.float32)
    rounded(values, 3)
    assert values[0] == np.float32(1.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("Jet_jetId", 0.5), ("Jet_jetId", np.nan), ("Jet_nConstituents", 256), ("Jet_nConstituents", -1),
     ("Muon_isGlobal", 2), ("event", -1), ("run", 2**32)],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(name: str, value: float) -> None:
    with pytest.raises(EventsError, match=f"{name}: .* does not fit the type {V9.branch(name).dtype}"):
        as_stored(V9.branch(name), np.array([0, value]))


def test_wider_integers_that_fit_are_taken() -> None:
    stored = as_stored(V9.branch("Jet_nConstituents"), np.array([0, 255], np.int64))
    assert stored.dtype == np.uint8
    assert stored.tolist() == [0, 255]
    assert as_stored(V9.branch("Muon_isGlobal"), np.array([0, 1])).dtype == bool
    assert as_stored(V9.branch("Jet_pt"), np.array([20.0])).dtype == np.float32
