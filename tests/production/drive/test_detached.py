"""Requests that are handed to a batch system which goes on by itself: here one of a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flashsim_prod.core.states import JobState, RequestState, Stage
from flashsim_prod.errors import FlashSimError, StateError, StorageError
from flashsim_prod.grid.batch import outage
from flashsim_prod.grid.batch.base import (
    BatchSystem,
    Finding,
    NodeKey,
    NodeStatus,
    Poll,
    Receipt,
    Submission,
)
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.drive import cancel as cancelling
from flashsim_prod.production.drive import detached, watch
from flashsim_prod.production.drive.detached import follow, hand_over, register_finished
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.worker import run_job
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.views import status

Placed = Callable[..., Plan]
#: 4 simulate jobs of 20 events, 2 merge jobs
SMALL = {"events": 80, "events_per_job": 20, "per_merge": 2}


class Elsewhere(BatchSystem):
    """Keeps submissions in memory and runs one job at each look."""

    def __init__(self) -> None:
        self.handed: dict[str, Submission] = {}
        self.states: dict[NodeKey, NodeStatus] = {}
        self.ran: list[NodeKey] = []
        self.forgets: set[NodeKey] = set()
        self.is_down = False
        self.dies_after_submit = False
        self.by_hand = False

    def render(self, submission: Submission) -> None:
        submission.folder.mkdir(exist_ok=True)

    def submit(self, submission: Submission) -> Receipt:
        if self.by_hand:
            return Receipt(None, ("run this by hand",))
        batch_id = f"e{len(self.handed)}"
        self.handed[batch_id] = submission
        self.states = {
            node.key: NodeStatus(node.key, JobState.DONE if node.key in submission.done else JobState.IDLE)
            for node in submission.nodes
        }
        if self.dies_after_submit:
            self.dies_after_submit = False
            raise StorageError("the answer was lost")
        return Receipt(batch_id)

    def find(self, submission: Submission) -> str | None:
        self._up()
        return next((name for name, one in self.handed.items() if one.token == submission.token), None)

    def poll(self, submission: Submission, batch_id: str) -> Poll:
        self._up()
        node = next((node for node in submission.nodes if self._can_run(node)), None)
        if node is not None:
            self._run(submission, node.key)
        alive = any(self._can_run(node) for node in submission.nodes)
        known = {key: one for key, one in self.states.items() if key not in self.forgets}
        return Poll(alive, known, ("a note",))

    def cancel(self, submission: Submission, batch_id: str) -> None:
        self.states = {}

    def check(self) -> Iterator[Finding]:
        yield Finding("elsewhere", True, "here")

    def _up(self) -> None:
        if self.is_down:
            raise StorageError("elsewhere cannot be reached")

    def _can_run(self, node: Any) -> bool:
        done = [self.states[key].state is JobState.DONE for key in node.parents]
        return self.states[node.key].state is JobState.IDLE and all(done)

    def _run(self, submission: Submission, key: NodeKey) -> None:
        self.ran.append(key)
        try:
            run_job(key.stage, submission.request_file, key.index)
        except FlashSimError as error:
            self.states[key] = NodeStatus(key, JobState.FAILED, error.exit_code, "it failed")
        else:
            self.states[key] = NodeStatus(key, JobState.DONE, 0)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, fake_physics: Any) -> Elsewhere:
    """The batch system that all requests of the test go to."""
    batch = Elsewhere()
    for module in (detached, watch, cancelling):
        monkeypatch.setattr(module, "open_batch", lambda site: batch)
    monkeypatch.setattr(detached, "LOOK_INTERVAL_S", 0.0)
    return batch


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that tells the fake physics what is to go wrong."""
    folder = tmp_path / "trouble"
    folder.mkdir()
    monkeypatch.setenv("FAKE_TROUBLE", str(folder))
    return folder


def states(home: Home, name: str) -> list[str]:
    with Ledger(home.ledger) as ledger:
        return [job.state.value for job in ledger.jobs(name)]


