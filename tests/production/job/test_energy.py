"""What a job says of its own energy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from flashsim_prod.core.states import Stage
from flashsim_prod.energy.meters.base import Accuracy, Meter, Reading, Scope
from flashsim_prod.energy.meters.counter import VoidWindowError
from flashsim_prod.energy.record import Channel
from flashsim_prod.energy.results.attribution import attribute
from flashsim_prod.errors import NodeError
from flashsim_prod.production.home import Home
from flashsim_prod.production.job import energy as job_energy
from flashsim_prod.production.job.energy import NodeEnergy
from flashsim_prod.production.job.worker import run_job
from flashsim_prod.production.order.plan import Plan


class Counter(Meter):
    """CPUs at a constant 100 W."""

    name = "rapl"
    accuracy = Accuracy(gain=0, offset_w=0, quantum_w=0)

    def read(self) -> tuple[Reading, ...]:
        return (Reading("package-0", Scope.CPU, energy_j=100 * time.monotonic()),)


def channel(
    name: str, scope: Scope, *, power_w: float | None = None, counter_w: float | None = None
) -> Channel:
    """Ten seconds of a constant."""
    return Channel(
        meter="m",
        name=name,
        scope=scope,
        t_s=tuple(range(11)),
        power_w=(power_w,) * 11,
        energy_j=tuple(None if counter_w is None else counter_w * t_s for t_s in range(11)),
    )


SERVER = channel("server", Scope.SERVER, power_w=250)
CPU = channel("package-0", Scope.CPU, counter_w=100)
GPUS = [channel(f"gpu{index}", Scope.GPU, power_w=60, counter_w=50) for index in range(2)]


@pytest.mark.parametrize(
    ("channels", "gpu", "joules", "source"),
    [
        ([SERVER], None, 0.5 * 2500, "whole server, by share of CPU time"),
        ([SERVER, CPU], None, 0.5 * 2500, "whole server, by share of CPU time"),
        # the server contains the GPUs; the job's own is all its own
        ([SERVER, *GPUS], "gpu1", 0.5 * (2500 - 1000) + 500, "whole server, by share of CPU time"),
        ([CPU], None, 0.5 * 1000, "lower bound: CPU only, by share of CPU time"),
        ([CPU, *GPUS], "gpu0", 0.5 * 1000 + 500, "lower bound: GPU and CPU, by share of CPU time"),
        (GPUS, "gpu0", 500, "lower bound: GPU only"),
    ],
)
def test_a_job_s_part(channels: list[Channel], gpu: str | None, joules: float, source: str) -> None:
    found = attribute(channels, 10.0, cpu_share=0.5, gpu=gpu)
    assert found is not None
    assert (found.energy_j, found.source) == (pytest.approx(joules), source)


@pytest.mark.parametrize(
    ("channels", "gpu"),
    [([], None), (GPUS, None), ([SERVER], "gpu0"), ([channel("server", Scope.SERVER)], None)],
)
def test_what_no_meter_can_tell_is_no_number(channels: list[Channel], gpu: str | None) -> None:
    assert attribute(channels, 10.0, cpu_share=0.5, gpu=gpu) is None


MUTE = channel("gpu1", Scope.GPU)


@pytest.mark.parametrize(
    ("channels", "joules", "source"),
    [
        ([SERVER, MUTE], 1250, "whole server without a reading of gpu1, by share of CPU time"),
        ([CPU, channel("package-0-dram", Scope.CPU)], 500,
         "lower bound: CPU only without a reading of package-0-dram, by share of CPU time"),
    ],
)  # fmt: skip
def test_what_is_not_in_a_job_s_energy_is_said(channels: list[Channel], joules: float, source: str) -> None:
    found = attribute(channels, 10.0, cpu_share=0.5, gpu=None)
    assert found is not None
    assert (found.energy_j, found.source) == (pytest.approx(joules), source)


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ([1000 + 100 * t_s for t_s in range(6)] + [100 * t_s for t_s in range(5)], "was reset"),
        ([500.0] * 11, "stood still"),
        ([19_038.0 * t_s for t_s in range(11)], "19,038 W where no more than 1,000 W is plausible"),
    ],
)
def test_a_counter_that_makes_no_sense_is_no_energy(counts: list[float], line: str) -> None:
    wrong = CPU.model_copy(update={"energy_j": tuple(counts)})
    with pytest.raises(VoidWindowError, match=line):
        attribute([wrong], 10.0, cpu_share=0.5, gpu=None)


class Stuck(Counter):
    """CPUs whose counter stands still."""

    def read(self) -> tuple[Reading, ...]:
        return (Reading("package-0", Scope.CPU, energy_j=12.0),)


class Mute(Counter):
    """CPUs that cannot be read."""

    def read(self) -> tuple[Reading, ...]:
        return (Reading("package-0", Scope.CPU, trouble="permission denied"),)


@pytest.mark.parametrize(
    ("meter", "line"),
    [(Stuck, "package-0 stood still"), (Mute, "no meter tells .* (package-0: permission denied)")],
)
def test_a_report_says_why_a_meter_gave_no_energy(
    home: Home,
    placed: Callable[..., Plan],
    fake_physics: Any,
    monkeypatch: pytest.MonkeyPatch,
    meter: type[Counter],
    line: str,
) -> None:
    monkeypatch.setattr(job_energy, "_found", lambda: (meter(),))
    folder = home.folder(placed(events=80, events_per_job=20, per_merge=2).request.name)
    report = run_job(Stage.SIMULATE, folder.request, 0)
    assert (report.energy_j, report.energy_from) == (None, None)
    assert re.search(line.replace("(", r"\(").replace(")", r"\)"), report.energy_void or "")


def test_a_job_reports_its_energy(
    home: Home, placed: Callable[..., Plan], fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_energy, "_found", lambda: (Counter(),))
    folder = home.folder(placed(events=80, events_per_job=20, per_merge=2).request.name)
    report = run_job(Stage.SIMULATE, folder.request, 0)
    assert report.energy_from == "lower bound: CPU only, by share of CPU time"
    assert report.energy_j is not None
    assert report.energy_void is None
    assert 0 <= report.energy_j <= 100 * (report.ended - report.started).total_seconds() + 1


def test_a_node_without_meter_reports_none(
    home: Home, placed: Callable[..., Plan], fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*given: object, **named: object) -> object:
        raise NodeError("no power meter works on this machine")

    monkeypatch.setattr(job_energy, "find_meters", none)
    folder = home.folder(placed(events=80, events_per_job=20, per_merge=2).request.name)
    report = run_job(Stage.SIMULATE, folder.request, 0)
    assert (report.energy_j, report.energy_from, report.energy_void) == (None, None, None)


def test_energy_is_integrated_while_the_block_runs() -> None:
    watch = NodeEnergy([Counter()], interval_s=0.05)
    start_s, used_s = time.monotonic(), time.process_time()
    with watch:
        # CPU time in ticks of 10 ms; how long that takes is up to the machine
        while time.process_time() - used_s < 0.2:
            pass
    lasted_s = time.monotonic() - start_s
    found = watch.of_this_job(on_gpu=False)
    assert found is not None
    assert 0 < found.energy_j <= 100 * lasted_s
