"""Completion in a real bash, by the protocols of zsh and fish, and what it offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shellingham

from flashsim_prod.cli import completing
from flashsim_prod.cli.main import main
from flashsim_prod.production.home import VARIABLE, Home

from .conftest import Cli

Typed = Callable[[str], list[str]]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with the program, as an installation has it."""
    path = tmp_path / "bin" / "flashsim-prod"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flashsim_prod.cli "$@"\n')
    path.chmod(0o755)
    return path.parent


@pytest.fixture
def environment(program: Path, home: Home, tmp_path: Path) -> dict[str, str]:
    user = tmp_path / "user"
    user.mkdir()
    return {
        **os.environ,
        "PATH": f"{program}:{os.environ['PATH']}",
        "HOME": str(user),
        VARIABLE: str(home.path),
    }


#: what bash does when Tab is pressed after a line
_PRESS_TAB = """
source ~/.bashrc
for line in "$@"; do
    COMP_WORDS=($line); [[ $line == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    $(complete -p flashsim-prod | sed 's/.*-F \\([^ ]*\\).*/\\1/') flashsim-prod
    (IFS=' '; echo "${COMPREPLY[*]}")
done
"""


def test_a_real_bash_completes(cli: Cli, home: Home, fake_physics: Any, environment: dict[str, str]) -> None:
    for name in ("tops", "taus"):
        cli("request", "ttbar", "--events", "10", "--name", name, "--dry-run")
    # the shell that it is typed in is the one that it is installed for
    install = ["bash", "-c", "flashsim-prod --install-completion; exit $?"]
    subprocess.run(install, env=environment, check=True, capture_output=True)
    lines = {
        "flashsim-prod stat": "status",
        "flashsim-prod request ttb": "ttbar",
        "flashsim-prod request ttbar --site htc": "htcondor",
        "flashsim-prod status t": "taus tops",
        "flashsim-prod train fit jet_from": "jet_from_genjet jet_from_pileup",
        "flashsim-prod request no_such_card": "",
    }
    done = subprocess.run(
        ["bash", "-c", _PRESS_TAB, "bash", *lines],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert dict(zip(lines, done.stdout.splitlines(), strict=True)) == lines


@pytest.mark.parametrize(
    "told",
    [
        {"_FLASHSIM_PROD_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "flashsim-prod request ttb"},
        {
            "_FLASHSIM_PROD_COMPLETE": "complete_fish",
            "_TYPER_COMPLETE_ARGS": "flashsim-prod request ttb",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    ],
)
def test_other_shells_are_answered(told: dict[str, str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["flashsim-prod"], env=environment | told, capture_output=True, text=True, check=True
    )
    assert ("ttbar" in done.stdout, done.stderr) == (True, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(
    shell: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shellingham, "detect_shell", lambda *_: (shell, f"/bin/{shell}"))
    for option in ("--show-completion", "--install-completion"):
        with pytest.raises(SystemExit) as ended:
            main([option])
        assert not ended.value.code
    script = capsys.readouterr().out
    assert f"_FLASHSIM_PROD_COMPLETE=complete_{shell}" in script
    written = [path for path in tmp_path.rglob("*flashsim-prod*") if path.is_file()]
    assert len(written) == 1
    if found := shutil.which(shell):
        subprocess.run([found, "-n", str(written[0])], check=True)


def test_names_that_can_be_typed(cli: Cli, home: Home, fake_physics: Any, tmp_path: Path) -> None:
    assert completing.bundles("ref") == ["reference", "reference_run3"]
    assert "jet_from_genjet" in completing.bundles_and_models("")
    assert "crab_gpu" in completing.sites("crab")
    assert completing.datasets("") == completing.requests("") == []
    # looking does not write
    assert not home.catalog.exists()
    dataset = cli("request", "ttbar", "--events", "10", "--name", "tops", "--json").json["dataset"]
    assert completing.datasets_and_requests("") == [dataset, "tops"]
    assert cli("bundle", "show", "--json").json["models"].keys() == set(completing.models(""))
    home.catalog.write_bytes(b"no database")
    assert completing.datasets_and_requests("") == ["tops"]
