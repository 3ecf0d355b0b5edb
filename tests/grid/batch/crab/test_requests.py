"""A request goes through CRAB to a registered dataset, whatever happens on the way; CRAB is a stand-in."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.engines import LocalRules
from flashsim_prod.core.site import Site
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home

#: 3 simulate jobs of 20 events in 2 tasks
SMALL = ("--events", "60", "--oversample", "10", "--events-per-job", "20")
Cli = Callable[..., Any]


def _states(home: Home, stage: Stage) -> list[str]:
    with Ledger(home.ledger) as ledger:
        return [job.state.value for job in ledger.jobs("toy", stage)]


def _tasks(crab_sim: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((crab_sim / "tasks").glob("*.json"))]


def _finished(home: Home, name: str = "toy") -> None:
    with LocalCatalog(home.catalog, "user.jdoe") as catalog, Ledger(home.ledger) as ledger:
        found = catalog.container(str(ledger.request(name).dataset))
    assert (found.events, found.files, found.open_blocks) == (60, 1, 0)


def test_submitting_returns_with_what_to_type_next_and_status_follows(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    ended = order()
    assert ended.code == 0, ended.err
    assert "Submitted: 4 jobs at crab_there, crab " in ended.out
    assert "flashsim-prod retry toy --wait" in ended.out
    assert _states(home, Stage.SIMULATE) == ["IDLE"] * 3
    seen = cli("status", "toy", "--json")
    stages = {stage["label"]: stage["states"] for stage in json.loads(seen.out)["stages"]}
    # each look lets the stand-in run a job of each task
    assert stages["simulate"] == {"DONE": 2, "IDLE": 1}
    (crab_sim / "slow").touch()
    assert "At work already" in cli("retry", "toy").out
    (crab_sim / "slow").unlink()
    # once CRAB is done, the rest is merged and registered where one types
    ended = cli("retry", "toy")
    assert ended.code == 0, ended.err
    _finished(home)


def test_software_that_is_nowhere_is_told_before_anything_is_written(
    cli: Cli, home: Home, crab_sim: Path
) -> None:
    """The shipped site files name an image that everybody has to make first."""
    words = ("request", "ttbar", *SMALL, "--site", "crab", "--scope", "user.jdoe", "--name", "toy")
    ended = cli(*words)
    assert (ended.code, _tasks(crab_sim), home.names()) == (2, [], [])
    (line,) = (line for line in ended.err.splitlines() if line.startswith("error: "))
    assert "there is no /cvmfs/unpacked.cern.ch/" in line
    assert "--site FILE" in line
    # it can be looked at all the same, and is refused again when it is to start
    assert cli(*words, "--dry-run").code == 0
    assert (cli("retry", "toy").code, _tasks(crab_sim)) == (2, [])


def test_failures_are_told_with_their_causes_and_only_those_jobs_run_again(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, tmp_path: Path
) -> None:
    (crab_sim / "trouble" / "000.1").write_text("memory")
    (tmp_path / "trouble" / "simulate_1").write_text("once:BundleError")
    ended = order("--wait")
    assert ended.code == 17
    assert _states(home, Stage.SIMULATE) == ["FAILED", "FAILED", "DONE"]
    told = json.loads(cli("status", "toy", "--json").out)["failures"]
    causes = {failure["exit_code"]: failure["error"] for failure in told}
    # CRAB's code where CRAB killed it, ours where the job could tell
    assert causes[50660].startswith("Not retrying job due to excessive memory use")
    assert causes[11] == "trouble in simulate 1"
    (crab_sim / "slow").touch()
    assert cli("retry", "toy").code == 0
    first, second = _tasks(crab_sim)
    assert [job["Retries"] for job in (*first["jobs"].values(), *second["jobs"].values())] == [1, 1, 0]
    assert len(_tasks(crab_sim)) == 2, "what CRAB runs again it is asked for, in its task"
    assert (first["memory"], second["memory"]) == (3000, 2500), "the task that needs it gets more"
    (crab_sim / "slow").unlink()
    assert cli("retry", "toy", "--wait").code == 0
    _finished(home)


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        ("sandbox", "flashsim_prod.tar.gz cannot be unpacked on"),
        # CRAB counts it as done
        ("lost", "the job left no valid report, or its file is not there"),
    ],
)
def test_what_the_worker_could_not_tell_is_told(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, trouble: str, line: str
) -> None:
    (crab_sim / "trouble" / "000.1").write_text(trouble)
    assert order("--events", "20", "--wait").code == 17
    (failure,) = json.loads(cli("status", "toy", "--json").out)["failures"]
    assert line in failure["error"]
    ended = cli("retry", "toy", "--wait")
    assert ended.code == 0, ended.err


def test_a_client_that_died_while_submitting_leaves_no_task_twice(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    (crab_sim / "mute").touch()
    (crab_sim / "slow").touch()
    ended = order()
    assert ended.code == 20
    assert len(_tasks(crab_sim)) == 1
    seen = cli("status", "toy").out
    assert "1 of 2 tasks were not handed over; a retry does it" in " ".join(seen.split())
    assert len(_tasks(crab_sim)) == 1
    ended = cli("retry", "toy")
    assert "handed over as well" in ended.err
    assert "At work already" in ended.out
    (crab_sim / "slow").unlink()
    assert cli("retry", "toy", "--wait").code == 0
    _finished(home)
    assert [task["request"][-3:] for task in _tasks(crab_sim)] == ["000", "001"]


def test_a_server_that_is_down_changes_nothing(order: Cli, cli: Cli, home: Home, crab_sim: Path) -> None:
    assert order().code == 0
    before = _states(home, Stage.SIMULATE)
    (crab_sim / "down").touch()
    seen = cli("status", "toy")
    assert "where its jobs stand is not known: crab status" in seen.out
    assert "503 Service Unavailable" in " ".join(seen.out.split())
    assert _states(home, Stage.SIMULATE) == before
    assert cli("retry", "toy").code == 20
    assert cli("cancel", "toy").code == 20
    assert _states(home, Stage.SIMULATE) == before


def test_cancel_kills_and_retry_goes_on_in_new_tasks(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    assert order().code == 0
    # the look before the kill lets a job of each task run, and so does asking whether there is one to kill
    (crab_sim / "slow").touch()
    assert cli("cancel", "toy").code == 0
    assert [task["killed"] for task in _tasks(crab_sim)] == [True, True]
    assert _states(home, Stage.SIMULATE) == [JobState.CANCELLED] * 3
    ended = cli("retry", "toy")
    assert ended.code == 0, ended.err
    # a killed task is never resubmitted
    first, second, third, fourth = _tasks(crab_sim)
    assert (first["server"], second["server"]) == ("KILLED", "NEW") or first["killed"]
    assert [len(task["jobs"]) for task in (third, fourth)] == [2, 1]
    assert "need a new task: the task is KILLED, and such tasks CRAB never resubmits" in ended.err
    assert _states(home, Stage.SIMULATE) == ["IDLE"] * 3
    (crab_sim / "slow").unlink()
    assert cli("retry", "toy", "--wait").code == 0
    _finished(home)


def test_without_a_client_it_says_what_to_type_and_goes_on_from_there(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_client = os.environ["PATH"]
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    ended = order()
    assert ended.code == 0, ended.err
    told = ended.err.splitlines()
    folder = home.folder("toy").batch
    assert any("there is no 'crab' on this machine, so nothing was handed over" in line for line in told)
    assert any("crab checkwrite --site=T2_IT_Pisa --lfn=/store/user/jdoe/flashsim" in line for line in told)
    typed = [line.strip() for line in told if line.strip().startswith(("cd ", "crab "))]
    assert typed == [f"cd {folder}", *(f"crab submit -c task_00{n}/crabConfig.py" for n in (0, 1))]
    assert _states(home, Stage.SIMULATE) == ["PLANNED"] * 3
    # a person types it elsewhere
    monkeypatch.setenv("PATH", with_client)
    subprocess.run(["sh", "-ec", "\n".join(typed)], check=True, capture_output=True)
    (crab_sim / "slow").touch()
    ended = cli("retry", "toy")
    assert ended.code == 0, ended.err
    assert _states(home, Stage.SIMULATE) == ["IDLE"] * 3
    assert len(_tasks(crab_sim)) == 2, "what was typed is taken over, not submitted again"


@pytest.mark.slow
def test_real_jobs_make_the_dataset_that_this_machine_makes(
    cli: Cli,
    home: Home,
    real_site: Site,
    crab_sim: Path,
    tmp_path: Path,
    event_digests: Callable[[Path], dict[str, str]],
) -> None:
    site = tmp_path / "my_crab.yaml"
    site.write_text(real_site.to_yaml())
    here = tmp_path / "here.yaml"
    local = {"rules": LocalRules(), "engine": "local", "name": "here", "slots": 1}
    here.write_text(real_site.model_copy(update=local).to_yaml())
    made = {}
    for where in (site, here):
        words = ("request", "ttbar", *SMALL, "--site", str(where), "--scope", "user.jdoe", "--seed", "7")
        ended = cli(*words, "--name", where.stem, "--wait", "--json", "--yes")
        assert ended.code == 0, ended.err
        _finished(home, where.stem)
        (file,) = json.loads(ended.out)["files"]
        made[where.stem] = event_digests(Path(file["pfn"]))
    assert [len(task["jobs"]) for task in _tasks(crab_sim)] == [2, 1]
    assert not list((tmp_path / "se").rglob("output_*.root")), "CRAB's files are gone once they are merged"
    assert made["my_crab"] == made["here"]
    assert len(made["here"]) > 200
