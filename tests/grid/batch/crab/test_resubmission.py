"""What CRAB says just after a resubmission is from before it."""

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
from flashsim_prod.grid.batch.crab.replies import TaskStatus, task_status
from flashsim_prod.grid.batch.crab.task import TaskAtCrab
from flashsim_prod.grid.batch.crab.tasks import crab_tasks

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
        (8021, {"force": False, "memory_mb": None, "walltime_min": None}),
        (50660, {"force": False, "memory_mb": 5000, "walltime_min": None}),
        (50664, {"force": False, "memory_mb": None, "walltime_min": 2750}),
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


def test_a_finished_job_without_its_file_is_forced(task_at_crab: Make) -> None:
    task, client = task_at_crab("status_completed")
    task.set_going([1], RESOURCES)
    assert client.resubmitted == [{"jobs": [1], "force": True, "memory_mb": None, "walltime_min": None}]
    assert task.status().alive
    states = {number: job.state for number, job in task.status().jobs.items()}
    assert states == {1: JobState.IDLE, 2: JobState.DONE}


def test_a_task_that_is_at_work_is_left_alone(task_at_crab: Make) -> None:
    task, client = task_at_crab("status_running")
    assert task.set_going([1, 2], RESOURCES) == task_status((REPLIES / "status_running.txt").read_text()).name
    assert not client.resubmitted
