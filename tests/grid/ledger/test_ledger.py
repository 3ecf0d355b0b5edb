"""What the ledger records and what it says of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import FlashSimError, RequestError, StateError
from flashsim_prod.grid.ledger.causes import cause, one_line
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import RequestRow
from flashsim_prod.grid.ledger.schema import SCHEMA

NewRequest = Callable[..., RequestRow]
NewReport = Callable[..., JobReport]
SIM, MERGE = Stage.SIMULATE, Stage.MERGE


def start(ledger: Ledger, index: int = 0, stage: Stage = SIM, request: str = "toy") -> int:
    """A new attempt at a PLANNED or IDLE job; its number."""
    if ledger.jobs(request, stage)[index].state is JobState.PLANNED:
        ledger.transition(request, stage, [index], JobState.SUBMITTING)
    log = f"/logs/{stage}_{index}"
    row = ledger.start_attempt(request, stage, index, log=lambda n: Path(f"{log}.{n}.log"), host="node1")
    return row.number


# ---- requests


def test_request_comes_back_as_it_was_entered(ledger: Ledger, new_request: NewRequest) -> None:
    row = new_request(ledger)
    assert row == ledger.request("toy") == ledger.requests()[0]
    assert str(row.dataset) == "/TT_13TeV/FlashSim-RefDet_x10-v1/NANOAODSIM"
    assert (row.card, row.site, row.catalog, row.seed) == ("ttbar", "local", "local", 2**63 - 1)
    assert (row.gen_events, row.oversample, row.events) == (100, 10, 1000)
    assert row.folder == Path("/requests/toy")
    assert not row.cancelled
    assert row.registered is None
    assert abs(row.created - datetime.now(UTC)) < timedelta(minutes=1)
    assert ledger.counts("toy") == {(SIM, JobState.PLANNED): 4, (MERGE, JobState.PLANNED): 2}
    assert [(job.stage, job.index) for job in ledger.jobs("toy")] == [
        *((SIM, index) for index in range(4)),
        *((MERGE, index) for index in range(2)),
    ]


def test_versions_rise_and_names_are_unique(ledger: Ledger, new_request: NewRequest) -> None:
    written: list[DatasetName] = []

    def write(dataset: DatasetName) -> str:
        written.append(dataset)
        return "0" * 64

    for name in ("first", "second"):
        new_request(ledger, name, write=write)
    base = written[0]
    new_request(ledger, "later", write=write, dataset=base.model_copy(update={"version": 7}))
    new_request(ledger, "last", write=write)
    new_request(ledger, "other", write=write, dataset=base.model_copy(update={"tier": "USER"}))
    assert [dataset.version for dataset in written] == [1, 2, 7, 8, 1]
    assert [row.dataset for row in ledger.requests()] == written

    with pytest.raises(RequestError, match="'first' exists already"):
        new_request(ledger, "first", write=write)
    assert len(written) == 5


def test_request_whose_folder_cannot_be_written_is_not_entered(
    ledger: Ledger, new_request: NewRequest
) -> None:
    def fail(_: DatasetName) -> str:
        raise OSError("no folder")

    with pytest.raises(OSError, match="no folder"):
        new_request(ledger, write=fail)
    assert not ledger.has_request("toy")
    assert new_request(ledger).dataset.version == 1
    assert ledger.has_request("toy")


@pytest.mark.parametrize(
    "call",
    [
        lambda ledger: ledger.request("toi"),
        lambda ledger: ledger.counts("toi"),
        lambda ledger: ledger.jobs("toi"),
        lambda ledger: ledger.failures("toi"),
        lambda ledger: ledger.files("toi", SIM),
        lambda ledger: ledger.set_cancelled("toi", True),
        lambda ledger: ledger.move_all("toi", {JobState.FAILED}, JobState.PLANNED),
    ],
)
def test_unknown_request_names_the_nearest(
    ledger: Ledger, new_request: NewRequest, call: Callable[[Ledger], object]
) -> None:
    with pytest.raises(RequestError, match="there are none yet"):
        call(ledger)
    new_request(ledger)
    with pytest.raises(RequestError, match="no request named 'toi'; did you mean 'toy'"):
        call(ledger)


def test_flags_of_a_request(ledger: Ledger, new_request: NewRequest) -> None:
    new_request(ledger)
    ledger.set_cancelled("toy", True)
    assert ledger.request("toy").cancelled
    ledger.set_cancelled("toy", False)
    assert not ledger.request("toy").cancelled
    when = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    ledger.set_registered("toy", when)
    assert ledger.request("toy").registered == when
    ledger.set_registered("toy", None)
    assert ledger.request("toy").registered is None


def test_jobs_are_chosen_by_stage_and_state(ledger: Ledger, new_request: NewRequest) -> None:
    new_request(ledger)
    ledger.transition("toy", SIM, [1, 3], JobState.SUBMITTING)
    assert [job.index for job in ledger.jobs("toy", SIM, {JobState.SUBMITTING})] == [1, 3]
    assert [job.index for job in ledger.jobs("toy", states={JobState.PLANNED})] == [0, 2, 0, 1]
    assert ledger.jobs("toy", states=set()) == []


# ---- attempts and files


def test_an_attempt_from_start_to_file(
    ledger: Ledger, new_request: NewRequest, new_report: NewReport
) -> None:
    new_request(ledger)
    assert start(ledger, 2) == 1
    ledger.set_pid("toy", SIM, 2, 1, 4242)
    (running,) = ledger.open_attempts("toy")
    assert (running.pid, running.ended, running.log) == (4242, None, Path("/logs/simulate_2.1.log"))

    report = new_report(SIM, 2, energy_j=12.5)
    ledger.finish_attempt("toy", SIM, 2, 1, JobState.DONE, exit_code=0, report=report)

    assert ledger.open_attempts("toy") == []
    (attempt,) = ledger.attempts("toy", SIM, 2)
    assert (attempt.exit_code, attempt.events, attempt.gen_events) == (0, 250, 25)
    assert attempt.timings_s == report.timings_s
    assert (attempt.device, attempt.peak_rss_mb, attempt.energy_j) == ("cpu", 500.0, 12.5)
    (file,) = ledger.files("toy", SIM)
    assert (file.stage, file.index, file.output, file.removed) == (SIM, 2, report.output, False)
    assert ledger.file("toy", SIM, 2) == file
    assert ledger.file("toy", SIM, 1) is None
    ledger.set_removed("toy", SIM, [2])
    assert ledger.file("toy", SIM, 2) == replace(file, removed=True)


def test_lost_output_is_forgotten_and_made_anew(
    ledger: Ledger, new_request: NewRequest, new_report: NewReport
) -> None:
    new_request(ledger)
    ledger.finish_attempt("toy", SIM, 0, start(ledger), JobState.DONE, exit_code=0, report=new_report(SIM, 0))
    assert ledger.transition("toy", SIM, [0], JobState.PLANNED, expect={JobState.DONE}) == 1
    assert ledger.file("toy", SIM, 0) is None
    number = start(ledger)
    assert number == 2
    ledger.finish_attempt("toy", SIM, 0, number, JobState.DONE, exit_code=0, report=new_report(SIM, 0))
    assert ledger.file("toy", SIM, 0) is not None


@pytest.mark.parametrize(
    ("exit_code", "changes"),
    [
        (1, {}),
        (None, {}),
        (0, {"exit_code": 20}),
        (0, {"output": None}),
        (0, {"index": 1}),
        (0, {"stage": MERGE}),
        (0, {"request": "other"}),
        (0, {"request_digest": "e" * 64}),
    ],
)
def test_done_needs_a_report_of_success_of_this_very_job(
    ledger: Ledger,
    new_request: NewRequest,
    new_report: NewReport,
    exit_code: int | None,
    changes: dict[str, object],
) -> None:
    new_request(ledger)
    number = start(ledger)
    report = new_report(**{"stage": SIM, "index": 0, **changes})
    with pytest.raises(StateError, match="simulate 0 is not done"):
        ledger.finish_attempt("toy", SIM, 0, number, JobState.DONE, exit_code=exit_code, report=report)
    assert len(ledger.open_attempts("toy")) == 1
    assert list(ledger.files("toy", SIM)) == []


def test_two_jobs_never_own_the_same_file(
    ledger: Ledger, new_request: NewRequest, new_report: NewReport
) -> None:
    new_request(ledger)
    first = new_report(SIM, 0)
    ledger.finish_attempt("toy", SIM, 0, start(ledger), JobState.DONE, exit_code=0, report=first)
    number = start(ledger, 1)
    thief = new_report(SIM, 1, output=first.output)
    with pytest.raises(StateError, match="output of another job"):
        ledger.finish_attempt("toy", SIM, 1, number, JobState.DONE, exit_code=0, report=thief)
    assert [job.state for job in ledger.jobs("toy", SIM)][:2] == [JobState.DONE, JobState.RUNNING]


def test_at_most_one_attempt_of_a_job_is_open(ledger: Ledger, new_request: NewRequest) -> None:
    new_request(ledger)
    start(ledger)
    with pytest.raises(StateError, match="simulate 0 runs already"):
        start(ledger)
    # its driver was killed; a retry finds it
    ledger.move_all("toy", {JobState.RUNNING}, JobState.UNKNOWN)
    ledger.move_all("toy", {JobState.UNKNOWN}, JobState.PLANNED)
    assert start(ledger) == 2
    assert [attempt.number for attempt in ledger.open_attempts("toy")] == [2]
    lost = ledger.attempts("toy", SIM, 0)[0]
    assert lost.ended is not None
    assert lost.exit_code is None
    with pytest.raises(StateError, match="attempt 1 at simulate 0 has ended already"):
        ledger.finish_attempt("toy", SIM, 0, 1, JobState.FAILED, exit_code=1)
    with pytest.raises(StateError, match="no attempt 3"):
        ledger.finish_attempt("toy", SIM, 0, 3, JobState.FAILED, exit_code=1)


# ---- summaries


def test_failures_are_grouped_by_cause(
    ledger: Ledger, new_request: NewRequest, new_report: NewReport
) -> None:
    new_request(ledger)
    for index, (code, error) in enumerate(
        [
            (20, "reading /store/a/1.root: Input/output error"),
            (20, "reading /store/b/22.root: Input/output error"),
            (12, "event 17 has pt = -3.5e+02"),
            (-9, None),
        ]
    ):
        ledger.finish_attempt(
            "toy", SIM, index, start(ledger, index), JobState.FAILED, exit_code=code, error=error
        )
    # the first one succeeds at its next attempt, the second one fails again, of something else
    ledger.transition("toy", SIM, [0, 1], JobState.PLANNED)
    ledger.finish_attempt("toy", SIM, 0, start(ledger), JobState.DONE, exit_code=0, report=new_report(SIM, 0))
    ledger.finish_attempt(
        "toy", SIM, 1, start(ledger, 1), JobState.FAILED, exit_code=12, error="event 4 has pt = 0.5"
    )

    found = [(f.exit_code, f.attempts, f.jobs, f.failed_jobs, f.error) for f in ledger.failures("toy")]
    assert found == [
        (12, 2, 2, 2, "event 4 has pt = 0.5"),
        (20, 2, 2, 0, "reading /store/b/22.root: Input/output error"),
        (-9, 1, 1, 1, ""),
    ]
    assert [f.log for f in ledger.failures("toy")] == [
        Path("/logs/simulate_1.2.log"),
        Path("/logs/simulate_1.1.log"),
        Path("/logs/simulate_3.1.log"),
    ]
    assert ledger.retries("toy") == {SIM: 2}


def test_the_report_tells_the_error(ledger: Ledger, new_request: NewRequest, new_report: NewReport) -> None:
    new_request(ledger)
    report = new_report(SIM, 0, exit_code=21, error="\n  the disk is full\nmore lines", output=None)
    ledger.finish_attempt("toy", SIM, 0, start(ledger), JobState.FAILED, exit_code=21, report=report)
    assert ledger.failures("toy")[0].error == "the disk is full"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cannot open root://se.cern.ch:1094//store/a.root", "cannot open root://x.infn.it:1094//store/b"),
        ("event 17 of run 1", "event 4 of run 99"),
        ("pt is -1.5e-03", "pt is 12"),
        ("bundle 0a1b2c3d4e5f is broken", "bundle 9f8e7d6c5b4a is broken"),
        ("task 123e4567-e89b-12d3-a456-426614174000", "task 00000000-e89b-12d3-a456-426614174001"),
    ],
)
def test_causes_that_differ_in_numbers_and_paths_only(one: str, other: str) -> None:
    assert cause(one) == cause(other)


def test_causes_keep_words_apart() -> None:
    assert cause("GPU lost on node3") != cause("memory lost on node3")
    assert cause("branch Jet_pt is missing") != cause("branch Muon_pt is missing")
    assert one_line("x" * 5000) == "x" * 1000
    assert one_line(" \n ") == ""


def test_totals_count_what_counts(ledger: Ledger, new_request: NewRequest, new_report: NewReport) -> None:
    new_request(ledger)
    assert ledger.totals("toy") == {}
    for index in range(3):
        ledger.finish_attempt(
            "toy", SIM, index, start(ledger, index), JobState.IDLE, exit_code=20, error="disk"
        )
        ledger.finish_attempt(
            "toy", SIM, index, start(ledger, index), JobState.DONE, exit_code=0, report=new_report(SIM, index)
        )
    ledger.transition("toy", SIM, [2], JobState.PLANNED)
    totals = ledger.totals("toy")
    assert list(totals) == [SIM]
    assert (totals[SIM].jobs, totals[SIM].events, totals[SIM].gen_events) == (2, 500, 50)
    assert (totals[SIM].bytes, totals[SIM].wall_s, totals[SIM].max_rss_mb) == (2000, 40.0, 500.0)
    assert totals[SIM].energy_j is None
    assert (totals[SIM].measured_jobs, totals[SIM].measured_events) == (0, 0)
    assert ledger.retries("toy") == {SIM: 3}


def test_totals_tell_of_which_jobs_and_events_the_energy_is(
    ledger: Ledger, new_request: NewRequest, new_report: NewReport
) -> None:
    new_request(ledger)
    for index, energy_j in ((0, 3000.0), (1, None)):
        report = new_report(SIM, index, energy_j=energy_j)
        ledger.finish_attempt(
            "toy", SIM, index, start(ledger, index), JobState.DONE, exit_code=0, report=report
        )
    found = ledger.totals("toy")[SIM]
    assert (found.jobs, found.events) == (2, 500)
    assert (found.energy_j, found.measured_jobs, found.measured_events) == (3000.0, 1, 250)


def test_counts_of_all_requests(ledger: Ledger, new_request: NewRequest) -> None:
    assert ledger.all_counts() == {}
    for name in ("b", "a"):
        new_request(ledger, name)
    ledger.transition("a", MERGE, [0], JobState.CANCELLED)
    assert list(ledger.all_counts()) == ["b", "a"]
    assert ledger.all_counts() == {name: ledger.counts(name) for name in ("a", "b")}


def test_measured_rates(ledger: Ledger, new_request: NewRequest, new_report: NewReport) -> None:
    new_request(ledger)
    new_request(ledger, "elsewhere", site="pool")

    def done(index: int, **changes: object) -> None:
        report = new_report(SIM, index, **changes)
        ledger.finish_attempt(
            "toy", SIM, index, start(ledger, index), JobState.DONE, exit_code=0, report=report
        )

    assert ledger.recent_rates("local", "ttbar") is None
    done(0)  # 20 s: 2 s start-up, 8 s for 25 gen events, so 10 s for 250 events
    rates = ledger.recent_rates("local", "ttbar")
    assert rates is not None
    assert (rates.jobs, rates.startup_s, rates.bytes_per_event) == (1, 2.0, None)
    assert (rates.generator_hz, rates.flashsim_hz) == (25 / 8, 25.0)

    done(1, timings_s={"startup": 4.0}, device="NVIDIA T4")  # reads its events: 16 s for 250
    rates = ledger.recent_rates("local", "ttbar")
    assert rates is not None
    assert (rates.jobs, rates.startup_s, rates.generator_hz) == (2, 3.0, 25 / 8)
    assert rates.flashsim_hz == pytest.approx(500 / 26)
    on_gpu = ledger.recent_rates("local", "ttbar", on_gpu=True)
    assert on_gpu is not None
    assert (on_gpu.jobs, on_gpu.generator_hz, on_gpu.flashsim_hz) == (1, None, 250 / 16)
    without = ledger.recent_rates("local", "ttbar", on_gpu=False)
    assert without is not None
    assert without.flashsim_hz == 25.0
    assert without.watts is None

    done(2, energy_j=3000.0)  # 150 W for 20 s; jobs without a meter do not dilute it
    metered = ledger.recent_rates("local", "ttbar")
    assert metered is not None
    assert metered.watts == 150
    assert ledger.recent_rates("pool", "ttbar") is None
    assert ledger.recent_rates("local", "dyjets") is None


def test_the_size_of_an_event_is_that_in_large_merged_files(
    ledger: Ledger, new_request: NewRequest, new_report: NewReport
) -> None:
    new_request(ledger)

    def done(stage: Stage, index: int, events: int, size: int) -> float | None:
        report = new_report(stage, index)
        assert report.output is not None
        output = report.output.model_copy(update={"events": events, "bytes": size})
        report = report.model_copy(update={"events": events, "output": output})
        number = start(ledger, index, stage)
        ledger.finish_attempt("toy", stage, index, number, JobState.DONE, exit_code=0, report=report)
        rates = ledger.recent_rates("local", "ttbar", on_gpu=True)
        assert rates is None, "sizes alone are no rates"
        rates = ledger.recent_rates("local", "ttbar")
        assert rates is not None
        return rates.bytes_per_event

    assert done(SIM, 0, 5000, 50_000_000) is None, "not merged"
    assert done(MERGE, 0, 999, 50_000_000) is None, "too small"
    assert done(MERGE, 1, 1000, 3_500_000) == 3500


def test_ten_thousand_jobs_are_quick(
    ledger: Ledger, new_request: NewRequest, effort: Callable[[Callable[[], object]], float]
) -> None:
    def submit() -> None:
        new_request(ledger, n_simulate=10_000, n_merge=1000)
        ledger.transition("toy", SIM, range(10_000), JobState.SUBMITTING, expect={JobState.PLANNED})

    assert effort(submit) < 1.0

    for index in range(0, 2000, 4):
        number = ledger.start_attempt("toy", SIM, index, log=lambda n: Path(f"{n}"), host="h").number
        ledger.finish_attempt(
            "toy", SIM, index, number, JobState.FAILED, exit_code=20, error=f"no event {index}"
        )

    def status() -> None:
        for _ in range(5):
            ledger.counts("toy")
            ledger.failures("toy")

    assert effort(status) < 5 * 0.05


def test_errors_are_of_the_house(ledger: Ledger, new_request: NewRequest) -> None:
    new_request(ledger)
    with pytest.raises(FlashSimError, match="DONE only by the end of an attempt"):
        ledger.transition("toy", SIM, [0], JobState.DONE)
    with pytest.raises(FlashSimError, match="DONE only by the end of an attempt"):
        ledger.move_all("toy", {JobState.RUNNING}, JobState.DONE)


def test_a_ledger_whose_jobs_have_the_old_column_goes_on(tmp_path: Path, new_request: NewRequest) -> None:
    path = tmp_path / "old.sqlite"
    Ledger(path)
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE jobs ADD COLUMN batch_id TEXT")
    ledger = Ledger(path)
    new_request(ledger)
    ledger.transition("toy", SIM, [1], JobState.SUBMITTING)
    assert [job.index for job in ledger.jobs("toy", SIM, {JobState.SUBMITTING})] == [1]


def test_a_ledger_of_the_first_version_goes_on_with_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_request: NewRequest
) -> None:
    path = tmp_path / "first.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr("flashsim_prod.grid.ledger.ledger.SCHEMA", SCHEMA[:1])
        with Ledger(path) as ledger:
            row = new_request(ledger)
    # whoever may only read sees it as it is now, and leaves the file as it was
    with Ledger(path, read_only=True) as ledger:
        assert ledger.requests() == [row]
        assert ledger.submissions.open_names() == set()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    with Ledger(path) as ledger:
        assert ledger.requests() == [row]
        assert ledger.submissions.last("toy") is None
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(SCHEMA),)
