"""``register``: a finished dataset into its catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Lifetime, Rse, RseExpression
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.requests.driving import summary
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.core.choices import CatalogKind
from flashsim_prod.production.dataset.register import register_request
from flashsim_prod.production.home import open_home


def register(
    name: Annotated[
        str,
        typer.Argument(metavar="REQUEST", help="Name of the request.", autocompletion=completing.requests),
    ],
    catalog: Annotated[CatalogKind | None, typer.Option(help="By default the request's own.")] = None,
    rse: Rse = None,
    rse_expression: RseExpression = None,
    lifetime: Lifetime = None,
    as_json: Json = False,
) -> None:
    """Register a finished dataset, or take a registration up again; what is there already is compared."""
    with shown_steps() as show:
        done = register_request(
            open_home(),
            name,
            catalog=catalog,
            rse=rse,
            rse_expression=rse_expression,
            lifetime_days=lifetime,
            progress=lambda files, total: show("register", files, total, ""),
        )
    if as_json:
        print_json(summary(done.request, done.state, done.files))
        return
    where = f"{done.request.catalog}, scope {done.request.registration.scope}, {done.request.rse}"
    line = f"{done.request.dataset}: {counted(len(done.files), 'file')} registered ({where})"
    console().print(line, markup=False, soft_wrap=True)
