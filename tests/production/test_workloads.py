"""The project's own worker as something to measure: sized to the run, on a fixed input, leaving nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from flashsim_prod.core.request import BundleRef, InputFile
from flashsim_prod.core.site import Device
from flashsim_prod.energy.record import Mode
from flashsim_prod.energy.workload import Run
from flashsim_prod.errors import MeasurementError, RequestError
from flashsim_prod.production import workloads
from flashsim_prod.production.bench_work import PerMode, WorkOptions, make_workloads
from flashsim_prod.production.ordering import BundleFound
from flashsim_prod.production.plan import Order
from flashsim_prod.production.request_folder import load_request
from flashsim_prod.production.workloads import WorkerProgram, WorkerTask


def ended(run: Run) -> Run:
    """The run, at its end."""
    while not run.is_over(time.monotonic()):
        time.sleep(0.02)
    return run


@pytest.fixture
def program(
    make_order: Callable[..., Order], fake_physics: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> WorkerProgram:
    """Two copies of the real worker around physics that makes some thousand events a second."""
    monkeypatch.setenv("FAKE_PAUSE_S", "0.02")
    found = BundleFound(BundleRef(path="reference", digest="0" * 64), "RefDet", "toy models")
    order = replace(make_order(), events=None, inputs=(InputFile(url="/gen.root", entries=30),))
    monkeypatch.setattr(workloads, "make_order", lambda typed: (order, found))
    monkeypatch.setattr(workloads, "worker_command", fake_physics.fake_command)
    task = WorkerTask(device=Device.CPU, inputs=("/gen.root",), copies=2, threads=2)
    return WorkerProgram(task, tmp_path / "scratch")


def test_runs_are_as_long_as_they_must_be(program: WorkerProgram, tmp_path: Path) -> None:
    program.warm_up(time.monotonic, ended)
    start_s = time.monotonic()
    run = ended(program.start(start_s, 2.0))
    lasted_s = time.monotonic() - start_s
    copies = run.counts()
    assert len(copies) == 2
    assert copies[0].events == copies[1].events
    # long enough, and the input of 30 gen events was read several times for it
    assert 2.0 <= lasted_s < 15
    assert copies[0].events > 30 * 10
    assert len(copies[0].marks) > 5
    run.stop()
    again = program.start(time.monotonic(), 0.1)
    again.stop()
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["run003"]


def test_copies_write_to_places_of_their_own(program: WorkerProgram, tmp_path: Path) -> None:
    ended(program.start(time.monotonic(), 0.1)).counts()
    requests = (tmp_path / "scratch").glob("run001/copy*/request.yaml")
    assert [load_request(path).site.resources.cpus for path in requests] == [2, 2]
    written = sorted((tmp_path / "scratch").glob("run001/copy*/home/store/**/*.root"))
    assert [path.relative_to(tmp_path / "scratch").parts[1] for path in written] == ["copy0", "copy1"]


@pytest.mark.parametrize(
    ("mode", "line"), [(Mode.COMMAND, "--command is missing"), (Mode.TRAIN, "--mode train needs --input")]
)
def test_a_mode_without_what_it_needs(mode: Mode, line: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=line):
        make_workloads([mode], WorkOptions(), tmp_path)


@pytest.mark.parametrize("name", ["command", "count", "count_file"])
def test_an_option_that_no_mode_takes(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"--{name.replace('_', '-')} is for --mode fullsim"):
        make_workloads([Mode.IDLE], WorkOptions(**{name: "x"}), tmp_path)  # type: ignore[arg-type]


def test_numbers_for_all_modes_and_for_one() -> None:
    found = PerMode.parsed("--copies", ("2", "fullsim=4"))
    assert (found[Mode.CPU], found[Mode.FULLSIM]) == (2, 4)
    assert PerMode()[Mode.GPU] == 1


@pytest.mark.parametrize("word", ["0", "-1", "two", "fulsim=4", "cpu=", "cpu=x"])
def test_numbers_that_are_none(word: str) -> None:
    with pytest.raises(RequestError, match=f"--copies: '{word}' is not N or MODE=N"):
        PerMode.parsed("--copies", (word,))


def test_events_and_objects_at_a_time_reach_the_worker(program: WorkerProgram) -> None:
    changed = replace(program._task, chunk_events=300, batch_rows=64)
    resources = WorkerProgram(changed, program.scratch)._request().site.resources
    assert (resources.chunk_events, resources.batch_rows) == (300, 64)
    assert program._request().site.resources.chunk_events == 1000


def test_only_a_file_that_the_run_wrote_is_counted(tmp_path: Path) -> None:
    old = tmp_path / "old.root"
    with uproot.recreate(old) as file:
        file.mktree("Events", {"event": np.dtype("int64")}).extend({"event": np.arange(7)})
    copy = f'{sys.executable} -c \'import shutil; shutil.copyfile("{old}", "{{folder}}/out.root")\''
    for path, line in (("{folder}/out.root", None), (str(old), "older than the run")):
        options = WorkOptions(command=copy, count_file=path)
        (made,) = make_workloads([Mode.COMMAND], options, tmp_path / path[-5:] / str(line))
        time.sleep(0.01)
        run = ended(made.start(0.0, 1.0))
        if line is None:
            assert [one.events for one in run.counts()] == [7]
        else:
            with pytest.raises(MeasurementError, match=line):
                run.counts()
