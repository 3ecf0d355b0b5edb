"""What ``request`` does with what was typed: show the plan, ask, and start it or leave it to be reviewed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.table import Table

from flashsim_prod.cli.requests.driving import start_and_tell, summary
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.cli.terminal import Terminal
from flashsim_prod.core.campaigns.extension import Extension
from flashsim_prod.core.choices import RegisterIn
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Electricity
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration
from flashsim_prod.core.states import RequestState
from flashsim_prod.errors import RequestError
from flashsim_prod.production.again.virtual import register_virtual
from flashsim_prod.production.catalogs import one_sign_in
from flashsim_prod.production.context import Outcome
from flashsim_prod.production.drive.detached import check_software, render
from flashsim_prod.production.home import Home, open_home
from flashsim_prod.production.order.extend import Extending, extension_order
from flashsim_prod.production.order.library import BundleFound
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order, Plan


@dataclass(frozen=True)
class Making:
    """How a request is made: options of the commands that make one, and no part of it."""

    name: str | None
    dry_run: bool
    wait: bool
    yes: bool
    as_json: bool


@one_sign_in()
def make(typed: Typed, how: Making) -> None:
    """Plan what was typed and make it, or write its folder only.

    Raises
    ------
    RequestError
        If it cannot be made, or takes long and nobody can be asked.
    """
    home = open_home()
    order, found = make_order(typed)
    _make(home, order, found, (), how)


@one_sign_in()
def make_extension(name: str, typed: Extending, how: Making) -> None:
    """The same of more events of the request `name`."""
    home = open_home()
    order, found, notes = extension_order(home, name, typed)
    _make(home, order, found, notes, how)


def _make(home: Home, order: Order, found: BundleFound, notes: tuple[str, ...], how: Making) -> None:
    plan = preview(home, order, how.name)
    plan = replace(plan, notes=(*notes, *plan.notes))
    show_plan(plan, console(stderr=True))
    virtual = plan.request.virtual
    if virtual and how.dry_run:
        raise RequestError("--virtual makes nothing that --dry-run could leave out; say one of them")
    if not how.dry_run and not virtual:
        _confirm(plan, yes=how.yes)
        check_software(order.site)
    plan = place(home, order, plan, bundle_title=found.title, named=how.name is not None, dry_run=how.dry_run)
    if virtual:
        _tell_virtual(register_virtual(home, plan.request.name), as_json=how.as_json)
    elif how.dry_run:
        if plan.request.site.rules.goes_on_alone:
            render(home, plan.request.name)
        _tell_dry_run(plan, home.folder(plan.request.name).path, as_json=how.as_json)
    else:
        start_and_tell(home, plan.request.name, wait=how.wait, as_json=how.as_json)


def show_plan(plan: Plan, shown: Terminal) -> None:
    """Print a plan, and what its user should know before saying yes."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for label, text in _plan_lines(plan):
        grid.add_row(label, text)
    shown.print(grid, markup=False)
    for warning in plan.warnings:
        shown.print(f"WARNING: {warning}", style="bold red", markup=False, soft_wrap=True)
    for note in plan.notes:
        shown.print(f"note: {note}", style="yellow", markup=False)


def _plan_lines(plan: Plan) -> list[tuple[str, str]]:
    ask, job_events = plan.request, plan.request.split.gen_events_per_job * plan.request.oversample
    source = ask.source.headline(ask.energy_tev)
    gen_events, jobs = counted(ask.gen_events, "gen event"), format_count(ask.n_simulate)
    lines = [
        ("request", ask.name),
        ("dataset", str(ask.dataset)),
        (
            "events",
            f"{'at most ' * ask.is_thinned}{format_count(ask.events)} = {gen_events} x {ask.oversample}",
        ),
        *([("extends", _extends_line(ask.extends))] if ask.extends else []),
        ("from", f"{ask.card.title}; {source}; bundle {ask.bundle.path}; seed {ask.seed}"),
        *([("nano", f"NanoAOD {ask.nano}")] if ask.analysis is None else []),
        *([("draws", plan.draws)] if plan.draws else []),
        ("jobs", f"{jobs} of up to {format_count(job_events)} events, {plan.slots} at a time"),
        ("files", f"{format_count(ask.n_merge)}, {format_bytes(plan.bytes)} in all"),
        ("time", f"about {format_duration(plan.seconds)} on {ask.site.name} (rates {plan.rates_from})"),
    ]
    if ask.source.contents():
        known = cross_section_of(ask)
        lines.append(("xsec", f"{known:g} pb" if known else "not known; say --xsec, or keep it beside"))
    lines += ask.contents()
    if ask.catalog is RegisterIn.RUCIO:
        lines.append(("rucio", _rucio_line(ask)))
    if plan.energy_kwh is not None:
        lines.append(("energy", _energy_line(plan.energy_kwh, ask.site.electricity)))
    return lines


def _extends_line(extends: Extension) -> str:
    begins = format_count(extends.gen_events)
    return f"{extends.dataset} ({extends.request}), from gen event {begins} on; together they are one sample"


def cross_section_of(ask: Request) -> float | None:
    """What is known of it [pb]."""
    entry = ask.card.energy(ask.energy_tev)
    return None if entry is None else entry.cross_section_pb


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


def _confirm(plan: Plan, *, yes: bool) -> None:
    if yes or not plan.is_long or plan.request.site.rules.goes_on_alone:
        return
    duration = format_duration(plan.seconds)
    if not sys.stdin.isatty():
        raise RequestError(f"this takes about {duration} and nobody can be asked here; say --yes to start it")
    typer.confirm(f"This takes about {duration}. Start?", abort=True, err=True)


def _tell_virtual(outcome: Outcome, *, as_json: bool) -> None:
    request = outcome.request
    if as_json:
        print_json(summary(request, outcome.state, ()))
        return
    files = f"{format_count(request.events)} events in {counted(request.n_merge, 'file')}, none of them made"
    for line in (
        f"Dataset      {request.dataset}",
        f"             {files}",
        f"In Python    flashsim_prod.api.events({request.name!r}, files=[0], branches=['Jet_*'])",
        f"Make files   flashsim-prod materialise {request.name} --files 0",
    ):
        console().print(line, soft_wrap=True, markup=False)


def _tell_dry_run(plan: Plan, folder: Path, *, as_json: bool) -> None:
    if as_json:
        told = summary(plan.request, RequestState.PLANNED, ())
        print_json({**told, "contents": dict(plan.request.contents()) or None, "notes": list(plan.notes)})
        return
    for line in (
        f"Written, not started: {folder}",
        f"To review it:  {folder / 'README.md'}",
        f"To start it:   flashsim-prod retry {plan.request.name}",
    ):
        console().print(line, soft_wrap=True, markup=False)
