"""``flashsim-prod train``: from NANOAOD with truth to a bundle of models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models import fit as fitting
from flashsim_prod.cli.models.fidelity import print_fidelity
from flashsim_prod.cli.models.fit import lost_rows
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
from flashsim_prod.cli.progress import Show, shown_steps
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.choices import Device, Solver
from flashsim_prod.core.sizes import format_duration, parse_count
from flashsim_prod.production.models.assembling import assemble_bundle
from flashsim_prod.production.models.drawing import Portion, StepProgress
from flashsim_prod.production.models.fidelity import FidelityOptions, report_fidelity
from flashsim_prod.production.models.samples import (
    Extracted,
    LackingIn,
    extract_tables,
    generate_sample,
    reconstruct_sample,
)

app = typer.Typer(no_args_is_help=True, help="Train object models and make bundles of them.")


def _steps(show: Show) -> StepProgress:
    return lambda task, done, total: show(task, done, total, "")


@app.command()
def generate(
    card: Annotated[
        str, typer.Argument(help="Card of the process to generate.", autocompletion=completing.cards)
    ],
    output: Annotated[Path, typer.Argument(dir_okay=False, help="File of generator-level NanoAOD to write.")],
    events: Annotated[str, typer.Option(help="Generator events: 1000, 10k, ...")] = "1000",
    energy: Annotated[float | None, typer.Option(help="Centre-of-mass energy [TeV].")] = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Generate events of a card, for the reference detector or as input of a request."""
    number = parse_count(events)
    with shown_steps() as show:
        made = generate_sample(
            card, output, events=number, energy_tev=energy, seed=seed, progress=_steps(show)
        )
    if as_json:
        print_json(made)


