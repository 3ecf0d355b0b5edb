"""The stand-in of CRAB refuses what CRAB refuses, in the words and with the exit codes of its client."""

from __future__ import annotations

import importlib.util
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

NAME = "261121_224725:jdoe_crab_toy_000"
Crab = Callable[..., tuple[int, str]]


@pytest.fixture
def crab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crab:
    """A function that runs a command of the client on a task of a failed and a finished job."""
    monkeypatch.setenv("CRAB_SIM", str(tmp_path))
    stand_in = _loaded()
    stand_in.save(_task(stand_in))
    project = tmp_path / "project"
    project.mkdir()
    stand_in.write_cache(project, NAME)

    def run(command: str, *words: str, **changes: Any) -> tuple[int, str]:
        stand_in.save({**_task(stand_in), **changes})
        code = stand_in.main([command, "-d", str(project), *words])
        return code, capsys.readouterr().out

    return run


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "crab_sim", Path(__file__).parents[3] / "peers" / "crab_sim.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _task(stand_in: ModuleType) -> dict[str, Any]:
    stand_in.state_folder()
    jobs = {
        str(n): {"State": state, "Retries": 0, "SubmitTimes": [1.0]}
        for n, state in enumerate(("failed", "finished"), 1)
    }
    submitted = {"submitted": time.time(), "server": "SUBMITTED", "command": "SUBMIT", "memory": 2500}
    return {"name": NAME, "request": "toy_000", **submitted, "jobs": jobs}


def test_failed_jobs_are_run_again(crab: Crab) -> None:
    code, said = crab("resubmit", "--jobids", "1")
    assert (code, "Resubmit request sent to the server." in said) == (0, True)


@pytest.mark.parametrize(
    ("words", "changes", "code", "line"),
    [
        (("--jobids", "1", "--force"), {}, 2, "no such option: --force"),
        (("--jobids", "1-2"), {}, 192, "Only jobs in status failed can be resubmitted."),
        (("--jobids", "2"), {}, 192, "Not possible to resubmit the following jobs:\n['2']"),
        (
            ("--jobids", "1"),
            {"server": "KILLED"},
            200,
            "Reason is: You cannot resubmit jobs if the task is in status KILLED.\nError Id:",
        ),
        (
            ("--jobids", "1"),
            {"submitted": time.time() - 24 * 86400},
            1,
            "Server responded with: 'Resubmission of the task is not possible since less than 7 days",
        ),
        (("--jobids", "1"), {"submitted": time.time() - 41 * 86400}, 1, "Status information is unavailable"),
    ],
    ids=["force", "mixed", "finished", "killed", "old", "purged"],
)
def test_what_is_not_run_again(
    crab: Crab, words: tuple[str, ...], changes: dict[str, Any], code: int, line: str
) -> None:
    ended, said = crab("resubmit", *words, **changes)
    assert (ended, line in said) == (code, True), said


def test_a_purged_task_keeps_the_state_of_the_server(crab: Crab) -> None:
    code, said = crab("status", "--json", submitted=time.time() - 47 * 86400)
    assert code == 0
    assert "Status on the CRAB server:\tSUBMITTED" in said
    assert "Status on the scheduler:" not in said
    assert "Files are purged from Grid scheduler after 40 days." in said


def test_states_of_jobs_are_an_object_on_one_line(crab: Crab, tmp_path: Path) -> None:
    _, said = crab("status", "--json")
    (line,) = (line for line in said.splitlines() if line.startswith("{"))
    assert {job["State"] for job in json.loads(line).values()} == {"failed", "finished"}
    assert pickle.loads((tmp_path / "project" / ".requestcache").read_bytes())["RequestName"] == NAME
