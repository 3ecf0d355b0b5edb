"""Jobs are asked for again where CRAB runs them again; what it says just after that is from before it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Resources
from flashsim_prod.core.states import JobState
from flashsim_prod.grid.batch.crab.client import NeverResubmittedError, NoStatusError
from flashsim_prod.grid.batch.crab.replies import TaskStatus, task_status
from flashsim_prod.grid.batch.crab.task import Going, TaskAtCrab
from flashsim_prod.grid.batch.crab.tasks import crab_tasks
from flashsim_prod.grid.batch.crab.telling import told_of

REPLIES = Path(__file__).parent / "replies"
RESOURCES = Resources(cpus=2, memory_mb=4000, walltime_min=600, target_walltime_min=60)


@dataclass
class Client:
    """Gives recorded replies, and keeps what it was told."""

    reply: str
    resubmitted: list[dict[str, Any]] = field(default_factory=list)

    def status(self, project: str) -> TaskStatus:
        return task_status((REPLIES / f"{self.reply}.txt").read_text())

    def resubmit(self, project: str, jobs: list[int], **options: Any) -> None:
        self.resubmitted.append({"jobs": jobs, **options})


Make = Callable[[str], tuple[TaskAtCrab, Client]]


@pytest.fixture(autouse=True)
def age(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that sets the age of all tasks in days, 1 at first: recorded replies grow older."""

    def be(days: float) -> None:
        for module in ("task", "replies"):
            monkeypatch.setattr(f"flashsim_prod.grid.batch.crab.{module}.age_days", lambda name: days)

    be(1)
    return be


@pytest.fixture
def task_at_crab(tmp_path: Path, crab_request: Callable[..., Request]) -> Make:
    """A function that makes a task of two jobs, of which CRAB says what a recorded reply says."""

    def make(reply: str) -> tuple[TaskAtCrab, Client]:
        client = Client(reply)
        (task,) = crab_tasks(crab_request(gen_events=60))
        found = TaskAtCrab(task, tmp_path, client)  # type: ignore[arg-type]
        found.project.mkdir(parents=True)
        (found.project / "crab.log").write_text((REPLIES / "submit.txt").read_text())
        return found, client

    return make


def test_failures_from_before_are_no_news(task_at_crab: Make) -> None:
    task, _ = task_at_crab("status_failed")
    assert not task.status().alive
    assert task.status().jobs[2].state is JobState.FAILED
    task.set_going([2], RESOURCES)
    assert task.status().alive
    assert task.status().jobs[1].state is JobState.DONE
    assert task.status().jobs[2].state is JobState.IDLE


