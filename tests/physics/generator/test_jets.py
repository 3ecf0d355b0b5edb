"""Jets: what ghosts may not change, flavours, soft drop."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.generator.ancestry import Ancestry
from flashsim_prod.physics.generator.jets import cluster, gen_jets, jet_inputs, soft_drop_subjets


def _p4(collection):
    pt, eta, phi, mass = (collection[name].astype(float) for name in ("pt", "eta", "phi", "mass"))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack((px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)))


def _two_jets(by_hand, extra=()):
    """A jet of three pions and one of two, back to back; the second lies in the direction of `extra`."""
    return by_hand(
        [
            (211, 84, -1, 50.0, 0.0, 10.0, 0.14),
            (-211, 84, -1, 20.0, 2.0, 5.0, 0.14),
            (211, 84, -1, 30.0, -5.0, 3.0, 0.14),
            (-211, 84, -1, -60.0, 1.0, 20.0, 0.14),
            (211, 84, -1, -30.0, 1.5, 8.0, 0.14),
            (12, 84, -1, 0.0, 90.0, 0.0, 0.0),
            *extra,
        ]
    )


def test_jets_are_the_sums_of_their_particles_and_neutrinos_make_none(by_hand):
    jets = gen_jets(Ancestry(_two_jets(by_hand)))["GenJet"]
    assert jets.counts.tolist() == [2]
    expected = np.array([[100.0, -3.0, 18.0], [-90.0, 2.5, 28.0]])
    np.testing.assert_allclose(_p4(jets)[:3].T, expected, rtol=1e-5, atol=1e-4)


def test_ghosts_change_no_jet(by_hand):
    b_hadron = (-521, -84, -1, -55.0, 1.0, 18.0, 5.28)
    c_quark = (4, -71, -1, 45.0, 1.0, 9.0, 1.5)
    plain = gen_jets(Ancestry(_two_jets(by_hand)))["GenJet"]
    ghostly = gen_jets(Ancestry(_two_jets(by_hand, (b_hadron, c_quark))))["GenJet"]
    for name in ("pt", "eta", "phi", "mass"):
        np.testing.assert_array_equal(plain[name], ghostly[name])
    assert plain["hadronFlavour"].tolist() == [0, 0]
    assert ghostly["hadronFlavour"].tolist() == [0, 5]
    assert ghostly["partonFlavour"].tolist() == [4, 0]


def test_heavy_partons_name_a_jet_before_harder_light_ones(by_hand):
    light = (21, -71, -1, 60.0, 1.0, 9.0, 0.0)
    soft_light = (1, -71, -1, 4.0, 0.0, 0.5, 0.0)
    charm = (-4, -72, -1, 6.0, 0.1, 1.0, 1.5)
    jets = gen_jets(Ancestry(_two_jets(by_hand, (light, soft_light, charm))))["GenJet"]
    assert jets["partonFlavour"].tolist() == [-4, 0]
    jets = gen_jets(Ancestry(_two_jets(by_hand, (light, soft_light))))["GenJet"]
    assert jets["partonFlavour"].tolist() == [21, 0]


def test_soft_drop_keeps_two_prongs_and_drops_what_is_soft_and_wide(by_hand):
    event = by_hand(
        [
            (211, 84, -1, 100.0, 20.0, 0.0, 0.14),
            (-211, 84, -1, 100.0, -20.0, 0.0, 0.14),
            (22, 84, -1, 3.0, 0.0, 2.0, 0.0),
        ]
    )
    inputs = jet_inputs(event, np.zeros(4, dtype=bool))
    fat = cluster(inputs, "antikt", 0.8, 100.0)
    assert fat.members.counts.tolist() == [3]
    prongs = soft_drop_subjets(fat, inputs)
    assert prongs.counts.tolist() == [2]
    np.testing.assert_allclose(np.sort(_p4(prongs)[1]), [-20.0, 20.0], rtol=1e-5)


def test_events_without_jets_give_empty_collections(by_hand):
    jets = gen_jets(Ancestry(by_hand([(211, 84, -1, 1.0, 0.0, 0.0, 0.14)])))
    assert {name: one.counts.tolist() for name, one in jets.items()} == {
        "GenJet": [0],
        "GenJetAK8": [0],
        "SubGenJetAK8": [0],
    }


def test_jets_of_top_pairs(ttbar):
    for name, min_pt in (("GenJet", 10.0), ("GenJetAK8", 100.0)):
        jets = ttbar[name]
        assert jets["pt"].min() >= min_pt
        assert (np.diff(jets["pt"])[jets.local_index[1:] > 0] <= 0).all()
    jets = ttbar["GenJet"]
    assert 1.5 < np.bincount(jets.event_index[jets["hadronFlavour"] == 5]).mean() < 2.5
    b_like = jets["hadronFlavour"] == 5
    assert (np.abs(jets["partonFlavour"][b_like]) == 5).mean() > 0.9


def test_subjets_come_in_the_order_of_their_jets_and_within_them(ttbar):
    fat, sub = ttbar["GenJetAK8"], ttbar["SubGenJetAK8"]
    # a jet that is one lepton and little else has a single prong
    assert (sub.counts >= fat.counts).all()
    two_each = sub.counts == 2 * fat.counts
    assert two_each.mean() > 0.9
    chosen = np.flatnonzero(two_each)
    fat, sub = fat.take_events(chosen), sub.take_events(chosen)
    groomed = _p4(sub).reshape(4, -1, 2).sum(axis=2)
    groomed_pt = np.hypot(groomed[0], groomed[1])
    assert (groomed_pt <= fat["pt"] * 1.02).all()
    assert np.median(groomed_pt / fat["pt"]) > 0.9
    pt = sub["pt"].reshape(-1, 2)
    assert (pt[:, 0] >= pt[:, 1]).all()
    assert (pt[:, 1] / pt.sum(axis=1) > 0.099).all()
