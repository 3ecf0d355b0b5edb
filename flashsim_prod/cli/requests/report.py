"""``report``: all about one request on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.show import Json, print_json


def add_to(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(report)


def report(
    name: Annotated[
        str,
        typer.Argument(metavar="REQUEST", help="Name of the request.", autocompletion=completing.requests),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder for index.html; by default report/ of the request.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a page about a request: what was made, by what, how long it took, how to use and cite it."""
    from flashsim_prod.production.home import home_to_read
    from flashsim_prod.production.views.report import make_report, write_report

    home = home_to_read()
    made = make_report(home, name)
    page = write_report(home, made, output)
    if as_json:
        print_json({"request": name, "dataset": str(made.request.dataset), "page": str(page)})
    else:
        print(page)
