"""The CommandExecutor section of the HEP Benchmark Suite's report, out and in.

The suite keeps ``plugins.CommandExecutor.{pre,<benchmark>,post}.<metric>`` with the start and end time, the
values, their statistics and the metric's configuration, but no time for each value, and polls every 10 s
at the fastest. What comes in is therefore spread evenly over its phase, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from statistics import fmean, stdev

from pydantic import BaseModel, ConfigDict, Field

from flashsim_prod import __version__
from flashsim_prod.core.choices import Mode
from flashsim_prod.energy.meters.base import LIMITS_W
from flashsim_prod.energy.record import (
    Channel,
    Configuration,
    CopyCount,
    Cycle,
    Machine,
    Measurement,
    MeterAccuracy,
    Response,
    Schedule,
    Scope,
    Window,
)
from flashsim_prod.errors import InputError

#: channel of this project to metric of the suite
SERVER_METRIC = "power-consumption"
_COMMANDS = {
    Scope.SERVER: ("ipmitool dcmi power reading", r"Instantaneous power reading:\s*(?P<value>\d+) Watts"),
    Scope.GPU: (
        "nvidia-smi --query-gpu=power.draw --format=csv,noheader,nounits -i {index}",
        r"(?P<value>\d+(\.\d+)?)",
    ),
}
_PHASES = ("before", "run", "after")
_WATTS = ("w", "watt", "watts")


class _Config(BaseModel):
    model_config = ConfigDict(extra="allow")
    unit: str = "W"
    interval_mins: float | None = None


class _Metric(BaseModel):
    model_config = ConfigDict(extra="allow")
    start_time: datetime
    end_time: datetime
    values: list[float] = Field(min_length=1)
    config: _Config = _Config()


def to_suite(measurement: Measurement) -> dict[str, object]:
    """The section for a measurement: each cycle a benchmark, idle of the first and last as pre and post."""
    phases: dict[str, object] = {}
    for number, cycle in enumerate(measurement.cycles, start=1):
        named = {"before": "pre", "run": f"{cycle.configuration}-{number}", "after": "post"}
        for phase in _PHASES:
            if named[phase] not in ("pre",) or number == 1:
                phases[named[phase]] = _phase(measurement, cycle, getattr(cycle, phase))
    return {"plugins": {"CommandExecutor": phases}}


def from_suite(report: object, where: str, rates_hz: Mapping[str, float]) -> Measurement:
    """A measurement from a report of the suite.

    Parameters
    ----------
    report : object
        The parsed JSON.
    where : str
        The file it came from, for errors.
    rates_hz : Mapping
        Events per second of each benchmark to be taken, which the section does not know.

    Raises
    ------
    InputError
        If it has no such section, or lacks a phase or a benchmark.
    """
    phases = _section(report, where)
    unknown = sorted({"pre", "post", *rates_hz} - phases.keys())
    if unknown:
        raise InputError(f"{where}: its CommandExecutor section lacks {', '.join(unknown)}")
    powerless = sorted(phase for phase in ("pre", "post", *rates_hz) if not phases[phase])
    if powerless:
        raise InputError(f"{where}: {', '.join(powerless)} holds no metric in W")
    start = min(metric.start_time for metric in phases["pre"].values())
    cycles = tuple(_cycle(phases, name, hz, start, where) for name, hz in rates_hz.items())
    interval_s = max((metric.config.interval_mins or 0) * 60 for metric in phases["pre"].values()) or 10.0
    meters = sorted({channel.meter for cycle in cycles for channel in cycle.channels})
    return Measurement(
        created=start,
        software_version=__version__,
        node=_unknown_node(where),
        meters={name: MeterAccuracy(gain=0.03, offset_w=0.0, quantum_w=1.0) for name in meters},
        response=Response(refresh_s=interval_s, lag_s=0.0, source="assumed: the suite's interval"),
        schedule=Schedule(
            interval_s=interval_s,
            idle_s=interval_s,
            run_s=interval_s,
            cycles=1,
            foreign_limit_cores=1e3,
            quick=True,
        ),
        configurations=tuple(Configuration(label=name, mode=Mode.COMMAND) for name in rates_hz),
        cycles=cycles,
        notes=(f"from {where}: times of single readings are not recorded there, they are spread evenly",),
    )


def _section(report: object, where: str) -> dict[str, dict[str, _Metric]]:
    found: object = report
    for key in ("plugins", "CommandExecutor"):
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise InputError(f"{where}: it has no plugins.CommandExecutor section")
    try:
        return {
            str(phase): {
                str(name): _Metric.model_validate(metric)
                for name, metric in metrics.items()
                # frequencies, loads and memory stand there too, where the suite was told to record them
                if str(metric.get("config", {}).get("unit", "W")).lower() in _WATTS
            }
            for phase, metrics in found.items()
        }
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"{where}: its CommandExecutor section is broken: {' '.join(str(error).split())}"
        ) from error


def _unknown_node(where: str) -> Machine:
    return Machine(
        host=f"unknown, of {where}",
        cpu="unknown",
        sockets=1,
        physical_cores=1,
        logical_cores=1,
        memory_mb=0,
        kernel="unknown",
    )


def _cycle(
    phases: Mapping[str, Mapping[str, _Metric]], name: str, hz: float, start: datetime, where: str
) -> Cycle:
    parts = (phases["pre"], phases[name], phases["post"])
    windows = [_window(part, start) for part in parts]
    names = [metric for metric in phases[name] if all(metric in part for part in parts)]
    if not names:
        raise InputError(f"{where}: no metric in W is in all of pre, {name} and post")
    return Cycle(
        configuration=name,
        before=windows[0],
        run=windows[1],
        after=windows[2],
        copies=(CopyCount(events=max(1, round(hz * windows[1].length_s))),),
        channels=tuple(_channel(metric, [part[metric] for part in parts], start) for metric in names),
    )


def _window(metrics: Mapping[str, _Metric], start: datetime) -> Window:
    first = min(metric.start_time for metric in metrics.values())
    last = max(metric.end_time for metric in metrics.values())
    return Window(start_s=(first - start).total_seconds(), end_s=(last - start).total_seconds())


def _channel(name: str, metrics: list[_Metric], start: datetime) -> Channel:
    readings = [pair for metric in metrics for pair in _spread(metric, start)]
    is_gpu = "gpu" in name.lower()
    scope = Scope.GPU if is_gpu else Scope.SERVER
    return Channel(
        meter="hep-benchmark-suite",
        name=name if is_gpu else "server",
        scope=scope,
        t_s=tuple(t_s for t_s, _ in readings),
        # the suite keeps what its expression finds, a BMC's 0 and 65535 too
        power_w=tuple(power_w if 0 < power_w <= LIMITS_W[scope] else None for _, power_w in readings),
        energy_j=(None,) * len(readings),
    )


def _spread(metric: _Metric, start: datetime) -> Iterator[tuple[float, float]]:
    """Values in the middles of equal parts of their phase."""
    first_s = (metric.start_time - start).total_seconds()
    step_s = (metric.end_time - metric.start_time).total_seconds() / len(metric.values)
    for index, power_w in enumerate(metric.values):
        yield first_s + (index + 0.5) * step_s, power_w


def _phase(measurement: Measurement, cycle: Cycle, window: Window) -> dict[str, object]:
    metrics: dict[str, object] = {}
    for channel in cycle.channels:
        values = [
            power_w
            for t_s, power_w in zip(channel.t_s, channel.power_w, strict=True)
            if power_w is not None and window.start_s <= t_s <= window.end_s
        ]
        if values and channel.scope in _COMMANDS:
            metrics[_metric_name(channel)] = _metric(measurement, channel, window, values)
    return metrics


def _metric_name(channel: Channel) -> str:
    return SERVER_METRIC if channel.scope is Scope.SERVER else f"{channel.name}-power-consumption"


def _metric(
    measurement: Measurement, channel: Channel, window: Window, values: list[float]
) -> dict[str, object]:
    command, regex = _COMMANDS[channel.scope]
    return {
        "start_time": _time(measurement, window.start_s),
        "end_time": _time(measurement, window.end_s),
        "values": values,
        "statistics": {
            "mean": fmean(values),
            "min": min(values),
            "max": max(values),
            "stdev": stdev(values) if len(values) > 1 else 0.0,
            "count": len(values),
        },
        "config": {
            "command": command.format(index=channel.name.removeprefix("gpu")),
            "regex": regex,
            "unit": "W",
            "interval_mins": measurement.schedule.interval_s / 60,
            "aggregation": "sum",
        },
    }


def _time(measurement: Measurement, t_s: float) -> str:
    return (measurement.created + timedelta(seconds=t_s)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
