"""One job on a node: what it checks first, what it leaves behind, what it reports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import (
    NoSpaceError,
    RequestError,
    StateError,
    StorageError,
    exit_code_is_retryable,
)
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.production.home import VARIABLE, Home
from flashsim_prod.production.job import run as attempts
from flashsim_prod.production.job.batches import fold_chunks
from flashsim_prod.production.job.run import Timings, read_report
from flashsim_prod.production.job.worker import run_job
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.software import code_digest

Placed = Callable[..., Plan]
SMALL = {"events": 80, "events_per_job": 20, "per_merge": 2}


@pytest.fixture
def folder(home: Home, placed: Placed, fake_physics: Any) -> RequestFolder:
    """A placed request whose physics is fast."""
    return home.folder(placed(**SMALL).request.name)


def test_a_job_leaves_its_file_its_report_and_nothing_else(home: Home, folder: RequestFolder) -> None:
    report = run_job(Stage.SIMULATE, folder.request, 2)
    assert report.output is not None
    assert Path(report.output.pfn).read_text(encoding="utf-8").splitlines()[0].endswith(" 41")
    assert read_report(folder.report(Stage.SIMULATE, 2)) == report
    assert [path.name for path in folder.work.iterdir()] == ["simulate_000002.lock"]


def test_a_target_that_exists_is_done(folder: RequestFolder, fake_physics: Any) -> None:
    first = run_job(Stage.SIMULATE, folder.request, 0)
    fake_physics.simulate.simulate = None  # would fail if it were called
    assert run_job(Stage.SIMULATE, folder.request, 0) == first


@pytest.mark.parametrize("what", ["output", "report", "half a report", "another request's report"])
def test_a_target_that_lacks_something_is_made_anew(folder: RequestFolder, what: str) -> None:
    first = run_job(Stage.SIMULATE, folder.request, 0)
    assert first.output is not None
    path = folder.report(Stage.SIMULATE, 0)
    match what:
        case "output":
            Path(first.output.pfn).unlink()
        case "report":
            path.unlink()
        case "half a report":
            path.write_text(path.read_text()[:100])
        case _:
            path.write_text(path.read_text().replace(first.request_digest, "0" * 64))
    again = run_job(Stage.SIMULATE, folder.request, 0)
    assert again.started > first.started
    assert again.output == first.output, "the same job makes the same file"


def test_other_code_draws_nothing(home: Home, folder: RequestFolder) -> None:
    before = run_job(Stage.SIMULATE, folder.request, 1)
    assert before.code == code_digest()
    text = folder.request.read_text(encoding="utf-8")
    folder.request.write_text(text.replace(code_digest(), "0123456789ab"), encoding="utf-8")
    with pytest.raises(StateError, match=r"placed with code 0123456789ab .* has code") as refused:
        run_job(Stage.SIMULATE, folder.request, 0)
    assert not exit_code_is_retryable(refused.value.exit_code)
    report = read_report(folder.report(Stage.SIMULATE, 0))
    assert report is not None
    assert (report.exit_code, report.error) == (StateError.exit_code, str(refused.value))
    assert (report.code, report.output) == (code_digest(), None)
    # nothing but what was stored before
    assert before.output is not None
    stored = Path(before.output.pfn)
    assert [path for path in stored.parent.rglob("*") if path.is_file()] == [stored]
    assert run_job(Stage.SIMULATE, folder.request, 1) == before, "what is done is done"


def test_merge_needs_all_inputs_unaltered(folder: RequestFolder) -> None:
    run_job(Stage.SIMULATE, folder.request, 0)
    with pytest.raises(StorageError, match="merge 0: the output of simulate job 1 is not there"):
        run_job(Stage.MERGE, folder.request, 0)
    second = run_job(Stage.SIMULATE, folder.request, 1)
    assert second.output is not None
    path = Path(second.output.pfn)
    good = path.read_bytes()
    path.write_bytes(good[:-2] + b"7\n")
    with pytest.raises(StorageError, match="altered since it was written"):
        run_job(Stage.MERGE, folder.request, 0)
    failed = read_report(folder.report(Stage.MERGE, 0))
    assert failed is not None
    assert (failed.exit_code, failed.output) == (20, None)
    path.write_bytes(good)
    assert run_job(Stage.MERGE, folder.request, 0).events == 40


def test_an_input_elsewhere_is_fetched_and_verified(
    folder: RequestFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in (0, 1):
        run_job(Stage.SIMULATE, folder.request, index)
    monkeypatch.setattr("flashsim_prod.grid.storage.local.LocalStorage.local_path", lambda self, lfn: None)
    assert run_job(Stage.MERGE, folder.request, 0).events == 40


def test_no_space_is_one_line_with_figures(
    folder: RequestFolder, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(folder.path)._replace(free=1)
    monkeypatch.setattr(attempts.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(fake_physics.simulate, "simulate", lambda attempt: attempt.need_space(1e9))
    with pytest.raises(
        NoSpaceError, match=r"1 B are free, the job needs 1\.5 GB; free some space, then retry"
    ):
        run_job(Stage.SIMULATE, folder.request, 0)


def test_a_disk_that_fills_up_while_writing_is_reported(
    folder: RequestFolder, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(attempt: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fake_physics.simulate, "simulate", full)
    with pytest.raises(NoSpaceError, match="simulate 0: No space left on device; free some space"):
        run_job(Stage.SIMULATE, folder.request, 0)
    report = read_report(folder.report(Stage.SIMULATE, 0))
    assert report is not None
    assert (report.exit_code, report.output) == (21, None)
    assert report.error is not None
    assert report.error.startswith("simulate 0: No space left on device")


def test_a_defect_of_the_software_is_reported_too(
    folder: RequestFolder, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_physics.simulate, "simulate", lambda attempt: {}["missing"])
    with pytest.raises(KeyError):
        run_job(Stage.SIMULATE, folder.request, 0)
    report = read_report(folder.report(Stage.SIMULATE, 0))
    assert report is not None
    assert (report.exit_code, report.error) == (1, "KeyError: 'missing'")


def test_jobs_that_the_request_does_not_have(folder: RequestFolder, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no simulate job 4: the request has 4, counted from 0"):
        run_job(Stage.SIMULATE, folder.request, 4)
    with pytest.raises(RequestError, match="this request file cannot be read"):
        run_job(Stage.SIMULATE, tmp_path / "request.yaml", 0)


def test_a_scratch_folder_of_the_user_is_not_emptied(folder: RequestFolder, tmp_path: Path) -> None:
    precious = tmp_path / "work" / "precious"
    precious.parent.mkdir()
    precious.touch()
    report = tmp_path / "report.json"
    run_job(Stage.SIMULATE, folder.request, 0, work=precious.parent, report=report)
    assert [path.name for path in precious.parent.iterdir()] == ["precious"]
    assert read_report(report) is not None


def test_two_runs_of_one_job_wait_for_each_other(folder: RequestFolder) -> None:
    program = [sys.executable, str(Path(__file__).parents[2] / "fake_physics.py")]
    command = [*program, "worker", "simulate", str(folder.request), "--job", "0"]
    environment = {**os.environ, "FAKE_PAUSE_S": "1"}
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    report = read_report(folder.report(Stage.SIMULATE, 0))
    assert report is not None
    assert report.succeeded


def test_a_worker_finds_the_state_folder_of_its_request(
    home: Home, folder: RequestFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    report = run_job(Stage.SIMULATE, folder.request, 0)
    assert report.output is not None
    assert Path(report.output.pfn).is_relative_to(home.path)


def test_timings_add_up_by_step() -> None:
    timings = Timings()
    assert list(timings.through("read", iter([1, 2, 3]))) == [1, 2, 3]
    with timings.step("write"):
        pass
    timings.add("write", 2.0)
    assert set(timings.seconds) == {"read", "write"}
    assert timings.seconds["write"] >= 2


def _gen(n: int) -> Events:
    counts = np.full(n, 2, dtype=np.int64)
    pt = np.arange(2 * n, dtype=np.float32)
    return Events(n, {"genWeight": np.ones(n, np.float32)}, {"GenJet": Collection(counts, {"pt": pt})})


@pytest.mark.parametrize("oversample", [1, 10, 999, 1000, 1001, 2500])
def test_chunks_of_folds_are_bounded_complete_and_in_order(placed: Placed, oversample: int) -> None:
    request = placed(events=5 * oversample, oversample=oversample).request
    job = simulate_job(request, 0)
    limit = request.site.resources.chunk_events
    size = max(1, limit // oversample)
    seen: list[tuple[int, int, int]] = []
    for start in range(0, job.gen_events, size):
        gen = _gen(min(size, job.gen_events - start))
        for folds in fold_chunks(gen, request, job, start):
            assert 0 < folds.n <= limit
            names = ("event", "FlashSim_genEvent", "FlashSim_fold")
            seen += list(zip(*(folds.scalars[name].tolist() for name in names), strict=True))
    expected = [(g * oversample + k + 1, g, k) for g in range(job.gen_events) for k in range(oversample)]
    assert seen == expected