def test_a_request_goes_on_elsewhere_and_is_finished_by_who_waits(
    home: Home, placed: Placed, elsewhere: Elsewhere
) -> None:
    plan = placed(**SMALL)
    handed = hand_over(home, plan.request.name)
    assert (handed.batch_id, handed.is_new) == ("e0", True)
    assert handed.outcome.state is RequestState.RUNNING
    assert states(home, plan.request.name) == ["IDLE"] * 6
    outcome = follow(home, plan.request.name, Display())
    assert outcome.state is RequestState.DONE
    assert [file.events for file in outcome.files] == [40, 40]
    assert len(elsewhere.ran) == 6
    with LocalCatalog(home.catalog) as catalog:
        assert catalog.container(str(plan.request.dataset)).events == 80
    assert len(list((home.path / "store").rglob("*.root"))) == 2, "the unmerged files are gone"


def test_status_tells_what_the_batch_system_says(home: Home, placed: Placed, elsewhere: Elsewhere) -> None:
    name = placed(**SMALL).request.name
    hand_over(home, name)
    found = status.detail(home, name)
    assert found.line.state is RequestState.RUNNING
    assert found.stages[0].states == {JobState.DONE: 1, JobState.IDLE: 5}
    assert found.notes == ("a note",)
    elsewhere.is_down = True
    found = status.detail(home, name)
    assert found.stages[0].states == {JobState.DONE: 1, JobState.UNKNOWN: 5}
    assert found.warnings == ("where its jobs stand is not known: elsewhere cannot be reached",)


def test_who_is_not_spoken_of_is_unknown(home: Home, placed: Placed, elsewhere: Elsewhere) -> None:
    name = placed(**SMALL).request.name
    hand_over(home, name)
    elsewhere.forgets = {NodeKey(Stage.SIMULATE, 3)}
    assert status.detail(home, name).stages[0].states[JobState.UNKNOWN] == 1
    elsewhere.forgets = set()
    assert JobState.UNKNOWN not in status.detail(home, name).stages[0].states


def test_a_second_hand_over_finds_the_first_at_work(home: Home, placed: Placed, elsewhere: Elsewhere) -> None:
    name = placed(**SMALL).request.name
    hand_over(home, name)
    again = hand_over(home, name)
    assert (again.batch_id, again.is_new) == ("e0", False)
    assert len(elsewhere.handed) == 1


def test_a_lost_answer_is_found_again(home: Home, placed: Placed, elsewhere: Elsewhere) -> None:
    name = placed(**SMALL).request.name
    elsewhere.dies_after_submit = True
    with pytest.raises(StorageError, match="answer was lost"):
        hand_over(home, name)
    assert states(home, name) == ["SUBMITTING"] * 6
    again = hand_over(home, name)
    assert (again.batch_id, again.is_new) == ("e0", False)
    assert len(elsewhere.handed) == 1


