"""A request is driven to its dataset from wherever it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.cli.main import main
from flashsim_prod.core.states import JobState, RequestState, Stage
from flashsim_prod.errors import LockedError, NoSpaceError, RequestError, StateError
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.drive.cancel import cancel
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.drive.local_run import Display, Tally
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.software import code_digest

Placed = Callable[..., Plan]
#: 4 simulate jobs of 20 events, 2 merge jobs
SMALL = {"events": 80, "events_per_job": 20, "per_merge": 2}


class Recorder(Display):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.tallies: list[Tally] = []
        self.remarks: list[str] = []

    def tally(self, tally: Tally) -> None:
        self.tallies.append(tally)

    def remark(self, line: str) -> None:
        self.remarks.append(line)


def stored(home: Home) -> dict[str, bytes]:
    """All files below the store, whatever their names."""
    return {
        str(path.relative_to(home.path)): path.read_bytes()
        for path in sorted((home.path / "store").rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that tells the fake physics what is to go wrong."""
    folder = tmp_path / "trouble"
    folder.mkdir()
    monkeypatch.setenv("FAKE_TROUBLE", str(folder))
    return folder


def test_a_request_becomes_a_registered_dataset(home: Home, placed: Placed, fake_physics: Any) -> None:
    plan = placed(**SMALL)
    display = Recorder()
    outcome = drive(home, plan.request.name, display)
    assert outcome.state is RequestState.DONE
    assert [file.events for file in outcome.files] == [40, 40]
    lines = b"".join(Path(file.pfn).read_bytes() for file in outcome.files).decode().splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(1, 81))
    assert len(stored(home)) == 2, "the unmerged files are gone"
    with LocalCatalog(home.catalog) as catalog:
        container = catalog.container(str(plan.request.dataset))
        assert (container.files, container.events, container.open_blocks) == (2, 80, 0)
        assert container.metadata["seed"] == 1234
        assert [rule.rse_expression for rule in catalog.rules(container.name)] == ["LOCAL"]
    last = display.tallies[-1]
    assert (last.events, last.events_expected, last.running, last.failed) == (80, 80, 0, 0)
    assert last.done == last.expected == {Stage.SIMULATE: 4, Stage.MERGE: 2}
    assert verify(home, container.name).problems == ()
    assert not home.folder(plan.request.name).work.exists()


def test_a_second_drive_changes_nothing(home: Home, placed: Placed, fake_physics: Any) -> None:
    plan = placed(**SMALL)
    first = drive(home, plan.request.name)
    files = stored(home)
    again = drive(home, plan.request.name)
    assert (again.state, again.files) == (first.state, first.files)
    assert stored(home) == files
    with Ledger(home.ledger) as ledger:
        assert all(job.attempts == 1 for job in ledger.jobs(plan.request.name)), "no job ran twice"


def test_a_lost_file_is_made_anew_and_the_same(home: Home, placed: Placed, fake_physics: Any) -> None:
    plan = placed(**SMALL)
    outcome = drive(home, plan.request.name)
    files = stored(home)
    Path(outcome.files[1].pfn).unlink()
    assert drive(home, plan.request.name).state is RequestState.DONE
    assert stored(home) == files
    with Ledger(home.ledger) as ledger:
        attempts = [job.attempts for job in ledger.jobs(plan.request.name)]
    assert attempts == [1, 1, 2, 2, 1, 2], "only the second merge and its inputs ran again"


def test_a_failure_worth_a_retry_is_retried(
    home: Home, placed: Placed, fake_physics: Any, trouble: Path
) -> None:
    (trouble / "simulate_1").write_text("once:StorageError")
    (trouble / "merge_0").write_text("once:kill")
    plan, display = placed(**SMALL), Recorder()
    assert drive(home, plan.request.name, display).state is RequestState.DONE
    assert any("simulate 1 failed: trouble in simulate 1; trying again" in line for line in display.remarks)
    assert any("merge 0 failed: killed by SIGKILL; trying again" in line for line in display.remarks)
    assert display.tallies[-1].retried == 2


def test_a_process_that_ends_well_without_a_report_is_no_success(
    home: Home, placed: Placed, fake_physics: Any, trouble: Path
) -> None:
    (trouble / "simulate_0").write_text("once:no-report")
    plan, display = placed(**SMALL), Recorder()
    assert drive(home, plan.request.name, display).state is RequestState.DONE
    assert any("left no valid report" in line for line in display.remarks)


