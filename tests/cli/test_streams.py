"""Readers that go away, full disks, odd sizes of terminals: exit codes stay honest, and no name is broken."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from flashsim_prod.cli.main import main
from flashsim_prod.cli.show import console, table
from flashsim_prod.production.home import VARIABLE, Home

from .conftest import Cli

SMALL = ("--events", "40", "--oversample", "2", "--seed", "7")


@contextlib.contextmanager
def _unread() -> Iterator[io.TextIOWrapper]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:
        yield stream


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("gone", ["stdout", "stderr", "both"])
def test_a_request_goes_on_when_its_reader_goes(
    cli: Cli, home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    with _unread() as out, _unread() as err, monkeypatch.context() as patched:
        if gone != "stderr":
            patched.setattr(sys, "stdout", out)
        if gone != "stdout":
            patched.setattr(sys, "stderr", err)
        assert _run("request", "ttbar", *SMALL) == 0
    (line,) = cli("status", "--json").json
    assert line["state"] == "DONE"


def test_the_code_still_says_what_came_of_it(
    cli: Cli, home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = cli("request", "ttbar", *SMALL, "--json").json["dataset"]
    (file,) = cli("files", dataset, "--json").json
    os.remove(file["replicas"][0]["pfn"])
    for arguments, code in (
        (("verify", dataset), 5),
        (("verify", dataset, "--json"), 5),
        (("status",), 0),
        (("status", "--watch"), 0),
        (("nonsense",), 2),
    ):
        with _unread() as out, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", out)
            assert _run(*arguments) == code, arguments


@pytest.mark.parametrize(
    ("command", "redirected", "code"),
    [
        ("cards", ">/dev/full", 21),
        ("cards --json", ">/dev/full", 21),
        ("datasets", ">/dev/full", 21),
        ("cards", ">&-", 0),
        ("cards", "2>&-", 0),
        ("nonsense", "2>/dev/full", 2),
        ("cards", "| head -1", 0),
    ],
)
def test_streams_of_a_shell(tmp_path: Any, command: str, redirected: str, code: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -m flashsim_prod.cli {command} {redirected}', sys.executable],
        env={**os.environ, VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if code == 21:
        assert done.stderr == "error: standard output cannot be written: No space left on device\n"


NAME = "a-long-name-of-a-request-with-many-words-in-it-2018-and-2022"


@pytest.mark.parametrize("columns", ["0", "00", "20", "80", "100", "120"])
def test_names_are_whole_at_any_width(
    cli: Cli, fake_physics: Any, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    cli("request", "ttbar", *SMALL, "--name", NAME, "--dry-run")
    monkeypatch.setenv("COLUMNS", columns)
    plan = cli("request", "ttbar", *SMALL, "--dry-run", "--name", f"{NAME}-again").err
    assert f"{NAME}-again" in plan
    dataset = "/TTbar_13TeV_FlashSim-pythia8/FlashSim2018-RefDet_x2-v1/NANOAODSIM"
    assert dataset.replace("-v1", "-v2") in plan
    overview, detail = cli("status").out, cli("status", NAME).out
    assert f" {NAME} " in overview
    assert {"EVENTS", "AGE", "ETA"} <= set(overview.splitlines()[1].split())
    assert NAME in detail
    assert dataset in detail
    assert "dymumu_highmass" in cli("cards").out
    assert "T2_IT_Pisa_gpu" in cli("sites").out
    assert "Usage" in cli("--help").out


def test_tables_wrap_between_words_only(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    listing = table("NAME", "TITLE", "N", right=("N",))
    listing.add_row("one_name_of_24_characters", "some words and an_unusually_long_one", "1,000")
    listing.add_row("[bold]short[/bold]", "b", "2")
    console().print(listing)
    out = capsys.readouterr().out
    words = {"one_name_of_24_characters", "some", "words", "and", "an_unusually_long_one", "short", "1,000"}
    assert words <= set(out.split())
    # wrapped, not spread out
    assert max(map(len, out.splitlines())) < len("one_name_of_24_characters an_unusually_long_one 1,000") + 12
