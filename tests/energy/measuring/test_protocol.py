"""Cycles on a machine whose truth is known: what voids them, what stops a measurement."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from bmc_sim import Realism
from machine import FastClock, Machine, TextMeter, Work

from flashsim_prod.energy.measuring.protocol import Bench, make_schedule, run_cycles
from flashsim_prod.energy.measuring.response import measure_response, probe
from flashsim_prod.energy.meters.base import Reading, Scope
from flashsim_prod.energy.meters.recorder import Recorder
from flashsim_prod.energy.record import Cycle, Response
from flashsim_prod.energy.results.figures import void_reason
from flashsim_prod.errors import MeasurementError

RESPONSE = Response(refresh_s=1, lag_s=0, source="given")


class Watch:
    """Others that keep as many cores busy as a test wants."""

    def __init__(self, cores: float) -> None:
        self._cores = cores

    def restart(self, now_s: float) -> None:
        pass

    def cores(self, now_s: float) -> float:
        return self._cores


def one_cycle(
    *, at: dict[float, str] | None = None, fault_file: Path | None = None, foreign: float = 0.0
) -> tuple[Cycle, str | None]:
    """10 s idle, 20 s run, 10 s idle, with the BMC's faults switched on `at` some times [s]."""
    machine = Machine(FastClock(), Realism(noise_w=2, fault_file=fault_file))
    meter = _FaultyMeter(machine, at, fault_file) if at and fault_file else TextMeter(machine)
    schedule = make_schedule(RESPONSE, quick=True, run_s=20, idle_s=10)
    work = Work(machine)
    cycle = Bench([meter], machine.clock, 0.0, RESPONSE, schedule, Watch(foreign)).cycle(work)
    return cycle, void_reason(cycle, work.configuration, RESPONSE, schedule)


class _FaultyMeter(TextMeter):
    """A BMC that breaks and heals at given times."""

    def __init__(self, machine: Machine, at: dict[float, str], fault_file: Path) -> None:
        super().__init__(machine)
        self._at, self._fault_file = at, fault_file

    def read(self):  # type: ignore[no-untyped-def]
        now_s = self._machine.clock.now_s()
        past = [fault for start_s, fault in self._at.items() if start_s <= now_s]
        self._fault_file.write_text(past[-1] if past else "ok")
        return super().read()


def test_a_good_cycle() -> None:
    cycle, reason = one_cycle()
    assert reason is None
    assert cycle.run.length_s == pytest.approx(20, abs=0.6)


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ({0.0: "stuck"}, "is stuck"),
        ({22.0: "stuck"}, "idle moved from"),
        ({10.5: "stuck", 15.0: "ok"}, "a quarter of the run is"),
        ({15.0: "zero", 18.0: "ok"}, "readings of server are missing: the BMC reads 0 W"),
        ({15.0: "max", 18.0: "ok"}, "readings of server are missing: the BMC reads 65535 W"),
    ],
)
def test_a_fault_during_a_cycle_voids_it(at: dict[float, str], line: str, tmp_path: Path) -> None:
    _, reason = one_cycle(at=at, fault_file=tmp_path / "fault")
    assert reason is not None
    assert line in reason


def test_a_meter_that_says_something_else_each_time_is_quoted_briefly() -> None:
    machine = Machine(FastClock(), Realism(noise_w=5))
    meter = TextMeter(machine)
    said = iter(range(10**6))
    meter.read = lambda: (Reading("server", Scope.SERVER, trouble=f"nonsense {next(said)}"),)  # type: ignore[method-assign]
    schedule = make_schedule(RESPONSE, quick=True, run_s=20, idle_s=10)
    work = Work(machine)
    cycle = Bench([meter], machine.clock, 0.0, RESPONSE, schedule).cycle(work)
    reason = void_reason(cycle, work.configuration, RESPONSE, schedule)
    assert reason is not None
    assert reason.count("nonsense") == 3
    assert reason.endswith(f"; {len(cycle.troubles) - 3} other remarks")


def test_readings_go_on_while_the_meter_settles() -> None:
    cycle, _ = one_cycle()
    times = cycle.channels[0].t_s
    assert max(later - earlier for earlier, later in pairwise(times)) < 1
    assert cycle.after.start_s - cycle.run.end_s == pytest.approx(RESPONSE.settle_s, abs=0.5)


def test_others_at_work_void_a_cycle() -> None:
    _, reason = one_cycle(foreign=1.5)
    assert reason == "others kept 1.50 CPU cores busy (limit 0.5)"


def test_void_cycles_are_repeated_a_few_times() -> None:
    machine = Machine(FastClock(), Realism(noise_w=2))
    schedule = make_schedule(RESPONSE, quick=True, run_s=20, idle_s=10)
    bench = Bench([TextMeter(machine)], machine.clock, 0.0, RESPONSE, schedule)
    verdicts = iter(["void", None, None, "void", None])
    cycles = run_cycles(bench, [Work(machine)], lambda _: next(verdicts), random.Random(1))
    assert len(cycles) == 5


def test_configurations_run_in_random_order() -> None:
    machine = Machine(FastClock(), Realism(noise_w=2))
    schedule = make_schedule(RESPONSE, quick=True, run_s=20, idle_s=10, cycles=6)
    bench = Bench([TextMeter(machine)], machine.clock, 0.0, RESPONSE, schedule)
    works = [Work(machine, label=label) for label in ("a", "b")]
    cycles = run_cycles(bench, works, lambda _: None, random.Random(1))
    order = [cycle.configuration for cycle in cycles]
    rounds = {tuple(order[first : first + 2]) for first in range(0, 12, 2)}
    assert rounds == {("a", "b"), ("b", "a")}


def test_a_run_that_is_too_short_says_how_long_it_must_be() -> None:
    machine = Machine(FastClock(), Realism())
    response = Response(refresh_s=1, lag_s=3, source="given")
    schedule = make_schedule(response, idle_s=10)
    bench = Bench([TextMeter(machine)], machine.clock, 0.0, response, schedule)
    with pytest.raises(MeasurementError, match="must last at least 400 s"):
        bench.cycle(Work(machine, run_s=30))
    with pytest.raises(MeasurementError, match="must last at least 400 s"):
        make_schedule(response, run_s=30)


@pytest.mark.parametrize(
    ("realism", "load_w", "line"),
    [
        ({"fault": "stuck"}, 253.0, "is stuck"),
        ({"update_s": 30.0}, 253.0, "changed only"),
        ({"noise_w": 4.0}, 162.0, "too little to tell its lag"),
    ],
)
def test_a_meter_whose_answer_cannot_be_told(realism: dict[str, object], load_w: float, line: str) -> None:
    machine = Machine(FastClock(), Realism(**realism), load_w=load_w)  # type: ignore[arg-type]
    recorder = Recorder([TextMeter(machine)], machine.clock, 0.0)
    channels, on = probe(recorder, machine.clock, machine.load, interval_s=0.2, phase_s=40)
    with pytest.raises(MeasurementError, match=line):
        measure_response(channels[0], on, 0.2)


def test_the_load_of_a_probe_is_switched_off_whatever_happens() -> None:
    machine = Machine(FastClock(), Realism())
    switched: list[bool] = []

    def load(on: bool) -> None:
        switched.append(on)

    class Broken(Recorder):
        def poll(self) -> None:
            if switched:
                raise KeyboardInterrupt

    broken: Callable[[], object] = lambda: probe(  # noqa: E731
        Broken([], machine.clock, 0.0), machine.clock, load, interval_s=0.2, phase_s=5
    )
    with pytest.raises(KeyboardInterrupt):
        broken()
    assert switched == [True, False]
