"""Random numbers depend on what they are for and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from flashsim_prod.physics.randoms import DrawKeys, Draws, philox4x32


def _word(value: int) -> np.ndarray:
    return np.full(1, value, dtype=np.uint64)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # the known answers that the authors of the generator publish for philox4x32 with 10 rounds
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, expected):
    words = philox4x32(tuple(_word(value) for value in counter), key)
    assert tuple(int(word[0]) for word in words) == expected


def _keys(n: int) -> DrawKeys:
    return DrawKeys(np.arange(n) // 20, np.arange(n) // 4 % 5, np.arange(n) % 4)


@given(st.permutations(range(40)), st.integers(1, 11))
def test_order_and_number_of_rows_change_nothing(order, number):
    keys, index = _keys(40), np.array(order)
    drawn = Draws(7, "jet").normals(keys, number)
    shuffled = DrawKeys(keys.gen_event[index], keys.fold[index], keys.item[index])
    assert np.array_equal(Draws(7, "jet").normals(shuffled, number), drawn[index])


def test_asking_for_more_numbers_keeps_the_first_ones():
    assert np.array_equal(Draws(7, "x").uniforms(_keys(50), 3), Draws(7, "x").uniforms(_keys(50), 9)[:, :3])


def test_every_part_of_the_key_matters():
    one = DrawKeys(np.array([5]), np.array([1]), np.array([2]))
    others = [
        Draws(7, "jet").uniforms(DrawKeys(np.array([6]), one.fold, one.item), 4),
        Draws(7, "jet").uniforms(DrawKeys(one.gen_event, np.array([2]), one.item), 4),
        Draws(7, "jet").uniforms(DrawKeys(one.gen_event, one.fold, np.array([3])), 4),
        Draws(7, "muon").uniforms(one, 4),
        Draws(8, "jet").uniforms(one, 4),
        Draws(7 + 2**40, "jet").uniforms(one, 4),
    ]
    drawn = [Draws(7, "jet").uniforms(one, 4), *others]
    assert len({tuple(row[0]) for row in drawn}) == len(drawn)


def test_distributions_are_uniform_and_normal():
    keys = DrawKeys(np.arange(20_000), np.zeros(20_000, int), np.zeros(20_000, int))
    uniform = Draws(1, "a").uniforms(keys, 5)
    assert 0 < uniform.min() < uniform.max() < 1
    assert kstest(uniform.ravel(), "uniform").pvalue > 1e-3
    normal = Draws(1, "b").normals(keys, 5)
    assert kstest(normal.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(normal.T) - np.eye(5)).max() < 0.03


def test_neighbouring_rows_are_independent():
    keys = DrawKeys(np.arange(50_000) // 10, np.arange(50_000) % 10, np.zeros(50_000, int))
    normal = Draws(3, "a").normals(keys, 1)[:, 0]
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 0.02


def test_keys_out_of_range_are_refused():
    with pytest.raises(ValueError, match="fold"):
        DrawKeys(np.array([0]), np.array([2**16]), np.array([0]))
