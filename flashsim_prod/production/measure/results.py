"""What a measurement of energy comes to: figures, comparison, projection, exchange with the HEP suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flashsim_prod.core.choices import Mode
from flashsim_prod.core.site import Electricity
from flashsim_prod.energy.record import Measurement
from flashsim_prod.energy.results.analysis import ConfigurationFigures, analyse
from flashsim_prod.energy.results.budget import GAIN
from flashsim_prod.energy.results.compare import Comparison, compare, same_meter
from flashsim_prod.energy.results.conventions import JOULE_PER_KWH, Convention
from flashsim_prod.energy.results.figures import WHOLE
from flashsim_prod.energy.results.hepsuite import from_suite, to_suite
from flashsim_prod.energy.results.json_file import read_json, read_measurement
from flashsim_prod.energy.results.plot import plot_power
from flashsim_prod.energy.results.projection import Projection, project
from flashsim_prod.energy.results.uncertainty import Estimate, ratio
from flashsim_prod.errors import RequestError
from flashsim_prod.files import write_json, write_whole


@dataclass(frozen=True)
class Interval:
    """A value, and half of the interval stated for it (k=2)."""

    value: float
    half: float

    @classmethod
    def kwh(cls, energy_j: Estimate) -> Interval:
        """Of joules, in kWh."""
        return cls(energy_j.value / JOULE_PER_KWH, energy_j.expanded / JOULE_PER_KWH)


@dataclass(frozen=True)
class ConventionFigures:
    """What an event costs in one convention.

    Attributes
    ----------
    rate_hz : float
        That the convention divides by: of one copy in the table, else of all.
    to_fullsim : Interval or None
        Ratio to FullSim's, if that was measured.
    """

    convention: str
    subtracted_w: float
    net_w: float
    rate_hz: float
    kwh_per_event: Interval
    to_fullsim: Interval | None
    is_fullsim: bool


@dataclass(frozen=True)
class ProcessFigures:
    """What one configuration came to.

    Attributes
    ----------
    conventions : tuple
        Empty for work that counts no events.
    run_kwh : Interval or None
        Of a whole run, for work whose runs have a beginning and an end.
    site_watts : float or None
        What a site file may say of a job's power.
    """

    label: str
    load_w: float
    conventions: tuple[ConventionFigures, ...]
    run_kwh: Interval | None
    copies: int
    site_watts: float | None
    covers: str
    cycles: int
    left_out: tuple[str, ...]
    void: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class EnergyFigures:
    """All figures of a measurement; `plain` for programs."""

    is_rough: bool
    processes: tuple[ProcessFigures, ...]
    notes: tuple[str, ...]
    plain: dict[str, object]


@dataclass(frozen=True)
class ComparedFigure:
    """A process in one convention in two measurements, kWh per event."""

    label: str
    convention: str
    first: Interval
    second: Interval
    ratio: Interval
    agree: bool
    plain: dict[str, object]


@dataclass(frozen=True)
class ProjectedCost:
    """What a number of events comes to, by full node."""

    label: str
    energy_kwh: Interval
    cost: float | None
    co2_kg: float | None
    plain: dict[str, object]


def figures_of(measurement: Measurement) -> EnergyFigures:
    """Compute the figures of a measurement.

    Raises
    ------
    MeasurementError
        If it gives none.
    """
    rows = analyse(measurement)
    return EnergyFigures(
        is_rough=measurement.schedule.quick,
        processes=tuple(_process(row, rows) for row in rows),
        notes=measurement.notes,
        plain={"rows": [_plain(row) for row in rows], "rough": measurement.schedule.quick},
    )


def show_result(path: Path, plot: Path | None = None) -> EnergyFigures:
    """The figures of a measurement in a file, computed anew; its power drawn into `plot`."""
    measurement = read_measurement(path)
    if plot:
        plot_power(measurement, plot)
    return figures_of(measurement)


def draw_power(measurement: Measurement, path: Path) -> None:
    """Draw power against time into a file."""
    plot_power(measurement, path)


def compare_results(first: Path, second: Path) -> list[ComparedFigure]:
    """Two measurements side by side."""
    one, two = read_measurement(first), read_measurement(second)
    found = compare(analyse(one), analyse(two), same_meter=same_meter(one, two))
    return [_compared(each) for each in found]


def project_result(path: Path, events: int, electricity: Electricity) -> list[ProjectedCost]:
    """What `events` events come to by the measurement in a file."""
    return project_costs(read_measurement(path), events, electricity)


def project_costs(measurement: Measurement, events: int, electricity: Electricity) -> list[ProjectedCost]:
    """What `events` events come to, of every process that makes events."""
    return list(_projected(analyse(measurement), events, electricity))


def export_result(path: Path, output: Path) -> None:
    """Write the HEP Benchmark Suite's CommandExecutor section of a measurement."""
    write_json(output, to_suite(read_measurement(path)))


