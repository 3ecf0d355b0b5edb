"""Constituents and the jets that they sum up to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.definitions.constituents import candidates as found
from flashsim_prod.physics.definitions.constituents import sums
from flashsim_prod.physics.events import Collection, Events


def _jets(rng, n: int) -> np.ndarray:
    pt = rng.uniform(15, 300, n)
    return sums.cartesian(
        pt, rng.uniform(-4.5, 4.5, n), rng.uniform(-3, 3, n), pt * rng.uniform(0.02, 0.3, n)
    )


def _total(momenta, masses, group, n):
    energy = np.sqrt((momenta**2).sum(axis=1) + masses**2)
    return sums.summed(np.column_stack([energy, momenta]), group, n)


@given(st.integers(0, 10_000))
def test_any_set_sums_up_to_what_is_wanted(seed):
    rng = np.random.default_rng(seed)
    wanted = _jets(rng, 6)
    group = np.repeat(np.arange(6), rng.integers(1, 40, 6))
    momenta = wanted[group, 1:] * rng.gamma(0.5, 0.1, len(group))[:, None] + rng.normal(0, 2, (len(group), 3))
    masses = rng.choice(found.MASSES, len(group))
    made, lighter = sums.projected(momenta, masses, group, wanted)
    total = _total(made, lighter, group, 6)
    assert np.abs(total - wanted).max() < 1e-6 * wanted[:, 0].max()
    assert (lighter <= masses + 1e-12).all() or (np.bincount(group) == 1).any()


def test_what_sums_up_already_is_left_as_it_is():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(3), 7)
    momenta, masses = rng.normal(20, 3, (21, 3)), rng.choice(found.MASSES, 21)
    made, same = sums.projected(momenta, masses, group, _total(momenta, masses, group, 3))
    assert made == pytest.approx(momenta, rel=1e-8)
    assert same == pytest.approx(masses)


@pytest.mark.parametrize("mass", [0.0, 1e-9, 0.05])
def test_jets_lighter_than_their_candidates(mass):
    wanted = sums.cartesian([30.0], [0.5], [1.0], [mass])
    rng = np.random.default_rng(2)
    momenta = sums.cartesian(rng.uniform(1, 9, 5), 0.5 + rng.normal(0, 0.1, 5), 1 + rng.normal(0, 0.1, 5), 0)
    made, masses = sums.projected(momenta[:, 1:], np.full(5, 0.13957), np.zeros(5, np.int64), wanted)
    assert _total(made, masses, np.zeros(5, np.int64), 1) == pytest.approx(wanted, rel=1e-7)
    assert masses.sum() <= mass


def test_parallel_candidates_and_a_single_one_have_shares_of_the_jet():
    wanted = sums.cartesian([30.0, 40.0], [0.5, 1.0], [1.0, 2.0], [4.0, 5.0])
    axis = wanted[:, 1:]
    momenta, group = np.stack([0.25 * axis[0], 0.75 * axis[0], 2 * axis[1]]), np.array([0, 0, 1])
    made, masses = sums.projected(momenta, np.zeros(3), group, wanted)
    assert made == pytest.approx(np.stack([0.25 * axis[0], 0.75 * axis[0], axis[1]]))
    assert masses == pytest.approx([1.0, 3.0, 5.0])
    assert _total(made, masses, group, 2) == pytest.approx(wanted)


def test_nothing_is_projected_to_nothing():
    made, masses = sums.projected(np.zeros((0, 3)), np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 4)))
    assert made.shape == (0, 3)
    assert masses.shape == (0,)


def test_what_particle_flow_does_not_know_is_a_hadron_of_its_charge():
    pdg_id = np.array([211, -13, 22, 321, -2212, 2112, 99999, -99999, 1])
    charge = np.array([1, 1, 0, 1, -1, 0, 0, -1, 0])
    kinds = found.species(pdg_id, charge)
    assert found.PDG_IDS[kinds].tolist() == [211, -13, 22, 211, -211, 130, 130, -211, 1]


def test_links_point_at_jets_and_candidates():
    candidates = Collection(
        np.array([2, 0, 1]),
        {"pt": np.array([3.0, 2.0, 1.0]), "jet": np.array([1, 1, 0])},
    )
    jets = Collection(np.array([2, 0, 1]), {"pt": np.array([9.0, 8.0, 7.0])})
    made = found.link(Events(3, {}, {"PFCands": candidates, "Jet": jets}))
    assert "jet" not in made["PFCands"]
    assert made["JetPFCands"]["jetIdx"].tolist() == [1, 1, 0]
    assert made["JetPFCands"]["pFCandsIdx"].tolist() == [0, 1, 0]
    assert [one.tolist() for one in found.flat_jets(made)] == [[0, 1, 2], [1, 1, 2]]
    # what a file has is left as it is
    assert found.link(made) is made


def test_entries_that_point_to_nothing_are_left_out():
    candidates = Collection(np.array([2]), {"pt": np.array([3.0, 2.0])})
    jets = Collection(np.array([1]), {"pt": np.array([9.0])})
    entries = Collection(
        np.array([4]), {"jetIdx": np.array([0, -1, 1, 0]), "pFCandsIdx": np.array([1, 0, 0, 2])}
    )
    events = Events(1, {}, {"PFCands": candidates, "Jet": jets, "JetPFCands": entries})
    assert [one.tolist() for one in found.flat_jets(events)] == [[1], [0]]
