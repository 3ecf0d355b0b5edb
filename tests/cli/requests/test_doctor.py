"""``doctor``: what is there, what is not, and what of it a request here needs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.errors import NodeError
from flashsim_prod.production.home import VARIABLE, Home
from flashsim_prod.production.views import doctor

from ..conftest import Cli

WHAT = [
    *("python", "torch", "home", "storage", "disk", "root", "htcondor", "rucio"),
    *("crab", "slurm", "xrootd", "nvidia-smi", "ipmitool"),
]
NEEDED = {"python", "torch", "home", "storage", "disk"}


@pytest.fixture
def quiet_rucio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ASKS", "print('[true, \"me (user) at https://rucio\"]')")


def _by_name(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["what"]: one for one in found}


def test_every_thing_has_a_line(cli: Cli, quiet_rucio: None) -> None:
    ended = cli("doctor")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line.split()[1] for line in lines] == WHAT
    assert {line.split()[0] for line in lines} <= {"ok", "missing"}
    found = _by_name(cli("doctor", "--json").json)
    assert {name for name, one in found.items() if one["is_needed"]} == NEEDED
    assert found["rucio"]["detail"] == "me (user) at https://rucio"


def test_programs_that_are_not_here_spoil_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, quiet_rucio: None
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CONDOR_CONFIG", "/nowhere")
    ended = cli("doctor", "--json")
    assert ended.code == 0
    found = _by_name(ended.json)
    for name, mend in (
        ("crab", "crab-setup.sh"),
        ("slurm", "login node"),
        ("xrootd", "xrootd-client"),
        ("ipmitool", "apt-get"),
    ):
        assert (found[name]["is_fine"], mend in found[name]["detail"]) == (False, True)


def test_a_state_folder_that_cannot_be_written(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, quiet_rucio: None
) -> None:
    monkeypatch.setenv(VARIABLE, "/proc/nowhere")
    ended = cli("doctor")
    assert ended.code == NodeError.exit_code
    assert "home" in ended.complaint
    assert f"set {VARIABLE} to a folder of your own" in ended.out
    assert ended.out.startswith("ok       python")


def test_a_full_disk(cli: Cli, monkeypatch: pytest.MonkeyPatch, quiet_rucio: None) -> None:
    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    ended = cli("doctor", "--json")
    assert (ended.code, _by_name(ended.json)["disk"]["is_fine"]) == (NodeError.exit_code, False)


@pytest.mark.parametrize("failure", [ImportError("no fastjet"), OSError("wrong ELF class")])
def test_a_package_that_is_missing_or_broken(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, quiet_rucio: None, failure: Exception
) -> None:
    def load(name: str) -> None:
        if name == "fastjet":
            raise failure

    monkeypatch.setattr(doctor, "import_module", load)
    ended = cli("doctor")
    assert (ended.code, "lacks fastjet" in ended.out) == (NodeError.exit_code, True)


def test_a_look_that_fails_leaves_the_others(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, quiet_rucio: None
) -> None:
    def fail() -> None:
        raise RuntimeError("driver and library do not fit")

    monkeypatch.setattr(doctor, "_torch", fail)
    ended = cli("doctor", "--json")
    assert ended.code == NodeError.exit_code
    found = _by_name(ended.json)
    assert list(found) == WHAT
    assert "do not fit" in found["torch"]["detail"]


def test_a_driver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(doctor, "ANSWER_S", 0.2)
    found = doctor._look("nvidia-smi", doctor._nvidia)
    assert (found.is_fine, "TimeoutExpired" in found.detail) == (False, True)
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n")
    monkeypatch.setattr(doctor, "ANSWER_S", 10)
    assert doctor._nvidia() == (True, "GPU 0: NVIDIA H200")


def test_nothing_is_written(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_rucio: None
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    assert cli("doctor").code == 0
    assert not (tmp_path / "none").exists()


def test_a_server_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "_CHILD_S", 0.3)
    monkeypatch.setattr(doctor, "_ASKS", "import time; time.sleep(60)")
    began = time.monotonic()
    is_fine, detail = doctor._told_by(doctor._ask_rucio())
    assert (is_fine, "does not answer" in detail) == (False, True)
    assert time.monotonic() - began < 10
    monkeypatch.setattr(doctor, "_ASKS", "raise SystemExit(1)")
    monkeypatch.setattr(doctor, "_CHILD_S", 30)
    assert not doctor._told_by(doctor._ask_rucio())[0]


def test_rucio_is_asked_without_being_configured(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUCIO_CONFIG", str(tmp_path / "none.cfg"))
    is_fine, detail = doctor._told_by(doctor._ask_rucio())
    assert not is_fine
    assert "Rucio" in detail