def import_suite(report: Path, output: Path, rates: Sequence[str]) -> None:
    """Make a measurement of a report of the suite.

    Parameters
    ----------
    rates : sequence of str
        ``BENCHMARK=HZ``: events per second of the benchmarks to take.
    """
    rates_hz = dict(_rate(one) for one in rates)
    made = from_suite(read_json(report), str(report), rates_hz)
    write_whole(output, made.model_dump_json(indent=1) + "\n")


def _rate(text: str) -> tuple[str, float]:
    name, _, hz = text.rpartition("=")
    try:
        value = float(hz)
    except ValueError:
        value = 0.0
    if not name or value <= 0:
        raise RequestError(f"--rate: '{text}' is not of the form BENCHMARK=HZ")
    return name, value


def _process(row: ConfigurationFigures, rows: Sequence[ConfigurationFigures]) -> ProcessFigures:
    mode, copies = row.configuration.mode, row.configuration.copies
    is_worker = mode in (Mode.CPU, Mode.GPU)
    return ProcessFigures(
        label=row.configuration.label,
        load_w=row.load_w.value,
        conventions=tuple(_convention(row, convention, rows) for convention in row.energy_j),
        run_kwh=Interval.kwh(row.run_j) if mode is Mode.TRAIN else None,
        copies=copies,
        # of the whole server only: what a part of it draws is not what a job costs
        site_watts=row.load_w.value / copies if is_worker and row.covers == WHOLE else None,
        covers=row.covers,
        cycles=row.cycles,
        left_out=row.left_out,
        void=row.void,
        remarks=row.remarks,
    )


def _convention(
    row: ConfigurationFigures, convention: Convention, rows: Sequence[ConfigurationFigures]
) -> ConventionFigures:
    energy_j = row.energy_j[convention]
    full = next((one for one in rows if one.configuration.mode is Mode.FULLSIM and one.energy_j), None)
    return ConventionFigures(
        convention=str(convention),
        subtracted_w=row.subtracted_w[convention],
        net_w=row.net_w[convention],
        rate_hz=_rate_hz(row, convention),
        kwh_per_event=Interval.kwh(energy_j),
        to_fullsim=Interval(*ratio(energy_j, full.energy_j[convention], (GAIN,))) if full else None,
        is_fullsim=row is full,
    )


def _rate_hz(row: ConfigurationFigures, convention: Convention) -> float:
    total_hz = row.rate_hz.value if row.rate_hz else 0.0
    return total_hz / (row.configuration.copies if convention is Convention.TABLE else 1)


def _compared(one: Comparison) -> ComparedFigure:
    return ComparedFigure(
        label=one.label,
        convention=str(one.convention),
        first=Interval.kwh(one.first),
        second=Interval.kwh(one.second),
        ratio=Interval(one.ratio, one.ratio_u),
        agree=one.agree,
        plain={**asdict(one), "agree": one.agree},
    )


def _projected(
    rows: Sequence[ConfigurationFigures], events: int, electricity: Electricity
) -> Iterator[ProjectedCost]:
    for row in rows:
        if row.energy_j:
            found = project(row.energy_j[Convention.FULL_NODE], events, electricity)
            yield _cost(row.configuration.label, found, electricity.currency)


def _cost(label: str, found: Projection, currency: str) -> ProjectedCost:
    return ProjectedCost(
        label=label,
        energy_kwh=Interval(found.energy_kwh, found.energy_u_kwh),
        cost=found.cost,
        co2_kg=found.co2_kg,
        plain={"process": label, **asdict(found), "currency": currency},
    )


def _plain(row: ConfigurationFigures) -> dict[str, object]:
    return {
        "process": row.configuration.label,
        "covers": row.covers,
        "cycles": row.cycles,
        "left_out": row.left_out,
        "void": row.void,
        "remarks": row.remarks,
        "server_w": _number(row.load_w),
        "idle_w": _number(row.idle_w),
        "run_kwh": _number(row.run_j.scaled(1 / JOULE_PER_KWH)),
        "conventions": {
            str(convention): {
                "subtracted_w": row.subtracted_w[convention],
                "net_w": row.net_w[convention],
                "rate_hz": _rate_hz(row, convention),
                "kwh_per_event": _number(energy_j.scaled(1 / JOULE_PER_KWH)),
            }
            for convention, energy_j in row.energy_j.items()
        },
    }


def _number(estimate: Estimate) -> dict[str, object]:
    return {
        "value": estimate.value,
        "expanded_k2": estimate.expanded,
        "standard": estimate.standard,
        "coverage_factor": estimate.coverage_factor,
        "type_a": estimate.type_a,
        "type_b": dict(estimate.type_b),
    }
