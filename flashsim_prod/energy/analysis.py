"""From a record to figures: a pure function, so that anyone can do it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from flashsim_prod.energy.conventions import Convention, Power, Share, Subtraction, share_of_one, subtractions
from flashsim_prod.energy.meter import Scope
from flashsim_prod.energy.plateau import AGREEMENT, VoidWindowError, is_stuck, mean_power
from flashsim_prod.energy.rates import Rate, event_rate
from flashsim_prod.energy.record import (
    Channel,
    Configuration,
    Cycle,
    Measurement,
    MeterAccuracy,
    Mode,
    Node,
    Response,
    Schedule,
    Window,
)
from flashsim_prod.energy.uncertainty import Estimate, combine, uniform
from flashsim_prod.errors import MeasurementError

#: idle before and after may differ by this part of load - idle, or by this power [W]
DRIFT_PART, DRIFT_W = 0.25, 5.0
#: a GPU that draws this much more under load is not unused [W]; meters are good to 5 W
UNUSED_GPU_W = 10.0
#: work that adds less to an idle machine cannot be told from it [W]
LEAST_W = 1.0


@dataclass(frozen=True)
class CycleFigures:
    """What one cycle says.

    Attributes
    ----------
    power : Power
    before_w, after_w : float
        Idle power before and after [W].
    rate : Rate or None
        ``None`` for work that counts no events.
    disagreement : float
        Largest relative difference between a GPU's energy counter and its polled power.
    busy_gpus : tuple of str
        GPUs that drew more under load although the work is said not to use them.
    """

    power: Power
    before_w: float
    after_w: float
    rate: Rate | None
    disagreement: float
    busy_gpus: tuple[str, ...] = ()

    @property
    def drift_w(self) -> float:
        """How far idle moved during the cycle [W]."""
        return abs(self.after_w - self.before_w)


@dataclass(frozen=True)
class Row:
    """The figures of one configuration.

    Attributes
    ----------
    load_w, idle_w : Estimate
        Mean power under load and idle [W].
    subtracted_w, net_w : dict
        By convention [W].
    rate_hz : Estimate or None
        Events per second of all copies.
    energy_j : dict
        Joules per event by convention; empty for work that counts no events.
    run_j : Estimate
        Joules of a whole run, all power.
    """

    configuration: Configuration
    load_w: Estimate
    idle_w: Estimate
    subtracted_w: dict[Convention, float]
    net_w: dict[Convention, float]
    rate_hz: Estimate | None
    energy_j: dict[Convention, Estimate]
    run_j: Estimate
    run_s: float
    cycles: int
    void: tuple[str, ...]
    covers: str
    remarks: tuple[str, ...]


def counted_channels(cycle: Cycle) -> list[Channel]:
    """The channels that make up the power: the server alone, or else all GPUs and CPUs."""
    server = [channel for channel in cycle.channels if channel.scope is Scope.SERVER]
    return server or list(cycle.channels)


def covers(cycle: Cycle) -> str:
    """What the counted channels cover, for people; without a server meter a lower bound."""
    scopes = {channel.scope for channel in counted_channels(cycle)}
    if Scope.SERVER in scopes:
        return "whole server"
    parts = " and ".join(name for scope, name in ((Scope.GPU, "GPU"), (Scope.CPU, "CPU")) if scope in scopes)
    return f"lower bound: {parts} only"


def void_reason(
    cycle: Cycle, configuration: Configuration, response: Response, schedule: Schedule
) -> str | None:
    """Why `cycle` gives no number, or ``None``."""
    foreign = max(cycle.foreign_cores.values(), default=0.0)
    if foreign > schedule.foreign_limit_cores:
        return f"others kept {foreign:.2f} CPU cores busy (limit {schedule.foreign_limit_cores:g})"
    if configuration.mode is not Mode.IDLE:
        # GPUs that are not used may well say the same all the time
        busy = [
            one
            for one in counted_channels(cycle)
            if one.scope is not Scope.GPU or one.name in configuration.gpus
        ]
        stuck = [channel.name for channel in busy if is_stuck(channel)]
        if stuck:
            return f"{stuck[0]} is stuck: it said the same through idle, run and idle"
    try:
        figures = cycle_figures(cycle, configuration, response)
    except VoidWindowError as error:
        causes = "; ".join(f"{trouble.text} ({trouble.times} times)" for trouble in cycle.troubles)
        return f"{error}" + (f": {causes}" if causes else "")
    if figures.busy_gpus:
        return f"{', '.join(figures.busy_gpus)} worked though said to be unused; name it with --gpus"
    added_w = figures.power.load_w - figures.power.idle_w
    if figures.drift_w > max(DRIFT_W, DRIFT_PART * abs(added_w)):
        return f"idle moved from {figures.before_w:.1f} W to {figures.after_w:.1f} W"
    if configuration.mode is not Mode.IDLE and added_w <= max(LEAST_W, figures.drift_w):
        load_w, idle_w = figures.power.load_w, figures.power.idle_w
        return f"the power under load ({load_w:.1f} W) is not clearly above idle ({idle_w:.1f} W)"
    return None


def cycle_figures(cycle: Cycle, configuration: Configuration, response: Response) -> CycleFigures:
    """The mean powers and the rate of one cycle; `VoidWindowError` if it gives none."""
    rate = event_rate(cycle, response) if configuration.counts_events else None
    span = rate.window if rate else cycle.run
    plateau = Window(start_s=max(span.start_s, cycle.run.start_s + response.settle_s), end_s=span.end_s)
    load_w = before_w = after_w = disagreement = 0.0
    for channel in counted_channels(cycle):
        load = mean_power(channel, plateau)
        load_w += load.power_w
        before_w += mean_power(channel, cycle.before).power_w
        after_w += mean_power(channel, cycle.after).power_w
        disagreement = max(disagreement, load.disagreement)
    gpus = [channel for channel in cycle.channels if channel.scope is Scope.GPU]
    unused = [channel for channel in gpus if channel.name not in configuration.gpus]
    unused_w = {channel.name: mean_power(channel, plateau).power_w for channel in unused}
    resting_w = {channel.name: mean_power(channel, cycle.before).power_w for channel in unused}
    return CycleFigures(
        power=Power(load_w=load_w, idle_w=(before_w + after_w) / 2, unused_gpus_w=sum(unused_w.values())),
        before_w=before_w,
        after_w=after_w,
        rate=rate,
        disagreement=disagreement,
        busy_gpus=tuple(
            name for name, power_w in unused_w.items() if power_w > resting_w[name] + UNUSED_GPU_W
        ),
    )


def analyse(measurement: Measurement) -> tuple[Row, ...]:
    """The figures of every configuration.

    Raises
    ------
    MeasurementError
        If a configuration has no cycle that gives a number; the line says why.
    """
    return tuple(_row(measurement, configuration) for configuration in measurement.configurations)


def _row(measurement: Measurement, configuration: Configuration) -> Row:
    cycles = [cycle for cycle in measurement.cycles if cycle.configuration == configuration.label]
    response, schedule = measurement.response, measurement.schedule
    reasons = [void_reason(cycle, configuration, response, schedule) for cycle in cycles]
    good = [cycle for cycle, reason in zip(cycles, reasons, strict=True) if reason is None]
    void = tuple(reason for reason in reasons if reason)
    if not good:
        why = void[0] if void else "none ran"
        raise MeasurementError(f"{configuration.label}: no cycle of {len(cycles)} gives a number: {why}")
    figures = [cycle_figures(cycle, configuration, response) for cycle in good]
    budget = _Budget(good[0], measurement, figures)
    table = subtractions(_share(configuration, measurement.node))
    power = Power(
        *(
            fmean(getattr(one.power, name) for one in figures)
            for name in ("load_w", "idle_w", "unused_gpus_w")
        )
    )
    rates = [one.rate for one in figures if one.rate]
    run_s = fmean(cycle.run.length_s for cycle in good)
    return Row(
        configuration=configuration,
        load_w=combine([one.power.load_w for one in figures], budget.of_power(table[Convention.FULL_NODE])),
        idle_w=combine([one.power.idle_w for one in figures], budget.of_idle()),
        subtracted_w={name: one.subtracted_w(power) for name, one in table.items()},
        net_w={name: one.net_w(power) for name, one in table.items()},
        rate_hz=combine([rate.total_hz for rate in rates], {"clock": budget.of_rate()}) if rates else None,
        energy_j={name: _per_event(one, figures, configuration, budget) for name, one in table.items()}
        if rates
        else {},
        run_j=combine(
            [one.power.load_w * cycle.run.length_s for one, cycle in zip(figures, good, strict=True)],
            {cause: u * run_s for cause, u in budget.of_power(table[Convention.FULL_NODE]).items()},
        ),
        run_s=run_s,
        cycles=len(good),
        void=void,
        covers=covers(good[0]),
        remarks=tuple(_remarks(good, figures, measurement, configuration)),
    )


def _share(configuration: Configuration, node: Node) -> Share:
    return share_of_one(configuration.copies, configuration.threads, node.physical_cores, node.logical_cores)


def _per_event(
    subtraction: Subtraction, figures: Sequence[CycleFigures], configuration: Configuration, budget: _Budget
) -> Estimate:
    values, scale = [], []
    for one in figures:
        assert one.rate is not None  # for the type checker: all or none have one
        rate_hz = one.rate.total_hz / (configuration.copies if subtraction.per_copy else 1)
        values.append(subtraction.net_w(one.power) / rate_hz)
        scale.append(1 / rate_hz)
    type_b = {cause: u * fmean(scale) for cause, u in budget.of_power(subtraction).items()}
    return combine(values, {**type_b, "clock": budget.of_rate() * fmean(scale) * fmean(values)})


class _Budget:
    """Type B uncertainties of the powers of one configuration [W]."""

    def __init__(self, cycle: Cycle, measurement: Measurement, figures: Sequence[CycleFigures]) -> None:
        self._figures = figures
        self._counted = [self._accuracy(channel, measurement) for channel in counted_channels(cycle)]
        self._unused = [
            self._accuracy(channel, measurement)
            for channel in cycle.channels
            if channel.scope is Scope.GPU and channel.name not in _configured(measurement, cycle).gpus
        ]
        self._interval_s = measurement.schedule.interval_s

    def of_power(self, subtraction: Subtraction) -> dict[str, float]:
        """Of the net power: errors of gain and offset are common to all channels of a meter, so they add."""
        on_load, on_idle = 1 - subtraction.added, subtraction.added - subtraction.idle
        net_w = fmean(abs(subtraction.net_w(one.power)) for one in self._figures)
        drift_w = fmean(one.drift_w for one in self._figures)
        return {
            "meter gain": uniform(max(one.gain for one in self._counted) * net_w),
            "meter offset": uniform(sum(one.offset_w for one in self._counted) * abs(on_load + on_idle)),
            "quantisation": self._quantum_w() * math.hypot(on_load, on_idle),
            "idle drift": uniform(drift_w / 2) * abs(on_idle),
            "idle GPUs": uniform(sum(one.offset_w for one in self._unused)) * subtraction.gpus,
        }

    def of_idle(self) -> dict[str, float]:
        """Of the idle power."""
        idle_w = fmean(one.power.idle_w for one in self._figures)
        return {
            "meter gain": uniform(max(one.gain for one in self._counted) * idle_w),
            "meter offset": uniform(sum(one.offset_w for one in self._counted)),
            "quantisation": self._quantum_w(),
            "idle drift": uniform(fmean(one.drift_w for one in self._figures) / 2),
        }

    def of_rate(self) -> float:
        """Of the rate, relative to it where it is used: marks are seen one polling interval late at most."""
        spans = [one.rate.window.length_s for one in self._figures if one.rate]
        return uniform(self._interval_s / fmean(spans)) if spans else 0.0

    def _quantum_w(self) -> float:
        return math.hypot(*(uniform(one.quantum_w / 2) for one in self._counted))

    def _accuracy(self, channel: Channel, measurement: Measurement) -> MeterAccuracy:
        return measurement.meters[channel.meter]


def _configured(measurement: Measurement, cycle: Cycle) -> Configuration:
    return next(one for one in measurement.configurations if one.label == cycle.configuration)


def _remarks(
    cycles: Sequence[Cycle],
    figures: Sequence[CycleFigures],
    measurement: Measurement,
    configuration: Configuration,
) -> list[str]:
    remarks = sorted({f"{one.channel}: {one.text}" for cycle in cycles for one in cycle.troubles})
    worst = max(one.disagreement for one in figures)
    if worst > AGREEMENT:
        remarks.append(f"a GPU's energy counter and its polled power differ by {100 * worst:.0f} %")
    if len(cycles) < 2:
        remarks.append("a single cycle: no Type A uncertainty, the interval is too narrow")
    threads, logical = configuration.copies * configuration.threads, measurement.node.logical_cores
    if threads > logical:
        remarks.append(f"{threads} threads on {logical} logical cores: they wait for each other")
    return remarks
