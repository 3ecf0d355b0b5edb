"""``train all --cocktail``: from records to a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from flashsim_prod.cli.models.extracted import note_what_is_lacking, print_sizes, speed
from flashsim_prod.cli.models.shown import FitsShown
from flashsim_prod.cli.models.told import warn
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.sizes import format_duration, parse_count
from flashsim_prod.core.training.cocktail import Cocktail
from flashsim_prod.errors import RequestError
from flashsim_prod.production.models.fitting import FitOptions
from flashsim_prod.production.models.opendata.cocktail import (
    Trained,
    find_cocktail,
    train_cocktail,
    train_cocktail_at,
)
from flashsim_prod.production.models.opendata.fit_energy import EnergyOfFits
from flashsim_prod.production.models.opendata.records import Where
from flashsim_prod.production.models.samples import Extracted
from flashsim_prod.production.order.library import find_site


@dataclass(frozen=True)
class CocktailFiles:
    """Where a cocktail's events come from, and what is made of them."""

    work: Path
    output: Path
    site: str
    events: str | None
    jobs: int
    where: Where
    wait: bool = False


def train_from_files(name: str, files: CocktailFiles, options: FitOptions, *, as_json: bool) -> None:
    """Train a cocktail, and tell what came of it."""
    found = find_cocktail(name)
    events = None if files.events is None else parse_count(files.events)
    if find_site(files.site).rules.goes_on_alone:
        _train_at(found, files, options, events, as_json=as_json)
        return

    def drawn(made: Extracted) -> None:
        note_what_is_lacking(made)
        if not as_json:
            print_sizes(made)
            if made.events:
                typer.echo(speed(made))

    with shown_steps() as show:
        made = train_cocktail(
            found,
            files.work,
            files.output,
            options,
            files.where,
            events=events,
            jobs=files.jobs,
            progress=lambda task, done, total: show(task, done, total, ""),
            display=FitsShown(show, as_json),
            extracted=drawn,
        )
    warn(made.bundle.mixtures)
    if as_json:
        print_json(_for_programs(made))
        return
    if made.fits.too_few:
        names = ", ".join(f"{model} ({objects:,})" for model, objects in made.fits.too_few.items())
        typer.echo(f"note: with too few objects, so of bundle {made.bundle.base}: {names}", err=True)
    _print_energy(made.energy)
    bundle = made.bundle.bundle
    own = counted(len(made.bundle.own_models), "model")
    typer.echo(
        f"{bundle.path}: tag {found.tag}, {own} trained here of {bundle.models}, digest {bundle.digest[:12]}"
    )


def _train_at(
    cocktail: Cocktail, files: CocktailFiles, options: FitOptions, events: int | None, *, as_json: bool
) -> None:
    """Have a site train a cocktail."""
    if files.jobs != 1:
        raise RequestError(f"--jobs is of files here; at {files.site} each has a job: leave it out")
    with shown_steps() as show:
        made = train_cocktail_at(
            cocktail,
            files.site,
            files.work,
            files.output,
            options,
            files.where,
            events=events,
            wait=files.wait,
            progress=lambda task, done, total: show(task, done, total, ""),
            display=FitsShown(show, as_json),
        )
    handed = made.submitted
    if as_json:
        names = ("site", "batch_id", "is_new", "models", "files", "bundle", "is_done")
        energy = {model: asdict(one) for model, one in made.energy.fits.items()}
        print_json({**{name: getattr(handed, name) for name in names}, "energy": energy})
    elif handed.is_done:
        _print_energy(made.energy)
        typer.echo(f"{handed.bundle}: tag {cocktail.tag}")


def _print_energy(energy: EnergyOfFits) -> None:
    listing = table("MODEL", "TIME", "ENERGY", "", right=("TIME", "ENERGY"))
    for model, one in energy.fits.items():
        listing.add_row(
            model,
            format_duration(one.seconds),
            _told(one.energy_kwh, one.seconds, one.unmeasured_s),
            one.source,
        )
    seconds = sum(one.seconds for one in energy.fits.values())
    listing.add_row(
        "all fits", format_duration(seconds), _told(energy.energy_kwh, seconds, energy.unmeasured_s), ""
    )
    console().print(listing)


def _told(energy_kwh: float, seconds: float, unmeasured_s: float) -> str:
    if unmeasured_s >= seconds:
        return "no meter"
    part = f" without {format_duration(unmeasured_s)}" if unmeasured_s else ""
    return f"{energy_kwh:.4g} kWh{part}"


def _for_programs(made: Trained) -> dict[str, object]:
    return {
        "bundle": asdict(made.bundle.bundle),
        "own_models": made.bundle.own_models,
        "too_few": made.fits.too_few,
        "events": made.extracted.events,
        "energy": {model: asdict(one) for model, one in made.energy.fits.items()},
        "energy_j": made.energy.energy_j,
        "unmeasured_s": made.energy.unmeasured_s,
    }
