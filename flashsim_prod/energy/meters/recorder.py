"""Polling meters: raw readings with the time at which each was taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flashsim_prod.energy.meters.base import Clock, Meter, Reading, Scope
from flashsim_prod.energy.record import Channel, Trouble


@dataclass
class _Trace:
    meter: str
    scope: Scope
    t_s: list[float] = field(default_factory=list)
    power_w: list[float | None] = field(default_factory=list)
    energy_j: list[float | None] = field(default_factory=list)
    range_j: float | None = None
    limit_w: float | None = None


class Recorder:
    """Keeps what meters say; times count from `origin_s` of the clock."""

    def __init__(self, meters: Sequence[Meter], clock: Clock, origin_s: float) -> None:
        self._meters, self._clock, self._origin_s = meters, clock, origin_s
        self._traces: dict[str, _Trace] = {}
        self._troubles: dict[tuple[str, str], Trouble] = {}

    def now_s(self) -> float:
        """Now, on the clock of the measurement [s]."""
        return self._clock.now_s() - self._origin_s

    def poll(self) -> None:
        """Read every meter once. The time of a reading is the middle of asking for it."""
        for meter in self._meters:
            asked_s = self.now_s()
            readings = meter.read()
            t_s = (asked_s + self.now_s()) / 2
            for reading in readings:
                self._keep(meter.name, t_s, reading)

    def poll_until(self, end_s: float, interval_s: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Poll every `interval_s` until `end_s`, or until `stop` says so."""
        due_s = self.now_s()
        while due_s < end_s and not stop():
            self.poll()
            # a slow answer delays the next question; missed ones are not caught up with
            due_s = max(due_s + interval_s, self.now_s())
            self._clock.sleep(min(due_s, end_s) - self.now_s())

    def channels(self) -> tuple[Channel, ...]:
        """All that was read so far."""
        return tuple(
            Channel(
                meter=trace.meter,
                name=name,
                scope=trace.scope,
                t_s=tuple(round(t_s, 4) for t_s in trace.t_s),
                power_w=tuple(trace.power_w),
                energy_j=tuple(trace.energy_j),
                range_j=trace.range_j,
                limit_w=trace.limit_w,
            )
            for name, trace in self._traces.items()
        )

    def troubles(self) -> tuple[Trouble, ...]:
        """What meters complained about, in order of first occurrence."""
        return tuple(self._troubles.values())

    def _keep(self, meter: str, t_s: float, reading: Reading) -> None:
        trace = self._traces.setdefault(reading.channel, _Trace(meter, reading.scope))
        trace.t_s.append(t_s)
        trace.power_w.append(reading.power_w)
        trace.energy_j.append(reading.energy_j)
        trace.range_j = reading.range_j or trace.range_j
        trace.limit_w = reading.limit_w or trace.limit_w
        if reading.trouble:
            key = (reading.channel, reading.trouble)
            seen = self._troubles.get(key)
            self._troubles[key] = Trouble(
                channel=reading.channel,
                text=reading.trouble,
                first_s=seen.first_s if seen else round(t_s, 3),
                times=seen.times + 1 if seen else 1,
            )
