"""An energy measurement from its protocol to its record."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import psutil

from flashsim_prod import __version__
from flashsim_prod.core.sizes import format_duration
from flashsim_prod.energy.measuring.foreign import ForeignLoad
from flashsim_prod.energy.measuring.node import this_node
from flashsim_prod.energy.measuring.protocol import Bench, make_schedule, run_cycles
from flashsim_prod.energy.measuring.response import measure_response, probe, tolerated_interval
from flashsim_prod.energy.measuring.workload import Workload
from flashsim_prod.energy.meters.base import Clock, Meter, SystemClock, require_readings
from flashsim_prod.energy.meters.finding import find_meters
from flashsim_prod.energy.meters.ipmi import BmcAddress
from flashsim_prod.energy.meters.nvml import NvmlMeter
from flashsim_prod.energy.meters.recorder import Recorder
from flashsim_prod.energy.record import Cycle, Machine, Measurement, MeterAccuracy, Response, Schedule, Scope
from flashsim_prod.energy.results.figures import void_reason
from flashsim_prod.errors import MeasurementError
from flashsim_prod.production.measure.protocol import EnergyProtocol

#: where no polled power of the server tells how fast it follows
_COUNTER = Response(refresh_s=0.1, lag_s=0.0, source="assumed of an energy counter")
_POLLED_GPU = Response(refresh_s=1.0, lag_s=0.0, source="assumed: a GPU's power is a mean over 1 s")
#: a program that keeps one core busy for as long as its parent lives
_BURN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100000))"


def measure_energy(
    make_workloads: Callable[[], Sequence[Workload]],
    protocol: EnergyProtocol,
    *,
    clock: Clock | None = None,
    seed: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Measurement:
    """Find meters, learn how they follow, run the cycles.

    Parameters
    ----------
    make_workloads : callable
        Gives what to run; called once there is a meter, since an input may have to be generated.
    protocol : EnergyProtocol
    clock : Clock, optional
        The system's by default.
    seed : int, optional
        Of the order of the cycles.
    tell : callable
        Is told what goes on, a line at a time.

    Raises
    ------
    NodeError
        If no meter works.
    MeasurementError
        If a meter does not follow, or a workload fails or ends too soon.
    """
    clock = clock or SystemClock()
    found = find_meters(
        protocol.meters, clock, bmc=BmcAddress.parsed(protocol.bmc), max_power_w=protocol.max_power_w
    )
    with ExitStack() as stack:
        for meter in found.meters:
            stack.callback(meter.close)
        tell(f"meters: {', '.join(meter.name for meter in found.meters)}")
        lost = tuple(f"{meter.name}: {line}" for meter in found.meters for line in meter.lost)
        for line in (*found.absent, *lost):
            tell(f"not there: {line}")
        heard = _heard(found.meters, tell)
        created, origin_s = datetime.now(UTC), clock.now_s()
        response = _response(found.meters, protocol, clock, origin_s, tell)
        schedule = make_schedule(
            response,
            interval_s=protocol.interval_s,
            cycles=protocol.cycles,
            idle_s=protocol.idle_s,
            run_s=protocol.run_s,
            foreign_limit_cores=protocol.foreign_cores,
            quick=protocol.quick,
        )
        workloads = make_workloads()
        _check_gpus(found.meters, workloads)
        tell(_plan_line(schedule, len(workloads)))
        bench = Bench(found.meters, clock, origin_s, response, schedule, ForeignLoad())
        cycles = _cycles(bench, workloads, random.Random(seed), heard, tell)
        return Measurement(
            created=created,
            software_version=__version__,
            node=_node(found.meters),
            meters={meter.name: _accuracy(meter) for meter in found.meters},
            absent_meters=found.absent,
            lost=lost,
            response=response,
            schedule=schedule,
            configurations=tuple(workload.configuration for workload in workloads),
            cycles=tuple(cycles),
        )


def _cycles(
    bench: Bench,
    workloads: Sequence[Workload],
    order: random.Random,
    heard: frozenset[str],
    tell: Callable[[str], None],
) -> list[Cycle]:
    known = {workload.configuration.label: workload.configuration for workload in workloads}

    def why_void(cycle: Cycle) -> str | None:
        return void_reason(cycle, known[cycle.configuration], bench.response, bench.schedule, heard)

    def ended(cycle: Cycle, reason: str | None) -> None:
        how = f"void: {reason}" if reason else f"run of {cycle.run.length_s:.0f} s"
        tell(f"{cycle.configuration}: {how}")

    return run_cycles(bench, workloads, why_void, order, ended=ended)


def _heard(meters: Sequence[Meter], tell: Callable[[str], None]) -> frozenset[str]:
    """Channels that give readings; of others it is told that they do not, and how to do without."""
    heard = set()
    for meter in meters:
        others = [f"--meter {other.name}" for other in meters if other is not meter]
        way_out = f"; {' '.join(others)} measures without {meter.name}" if others else ""
        for reading in meter.read():
            if reading.is_missing and reading.scope is not Scope.SERVER:
                tell(f"{reading.channel} gives no reading: {reading.trouble}{way_out}")
            else:
                heard.add(reading.channel)
    return frozenset(heard)


def _check_gpus(meters: Sequence[Meter], workloads: Sequence[Workload]) -> None:
    """Without a server's power, the GPU that works must be seen: no cycle would give a number."""
    readings = [reading for meter in meters for reading in meter.read()]
    if any(reading.scope is Scope.SERVER for reading in readings):
        return
    blind = {one.channel: one.trouble for one in readings if one.scope is Scope.GPU and one.is_missing}
    for workload in workloads:
        used = next((gpu for gpu in workload.configuration.gpus if gpu in blind), None)
        if used is not None:
            raise MeasurementError(
                f"{workload.configuration.label}: {used} does the work but gives no reading ({blind[used]}), "
                "and there is no server's meter that would contain it; name the server's BMC with --bmc"
            )


