"""``campaign`` and ``request CARD CARD``: what is printed, exit codes, one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from flashsim_prod.production.home import Home

from ..conftest import Cli

FILE = """
name: summer
title: two processes
defaults: {events: 20, oversample: 10}
requests:
  - cards: [ttbar, wjets]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "summer.yaml"
    path.write_text(FILE)
    return path


def test_a_campaign_from_its_plan_to_its_page(
    cli: Cli, home: Home, fake_physics: Any, file: Path, page_reader: Any
) -> None:
    dry = cli("campaign", str(file), "--dry-run")
    assert (dry.code, dry.err) == (0, ""), dry.err
    for text in ("new   summer.ttbar-x10.", "all   2 samples", "2 new, 0 to extend, 0 there already"):
        assert text in dry.out
    assert (home.names(), (home.path / "campaigns").exists()) == ([], False)
    planned = cli("campaign", str(file), "--dry-run", "--json").json
    assert (planned["campaign"], planned["events"], planned["jobs"]) == ("summer", 40, 2)
    assert [row["action"] for row in planned["requests"]] == ["new", "new"]
    made = cli("campaign", str(file), "--json")
    assert (made.code, made.json["state"], made.json["events_done"]) == (0, "DONE", 40)
    assert made.json["states"] == {"DONE": 2}
    assert "campaign summer: DONE, 100 % of 40 events" in cli("campaign", "status", "summer").out
    assert [one["name"] for one in cli("campaign", "status", "--json").json] == ["summer"]
    again = cli("campaign", str(file))
    assert (again.code, "0 new, 0 to extend, 2 there already" in again.err) == (0, True)
    assert "no request had anything left to cancel" in cli("campaign", "cancel", "summer").out
    assert cli("report", home.names()[0]).code == 0
    page = Path(cli("campaign", "report", "summer", "--json").json["page"])
    reader = page_reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == ["html"] or reader.open == []
    (link,) = [link for link in reader.links if link.endswith("report/index.html")]
    assert (page.parent / link).is_file()
    assert "two processes" in "".join(reader.words)


def test_more_cards_than_one_are_a_campaign(cli: Cli, home: Home, fake_physics: Any) -> None:
    ended = cli(
        "request", "ttbar", "wjets", "--events", "20", "--oversample", "10", "--seed", "3", "--slots", "1"
    )
    assert ended.code == 0, ended.err
    assert [name.split(".")[:2] for name in home.names()] == [
        ["requests-001", "ttbar-x10"],
        ["requests-001", "wjets-x10"],
    ]
    assert "/TTbar_13TeV_FlashSim-pythia8/" in ended.err
    assert (
        cli("request", "ttbar", "wjets", "--events", "20", "--dry-run", "--json").json["campaign"]
        == "requests-002"
    )
    taken = cli("request", "ttbar", "wjets", "--events", "20", "--name", "requests-001")
    assert (taken.code, "campaign retry requests-001" in taken.complaint) == (2, True)
    assert cli("campaign", "retry", "requests-001").code == 0
    assert len(home.names()) == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("ttbar", "nope", "--events", "5"), "requests.0.cards: no card 'nope'"),
        (("ttbar", "wjets"), "--events is missing"),
        (("ttbar", "wjets", "--events", "many"), "--events: 'many' is no number"),
        (("ttbar", "a.root", "--events", "5"), "unexpected 'a.root' after the card"),
        (("ttbar", "wjets", "--events", "5", "--name", "a b"), "name: "),
        (("ttbar", "wjets", "--events", "5", "--xsec", "5"), "--xsec"),
        (("ttbar", "wjets", "--events", "5", "--virtual"), "--virtual goes with one card"),
    ],
)
def test_bad_input_of_the_short_form(cli: Cli, home: Home, arguments: tuple[str, ...], line: str) -> None:
    ended = cli("request", *arguments)
    assert (ended.code, line in ended.complaint) == (2, True), ended.err
    assert home.names() == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "summer.yaml: this campaign file cannot be read: No such file or directory"),
        ("name: [", "summer.yaml: not valid YAML"),
        ("- 5", "summer.yaml: expected keys and values, found list"),
        (
            "name: x\nrequests: [{card: ttbar}]",
            "summer.yaml: unknown key 'requests.0.card'; did you mean 'cards'?",
        ),
        ("name: x\nrequests: [{cards: nope, events: 3}]", "summer.yaml: requests.0.cards: no card 'nope'"),
        (
            FILE + "budget: {events: 10}",
            "budget.events: the campaign comes to 40 events, the budget is 10 events",
        ),
    ],
)
def test_bad_files_are_one_line(cli: Cli, home: Home, file: Path, text: str | None, line: str) -> None:
    file.unlink() if text is None else file.write_text(text, encoding="utf-8")
    for more in ((), ("--dry-run",)):
        ended = cli("campaign", str(file), *more)
        assert (ended.code, line in ended.complaint) == (2, True), ended.err
    assert (home.names(), (home.path / "campaigns").exists()) == ([], False)


def test_what_is_long_is_not_started_unasked(cli: Cli, home: Home, file: Path) -> None:
    file.write_text(FILE.replace("events: 20", "events: 10M"), encoding="utf-8")
    ended = cli("campaign", str(file))
    assert (ended.code, "nobody can be asked here; say --yes" in ended.complaint) == (2, True)
    assert home.names() == []


@pytest.mark.parametrize("command", ["status", "retry", "cancel", "report"])
def test_a_campaign_that_is_none(cli: Cli, home: Home, command: str) -> None:
    ended = cli("campaign", command, "summer")
    assert (ended.code, ended.complaint) == (2, f"no campaign 'summer' in {home.path}; there are none yet")


def test_failures_have_their_exit_code(
    cli: Cli, fake_physics: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "simulate_0").write_text("InputError")
    monkeypatch.setenv("FAKE_TROUBLE", str(tmp_path))
    ended = cli("campaign", str(file))
    assert (ended.code, "campaign summer: 2 requests failed, the first summer.ttbar" in ended.complaint) == (
        17,
        True,
    )
    assert "trouble in simulate 0" in cli("campaign", "status", "summer").out
    (tmp_path / "simulate_0").unlink()
    assert cli("campaign", "retry", "summer").code == 0


def test_a_file_to_begin_with(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert cli("campaign", "new", "mine", "--output", str(path)).code == 0
    planned = cli("campaign", str(path), "--dry-run", "--json").json
    assert [row["name"].split(".")[1] for row in planned["requests"]] == [
        "ttbar-Run2_2018-x10",
        "dyjets-Run2_2018-x10",
        "ttbar-Run3_2022-x10",
    ]
    again = cli("campaign", "new", "mine", "--output", str(path))
    assert (again.code, "is there already" in again.complaint) == (2, True)
    assert cli("campaign", "new", "a b", "--output", str(tmp_path / "x.yaml")).code == 2
    assert not (tmp_path / "x.yaml").exists()
    jsonschema.validate(yaml.safe_load(path.read_text()), cli("campaign", "schema").json)


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        (FILE, True),
        (FILE.replace("[ttbar, wjets]", "ttbar"), True),
        (FILE.replace("events: 20", "events: [20, 1M]"), True),
        (FILE.replace("cards:", "card:"), False),
        (FILE.replace("events: 20", "events: {}"), False),
    ],
)
def test_editors_are_told_what_the_program_takes(cli: Cli, text: str, is_valid: bool) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(cli("campaign", "schema").out))
    assert validator.is_valid(yaml.safe_load(text)) == is_valid
