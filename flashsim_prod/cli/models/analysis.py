"""``train analysis``, ``train closure``: the model of one analysis, from its configuration to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, OnDevice, Quick, Threads
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, print_json, table
from flashsim_prod.core.choices import Device
from flashsim_prod.production.models.analyses import (
    AnalysisOptions,
    ClosedAnalysis,
    ClosedVariable,
    TrainedAnalysis,
    close_analysis,
    train_analysis,
)


def add_to(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command()(analysis)
    app.command()(closure)


def analysis(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="Name, selection and variables of the analysis.")
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(help="NANOAOD with both levels; those that the configuration names by default."),
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of the training; NAME_work by default.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the new bundle; WORK/bundle by default.")
    ] = None,
    quick: Quick = False,
    device: OnDevice = Device.AUTO,
    threads: Threads = 1,
    anew: Annotated[
        bool, typer.Option("--anew", help="Start over, whatever an earlier training left.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the model of one analysis, show how well it closes, and make a bundle of it."""
    options = AnalysisOptions(quick=quick, anew=anew, device=device, threads=threads)
    with shown_steps() as show:
        made = train_analysis(
            config,
            files or (),
            options,
            work=work,
            output=output,
            progress=lambda task, done, total, loss: show(
                task, done, total, "" if loss is None else f"loss {loss:.4f}"
            ),
        )
    if as_json:
        print_json(made)
        return
    _tell(made)


def closure(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE", help="Name or path of an analysis' bundle.", autocompletion=completing.bundles
        ),
    ],
    files: Annotated[
        list[str], typer.Argument(help="NANOAOD with both levels that the bundle was not trained on.")
    ],
    networks: Annotated[
        Path, typer.Option(help="Folder with the files of the analysis' own networks, if it has such.")
    ] = Path(),
    output: Annotated[Path, typer.Option(help="Folder for figures and pictures.")] = Path("closure"),
    device: OnDevice = Device.AUTO,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Check how an analysis' bundle closes on other events: an error if a bin is off, or none has enough."""
    with shown_steps() as show:
        found = close_analysis(
            bundle,
            files,
            networks=networks,
            output=output,
            device=device,
            threads=threads,
            progress=lambda task, done, total, _: show(task, done, total, ""),
        )
    if as_json:
        print_json(found)
    else:
        _tell_closure(found, "events")
    if found.error is not None:
        raise found.error


def _tell(made: TrainedAnalysis) -> None:
    _tell_closure(made, "held-out events")
    typer.echo(f"{made.bundle.path}: {made.bundle.title}, digest {made.bundle.digest[:12]}")


def _tell_closure(made: ClosedAnalysis, whose: str) -> None:
    typer.echo(
        f"closure on {made.events:,} {whose} of {made.gen_events:,} generator events, "
        f"{made.passing:,} of which pass"
    )
    for note in made.notes:
        typer.echo(f"note: {note}", err=True)
    listing = table("VARIABLE", "BINS", "ENOUGH", "OFF", "WORST RATIO", right=("BINS", "ENOUGH", "OFF"))
    for one in made.all_bins:
        listing.add_row(one.name, str(one.bins), str(one.enough), str(one.off), _worst(one))
    console().print(listing)
    typer.echo(f"rank correlations: at most {made.correlation:.3f} off ({made.pair[0]}, {made.pair[1]})")
    enough = sum(one.enough for one in made.all_bins)
    off = sum(one.off for one in made.all_bins)
    typer.echo(
        f"off by more than 5 %: {off} of {enough} bins with enough events, which is a ratio known to 1.7 %"
        if enough
        else "no bin has enough events to tell, which is a ratio known to 1.7 %: give more events"
    )
    if not made.pictures:
        typer.echo("no pictures: for these, pip install 'flashsim-prod[report]'", err=True)
    typer.echo(f"{made.report}")


def _worst(one: ClosedVariable) -> str:
    if one.worst_ratio is None:
        return "-"
    return f"{one.worst_ratio:.3f} +- {one.worst_error:.3f}"
