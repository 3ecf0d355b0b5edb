"""``train reweight``: what a model draws brought nearer to the truth, by weights."""

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
    OnDevice,
    Seed,
    SolverOption,
    sampling_of,
)
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, print_json, table
from flashsim_prod.core.choices import Device, Solver, WeightUse
from flashsim_prod.core.options import Sampling
from flashsim_prod.production.models.changing.refining import Refined
from flashsim_prod.production.models.changing.reweighting import Reweighted, ReweightOptions, reweight_model


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(reweight)


def reweight(
    model: Annotated[str, typer.Argument(help="Object model.", autocompletion=completing.models)],
    work: Folder = WORK,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Reweight the model of this bundle, with all of the tables, which are of files that it has "
            "not seen; by default the fit in the folder, with what that held out.",
            autocompletion=completing.bundles,
        ),
    ] = None,
    use: Annotated[
        WeightUse,
        typer.Option(
            "--as",
            help="Draw several objects and take one by its weight, or have the weights in FlashSim_weight.",
        ),
    ] = WeightUse.RESAMPLE,
    candidates: Annotated[
        int, typer.Option(min=2, max=64, metavar="N", help="Objects drawn of which resampling takes one.")
    ] = 8,
    steps: Annotated[int | None, typer.Option(min=10, help="Of the classifier.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the steps, to try things out.")] = False,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = 8,
    grid_power: GridPower = 1.0,
    device: OnDevice = Device.AUTO,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Learn weights that bring what a model draws nearer to the truth; the next train bundle has them."""
    options = ReweightOptions(
        use=use,
        candidates=candidates,
        sampling=sampling_of(solver, evaluations, grid_power) or Sampling(),
        steps=steps,
        quick=quick,
        device=device,
        threads=threads,
        seed=seed,
    )
    with shown_steps() as show:
        made = reweight_model(
            model,
            base,
            work,
            options,
            lambda task, done, total, loss: show(task, done, total, f"loss {loss:.4f}"),
        )
    if as_json:
        print_json(asdict(made))
        return
    _print(made)


def _print(made: Reweighted) -> None:
    print_judged(made)
    if made.use is WeightUse.WEIGHT:
        typer.echo(f"weighted objects are worth {made.judged.effective:.0%} of their number")
    typer.echo(f"{made.folder}: now train bundle NEW --work {made.folder.parent.parent}")


def print_judged(made: Reweighted | Refined) -> None:
    """What a correction does to draws, in a table."""
    found = made.judged
    names = ("BEFORE", "AFTER", "CHANCE")
    listing = table(f"{found.objects:,} OBJECTS", *names, "", right=names)
    listing.add_row("area", f"{found.auc_before:.3f}", f"{found.auc_after:.3f}", f"{found.floor:.3f}", "")
    listing.add_row(
        "correlations", f"{found.correlation_before:.3f}", f"{found.correlation_after:.3f}", "", ""
    )
    for one in found.distances:
        is_worse = "worse" if one.is_worse else ""
        listing.add_row(
            f"W1 {one.target}", f"{one.before:.3f}", f"{one.after:.3f}", f"{one.chance:.3f}", is_worse
        )
    listing.add_row(
        "objects/s", f"{found.objects_per_s_before:,.0f}", f"{found.objects_per_s_after:,.0f}", "", ""
    )
    console().print(listing)
