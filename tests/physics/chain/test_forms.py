"""Shares are free of each other and give back their parts; what is undefined is filled with the defined."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flashsim_prod.physics.chain.forms import filled, parts, shares
from flashsim_prod.physics.chain.objects import jet_attributes

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


def test_columns_of_the_same_objects_are_lent_in_step_unless_shuffled():
    known = np.arange(600) % 10 == 0
    one, other = np.arange(600), -np.arange(600)

    def pairs_of(**seeds: int | None) -> int:
        lent = [filled(column, known, seed=seeds[name])[~known] for name, column in columns.items()]
        return len(np.unique(np.stack(lent), axis=1).T)

    columns = {"one": one, "other": other}
    assert pairs_of(one=None, other=None) == pairs_of(one=3, other=3) == 60
    # by chance, 540 of 3600 pairs are 501 different ones
    assert pairs_of(one=3, other=4) > 470
    # each lends as often as in turn, always in the same order
    again = filled(one, known, seed=3)
    assert np.array_equal(again, filled(one, known, seed=3))
    assert np.array_equal(np.sort(again), np.sort(filled(one, known)))
    assert not filled(one, np.zeros(600, bool), seed=3).any()


def test_a_muon_subtracted_from_a_jet_of_no_muon_does_not_grow_when_one_has_it():
    """In files of CMS muonSubtrFactor is of some jets whose muEF is 0."""
    names = (*jet_attributes._FREE, *jet_attributes._UNDEFINED, *jet_attributes._FRACTIONS)
    jets = {name: np.zeros(4) for name in (*names, "mass", "eta", "phi")} | {"pt": np.full(4, 50.0)}
    jets |= {"muonSubtrFactor": np.array([0.05, 0.4, 2e-8, 0.05]), "muEF": np.array([0.0, 0.5, 0.0, 0.003])}
    jets["chHEF"] = 1.0 - jets["muEF"]
    drawn = jet_attributes.express(jets)
    again = {name: column.astype(np.float64) for name, column in drawn.items()} | {
        name: jets[name] for name in ("pt", "eta", "phi")
    }
    made = jet_attributes.assemble(again)["muonSubtrFactor"]
    assert np.allclose(made, [0.0, 0.4, 2e-8, 0.05], atol=1e-9)
    # the same numbers with another share of muons, as a flow may draw them
    most = jet_attributes.assemble(again | {"muEF_share": np.full(4, 0.9)})["muonSubtrFactor"]
    assert np.all(most < 1.0)