def test_what_was_never_handed_over_is_handed_over(
    home: Home, placed: Placed, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(**SMALL).request.name
    with monkeypatch.context() as patch:
        patch.setattr(elsewhere, "submit", lambda submission: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            hand_over(home, name)
    handed = hand_over(home, name)
    assert (handed.batch_id, handed.is_new) == ("e0", True)
    with Ledger(home.ledger) as ledger:
        last = ledger.submissions.last(name)
    assert last is not None
    assert last.number == 2


def test_what_has_to_be_done_by_hand_changes_nothing(
    home: Home, placed: Placed, elsewhere: Elsewhere
) -> None:
    name = placed(**SMALL).request.name
    elsewhere.by_hand = True
    handed = hand_over(home, name)
    assert (handed.batch_id, handed.remarks) == (None, ("run this by hand",))
    assert states(home, name) == ["PLANNED"] * 6


def test_a_retry_redoes_only_what_is_missing(
    home: Home, placed: Placed, elsewhere: Elsewhere, trouble: Path
) -> None:
    (trouble / "simulate_3").write_text("InputError")
    name = placed(**SMALL).request.name
    hand_over(home, name)
    outcome = follow(home, name, Display())
    assert outcome.state is RequestState.FAILED
    assert [(one.exit_code, one.error) for one in outcome.failures] == [(10, "trouble in simulate 3")]
    assert states(home, name) == ["DONE", "DONE", "DONE", "FAILED", "DONE", "PLANNED"]
    (trouble / "simulate_3").unlink()
    elsewhere.ran.clear()
    hand_over(home, name)
    assert follow(home, name, Display()).state is RequestState.DONE
    assert elsewhere.ran == [NodeKey(Stage.SIMULATE, 3), NodeKey(Stage.MERGE, 1)]


def test_cancel_keeps_what_is_done(home: Home, placed: Placed, elsewhere: Elsewhere) -> None:
    name = placed(**SMALL).request.name
    hand_over(home, name)
    assert cancelling.cancel(home, name) == 5
    assert states(home, name) == ["DONE"] + ["CANCELLED"] * 5
    assert elsewhere.states == {}
    hand_over(home, name)
    assert follow(home, name, Display()).state is RequestState.DONE
    assert len(elsewhere.ran) == 6


def test_nothing_is_cancelled_that_cannot_be_reached(
    home: Home, placed: Placed, elsewhere: Elsewhere
) -> None:
    name = placed(**SMALL).request.name
    hand_over(home, name)
    elsewhere.is_down = True
    with pytest.raises(StorageError, match="cannot be reached"):
        cancelling.cancel(home, name)
    assert states(home, name) == ["IDLE"] * 6


def test_who_follows_waits_for_one_that_is_away(
    home: Home, placed: Placed, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(**SMALL).request.name
    hand_over(home, name)
    said: list[str] = []

    class Watching(Display):
        def remark(self, line: str) -> None:
            said.append(line)

    looks = iter(["up", "down", "down", "up", "down"])

    def pause(_: float) -> None:
        elsewhere.is_down = next(looks, "up") == "down"

    monkeypatch.setattr(detached, "time", SimpleNamespace(sleep=pause))
    assert follow(home, name, Watching()).state is RequestState.DONE
    # what it says is told once, that it is away is told once each time
    assert said == ["a note", *["elsewhere cannot be reached; tried again for 1 h"] * 2]

    late = placed(**SMALL).request.name
    hand_over(home, late)
    elsewhere.is_down = True
    monkeypatch.setattr(detached, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(outage, "PATIENCE_S", 0.2)
    with pytest.raises(StorageError, match=r"^elsewhere cannot be reached$"):
        follow(home, late, Display())


def test_stages_that_are_not_run_elsewhere_are_run_here(
    home: Home, placed: Placed, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Elsewhere, "stages", frozenset({Stage.SIMULATE}))
    original = elsewhere._can_run
    monkeypatch.setattr(
        elsewhere, "_can_run", lambda node: node.key.stage is Stage.SIMULATE and original(node)
    )
    name = placed(**SMALL).request.name
    hand_over(home, name)
    assert follow(home, name, Display()).state is RequestState.DONE
    assert {key.stage for key in elsewhere.ran} == {Stage.SIMULATE}


def test_the_last_job_registers_by_the_reports_alone(
    home: Home, placed: Placed, elsewhere: Elsewhere
) -> None:
    plan = placed(**SMALL)
    name = plan.request.name
    hand_over(home, name)
    with pytest.raises(StorageError, match="reports of 6 jobs are not there"):
        register_finished(home, name)
    for stage, count in ((Stage.SIMULATE, 4), (Stage.MERGE, 2)):
        for index in range(count):
            run_job(stage, home.folder(name).request, index)
    elsewhere.is_down = True
    register_finished(home, name)
    with LocalCatalog(home.catalog) as catalog:
        assert catalog.container(str(plan.request.dataset)).events == 80


def test_one_submission_at_a_time(home: Home, placed: Placed) -> None:
    name = placed(**SMALL).request.name
    with Ledger(home.ledger) as ledger:
        ledger.submissions.intend(name, "one", list(Stage))
        with pytest.raises(StateError, match="an earlier submission has not ended"):
            ledger.submissions.intend(name, "two", list(Stage))
        ledger.submissions.end(name)
        assert ledger.submissions.intend(name, "two", list(Stage)).number == 2
