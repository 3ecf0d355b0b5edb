"""``flashsim-prod train``: from NANOAOD with truth to a bundle of models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models import fit as fitting
from flashsim_prod.cli.models.bundle import summary as bundle_summary
from flashsim_prod.cli.models.fidelity import print_report
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
from flashsim_prod.cli.progress import follow, shown_steps
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.choices import Device, Solver

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.model import ObjectModel

app = typer.Typer(no_args_is_help=True, help="Train object models and make bundles of them.")


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
    from flashsim_prod.core.sizes import parse_count
    from flashsim_prod.errors import RequestError
    from flashsim_prod.physics.training.sample import write_generator_sample
    from flashsim_prod.production.order.library import find_card

    found = find_card(card)
    chosen = found.energy(energy)
    if chosen is None:
        raise RequestError(f"card {found.name} has no energy of {energy} TeV")
    number = parse_count(events)
    _check_new(output)
    steps = write_generator_sample(found, output, energy_tev=chosen.tev, n_events=number, seed=seed)
    done = follow(steps, f"{found.name} -> {output.name}", number)
    if as_json:
        print_json({"card": found.name, "output": str(output), "events": done, "seed": seed})


@app.command()
def reference(
    inputs: Annotated[list[str], typer.Argument(help="Files of generator-level NanoAOD.")],
    output: Annotated[Path, typer.Option(dir_okay=False, help="NANOAOD file to write.")],
    folds: Annotated[int, typer.Option(min=1, help="Reconstructions of each generator event.")] = 1,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Reconstruct events with the reference detector, a parametric stand-in for FullSim."""
    from flashsim_prod.physics.training.sample import write_reference_sample

    _check_new(output)
    done = follow(write_reference_sample(inputs, output, folds=folds, seed=seed), output.name)
    if as_json:
        print_json({"output": str(output), "events": done, "folds": folds, "seed": seed})


@app.command()
def extract(
    files: Annotated[
        list[str], typer.Argument(help="NANOAOD with truth: the reference detector's, or FullSim.")
    ],
    work: Folder = WORK,
    model: Annotated[
        list[str] | None, typer.Option(help="Only these object models.", autocompletion=completing.models)
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw training tables from NANOAOD files; tables that are there already are kept."""
    from flashsim_prod.errors import RequestError
    from flashsim_prod.physics.training.tables import extract_file, left_out, not_finite, table_sizes

    models = _models(model)
    twice = [name for name, times in Counter(Path(file).stem for file in files).items() if times > 1]
    if twice:
        raise RequestError(f"two files are called {twice[0]}, and so would be their tables; rename one")
    kept = 0
    with shown_steps() as show:
        for file in files:
            done = 0
            for done, total in extract_file(file, models, work / "tables"):
                show(Path(file).name, done, total, "")
            kept += not done
    for file in files:
        for name, lost in not_finite(file, models, work / "tables").items():
            typer.echo(f"note: {file}: {fitting.lost_rows(name, lost)}", err=True)
        for name, (none, number) in left_out(file, models, work / "tables").items():
            lacking = f"{none:,} of {number:,} {name} are in no table, for want of a source"
            typer.echo(f"note: {file}: {lacking}", err=True)
    sizes = {one.name: table_sizes(work / "tables", one) for one in models}
    if as_json:
        print_json({name: {"sources": n, "objects": m} for name, (n, m) in sizes.items()})
        return
    _print_sizes(sizes)
    if kept:
        again = f"remove them from {work / 'tables'} to draw them again"
        typer.echo(f"tables of {counted(kept, 'file')} were there already and kept; {again}")


def _print_sizes(sizes: dict[str, tuple[int, int]]) -> None:
    """What there is to learn from."""
    from flashsim_prod.physics.training.fit import LEAST_OBJECTS

    listing = table("MODEL", "SOURCES", "OBJECTS", "", right=("SOURCES", "OBJECTS"))
    for name, (sources, objects) in sizes.items():
        note = f"at least {LEAST_OBJECTS:,} are needed" if objects < LEAST_OBJECTS else ""
        listing.add_row(name, f"{sources:,}", f"{objects:,}", note)
    console().print(listing)


def _check_new(output: Path) -> None:
    from flashsim_prod.errors import RequestError

    if output.exists():
        raise RequestError(f"{output} exists; give another name, or remove it")


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
    from flashsim_prod.errors import BundleError
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.training.assemble import ENTRY, build_bundle

    fits = {path.parent.name: path.parent for path in sorted((work / "fits").glob(f"*/{ENTRY}"))}
    found = load_bundle(find_bundle(base)) if base is not None else None
    if not fits and found is None:
        raise BundleError(f"{work / 'fits'}: no fitted model; run 'flashsim-prod train all' first")
    if not fits and report and (name or title or tag):
        raise BundleError(
            f"{work / 'fits'}: no fitted model, so this is {base} under another name; leave out --name, "
            "--title and --tag to record a report in it, or fit models first"
        )
    # with no model of one's own it stays the bundle that it is
    same = found.manifest if found is not None and not fits else None
    made = build_bundle(
        fits,
        output,
        name=name or (same.name if same else "custom"),
        title=title or (same.title if same else "Models trained by the user"),
        tag=tag or (same.tag if same else "Custom"),
        training_sample=tuple(sample or _tables_of(work)),
        base=found,
        reports=tuple(report or ()),
    )
    if as_json:
        print_json({"path": str(made.path), **bundle_summary(made), "own_models": sorted(fits)})
        return
    models = made.manifest.models
    own = f"{len(fits)} fitted in {work / 'fits'}"
    whose = f"{own}, {len(models) - len(fits)} of {base}" if base is not None else own
    typer.echo(f"{made.path}: {counted(len(models), 'model')} ({whose}), digest {made.digest[:12]}")


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
    from flashsim_prod.physics.validation.drawing.libraries import check_libraries

    check_libraries()
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.validation.models.page import write_page
    from flashsim_prod.physics.validation.models.report import Options, make_fidelity_report, write_json

    options = Options(
        max_rows=max_rows,
        sampling=sampling_of(solver, evaluations, grid_power),
        seed=seed,
        models=tuple(model or ()),
        device=pick_device(device, threads=threads),
        fits=work / "fits",
    )
    found = load_bundle(find_bundle(bundle))
    with shown_steps() as show:

        def progress(stage: str, done: int, total: int) -> None:
            show(stage, done, total, "")

        made = make_fidelity_report(found, files, options, progress)
        write_json(made, output)
        page = write_page(made, output, progress)
    if as_json:
        print_json(made.figures())
        return
    print_report(made)
    typer.echo(f"{page}")


def _tables_of(work: Path) -> list[str]:
    """Names of the files that the tables were drawn from."""
    return sorted({path.stem for path in (work / "tables").glob("*/*.safetensors")})


def _models(names: list[str] | None) -> list[ObjectModel]:
    from flashsim_prod.physics.chain.registry import MODELS, find_model

    return [find_model(name) for name in names] if names else list(MODELS)
