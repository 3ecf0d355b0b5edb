"""The project's own worker as something to measure: sized to the run, on a fixed input, leaving nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.request import BundleRef, InputFile
from flashsim_prod.core.site import Device
from flashsim_prod.energy.record import Mode
from flashsim_prod.energy.workload import Run
from flashsim_prod.errors import RequestError
from flashsim_prod.production import workloads
from flashsim_prod.production.bench_work import WorkOptions, make_workloads
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
