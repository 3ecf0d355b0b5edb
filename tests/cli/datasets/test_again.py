"""``recover``, ``materialise``, ``purge`` and ``datasets --sizes`` as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.production.home import Home


@pytest.fixture
def made(cli: Callable[..., Any], fake_physics: Any) -> Any:
    """A finished dataset of one file."""
    return cli("request", "ttbar", "--events", "100", "--name", "one", "--device", "cpu", "--json").json


def test_a_lost_file_comes_back(cli: Callable[..., Any], made: Any) -> None:
    path = Path(made["files"][0]["pfn"])
    assert "1 file looked at, none is lost" in cli("recover", made["dataset"]).out
    path.unlink()
    dry = cli("recover", "one", "--dry-run")
    assert "to make" in dry.out
    assert not path.exists()
    found = cli("recover", "one", "--json").json
    assert [(one["number"], one["lost"], one["proof"]) for one in found["files"]] == [(0, "missing", "bytes")]
    assert path.is_file()
    assert cli("verify", made["dataset"]).code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("recover", "tow"), "no request 'tow'"),
        (("recover", "/a"), "no dataset name"),
        (("recover", "/A/B-C-v1/NANOAODSIM"), "no request in"),
        (("recover", "one", "--files", "1"), "no file 1"),
        (("recover", "one", "--catalog", "dbs"), "'dbs' is not one of"),
        (("materialise", "tow"), "no request 'tow'"),
        (("materialise", "one", "--files", "0-9"), "no file 9"),
        (("materialise", "one", "--output", "x"), "--output is for --branches"),
        (("materialise", "one", "--branches", "Jte_pt"), "no branch 'Jte_pt'"),
        (("purge", "tow"), "no request 'tow'"),
        (("datasets", "--quota", "much"), "'much' is no size"),
        (("datasets", "--quota", "0GB"), "'0GB' is no size"),
        (("request", "ttbar", "--events", "10", "--virtual", "--dry-run"), "say one of them"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    cli: Callable[..., Any], made: Any, home: Home, words: tuple[str, ...], says: str
) -> None:
    before = {path: path.stat().st_size for path in home.path.rglob("*") if path.suffix in (".root", ".yaml")}
    ended = cli(*words)
    assert ended.code == 2
    assert says in ended.complaint
    after = {path: path.stat().st_size for path in home.path.rglob("*") if path.suffix in (".root", ".yaml")}
    assert before == after


def test_a_virtual_dataset_from_order_to_files(
    cli: Callable[..., Any], home: Home, fake_physics: Any
) -> None:
    words = ("--events", "60", "--events-per-job", "20", "--device", "cpu", "--name", "lazy", "--virtual")
    ended = cli("request", "ttbar", *words)
    assert ended.code == 0
    assert "none of them made" in ended.out
    assert "flashsim-prod materialise lazy" in ended.out
    (line,) = [line for line in cli("datasets").out.splitlines() if "RefDet" in line]
    assert line.split()[:3] == ["60", "1", "virtual"]
    assert not list(home.path.rglob("*.root"))
    made = cli("materialise", "lazy", "--json").json
    assert (made["state"], len(made["files"])) == ("DONE", 1)
    assert "virtual" not in cli("datasets").out


def test_room_is_told_and_made(cli: Callable[..., Any], made: Any, home: Home) -> None:
    assert "in the state folder" in cli("datasets", "--sizes").out
    assert cli("datasets", "--quota", "1.5GB", "--json").json["quota"] == 1_500_000_000
    assert cli("datasets", "--quota", "none", "--json").json["quota"] is None
    told = cli("purge", "--json").json
    assert (told["removed"], told["bytes"]) == (False, 0)
    assert cli("purge", "--yes").code == 0
    assert "nothing that could go" in cli("purge").out
    assert Path(made["files"][0]["pfn"]).is_file()
