"""``flashsim-prod train``: from NANOAOD with truth to a bundle of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flashsim_prod.cli.fidelity import print_report
from flashsim_prod.cli.sampling import Evaluations, GridPower, Solver, sampling_of
from flashsim_prod.cli.show import Json, print_json
from flashsim_prod.cli.steps import follow, shown_steps

if TYPE_CHECKING:
    from flashsim_prod.core.site import Site
    from flashsim_prod.physics.chain.model import ObjectModel
    from flashsim_prod.physics.training.optimise import FitSettings

app = typer.Typer(no_args_is_help=True, help="Train object models and make bundles of them.")

Folder = Annotated[Path, typer.Option("--work", help="Folder of samples, tables and fits.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn.")]
OnDevice = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the networks are trained.")]
Width = Annotated[
    int | None, typer.Option(min=8, help="Width of the flow's network; the model's own by default.")
]
Blocks = Annotated[
    int | None,
    typer.Option(min=1, help="Residual blocks of the flow's network; 5 of width 300 have 2M weights."),
]
Quick = Annotated[bool, typer.Option("--quick", help="A tenth of the steps, to try things out.")]
Steps = Annotated[
    int | None,
    typer.Option(
        min=100, help="Steps of the flow, of which the other network takes a third, or of the only network."
    ),
]

_WORK = Path("training")


@app.command()
def generate(
    card: Annotated[str, typer.Argument(help="Card of the process to generate.")],
    output: Annotated[Path, typer.Argument(help="File of generator-level NanoAOD to write.")],
    events: Annotated[str, typer.Option(help="Generator events: 1000, 10k, ...")] = "1000",
    energy: Annotated[float | None, typer.Option(help="Centre-of-mass energy [TeV].")] = None,
    seed: Seed = 1,
) -> None:
    """Generate events of a card, for the reference detector or as input of a request."""
    from flashsim_prod.core.sizes import parse_count
    from flashsim_prod.errors import RequestError
    from flashsim_prod.physics.training.sample import write_generator_sample
    from flashsim_prod.production.library import find_card

    found = find_card(card)
    chosen = found.energy(energy)
    if chosen is None:
        raise RequestError(f"card {found.name} has no energy of {energy} TeV")
    number = parse_count(events)
    steps = write_generator_sample(found, output, energy_tev=chosen.tev, n_events=number, seed=seed)
    follow(steps, f"{found.name} -> {output.name}", number)


@app.command()
def reference(
    inputs: Annotated[list[str], typer.Argument(help="Files of generator-level NanoAOD.")],
    output: Annotated[Path, typer.Option(help="NANOAOD file to write.")],
    folds: Annotated[int, typer.Option(min=1, help="Reconstructions of each generator event.")] = 1,
    seed: Seed = 1,
) -> None:
    """Reconstruct events with the reference detector, a parametric stand-in for FullSim."""
    from flashsim_prod.physics.training.sample import write_reference_sample

    follow(write_reference_sample(inputs, output, folds=folds, seed=seed), output.name)


@app.command()
def extract(
    files: Annotated[
        list[str], typer.Argument(help="NANOAOD with truth: the reference detector's, or FullSim.")
    ],
    work: Folder = _WORK,
    model: Annotated[list[str] | None, typer.Option(help="Only these object models.")] = None,
) -> None:
    """Draw training tables from NANOAOD files; tables that are there already are kept."""
    from flashsim_prod.physics.training.tables import extract_file, left_out

    models, tables = _models(model), work / "tables"
    with shown_steps() as show:
        for file in files:
            for done, total in extract_file(file, models, tables):
                show(Path(file).name, done, total, "")
    for file in files:
        for name, (none, number) in left_out(file, models, tables).items():
            typer.echo(
                f"note: {file}: {none:,} of {number:,} {name} are in no table, for want of a source", err=True
            )


@app.command()
def fit(
    model: Annotated[str, typer.Argument(help="Object model to fit.")],
    work: Folder = _WORK,
    quick: Quick = False,
    steps: Steps = None,
    width: Width = None,
    blocks: Blocks = None,
    only: Annotated[
        Literal["flow", "multiplicity"] | None,
        typer.Option(help="Fit this network anew and keep the other as the last fit left it."),
    ] = None,
    further: Annotated[
        bool, typer.Option("--further", help="Go on from the weights that the last fit left.")
    ] = False,
    device: OnDevice = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    seed: Seed = 1,
) -> None:
    """Fit one object model; a fit that was interrupted goes on from its checkpoint."""
    settings = _settings(quick, steps, seed, only)
    _fit(
        _models([model]),
        work,
        settings,
        device,
        threads,
        width=width,
        blocks=blocks,
        only=only,
        further=further,
    )


@app.command(name="all")
def fit_all(
    work: Folder = _WORK,
    quick: Quick = False,
    steps: Steps = None,
    width: Width = None,
    blocks: Blocks = None,
    device: OnDevice = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    seed: Seed = 1,
    site: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Where to run; a job for each model, if not local.")
    ] = "local",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the bundle that jobs of a site make; WORK/bundle by default."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow jobs of a site to their end.")] = False,
) -> None:
    """Fit every object model that is not fitted yet: one after another here, at once at a site."""
    from flashsim_prod.physics.training.assemble import ENTRY
    from flashsim_prod.production.library import find_site

    missing = [model for model in _models(None) if not (work / "fits" / model.name / ENTRY).is_file()]
    found = find_site(site)
    if found.engine.is_detached:
        options = [
            "--device",
            found.device.value,
            "--threads",
            str(found.resources.cpus),
            "--seed",
            str(seed),
        ]
        options += ["--quick"] if quick else []
        for option, value in (("--steps", steps), ("--width", width), ("--blocks", blocks)):
            options += [option, str(value)] if value is not None else []
        _hand_over(found, work, [model.name for model in missing], options, output or work / "bundle", wait)
        return
    _fit(missing, work, _settings(quick, steps, seed), device, threads, width=width, blocks=blocks)


def _hand_over(
    site: Site, work: Path, missing: list[str], options: list[str], output: Path, wait: bool
) -> None:
    from flashsim_prod.physics.training.assemble import ENTRY
    from flashsim_prod.production.training import follow_fits, hand_over_fits

    batch_id, is_new = hand_over_fits(site, work, missing, options, output)
    how = "Submitted" if is_new else "At work already"
    typer.echo(f"{how}: {len(missing)} fits and a bundle at {site.name}, {site.engine} {batch_id}")
    typer.echo(f"See       {work / 'batch'}; again with --wait to follow")
    if not wait:
        return
    with shown_steps() as show:

        def fitted() -> int:
            return sum((work / "fits" / name / ENTRY).is_file() for name in missing)

        follow_fits(site, work, output, fitted, lambda done: show("fits", done, len(missing), ""))
    typer.echo(f"{output}")


@app.command()
def bundle(
    output: Annotated[Path, typer.Argument(help="Folder of the new bundle.")],
    work: Folder = _WORK,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "custom",
    title: Annotated[str, typer.Option(help="What the models stand for.")] = "Models trained by the user",
    tag: Annotated[str, typer.Option(help="Word for dataset names.")] = "Custom",
    sample: Annotated[list[str] | None, typer.Option(help="What they were trained on, a line each.")] = None,
) -> None:
    """Put the fitted models of a work folder together as a bundle."""
    from flashsim_prod.errors import BundleError
    from flashsim_prod.physics.training.assemble import ENTRY, build_bundle

    fits = {path.parent.name: path.parent for path in sorted((work / "fits").glob(f"*/{ENTRY}"))}
    if not fits:
        raise BundleError(f"{work / 'fits'}: no fitted model; run 'flashsim-prod train all' first")
    made = build_bundle(
        fits, output, name=name, title=title, tag=tag, training_sample=tuple(sample or _tables_of(work))
    )
    typer.echo(f"{made.path}: {len(made.manifest.models)} models, digest {made.digest[:12]}")


@app.command()
def report(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")],
    files: Annotated[
        list[str], typer.Argument(help="NANOAOD with truth that no model of the bundle was trained on.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for index.html and report.json.")] = Path("fidelity"),
    max_rows: Annotated[
        int, typer.Option(min=1000, metavar="N", help="Objects of each model, and whole events, at most.")
    ] = 20_000,
    model: Annotated[
        list[str] | None, typer.Option(help="Only these object models, and no whole events.")
    ] = None,
    solver: Solver = "midpoint",
    evaluations: Evaluations = 8,
    grid_power: GridPower = 1.0,
    work: Folder = _WORK,
    device: OnDevice = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Measure how close a bundle's models come to held-out events; writes a page and JSON."""
    from flashsim_prod.physics.validation.libraries import check_libraries

    check_libraries()
    from flashsim_prod.core.site import Device
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.validation.page import write_page
    from flashsim_prod.physics.validation.report import Options, make_report, write_json

    options = Options(
        max_rows=max_rows,
        sampling=sampling_of(solver, evaluations, grid_power),
        seed=seed,
        models=tuple(model or ()),
        device=pick_device(Device(device), threads=threads),
        fits=work / "fits",
    )
    found = load_bundle(find_bundle(bundle))
    with shown_steps() as show:

        def progress(stage: str, done: int, total: int) -> None:
            show(stage, done, total, "")

        made = make_report(found, files, options, progress)
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


