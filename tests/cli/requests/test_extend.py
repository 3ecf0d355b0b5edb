"""``request extend``: a command of two words, what it prints, and its bad inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.production.home import Home

from ..conftest import Cli

FIRST = ("request", "ttbar", "--events", "80", "--oversample", "10", "--events-per-job", "40", "--seed", "7")


def test_more_events_of_a_finished_request(cli: Cli, home: Home, fake_physics: Any) -> None:
    assert cli(*FIRST).code == 0
    ended = cli("request", "extend", "ttbar-001", "--events", "+1k", "--slots", "3")
    assert ended.code == 0, ended.err
    assert "/TTbar_13TeV_FlashSim-pythia8/FlashSim2018-RefDet_x10_ext1-v1/NANOAODSIM" in ended.out
    assert "1,000 = 100 gen events x 10" in ended.err
    assert "(ttbar-001), from gen event 8 on" in " ".join(ended.err.split())
    assert "WARNING" not in ended.err, "together they have more than 100 gen events"
    (entry,) = [one for one in cli("datasets", "--json").json if "_ext1" in one["name"]]
    assert entry["metadata"]["extends"].endswith("RefDet_x10-v1/NANOAODSIM")
    again = cli("request", "extend", "ttbar-001", "--events", "10", "--dry-run", "--json").json
    assert (again["request"], again["state"], again["events"]) == ("ttbar-001_ext2", "PLANNED", 10)
    readme = (home.folder("ttbar-001_ext2").path / "README.md").read_text()
    assert "from generator event 108 on" in readme
    page = cli("report", "ttbar-001_ext1").out.strip()
    assert "from generator event 8 on" in " ".join(Path(page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("ttbar-001",), 2, "--events is missing"),
        (("ttbar-002", "--events", "10"), 2, "no request 'ttbar-002'"),
        (("ttbar-001", "--events", "0"), 2, "--events"),
        (("ttbar-001", "--events", "10", "--name", "ttbar-001"), 2, "a request 'ttbar-001' exists already"),
        (("ttbar-001", "--events", "10", "--name", "../x"), 2, "cannot name a request"),
        (("ttbar-001", "--events", "10", "--site", "loca"), 2, "did you mean 'local'?"),
        ((), 2, "Missing argument 'REQUEST'"),
    ],
)
def test_bad_input_is_one_line(
    cli: Cli, home: Home, fake_physics: Any, arguments: tuple[str, ...], code: int, line: str
) -> None:
    assert cli(*FIRST, "--json").code == 0
    ended = cli("request", "extend", *arguments)
    assert (ended.code, line in ended.complaint) == (code, True), ended.err
    assert home.names() == ["ttbar-001"]


def test_several_requests_are_looked_at_as_one_sample(cli: Cli, home: Home, fake_physics: Any) -> None:
    cli(*FIRST)
    ended = cli("validate", "check", "ttbar-001", "ttbar-002")
    assert (ended.code, ended.complaint) == (
        2,
        f"no request 'ttbar-002' in {home.path}; did you mean 'ttbar-001'?",
    )


def test_a_second_word_is_no_command_of_its_own(cli: Cli, home: Home) -> None:
    assert "Make more events" in cli("request", "extend", "--help").out
    assert "no card 'extended'" in cli("request", "extended", "--events", "1").complaint
