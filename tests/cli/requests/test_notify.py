"""``notify`` and ``--notify``: what is kept, what is shown, and their bad inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsim_prod.production.home import Home

from ..conftest import Cli

URL = "https://chat.example.org/hooks/S3CRET"
DRY = ("--events", "20", "--dry-run")


def test_who_is_told_of_all_requests(cli: Cli, home: Home) -> None:
    assert "Nobody is told" in cli("notify").out
    ended = cli("notify", URL, "mailto:me@example.org", "--idle", "30")
    assert ended.code == 0, ended.err
    assert "https://chat.example.org/..." in ended.out
    assert "S3CRET" not in ended.out + ended.err
    assert cli("notify", "--json").json == {
        "to": ["https://chat.example.org/...", "mailto:me@example.org"],
        "idle_min": 30,
        "file": str(home.path / "notify.json"),
    }
    assert cli("notify", "mailto:me@example.org", "--json").json["idle_min"] == 30
    assert cli("notify", "--idle", "5", "--json").json["to"] == ["mailto:me@example.org"]
    assert cli("notify", "none", "--json").json["to"] == []
    assert cli("notify", "--off", "--json").json == {"to": [], "idle_min": None, "file": None}
    assert not (home.path / "notify.json").exists()


def test_who_is_told_of_a_request_and_its_extension(cli: Cli, home: Home, fake_physics: Any) -> None:
    assert cli("request", "ttbar", *DRY, "--notify", URL, "--notify", "mailto:me@example.org").code == 0
    kept = json.loads((home.folder("ttbar-001").path / "notify.json").read_text())
    assert kept["to"] == [URL, "mailto:me@example.org"]
    for path in home.folder("ttbar-001").path.rglob("*"):
        assert path.name == "notify.json" or not path.is_file() or "S3CRET" not in path.read_text()
    assert cli("notify", "none", "--request", "ttbar-001").code == 0
    assert cli("retry", "ttbar-001").code == 0
    assert cli("request", "extend", "ttbar-001", *DRY, "--notify", "mailto:you@example.org").code == 0
    assert cli("notify", "--request", "ttbar-001_ext1", "--json").json["to"] == ["mailto:you@example.org"]
    assert cli("request", "extend", "ttbar-001", *DRY).code == 0
    assert json.loads((home.folder("ttbar-001_ext2").path / "notify.json").read_text())["to"] == []


def test_a_site_and_a_campaign_say_who_is_told(
    cli: Cli, home: Home, fake_physics: Any, tmp_path: Path
) -> None:
    assert cli("sites", "new", "mine").code == 0
    site = home.path / "sites" / "mine.yaml"
    site.write_text(f"{site.read_text()}\nnotify: {URL}\n")
    assert cli("request", "ttbar", *DRY, "--site", "mine").code == 0
    folder = home.folder("ttbar-001").path
    assert json.loads((folder / "notify.json").read_text())["to"] == [URL]
    assert "notify" not in yaml.safe_load((folder / "request.yaml").read_text())["site"]
    file = tmp_path / "one.yaml"
    entry = {"cards": "ttbar", "events": 20}
    file.write_text(yaml.safe_dump({"name": "one", "requests": [{**entry, "notify": "none"}]}))
    assert cli("campaign", str(file), "--notify", URL).code == 0
    (made,) = home.path.glob("requests/one.*/notify.json")
    assert json.loads(made.read_text())["to"] == [URL]
    assert (home.path / "campaigns" / "one" / "campaign.yaml").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("request", "ttbar", *DRY, "--notify", "https://"), 2, "--notify: https: address without a host"),
        (("request", "ttbar", "wjets", *DRY, "--notify", "me@example.org"), 2, "--notify: an address"),
        (("request", "extend", "x", *DRY, "--notify", "mailto:"), 2, "--notify: mailto: '' is no mail"),
        (("notify", "ftp://x/S3CRET"), 2, "--notify: ftp://x/...: not an address that can be told"),
        (("notify", "--off", "--try"), 2, "--off goes alone"),
        (("notify", "--idle", "5"), 2, "--idle goes with an address"),
        (("notify", "mailto:a@b", "--idle", "0"), 2, "--idle: must be greater than 0"),
        (("notify", "--try"), 2, "nobody is told so far"),
        (("notify", "mailto:a@b", "--request", "x"), 2, "no request 'x'"),
        (("notify", "http://127.0.0.1:9/S3CRET", "--try"), 22, "http://127.0.0.1:9/... could not be told: "),
    ],
)
def test_bad_inputs(
    cli: Cli, home: Home, arguments: tuple[str, ...], code: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    ended = cli(*arguments)
    assert (ended.code, ended.complaint[: len(line)]) == (code, line)
    assert "S3CRET" not in ended.err
    assert home.names() == []
