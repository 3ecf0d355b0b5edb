"""Files of people are checked key by key, and the nearest right key is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError, RequestError

CARD = """
name: ttbar
title: top pairs
primary: TT_{energy}
energies:
  - {tev: 13, pileup: run2_2018}
  - {tev: 13.6, pileup: run3_2022, cross_section_pb: 923.6}
settings: ["Top:gg2ttbar = on"]
"""
SITE = """
name: local
title: here
engine: local
resources: {walltime_min: 60, target_walltime_min: 20}
rates: {generator_hz: 50, flashsim_hz: 200}
storage: {rse: LOCAL, prefix: "{home}/store"}
"""


def _card(**changes: object) -> str:
    return yaml.safe_dump({**yaml.safe_load(CARD), **changes})


def test_a_good_card() -> None:
    card = ProcessCard.from_yaml(CARD, "ttbar.yaml")
    assert card.primary_name(13.6) == "TT_13p6TeV"
    assert card.primary_name(13) == "TT_13TeV"
    assert card.energy(None) == card.energies[0]
    assert card.energy(13.6) == card.energies[1]
    assert card.energy(14) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (_card(titel="x"), "unknown key 'titel'; did you mean 'title'?"),
        (
            _card(energies=[{"tev": 13, "pilup": "a"}]),
            "the key 'energies.0.pileup' is missing; unknown key 'energies.0.pilup'; did you mean 'pileup'?",
        ),
        ("name: ttbar\n", "the key 'title' is missing"),
        (_card(energies=[]), "energies: is empty"),
        (_card(energies=[{"tev": 13, "pileup": "a"}] * 2), "the same energy is listed twice"),
        (_card(primary="1TT"), "cannot be a primary dataset name"),
        (_card(name="Not A Name"), "name: 'Not A Name' is not of the form ^"),
        ("- a\n- b\n", "expected keys and values, found list"),
        ("", "expected keys and values, found NoneType"),
        ("name: [unclosed", "not valid YAML"),
        ("a: 1\n\tb: 2", "not valid YAML"),
    ],
)
def test_a_bad_card_gets_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ProcessCard.from_yaml(text, "ttbar.yaml")
    line = str(caught.value)
    assert line.startswith("ttbar.yaml: ")
    assert complaint in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"engine": "pbs"}, "engine: no engine 'pbs' is installed; there are crab, htcondor, local, slurm"),
        ({"slots": "one"}, "slots: 'one' is no whole number"),
        ({"sluts": 3}, "unknown key 'sluts'; did you mean 'slots'?"),
        ({"slots": -1}, "slots: "),
        (
            {"resources": {"walltime": 60, "target_walltime_min": 20, "walltime_min": 60}},
            "unknown key 'resources.walltime'; did you mean 'walltime_min'?",
        ),
        ({"rates": {"generator_hz": 0, "flashsim_hz": 1}}, "rates.generator_hz: "),
        ({"merge": {"target_file": 1}}, "unknown key 'merge.target_file'; did you mean 'target_file_mb'?"),
    ],
)
def test_a_bad_site_gets_one_line(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=r"^local\.yaml: ") as caught:
        Site.from_yaml(yaml.safe_dump({**yaml.safe_load(SITE), **changes}), "local.yaml")
    assert complaint in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Site.from_yaml(SITE.replace("title", "titel"), "x")
    assert "'titel'" in str(caught.value)
    assert "the key 'title' is missing" in str(caught.value)


def test_nearest_says_nothing_of_a_long_list_that_has_nothing_near() -> None:
    many = [f"Jet_attribute{number}" for number in range(101)]
    assert nearest("?!", many) == ""
    assert nearest("?!", many[:100]).startswith("; known: Jet_attribute0, ")
    assert nearest("Jet_atribute7", many) == "; did you mean 'Jet_attribute7'?"


def test_nearest_lists_all_when_nothing_is_near() -> None:
    assert nearest("ttbr", ["ttbar", "dyjets"]) == "; did you mean 'ttbar'?"
    assert nearest("xyz", ["ttbar", "dyjets"]) == "; known: dyjets, ttbar"


def test_a_config_error_is_a_request_error_with_exit_code_2() -> None:
    assert issubclass(ConfigError, RequestError)
    assert ConfigError.exit_code == 2


def test_models_cannot_be_changed() -> None:
    card = ProcessCard.from_yaml(CARD, "x")
    with pytest.raises(ValidationError):
        card.title = "other"  # type: ignore[misc]


def test_a_request_comes_back_from_its_yaml(make_request: Callable[..., Request]) -> None:
    request = make_request()
    again = Request.from_yaml(request.to_yaml(), "request.yaml")
    assert again == request
    assert again.digest() == request.digest()
    assert again.to_yaml() == request.to_yaml()


MODELS = [
    "met",
    "jet_from_genjet",
    "jet_from_pileup",
    "fatjet_from_genjet",
    "electron_from_jet",
    "event_scalars",
]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("jet", "'jet_from_genjet' or 'jet_from_pileup'?"),
        ("Fatjet", "'fatjet_from_genjet'?"),
        ("pileup", "'jet_from_pileup'?"),
        ("mett", "'met'?"),
        ("MET", "'met'?"),
        ("jet_from_genjat", "'jet_from_genjet'?"),
        ("scalars", "'event_scalars'?"),
    ],
)
def test_nearest_prefers_names_that_hold_the_word(word: str, hint: str) -> None:
    assert nearest(word, MODELS) == f"; did you mean {hint}"
