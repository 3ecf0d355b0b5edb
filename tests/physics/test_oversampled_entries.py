"""Every kind of array and axis, against plain `hist`; a refusal changes nothing."""

from __future__ import annotations

import copy

import awkward as ak
import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.physics.oversampling import OversampledHist

AXIS = hist.axis.Regular(4, 0, 4, name="x")
#: beside the axis under test
_OTHER = hist.axis.Regular(4, 0, 4)
_FLOATS = st.one_of(st.floats(-2, 6, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 4.0]))
_WHOLE = st.integers(-3, 9)
_WORDS = st.sampled_from(["mu", "e", "tau", ""])
_KINDS = {
    "regular": (AXIS, _FLOATS),
    "regular without flow": (hist.axis.Regular(4, 0, 4, flow=False), _FLOATS),
    "regular without underflow": (hist.axis.Regular(4, 0, 4, underflow=False), _FLOATS),
    "regular without overflow": (hist.axis.Regular(4, 0, 4, overflow=False), _FLOATS),
    "circular": (hist.axis.Regular(4, 0, 4, circular=True), _FLOATS),
    "logarithmic": (hist.axis.Regular(4, 1, 4, transform=hist.axis.transform.log), _FLOATS),
    "variable": (hist.axis.Variable([0, 0.5, 4]), _FLOATS),
    "variable, circular": (hist.axis.Variable([0, 0.5, 4], circular=True), _FLOATS),
    "whole numbers on a regular axis": (AXIS, _WHOLE),
    "integer": (hist.axis.Integer(0, 4), _WHOLE),
    "integer without flow": (hist.axis.Integer(0, 4, flow=False), _WHOLE),
    "integer, circular": (hist.axis.Integer(0, 4, circular=True), _WHOLE),
    "boolean": (hist.axis.Boolean(), st.booleans()),
    "integer category": (hist.axis.IntCategory([1, 5, 3]), _WHOLE),
    "integer category without overflow": (hist.axis.IntCategory([1, 5, 3], overflow=False), _WHOLE),
    "string category": (hist.axis.StrCategory(["mu", "e"]), _WORDS),
    "string category without overflow": (hist.axis.StrCategory(["mu", "e"], overflow=False), _WORDS),
}


def view(made):
    return made.hist().view(flow=True)


