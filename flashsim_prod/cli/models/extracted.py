"""What was drawn into tables, as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from flashsim_prod.cli.models.told import lost_rows
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.sizes import format_duration
from flashsim_prod.production.models.at_site import DrawnAt
from flashsim_prod.production.models.samples import Extracted, LackingIn


def speed(made: Extracted) -> str:
    """How fast events were drawn."""
    rate = made.events / max(made.seconds, 1e-3)
    return f"{counted(made.events, 'event')} in {format_duration(made.seconds)}, {rate:,.0f} events/s"


def note_what_is_lacking(made: Extracted) -> None:
    """What the tables do not hold, a line each, on standard error."""
    for file in made.empty:
        typer.echo(f"note: {file}: holds no events, so there is nothing to draw from it", err=True)
    for file, version, told in (*_without_table(made), *_with_less(made)):
        of_version = f" (NanoAOD {version})" if version else ""
        typer.echo(f"note: {file}{of_version}: {told}", err=True)
    for lost in made.not_finite:
        told = lost_rows(lost.model, lost.objects, lost.sources, lost.why)
        typer.echo(f"note: {lost.file}: {told}", err=True)
    if made.without_era:
        others = f" (nor that of {len(made.without_era) - 1} others)" if len(made.without_era) > 1 else ""
        typer.echo(
            f"note: {made.without_era[0]}: nothing tells its era{others}, so models of it count as of "
            f"{made.counted_as}; if it is of another one, say --era",
            err=True,
        )
    for line in made.mixtures:
        typer.echo(f"note: {line}", err=True)
    for one in made.without_source:
        lacking = f"{one.objects:,} of {one.number:,} {one.collection} are in no table, for want of a source"
        typer.echo(f"note: {one.file}: {lacking}", err=True)


def _without_table(made: Extracted) -> Iterator[tuple[str, str, str]]:
    """File, version, and the models of which it gives no table for the same reason."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in made.lacking:
        if not one.has_table:
            why = one.trouble.removeprefix(f"{one.model} cannot be extracted: ")
            found.setdefault((one.file, one.version, why), []).append(one.model)
    for (file, version, why), models in found.items():
        yield file, version, f"no table of {', '.join(models)}: {why}"


def _with_less(made: Extracted) -> Iterator[tuple[str, str, str]]:
    """File, version, and what the table of a model lacks, one by one."""
    for one in made.lacking:
        if one.has_table:
            yield one.file, one.version, _told(one)


def _told(one: LackingIn) -> str:
    """What a file could not give of a model that there is a table of, in a line."""
    without = f"has no {', '.join(one.branches)}"
    if not one.targets:
        return f"{one.model}: {without}; nothing depends on it"
    trouble = f"; no bundle can have it so: {one.trouble}" if one.trouble else ""
    return f"{one.model}: {without}, so the table lacks {', '.join(one.targets)}{trouble}"


def print_sizes(made: Extracted) -> None:
    """What there is to learn from."""
    listing = table("MODEL", "SOURCES", "OBJECTS", "", right=("SOURCES", "OBJECTS"))
    for name, size in made.sizes.items():
        note = f"at least {made.least_objects:,} are needed" if size.objects < made.least_objects else ""
        listing.add_row(name, f"{size.sources:,}", f"{size.objects:,}", note)
    console().print(listing)


def print_drawn_at(handed: DrawnAt, as_json: bool) -> None:
    """What a site draws."""
    if as_json:
        print_json(handed)
        return
    how = "Submitted" if handed.is_new else "At work already"
    typer.echo(f"{how}: tables of {counted(handed.files, 'file')} at {handed.site}, {handed.batch_id}")
    typer.echo(f"See       {handed.folder}; again with --wait to follow")
