"""Decay modes of hadronic taus, from decays written by hand and from generated ones."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.generator.ancestry import Ancestry
from flashsim_prod.physics.generator.genpart import gen_part
from flashsim_prod.physics.generator.taus import gen_vis_tau

PI, PI0, PHOTON, K_LONG = -211, 111, 22, 130


def _decay(by_hand, products):
    """A tau of 40 GeV that decays to a neutrino and `products`; a pi0 goes on to two photons."""
    tau = 2
    rows = [
        (23, -22, -1, 0, 0, 0, 91),
        (15, -23, 1, 40, 0, 0, 1.777),
        (16, 91, tau, 10, 0, 0, 0),
    ]
    share = 30 / len(products)
    for code in products:
        is_pi0 = code == PI0
        rows.append((code, -91 if is_pi0 else 91, tau, share, 0, 0, 0.135))
        if is_pi0:
            rows += [(PHOTON, 91, len(rows), share / 2, 0, 0, 0)] * 2
    ancestry = Ancestry(by_hand(rows))
    part, index = gen_part(ancestry)
    return gen_vis_tau(ancestry, index), part


@pytest.mark.parametrize(
    ("products", "mode"),
    [
        ([PI], 0),
        ([PI, PI0], 1),
        ([PI, PI0, PI0], 2),
        ([PI, PI0, PI0, PI0], 15),
        ([PI, -PI, PI], 10),
        ([PI, -PI, PI, PI0], 11),
        ([PI, -PI, PI, PI0, PI0], 15),
        ([PI, K_LONG], 15),
        ([PI, PHOTON], 15),
    ],
)
def test_decay_mode(by_hand, products, mode):
    taus, part = _decay(by_hand, products)
    assert taus["status"].tolist() == [mode]
    assert taus["charge"].tolist() == [-1]
    np.testing.assert_allclose(taus["pt"], 30.0, rtol=1e-5)
    assert part["pdgId"][taus["genPartIdxMother"]].tolist() == [15]


@pytest.mark.parametrize("lepton", [11, 13])
def test_leptonic_decays_are_no_visible_taus(by_hand, lepton):
    taus, _ = _decay(by_hand, [lepton, -12])
    assert taus.counts.tolist() == [0]


def test_visible_taus_of_top_pairs_point_to_their_taus(ttbar):
    taus, part = ttbar["GenVisTau"], ttbar["GenPart"]
    assert taus.n_objects > 5
    mother = part.starts[taus.event_index] + taus["genPartIdxMother"]
    assert (np.abs(part["pdgId"][mother]) == 15).all()
    assert (part["status"][mother] == 2).all()
    assert (taus["charge"] == -np.sign(part["pdgId"][mother])).all()
    assert (taus["pt"] > 10).all()
    assert (taus["pt"] <= part["pt"][mother] * 1.01).all()
