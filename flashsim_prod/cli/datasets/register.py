"""``register``, and the options that say where and under whose name a dataset is registered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.show import Json

if TYPE_CHECKING:
    from flashsim_prod.core.request import Registration

Scope = Annotated[str, typer.Option(help="Of names in Rucio: cms, user.NAME or group.NAME.")]
Rse = Annotated[
    str | None,
    typer.Option(metavar="RSE", help="Storage element; $FLASHSIM_PROD_RSE or the site's by default."),
]
RseExpression = Annotated[
    str | None, typer.Option(metavar="EXPR", help="Where a rule keeps the files; by default at the RSE.")
]
Lifetime = Annotated[float | None, typer.Option(metavar="DAYS", help="Of the rule; for ever by default.")]
Where = Annotated[Literal["local", "rucio"], typer.Option("--catalog", help="Which catalogue.")]


def add_to(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(register)


def registration_of(
    scope: str, rse: str | None, rse_expression: str | None, lifetime: float | None
) -> Registration:
    """What these options say."""
    from flashsim_prod.core.request import Registration
    from flashsim_prod.production.catalogs import RSE_VARIABLE

    told = {
        "scope": scope,
        "rse": rse or os.environ.get(RSE_VARIABLE),
        "rse_expression": rse_expression,
        "lifetime_days": lifetime,
    }
    return Registration.from_mapping(told, "--scope, --rse, --rse-expression, --lifetime")


def register(
    name: Annotated[
        str,
        typer.Argument(metavar="REQUEST", help="Name of the request.", autocompletion=completing.requests),
    ],
    catalog: Annotated[
        Literal["local", "rucio"] | None, typer.Option(help="By default the request's own.")
    ] = None,
    rse: Rse = None,
    rse_expression: RseExpression = None,
    lifetime: Lifetime = None,
    as_json: Json = False,
) -> None:
    """Register a finished dataset, or take a registration up again; what is there already is compared."""
    from flashsim_prod.cli.requests.driving import summary
    from flashsim_prod.cli.show import console, counted, print_json
    from flashsim_prod.cli.steps import shown_steps
    from flashsim_prod.production.home import open_home
    from flashsim_prod.production.registering import register_request

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
