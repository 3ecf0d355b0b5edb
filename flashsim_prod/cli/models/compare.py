"""``train compare``: kinds of model side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import (
    WORK,
    Evaluations,
    Folder,
    GridPower,
    Json,
    Seed,
    SolverOption,
    sampling_of,
)
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, print_json, table
from flashsim_prod.core.choices import Solver
from flashsim_prod.core.options import Sampling
from flashsim_prod.production.models.comparing import Compared, CompareOptions, compare_kinds


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(compare)


def compare(
    models: Annotated[list[str], typer.Argument(help="Object models.", autocompletion=completing.models)],
    kinds: Annotated[
        str, typer.Option(help="Kinds of model, with commas between.")
    ] = "flow,spline,gan,bibae",
    minutes: Annotated[
        float, typer.Option(metavar="M", help="Training time of each on one core, in processor time.")
    ] = 30.0,
    objects: Annotated[
        int, typer.Option(min=200, metavar="N", help="Held-out objects, a quarter of the tables' at most.")
    ] = 50_000,
    work: Folder = WORK,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = None,
    grid_power: GridPower = 1.0,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Train kinds of model on the same tables for the same time and compare them; goes on where it ended."""
    options = CompareOptions(
        minutes, objects, sampling_of(solver, evaluations, grid_power) or Sampling(), seed
    )
    with shown_steps() as show:
        made = compare_kinds(
            models,
            kinds,
            work,
            options,
            lambda task, done, total, loss: show(task, done, total, f"loss {loss:.4f}"),
        )
    if as_json:
        print_json({"standings": [asdict(one) for one in made.standings]})
        return
    _print(made)


def _print(made: Compared) -> None:
    names = ("MODEL", "KIND", "AUC", "FLOOR", "W1", "CORR", "OBJECTS/S", "KB", "MIN", "OBJECTS")
    listing = table(*names, right=names[2:])
    for one in made.standings:
        listing.add_row(
            one.model,
            one.kind,
            f"{one.auc:.3f}",
            f"{one.floor:.3f}",
            f"{one.median_w1:.3f}",
            f"{one.correlation_difference:.3f}",
            f"{one.objects_per_s:,.0f}",
            f"{one.weight_bytes / 1000:,.0f}",
            f"{one.minutes:.1f}",
            f"{one.objects:,}",
        )
    console().print(listing)
    sets = {one.model: one.sets for one in made.standings if one.sets}
    for model, number in sets.items():
        typer.echo(
            f"{model}: AUC and FLOOR are of {number:,} sets of objects, by what these are on the whole"
        )
    typer.echo(f"{made.figures}" if made.picture is None else f"{made.picture}")
