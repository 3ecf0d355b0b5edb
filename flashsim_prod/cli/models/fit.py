"""``train fit`` and ``train all``: object models fitted here, or by the jobs of a site."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import WORK, Folder, Json, OnDevice, Seed
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import counted, print_json
from flashsim_prod.core.choices import Device, Network

if TYPE_CHECKING:
    from flashsim_prod.core.site import Site
    from flashsim_prod.physics.chain.model import ObjectModel
    from flashsim_prod.physics.training.finite import LeftOut
    from flashsim_prod.physics.training.optimise import FitSettings
    from flashsim_prod.physics.training.record import FitRecord

Quick = Annotated[bool, typer.Option("--quick", help="A tenth of the steps, to try things out.")]
Steps = Annotated[
    int | None,
    typer.Option(
        min=100, help="Steps of the flow, of which the other network takes a third, or of the only network."
    ),
]
Width = Annotated[
    int | None, typer.Option(min=8, help="Width of the flow's network; the model's own by default.")
]
Blocks = Annotated[
    int | None,
    typer.Option(min=1, help="Residual blocks of the flow's network; 5 of width 300 have 2M weights."),
]
Anew = Annotated[bool, typer.Option("--anew", help="Start over, whatever earlier fits left.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(fit)
    app.command(name="all")(fit_all)


def fit(
    model: Annotated[str, typer.Argument(help="Object model to fit.", autocompletion=completing.models)],
    work: Folder = WORK,
    quick: Quick = False,
    steps: Steps = None,
    width: Width = None,
    blocks: Blocks = None,
    only: Annotated[
        Network | None,
        typer.Option(help="Fit this network anew and keep the other as the last fit left it."),
    ] = None,
    further: Annotated[
        bool, typer.Option("--further", help="Go on from the weights that the last fit left.")
    ] = False,
    device: OnDevice = Device.AUTO,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seed: Seed = 1,
    anew: Anew = False,
    as_json: Json = False,
) -> None:
    """Fit one object model; a fit that was interrupted goes on from its checkpoint."""
    from flashsim_prod.errors import RequestError
    from flashsim_prod.physics.chain.registry import find_model

    found = find_model(model)
    if anew and (only or further):
        raise RequestError("--anew starts over, --only and --further build on the last fit: choose one")
    if anew:
        _forget([found], work)
    fits = _fit(
        [found],
        work,
        _settings(quick, steps, seed, only),
        device,
        threads,
        width=width,
        blocks=blocks,
        only=only,
        further=further,
        as_json=as_json,
    )
    _tell_fits(fits, work, as_json)


def fit_all(
    work: Folder = WORK,
    quick: Quick = False,
    steps: Steps = None,
    width: Width = None,
    blocks: Blocks = None,
    device: OnDevice = Device.AUTO,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
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
    as_json: Json = False,
) -> None:
    """Fit every object model that is not fitted yet: one after another here, at once at a site."""
    from flashsim_prod.errors import InputError
    from flashsim_prod.physics.chain.registry import MODELS
    from flashsim_prod.physics.training.assemble import ENTRY
    from flashsim_prod.production.order.library import find_site

    found = find_site(site)
    if anew:
        _forget(MODELS, work)
    missing = [model for model in MODELS if not (work / "fits" / model.name / ENTRY).is_file()]
    enough, few = _by_size(missing, work)
    fits: dict[str, FitRecord] = {}
    if found.rules.goes_on_alone and (enough or not missing):
        # with all fits done there is still a bundle to be made, or being made
        options = ["--device", found.device.value, "--threads", str(found.resources.cpus)]
        options += ["--seed", str(seed), *(["--quick"] if quick else [])]
        for option, value in (("--steps", steps), ("--width", width), ("--blocks", blocks)):
            options += [option, str(value)] if value is not None else []
        names = [model.name for model in enough]
        _hand_over(found, work, names, options, output or work / "bundle", wait, as_json)
    else:
        if enough:
            settings = _settings(quick, steps, seed)
            fits = _fit(enough, work, settings, device, threads, width=width, blocks=blocks, as_json=as_json)
        if missing or as_json:
            _tell_fits(fits, work, as_json, few)
        else:
            typer.echo(f"{work / 'fits'}: all {len(MODELS)} models are fitted; --anew to start over")
    if few:
        raise InputError(_left_out(few, work))


def _by_size(
    models: list[ObjectModel], work: Path
) -> tuple[list[ObjectModel], list[tuple[ObjectModel, int]]]:
    """Those with enough objects to learn from, and the others with how many they have."""
    from flashsim_prod.errors import InputError
    from flashsim_prod.physics.training.fit import LEAST_OBJECTS
    from flashsim_prod.physics.training.tables import table_sizes

    sized = [(model, table_sizes(work / "tables", model)[1]) for model in models]
    if models and not any(objects for _, objects in sized):
        raise InputError(f"{work / 'tables'}: no training tables; run 'flashsim-prod train extract' first")
    enough = [model for model, objects in sized if objects >= LEAST_OBJECTS]
    return enough, [(model, objects) for model, objects in sized if objects < LEAST_OBJECTS]


def _left_out(few: list[tuple[ObjectModel, int]], work: Path) -> str:
    from flashsim_prod.physics.training.fit import LEAST_OBJECTS

    names = ", ".join(f"{model.name} ({objects:,})" for model, objects in few)
    return (
        f"not fitted, for want of {LEAST_OBJECTS:,} objects in {work / 'tables'}: {names}; extract more "
        "events and say it again, or take these models from a bundle: train bundle --base reference"
    )


def _forget(models: Sequence[ObjectModel], work: Path) -> None:
    for model in models:
        shutil.rmtree(work / "fits" / model.name, ignore_errors=True)


def _hand_over(
    site: Site, work: Path, missing: list[str], options: list[str], output: Path, wait: bool, as_json: bool
) -> None:
    from flashsim_prod.physics.training.assemble import ENTRY
    from flashsim_prod.production.models.training import follow_fits, hand_over_fits

    batch_id, is_new = hand_over_fits(site, work, missing, options, output)
    told = {
        "site": site.name,
        "batch_id": batch_id,
        "is_new": is_new,
        "models": missing,
        "bundle": str(output),
    }
    if not as_json:
        how = "Submitted" if is_new else "At work already"
        typer.echo(f"{how}: {len(missing)} fits and a bundle at {site.name}, {site.engine} {batch_id}")
        typer.echo(f"See       {work / 'batch'}; again with --wait to follow")
    if not wait:
        if as_json:
            print_json({**told, "is_done": False})
        return
    with shown_steps() as show:

        def fitted() -> int:
            return sum((work / "fits" / name / ENTRY).is_file() for name in missing)

        follow_fits(site, work, output, fitted, lambda done: show("fits", done, len(missing), ""))
    if as_json:
        print_json({**told, "is_done": True})
    else:
        typer.echo(f"{output}")


def _settings(quick: bool, steps: int | None, seed: int, only: Network | None = None) -> FitSettings:
    from flashsim_prod.physics.training.optimise import FitSettings

    settings = FitSettings(seed=seed)
    if steps is not None:
        of_numbers = steps if only is Network.MULTIPLICITY else max(100, steps // 3)
        settings = FitSettings(seed=seed, flow_steps=steps, multiplicity_steps=of_numbers)
    return settings.quick() if quick else settings


def _fit(
    models: list[ObjectModel],
    work: Path,
    settings: FitSettings,
    device: Device,
    threads: int,
    *,
    width: int | None = None,
    blocks: int | None = None,
    only: Network | None = None,
    further: bool = False,
    as_json: bool = False,
) -> dict[str, FitRecord]:
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.training.fit import fit_into_folder

    chosen = pick_device(device, threads=threads)
    records = {}
    with shown_steps() as show:
        for model in models:

            def report(network: str, step: int, total: int, loss: float, name: str = model.name) -> None:
                show(f"{name} {network}", step, total, f"loss {loss:.4f}")

            records[model.name] = fit_into_folder(
                model,
                work,
                settings,
                width=width,
                blocks=blocks,
                only=only,
                further=further,
                device=chosen,
                progress=report,
            )
            if not as_json:
                typer.echo(f"{model.name}: {_told(records[model.name])}")
            if records[model.name].left_out:
                typer.echo(f"note: {lost_rows(model.name, records[model.name].left_out)}", err=True)
    return records


def _tell_fits(
    fits: dict[str, FitRecord], work: Path, as_json: bool, few: Sequence[tuple[ObjectModel, int]] = ()
) -> None:
    from flashsim_prod.physics.training.losses import can_draw

    if as_json:
        figures = [
            {
                "model": name,
                "rows": record.rows,
                "objects": record.objects,
                "seconds": record.seconds,
                "held_out_loss": _least_losses(record),
                "left_out": asdict(record.left_out),
            }
            for name, record in fits.items()
        ]
        print_json({"work": str(work), "fits": figures, "too_few": {model.name: n for model, n in few}})
        return
    if not can_draw():
        typer.echo("no loss plots: for these, pip install 'flashsim-prod[report]'", err=True)
    elif fits:
        typer.echo(f"Losses in {work / 'fits'}/*/*_loss.png")


def _least_losses(record: FitRecord) -> dict[str, float]:
    return {network: min(entry[2] for entry in entries) for network, entries in record.losses.items()}


def lost_rows(model: str, lost: LeftOut) -> str:
    """What a model does not learn from, in a line."""
    objects, sources = counted(lost.objects, "object"), counted(lost.sources, "source")
    return f"{model}: {objects} and {sources} left out, {lost.told()}"


def _told(record: FitRecord) -> str:
    """How a fit went, in a line."""
    losses = ", ".join(f"{network} {loss:.4f}" for network, loss in _least_losses(record).items())
    return f"{record.objects:,} objects, held-out loss {losses}, {record.seconds:.0f} s"
