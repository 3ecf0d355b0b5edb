"""``status``: all requests a line each, or all about one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json
from flashsim_prod.cli.show import console, print_json, table
from flashsim_prod.cli.streams import is_read
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration
from flashsim_prod.core.states import JobState, RequestState
from flashsim_prod.errors import RequestError
from flashsim_prod.production.home import Home, home_to_read
from flashsim_prod.production.views.spoiled import spoiled
from flashsim_prod.production.views.status import RequestDetail, RequestLine, all_lines, detail

_REFRESH_S = 2.0
_NONE_YET = "no requests yet; the first one: flashsim-prod request ttbar --events 1000 --oversample 10"


def status(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[REQUEST]", help="All requests by default.", autocompletion=completing.requests
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds, till Ctrl-C or its end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how requests stand: jobs by state and stage, rates, failures by cause, time left."""
    if watch and as_json:
        raise RequestError("--watch and --json do not go together; call --json as often as you like")
    home = home_to_read()
    if as_json:
        print_json(_as_json(home, name))
        for line in spoiled(home) if name is None else ():
            console(stderr=True).print(f"warning: {line}", markup=False, soft_wrap=True)
    elif watch:
        _watch(home, name)
    else:
        out = console()
        for part in _parts(home, name):
            out.print(part, soft_wrap=isinstance(part, Text))


def _watch(home: Home, name: str | None) -> None:
    """Show again and again, until the one request shown has ended, or Ctrl-C."""
    with (
        Live(_render(home, name), console=console(), auto_refresh=False) as live,
        suppress(KeyboardInterrupt),
    ):
        while is_read() and (name is None or not _has_ended(home, name)):
            time.sleep(_REFRESH_S)
            live.update(_render(home, name), refresh=True)


def _has_ended(home: Home, name: str) -> bool:
    return detail(home, name).line.state in (RequestState.DONE, RequestState.FAILED, RequestState.CANCELLED)


def _as_json(home: Home, name: str | None) -> object:
    if name is None:
        return [asdict(line) for line in all_lines(home)]
    return asdict(detail(home, name))


def _render(home: Home, name: str | None) -> RenderableType:
    return Group(*_parts(home, name))


def _parts(home: Home, name: str | None) -> list[RenderableType]:
    if name is not None:
        return _detail(detail(home, name))
    lines = all_lines(home)
    warnings = [f"[yellow]warning:[/yellow] {escape(line)}" for line in spoiled(home)]
    # as a text: a command that is to be copied stays whole, however narrow the terminal
    return [_lines(lines) if lines else Text(_NONE_YET), *warnings]


def _lines(lines: list[RequestLine]) -> RenderableType:
    listing = table(
        *("X", "STATE", "%S", "REQUEST", "CARD", "EVENTS", "SITE", "AGE", "ETA"),
        right=("%S", "EVENTS"),
        whole=("AGE", "ETA"),
    )
    for line in lines:
        listing.add_row(
            line.flag,
            line.state.value,
            f"{line.percent:.0f}",
            line.name,
            line.card,
            format_count(line.events),
            line.site,
            format_duration(line.age_s),
            format_duration(line.eta_s) if line.eta_s is not None else "-",
        )
    return listing


def _detail(found: RequestDetail) -> list[RenderableType]:
    parts: list[RenderableType] = [_head(found), _stages(found)]
    if found.speeds:
        parts.append(_speeds(found))
    if found.failures:
        parts.append(_failures(found))
    parts += [f"[bold]note:[/bold] {escape(note)}" for note in found.notes]
    parts += [f"[yellow]warning:[/yellow] {escape(warning)}" for warning in found.warnings]
    return parts


def _head(found: RequestDetail) -> RenderableType:
    line = found.line
    state = (
        line.state.value if line.eta_s is None else f"{line.state.value}, {format_duration(line.eta_s)} left"
    )
    retries = sum(found.retries.values())
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for label, text in (
        ("request", f"{line.name} ({line.card}, {format_count(line.events)} events, site {line.site})"),
        ("state", f"{state}; {line.percent:.0f} % of jobs done; {format_duration(line.age_s)} old"),
        ("dataset", line.dataset),
        ("registered", _registered(found)),
        ("retries", str(retries)),
        ("folder", str(found.folder)),
    ):
        grid.add_row(label, text)
    return grid


def _registered(found: RequestDetail) -> str:
    if found.catalog == "none":
        return "no catalogue asked for"
    return found.registered.strftime("%Y-%m-%d %H:%M UTC") if found.registered else "not yet"


def _stages(found: RequestDetail) -> RenderableType:
    # states that no job is in would only make the table wide; these always matter
    shown = [
        state
        for state in JobState
        if state in found.stages[0].states or state in (JobState.PLANNED, JobState.DONE, JobState.FAILED)
    ]
    columns = (*(state.value for state in shown), "EXPECTED")
    listing = table("STAGE", *columns, right=columns)
    for stage in found.stages:
        numbers = [str(stage.states.get(state, 0)) for state in shown]
        listing.add_row(stage.label, *numbers, str(stage.expected))
    return listing


def _speeds(found: RequestDetail) -> RenderableType:
    columns = ("JOBS", "EVENTS", "SIZE", "EVENTS/S", "PER JOB", "PEAK MB")
    listing = table("DONE", *columns, right=columns)
    for speed in found.speeds:
        listing.add_row(
            speed.stage.value,
            format_count(speed.jobs),
            format_count(speed.events),
            format_bytes(speed.bytes),
            f"{speed.events_hz:.1f}" if speed.events_hz is not None else "-",
            format_duration(speed.job_seconds),
            f"{speed.max_rss_mb:.0f}",
        )
    return listing


def _failures(found: RequestDetail) -> RenderableType:
    listing = table(
        "FAILED", "EXIT", "TIMES", "JOBS", "STILL", "CAUSE AND LOG", right=("EXIT", "TIMES", "JOBS", "STILL")
    )
    for failure in found.failures:
        listing.add_row(
            failure.stage.value,
            str(failure.exit_code),
            str(failure.attempts),
            str(failure.jobs),
            str(failure.failed_jobs),
            escape(f"{failure.error}\n{failure.log}"),
        )
    return listing