@app.command()
def reference(
    inputs: Annotated[list[str], typer.Argument(help="Files of generator-level NanoAOD.")],
    output: Annotated[Path, typer.Option(dir_okay=False, help="NANOAOD file to write.")],
    folds: Annotated[int, typer.Option(min=1, help="Reconstructions of each generator event.")] = 1,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Reconstruct events with the reference detector, a parametric stand-in for FullSim."""
    with shown_steps() as show:
        made = reconstruct_sample(inputs, output, folds=folds, seed=seed, progress=_steps(show))
    if as_json:
        print_json(made)


@app.command()
def extract(
    files: Annotated[
        list[str], typer.Argument(help="NANOAOD with truth: the reference detector's, or FullSim.")
    ],
    work: Folder = WORK,
    model: Annotated[
        list[str] | None, typer.Option(help="Only these object models.", autocompletion=completing.models)
    ] = None,
    first: Annotated[
        str | None, typer.Option(metavar="N", help="Only so many events of each file: 1000, 10k, ...")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Files at a time.")] = 1,
    as_json: Json = False,
) -> None:
    """Draw training tables from NANOAOD files; tables that are there already are kept."""
    most = None if first is None else parse_count(first)
    with shown_steps() as show:
        portions = [Portion(file, most) for file in files]
        made = extract_tables(portions, work, model or (), progress=_steps(show), jobs=jobs)
    _note_what_is_lacking(made)
    if as_json:
        print_json(made.sizes)
        return
    _print_sizes(made)
    if made.events:
        typer.echo(_speed(made))
    if made.kept_files:
        again = f"remove them from {made.tables} to draw them again"
        typer.echo(f"tables of {counted(made.kept_files, 'file')} were there already and kept; {again}")


def _speed(made: Extracted) -> str:
    rate = made.events / max(made.seconds, 1e-3)
    return f"{counted(made.events, 'event')} in {format_duration(made.seconds)}, {rate:,.0f} events/s"


def _note_what_is_lacking(made: Extracted) -> None:
    for poor in made.lacking:
        version = f" (NanoAOD {poor.version})" if poor.version else ""
        typer.echo(f"note: {poor.file}{version}: {_told(poor)}", err=True)
    for lost in made.not_finite:
        told = lost_rows(lost.model, lost.objects, lost.sources, lost.why)
        typer.echo(f"note: {lost.file}: {told}", err=True)
    for one in made.without_source:
        lacking = f"{one.objects:,} of {one.number:,} {one.collection} are in no table, for want of a source"
        typer.echo(f"note: {one.file}: {lacking}", err=True)


def _told(one: LackingIn) -> str:
    """What a file could not give of a model, in a line."""
    if not one.has_table:
        return f"no table: {one.trouble}"
    without = f"has no {', '.join(one.branches)}"
    if not one.targets:
        return f"{one.model}: {without}; nothing depends on it"
    trouble = f"; no bundle can have it so: {one.trouble}" if one.trouble else ""
    return f"{one.model}: {without}, so the table lacks {', '.join(one.targets)}{trouble}"


def _print_sizes(made: Extracted) -> None:
    """What there is to learn from."""
    listing = table("MODEL", "SOURCES", "OBJECTS", "", right=("SOURCES", "OBJECTS"))
    for name, size in made.sizes.items():
        note = f"at least {made.least_objects:,} are needed" if size.objects < made.least_objects else ""
        listing.add_row(name, f"{size.sources:,}", f"{size.objects:,}", note)
    console().print(listing)


fitting.add_to(app)


@app.command()
def bundle(
    output: Annotated[Path, typer.Argument(help="Folder of the new bundle.")],
    work: Folder = WORK,
    name: Annotated[str | None, typer.Option(help="Name of the bundle; 'custom' by default.")] = None,
    title: Annotated[str | None, typer.Option(help="What the models stand for.")] = None,
    tag: Annotated[str | None, typer.Option(help="Word for dataset names; 'Custom' by default.")] = None,
    sample: Annotated[list[str] | None, typer.Option(help="What they were trained on, a line each.")] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Bundle that models not fitted come from, as: reference",
            autocompletion=completing.bundles,
        ),
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="JSON", help="report.json of train report on these weights, to be recorded."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put the fitted models of a work folder together as a bundle."""
    made = assemble_bundle(
        work,
        output,
        name=name,
        title=title,
        tag=tag,
        sample=sample or (),
        base=base,
        reports=report or (),
    )
    found, n_own = made.bundle, len(made.own_models)
    if as_json:
        print_json({**asdict(found), "own_models": made.own_models})
        return
    own = f"{n_own} fitted in {made.fits}"
    whose = f"{own}, {found.models - n_own} of {made.base}" if made.base is not None else own
    typer.echo(f"{found.path}: {counted(found.models, 'model')} ({whose}), digest {found.digest[:12]}")


@app.command()
def report(
    bundle: Annotated[
        str, typer.Argument(help="Name of a bundle, or a folder.", autocompletion=completing.bundles)
    ],
    files: Annotated[
        list[str], typer.Argument(help="NANOAOD with truth that no model of the bundle was trained on.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for index.html and report.json.")] = Path("fidelity"),
    max_rows: Annotated[
        int, typer.Option(min=1000, metavar="N", help="Objects of each model, and whole events, at most.")
    ] = 20_000,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only these object models, and no whole events.", autocompletion=completing.models),
    ] = None,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = 8,
    grid_power: GridPower = 1.0,
    work: Folder = WORK,
    device: OnDevice = Device.AUTO,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Measure how close a bundle's models come to held-out events; writes a page and JSON."""
    options = FidelityOptions(
        max_rows=max_rows,
        sampling=sampling_of(solver, evaluations, grid_power),
        models=model or (),
        device=device,
        threads=threads,
        seed=seed,
    )
    with shown_steps() as show:
        made = report_fidelity(
            bundle,
            files,
            output,
            options,
            work=work,
            progress=lambda stage, done, total: show(stage, done, total, ""),
        )
    if as_json:
        print_json(made.figures)
        return
    print_fidelity(made.fidelity)
    typer.echo(f"{made.page}")