def _settings(quick: bool, steps: int | None, seed: int, only: str | None = None) -> FitSettings:
    from flashsim_prod.physics.training.optimise import FitSettings

    settings = FitSettings(seed=seed)
    if steps is not None:
        of_numbers = steps if only == "multiplicity" else max(100, steps // 3)
        settings = FitSettings(seed=seed, flow_steps=steps, multiplicity_steps=of_numbers)
    return settings.quick() if quick else settings


def _models(names: list[str] | None) -> list[ObjectModel]:
    from flashsim_prod.physics.chain.registry import MODELS, find_model

    return [find_model(name) for name in names] if names else list(MODELS)


def _fit(
    models: list[ObjectModel],
    work: Path,
    settings: FitSettings,
    device: str,
    threads: int,
    *,
    width: int | None = None,
    blocks: int | None = None,
    only: str | None = None,
    further: bool = False,
) -> None:
    from flashsim_prod.core.site import Device
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.training.fit import Network, fit_into_folder

    chosen = pick_device(Device(device), threads=threads)
    with shown_steps() as show:
        for model in models:

            def report(network: str, step: int, total: int, loss: float, name: str = model.name) -> None:
                show(f"{name} {network}", step, total, f"loss {loss:.4f}")

            fit_into_folder(
                model,
                work,
                settings,
                width=width,
                blocks=blocks,
                only=Network(only) if only else None,
                further=further,
                device=chosen,
                progress=report,
            )
