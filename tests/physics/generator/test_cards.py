"""Every shipped card parses and generates its process."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.pileup import find_profile
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.resources import jobs_dir

CARDS = sorted(jobs_dir().glob("*.yaml"))

#: PDG codes, without sign, that the hard process of a card has at least so many of
SIGNATURES: dict[str, dict[tuple[int, ...], int]] = {
    "ttbar": {(6,): 2, (24,): 2},
    "dyjets": {(23,): 1, (11, 13, 15): 2},
    "wjets": {(24,): 1, (11, 13, 15): 1, (12, 14, 16): 1},
    "vbf_hmumu": {(25,): 1, (13,): 2, (1, 2, 3, 4, 5): 2},
    "vbf_htautau": {(25,): 1, (15,): 2, (1, 2, 3, 4, 5): 2},
    "zh_llbb": {(25,): 1, (23,): 1, (5,): 2, (11, 13): 2},
    "zh_bb": {(25,): 1, (23,): 1, (5,): 2},
    "qcd": {(1, 2, 3, 4, 5, 21): 4},
    "qcd_flat": {(1, 2, 3, 4, 5, 21): 4},
    "photon_jets": {(22,): 1},
    "dymumu_highmass": {(23,): 1, (13,): 2},
    "ewk_mumujj_highmass": {(25,): 1, (13,): 2, (1, 2, 3, 4, 5): 2},
    "zz_llbb": {(23,): 2, (5, 13): 4},
    "zprime_tt": {(32,): 1, (6,): 2},
    "wprime_wz": {(34,): 1, (23,): 1, (24,): 1},
    "graviton_hh": {(5100039,): 1, (25,): 2},
}


def _card(path):
    return ProcessCard.from_yaml(path.read_text(encoding="utf-8"), str(path))


def test_every_card_has_a_signature():
    assert {path.stem for path in CARDS} == set(SIGNATURES)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_card_is_complete(path):
    card = _card(path)
    assert card.name == path.stem
    assert [energy.tev for energy in card.energies] == [13.0, 13.6]
    assert [find_profile(energy.pileup) for energy in card.energies]
    assert card.reference
    assert card.primary_name(13.6) != card.primary_name(13.0)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_card_generates_its_process(path):
    card = _card(path)
    source = PythiaSource(card, 13.6, n_events=5, seed=21, pileup_seed=22)
    events = Events.concatenate(source.chunks(5))
    assert events.n == 5
    part = events["GenPart"]
    hard = (part["statusFlags"] >> 7 & 1).astype(bool)
    for codes, at_least in SIGNATURES[card.name].items():
        found = hard & np.isin(np.abs(part["pdgId"]), codes)
        assert (np.bincount(part.event_index[found], minlength=5) >= at_least).all(), codes


def test_biased_events_carry_the_weight_that_undoes_it():
    # Pythia computes the bias before it gives heavy quarks their masses
    card = _card(jobs_dir() / "qcd_flat.yaml")
    events = Events.concatenate(PythiaSource(card, 13.0, n_events=40, seed=1, pileup_seed=1).chunks(40))
    weight, scale = events.scalars["genWeight"], events.scalars["Generator_binvar"]
    np.testing.assert_allclose(weight, (15.0 / scale) ** 4.5, rtol=0.05)
