"""From a record to figures: a pure function, so that anyone can do it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from flashsim_prod.energy.meters.base import Scope
from flashsim_prod.energy.meters.counter import VoidWindowError
from flashsim_prod.energy.record import Configuration, Cycle, Measurement, Node
from flashsim_prod.energy.results.budget import Budget
from flashsim_prod.energy.results.conventions import (
    Convention,
    Power,
    Share,
    Subtraction,
    share_of_one,
    subtractions,
)
from flashsim_prod.energy.results.figures import (
    WHOLE,
    CycleFigures,
    counted_channels,
    covers,
    cycle_figures,
    left_out,
    silent_channels,
    void_reason,
)
from flashsim_prod.energy.results.plateau import AGREEMENT, mean_power
from flashsim_prod.energy.results.uncertainty import Estimate, combine
from flashsim_prod.errors import MeasurementError


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
    left_out : tuple of str
        What this machine has but no meter could tell of, in sentences.
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
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]


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
    heard = heard_channels(measurement)
    reasons = [void_reason(cycle, configuration, response, schedule, heard) for cycle in cycles]
    good = [cycle for cycle, reason in zip(cycles, reasons, strict=True) if reason is None]
    void = tuple(reason for reason in reasons if reason)
    if not good:
        why = void[0] if void else "none ran"
        raise MeasurementError(f"{configuration.label}: no cycle of {len(cycles)} gives a number: {why}")
    figures = [cycle_figures(cycle, configuration, response) for cycle in good]
    budget = Budget(good[0], configuration, measurement, figures)
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
        rate_hz=_rate([rate.total_hz for rate in rates], budget) if rates else None,
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
        left_out=(*left_out(good[0]), *_unnamed(good[0], measurement.lost)),
        remarks=tuple(_remarks(good, figures, measurement, configuration)),
    )


def _unnamed(cycle: Cycle, lost: Sequence[str]) -> Iterator[str]:
    where = "counted only as a part of the server" if covers(cycle) == WHOLE else "not in the figure"
    for line in lost:
        yield f"a device is {where}, its meter cannot name it ({line})"


def heard_channels(measurement: Measurement) -> frozenset[str]:
    """Channels that gave a number in any cycle: all cycles must have them, or they measure other things."""
    return frozenset(
        channel.name for cycle in measurement.cycles for channel in cycle.channels if not channel.is_silent
    )


def _share(configuration: Configuration, node: Node) -> Share:
    return share_of_one(configuration.copies, configuration.threads, node.physical_cores, node.logical_cores)


def _rate(rates_hz: Sequence[float], budget: Budget) -> Estimate:
    return combine(rates_hz, {"clock": budget.of_rate() * fmean(rates_hz)})


def _per_event(
    subtraction: Subtraction, figures: Sequence[CycleFigures], configuration: Configuration, budget: Budget
) -> Estimate:
    values, scale = [], []
    for one in figures:
        assert one.rate is not None  # for the type checker: all or none have one
        rate_hz = one.rate.total_hz / (configuration.copies if subtraction.per_copy else 1)
        values.append(subtraction.net_w(one.power) / rate_hz)
        scale.append(1 / rate_hz)
    type_b = {cause: u * fmean(scale) for cause, u in budget.of_power(subtraction).items()}
    return combine(values, {**type_b, "clock": budget.of_rate() * fmean(values)})


def _remarks(
    cycles: Sequence[Cycle],
    figures: Sequence[CycleFigures],
    measurement: Measurement,
    configuration: Configuration,
) -> list[str]:
    remarks = sorted(
        {
            f"{one.channel}: {one.text}"
            for cycle in cycles
            for one in cycle.troubles
            if one.channel not in silent_channels(cycle)
        }
        | {line for cycle in cycles for line in _nonsense_aside(cycle)}
    )
    worst = max(one.disagreement for one in figures)
    if worst > AGREEMENT:
        remarks.append(f"a GPU's energy counter and its polled power differ by {100 * worst:.0f} %")
    if len(cycles) < 2:
        remarks.append("a single cycle: no Type A uncertainty, the interval is too narrow")
    if any(one.rate and not one.rate.is_steady for one in figures):
        remarks.append(
            "too few events were marked while it ran: the rate is that of whole runs, start included"
        )
    threads, logical = configuration.copies * configuration.threads, measurement.node.logical_cores
    if threads > logical:
        remarks.append(f"{threads} threads on {logical} logical cores: they wait for each other")
    return remarks


def _nonsense_aside(cycle: Cycle) -> list[str]:
    """What makes no sense of CPUs that a server's meter contains: it is in no figure."""
    counted = counted_channels(cycle)
    aside = [one for one in cycle.channels if one.scope is Scope.CPU and one not in counted]
    lines = []
    for channel in aside:
        if channel.is_silent:
            continue
        try:
            mean_power(channel, cycle.run)
        except VoidWindowError as error:
            lines.append(f"{error}; it is in no figure")
    return lines
