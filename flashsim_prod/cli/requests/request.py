"""``request``: plan a dataset, show the plan, make it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import (
    Evaluations,
    GridPower,
    Json,
    Lifetime,
    Rse,
    RseExpression,
    Scope,
    SolverOption,
    Wait,
    registration_of,
    sampling_of,
)
from flashsim_prod.core.choices import Device, RegisterIn, Solver

if TYPE_CHECKING:
    from pathlib import Path

    from flashsim_prod.core.request import Request
    from flashsim_prod.core.site import Electricity
    from flashsim_prod.production.order.plan import Plan


def add_to(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(request)


def request(
    card: Annotated[
        str,
        typer.Argument(
            metavar="CARD", help="A card's name (see: cards) or file.", autocompletion=completing.cards
        ),
    ],
    more_inputs: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="FILE")] = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="N", help="Output events: 1000, 10k, 100M, 1.5B; with --input, all by default."),
    ] = None,
    oversample: Annotated[str, typer.Option(metavar="K", help="Output events per gen event.")] = "1",
    site: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="Where to run (see: sites).", autocompletion=completing.sites),
    ] = "local",
    catalog: Annotated[RegisterIn, typer.Option(help="Where to register.")] = RegisterIn.LOCAL,
    scope: Scope = "cms",
    rse: Rse = None,
    rse_expression: RseExpression = None,
    lifetime: Lifetime = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Decides all numbers drawn; random by default.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the request; CARD-NNN by default.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="FILE|GLOB|URL|rucio:SCOPE:NAME ...",
            help="NanoAOD or NanoGEN instead of Pythia8.",
        ),
    ] = None,
    energy: Annotated[float | None, typer.Option(metavar="TEV", help="Centre-of-mass energy.")] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Bundle of models (see: bundle list).",
            autocompletion=completing.bundles,
        ),
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where the networks run.")] = None,
    slots: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Jobs at a time; the site's by default.")
    ] = None,
    events_per_job: Annotated[
        str | None, typer.Option(metavar="N", help="Output events of a job; by default the site decides.")
    ] = None,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = 8,
    grid_power: GridPower = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder to review, and stop.")] = False,
    wait: Wait = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however long it takes.")] = False,
    as_json: Json = False,
) -> None:
    """Make a dataset: show the plan, run it (or hand it to a batch system), merge, check and register."""
    from flashsim_prod.cli.requests.driving import start_and_tell
    from flashsim_prod.errors import RequestError
    from flashsim_prod.production.drive.detached import check_software, render
    from flashsim_prod.production.home import open_home
    from flashsim_prod.production.order.order import Typed, make_order
    from flashsim_prod.production.order.place import place, preview

    if more_inputs and not inputs:
        raise RequestError(f"unexpected '{more_inputs[0]}' after the card; input files come after --input")
    typed = Typed(
        card=card,
        events=events,
        oversample=oversample,
        site=site,
        catalog=catalog,
        registration=registration_of(scope, rse, rse_expression, lifetime),
        seed=seed,
        # a glob that the shell expanded leaves its first match to --input and the rest as arguments
        inputs=(*(inputs or ()), *(more_inputs or ())),
        energy_tev=energy,
        bundle=bundle,
        device=device,
        slots=slots,
        events_per_job=events_per_job,
        sampling=sampling_of(solver, evaluations, grid_power),
    )
    home = open_home()
    order, found = make_order(typed)
    plan = preview(home, order, name)
    _show_plan(plan)
    if not dry_run:
        _confirm(plan, yes)
        check_software(order.site)
    plan = place(home, order, plan, bundle_title=found.title, named=name is not None, dry_run=dry_run)
    if dry_run:
        if plan.request.site.engine.is_detached:
            render(home, plan.request.name)
        _tell_dry_run(plan, home.folder(plan.request.name).path, as_json)
    else:
        start_and_tell(home, plan.request.name, wait=wait, as_json=as_json)


def _show_plan(plan: Plan) -> None:
    from rich.table import Table

    from flashsim_prod.cli.show import console

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for label, text in _plan_lines(plan):
        grid.add_row(label, text)
    errors = console(stderr=True)
    errors.print(grid, markup=False)
    for warning in plan.warnings:
        errors.print(f"WARNING: {warning}", style="bold red", markup=False, soft_wrap=True)
    for note in plan.notes:
        errors.print(f"note: {note}", style="yellow", markup=False)


def _plan_lines(plan: Plan) -> list[tuple[str, str]]:
    from flashsim_prod.cli.show import counted
    from flashsim_prod.core.sizes import format_bytes, format_count, format_duration

    ask, job_events = plan.request, plan.request.split.gen_events_per_job * plan.request.oversample
    generator = f"Pythia8 at {ask.energy_tev:g} TeV"
    source = counted(len(ask.inputs), "input file") if ask.inputs else generator
    gen_events, jobs = counted(ask.gen_events, "gen event"), format_count(ask.n_simulate)
    lines = [
        ("request", ask.name),
        ("dataset", str(ask.dataset)),
        ("events", f"{format_count(ask.events)} = {gen_events} x {ask.oversample}"),
        ("from", f"{ask.card.title}; {source}; bundle {ask.bundle.path}; seed {ask.seed}"),
        ("jobs", f"{jobs} of up to {format_count(job_events)} events, {plan.slots} at a time"),
        ("files", f"{format_count(ask.n_merge)}, {format_bytes(plan.bytes)} in all"),
        ("time", f"about {format_duration(plan.seconds)} on {ask.site.name} (rates {plan.rates_from})"),
    ]
    if ask.catalog is RegisterIn.RUCIO:
        lines.append(("rucio", _rucio_line(ask)))
    if plan.energy_kwh is not None:
        lines.append(("energy", _energy_line(plan.energy_kwh, ask.site.electricity)))
    return lines


def _rucio_line(ask: Request) -> str:
    days = ask.registration.lifetime_days
    kept = f"kept at {ask.rse_expression} " + ("for ever" if days is None else f"for {days:g} days")
    return f"scope {ask.registration.scope}, written to {ask.rse}, {kept}"


def _energy_line(energy_kwh: float, electricity: Electricity) -> str:
    parts = [f"about {energy_kwh:.3g} kWh"]
    cost, co2_kg = electricity.cost(energy_kwh), electricity.co2_kg(energy_kwh)
    parts += [f"{cost:.3g} {electricity.currency}"] if cost is not None else []
    parts += [f"{co2_kg:.3g} kg CO2"] if co2_kg is not None else []
    return ", ".join(parts)


def _confirm(plan: Plan, yes: bool) -> None:
    from flashsim_prod.core.sizes import format_duration
    from flashsim_prod.errors import RequestError

    if yes or not plan.is_long or plan.request.site.engine.is_detached:
        return
    duration = format_duration(plan.seconds)
    if not sys.stdin.isatty():
        raise RequestError(f"this takes about {duration} and nobody can be asked here; say --yes to start it")
    typer.confirm(f"This takes about {duration}. Start?", abort=True, err=True)


def _tell_dry_run(plan: Plan, folder: Path, as_json: bool) -> None:
    from flashsim_prod.cli.requests.driving import summary
    from flashsim_prod.cli.show import console, print_json
    from flashsim_prod.core.states import RequestState

    if as_json:
        print_json(summary(plan.request, RequestState.PLANNED, ()))
        return
    for line in (
        f"Written, not started: {folder}",
        f"To review it:  {folder / 'README.md'}",
        f"To start it:   flashsim-prod retry {plan.request.name}",
    ):
        console().print(line, soft_wrap=True, markup=False)
