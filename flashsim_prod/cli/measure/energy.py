"""``energy-bench``: what one simulated event costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.fields import FieldOptions
from flashsim_prod.cli.measure.energy_tables import print_comparison, print_figures, print_projection
from flashsim_prod.cli.options import Evaluations, GridPower, Json, SolverOption
from flashsim_prod.cli.show import console, print_json
from flashsim_prod.core.choices import Mode
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.errors import RequestError
from flashsim_prod.production.measure.protocol import (
    EnergyProtocol,
    protocol_text,
    read_protocol,
    write_protocol,
)
from flashsim_prod.production.measure.results import (
    compare_results,
    draw_power,
    export_result,
    figures_of,
    import_suite,
    project_costs,
    project_result,
    show_result,
)
from flashsim_prod.production.measure.running import run_protocol
from flashsim_prod.production.order.library import find_site

app = typer.Typer()

PlotFile = Annotated[Path | None, typer.Option("--plot", help="Draw power against time into this file.")]
ResultFile = Annotated[Path | None, typer.Option("--output", help="Where the JSON goes.")]
SiteName = Annotated[
    str,
    typer.Option(
        "--site", help="Site whose price and grid intensity are taken.", autocompletion=completing.sites
    ),
]
Result = Annotated[Path, typer.Argument(metavar="RESULT.JSON", help="What energy-bench wrote.")]

#: every field of a protocol as an option
FIELDS = FieldOptions(
    EnergyProtocol,
    parts={"sampling": {"solver": SolverOption, "evaluations": Evaluations, "grid_power": GridPower}},
    completers={
        "site": completing.sites,
        "card": completing.cards,
        "bundle": completing.bundles,
        "model": completing.models,
    },
)


@app.callback(invoke_without_command=True)
@FIELDS.given_to(hidden=True)
def bench(
    context: typer.Context,
    output: ResultFile = None,
    plot: PlotFile = None,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Measure the electric energy of one simulated event.

    Without one of the commands below, options say what is measured: these, and all that `protocol` lists.
    """
    typed = FIELDS.typed(context, fields)
    if context.invoked_subcommand:
        if typed or output or plot or as_json:
            raise RequestError(f"options of '{context.invoked_subcommand}' stand behind it, not before it")
        return
    if "modes" not in typed:
        raise RequestError(f"--mode is missing; it is one of: {', '.join(Mode)}")
    protocol = EnergyProtocol().with_typed(typed, FIELDS.names)
    _measure(protocol, output=output, plot=plot, as_json=as_json)


@app.command()
@FIELDS.given_to(rare=False)
def run(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="PROTOCOL.YAML",
            help="What is measured and how (see: energy-bench protocol); options override its fields.",
        ),
    ] = None,
    output: ResultFile = None,
    plot: PlotFile = None,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Measure what a protocol says: mode cpu with the defaults of all else, if there is none."""
    known = read_protocol(file) if file else EnergyProtocol()
    protocol = known.with_typed(FIELDS.typed(context, fields), FIELDS.names)
    _measure(protocol, output=output, plot=plot, as_json=as_json, source=str(file) if file else None)


@app.command()
@FIELDS.given_to()
def protocol(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="PROTOCOL.YAML", help="Where it goes; standard output by default."),
    ] = None,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Write a protocol with all its fields: what options say, and the defaults of all others."""
    made = EnergyProtocol().with_typed(FIELDS.typed(context, fields), FIELDS.names)
    if file:
        write_protocol(made, file)
    if as_json:
        print_json(made.model_dump(mode="json"))
    elif not file:
        typer.echo(protocol_text(made), nl=False)


def _measure(
    protocol: EnergyProtocol,
    *,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    source: str | None = None,
) -> None:
    # a site that is not there is better told before the work than after it
    electricity, events = find_site(protocol.site).electricity, protocol.events
    errors = console(stderr=True)
    measurement = run_protocol(
        protocol,
        output=output,
        source=source,
        tell=lambda line: errors.print(line, markup=False, soft_wrap=True),
    )
    if plot:
        draw_power(measurement, plot)
    figures = figures_of(measurement)
    costs = project_costs(measurement, events, electricity) if events else []
    if as_json:
        print_json({**figures.plain, **({"projection": [one.plain for one in costs]} if events else {})})
        return
    print_figures(figures)
    if events:
        print_projection(costs, events, electricity)


@app.command()
def show(result: Result, plot: PlotFile = None, as_json: Json = False) -> None:
    """Compute the figures of a measurement anew from its raw series."""
    figures = show_result(result, plot)
    if as_json:
        print_json(figures.plain)
    else:
        print_figures(figures)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.JSON")],
    second: Annotated[Path, typer.Argument(metavar="B.JSON")],
    as_json: Json = False,
) -> None:
    """Set two measurements side by side: how they differ, and whether by more than their intervals."""
    compared = compare_results(first, second)
    if as_json:
        print_json([one.plain for one in compared])
    else:
        print_comparison(compared)


@app.command()
def project(
    result: Result,
    events: Annotated[str, typer.Argument(metavar="N", help="Events: 1000, 10k, 100M, 1.5B.")],
    site: SiteName = "local",
    kg_co2_per_kwh: Annotated[float | None, typer.Option(min=0, help="Intensity of the grid.")] = None,
    price_per_kwh: Annotated[float | None, typer.Option(min=0, help="In the site's currency.")] = None,
    as_json: Json = False,
) -> None:
    """What N events come to: kWh, money, carbon dioxide."""
    typed = {"kg_co2_per_kwh": kg_co2_per_kwh, "price_per_kwh": price_per_kwh}
    known = {name: value for name, value in typed.items() if value is not None}
    electricity = find_site(site).electricity.model_copy(update=known)
    number = parse_count(events)
    costs = project_result(result, number, electricity)
    if as_json:
        print_json([one.plain for one in costs])
    else:
        print_projection(costs, number, electricity)


@app.command(name="export")
def export(
    result: Result, output: Annotated[Path, typer.Argument(metavar="REPORT.JSON")], as_json: Json = False
) -> None:
    """Write the HEP Benchmark Suite's CommandExecutor section of a measurement."""
    export_result(result, output)
    if as_json:
        print_json({"written": str(output)})


@app.command(name="import")
def import_report(
    report: Annotated[Path, typer.Argument(metavar="REPORT.JSON", help="Report of the suite.")],
    output: Annotated[Path, typer.Argument(metavar="RESULT.JSON")],
    rate: Annotated[
        list[str], typer.Option(metavar="BENCHMARK=HZ", help="Events per second of a benchmark to take.")
    ],
    as_json: Json = False,
) -> None:
    """Make a measurement of a report of the HEP Benchmark Suite."""
    import_suite(report, output, rate)
    if as_json:
        print_json({"written": str(output)})
