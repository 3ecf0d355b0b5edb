"""``flashsim-prod train``: from NANOAOD with truth to a bundle of models."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models import analysis as of_analysis
from flashsim_prod.cli.models import compare as comparing
from flashsim_prod.cli.models import fit as fitting
from flashsim_prod.cli.models import opendata
from flashsim_prod.cli.models.changing import distil as distilling
from flashsim_prod.cli.models.changing import refine as refining
from flashsim_prod.cli.models.changing import reweight as reweighting
from flashsim_prod.cli.models.changing import tune as tuning
from flashsim_prod.cli.models.extracted import note_what_is_lacking, print_drawn_at, print_sizes, speed
from flashsim_prod.cli.models.fidelity import print_fidelity
from flashsim_prod.cli.models.opendata import Cache, Protocol, Server
from flashsim_prod.cli.models.told import warn
from flashsim_prod.cli.options import (
    WORK,
    Evaluations,
    Folder,
    GridPower,
    Jobs,
    Json,
    OnDevice,
    Seed,
    SolverOption,
    Threads,
    sampling_of,
)
from flashsim_prod.cli.progress import Show, shown_steps
from flashsim_prod.cli.show import counted, print_json
from flashsim_prod.core.choices import Device, Solver
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.errors import RequestError
from flashsim_prod.production.models.assembling import assemble_bundle
from flashsim_prod.production.models.at_site import draw_at
from flashsim_prod.production.models.drawing import StepProgress
from flashsim_prod.production.models.fidelity import FidelityOptions, report_fidelity
from flashsim_prod.production.models.opendata.records import Where, located
from flashsim_prod.production.models.samples import (
    extract_tables,
    generate_sample,
    reconstruct_sample,
)

PartOfFiles = Annotated[
    str | None,
    typer.Option(
        metavar="FIRST:LAST", help="Only these events of each file, as 0:300, 300: or :50%; all by default."
    ),
]

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
    era: Annotated[
        str | None,
        typer.Option(metavar="UL18|Run3_2022", help="Era to imitate; by default that of the inputs' energy."),
    ] = None,
    constituents: Annotated[
        bool, typer.Option("--constituents", help="With what jets are made of: PFCands, JetPFCands.")
    ] = False,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Reconstruct events with the reference detector, a parametric stand-in for FullSim."""
    with shown_steps() as show:
        made = reconstruct_sample(
            inputs,
            output,
            folds=folds,
            seed=seed,
            era=era,
            constituents=constituents,
            progress=_steps(show),
        )
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made.output}: as of {made.era}, NanoAOD {made.nano}, reference detector {made.detector}")


@app.command()
def extract(
    files: Annotated[
        list[str],
        typer.Argument(help="NANOAOD with truth: files, URLs, or opendata:RECID[:EVENTS]."),
    ],
    work: Folder = WORK,
    model: Annotated[
        list[str] | None, typer.Option(help="Only these object models.", autocompletion=completing.models)
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODELS",
            help="Object models that these files are not to teach, as: 'muon_*'.",
            autocompletion=completing.models,
        ),
    ] = None,
    events: PartOfFiles = None,
    weight: Annotated[
        float, typer.Option(metavar="W", help="What each event counts for in fits with --base.")
    ] = 1.0,
    first: Annotated[
        str | None, typer.Option(metavar="N", help="Only so many events of each file: 1000, 10k, ...")
    ] = None,
    era: Annotated[
        str, typer.Option(metavar="ERA", help="Of files that do not tell it, as UL18 or UL16postVFP.")
    ] = "",
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Even beside tables of another reference detector, known to be alike."),
    ] = False,
    jobs: Jobs = 1,
    site: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Where to draw; a job for each file, if not local.",
            autocompletion=completing.sites,
        ),
    ] = "local",
    wait: Annotated[bool, typer.Option("--wait", help="Follow jobs of a site to their end.")] = False,
    server: Server = None,
    protocol: Protocol = "",
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Draw training tables from NANOAOD files; tables that are there already are kept."""
    most = None if first is None else parse_count(first)
    with shown_steps() as show:
        found = located(files, Where(server, protocol, cache), most)
        not_taught = tuple(without or ())
        portions = [
            replace(one, part=events, weight=weight, without=not_taught, era=era, mixed=mixed)
            for one in found
        ]
        if site != "local":
            if model or jobs != 1:
                raise RequestError(f"--model and --jobs are of tables drawn here: leave them out at {site}")
            handed = draw_at(
                *(site, portions, work),
                progress=_steps(show),
                wait=wait,
                say=lambda line: typer.echo(line, err=True),
            )
            if as_json or not handed.is_done:
                print_drawn_at(handed, as_json)
                return
        # after a site there is nothing left to draw, but to tell
        made = extract_tables(portions, work, model or (), progress=_steps(show), jobs=jobs)
    note_what_is_lacking(made)
    if as_json:
        print_json(made.sizes)
        return
    print_sizes(made)
    if made.events:
        typer.echo(speed(made))
    if made.kept_files:
        again = f"remove them from {made.tables} to draw them again"
        typer.echo(f"tables of {counted(made.kept_files, 'file')} were there already and kept; {again}")


fitting.add_to(app)
comparing.add_to(app)
refining.add_to(app)
reweighting.add_to(app)
opendata.add_to(app)
of_analysis.add_to(app)
tuning.add_to(app)
distilling.add_to(app)


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
    tell_base: Annotated[
        bool, typer.Option("--tell-base", help="Say in the title how many models are of the base.")
    ] = False,
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
        tells_base=tell_base,
    )
    found, n_own = made.bundle, len(made.own_models)
    warn(made.mixtures)
    if as_json:
        print_json({**asdict(found), "own_models": made.own_models})
        return
    own = f"{n_own} fitted in {made.fits}"
    whose = f"{own}, {found.models - n_own} of {made.base}" if made.base is not None else own
    era = f", era {made.era}" if made.era else ""
    typer.echo(f"{found.path}: {counted(found.models, 'model')} ({whose}){era}, digest {found.digest[:12]}")


@app.command()
def report(
    bundle: Annotated[
        str, typer.Argument(help="Name of a bundle, or a folder.", autocompletion=completing.bundles)
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(help="NANOAOD with truth that no model of the bundle was trained on."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILES",
            help="The same if they are FullSim: whole events and collections are told apart, too.",
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="With --against: show this one beside it; by default the --base of its fits.",
            autocompletion=completing.bundles,
        ),
    ] = None,
    events: PartOfFiles = None,
    output: Annotated[Path, typer.Option(help="Folder for index.html and report.json.")] = Path("fidelity"),
    max_rows: Annotated[
        int, typer.Option(min=1000, metavar="N", help="Objects of each model, and whole events, at most.")
    ] = 20_000,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Only these object models, and no whole events.", autocompletion=completing.models),
    ] = None,
    figures: Annotated[bool, typer.Option(help="Draw every attribute, which takes most of the time.")] = True,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = None,
    grid_power: GridPower = 1.0,
    work: Folder = WORK,
    device: OnDevice = Device.AUTO,
    threads: Threads = 1,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Measure how close a bundle's models come to held-out events; writes a page and JSON."""
    if before is not None and not against:
        raise RequestError("--before goes with --against FILES, which are FullSim")
    # a glob that the shell expanded leaves its first match to --against and the rest as arguments
    chosen = [*(against or ()), *(files or ())]
    if not chosen:
        raise RequestError("say what to compare with: FILES, or --against FILES if they are FullSim")
    options = FidelityOptions(
        is_fullsim=bool(against),
        before=before,
        events=events,
        figures=figures,
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
            chosen,
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
