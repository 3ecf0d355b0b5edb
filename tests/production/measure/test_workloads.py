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

from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import BundleRef, InputFile
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.energy.measuring.workload import Run
from flashsim_prod.energy.record import Mode
from flashsim_prod.errors import MeasurementError, RequestError
from flashsim_prod.production.measure import workloads
from flashsim_prod.production.measure.modes import make_workloads
from flashsim_prod.production.measure.per_mode import PerMode
from flashsim_prod.production.measure.protocol import EnergyProtocol
from flashsim_prod.production.measure.workloads import WorkerProgram, WorkerTask
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.library import BundleFound
from flashsim_prod.production.order.plan import Order


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
    order = make_order(events=None, source=NanoFiles(files=(InputFile(url="/gen.root", entries=30),)))
    monkeypatch.setattr(workloads, "make_order", lambda typed: (order, found))
    monkeypatch.setattr(workloads, "worker_command", fake_physics.fake_command)
    # a stand-in needs no second warm-up to be fast
    monkeypatch.setattr(workloads, "_LEAST_WARM_UP_S", 0.0)
    task = WorkerTask(device=Device.CPU, inputs=("/gen.root",), copies=2, threads=2)
    return WorkerProgram(task, tmp_path / "scratch")


class WorkClock:
    """Time that passes only as a copy makes events, so many a second, however fast this machine is."""

    def __init__(self, program: WorkerProgram, hz: float) -> None:
        self._program, self._hz = program, hz

    def now_s(self) -> float:
        """Seconds since the start of the newest run."""
        log = max(self._program.scratch.glob("run*/copy0/log.txt"))
        return log.read_text().count('{"events": ') * EVENTS_A_MARK / self._hz


#: how often the stand-in of the worker tells how far it is
EVENTS_A_MARK = 5


@pytest.mark.parametrize("faster", [1, 3])
def test_runs_are_as_long_as_they_must_be_however_fast_the_machine_becomes(
    program: WorkerProgram, tmp_path: Path, faster: int
) -> None:
    program.warm_up(time.monotonic, ended)
    runs_before = len(list((tmp_path / "scratch").iterdir()))
    report = program._report()
    hz = faster * report.events / sum(s for step, s in report.timings_s.items() if step != "startup")
    clock = WorkClock(program, hz)
    run = program.start(0.0, 0.5)
    while not run.is_over(clock.now_s()):
        time.sleep(0.001)
    lasted_s = clock.now_s()
    run.stop()
    copies = run.counts()
    assert len(copies) == 2
    # the clock knows of whole marks only
    assert lasted_s + EVENTS_A_MARK / hz >= 0.5
    # all that was made in its time is counted, up to a last mark after it
    for copy in copies:
        assert copy.marks[-1].events == copy.events
        assert copy.marks[-1].t_s >= 0.5
        assert len(copy.marks) > 5
    assert copies[0].events >= 0.5 * hz - EVENTS_A_MARK
    again = program.start(0.0, 0.1)
    again.stop()
    names = [path.name for path in (tmp_path / "scratch").iterdir()]
    assert names == [f"run{runs_before + 2:03d}"]


def test_a_run_gets_work_for_longer_than_its_time_and_asks_no_space_for_it(program: WorkerProgram) -> None:
    program._seconds_per_gen_event = 0.05
    program.start(0.0, 4.0).stop()
    request = program._request()
    assert request.gen_events == 8 * 80
    # the input of 30 gen events is read several times for it
    assert len(request.source.files) == 22
    space = request.events * request.site.rates.bytes_per_event
    assert space == pytest.approx(80 * 10 * program._order.site.rates.bytes_per_event)


def test_no_chunk_takes_longer_than_a_run(program: WorkerProgram) -> None:
    program._seconds_per_gen_event = 0.5
    program.start(0.0, 4.0).stop()
    assert program._request().site.resources.chunk_events == 8 * 10


def test_a_warm_up_that_is_over_in_no_time_is_repeated_with_more_events(
    program: WorkerProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(workloads, "_LEAST_WARM_UP_S", 1.0)
    monkeypatch.setattr(program, "run_once", lambda now_s, poll: asked.append(program._gen_events))

    class Report:
        @property
        def gen_events(self) -> int:
            return asked[-1]

        @property
        def timings_s(self) -> dict[str, float]:
            return {"startup": 9.0, "simulate": 0.1 + asked[-1] / 1000}

    monkeypatch.setattr(program, "_report", Report)
    program.warm_up(time.monotonic, ended)
    assert asked == [200, 1600]
    assert program._seconds_per_gen_event == pytest.approx(1.7 / 1600)


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
        make_workloads(EnergyProtocol(modes=(mode,)), tmp_path)


@pytest.mark.parametrize("name", ["command", "count", "count_file"])
def test_an_option_that_no_mode_takes(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"--{name.replace('_', '-')} is for --mode fullsim"):
        make_workloads(EnergyProtocol(modes=(Mode.IDLE,), **{name: "x"}), tmp_path)


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
        protocol = EnergyProtocol(modes=(Mode.COMMAND,), command=copy, count_file=path)
        (made,) = make_workloads(protocol, tmp_path / path[-5:] / str(line))
        time.sleep(0.01)
        run = ended(made.start(0.0, 1.0))
        if line is None:
            assert [one.events for one in run.counts()] == [7]
        else:
            with pytest.raises(MeasurementError, match=line):
                run.counts()
