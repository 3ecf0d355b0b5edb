"""Folds: adjacent, numbered, the same in whatever pieces they are made."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events


def _gen(n: int) -> Events:
    counts = np.arange(n) % 3
    jets = Collection(counts, {"pt": np.arange(counts.sum(), dtype=np.float32)})
    return Events(n, {"genWeight": np.arange(n, dtype=np.float32)}, {"GenJet": jets})


def _fold(gen: Events, first: int, k: int, **options: object) -> Events:
    numbering = {"run": 1, "first_event": 101, "first_lumi": 8, "gen_events_per_lumi": 3, "job_gen_first": 10}
    return fold_events(gen, oversample=k, gen_first=first, **{**numbering, **options})


@given(st.integers(1, 12), st.integers(1, 7))
def test_folds_of_a_gen_event_are_adjacent_and_complete(n, k):
    folds = _fold(_gen(n), 10, k)
    assert folds.n == n * k
    assert np.array_equal(folds.scalars["FlashSim_genEvent"], np.repeat(np.arange(10, 10 + n), k))
    assert np.array_equal(folds.scalars["FlashSim_fold"], np.tile(np.arange(k), n))
    assert np.array_equal(folds.scalars["event"], np.arange(101, 101 + n * k))
    assert np.array_equal(folds.scalars["genWeight"], np.repeat(np.arange(n), k))
    assert np.array_equal(folds.scalars["luminosityBlock"], 8 + np.repeat(np.arange(n), k) // 3)


@given(st.integers(2, 12), st.integers(1, 5), st.data())
def test_pieces_give_what_the_whole_gives(n, k, data):
    cut = data.draw(st.integers(1, n - 1))
    gen, whole = _gen(n), _fold(_gen(n), 10, k)
    parts = [_fold(gen.slice(0, cut), 10, k), _fold(gen.slice(cut, n), 10 + cut, k)]
    joined = Events.concatenate(parts)
    for name, column in whole.scalars.items():
        assert np.array_equal(joined.scalars[name], column), name
    assert np.array_equal(joined["GenJet"]["pt"], whole["GenJet"]["pt"])


def test_a_range_of_folds_is_a_part_of_all_folds():
    one = _gen(3).slice(2, 3)
    whole = _fold(one, 12, 6)
    part = _fold(one, 12, 6, folds=range(2, 5))
    assert np.array_equal(part.scalars["event"], whole.scalars["event"][2:5])
    assert np.array_equal(part.scalars["FlashSim_fold"], [2, 3, 4])


def test_types_are_those_of_nanoaod():
    folds = _fold(_gen(2), 10, 2)
    assert [
        folds.scalars[name].dtype.name for name in ("run", "luminosityBlock", "event", "FlashSim_genEvent")
    ] == [
        "uint32",
        "uint32",
        "uint64",
        "uint64",
    ]
