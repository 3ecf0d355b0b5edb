"""Printing what events cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flashsim_prod.cli.show import console, counted, table
from flashsim_prod.core.site import Electricity
from flashsim_prod.production.measure.results import (
    ComparedFigure,
    ConventionFigures,
    EnergyFigures,
    Interval,
    ProcessFigures,
    ProjectedCost,
)

if TYPE_CHECKING:
    from rich.table import Table

#: columns and their widths, which keep the table within 80 characters
_WIDTHS = {
    "": 11, "POWER\nW": 6, "SUBTR.\nW": 6, "NET\nW": 6, "EVENTS\n/S": 6, "KWH/EVENT\n(k=2)": 16,
    "RATIO TO\nFULLSIM": 15,
}  # fmt: skip
#: conventions are not folded; labels may be
_FIRST_WIDTH = len("  full node")


def print_figures(figures: EnergyFigures) -> None:
    """Print the figures of a measurement, and what is to be said of them."""
    out = console()
    if figures.is_rough:
        out.print("a rough figure (--quick), not a measurement", style="yellow")
    out.print(_aligned())
    for process in figures.processes:
        out.print(process.label, style="bold", markup=False)
        listing = _aligned(show_header=False)
        for cells in _cells(process):
            listing.add_row(*cells)
        out.print(listing)
    out.print()
    for process in figures.processes:
        _print_remarks(process)
    for process in figures.processes:
        _print_watts(process)
    for note in figures.notes:
        out.print(f"note: {note}", markup=False, soft_wrap=True)


def _aligned(*, show_header: bool = True) -> Table:
    """A part of the table of figures, aligned with all others."""
    made = table(*_WIDTHS, right=tuple(_WIDTHS)[1:])
    made.show_header, made.show_edge, made.padding = show_header, False, (0, 1, 0, 0)
    for column, width in zip(made.columns, _WIDTHS.values(), strict=True):
        column.width = width
    return made


def print_comparison(compared: Sequence[ComparedFigure]) -> None:
    """Print two measurements side by side."""
    numbers = ("A KWH/EVENT", "B KWH/EVENT", "B/A")
    listing = table("PROCESS", *numbers, "", right=numbers)
    listing.columns[0].min_width = _FIRST_WIDTH
    for label in dict.fromkeys(one.label for one in compared):
        listing.add_row(f"[bold]{label}[/bold]")
        _add_comparisons(listing, [one for one in compared if one.label == label])
    console().print(listing)


def _add_comparisons(listing: Table, compared: Sequence[ComparedFigure]) -> None:
    for one in compared:
        verdict = "agree" if one.agree else "differ"
        ratio_text = f"{one.ratio.value:.4g} {_relative(one.ratio)}"
        listing.add_row(f"  {one.convention}", _kwh(one.first), _kwh(one.second), ratio_text, verdict)


def print_projection(costs: Sequence[ProjectedCost], events: int, electricity: Electricity) -> None:
    """Print what a number of events comes to, by full node."""
    numbers = ("KWH", electricity.currency, "KG CO2")
    listing = table("PROCESS", "EVENTS", *numbers, right=numbers)
    for found in costs:
        amounts = [f"{value:,.4g}" if value is not None else "-" for value in (found.cost, found.co2_kg)]
        energy = f"{found.energy_kwh.value:,.4g} ± {found.energy_kwh.half:,.2g}"
        listing.add_row(found.label, f"{events:,}", energy, *amounts)
    console().print(listing)


def _cells(process: ProcessFigures) -> list[tuple[str, ...]]:
    load = f"{process.load_w:.1f}"
    if not process.conventions:
        a_run = ("a run", _kwh(process.run_kwh)) if process.run_kwh else ("-", "-")
        return [("  all power", load, "-", load, *a_run, "-")]
    return [
        (
            f"  {one.convention}",
            load,
            f"{one.subtracted_w:.1f}",
            f"{one.net_w:.1f}",
            f"{one.rate_hz:.4g}" if one.rate_hz < 1000 else f"{one.rate_hz:,.0f}",
            _kwh(one.kwh_per_event),
            _to_fullsim(one),
        )
        for one in process.conventions
    ]


def _to_fullsim(one: ConventionFigures) -> str:
    if one.to_fullsim is None:
        return "-"
    return "1" if one.is_fullsim else f"{one.to_fullsim.value:.3g} {_relative(one.to_fullsim)}"


def _print_remarks(process: ProcessFigures) -> None:
    out, label = console(), process.label
    out.print(f"{label}: {process.covers}; {counted(process.cycles, 'cycle')}", markup=False, soft_wrap=True)
    void = [f"a cycle is void: {reason}" for reason in process.void]
    for line in (*process.left_out, *void, *process.remarks):
        out.print(f"{label}: {line}", style="yellow", markup=False, soft_wrap=True)


def _print_watts(process: ProcessFigures) -> None:
    """What a site file needs for plans to tell energy; measured jobs take its place later."""
    if process.site_watts is None:
        return
    console().print(
        f"{process.label}: 'watts: {process.site_watts:.0f}' under 'rates' of a site file "
        f"lets plans of requests tell energy, for {counted(process.copies, 'job')} at a time",
        markup=False,
        soft_wrap=True,
    )


def _kwh(energy: Interval) -> str:
    return f"{energy.value:.3e} {_relative(energy)}"


def _relative(found: Interval) -> str:
    """Half of an interval, as a part of its value."""
    return f"±{100 * found.half / found.value:.2g}%"