def test_a_failure_for_good_stops_only_what_needs_it(
    home: Home, placed: Placed, fake_physics: Any, trouble: Path
) -> None:
    (trouble / "simulate_3").write_text("InputError")
    plan = placed(**SMALL)
    name = plan.request.name
    outcome = drive(home, name)
    assert outcome.state is RequestState.FAILED
    assert len(outcome.files) == 1, "the other merge job ran"
    (failure,) = outcome.failures
    assert (failure.exit_code, failure.attempts, failure.failed_jobs) == (10, 1, 1)
    assert failure.error == "trouble in simulate 3"
    assert "InputError" in failure.log.read_text() or "trouble" in failure.log.read_text()
    with LocalCatalog(home.catalog) as catalog:
        assert catalog.containers() == [], "half a dataset is not registered"
    (trouble / "simulate_3").unlink()
    assert drive(home, name).state is RequestState.DONE


def test_two_drivers_of_one_request(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(**SMALL).request.name
    with request_lock(home.folder(name).path), pytest.raises(LockedError, match="another command"):
        drive(home, name)
    assert drive(home, name).state is RequestState.DONE


def test_a_request_that_is_none(home: Home, placed: Placed) -> None:
    with pytest.raises(RequestError, match=r"no request 'toy-1' in .*; there are none yet"):
        drive(home, "toy-1")
    placed("toy-001", **SMALL)
    with pytest.raises(RequestError, match=r"no request 'toy-01'.*did you mean 'toy-001'"):
        drive(home, "toy-01")


def test_a_changed_request_is_refused(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(**SMALL).request.name
    path = home.folder(name).request
    path.write_text(path.read_text().replace("seed: 1234", "seed: 1235"))
    with pytest.raises(StateError, match="changed since the request was placed"):
        drive(home, name)


def test_another_software_version_does_not_go_on(
    home: Home, placed: Placed, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(**SMALL).request.name
    monkeypatch.setattr("flashsim_prod.software.__version__", "9.9")
    with pytest.raises(StateError, match=r"was placed with flashsim-prod .*, this is 9\.9"):
        drive(home, name)


def _as_if_placed_with(path: Path, code: str | None) -> None:
    """Change a request's file: which code it is of is no part of its contents."""
    line = f"code: {code_digest()}\n"
    text = path.read_text(encoding="utf-8")
    assert line in text
    path.write_text(text.replace(line, f"code: {code}\n" if code else ""), encoding="utf-8")


def test_other_code_does_not_go_on(
    home: Home, placed: Placed, fake_physics: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name = placed(**SMALL).request.name
    _as_if_placed_with(home.folder(name).request, "0123456789ab")
    with pytest.raises(SystemExit) as ended:
        main(["retry", name, "--wait"])
    assert ended.value.code == StateError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert f"request {name} was placed with code 0123456789ab of flashsim-prod" in line
    assert f"has code {code_digest()}, which may draw other numbers; check out or install there" in line
    with Ledger(home.ledger) as ledger:
        assert not ledger.jobs(name, Stage.SIMULATE, {JobState.DONE})


def test_what_needs_no_more_events_goes_on_with_other_code(
    home: Home, placed: Placed, fake_physics: Any
) -> None:
    name = placed(**SMALL).request.name
    assert drive(home, name).state is RequestState.DONE
    _as_if_placed_with(home.folder(name).request, "0123456789ab")
    assert drive(home, name).state is RequestState.DONE


def test_a_request_from_before_code_was_told_goes_on(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(**SMALL).request.name
    _as_if_placed_with(home.folder(name).request, None)
    assert drive(home, name).state is RequestState.DONE


def test_code_that_changes_while_jobs_run_ends_them_for_good(
    home: Home, placed: Placed, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(**SMALL).request.name
    _as_if_placed_with(home.folder(name).request, "0123456789ab")
    # as if the driver had begun before
    monkeypatch.setattr("flashsim_prod.production.drive.foreground.check_same_software", lambda request: None)
    assert drive(home, name).state is RequestState.FAILED
    with Ledger(home.ledger) as ledger:
        failed = ledger.jobs(name, Stage.SIMULATE, {JobState.FAILED})
        assert failed
        assert {job.attempts for job in failed} == {1}, "another try would be refused as well"


def test_when_all_fail_most_are_not_even_tried(
    home: Home, placed: Placed, fake_physics: Any, trouble: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashsim_prod.production.drive.local_run._HOPELESS", 2)
    name = placed(events=300, events_per_job=10, per_merge=30).request.name
    for index in range(30):
        (trouble / f"simulate_{index}").write_text("BundleError")
    outcome = drive(home, name)
    assert outcome.state is RequestState.FAILED
    with Ledger(home.ledger) as ledger:
        assert 2 <= len(ledger.jobs(name, Stage.SIMULATE, {JobState.FAILED})) < 30
        assert ledger.open_attempts(name) == []


def test_a_dry_run_can_be_started(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(dry_run=True, **SMALL).request.name
    with Ledger(home.ledger) as ledger:
        assert not ledger.has_request(name)
    assert drive(home, name).state is RequestState.DONE


def test_no_catalogue_when_none_is_wanted(home: Home, placed: Placed, fake_physics: Any) -> None:
    plan = placed(catalog="none", **SMALL)
    assert drive(home, plan.request.name).state is RequestState.DONE
    with LocalCatalog(home.catalog) as catalog:
        assert catalog.containers() == []


def test_a_disk_that_is_too_small_is_noticed_first(
    home: Home, placed: Placed, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(**SMALL).request.name
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("flashsim_prod.production.drive.foreground.shutil.disk_usage", lambda path: usage)
    with pytest.raises(NoSpaceError, match=r": 1\.0 kB are free, .* about 16\.0 kB; free some"):
        drive(home, name)
    with Ledger(home.ledger) as ledger:
        assert {job.state for job in ledger.jobs(name)} == {JobState.PLANNED}


def _driver(name: str, **environment: str) -> subprocess.Popen[bytes]:
    program = Path(__file__).parents[2] / "fake_physics.py"
    return subprocess.Popen([sys.executable, str(program), "drive", name], env={**os.environ, **environment})


def _wait_for_running(home: Home, name: str) -> None:
    deadline = time.monotonic() + 30
    with Ledger(home.ledger) as ledger:
        while not ledger.jobs(name, states={JobState.RUNNING}):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_cancel_stops_a_driver_and_retry_goes_on(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(**SMALL).request.name
    with _driver(name, FAKE_PAUSE_S="20") as driver:
        _wait_for_running(home, name)
        cancelled = cancel(home, name)
    assert driver.returncode == 0
    assert cancelled == 6
    with Ledger(home.ledger) as ledger:
        assert {job.state for job in ledger.jobs(name)} == {JobState.CANCELLED}
        assert ledger.open_attempts(name) == []
    assert drive(home, name).state is RequestState.DONE


def test_cancel_after_the_driver_was_killed_and_retry_goes_on(
    home: Home, placed: Placed, fake_physics: Any
) -> None:
    name = placed(**SMALL).request.name
    with _driver(name, FAKE_PAUSE_S="20") as driver:
        _wait_for_running(home, name)
        driver.kill()
    with Ledger(home.ledger) as ledger:
        assert ledger.open_attempts(name)
        assert cancel(home, name) == 6
        assert {job.state for job in ledger.jobs(name)} == {JobState.CANCELLED}
        assert ledger.open_attempts(name) == []
    assert drive(home, name).state is RequestState.DONE


def test_a_finished_request_is_not_cancelled(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(**SMALL).request.name
    drive(home, name)
    with pytest.raises(StateError, match=f"request {name} is finished; nothing to cancel"):
        cancel(home, name)
    with Ledger(home.ledger) as ledger:
        assert not ledger.request(name).cancelled


def test_ctrl_c_leaves_a_request_that_goes_on(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(**SMALL).request.name
    with _driver(name, FAKE_PAUSE_S="20") as driver:
        _wait_for_running(home, name)
        driver.send_signal(2)
    assert driver.returncode == 130
    with Ledger(home.ledger) as ledger:
        assert {job.state for job in ledger.jobs(name)} == {JobState.PLANNED}
    assert drive(home, name).state is RequestState.DONE


def test_reports_tell_what_was_run(home: Home, placed: Placed, fake_physics: Any) -> None:
    plan = placed(**SMALL)
    drive(home, plan.request.name)
    report = json.loads(home.folder(plan.request.name).report(Stage.SIMULATE, 1).read_text())
    assert report["request_digest"] == plan.request.digest()
    assert (report["gen_events"], report["events"], report["exit_code"]) == (2, 20, 0)
    assert report["timings_s"]["startup"] > 0
    assert report["peak_rss_mb"] > 1
