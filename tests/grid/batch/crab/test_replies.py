"""What the CRAB client prints is understood; see replies/README.md for where the replies come from."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flashsim_prod.core.states import JobState
from flashsim_prod.errors import StorageError
from flashsim_prod.grid.batch.crab.replies import (
    cached_task,
    listed_task,
    listed_tasks,
    submitted_task,
    task_status,
)

REPLIES = Path(__file__).parent / "replies"
TASK = "260921_221536:jdoe_crab_toy-001_0a1b2c3d_000"


def _reply(name: str) -> str:
    return (REPLIES / f"{name}.txt").read_text()


def test_the_name_of_a_delivered_task_is_found() -> None:
    assert submitted_task(_reply("submit")) == TASK
    assert submitted_task(_reply("submit").split("Task name")[0]) is None


def test_the_name_of_a_task_is_found_in_what_the_client_keeps() -> None:
    kept = {"Server": "cmsweb.cern.ch", "RequestName": TASK, "voRole": "NULL"}
    assert cached_task(pickle.dumps(kept, protocol=0)) == TASK
    assert cached_task(pickle.dumps({"Server": "cmsweb.cern.ch"}, protocol=0)) is None


def test_a_task_whose_answer_was_lost_is_found_in_the_list() -> None:
    assert listed_task(_reply("tasks"), "toy-001_0a1b2c3d_000") == TASK
    assert listed_task(_reply("tasks"), "toy-001_0a1b2c3d_00") is None
    assert listed_task(_reply("tasks"), "001_0a1b2c3d_000") is None


@pytest.mark.parametrize(
    ("name", "server", "scheduler", "alive", "jobs"),
    [
        ("status_queued", "QUEUED", None, True, 0),
        ("status_bootstrap", "SUBMITTED", None, True, 0),
        ("status_running", "SUBMITTED", "SUBMITTED", True, 10),
        ("status_completed", "SUBMITTED", "COMPLETED", False, 2),
        ("status_failed", "SUBMITTED", "FAILED", False, 2),
        ("status_killed", "KILLED", "FAILED (KILLED)", False, 2),
        ("status_refused", "SUBMITREFUSED", None, False, 0),
        ("status_submitfailed", "SUBMITFAILED", None, False, 0),
        ("status_purged", "SUBMITTED", None, False, 0),
    ],
)
def test_whether_a_task_goes_on_by_itself(
    name: str, server: str, scheduler: str | None, alive: bool, jobs: int
) -> None:
    found = task_status(_reply(name))
    assert (found.name, found.server, found.scheduler) == (TASK, server, scheduler)
    assert (found.alive, len(found.jobs)) == (alive, jobs)
    assert found.stillborn == (name in ("status_refused", "status_submitfailed"))
    assert found.purged == (name == "status_purged")
    assert found.page == f"https://cmsweb.cern.ch/crabserver/ui/task/{TASK.replace(':', '%3A')}"


@pytest.mark.parametrize("word", ["SUBMITTED", "RUNNING"])
def test_the_scheduler_of_last_year_and_of_today_are_understood(word: str) -> None:
    said = "Status on the scheduler:\t"
    text = _reply("status_running").replace(f"{said}SUBMITTED", f"{said}{word}")
    assert task_status(text).alive
    assert not task_status(text.replace(f"{said}{word}", f"{said}COMPLETED")).alive


def test_jobs_that_crab_goes_on_with_by_itself_are_named() -> None:
    waiting = task_status(_reply("status_running")).waiting
    assert waiting == {"unsubmitted": [4], "cooloff": [6], "held": [9], "onHoliday": [10]}


def test_the_rule_that_keeps_outputs_is_found() -> None:
    rule = "0123456789abcdef" * 2
    line = f"Transfer container's rule:\thttps://cms-rucio-webui.cern.ch/rule?rule_id={rule}\n"
    assert task_status(_reply("status_running") + line).rule == rule
    assert task_status(_reply("status_running")).rule is None


@pytest.mark.parametrize("server", ["KILLFAILED", "RESUBMITFAILED", "FAILED"])
def test_a_command_that_failed_on_the_server_has_not_stopped_the_task(server: str) -> None:
    said = "Status on the CRAB server:\t"
    text = _reply("status_running").replace(f"{said}SUBMITTED", f"{said}{server}")
    assert task_status(text).alive
    assert not task_status(text.replace("scheduler:\tSUBMITTED", "scheduler:\tCOMPLETED")).alive


def test_the_state_of_every_job() -> None:
    jobs = task_status(_reply("status_running")).jobs
    assert {number: job.state for number, job in jobs.items()} == {
        1: JobState.DONE,
        2: JobState.RUNNING,
        3: JobState.IDLE,
        4: JobState.IDLE,
        5: JobState.RUNNING,
        6: JobState.IDLE,
        7: JobState.FAILED,
        8: JobState.FAILED,
        9: JobState.HELD,
        # a state that nobody has heard of is not guessed
        10: JobState.UNKNOWN,
    }
    assert jobs[2].site == "T2_IT_Pisa"
    assert jobs[2].starts == 2
    assert jobs[2].since == datetime(2026, 9, 21, 22, 58, 20, tzinfo=UTC)
    assert jobs[3].since == datetime(2026, 9, 21, 22, 16, 40, tzinfo=UTC)
    assert (jobs[4].since, jobs[4].starts) == (None, 0)


def test_a_failure_has_our_code_where_the_job_told_it_and_cms_code_otherwise() -> None:
    jobs = task_status(_reply("status_running")).jobs
    assert (jobs[7].exit_code, jobs[7].crab_code) == (20, 8021)
    assert jobs[7].error == "root://xrootd.example.org//store/x.root: connection timed out"
    assert jobs[7].site == "T2_FR_IPHC"
    assert (jobs[8].exit_code, jobs[8].crab_code) == (50660, 50660)
    assert (jobs[8].error or "").startswith("Not retrying job due to excessive memory use")


def test_what_the_server_wants_people_to_know_is_kept() -> None:
    (warning,) = task_status(_reply("status_bootstrap")).remarks
    assert warning.startswith("Warning: Task requests 3000 MB")
    (failure,) = task_status(_reply("status_submitfailed")).remarks
    assert failure.startswith("Failure message from server: The CRAB server backend was not able")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "nothing was printed"),
        ("Cannot find .requestcache file inside the working directory", "Cannot find .requestcache"),
        (_reply("status_completed").replace('"State"', '"Stat"'), "its JSON cannot be read"),
        (_reply("status_completed").replace('{"1"', "{1"), "its JSON cannot be read"),
    ],
)
def test_what_is_no_status_is_said_in_one_line(text: str, line: str) -> None:
    with pytest.raises(StorageError, match=line):
        task_status(text)


@pytest.mark.parametrize(
    ("state", "alive"),
    [
        *((state, True) for state in ("WAITING", "NEW", "HOLDING", "QUEUED", "TAPERECALL", "KILLRECALL")),
        *((state, True) for state in ("UPLOADED", "SUBMITTED", "KILLFAILED", "RESUBMITFAILED", "PARKED")),
        *((state, False) for state in ("SUBMITFAILED", "SUBMITREFUSED", "KILLED", "FAILED")),
    ],
)
def test_a_task_without_a_scheduler_is_over_only_where_the_server_says_so(state: str, alive: bool) -> None:
    text = f"Task name:\t\t\t{TASK}\nStatus on the CRAB server:\t{state}\n"
    assert task_status(text).alive is alive


def test_words_that_are_not_known_count_as_at_work() -> None:
    text = re.sub(r"(scheduler:\s+)\S+", r"\1DREAMING", _reply("status_failed"))
    assert (task_status(text).alive, task_status(text).strange) == (True, ("DREAMING",))
    assert not task_status(_reply("status_failed")).alive
    assert task_status(_reply("status_failed")).strange == ()


def test_a_job_in_a_state_that_is_not_known_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashsim_prod.grid.batch.crab.replies.age_days", lambda name: 1)
    text = _reply("status_failed").replace('"State": "finished"', '"State": "dreaming"')
    assert task_status(text).alive


def test_lines_that_begin_like_the_jobs_are_not_taken_for_them() -> None:
    text = _reply("status_running")
    warning = "Warning:\t\tquota\n\t{'bytes': 1}\n\t{oh\n"
    warned = (
        text.replace("Status on the scheduler", f"{warning}Status on the scheduler") + f"{warning}\t{{}}\n"
    )
    assert task_status(warned).jobs == task_status(text).jobs != {}
    assert "Warning: quota" in task_status(warned).remarks


@pytest.mark.parametrize("line", ["", "{}", '{"1": {"Sta', '{"1": {}}'])
def test_a_scheduler_without_jobs_is_no_status(line: str) -> None:
    """Of jobs that are not told nothing may be concluded: they would be made once more."""
    lines = [line if one.startswith("{") else one for one in _reply("status_failed").splitlines()]
    with pytest.raises(StorageError, match=r"crab status: it"):
        task_status("\n".join(lines))


def test_a_full_quota_is_told() -> None:
    alarm = "\x1b[91mALARM: Not enough space at ASO destination \x1b[0m\n"
    text = _reply("status_running").replace("Jobs status:", f"{alarm}Jobs status:")
    assert "ALARM: Not enough space at ASO destination" in task_status(text).remarks


@pytest.mark.parametrize("text", ["", "Error: $CMSSW_VERSION is not defined.", f"{TASK}\nSUBMITTED"])
def test_what_is_no_list_says_nothing_of_tasks(text: str) -> None:
    with pytest.raises(StorageError, match="this is no list of tasks"):
        listed_task(text, "toy-001_0a1b2c3d_000")


def test_all_tasks_of_a_request_are_found_in_the_list() -> None:
    assert listed_tasks(_reply("tasks"), "toy-001_0a1b2c3d")[0] == TASK
    assert listed_tasks(_reply("tasks"), "001_0a1b2c3d") == {}
    assert listed_tasks("No tasks found from 2026-08-22 until 2026-09-21\n", "toy-001_0a1b2c3d") == {}
