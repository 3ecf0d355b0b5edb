"""Everything that can be wrong with a command gets one clear line and its exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from flashsim_prod import resources
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.home import VARIABLE, Home

Cli = Callable[..., Any]
SMALL = ("--events", "40", "--oversample", "10", "--seed", "7")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ttbr", "--events", "10"], "no card 'ttbr'; did you mean 'ttbar'?"),
        (["ttbar", "--events", "10", "--site", "locl"], "no site 'locl'; did you mean 'local'?"),
        (["ttbar", "--events", "0"], "--events: '0' must be at least 1"),
        (["ttbar", "--events", "-5"], "--events: '-5' is no number; write 1000, 10k, 100M or 1.5B"),
        (["ttbar", "--events", "10X"], "--events: '10X' is no number"),
        (["ttbar", "--events", "10", "--oversample", "0"], "--oversample: '0' must be at least 1"),
        (["ttbar", "--events", "10", "--oversample", "10001"], "--oversample: at most 10000"),
        (["ttbar", "--events", "10", "--events-per-job", "x"], "--events-per-job: 'x' is no number"),
        (["ttbar"], "--events is missing"),
        (["ttbar", "--events", "10", "--energy", "7"], "no energy of 7 TeV; it offers 13 and 13.6"),
        (["ttbar", "--events", "10", "--name", "../up"], "'../up' cannot name a request"),
        (["ttbar", "--events", "10", "--seed", "-1"], "--seed"),
        (["ttbar", "--events", "10", "--catalog", "rucioo"], "--catalog"),
        (["ttbar", "--events", "10", "--slots", "0"], "--slots"),
        (["ttbar", "stray.root", "--events", "10"], "unexpected 'stray.root' after the card"),
        (["ttbar", "--events", "10", "--evnts", "3"], "No such option: --evnts"),
        ([], "Missing argument 'CARD'"),
        (["ttbar", "--events", "100M", "--name", "long"], "nobody can be asked here; say --yes to start it"),
    ],
)
def test_bad_requests(cli: Cli, arguments: list[str], complaint: str) -> None:
    ended = cli("request", *arguments)
    assert ended.code == 2
    assert complaint in ended.complaint
    assert ended.out == ""


def test_an_unknown_key_in_a_card_or_site_file(cli: Cli, tmp_path: Path) -> None:
    card, site = tmp_path / "card.yaml", tmp_path / "site.yaml"
    card.write_text((resources.jobs_dir() / "ttbar.yaml").read_text() + "\nsetings: []\n")
    ended = cli("request", str(card), *SMALL)
    assert ended.code == 2
    assert ended.complaint == f"{card}: unknown key 'setings'; did you mean 'settings'?"
    site.write_text((resources.site_configs_dir() / "local.yaml").read_text() + "\nslot: 3\n")
    ended = cli("request", "ttbar", *SMALL, "--site", str(site))
    assert ended.code == 2
    assert ended.complaint == f"{site}: unknown key 'slot'; did you mean 'slots'?"


def test_a_card_that_names_what_does_not_exist(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    text = (resources.jobs_dir() / "ttbar.yaml").read_text()
    path.write_text(text.replace("tune: CP5", "tune: CP6"))
    assert "unknown tune 'CP6'; did you mean 'CP5'?" in cli("request", str(path), *SMALL).complaint
    path.write_text(text.replace("Top:gg2ttbar", "Top:gg2ttbra"))
    assert "does not take the setting 'Top:gg2ttbra = on'" in cli("request", str(path), *SMALL).complaint
    path.write_text(text.replace("Run2_2018", "Run2_2028"))
    assert "did you mean 'Run2_2018'?" in cli("request", str(path), *SMALL).complaint


def _tree(path: Path, branches: dict[str, Any]) -> Path:
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.dtype for name, values in branches.items()})
        file["Events"].extend(branches)
    return path


def _input(kind: str, tmp_path: Path) -> str:
    path = tmp_path / "input.root"
    match kind:
        case "missing":
            pass
        case "empty":
            path.touch()
        case "text":
            path.write_text("these are no events\n" * 100)
        case "truncated":
            _tree(path, {"event": np.arange(20_000, dtype=np.uint64)})
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "no branches":
            _tree(path, {"event": np.arange(5, dtype=np.uint64)})
        case "folder":
            return str(tmp_path)
        case "glob":
            return str(tmp_path / "*.root")
    return str(path)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("missing", "input.root"),
        ("empty", "input.root"),
        ("text", "input.root"),
        ("truncated", "input.root"),
        ("no branches", "has no branch 'genWeight'"),
        ("glob", "no file matches"),
        ("folder", "is a folder; give its files, as "),
    ],
)
def test_input_that_cannot_be_used(cli: Cli, tmp_path: Path, kind: str, complaint: str) -> None:
    ended = cli("request", "ttbar", *SMALL, "--input", _input(kind, tmp_path))
    assert ended.code == 10
    assert complaint in ended.complaint


def test_an_input_file_named_twice(cli: Cli, tmp_path: Path) -> None:
    path = str(tmp_path / "a.root")
    ended = cli("request", "ttbar", *SMALL, "--input", path, path)
    assert ended.code == 10
    assert "named twice as --input" in ended.complaint


def _bundle(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    shutil.copytree(resources.bundles_dir() / "reference", path)
    manifest = json.loads((path / "manifest.json").read_text())
    weights = sorted(path.glob("*.safetensors"))[0]
    match kind:
        case "flipped bit":
            contents = bytearray(weights.read_bytes())
            contents[len(contents) // 2] ^= 1
            weights.write_bytes(contents)
        case "missing weight":
            weights.unlink()
        case "other schema":
            (path / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
        case "no manifest":
            (path / "manifest.json").unlink()
    return path


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("flipped bit", "altered"),
        ("missing weight", "are missing"),
        ("other schema", "schema version 99, this software reads 1"),
        ("no manifest", "manifest.json is missing"),
    ],
)
def test_bundles_that_cannot_be_used(cli: Cli, tmp_path: Path, kind: str, complaint: str) -> None:
    ended = cli("request", "ttbar", *SMALL, "--bundle", str(_bundle(kind, tmp_path)))
    assert ended.code == 11
    assert complaint in ended.complaint
    assert cli("request", "ttbar", *SMALL, "--bundle", "referenc").complaint.endswith(
        "did you mean 'reference'?"
    )


def test_a_bundle_that_changes_after_the_order(cli: Cli, tmp_path: Path) -> None:
    path = _bundle("whole", tmp_path)
    assert cli("request", "ttbar", *SMALL, "--bundle", str(path), "--name", "r", "--dry-run").code == 0
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"title": "', '"title": "another '))
    ended = cli("retry", "r")
    assert ended.code == 11
    assert "but the request is bound to" in ended.complaint
    assert cli("worker", "simulate", str(_request_file(cli, "r")), "--job", "0").code == 11


def _request_file(cli: Cli, name: str) -> Path:
    return Path(cli("status", name, "--json").json["folder"]) / "request.yaml"


def test_a_request_name_that_exists(cli: Cli) -> None:
    assert cli("request", "ttbar", *SMALL, "--name", "mine", "--dry-run").code == 0
    ended = cli("request", "ttbar", *SMALL, "--name", "mine")
    assert ended.code == 2
    assert "a request 'mine' exists already; choose another --name" in ended.complaint


def test_two_drivers_on_one_request(cli: Cli, home: Home) -> None:
    assert cli("request", "ttbar", *SMALL, "--name", "mine", "--dry-run").code == 0
    with request_lock(home.folder("mine").path):
        ended = cli("retry", "mine")
    assert ended.code == 14
    assert "another command" in ended.complaint


def test_no_space_left(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr("flashsim_prod.production.drive.foreground.shutil.disk_usage", lambda path: usage)
    ended = cli("request", "ttbar", *SMALL)
    assert ended.code == 21
    assert "free some space, then retry" in ended.complaint


def test_a_gpu_asked_for_where_there_is_none(cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ended = cli("request", "ttbar", *SMALL, "--device", "cuda")
    assert ended.code == 22
    assert "torch finds none here; use --device cpu" in ended.complaint
    assert home.names() == []
    assert cli("request", "ttbar", *SMALL, "--device", "auto", "--dry-run").code == 0


def test_a_home_that_cannot_be_written(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "home"))
    ended = cli("status")
    assert ended.code == 20
    assert "cannot be written: Not a directory; set FLASHSIM_PROD_HOME" in ended.complaint


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["status", "nothing"], 2, "no request 'nothing'"),
        (["retry", "nothing"], 2, "no request 'nothing'"),
        (["cancel", "nothing"], 2, "no request 'nothing'"),
        (["status", "--watch", "--json"], 2, "--watch and --json do not go together"),
        (["files", "toy"], 2, "'toy' is no dataset name; the form is /Primary/Era-ProcString-vN/TIER"),
        (["files", "/A/B-c-v1/NANOAODSIM"], 15, "/A/B-c-v1/NANOAODSIM"),
        (["verify", "/A/B-c-v1/NANOAODSIM"], 15, "/A/B-c-v1/NANOAODSIM"),
        (["worker", "simulate", "/nowhere/request.yaml", "--job", "0"], 2, "read: No such file"),
        (["worker", "simulate", "/nowhere/request.yaml"], 2, "--job"),
        (["stats"], 2, "stats"),
    ],
)
def test_other_commands(cli: Cli, arguments: list[str], code: int, complaint: str) -> None:
    ended = cli(*arguments)
    assert ended.code == code
    assert complaint in ended.complaint


def test_a_defect_is_one_line_and_debug_shows_where(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("flashsim_prod.cli.requests.library.all_cards", broken)
    ended = cli("cards")
    assert ended.code == 1
    assert ended.complaint == "ZeroDivisionError: by zero; run again with --debug to see where"
    from flashsim_prod.cli.main import main

    with pytest.raises(ZeroDivisionError):
        main(["cards", "--debug"])


def test_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flashsim_prod.cli.requests.library.all_cards", interrupted)
    assert (cli("cards").code, cli("cards").complaint) == (130, "interrupted")


@pytest.mark.parametrize("way", ["symlink", "hard link", "dots", "file://"])
def test_an_input_file_under_two_names(cli: Cli, tmp_path: Path, way: str) -> None:
    path, other = tmp_path / "a.root", tmp_path / "b.root"
    path.write_bytes(b"root")
    match way:
        case "symlink":
            other.symlink_to(path)
        case "hard link":
            other.hardlink_to(path)
        case "dots":
            other = tmp_path / "." / ".." / tmp_path.name / "a.root"
    second = path.as_uri() if way == "file://" else str(other)
    ended = cli("request", "--input", str(path), second, "--primary", "Mine", "--energy", "13")
    assert ended.code == 10
    assert "named twice as --input, once as" in ended.complaint


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ((), "Missing argument 'CARD'"),
        (("ttbar", "--events", "10", "--primary", "Mine"), "--primary is of existing events"),
        (("ttbar", "--events", "10", "--xsec", "3"), "--xsec is of existing events"),
    ],
)
def test_what_goes_with_input_and_what_does_not(cli: Cli, typed: tuple[str, ...], complaint: str) -> None:
    ended = cli("request", *typed)
    assert ended.code == 2
    assert complaint in ended.complaint