def test_after_an_hour_or_with_a_newer_start_they_are(
    task_at_crab: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = task_at_crab("status_failed")
    task.set_going([2], RESOURCES)
    (mark,) = task.project.parent.glob("*.resubmitted.json")
    os.utime(mark, times=(time.time() - 3601,) * 2)
    assert task.status().jobs[2].state is JobState.FAILED
    # the last try began after the resubmission
    began = task.client.status("").jobs[2].since
    assert began is not None
    monkeypatch.setattr("flashsim_prod.grid.batch.crab.task.time.time", lambda: began.timestamp() + 60)
    os.utime(mark, times=(began.timestamp() - 60,) * 2)
    assert task.status().jobs[2].state is JobState.FAILED
    os.utime(mark, times=(began.timestamp() + 30,) * 2)
    assert task.status().jobs[2].state is JobState.IDLE


@pytest.mark.parametrize(
    ("code", "options"),
    [
        (8021, {"memory_mb": None, "walltime_min": None}),
        (50660, {"memory_mb": 5000, "walltime_min": None}),
        (50664, {"memory_mb": None, "walltime_min": 2750}),
    ],
)
def test_more_is_asked_for_where_crab_stopped_a_job_for_it(
    task_at_crab: Make, monkeypatch: pytest.MonkeyPatch, code: int, options: dict[str, Any]
) -> None:
    task, client = task_at_crab("status_failed")
    text = (REPLIES / "status_failed.txt").read_text().replace("[8021,", f"[{code},")
    monkeypatch.setattr(client, "status", lambda project: task_status(text))
    task.set_going([2], RESOURCES)
    assert client.resubmitted == [{"jobs": [2], **options}]
    # a purged task tells it no more
    assert task.codes() == {2: code}


def test_only_failed_jobs_are_asked_for_again(task_at_crab: Make) -> None:
    """One that is not, and CRAB refuses them all; a finished one without its file it never runs again."""
    task, client = task_at_crab("status_failed")
    going = task.set_going([1, 2], RESOURCES)
    assert [one["jobs"] for one in client.resubmitted] == [[2]]
    assert (going.name, going.missing) == (task.name, (1,))
    (remark,) = going.remarks
    assert "job 1 needs a new task: CRAB counts them as finished, but their outputs are not there" in remark


@pytest.mark.parametrize(
    ("reply", "days", "reason"),
    [
        ("status_killed", 1, "the task is KILLED, and such tasks CRAB never resubmits"),
        ("status_failed", 24, "the task is 24 days old, CRAB resubmits none after 23"),
        ("status_purged", 47, "CRAB has purged the task"),
    ],
)
def test_what_crab_never_runs_again_is_not_asked_for(
    task_at_crab: Make, age: Callable[[float], None], reply: str, days: float, reason: str
) -> None:
    age(days)
    task, client = task_at_crab(reply)
    assert not task.status().alive
    going = task.set_going([2], RESOURCES)
    assert (going.name, going.missing, client.resubmitted) == (None, (2,), [])
    assert reason in going.remarks[0]


def test_a_refusal_of_the_server_leads_to_a_new_task_and_is_told(
    task_at_crab: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(project: str, jobs: list[int], **options: Any) -> None:
        raise NeverResubmittedError("crab resubmit: the reason")

    task, client = task_at_crab("status_failed")
    monkeypatch.setattr(client, "resubmit", refuse)
    going = task.set_going([2], RESOURCES)
    assert (going.name, going.missing) == (None, (2,))
    assert "the reason" in going.remarks[0]


def test_a_task_that_was_taken_back_is_over_before_the_server_says_so(task_at_crab: Make) -> None:
    task, client = task_at_crab("status_running")
    client.kill = lambda project: None  # type: ignore[attr-defined]
    task.kill()
    assert not task.status().alive
    assert task.set_going([2], RESOURCES).missing == (2,)


def test_a_task_whose_states_are_gone_is_over_only_once_it_is_old(
    task_at_crab: Make, monkeypatch: pytest.MonkeyPatch, age: Callable[[float], None]
) -> None:
    def fail(project: str) -> TaskStatus:
        raise NoStatusError("crab status: status_cache.pkl not found or corrupted")

    task, client = task_at_crab("status_failed")
    monkeypatch.setattr(client, "status", fail)
    with pytest.raises(NoStatusError):
        task.status()
    age(31)
    assert task.status().purged


@pytest.mark.parametrize("word", ["cooloff", "toRetry", "unsubmitted", "held", "transferring"])
def test_jobs_that_have_not_ended_are_waited_for(
    task_at_crab: Make, monkeypatch: pytest.MonkeyPatch, age: Callable[[float], None], word: str
) -> None:
    task, client = task_at_crab("status_failed")
    text = (REPLIES / "status_failed.txt").read_text().replace('"State": "finished"', f'"State": "{word}"')
    monkeypatch.setattr(client, "status", lambda project: task_status(text))
    assert task.set_going([1, 2], RESOURCES) == Going(task.name)
    assert not client.resubmitted
    # not for ever
    age(31)
    assert task.set_going([1, 2], RESOURCES).missing == (1, 2)


def test_a_task_that_is_at_work_is_left_alone(task_at_crab: Make) -> None:
    task, client = task_at_crab("status_running")
    assert task.set_going([1, 2], RESOURCES) == Going(task.name)
    assert not client.resubmitted


def _on_server(client: Client, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    text = (REPLIES / f"{client.reply}.txt").read_text()
    told = text.replace("Status on the CRAB server:\tSUBMITTED", f"Status on the CRAB server:\t{state}")
    assert told != text
    monkeypatch.setattr(client, "status", lambda project: task_status(told))


def test_a_task_that_could_not_be_killed_runs_on(task_at_crab: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new task for its jobs would run them twice."""
    task, client = task_at_crab("status_running")
    client.kill = lambda project: None  # type: ignore[attr-defined]
    task.kill()
    _on_server(client, monkeypatch, "NEW on command KILL")
    assert not task.status().alive
    _on_server(client, monkeypatch, "KILLFAILED")
    assert task.status().alive
    assert any("could not kill it, so cancel again" in line for line in told_of(task, task.status()))
    assert task.set_going([1, 2], RESOURCES) == Going(task.name)


def test_a_kill_that_the_server_put_aside_is_forgotten(task_at_crab: Make) -> None:
    task, client = task_at_crab("status_running")
    client.kill = lambda project: None  # type: ignore[attr-defined]
    task.kill()
    (mark,) = task.project.parent.glob("*.killed")
    os.utime(mark, times=(time.time() - 3601,) * 2)
    assert task.status().alive


def test_a_resubmission_that_failed_is_not_waited_for(
    task_at_crab: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, client = task_at_crab("status_failed")
    task.set_going([2], RESOURCES)
    assert task.status().jobs[2].state is JobState.IDLE
    _on_server(client, monkeypatch, "RESUBMITFAILED")
    assert not task.status().alive
    assert task.status().jobs[2].state is JobState.FAILED
    assert any("could not resubmit it, so retry again" in line for line in told_of(task, task.status()))
    assert task.set_going([2], RESOURCES).name == task.name


def test_a_resubmission_that_the_server_has_not_come_to_is_waited_for(
    task_at_crab: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, client = task_at_crab("status_failed")
    task.set_going([2], RESOURCES)
    (mark,) = task.project.parent.glob("*.resubmitted.json")
    began = task.client.status("").jobs[2].since
    assert began is not None
    os.utime(mark, times=(max(began.timestamp() + 1, time.time() - 7200),) * 2)
    _on_server(client, monkeypatch, "QUEUED on command RESUBMIT")
    assert task.status().jobs[2].state is JobState.IDLE


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 1}', "{"])
def test_codes_that_cannot_be_read_are_none(task_at_crab: Make, text: str) -> None:
    task, _ = task_at_crab("status_failed")
    task.project.with_name(f"{task.project.name}.codes.json").write_text(text)
    assert task.codes() == {}
