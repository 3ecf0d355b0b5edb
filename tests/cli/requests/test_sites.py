"""``sites check``: what is missing decides the exit code."""

from __future__ import annotations

import pytest

from flashsim_prod.cli.requests import library
from flashsim_prod.errors import NodeError
from flashsim_prod.grid.batch.base import Finding

from ..conftest import Cli

FINE, BROKEN = Finding("xrootd", True, "here"), Finding("rucio", False, "no rucio.cfg")


@pytest.mark.parametrize("site", ["local", "crab", "htcondor"])
@pytest.mark.parametrize("as_json", [True, False])
def test_the_exit_code_says_whether_anything_is_missing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, site: str, as_json: bool
) -> None:
    options = ["--json"] if as_json else []
    for found, code in (((FINE,), 0), ((FINE, BROKEN), NodeError.exit_code)):
        monkeypatch.setattr(library, "check_site", lambda *_, found=found: iter(found))
        ended = cli("sites", "check", site, *options)
        assert ended.code == code
        if as_json:
            assert [one["what"] for one in ended.json] == [one.what for one in found]
        else:
            assert [line.split()[1] for line in ended.out.splitlines()] == [one.what for one in found]
    assert f"site {site}: rucio missing here" in ended.complaint


def test_only_what_is_asked_for_counts(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "check_site", lambda *_: iter((FINE, BROKEN)))
    assert cli("sites", "check", "--only", "xrootd").code == 0
    assert cli("sites", "check", "--only", "rucio").code == NodeError.exit_code
    # what the check did not come to is no success
    ended = cli("sites", "check", "--only", "rse")
    assert (ended.code, "rucio: no rucio.cfg" in ended.out) == (NodeError.exit_code, True)
    unknown = cli("sites", "check", "--only", "xroot")
    assert (unknown.code, "xrootd" in unknown.complaint) == (2, True)


def test_crab_without_its_client(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    ended = cli("sites", "check", "crab", "--only", "crab", "--only", "software")
    assert ended.code == NodeError.exit_code
    assert "there is no 'crab' on this machine" in ended.out
