"""``publish``: a finished dataset in DBS."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Rse
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.errors import RequestError
from flashsim_prod.production.catalogs import RSE_VARIABLE
from flashsim_prod.production.dataset.publish import publish as send
from flashsim_prod.production.home import open_home


def publish(
    name: Annotated[
        str,
        typer.Argument(metavar="REQUEST", help="Name of the request.", autocompletion=completing.requests),
    ],
    url: Annotated[
        str | None, typer.Option(metavar="URL", envvar="DBS_WRITER_URL", help="Of the DBS writer.")
    ] = None,
    rse: Rse = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the block dumps, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Publish a finished dataset in DBS; blocks that are there already are compared."""
    if not url and not dry_run:
        raise RequestError(
            "which DBS? say --url, set DBS_WRITER_URL, or --dry-run to write the block dumps only"
        )
    with shown_steps() as show:
        done = send(
            open_home(),
            name,
            None if dry_run else url,
            rse=rse or os.environ.get(RSE_VARIABLE),
            progress=lambda blocks, total: show("publish", blocks, total, ""),
        )
    if as_json:
        dataset, dumps = str(done.request.dataset), [str(path) for path in done.dumps]
        print_json({"request": name, "dataset": dataset, "dumps": dumps, "new_blocks": done.new})
        return
    what = "written, none sent" if done.new is None else f"in DBS, {done.new} of them new"
    line = f"{done.request.dataset}: {counted(len(done.dumps), 'block')} {what} ({done.dumps[0].parent})"
    console().print(line, markup=False, soft_wrap=True)
