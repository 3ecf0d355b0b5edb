"""``train fetch``, and the options of all commands that read CERN Open Data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli.options import Json
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import counted, print_json
from flashsim_prod.core.sizes import format_bytes, parse_count
from flashsim_prod.errors import RequestError
from flashsim_prod.production.models.opendata.records import CACHE_LIMIT, SERVER_VARIABLE, Where, fetch

Server = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help=f"Portal to ask; ${SERVER_VARIABLE}, or CERN's, by default.",
    ),
]
Protocol = Annotated[
    str, typer.Option(metavar="xrootd|http", help="How files of records are read; what can be by default.")
]
Cache = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Folder of copies; opendata in the state folder by default."),
]
CacheLimit = Annotated[str, typer.Option(metavar="SIZE", help="Of all copies: 500GB, 1TB, ...")]


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(name="fetch")(fetch_files)


def fetch_files(
    recid: Annotated[int | None, typer.Option(min=1, help="Number of the record.")] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Or its dataset: /PRIMARY/CAMPAIGN/NANOAODSIM")
    ] = None,
    events: Annotated[
        str | None, typer.Option(help="Whole files that hold so many: 100k, 4M; all files by default.")
    ] = None,
    server: Server = None,
    protocol: Protocol = "",
    cache: Cache = None,
    cache_limit: CacheLimit = CACHE_LIMIT,
    as_json: Json = False,
) -> None:
    """Copy NanoAOD files of CERN Open Data, verified; copies that are there are kept, others go on."""
    if (recid is None) == (dataset is None):
        raise RequestError("say which one: --recid N or --dataset /PRIMARY/CAMPAIGN/NANOAODSIM")
    number = None if events is None else parse_count(events)
    where = Where(server, protocol, cache, cache_limit)
    with shown_steps() as show:
        made = fetch(
            str(recid or dataset),
            number,
            where,
            progress=lambda task, done, total: show(task, done, total, ""),
        )
    if as_json:
        print_json(made)
        return
    for path in made.files:
        typer.echo(f"{path}")
    held = f"{counted(len(made.files), 'file')}, {counted(made.events, 'event')}, {format_bytes(made.bytes)}"
    typer.echo(f"{held} of record {made.recid}, {made.dataset}")
    if number is not None and made.events < number:
        typer.echo(f"note: {number:,} events were wanted, and the record has no more", err=True)
