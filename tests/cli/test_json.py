"""Every command speaks JSON: one value on standard output, and nothing beside it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from flashsim_prod.cli.main import app
from flashsim_prod.production.home import Home

from .conftest import Cli

SMALL = ("--events", "40", "--oversample", "2", "--seed", "7")


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, those that stand for a whole group included."""
    inner = getattr(command, "commands", {})
    if path and (not inner or command.invoke_without_command):
        yield " ".join(path), command
    for name, one in inner.items():
        yield from _commands(one, (*path, name))


COMMANDS = dict(_commands(get_command(app)))


def test_the_walk_finds_the_commands() -> None:
    assert {
        "request",
        "train fit",
        "worker merge",
        "bundle export",
        "energy-bench",
        "validate dataset",
    } <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json(command: str) -> None:
    options = set(itertools.chain.from_iterable(one.opts for one in COMMANDS[command].params))
    assert "--json" in options


def test_bundles(cli: Cli, tmp_path: Path) -> None:
    found = cli("bundle", "verify", "--json").json
    assert (found["name"], found["ok"]) == ("reference", True)
    tar = tmp_path / "ref.tar"
    exported = cli("bundle", "export", "-o", str(tar), "--json").json
    assert (exported["path"], exported["digest"]) == (str(tar), found["digest"])
    assert exported["bytes"] == tar.stat().st_size
    again = cli("bundle", "import", str(tar), "--json")
    assert again.code == 0, again.err
    assert (again.json["digest"], again.json["is_new"]) == (found["digest"], False)


def test_the_card_of_a_bundle(cli: Cli) -> None:
    printed = cli("bundle", "card").out
    assert printed.startswith("# reference\n")
    assert cli("bundle", "card", "reference", "--json").json == {"card": printed}


def test_show_one_model_of_a_bundle(cli: Cli) -> None:
    whole = cli("bundle", "show", "--json").json
    one = cli("bundle", "show", "met", "--json").json
    assert one == cli("bundle", "show", "reference", "met", "--json").json
    assert (one["bundle_digest"], one["sha256"]) == (whole["digest"], whole["models"]["met"]["sha256"])
    assert one["fidelity"][0]["median_w1"] == whole["fidelity"][0]["models"]["met"]["median_w1"]
    text = cli("bundle", "show", "met").out
    assert text.startswith("model     met of bundle reference\n")
    assert re.search(r"median_w1 +0\.01", text)
    assert "jet_from_genjet" not in text
    assert "did you mean 'met'" in cli("bundle", "show", "mett").complaint
    assert "did you mean 'met'" in cli("bundle", "show", "reference", "mett").complaint


def test_report_and_worker(cli: Cli, home: Home, fake_physics: Any) -> None:
    name = cli("request", "ttbar", *SMALL, "--json").json["request"]
    page = cli("report", name, "--json").json["page"]
    assert Path(page).is_file()
    request_file = str(home.folder(name).request)
    simulated = cli("worker", "simulate", request_file, "--job", "0", "--json").json
    assert (simulated["stage"], simulated["exit_code"], simulated["events"]) == ("simulate", 0, 40)
    merged = cli("worker", "merge", request_file, "--job", "0", "--json").json
    assert merged["stage"] == "merge"
    registered = cli("worker", "register", request_file, "--json").json
    assert (registered["state"], registered["events"]) == ("DONE", 40)


def test_training(cli: Cli, tmp_path: Path) -> None:
    gen, full = (str(tmp_path / name) for name in ("gen.root", "full.root"))
    made = cli("train", "generate", "ttbar", gen, "--events", "20", "--json").json
    assert (made["output"], made["events"]) == (gen, 20)
    made = cli("train", "reference", gen, "--output", full, "--folds", "2", "--json").json
    assert (made["output"], made["events"], made["folds"]) == (full, 40, 2)


def test_the_format_of_bundles(cli: Cli) -> None:
    every = cli("bundle", "format", "--json").json
    assert every["met"] == cli("bundle", "format", "met", "--json").json
    assert len(every) == 26
    assert every["jet_constituents"]["produces"] == "PFCands"
