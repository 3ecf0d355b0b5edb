"""Cards and sites of a user's own: where they are found, what `new` writes, and what editors are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from flashsim_prod import resources
from flashsim_prod.cli import completing
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.engines import load_rules
from flashsim_prod.core.site import Site
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.described import _model_of, card_schema, commented_yaml, site_schema
from flashsim_prod.production.order.library import CARDS, SITES, all_cards, find_card, find_site
from flashsim_prod.production.order.own import new_card, new_site

SHIPPED_CARDS = sorted(path.stem for path in resources.jobs_dir().glob("*.yaml"))
SHIPPED_SITES = sorted(path.stem for path in resources.site_configs_dir().glob("*.yaml"))


def _put(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def _shipped(name: str) -> str:
    return (resources.jobs_dir() / f"{name}.yaml").read_text()


def test_own_files_stand_beside_the_shipped_ones(home: Home) -> None:
    _put(home.path / "cards", "tops", _shipped("ttbar").replace("name: ttbar", "name: tops"))
    local = (resources.site_configs_dir() / "local.yaml").read_text()
    _put(home.path / "sites", "desk", local.replace("name: local", "name: desk"))
    assert (find_card("tops").name, find_site("desk").name) == ("tops", "desk")
    assert [card.name for card in all_cards()] == sorted([*SHIPPED_CARDS, "tops"])
    assert (completing.cards("to"), completing.sites("de")) == (["tops"], ["desk"])
    with pytest.raises(RequestError, match="no card 'topss'; did you mean 'tops'"):
        find_card("topss")


def test_a_name_in_two_places_is_refused_unless_both_say_the_same(home: Home) -> None:
    own = _put(home.path / "cards", "ttbar", _shipped("ttbar"))
    assert find_card("ttbar").name == "ttbar"
    own.write_text(_shipped("ttbar").replace("172.5", "170"))
    with pytest.raises(RequestError) as caught:
        find_card("ttbar")
    assert str(own) in str(caught.value)
    assert str(resources.jobs_dir() / "ttbar.yaml") in str(caught.value)
    # as a path it is clear
    assert "6:m0 = 170" in find_card(str(own)).settings


def test_a_file_found_by_its_name_has_this_name(home: Home) -> None:
    path = _put(home.path / "cards", "tops", _shipped("ttbar"))
    with pytest.raises(ConfigError, match="name: 'ttbar' is not the file's name"):
        find_card("tops")
    assert find_card(str(path)).name == "ttbar"


def test_what_is_broken_hides_nothing_else(home: Home) -> None:
    path = _put(home.path / "cards", "tops", "name: tops\ntitel: x\n")
    told: list[str] = []
    assert [card.name for card in all_cards(told.append)] == SHIPPED_CARDS
    assert len(told) == 1
    assert told[0].startswith(f"{path}: ")
    assert "unknown key 'titel'; did you mean 'title'?" in told[0]


def test_what_is_no_file_is_told_so(home: Home) -> None:
    folder = home.path / "cards"
    (folder / "folder.yaml").mkdir(parents=True)
    (folder / "dangling.yaml").symlink_to("/nowhere")
    for name in ("folder", "dangling"):
        with pytest.raises(RequestError, match=f"{name}.yaml: this card file cannot be read: "):
            find_card(name)
    told: list[str] = []
    assert [card.name for card in all_cards(told.append)] == SHIPPED_CARDS
    assert len(told) == 2


@pytest.mark.parametrize("like", SHIPPED_CARDS)
def test_a_new_card_is_one_and_takes_no_name_and_no_cross_section(home: Home, like: str) -> None:
    path = new_card("my_own", like)
    made, after = find_card("my_own"), find_card(like)
    assert path == home.path / "cards" / "my_own.yaml"
    assert (made.settings, made.tune) == (after.settings, after.tune)
    assert [one.tev for one in made.energies] == [one.tev for one in after.energies]
    assert {one.cross_section_pb for one in made.energies} == {None}
    assert made.primary_name(13) == "my_own_13TeV_FlashSim-pythia8"


@pytest.mark.parametrize("like", SHIPPED_SITES)
def test_a_new_site_is_one(home: Home, like: str) -> None:
    new_site("mine", like)
    made, after = find_site("mine"), find_site(like)
    assert made.model_copy(update={"name": after.name, "title": after.title}) == after


def test_what_is_commented_out_can_be_taken_in(home: Home) -> None:
    path = new_site("pool", "htcondor")
    text = path.read_text().replace("  #gpus:\n", "  gpus:\n").replace("  #  #count: 1\n", "    count: 2\n")
    text = text.replace("\ndevice: cpu", "\ndevice: cuda")
    assert Site.from_yaml(text, "pool").gpus == 2
    path = new_card("mine", "ttbar")
    assert find_card("mine").reference == ""
    path.write_text(path.read_text().replace("#reference: ''", "reference: 'me'"))
    assert find_card("mine").reference == "me"


def test_names_that_cannot_be_leave_nothing_behind(home: Home) -> None:
    for name, complaint in (
        ("../x", "name"),
        ("ttbar", "is there already"),
        ("Tops", "name"),
        ("", "name"),
    ):
        with pytest.raises(RequestError, match=complaint):
            new_card(name, "ttbar")
    with pytest.raises(RequestError, match="no card 'ttbr'"):
        new_card("mine", "ttbr")
    assert not (home.path / "cards").exists()
    # a primary dataset's name begins with a letter
    new_card("2hdm", "ttbar")
    assert find_card("2hdm").primary_name(13).startswith("P2hdm_")


def test_an_edited_file_is_not_written_over(home: Home) -> None:
    path = new_card("mine", "ttbar")
    path.write_text("name: mine\nnot yet done\n")
    with pytest.raises(RequestError, match="is there already"):
        new_card("mine", "ttbar")
    assert "not yet done" in path.read_text()


def test_editors_are_told_of_a_schema_only_if_it_is_there(home: Home) -> None:
    assert "$schema" not in new_card("first", "ttbar").read_text()
    (home.path / "cards" / "schema.json").write_text("{}")
    assert new_card("second", "ttbar").read_text().startswith("# yaml-language-server: $schema=schema.json\n")


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    below = filter(None, (_model_of(info.annotation) for info in model.model_fields.values()))
    return {model}.union(*map(_models, below))


@pytest.mark.parametrize("top", [ProcessCard, Site, load_rules("htcondor"), load_rules("crab")])
def test_every_key_is_described(top: type[BaseModel]) -> None:
    text = commented_yaml(top, {"engine": "local"} if top is Site else {})
    lines = text.splitlines()
    keys = [number for number, line in enumerate(lines) if line.strip("# ").split(":")[0] in _all_fields(top)]
    assert len(keys) >= len(top.model_fields) - (top is Site)
    for number in keys:
        assert "# " in lines[number - 1], lines[number]
        assert lines[number - 1].strip(" #"), lines[number]


def _all_fields(top: type[BaseModel]) -> set[str]:
    return {name for model in _models(top) for name in model.model_fields}


def _plain(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_schemas_take_what_is_shipped() -> None:
    for schema, shelf in ((card_schema(), CARDS), (site_schema(), SITES)):
        jsonschema.Draft202012Validator.check_schema(schema)
        for name in shelf.names():
            jsonschema.validate(_plain(shelf.locate(name)), schema)


@pytest.mark.parametrize(
    "change",
    [
        {"enigne": "local"},
        {"engine": "slurmm"},
        {"htcondor": None},
        {"engine": "local"},
        {"slots": -1},
        {"rules": {}},
        {"crab": {"storage_site": "T2_IT_Pisa", "software": {"python": "/usr/bin/python3"}}},
        {"htcondor": {"filse": "shared"}},
    ],
)
def test_the_schema_of_sites_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    site = _plain(resources.site_configs_dir() / "htcondor.yaml") | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(site, site_schema())
    with pytest.raises(ConfigError):
        Site.from_mapping(site, "site")
