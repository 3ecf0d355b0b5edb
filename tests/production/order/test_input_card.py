"""Name, energy and cross section of a request of existing events come from the events."""

from __future__ import annotations

from typing import Any

import pytest

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.physics.generator.kinds import InputFacts
from flashsim_prod.production.order.input_card import card_of_input
from flashsim_prod.production.order.library import all_cards, find_card

TOPS, HIGGS, Z = frozenset({6, 24}), frozenset({25}), frozenset({23})


def _card(card: str | None, facts: InputFacts, **typed: Any) -> ProcessCard:
    told = {"primary": None, "energy_tev": None, "cross_section_pb": None, **typed}
    return card_of_input(None if card is None else find_card(card), facts, **told)


def test_without_a_card_all_is_the_inputs() -> None:
    found = _card(None, InputFacts(primary="GluGluToHBB-13p6TeV"))
    assert found.primary == "GluGluToHBB-13p6TeV"
    assert found.name == "gluglutohbb_13p6tev"
    (energy,) = found.energies
    assert (energy.tev, energy.pileup, energy.cross_section_pb) == (13.6, "Run3_2022", None)


def test_what_is_typed_goes_first() -> None:
    facts = InputFacts(primary="Theirs_13TeV", cross_section_pb=3.0)
    found = _card(None, facts, primary="Mine", energy_tev=13.0, cross_section_pb=2.5)
    assert (found.primary, found.energies[0].cross_section_pb) == ("Mine", 2.5)
    assert _card(None, facts).energies[0].cross_section_pb == 3.0


def test_a_card_beside_input_gives_no_cross_section() -> None:
    found = _card("ttbar", InputFacts(primary="TTTo2L2Nu_TuneCP5_13TeV", heavy=TOPS))
    assert found.primary_name(13.0) == "TTTo2L2Nu_TuneCP5_13TeV"
    assert found.energies[0].cross_section_pb is None
    assert _card("ttbar", InputFacts(heavy=TOPS)).energies[0].cross_section_pb is None


def test_events_that_were_made_from_a_card_keep_its_cross_section() -> None:
    card = find_card("ttbar")
    found = _card("ttbar", InputFacts(primary=card.primary_name(13.0), energy_tev=13.0, heavy=TOPS))
    assert found.energies[0].cross_section_pb == card.energies[0].cross_section_pb


@pytest.mark.parametrize(
    ("card", "heavy", "said"),
    [
        ("ttbar", HIGGS, "the events have Higgs bosons in their hard process, which card ttbar"),
        ("dyjets", TOPS, "the events have top quarks"),
        ("ttbar", Z, "card ttbar .* makes top quarks, but the events have Z bosons"),
        ("vbf_hmumu", Z, "makes Higgs bosons, but the events have Z bosons"),
        ("ttbar", TOPS | HIGGS, "the events have Higgs bosons"),
    ],
)
def test_a_card_that_contradicts_the_input(card: str, heavy: frozenset[int], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        _card(card, InputFacts(heavy=heavy))
    assert "say --primary NAME" in str(caught.value)


@pytest.mark.parametrize(
    ("card", "heavy", "said"),
    [
        ("dyjets", {24}, "the events have W bosons .* card dyjets .* makes Z bosons"),
        ("wjets", {23}, "the events have Z bosons .* makes W bosons"),
        ("zz_llbb", {24}, "makes Z bosons"),
        ("photon_jets", {23}, "makes photons"),
        ("dyjets", {22}, "the events have photons"),
    ],
)
def test_a_card_of_another_boson(card: str, heavy: set[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _card(card, InputFacts(heavy=frozenset(heavy)))


@pytest.mark.parametrize(
    ("card", "heavy"),
    [("dyjets", ()), ("wjets", ()), ("photon_jets", ()), ("qcd", (23,)), ("qcd_flat", (22,))],
)
def test_what_a_hard_process_lacks_that_is_told_whole_is_not_there(card: str, heavy: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="leave the card out"):
        _card(card, InputFacts(heavy=frozenset(heavy), is_whole=True))
    # a record that may leave out what it likes says nothing
    assert _card(card, InputFacts(heavy=frozenset(heavy)))


def test_what_a_card_can_make_is_not_refused() -> None:
    for card, heavy in (
        *(("dyjets", {23}), ("wjets", {24}), ("zz_llbb", {23}), ("photon_jets", {22}), ("qcd", set())),
        *(("ttbar", {6, 24}), ("zh_bb", {23, 25}), ("wprime_wz", {23}), ("zprime_tt", {6})),
        *(("dyjets", {22, 23}), ("wjets", {22, 24}), ("graviton_hh", {25})),
    ):
        assert _card(card, InputFacts(heavy=frozenset(heavy), is_whole=True)), card


def test_a_card_of_another_energy() -> None:
    with pytest.raises(InputError, match=r"the events are of 7 TeV, card ttbar .* of 13 and 13\.6"):
        _card("ttbar", InputFacts(energy_tev=7.0))


def test_nothing_is_said_against_any_card_of_a_process_that_may_be_it() -> None:
    for card in all_cards():
        assert _card(card.name, InputFacts()).primary == card.primary_name(card.energies[0].tev)
    # a record may leave the tops out
    assert _card("ttbar", InputFacts(heavy=frozenset({24})))
    assert _card("zh_llbb", InputFacts(heavy=Z | HIGGS))


def test_what_nothing_tells_must_be_said() -> None:
    with pytest.raises(RequestError, match="say --primary NAME"):
        _card(None, InputFacts(energy_tev=13.0))
    with pytest.raises(RequestError, match="say --energy TEV"):
        _card(None, InputFacts(), primary="Mine")
    with pytest.raises(RequestError, match="'0bad name' cannot be a primary dataset name"):
        _card(None, InputFacts(energy_tev=13.0), primary="0bad name")


def test_an_energy_that_is_not_the_inputs() -> None:
    with pytest.raises(InputError, match=r"--energy 13: the input is of 13\.6 TeV"):
        _card("ttbar", InputFacts(energy_tev=13.6), energy_tev=13.0)
    with pytest.raises(InputError, match="the input is of 8 TeV"):
        _card(None, InputFacts(primary="TT_8TeV"), energy_tev=13.0)
    with pytest.raises(RequestError, match="no energy of 8 TeV"):
        _card("ttbar", InputFacts(), energy_tev=8.0)
    assert _card("ttbar", InputFacts(energy_tev=13.6)).energies[0].pileup == "Run3_2022"
