"""``train reweight``: what a model draws brought nearer to the truth, by weights."""

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
from flashsim_prod.core.choices import Device, Solver, WeightUse
from flashsim_prod.core.options import Sampling
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
    quick: Quick = False,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = 8,
    grid_power: GridPower = 1.0,
    device: OnDevice = Device.AUTO,
    threads: Threads = 1,
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
    warn(made.mixtures)
    if as_json:
        print_json(asdict(made))
        return
    _print(made, base)


def _print(made: Reweighted, base: str | None) -> None:
    print_judged(made)
    if made.use is WeightUse.WEIGHT:
        typer.echo(f"weighted objects are worth {made.judged.effective:.0%} of their number")
    print_next(made.folder, base)
