"""A state folder that cannot be written still tells what is in it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.errors import StorageError
from flashsim_prod.production.home import Home

_MOUNTED = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77
shift
exec "$@"
"""


@pytest.fixture
def filled(home: Home, cli) -> Home:
    """A state folder with a request that was made, one that was only written, and a catalogue."""
    assert cli("request", "ttbar", "--events", "20", "--name", "dry", "--dry-run").code == 0
    from flashsim_prod.grid.catalog.local import LocalCatalog
    from flashsim_prod.grid.ledger.ledger import Ledger

    with LocalCatalog(home.catalog) as catalog:
        catalog.ensure_container("/TTbar_13TeV/FlashSim2018-RefDet_x4-v1/NANOAODSIM", {})
    with Ledger(home.ledger):
        pass
    return home


def _all_files(home: Home) -> dict[str, int]:
    return {str(one.relative_to(home.path)): one.stat().st_mtime_ns for one in home.path.rglob("*")}


@pytest.fixture
def refusing(filled: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same, and the system refuses to write there; root may write whatever the permissions say."""
    real = tempfile.NamedTemporaryFile

    def refuse(*positional: Any, **named: Any) -> Any:
        if named.get("dir") == filled.path:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(*positional, **named)

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    return filled


def test_commands_that_look_answer_and_leave_no_trace(refusing: Home, cli) -> None:
    before = _all_files(refusing)
    assert [one["name"] for one in cli("status", "--json").json] == ["dry"]
    assert cli("status", "dry").code == 0
    assert "/TTbar_13TeV/FlashSim2018-RefDet_x4-v1/NANOAODSIM" in cli("datasets").out
    assert cli("files", "/TTbar_13TeV/FlashSim2018-RefDet_x4-v1/NANOAODSIM").code == 0
    assert _all_files(refusing) == before


def test_commands_that_write_say_so(refusing: Home, cli) -> None:
    before = _all_files(refusing)
    ended = cli("request", "ttbar", "--events", "20", "--name", "new")
    assert ended.code == StorageError.exit_code
    assert "cannot be written: Read-only file system" in ended.complaint
    assert _all_files(refusing) == before


@pytest.mark.parametrize("command", ["status", "datasets"])
def test_below_a_read_only_mount(filled: Home, command: str, lacking: Callable[[str], None]) -> None:
    # a mount of its own needs a namespace of its own, which some machines do not give
    inner = [sys.executable, "-m", "flashsim_prod.cli", command]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNTED, "sh", str(filled.path), *inner],
        env={**os.environ, "FLASHSIM_PROD_HOME": str(filled.path), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        lacking(f"a mount of one's own ({done.stderr.strip()})")
    assert done.returncode == 0, done.stderr
    assert ("dry" if command == "status" else "FlashSim2018-RefDet_x4-v1") in done.stdout


def test_a_folder_that_is_not_there_and_cannot_be_made(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FLASHSIM_PROD_HOME", str(tmp_path / "file" / "home"))
    ended = cli("status")
    assert ended.code == StorageError.exit_code
    assert "set FLASHSIM_PROD_HOME" in ended.complaint
