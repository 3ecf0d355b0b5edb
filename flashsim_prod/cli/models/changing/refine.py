"""``train refine``: what a model draws moved to where the truth is, by a residual network."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models.changing.judged import print_judged, print_next
from flashsim_prod.cli.models.told import warn
from flashsim_prod.cli.options import (
    WORK,
    Evaluations,
    Folder,
    GridPower,
    Json,
    OnDevice,
    Quick,
    Seed,
    SolverOption,
    Threads,
    sampling_of,
)
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import print_json
from flashsim_prod.core.choices import Device, Solver
from flashsim_prod.core.options import Sampling
from flashsim_prod.production.models.changing.refining import Refined, RefineOptions, refine_model


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(refine)


def refine(
    model: Annotated[str, typer.Argument(help="Object model.", autocompletion=completing.models)],
    work: Folder = WORK,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Refine the model of this bundle, with all of the tables, which are of files that it has "
            "not seen; by default the fit in the folder, with what that held out.",
            autocompletion=completing.bundles,
        ),
    ] = None,
    pairing: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="W",
            help="What the squared distance to the paired true object counts for, beside the discrepancy of "
            "both samples.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=10, help="Of the network.")] = None,
    quick: Quick = False,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = 8,
    grid_power: GridPower = 1.0,
    device: OnDevice = Device.AUTO,
    threads: Threads = 1,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Learn to move what a model draws to where the truth is; the next train bundle has it."""
    options = RefineOptions(
        sampling=sampling_of(solver, evaluations, grid_power) or Sampling(),
        pairing=pairing,
        steps=steps,
        quick=quick,
        device=device,
        threads=threads,
        seed=seed,
    )
    with shown_steps() as show:
        made = refine_model(
            model,
            base,
            work,
            options,
            lambda task, done, total, loss: show(task, done, total, f"loss {loss:.5f}"),
        )
    if made.lost:
        typer.echo(
            f"warning: without its {made.lost}, which knows no refined draws; train reweight {model}",
            err=True,
        )
    warn(made.mixtures)
    if as_json:
        print_json(asdict(made))
        return
    _print(made, base)


def _print(made: Refined, base: str | None) -> None:
    print_judged(made)
    typer.echo(
        f"{len(made.moves)} attributes are moved; loss on objects held out {made.loss_before:.5f} > "
        f"{made.loss_after:.5f}"
    )
    print_next(made.folder, base)
