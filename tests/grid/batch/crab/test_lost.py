"""Whatever is lost of the folder of tasks, no job is handed over once more; CRAB is a stand-in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.states import Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home

Cli = Callable[..., Any]
#: 2 simulate jobs of 10 events, in one task
TWO = ("--events", "20", "--oversample", "10", "--events-per-job", "10")


def _states(home: Home) -> list[str]:
    with Ledger(home.ledger) as ledger:
        return [job.state.value for job in ledger.jobs("toy", Stage.SIMULATE)]


def _tasks(crab_sim: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((crab_sim / "tasks").glob("*.json"))]


def _lose(home: Home, *, record: bool) -> None:
    folder = home.folder("toy")
    shutil.rmtree(folder.batch)
    if record:
        (folder.path / "crab_tasks.json").unlink()


def _plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("record", [False, True], ids=["folder", "folder and record"])
def test_jobs_at_work_are_found_again(order: Cli, cli: Cli, home: Home, crab_sim: Path, record: bool) -> None:
    (crab_sim / "slow").touch()
    assert order(*TWO).code == 0
    _lose(home, record=record)
    seen = cli("status", "toy")
    assert _states(home) == ["IDLE", "IDLE"], seen.out
    _lose(home, record=record)
    assert "At work already" in cli("retry", "toy").out
    (crab_sim / "slow").unlink()
    ended = cli("retry", "toy", "--wait")
    assert ended.code == 0, ended.err
    assert len(_tasks(crab_sim)) == 1


def test_what_was_cancelled_is_cancelled_though_the_folder_is_lost(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    (crab_sim / "slow").touch()
    assert order(*TWO).code == 0
    _lose(home, record=False)
    assert cli("cancel", "toy").code == 0
    (task,) = _tasks(crab_sim)
    assert task["killed"]


@pytest.mark.parametrize("is_older", [False, True], ids=["recorded", "of a request without a record"])
def test_a_recovery_task_keeps_its_jobs(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, is_older: bool
) -> None:
    (crab_sim / "trouble" / "000.2").write_text("lost")
    assert order(*TWO, "--wait").code == 17
    (crab_sim / "slow").touch()
    assert cli("retry", "toy").code == 0
    if is_older:
        (home.folder("toy").path / "crab_tasks.json").unlink()
        # a look enters what the folder has
        cli("status", "toy")
    _lose(home, record=False)
    cli("status", "toy")
    assert _states(home) == ["DONE", "IDLE"]
    (crab_sim / "slow").unlink()
    ended = cli("retry", "toy", "--wait")
    assert ended.code == 0, ended.err
    assert [len(task["jobs"]) for task in _tasks(crab_sim)] == [2, 1]


def test_a_recovery_task_whose_jobs_nobody_knows_is_told(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    (crab_sim / "trouble" / "000.2").write_text("lost")
    assert order(*TWO, "--wait").code == 17
    (crab_sim / "slow").touch()
    assert cli("retry", "toy").code == 0
    list_of_jobs = home.folder("toy").batch / "task_001" / "jobs.txt"
    jobs = list_of_jobs.read_text()
    _lose(home, record=True)
    lost = "of this request, but the list of its jobs is lost; bring it back as"
    assert lost in _plain(cli("status", "toy").out)
    ended = cli("retry", "toy")
    assert lost in _plain(ended.err)
    assert (ended.code != 0, len(_tasks(crab_sim))) == (True, 2)
    list_of_jobs.parent.mkdir(parents=True)
    list_of_jobs.write_text(jobs)
    (crab_sim / "slow").unlink()
    ended = cli("retry", "toy", "--wait")
    assert ended.code == 0, ended.err
    assert len(_tasks(crab_sim)) == 2


def test_a_task_whose_name_never_came_back_is_not_submitted_again(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    """The client died before it told the name, and then its folder was put away."""
    (crab_sim / "mute").touch()
    (crab_sim / "slow").touch()
    assert order(*TWO).code == 20
    shutil.rmtree(home.folder("toy").batch / "projects")
    cli("retry", "toy")
    (crab_sim / "slow").unlink()
    ended = cli("retry", "toy", "--wait")
    assert ended.code == 0, ended.err
    assert len(_tasks(crab_sim)) == 1


@pytest.mark.parametrize("text", ["", "{", '{"0": {"name": 1}}', '{"0": {"job": []}}'])
def test_a_record_that_cannot_be_read_is_told(
    order: Cli, cli: Cli, home: Home, crab_sim: Path, text: str
) -> None:
    (crab_sim / "slow").touch()
    assert order(*TWO).code == 0
    (home.folder("toy").path / "crab_tasks.json").write_text(text)
    assert "crab_tasks.json: this is no record of tasks any more" in _plain(cli("status", "toy").out)
    ended = cli("retry", "toy")
    assert "Traceback" not in ended.err
    assert (ended.code != 0, len(_tasks(crab_sim))) == (True, 1)


def test_a_list_of_jobs_that_is_none_is_told_and_one_put_aside_is_not_read(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    (crab_sim / "slow").touch()
    assert order(*TWO).code == 0
    folder = home.folder("toy").batch / "task_001"
    folder.mkdir()
    (folder / "jobs.txt").write_text("one\n")
    assert "jobs.txt: it should have the number of a job in each line" in _plain(cli("status", "toy").out)
    folder.rename(folder.with_name("task_001.old"))
    assert "At work already" in cli("retry", "toy").out


def test_new_tasks_of_a_retry_are_tried_for_room_like_the_first(
    order: Cli, cli: Cli, home: Home, crab_sim: Path
) -> None:
    (crab_sim / "trouble" / "000.2").write_text("lost")
    assert order(*TWO, "--wait").code == 17
    (crab_sim / "readonly").write_text("/store/user/jdoe")
    ended = cli("retry", "toy")
    assert (ended.code, len(_tasks(crab_sim))) == (20, 1)
    assert "Unable to write in /store/user/jdoe/flashsim" in _plain(ended.err)


def test_one_task_that_cannot_be_killed_yet_does_not_keep_the_others(
    order: Cli, cli: Cli, crab_sim: Path
) -> None:
    """The server takes no kill of a task that it is just taking in."""
    (crab_sim / "slow").touch()
    assert order("--events", "30", *TWO[2:]).code == 0
    (crab_sim / "server.000").write_text("QUEUED")
    ended = cli("cancel", "toy")
    assert (ended.code, [task.get("killed", False) for task in _tasks(crab_sim)]) == (20, [False, True])
    assert "task 0 was not taken back" in _plain(ended.err)
    assert "cancel again in a while" in _plain(ended.err)
    (crab_sim / "server.000").unlink()
    assert cli("cancel", "toy").code == 0
    assert [task["killed"] for task in _tasks(crab_sim)] == [True, True]