@pytest.mark.parametrize("kind", _KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_axis_counts_as_in_hist(kind, data):
    axis, one = _KINDS[kind]
    values = data.draw(st.lists(one, min_size=1, max_size=12))
    weight = np.arange(len(values)) - 1.5
    known = hist.Hist(axis, _OTHER, storage=hist.storage.Weight())
    known.fill(np.array(values), np.full(len(values), 1.0), weight=weight)
    for given_as in (list, np.array, lambda them: np.array(them, dtype=object), ak.Array):
        made = OversampledHist(axis, _OTHER)
        made.fill(given_as(values), 1.0, gen_event=np.arange(len(values)), weight=weight)
        np.testing.assert_allclose(view(made).value, known.view(flow=True).value)
        np.testing.assert_allclose(view(made).variance, known.view(flow=True).variance)


@pytest.mark.parametrize("kind", _KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_missing_is_left_out_of_any_kind_of_array(kind, data):
    axis, one = _KINDS[kind]
    values = data.draw(st.lists(st.one_of(st.none(), one), min_size=1, max_size=12))
    missing = np.array([value is None for value in values])
    there = [value for value in values if value is not None]
    known = OversampledHist(axis)
    if there:
        known.fill(there, gen_event=np.flatnonzero(~missing) // 3)
    filler = there[0] if there else 0
    filled = np.ma.array([filler if value is None else value for value in values], mask=missing)
    for given_as in (values, filled, np.array(values, dtype=object), ak.Array(values)):
        made = OversampledHist(axis).fill(given_as, gen_event=np.arange(len(values)) // 3)
        np.testing.assert_array_equal(view(made), view(known))
        assert made.entries == known.entries


@pytest.mark.parametrize(
    "more",
    [
        {"gen_event": [1, None, 3]},
        {"gen_event": np.ma.array([1, 2, 3], mask=[0, 1, 0])},
        {"gen_event": [1, 2, 3], "weight": np.ma.array([1.0, 2.0, 1.0], mask=[0, 1, 0])},
        {"gen_event": [1, 2, 3], "weight": [1.0, None, 1.0]},
        {"gen_event": [1, 2, 3], "oversample": [1, None, 1]},
        {"gen_event": ak.Array([1, None, 3])},
    ],
)
def test_an_entry_of_which_anything_is_missing_is_left_out(more):
    made = OversampledHist(AXIS).fill([0.5, 1.5, 2.5], **more)
    np.testing.assert_array_equal(made.values(), [1, 0, 1, 0])


@pytest.mark.parametrize(
    "values",
    [
        [[0.5, None], [], [1.5, 2.5]],
        ak.Array([[0.5, None], None, [1.5, 2.5]]),
        ak.Array([[[0.5], []], [], [[1.5, None], [2.5]]]),
    ],
)
@pytest.mark.parametrize(
    "weight", [[1.0, 5.0, 2.0], np.ma.array([1.0, 9.0, 2.0], mask=[0, 1, 0]), [1.0, None, 2.0]]
)
def test_jagged_values_beside_flat_ones(values, weight):
    made = OversampledHist(AXIS).fill(values, gen_event=[1, 1, 2], weight=weight)
    np.testing.assert_array_equal(made.values(), [1, 2, 2, 0])
    words = OversampledHist(hist.axis.StrCategory(["mu"]))
    words.fill(ak.Array([["mu", None], [], ["e", "mu"]]), gen_event=[1, 1, 2], weight=weight)
    np.testing.assert_array_equal(words.values(flow=True), [3, 2])


_REFUSALS = [
    (lambda made: made.fill([9, 9], gen_event=[2, 40]), ValueError),
    (lambda made: made.fill([9, 9, 9, 9, 9], gen_event=[40, 41, 42, 2, 50]), ValueError),
    (lambda made: made.fill([9, 9, 9], gen_event=[0, 3, 9]), ValueError),
    (lambda made: made.fill(["mu", "e"], gen_event=[50, 51]), TypeError),
    (lambda made: made.fill([1, 2], gen_event=[50]), ValueError),
    (lambda made: made.fill(ak.Array([1, 2]), gen_event=[50]), ValueError),
    (lambda made: made.fill([1, 2], gen_event=[50.5, 51]), ValueError),
    (lambda made: made.fill([1, 2], gen_event=[50, 51], oversample=0), ValueError),
    (lambda made: made.__iadd__(OversampledHist(hist.axis.Regular(5, 0, 4))), ValueError),
    (lambda made: made.__iadd__(OversampledHist(AXIS).fill([1] * 4, gen_event=[60, 61, 62, 2])), ValueError),
    (lambda made: made.__iadd__(OversampledHist(AXIS).fill([1] * 3, gen_event=[0, 3, 9])), ValueError),
]


@pytest.mark.parametrize(("refused", "error"), _REFUSALS)
def test_a_refusal_changes_nothing(refused, error):
    made = OversampledHist(AXIS).fill([1, 1, 1], gen_event=[1, 2, 3])
    before = copy.deepcopy(made)
    with pytest.raises(error):
        refused(made)
    assert vars(made._open) == vars(before._open)
    np.testing.assert_array_equal(view(made), view(before))
    # what was legal before still is
    made.fill([1, 1, 1, 1], gen_event=[40, 41, 60, 61])


_GENS = st.lists(st.integers(0, 12), min_size=1, max_size=6)


@settings(max_examples=200)
@given(st.lists(st.tuples(_GENS, st.booleans()), min_size=2, max_size=8))
def test_refused_fills_and_sums_might_as_well_never_have_been(steps):
    made, kept = OversampledHist(AXIS, covariance=True), []
    for gens, in_one in steps:
        part = OversampledHist(AXIS, covariance=True).fill(np.array(gens) % 5, gen_event=gens)
        try:
            if in_one:
                made.fill(np.array(gens) % 5, gen_event=gens)
            else:
                made += part
        except ValueError:
            continue
        kept.append(part)
    again = sum(kept)
    assert (again._open.sums, again._open.closed) == (made._open.sums, made._open.closed)
    assert again.entries == made.entries
    np.testing.assert_array_equal(again.covariance(flow=True), made.covariance(flow=True))


def test_sum_of_several():
    parts = [OversampledHist(AXIS).fill([one], gen_event=[one]) for one in range(3)]
    total = sum(parts)
    np.testing.assert_array_equal(total.values(), [1, 1, 1, 0])
    # the parts stay what they were
    np.testing.assert_array_equal(parts[0].values(), [1, 0, 0, 0])
    for wrong in (1, "x", None):
        with pytest.raises(TypeError):
            wrong + parts[0]
        with pytest.raises(TypeError):
            parts[0] + wrong


@pytest.mark.parametrize(
    ("axis", "values", "problem"),
    [
        (hist.axis.Integer(0, 4, name="n"), [np.nan, 1.0], "axis 'n' .*whole numbers, not float64"),
        (hist.axis.IntCategory([1]), [1.0], "whole numbers"),
        (hist.axis.Boolean(), [0.5], "whole numbers"),
        (AXIS, ["a"], "takes numbers"),
        (hist.axis.StrCategory(["1"]), [1], "takes words"),
    ],
)
def test_values_that_hist_refuses_are_refused(axis, values, problem):
    with pytest.raises(TypeError, match=problem):
        OversampledHist(axis).fill(values, gen_event=np.arange(len(values)))
