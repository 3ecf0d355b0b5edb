"""Requests on a real pool: from the order to the dataset, whatever fails on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import JobState, RequestState, Stage
from flashsim_prod.grid.batch.htcondor.client import Pool
from flashsim_prod.grid.batch.htcondor.engine import HTCondorBatch
from flashsim_prod.grid.batch.htcondor.section import Gpus
from flashsim_prod.grid.batch.htcondor.why_idle import matches, reasons
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.submissions import Submissions
from flashsim_prod.production.drive.cancel import cancel
from flashsim_prod.production.drive.detached import follow, hand_over
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.views import status
from tests.batch_systems import finished, local_copy, remove_requests

from .conftest import RunningPool

Placed = Callable[..., str]
MakeSite = Callable[..., Site]


def stored(home: Home) -> dict[str, bytes]:
    """All files below the store."""
    files = sorted((home.path / "store").rglob("*.root"))
    return {str(path.relative_to(home.path)): path.read_bytes() for path in files}


def states(home: Home, name: str, stage: Stage = Stage.SIMULATE) -> list[str]:
    with Ledger(home.ledger) as ledger:
        return [job.state.value for job in ledger.jobs(name, stage)]


def attempts(home: Home, name: str) -> list[int]:
    with Ledger(home.ledger) as ledger:
        return [job.attempts for job in ledger.jobs(name, Stage.SIMULATE)]


@pytest.fixture
def same_as_local(home: Home, placed: Placed, fake_physics: Any) -> Callable[[Site, int], None]:
    """A function that compares the dataset just made with that of the local site, byte for byte."""

    def compare(site: Site, jobs: int) -> None:
        made = stored(home)
        remove_requests(home)
        assert drive(home, placed(local_copy(site), jobs)).state is RequestState.DONE
        assert stored(home) == made

    return compare


@pytest.mark.parametrize("files", ["shared", "transfer"])
def test_a_request_becomes_a_registered_dataset(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, same_as_local: Any, files: str
) -> None:
    where = site(files=files)
    name = placed(where, 4)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE
    assert [file.pfn for file in outcome.files] == [str(home.path) + file.lfn for file in outcome.files]
    with LocalCatalog(home.catalog) as catalog:
        container = catalog.container(str(outcome.request.dataset))
        assert (container.files, container.events, container.open_blocks) == (2, 40, 0)
    assert len(stored(home)) == 2, "the unmerged files are gone"
    assert not home.folder(name).work.exists(), "and so are locks and scratch"
    same_as_local(where, 4)


def test_each_kind_of_failure_has_its_rule(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    what = {
        0: "once:StorageError",  # a retry helps
        1: "InputError",  # none can help
        2: "once:kill",  # ended by a signal
        3: "once:no-report",  # said it was done and left nothing
        4: "once:memory 800",  # takes more than it asked for
        5: "memory 1500",  # takes more than it may ever have
        6: "rest",  # never ends
        7: "StorageError",  # fails for ever
    }
    for index, text in what.items():
        (trouble / f"simulate_{index}").write_text(text)
    where = site(
        {"memory_mb": 500, "walltime_min": 0.6, "target_walltime_min": 0.6},
        {"memory_factor": 2.0, "memory_cap_mb": 1300, "walltime_tries": 1, "avoid_node_min": 0},
    )
    name = placed(where, 8, per_merge=1)
    outcome = finished(home, name)
    assert outcome.state is RequestState.FAILED
    assert states(home, name) == ["DONE", "FAILED", "DONE", "DONE", "DONE", "FAILED", "FAILED", "FAILED"]
    # a job that was held and released starts again like one that failed
    first = attempts(home, name)
    assert 1 <= first.pop(5) <= 3, "how fast memory grows beyond the cap depends on when it is looked at"
    assert first == [2, 1, 2, 2, 2, 1, 3]
    said = {failure.error: failure.exit_code for failure in outcome.failures}
    assert said["trouble in simulate 1"] == 10
    assert said["trouble in simulate 7"] == 20
    assert any("memory" in line.lower() for line in said), said
    assert any("duration" in line.lower() for line in said), said
    for index in what:
        (trouble / f"simulate_{index}").unlink(missing_ok=True)
    assert finished(home, name).state is RequestState.DONE
    again = attempts(home, name)
    again.pop(5)
    assert again == [2, 2, 2, 2, 2, 2, 4], "only what was missing ran again"


def test_a_node_that_always_fails_is_not_chosen_again(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    for index in range(4):
        (trouble / f"simulate_{index}").write_text("on node-a:NodeError")
    name = placed(site(), 4)
    assert finished(home, name).state is RequestState.DONE
    with Ledger(home.ledger) as ledger:
        numbers = [len(ledger.attempts(name, Stage.SIMULATE, index)) for index in range(4)]
    assert max(numbers) == 2, "no job came to the bad node twice"


def test_a_full_disk_ends_the_request_for_now(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    (trouble / "simulate_0").write_text("NoSpaceError")
    for index in range(1, 4):
        (trouble / f"simulate_{index}").write_text("rest")
    name = placed(site(failures={"avoid_node_min": 0}), 4)
    outcome = finished(home, name)
    assert outcome.state is RequestState.FAILED
    first, *others = states(home, name)
    assert first == "FAILED"
    # the history is behind for a moment after jobs were removed
    assert set(others) <= {"PLANNED", "UNKNOWN"}
    assert (outcome.failures[0].exit_code, attempts(home, name)[0]) == (21, 3)


def test_a_schedd_that_was_killed_loses_nothing(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, trouble: Path, same_as_local: Any
) -> None:
    (trouble / "pause_s").write_text("2")
    where = site()
    name = placed(where, 10)
    hand_over(home, name)
    pool.wait(lambda: len(list(home.folder(name).reports.glob("simulate_*"))) >= 2)
    assert status.detail(home, name).stages[0].states.get(JobState.RUNNING)
    before = pool.daemon_pid("schedd")
    os.kill(before, signal.SIGKILL)
    pool.wait(lambda: pool.daemon_pid("schedd") != before)
    # the master has started it again; on a busy machine it listens seconds later
    pool.wait(pool.answers)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE
    same_as_local(where, 10)


def test_status_tells_running_held_and_idle_apart(
    pool: RunningPool,
    home: Home,
    placed: Placed,
    site: MakeSite,
    trouble: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flashsim_prod.grid.batch.htcondor.engine._PATIENCE_S", 0)
    for index in range(3):
        (trouble / f"simulate_{index}").write_text("rest")
    name = placed(site(requirements='TARGET.Machine != "node-b" || TARGET.Cpus > 1000'), 3)
    hand_over(home, name)
    pool.wait(lambda: seen(home, name) == {JobState.RUNNING: 3})
    pool("condor_hold", "-constraint", 'DAGNodeName == "simulate_000001"', "-reason", "for a look")
    found = status.detail(home, name)
    assert found.stages[1].states == {JobState.RUNNING: 2, JobState.HELD: 1}
    assert found.line.flag == "H"
    assert any("1 simulate held: for a look" in note for note in found.notes)
    pool("condor_qedit", "-constraint", 'DAGNodeName == "simulate_000001"', "RequestMemory", "99999")
    pool("condor_release", "-constraint", 'DAGNodeName == "simulate_000001"')
    note = pool.wait(
        lambda: next((n for n in status.detail(home, name).notes if "matches no machine" in n), None)
    )
    assert "simulate 1 matches no machine: 2 of 2 machines lack memory of 99999 MB" in note
    assert "1 of 2 machines lack" in note
    assert cancel(home, name) == 5
    assert set(states(home, name)) == {"CANCELLED"}
    pool.wait(lambda: not pool("condor_q", "-af", "ClusterId").strip())
    for index in range(3):
        (trouble / f"simulate_{index}").unlink()
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE


@pytest.mark.parametrize("by", ["person", "policy"])
def test_a_request_that_somebody_else_took_away(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, trouble: Path, by: str
) -> None:
    for index in range(1, 3):
        (trouble / f"simulate_{index}").write_text("rest")
    name = placed(site(), 3, per_merge=1)
    batch_id = str(hand_over(home, name).batch_id)
    pool.wait(lambda: seen(home, name) == {JobState.DONE: 1, JobState.RUNNING: 2})
    if by == "person":
        pool("condor_hold", batch_id, "-reason", "for a look")
        pool.wait(lambda: "DAGMan itself is held: for a look" in " ".join(status.detail(home, name).notes))
        pool("condor_rm", batch_id, "-reason", "the disk is full")
        why = "removed from the queue: the disk is full (by user "
    else:
        pool("condor_qedit", batch_id, "PeriodicRemove", "true")
        why = "removed from the queue: The job attribute PeriodicRemove expression 'true' evaluated to TRUE"
    outcome = follow(home, name, Display())
    assert outcome.state is RequestState.CANCELLED
    assert outcome.stopped is not None
    assert outcome.stopped.startswith(why)
    assert states(home, name) == ["DONE", "CANCELLED", "CANCELLED"]
    for _ in range(2):
        # the cause stays, though nobody is asked any more
        found = status.detail(home, name)
        assert (found.line.state, found.line.flag) == (RequestState.CANCELLED, "C")
        assert found.warnings == (f"{outcome.stopped}; to go on: flashsim-prod retry {name}",)
    for index in range(1, 3):
        (trouble / f"simulate_{index}").unlink()
    assert finished(home, name).state is RequestState.DONE
    assert status.detail(home, name).warnings == ()


def test_a_job_that_somebody_else_took_away(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, trouble: Path
) -> None:
    (trouble / "simulate_0").write_text("rest")
    name = placed(site(), 1)
    hand_over(home, name)
    pool.wait(lambda: seen(home, name) == {JobState.RUNNING: 1})
    # that it was held once before is not why it went
    mine = ("-constraint", 'DAGNodeName == "simulate_000000"')
    pool("condor_hold", *mine, "-reason", "for a look")
    pool.wait(lambda: seen(home, name) == {JobState.HELD: 1})
    pool("condor_rm", *mine, "-reason", "it is in the way")
    outcome = follow(home, name, Display())
    assert outcome.state is RequestState.FAILED
    assert outcome.failures[0].error.startswith("removed: it is in the way (by user ")
    assert outcome.stopped is None


def test_a_registration_that_was_refused(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite
) -> None:
    name = placed(site(), 1)
    dataset = str(load_request(home.folder(name).request).dataset)
    with LocalCatalog(home.catalog) as catalog:
        catalog.ensure_container(dataset, {"seed": 0})
    hand_over(home, name)
    pool.wait(lambda: status.detail(home, name).line.state is not RequestState.RUNNING)
    for _ in range(2):
        (warning,) = status.detail(home, name).warnings
        assert warning.startswith(f"the registration failed: dataset {dataset} is known with seed = 0, now")
        assert warning.endswith(f"; to go on: flashsim-prod retry {name}")
    assert states(home, name) == ["DONE"]


def seen(home: Home, name: str) -> dict[JobState, int]:
    """Simulate jobs by state, as status tells them."""
    return status.detail(home, name).stages[1].states


def test_a_crash_around_the_submission_is_found_out(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(site(), 2)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    for owner, method in ((HTCondorBatch, "submit"), (Submissions, "handed_over")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, dies)
            with pytest.raises(KeyboardInterrupt):
                hand_over(home, name)
        assert set(states(home, name)) == {"SUBMITTING"}
    again = hand_over(home, name)
    assert (again.batch_id is not None, again.is_new) == (True, False), "it was there already"
    assert pool("condor_q", "-constraint", "JobUniverse == 7", "-af", "ClusterId").split() == [again.batch_id]
    assert follow(home, name, Display()).state is RequestState.DONE


def test_a_schedd_that_cannot_be_reached_leaves_jobs_unknown(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(site(), 2)
    hand_over(home, name)
    with monkeypatch.context() as patch:
        patch.setattr(HTCondorBatch, "_pool", lambda self: Pool("nowhere", None))
        found = status.detail(home, name)
    assert set(found.stages[0].states) == {JobState.UNKNOWN}
    assert "the pool knows no schedd 'nowhere'" in found.warnings[0]
    assert cancel(home, name) == 3


def test_what_of_a_site_can_be_reached(pool: RunningPool, site: MakeSite) -> None:
    gpus = Gpus(memory_mb=30_000, minimum_capability=8.0)
    found = {one.what: one for one in HTCondorBatch(site(gpus=gpus)).check()}
    assert all(one.is_fine for one in found.values()), found
    # jobs of other tests may still be leaving
    assert found["match"].detail.startswith("2 of 2 machines fit a simulate job, ")
    (match,) = (
        one for one in HTCondorBatch(site(gpus=Gpus(memory_mb=90_000))).check() if one.what == "match"
    )
    assert not match.is_fine
    assert "2 of 2 machines lack 1 GPU(s) with GlobalMemoryMb >= 90000" in match.detail


def test_the_rendered_jobs_are_those_that_a_check_tells_of(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite
) -> None:
    where = site(gpus=Gpus(memory_mb=90_000))
    name = placed(where, 2)
    hand_over(home, name)
    (row, *_) = pool.wait(lambda: Pool().jobs('DAGNodeName == "simulate_000000"', []))
    machines = Pool().machines()
    assert matches(row, machines) == (0, 0)
    assert "GlobalMemoryMb >= 90000" in reasons(row, machines)[0]
    row["RequireGPUs"] = True
    # jobs of other tests may still be leaving
    assert matches(row, machines)[0] == 2
    assert cancel(home, name) == 3
