"""``report``: all about one request on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json
from flashsim_prod.cli.show import print_json
from flashsim_prod.production.home import home_to_read
from flashsim_prod.production.views.report import make_request_report, write_request_report


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
    home = home_to_read()
    made = make_request_report(home, name)
    page = write_request_report(home, made, output)
    if as_json:
        print_json({"request": name, "dataset": str(made.request.dataset), "page": str(page)})
    else:
        print(page)
