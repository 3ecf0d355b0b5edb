"""What is told of requests: never a zero for what is not known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.core.report import Accepted, JobReport, OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.core.states import JobState, RequestState, Stage
from flashsim_prod.errors import RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.accepted import accepted_of
from flashsim_prod.production.job.run import write_report
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.views.status import all_lines, detail

Placed = Callable[..., Plan]
SMALL = {"events": 80, "events_per_job": 20, "per_merge": 2}


def _start(ledger: Ledger, name: str, index: int) -> int:
    ledger.transition(name, Stage.SIMULATE, [index], JobState.SUBMITTING)
    row = ledger.start_attempt(
        name, Stage.SIMULATE, index, log=lambda n: Path(f"/logs/{index}.{n}"), host="h"
    )
    return row.number


def _succeed(ledger: Ledger, request: Request, index: int, seconds: float) -> None:
    number, job, now = _start(ledger, request.name, index), simulate_job(request, index), datetime.now(UTC)
    output = OutputFile(
        lfn=job.lfn, pfn=job.lfn, bytes=500, events=job.events, adler32="0" * 8, sha256="0" * 64, lumis=()
    )
    report = JobReport(
        request=request.name,
        request_digest=request.digest(),
        stage=Stage.SIMULATE,
        index=index,
        exit_code=0,
        started=now - timedelta(seconds=seconds),
        ended=now,
        host="h",
        device="cpu",
        software_version="0",
        gen_events=job.gen_events,
        events=job.events,
        peak_rss_mb=300 + index,
        output=output,
    )
    ledger.finish_attempt(
        request.name, Stage.SIMULATE, index, number, JobState.DONE, exit_code=0, report=report
    )


def _fail(ledger: Ledger, name: str, index: int, error: str, exit_code: int = 10) -> None:
    number = _start(ledger, name, index)
    ledger.finish_attempt(
        name, Stage.SIMULATE, index, number, JobState.FAILED, exit_code=exit_code, error=error
    )


def test_no_requests(home: Home) -> None:
    assert all_lines(home) == []
    with pytest.raises(RequestError, match="there are none yet"):
        detail(home, "toy-001")


def test_a_planned_request(home: Home, placed: Placed) -> None:
    placed(**SMALL)
    (line,) = all_lines(home)
    assert (line.name, line.state, line.percent, line.flag) == ("toy-001", RequestState.PLANNED, 0, "")
    assert (line.card, line.events, line.site, line.eta_s) == ("toy", 80, "here", None)
    assert 0 <= line.age_s < 60


def test_the_detail_has_totals_first_then_stages(home: Home, placed: Placed) -> None:
    request = placed(**SMALL).request
    with Ledger(home.ledger) as ledger:
        _succeed(ledger, request, 0, seconds=10)
        _fail(ledger, request.name, 1, "no branch GenPart_pt in file 7")
        _fail(ledger, request.name, 2, "no branch GenPart_pt in file 9")
        _start(ledger, request.name, 3)
    found = detail(home, request.name)
    assert [stage.label for stage in found.stages] == ["TOTAL", "simulate", "merge"]
    assert [stage.expected for stage in found.stages] == [6, 4, 2]
    # nobody drives it: the job that the ledger has as running may be anything
    simulate = {JobState.DONE: 1, JobState.FAILED: 2, JobState.UNKNOWN: 1}
    assert found.stages[1].states == simulate
    assert found.stages[0].states == {**simulate, JobState.PLANNED: 2}
    (failure,) = found.failures
    assert (failure.exit_code, failure.jobs) == (10, 2), "the same cause but for a number"
    assert failure.log == Path("/logs/2.1")
    (speed,) = found.speeds
    assert speed.events_hz == pytest.approx(2, rel=0.01)
    assert (speed.jobs, speed.events, speed.bytes, speed.max_rss_mb) == (1, 20, 500, 300)
    assert found.line.flag == "F"
    assert found.line.state is RequestState.FAILED
    assert "what became of 1 started jobs is unknown" in found.warnings[0]


def test_jobs_run_only_while_somebody_drives(home: Home, placed: Placed) -> None:
    request = placed(**SMALL).request
    with Ledger(home.ledger) as ledger:
        _start(ledger, request.name, 0)
    with request_lock(home.folder(request.name).path):
        assert detail(home, request.name).stages[1].states[JobState.RUNNING] == 1
        assert all_lines(home)[0].flag == ""
    assert JobState.RUNNING not in detail(home, request.name).stages[1].states
    assert all_lines(home)[0].flag == "?"


def test_retries_are_counted(home: Home, placed: Placed) -> None:
    name = placed(**SMALL).request.name
    with Ledger(home.ledger) as ledger:
        _fail(ledger, name, 0, "lost", exit_code=20)
        ledger.transition(name, Stage.SIMULATE, [0], JobState.PLANNED)
        _start(ledger, name, 0)
    found = detail(home, name)
    assert found.retries == {Stage.SIMULATE: 1}
    assert found.failures[0].failed_jobs == 0, "it runs again"
    assert found.line.state is RequestState.INTERRUPTED, "a job runs, but nobody drives"


def test_the_time_left_is_told_of_what_runs_only(home: Home, placed: Placed) -> None:
    request = placed(**SMALL).request
    with Ledger(home.ledger) as ledger, request_lock(home.folder(request.name).path):
        _start(ledger, request.name, 3)
        unknown = detail(home, request.name)
        assert unknown.line.state is RequestState.RUNNING
        assert unknown.line.eta_s is None
        assert unknown.warnings == ("no time of completion yet: no job has finished",)
        for index in (0, 1):
            _succeed(ledger, request, index, seconds=10)
        # 2 jobs of 10 s are left, 2 at a time; of the merge jobs nothing is known yet
        assert detail(home, request.name).line.eta_s == pytest.approx(10, rel=0.01)
    assert detail(home, request.name).line.eta_s is None


def test_a_missing_folder_is_a_warning(home: Home, placed: Placed) -> None:
    name = placed(**SMALL).request.name
    shutil.rmtree(home.folder(name).path)
    found = detail(home, name)
    assert found.warnings == (f"{home.folder(name).request} is missing: it cannot be retried",)
    assert found.line.events == 80, "what the ledger knows is still told"


def test_a_dry_run_says_that_it_was_never_started(home: Home, placed: Placed) -> None:
    placed(**SMALL)
    placed(dry_run=True, **SMALL)
    assert [(line.name, line.state) for line in all_lines(home)] == [
        ("toy-001", RequestState.PLANNED),
        ("toy-002", RequestState.PLANNED),
    ]
    found = detail(home, "toy-002")
    assert found.warnings == ("a dry run, never started; to start it: flashsim-prod retry toy-002",)
    assert found.stages[0].states == {JobState.PLANNED: 6}


def test_a_finished_request(home: Home, placed: Placed, fake_physics: Any) -> None:
    name = placed(**SMALL).request.name
    drive(home, name)
    found = detail(home, name)
    assert (found.line.state, found.line.percent, found.line.flag) == (RequestState.DONE, 100, "")
    assert found.registered is not None
    assert {speed.stage for speed in found.speeds} == {Stage.SIMULATE, Stage.MERGE}
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("state", "flag"),
    [(JobState.HELD, "H"), (JobState.CANCELLED, "C"), (JobState.FAILED, "F"), (JobState.UNKNOWN, "?")],
)
def test_the_flag_is_the_worst_state(home: Home, placed: Placed, state: JobState, flag: str) -> None:
    name = placed(**SMALL).request.name
    with Ledger(home.ledger) as ledger, request_lock(home.folder(name).path):
        for index, wanted in enumerate({JobState.UNKNOWN, state}):
            ledger.transition(name, Stage.SIMULATE, [index], JobState.SUBMITTING)
            ledger.transition(name, Stage.SIMULATE, [index], JobState.RUNNING)
            ledger.transition(name, Stage.SIMULATE, [index], wanted)
        assert all_lines(home)[0].flag == flag


def test_one_that_is_spoiled_does_not_hide_the_others(home: Home, placed: Placed) -> None:
    started, dry = placed(**SMALL).request.name, placed(dry_run=True, **SMALL).request.name
    bad = placed(dry_run=True, **SMALL).request.name
    home.folder(bad).request.write_bytes(b"\xff\xfe")
    assert [line.name for line in all_lines(home)] == [started, dry]
    called = CliRunner().invoke(app, ["status"], env={"COLUMNS": "400"})
    assert called.exit_code == 0
    assert (
        f"request {bad} is not shown: {home.folder(bad).request}: this request file is not text"
        in called.stdout
    )
    called = CliRunner().invoke(app, ["status", "--json"])
    assert [one["name"] for one in json.loads(called.stdout)] == [started, dry]
    assert f"warning: request {bad} is not shown" in called.stderr
    # one that was started is in the ledger
    home.folder(started).request.write_text("nonsense: [")
    assert started in [line.name for line in all_lines(home)]


def test_what_merging_left_is_told_by_the_merged_files(
    home: Home, placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = placed(**SMALL).request
    folder = home.folder(request.name)
    monkeypatch.setattr(type(request), "is_vetoed", property(lambda _: True))

    def tell(stage: Stage, index: int, accepted: int) -> None:
        now = datetime.now(UTC)
        output = OutputFile(lfn="/l", pfn="/l", bytes=1, events=1, adler32="0" * 8, sha256="0" * 64, lumis=())
        report = JobReport(
            request=request.name,
            request_digest=request.digest(),
            stage=stage,
            index=index,
            exit_code=0,
            started=now,
            ended=now,
            host="h",
            device="cpu",
            software_version="0",
            output=output,
            merging=Accepted(tried=10, accepted=accepted, sumw_tried=10, sumw_accepted=accepted),
        )
        write_report(folder.report(stage, index), report)

    for index in range(request.n_simulate):
        tell(Stage.SIMULATE, index, accepted=index + 1)
    found = accepted_of(folder, request)
    assert found is not None
    assert (found.tried, found.accepted) == (10 * request.n_simulate, sum(range(request.n_simulate + 1)))
    # once merged, nothing more is read of the inputs
    for index in range(request.n_merge):
        tell(Stage.MERGE, index, accepted=100)
    for path in folder.reports.glob("simulate_*"):
        path.unlink()
    found = accepted_of(folder, request)
    assert found is not None
    assert found.accepted == 100 * request.n_merge
