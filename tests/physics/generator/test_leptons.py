"""Dressing and isolation."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.generator.ancestry import Ancestry
from flashsim_prod.physics.generator.leptons import gen_dressed_lepton, gen_isolated_photon


def _w_decay(*more):
    return [(24, -22, -1, 0, 0, 0, 80), (13, 23, 1, 40.0, 0.0, 0.0, 0.106), *more]


def test_photons_near_a_lepton_are_added_and_others_are_not(by_hand):
    near, far = (22, 51, 1, 5.0, 0.2, 0.0, 0.0), (22, 51, 1, 0.0, 12.0, 0.0, 0.0)
    leptons = gen_dressed_lepton(Ancestry(by_hand(_w_decay(near, far))))
    np.testing.assert_allclose(leptons["pt"], np.hypot(45.0, 0.2), rtol=1e-6)
    assert leptons["pdgId"].tolist() == [13]
    assert leptons["hasTauAnc"].tolist() == [False]


def test_a_photon_goes_to_its_nearest_lepton_only(by_hand):
    second = (-13, 23, 1, 40.0, 2.0, 0.0, 0.106)
    photon = (22, 51, 1, 8.0, 0.15, 0.0, 0.0)
    leptons = gen_dressed_lepton(Ancestry(by_hand(_w_decay(second, photon))))
    assert leptons["pdgId"].tolist() == [13, -13]
    np.testing.assert_allclose(leptons["pt"], [np.hypot(48, 0.15), np.hypot(40, 2)], rtol=1e-6)


def test_leptons_of_prompt_taus_count_and_those_of_hadrons_do_not(by_hand):
    tau, b_hadron = 3, 5
    event = by_hand(
        _w_decay(
            (15, -23, 1, 60.0, 0.0, 0.0, 1.777),
            (11, 91, tau, -50.0, 0.0, 0.0, 0.0005),
            (521, -84, -1, 0.0, 60.0, 0.0, 5.28),
            (-13, 91, b_hadron, 0.0, 50.0, 0.0, 0.106),
        )
    )
    leptons = gen_dressed_lepton(Ancestry(event))
    assert leptons["pdgId"].tolist() == [11, 13]
    assert leptons["hasTauAnc"].tolist() == [True, False]


def test_isolated_photons_are_prompt_and_have_little_around_them(by_hand):
    prompt, beside = (22, 23, -1, 30.0, 0.0, 0.0, 0.0), (211, 84, -1, 20.0, 2.0, 0.0, 0.14)
    pi0, of_pi0 = (111, -84, -1, 0.0, 30.0, 0.0, 0.135), (22, 91, 2, 0.0, 30.0, 0.0, 0.0)
    assert gen_isolated_photon(Ancestry(by_hand([prompt, pi0, of_pi0])))["pt"].tolist() == [30.0]
    assert gen_isolated_photon(Ancestry(by_hand([prompt, beside]))).n_objects == 0
