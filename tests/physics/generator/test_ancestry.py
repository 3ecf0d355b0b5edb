"""Walks agree with walks taken one step at a time; status flags are those of a known decay chain."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.generator.ancestry import Ancestry, ancestors_of, nearest_ancestor, walk
from flashsim_prod.physics.generator.genpart import gen_part

FLAGS = {
    "prompt": 0,
    "decayed": 1,
    "tau": 2,
    "prompt_tau": 3,
    "direct_tau": 4,
    "direct_prompt_tau": 5,
    "direct_hadron": 6,
    "hard": 7,
    "from_hard": 8,
    "hard_tau": 9,
    "direct_hard_tau": 10,
    "before_fsr": 11,
    "first": 12,
    "last": 13,
    "last_before_fsr": 14,
}


@st.composite
def trees(draw):
    """Mothers of up to 60 particles, each earlier or later than its daughters but without circles."""
    n = draw(st.integers(1, 60))
    mother = [draw(st.integers(-1, position - 1)) for position in range(n)]
    order = np.array(draw(st.permutations(range(n))))
    shuffled = np.full(n, -1)
    for position, up in enumerate(mother):
        shuffled[order[position]] = order[up] if up >= 0 else -1
    chosen = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    return shuffled, chosen


def _ancestors(mother, particle):
    found = []
    while mother[particle] >= 0:
        particle = mother[particle]
        found.append(particle)
    return found


@given(trees())
def test_nearest_ancestor_is_the_first_wanted_one_upwards(tree):
    mother, wanted = tree
    expected = [next((up for up in _ancestors(mother, one) if wanted[up]), -1) for one in range(len(mother))]
    assert nearest_ancestor(mother, wanted).tolist() == expected


@given(trees())
def test_walks_end_at_the_root_or_where_they_halt(tree):
    mother, halt = tree
    path = [[one, *_ancestors(mother, one)] for one in range(len(mother))]
    assert walk(mother).tolist() == [steps[-1] for steps in path]
    expected = [next((step for step in steps if halt[step]), steps[-1]) for steps in path]
    assert walk(mother, halt).tolist() == expected


@given(trees())
def test_ancestors_of_are_all_on_the_way_up(tree):
    mother, chosen = tree
    expected = {up for one in np.flatnonzero(chosen) for up in _ancestors(mother, one)}
    assert set(np.flatnonzero(ancestors_of(mother, chosen))) == expected


def _flags(ancestry, position):
    bits = int(ancestry.status_flags()[position])
    return {name for name, bit in FLAGS.items() if bits >> bit & 1}


def test_flags_of_a_z_boson_to_muons_of_which_one_radiates(by_hand):
    z, last_z, muon, quiet, after, photon = range(4, 10)
    event = by_hand(
        [
            (2212, -12, -1, 0, 0, 6500, 0.938),
            (1, -21, 1, 0, 0, 100, 0),
            (-1, -21, 1, 0, 0, -100, 0),
            (23, -22, 2, 0, 0, 0, 91),
            (23, -62, z, 5, 0, 0, 91),
            (13, -23, last_z, 45, 0, 0, 0.1),
            (-13, 23, last_z, -40, 0, 0, 0.1),
            (13, 51, muon, 40, 0, 0, 0.1),
            (22, 51, muon, 5, 0, 0, 0),
        ]
    )
    ancestry = Ancestry(event)
    assert _flags(ancestry, z) == {"prompt", "hard", "from_hard", "first"}
    assert _flags(ancestry, last_z) == {"prompt", "from_hard", "before_fsr", "last"}
    assert _flags(ancestry, muon) == {
        "prompt",
        "hard",
        "from_hard",
        "before_fsr",
        "first",
        "last_before_fsr",
    }
    # a lepton that never radiates has no copy before radiation, as in NanoAOD
    assert _flags(ancestry, quiet) == {"prompt", "hard", "from_hard", "first", "last"}
    assert _flags(ancestry, after) == {"prompt", "from_hard", "last"}
    assert _flags(ancestry, photon) == {"prompt", "first", "last"}


def test_flags_of_tau_and_hadron_decays(by_hand):
    tau, pion, neutrino, b_hadron, electron, pi0, photon = range(3, 10)
    event = by_hand(
        [
            (23, -22, -1, 0, 0, 0, 91),
            (23, -62, 1, 0, 0, 0, 91),
            (15, -23, 2, 30, 0, 0, 1.777),
            (-211, 91, tau, 20, 0, 0, 0.14),
            (16, 91, tau, 10, 0, 0, 0),
            (521, -84, -1, 0, 20, 0, 5.28),
            (11, 91, b_hadron, 0, 5, 0, 0.0005),
            (111, -91, b_hadron, 0, 15, 0, 0.135),
            (22, 91, pi0, 0, 15, 0, 0),
        ]
    )
    ancestry = Ancestry(event)
    of_tau = {"tau", "prompt_tau", "direct_tau", "direct_prompt_tau", "hard_tau", "direct_hard_tau"}
    assert _flags(ancestry, tau) == {"prompt", "decayed", "hard", "from_hard", "first", "last"}
    assert _flags(ancestry, pion) == _flags(ancestry, neutrino) == of_tau | {"first", "last"}
    assert _flags(ancestry, b_hadron) == {"prompt", "decayed", "first", "last"}
    assert _flags(ancestry, electron) == {"direct_hadron", "first", "last"}
    assert {"decayed", "direct_hadron", "last_before_fsr"} <= _flags(ancestry, pi0)
    assert _flags(ancestry, photon) == {"direct_hadron", "first", "last"}


def test_a_hadron_of_a_string_descends_from_the_first_end_that_is_kept(by_hand):
    soft_end, b_quark, b_hadron = 2, 3, 4
    event = by_hand(
        [
            (2212, -12, -1, 0, 0, 6500, 0.938),
            (2, -71, 1, 0.1, 0, 1, 0.3),
            (-5, -71, -1, 40, 0, 0, 4.8),
            (521, -84, soft_end, 35, 0, 0, 5.28),
            (-13, 91, b_hadron, 10, 0, 0, 0.1),
        ]
    )
    event.mother2[b_hadron] = b_quark
    part, index = gen_part(Ancestry(event))
    mother = part["genPartIdxMother"]
    assert index[soft_end] == -1
    assert mother[index[b_hadron]] == index[b_quark]
    assert mother[index[b_hadron + 1]] == index[b_hadron]
