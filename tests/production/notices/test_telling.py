"""Each end, failure and idling of a request is told once, whichever commands see it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.notices.targets import Notify
from flashsim_prod.core.states import JobState, RequestState, Stage
from flashsim_prod.errors import CatalogError
from flashsim_prod.grid.ledger import notices as rows
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.asked import ask
from flashsim_prod.production.context import opened_request
from flashsim_prod.production.drive import foreground
from flashsim_prod.production.drive.cancel import cancel
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.drive.watch import adopt
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.worker import run_job
from flashsim_prod.production.notices.telling import tell, telling
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.views.status import all_lines

Placed = Callable[..., Plan]
#: one simulate job, one merge job
SMALL = {"events": 20, "events_per_job": 20}
FAKE = Path(__file__).parents[2] / "fake_physics.py"


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "trouble"
    folder.mkdir()
    monkeypatch.setenv("FAKE_TROUBLE", str(folder))
    return folder


@pytest.fixture
def made(home: Home, placed: Placed, fake_physics: Any) -> Callable[..., Plan]:
    """A function that places a request whose jobs have all run; whoever drives it has the end left to do."""

    def do(*name: str, **changes: Any) -> Plan:
        plan = placed(*name, **SMALL, **changes)
        folder = home.folder(plan.request.name)
        for stage in Stage:
            run_job(stage, folder.request, 0)
        with opened_request(home, folder) as context:
            adopt(context)
        return plan

    return do


def test_an_end_is_told_once(asking: Home, made: Placed, chat: Any) -> None:
    plan = made()
    name = plan.request.name
    drive(asking, name)
    drive(asking, name)
    tell(asking, name)
    (told,) = chat.told
    assert (told["event"], told["state"], told["events"]) == ("done", "DONE", 20)
    assert (told["request"], told["dataset"]) == (name, str(plan.request.dataset))
    assert told["jobs"] == {"DONE": 2}
    assert told["text"].startswith(f"flashsim-prod: {name} is done\n")


def test_each_failure_is_told(
    asking: Home, placed: Placed, fake_physics: Any, chat: Any, trouble: Path
) -> None:
    (trouble / "simulate_0").write_text("EventsError")
    name = placed(**SMALL).request.name
    drive(asking, name)
    tell(asking, name)
    assert chat.events == ["failed"]
    assert chat.told[0]["why"] == "trouble in simulate 0"
    assert chat.told[0]["failures"][0]["exit_code"] == 12
    drive(asking, name)
    assert chat.events == ["failed", "failed"]
    assert len({one["id"] for one in chat.told}) == 2


def test_a_killed_driver_tells_nothing_and_the_next_tells_once(
    asking: Home, made: Placed, chat: Any, trouble: Path
) -> None:
    name = made().request.name
    (trouble / "ledger-before-registered").touch()
    command = [sys.executable, str(FAKE), "drive", name]
    killed = subprocess.run(command, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert chat.events == []
    for _ in range(2):
        subprocess.run(command, env=os.environ, check=True)
    assert chat.events == ["done"]


def test_what_was_not_sent_is_sent_by_who_looks_next(
    asking: Home, made: Placed, chat: Any, settled: Any, monkeypatch: Any, caplog: Any
) -> None:
    name = made().request.name
    chat.answers = [500]
    with caplog.at_level(logging.WARNING):
        assert drive(asking, name).state is RequestState.DONE
    assert "could not be told that it is done: the server answered 500" in caplog.text
    assert "S3CRET" not in caplog.text
    all_lines(asking)
    settled()
    assert chat.events == [], "another command may be about to tell it"
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    for _ in range(2):
        all_lines(asking)
        settled()
    assert chat.events == ["done"]


def test_a_server_that_always_fails_is_left_alone_in_the_end(
    asking: Home, made: Placed, chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    name = made().request.name
    chat.answers = [500] * 20
    for _ in range(8):
        drive(asking, name)
    assert len(chat.paths) == rows.MOST_TRIES


def test_a_cancel_is_told(asking: Home, placed: Placed, fake_physics: Any, chat: Any) -> None:
    name = placed(**SMALL).request.name
    cancel(asking, name)
    assert chat.events == ["cancelled"]


def test_what_stops_it_beside_its_jobs_is_told(
    asking: Home, made: Placed, chat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise CatalogError("the catalogue is away")

    monkeypatch.setattr(foreground, "register_in", refuse)
    name = made().request.name
    for _ in range(2):
        with pytest.raises(CatalogError):
            drive(asking, name)
    assert (chat.events, chat.told[0]["why"]) == (["failed"], "the catalogue is away")
    monkeypatch.undo()


def test_a_signal_is_told_but_not_one_from_the_keyboard(asking: Home, placed: Placed, chat: Any) -> None:
    name = placed(**SMALL).request.name
    for number in (signal.SIGINT, signal.SIGTERM):
        with telling(asking, name) as ending:
            ending.stopped_by = number
    assert (chat.events, chat.told[0]["why"]) == (["stopped"], "by SIGTERM")


def _moved(home: Home, name: str, minutes: float) -> None:
    """As if nothing had moved for so long."""
    with Ledger(home.ledger) as ledger, ledger._database.writing() as db:
        db.execute("UPDATE jobs SET updated = updated - ?", (60 * minutes,))
        db.execute("UPDATE requests SET created = created - ?", (60 * minutes,))


def test_jobs_that_wait_too_long_are_told_once_for_each_time(asking: Home, placed: Placed, chat: Any) -> None:
    name = placed(**SMALL).request.name
    with Ledger(asking.ledger) as ledger:
        ledger.submissions.intend(name, "t" * 32, [Stage.SIMULATE, Stage.MERGE])
        ledger.submissions.handed_over(name, "b1")
    tell(asking, name)
    _moved(asking, name, 59)
    tell(asking, name)
    assert chat.events == []
    _moved(asking, name, 2)
    tell(asking, name)
    tell(asking, name)
    assert (chat.events, chat.told[0]["state"]) == (["idle"], "RUNNING")
    assert chat.told[0]["why"] == "nothing has moved for more than 60 minutes, 2 jobs waiting"
    with Ledger(asking.ledger) as ledger:
        ledger.submissions.settle(name, {(Stage.SIMULATE, JobState.RUNNING): [0]})
    _moved(asking, name, 90)
    tell(asking, name)
    assert chat.events == ["idle"], "one that runs is no idling"
    with Ledger(asking.ledger) as ledger:
        ledger.submissions.settle(name, {(Stage.SIMULATE, JobState.HELD): [0]})
    _moved(asking, name, 90)
    tell(asking, name)
    assert chat.events == ["idle", "idle"]
    assert chat.told[1]["why"] == "nothing has moved for more than 60 minutes, 1 job held"


def test_a_request_that_nobody_drives_any_more_is_told_by_who_looks(
    home: Home, placed: Placed, chat: Any, settled: Any
) -> None:
    name = placed(**SMALL).request.name
    with Ledger(home.ledger) as ledger:
        ledger.transition(name, Stage.SIMULATE, [0], JobState.SUBMITTING)
    _moved(home, name, 70)
    ask(home.path, Notify(to=(chat.url,), idle_min=30))
    all_lines(home)
    settled()
    assert chat.events == [], "that was so before anybody asked"
    ask(home.path, Notify(to=(chat.url,), idle_min=30), since=datetime.now(UTC) - timedelta(hours=1))
    for _ in range(2):
        all_lines(home)
        settled()
    assert (chat.events, chat.told[0]["why"]) == (
        ["idle"],
        "nobody is at work on it for more than 30 minutes",
    )


def test_what_a_request_says_goes_before_the_state_folder(asking: Home, made: Placed, chat: Any) -> None:
    name = made(notify=Notify()).request.name
    drive(asking, name)
    assert chat.events == []
    own = made("own", notify=Notify(to=(chat.url + "/own",))).request
    file = asking.folder("own").path / "notify.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "S3CRET" not in asking.folder("own").request.read_text()
    assert "notify" not in own.to_yaml()
    drive(asking, "own")
    assert chat.paths == ["/hooks/S3CRET/own"]


def test_a_damaged_file_is_a_line_and_no_harm(
    asking: Home, made: Placed, chat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (asking.path / "notify.json").write_text('{"to": ["https://S3CRET.org/x#y"], "since": "2026-01-01"}')
    name = made().request.name
    with caplog.at_level(logging.WARNING):
        assert drive(asking, name).state is RequestState.DONE
    assert "nobody is told" in caplog.text
    assert chat.events == []
