"""``train fit`` and ``train all``: object models fitted here, or by the jobs of a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models.changing.tune import tune
from flashsim_prod.cli.models.cocktail import CocktailFiles, train_from_files
from flashsim_prod.cli.models.opendata import Protocol, Server
from flashsim_prod.cli.models.shown import FitsShown
from flashsim_prod.cli.options import WORK, Folder, Jobs, Json, OnDevice, Quick, Seed, Threads
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import print_json
from flashsim_prod.core.choices import Device, ModelKind
from flashsim_prod.errors import RequestError
from flashsim_prod.production.models.changing.tuning import TuneOptions
from flashsim_prod.production.models.fitting import (
    FitOptions,
    Fits,
    fit_all_models,
    fit_model,
)
from flashsim_prod.production.models.opendata.records import Where

Steps = Annotated[
    int | None,
    typer.Option(
        min=100,
        help="Steps of what draws the attributes (a gan takes half as many, a cloud a quarter), and a third "
        "of them for their number; or of --only.",
    ),
]
Width = Annotated[
    int | None, typer.Option(min=8, help="Width of what draws the attributes; the model's own by default.")
]
Blocks = Annotated[
    int | None,
    typer.Option(min=1, help="Blocks of what draws the attributes; 5 of width 300 are a flow of 2M weights."),
]
Kind = Annotated[
    ModelKind | None,
    typer.Option(
        help="What draws the attributes: a continuous flow by default; all others in one evaluation."
    ),
]
Anew = Annotated[bool, typer.Option("--anew", help="Start over, whatever earlier fits left.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(fit)
    app.command(name="all")(fit_all)


def fit(
    model: Annotated[
        str,
        typer.Argument(help="Object model to fit; with --base also: all.", autocompletion=completing.models),
    ],
    work: Folder = WORK,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Fine-tune the model of this bundle: calibrate it, and train on where objects suffice.",
            autocompletion=completing.bundles,
        ),
    ] = None,
    quick: Quick = False,
    steps: Steps = None,
    width: Width = None,
    blocks: Blocks = None,
    kind: Kind = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|multiplicity",
            help="Fit this network anew and keep the other as the last fit left it.",
        ),
    ] = None,
    further: Annotated[
        bool, typer.Option("--further", help="Go on from the weights that the last fit left.")
    ] = False,
    device: OnDevice = Device.AUTO,
    threads: Threads = 1,
    seed: Seed = 1,
    anew: Anew = False,
    if_enough: Annotated[
        bool, typer.Option("--if-enough", help="Leave the model if there are too few objects, and say so.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fit one object model; a fit that was interrupted goes on from its checkpoint."""
    if base is not None:
        given = {"--steps": steps, "--width": width, "--blocks": blocks, "--kind": kind, "--only": only}
        _refuse_beside_base({**given, "--further": further or None, "--if-enough": if_enough or None})
        tuning = TuneOptions(quick=quick, anew=anew, device=device, threads=threads, seed=seed)
        tune(model, base, work, tuning, only_calibrate=False, as_json=as_json)
        return
    options = FitOptions(
        quick=quick,
        steps=steps,
        width=width,
        blocks=blocks,
        kind=kind,
        only=only,
        further=further,
        anew=anew,
        device=device,
        threads=threads,
        seed=seed,
    )
    with shown_steps() as show:
        made = fit_model(model, work, options, FitsShown(show, as_json), if_enough=if_enough)
    _tell(made, as_json)


def _refuse_beside_base(given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value is not None:
            raise RequestError(
                f"--base keeps the networks of the bundle and knows how long to train: leave out {option}"
            )


def fit_all(
    work: Folder = WORK,
    quick: Quick = False,
    steps: Steps = None,
    width: Width = None,
    blocks: Blocks = None,
    kind: Kind = None,
    device: OnDevice = Device.AUTO,
    threads: Threads = 1,
    seed: Seed = 1,
    anew: Anew = False,
    site: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Where to run; a job for each model, if not local.",
            autocompletion=completing.sites,
        ),
    ] = "local",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the bundle that jobs of a site make; WORK/bundle by default."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow jobs of a site to their end.")] = False,
    cocktail: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Datasets to draw tables from first, as cms_ul16; the bundle is made, too.",
            autocompletion=completing.cocktails,
        ),
    ] = None,
    events: Annotated[
        str | None, typer.Option(help="Of the cocktail, in all: 400k, 4M; as it says by default.")
    ] = None,
    jobs: Jobs = 1,
    server: Server = None,
    protocol: Protocol = "",
    as_json: Json = False,
) -> None:
    """Fit every object model that is not fitted yet: one after another here, at once at a site."""
    options = FitOptions(
        quick=quick,
        steps=steps,
        width=width,
        blocks=blocks,
        kind=kind,
        anew=anew,
        device=device,
        threads=threads,
        seed=seed,
    )
    if cocktail is not None:
        where = Where(server, protocol)
        of_files = CocktailFiles(work, output or work / "bundle", site, events, jobs, where, wait)
        train_from_files(cocktail, of_files, options, as_json=as_json)
        return
    if events is not None:
        raise RequestError("--events is of a cocktail; name one with --cocktail")
    with shown_steps() as show:
        made = fit_all_models(work, options, FitsShown(show, as_json), site=site, output=output, wait=wait)
    _tell(made, as_json)
    made.raise_complaint()


def _tell(made: Fits, as_json: bool) -> None:
    if as_json:
        print_json(_for_programs(made))
    elif made.submitted is not None:
        if made.submitted.is_done:
            typer.echo(f"{made.submitted.bundle}")
    elif made.fits and not made.are_drawn:
        typer.echo("no loss plots: for these, pip install 'flashsim-prod[report]'", err=True)
    elif made.fits:
        typer.echo(f"Losses in {made.work / 'fits'}/*/*_loss.png")
    elif made.complaint:
        # all that there is to say is the error's
        return
    elif made.too_few:
        names = ", ".join(f"{model} ({objects:,} objects)" for model, objects in made.too_few.items())
        typer.echo(f"not fitted, for want of objects: {names}")
    else:
        typer.echo(f"{made.work / 'fits'}: all {made.n_models} models are fitted; --anew to start over")


def _for_programs(made: Fits) -> dict[str, object]:
    found = made.submitted
    if found is not None:
        names = ("site", "batch_id", "is_new", "models", "bundle", "is_done")
        return {name: getattr(found, name) for name in names}
    return {"work": made.work, "fits": [asdict(one) for one in made.fits], "too_few": made.too_few}
