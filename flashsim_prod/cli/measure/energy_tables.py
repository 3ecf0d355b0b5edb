"""Printing measurements of energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.choices import Mode
from flashsim_prod.core.site import Electricity
from flashsim_prod.energy.record import Measurement
from flashsim_prod.energy.results.analysis import ConfigurationFigures, analyse
from flashsim_prod.energy.results.budget import GAIN
from flashsim_prod.energy.results.compare import Comparison
from flashsim_prod.energy.results.conventions import JOULE_PER_KWH, Convention
from flashsim_prod.energy.results.figures import WHOLE
from flashsim_prod.energy.results.projection import Projection, project
from flashsim_prod.energy.results.uncertainty import Estimate, ratio

if TYPE_CHECKING:
    from rich.table import Table

#: columns and their widths, which keep the table within 80 characters
_WIDTHS = {
    "": 11, "POWER\nW": 6, "SUBTR.\nW": 6, "NET\nW": 6, "EVENTS\n/S": 6, "KWH/EVENT\n(k=2)": 16,
    "RATIO TO\nFULLSIM": 15,
}  # fmt: skip
#: conventions are not folded; labels may be
_FIRST_WIDTH = len("  full node")


def print_measurement(
    measurement: Measurement,
    *,
    as_json: bool,
    events: int | None = None,
    electricity: Electricity | None = None,
) -> tuple[ConfigurationFigures, ...]:
    """Analyse a measurement and print its figures; as JSON with what `events` events come to, if asked.

    Raises
    ------
    MeasurementError
        If it gives none.
    """
    rows = analyse(measurement)
    if as_json:
        told = {"rows": [_plain(row) for row in rows], "rough": measurement.schedule.quick}
        if events and electricity:
            told["projection"] = projected(rows, events, electricity)
        print_json(told)
        return rows
    out = console()
    if measurement.schedule.quick:
        out.print("a rough figure (--quick), not a measurement", style="yellow")
    out.print(_aligned())
    for row in rows:
        out.print(row.configuration.label, style="bold", markup=False)
        listing = _aligned(show_header=False)
        for cells in _cells(row, rows):
            listing.add_row(*cells)
        out.print(listing)
    out.print()
    for row in rows:
        _print_remarks(row)
    for row in rows:
        _print_watts(row)
    for note in measurement.notes:
        out.print(f"note: {note}", markup=False, soft_wrap=True)
    return rows


def _aligned(*, show_header: bool = True) -> Table:
    """A part of the table of figures, aligned with all others."""
    made = table(*_WIDTHS, right=tuple(_WIDTHS)[1:])
    made.show_header, made.show_edge, made.padding = show_header, False, (0, 1, 0, 0)
    for column, width in zip(made.columns, _WIDTHS.values(), strict=True):
        column.width = width
    return made


def print_comparison(comparisons: Sequence[Comparison], *, as_json: bool) -> None:
    """Print two measurements side by side."""
    if as_json:
        print_json([{**asdict(one), "agree": one.agree} for one in comparisons])
        return
    numbers = ("A KWH/EVENT", "B KWH/EVENT", "B/A")
    listing = table("PROCESS", *numbers, "", right=numbers)
    listing.columns[0].min_width = _FIRST_WIDTH
    for label in dict.fromkeys(one.label for one in comparisons):
        listing.add_row(f"[bold]{label}[/bold]")
        _add_comparisons(listing, [one for one in comparisons if one.label == label])
    console().print(listing)


def _add_comparisons(listing: Table, comparisons: Sequence[Comparison]) -> None:
    for one in comparisons:
        verdict = "agree" if one.agree else "differ"
        ratio_text = f"{one.ratio:.4g} {_relative(one.ratio_u / one.ratio)}"
        listing.add_row(f"  {one.convention}", _kwh(one.first), _kwh(one.second), ratio_text, verdict)


def print_projection(rows: Sequence[ConfigurationFigures], events: int, electricity: Electricity) -> None:
    """Print what a number of events comes to, by full node."""
    numbers = ("KWH", electricity.currency, "KG CO2")
    listing = table("PROCESS", "EVENTS", *numbers, right=numbers)
    for label, found in _projections(rows, events, electricity):
        amounts = [f"{value:,.4g}" if value is not None else "-" for value in (found.cost, found.co2_kg)]
        energy = f"{found.energy_kwh:,.4g} ± {found.energy_u_kwh:,.2g}"
        listing.add_row(label, f"{events:,}", energy, *amounts)
    console().print(listing)


def projected(
    rows: Sequence[ConfigurationFigures], events: int, electricity: Electricity
) -> list[dict[str, object]]:
    """The same for programs."""
    found = _projections(rows, events, electricity)
    return [{"process": label, **asdict(one), "currency": electricity.currency} for label, one in found]


def _projections(
    rows: Sequence[ConfigurationFigures], events: int, electricity: Electricity
) -> Iterator[tuple[str, Projection]]:
    for row in rows:
        if row.energy_j:
            yield row.configuration.label, project(row.energy_j[Convention.FULL_NODE], events, electricity)


def _cells(row: ConfigurationFigures, rows: Sequence[ConfigurationFigures]) -> list[tuple[str, ...]]:
    load = f"{row.load_w.value:.1f}"
    if not row.energy_j:
        is_train = row.configuration.mode is Mode.TRAIN
        a_run = ("a run", _kwh(row.run_j)) if is_train else ("-", "-")
        return [("  all power", load, "-", load, *a_run, "-")]
    lines: list[tuple[str, ...]] = []
    for convention, energy_j in row.energy_j.items():
        hz = _rate_hz(row, convention)
        lines.append(
            (
                f"  {convention}",
                load,
                f"{row.subtracted_w[convention]:.1f}",
                f"{row.net_w[convention]:.1f}",
                f"{hz:.4g}" if hz < 1000 else f"{hz:,.0f}",
                _kwh(energy_j),
                _to_fullsim(convention, energy_j, rows),
            )
        )
    return lines


def _rate_hz(row: ConfigurationFigures, convention: Convention) -> float:
    """The rate that a convention divides by: of one copy in the table, else of all."""
    total_hz = row.rate_hz.value if row.rate_hz else 0.0
    return total_hz / (row.configuration.copies if convention is Convention.TABLE else 1)


def _to_fullsim(convention: Convention, energy_j: Estimate, rows: Sequence[ConfigurationFigures]) -> str:
    full = next((row for row in rows if row.configuration.mode is Mode.FULLSIM and row.energy_j), None)
    if full is None:
        return "-"
    if full.energy_j[convention] is energy_j:
        return "1"
    value, half = ratio(energy_j, full.energy_j[convention], (GAIN,))
    return f"{value:.3g} {_relative(half / value)}"


def _print_remarks(row: ConfigurationFigures) -> None:
    out = console()
    label = row.configuration.label
    out.print(f"{label}: {row.covers}; {counted(row.cycles, 'cycle')}", markup=False, soft_wrap=True)
    for line in row.left_out:
        out.print(f"{label}: {line}", style="yellow", markup=False, soft_wrap=True)
    for reason in row.void:
        out.print(f"{label}: a cycle is void: {reason}", style="yellow", markup=False, soft_wrap=True)
    for remark in row.remarks:
        out.print(f"{label}: {remark}", style="yellow", markup=False, soft_wrap=True)


def _print_watts(row: ConfigurationFigures) -> None:
    """What a site file needs for plans to tell energy; measured jobs take its place later."""
    if row.configuration.mode not in (Mode.CPU, Mode.GPU) or row.covers != WHOLE:
        return
    copies = row.configuration.copies
    console().print(
        f"{row.configuration.label}: 'watts: {row.load_w.value / copies:.0f}' under 'rates' of a site file "
        f"lets plans of requests tell energy, for {counted(copies, 'job')} at a time",
        markup=False,
        soft_wrap=True,
    )


def _kwh(energy_j: Estimate) -> str:
    return f"{energy_j.value / JOULE_PER_KWH:.3e} {_relative(energy_j.expanded / energy_j.value)}"


def _relative(half: float) -> str:
    """Half of an interval, as a part of its value."""
    return f"±{100 * half:.2g}%"


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
