"""Options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.core.choices import CatalogKind, Device, Solver

if TYPE_CHECKING:
    from flashsim_prod.core.notices.targets import Notify
    from flashsim_prod.core.request import Registration, Sampling

OnDevice = Annotated[Device, typer.Option(help="Where the networks run.")]
SolverOption = Annotated[
    Solver,
    typer.Option(help="How the flows are integrated; ab2 is Adams and Bashforth's of second order."),
]
Evaluations = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=1000,
        help="Network evaluations per object; those of a bundle's students by default, else 8.",
    ),
]
GridPower = Annotated[
    float,
    typer.Option(
        metavar="P", min=1, max=10, help="The solver's times are 1 - (1 - s)^P: above 1 dense near t = 1."
    ),
]


def sampling_of(solver: Solver, evaluations: int | None, grid_power: float) -> Sampling | None:
    """What the options say, if they say anything; `ConfigError` where they do not go together."""
    from flashsim_prod.core.request import Sampling

    typed = {"solver": solver, "evaluations": evaluations, "grid_power": grid_power}
    said = {name: value for name, value in typed.items() if value is not None}
    found = Sampling.from_mapping(said, "options")
    return None if evaluations is None and found == Sampling() else found


Scope = Annotated[str, typer.Option(help="Of names in Rucio: cms, user.NAME or group.NAME.")]


Rse = Annotated[
    str | None,
    typer.Option(metavar="RSE", help="Storage element; $FLASHSIM_PROD_RSE or the site's by default."),
]


RseExpression = Annotated[
    str | None, typer.Option(metavar="EXPR", help="Where a rule keeps the files; by default at the RSE.")
]


Lifetime = Annotated[float | None, typer.Option(metavar="DAYS", help="Of the rule; for ever by default.")]


Where = Annotated[CatalogKind, typer.Option("--catalog", help="Which catalogue.")]


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


Chunk = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Output events in memory at a time; by default the site's."),
]


Batch = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Objects that a network sees at a time; by default the site's."),
]


Wait = Annotated[
    bool, typer.Option("--wait", help="Follow a request that runs elsewhere to its end, then finish it.")
]


Slots = Annotated[
    int | None, typer.Option("--slots", metavar="N", min=1, help="Jobs at a time; the site's by default.")
]


EventsPerJob = Annotated[
    str | None,
    typer.Option(
        "--events-per-job", metavar="N", help="Output events of a job; by default the site decides."
    ),
]


MaybeDevice = Annotated[Device | None, typer.Option("--device", help="Where the networks run.")]


DryRun = Annotated[bool, typer.Option("--dry-run", help="Write the folder to review, and stop.")]


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however long it takes.")]


Tell = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="URL|mailto:WHO",
        help="Tell when it ends, fails or idles; several times for several; none for nobody.",
    ),
]


def notify_of(typed: list[str] | None) -> Notify | None:
    """Who is told; `ConfigError` if an address is none."""
    from flashsim_prod.core.notices.targets import typed_notify

    return typed_notify(typed)


Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


Folder = Annotated[Path, typer.Option("--work", file_okay=False, help="Folder of samples, tables and fits.")]


Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is drawn.")]


Quick = Annotated[bool, typer.Option("--quick", help="A tenth of the steps, to try things out.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]


Jobs = Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Files at a time.")]
WORK = Path("training")
