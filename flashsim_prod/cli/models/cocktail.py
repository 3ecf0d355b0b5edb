"""``train all --cocktail``: from records to a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from flashsim_prod.cli.models.extracted import note_what_is_lacking, print_sizes, speed
from flashsim_prod.cli.models.shown import FitsShown
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.sizes import format_duration, parse_count
from flashsim_prod.errors import RequestError
from flashsim_prod.production.models.fitting import FitOptions
from flashsim_prod.production.models.opendata.cocktail import Trained, find_cocktail, train_cocktail
from flashsim_prod.production.models.opendata.fit_energy import EnergyOfFits
from flashsim_prod.production.models.opendata.records import Where
from flashsim_prod.production.models.samples import Extracted


@dataclass(frozen=True)
class CocktailFiles:
    """Where a cocktail's events come from, and what is made of them."""

    work: Path
    output: Path
    site: str
    events: str | None
    jobs: int
    where: Where


def train_from_files(name: str, files: CocktailFiles, options: FitOptions, *, as_json: bool) -> None:
    """Train a cocktail, and tell what came of it."""
    found = find_cocktail(name)
    if files.site != "local":
        raise RequestError(
            "a cocktail's tables are drawn on this machine: leave out --site, or draw them first (train "
            "extract opendata:RECID:EVENTS --jobs N), then fit there: train all --site, no --cocktail"
        )
    events = None if files.events is None else parse_count(files.events)

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