def _response(
    meters: Sequence[Meter],
    protocol: EnergyProtocol,
    clock: Clock,
    origin_s: float,
    tell: Callable[[str], None],
) -> Response:
    if protocol.refresh_s is not None:
        return Response(refresh_s=protocol.refresh_s, lag_s=protocol.lag_s or 0.0, source="given")
    if protocol.lag_s is not None:
        tell("the lag that is given is not taken, since the refresh that goes with it is not given")
    server = [meter for meter in meters if _has_server(meter, clock)]
    if not server:
        readings = [one for meter in meters for one in meter.read() if not one.is_missing]
        counts = all(one.energy_j is not None for one in readings)
        return _COUNTER if counts else _POLLED_GPU
    interval_s = tolerated_interval(server, clock)
    phase_s = protocol.probe_s or (8.0 if protocol.quick else 40.0)
    tell(f"measuring refresh and lag of {server[0].name}: {3 * phase_s:.0f} s, full load in the middle third")
    recorder = Recorder(server, clock, origin_s)
    with _Burners() as burners:
        channels, on = probe(recorder, clock, burners.switch, interval_s=interval_s, phase_s=phase_s)
    response = measure_response(channels[0], on, interval_s)
    tell(f"refresh {response.refresh_s:g} s, lag {response.lag_s:g} s")
    return response


class _Burners:
    """A load on every core, to see how a meter follows."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> _Burners:
        return self

    def __exit__(self, *_: object) -> None:
        self.switch(False)

    def switch(self, on: bool) -> None:
        """Start or end the load."""
        if on:
            command = [sys.executable, "-c", _BURN]
            self._processes = [subprocess.Popen(command) for _ in range(psutil.cpu_count() or 1)]
            return
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes = []


def _has_server(meter: Meter, clock: Clock) -> bool:
    return any(one.scope is Scope.SERVER for one in require_readings(meter, clock))


def _accuracy(meter: Meter) -> MeterAccuracy:
    known = meter.accuracy
    return MeterAccuracy(gain=known.gain, offset_w=known.offset_w, quantum_w=known.quantum_w)


def _node(meters: Sequence[Meter]) -> Machine:
    nvml = next((meter for meter in meters if isinstance(meter, NvmlMeter)), None)
    return this_node(nvml.titles(), nvml.persistence()) if nvml else this_node()


def _plan_line(schedule: Schedule, workloads: int) -> str:
    seconds = workloads * schedule.cycles * (schedule.run_s + 2 * schedule.idle_s)
    kind = "rough figure" if schedule.quick else "measurement"
    return (
        f"{kind}: {schedule.cycles} x {schedule.idle_s:.0f} s idle, at least {schedule.run_s:.0f} s "
        f"run, {schedule.idle_s:.0f} s idle; about {format_duration(seconds)}"
    )
