"""``train calibrate``, and ``train fit`` with a base: models of a bundle brought near to another sample."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models.told import warn
from flashsim_prod.cli.options import WORK, Folder, Json, Seed
from flashsim_prod.cli.progress import Show, shown_steps
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.production.models.changing.tuning import (
    ALL,
    TuneDisplay,
    TuneOptions,
    Tunings,
    tune_models,
)

if TYPE_CHECKING:
    from flashsim_prod.production.models.changing.tuning import ModelTuned

Base = Annotated[
    str,
    typer.Option(
        metavar="BUNDLE",
        help="Bundle whose models are the beginning, as: reference",
        autocompletion=completing.bundles,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add ``calibrate`` to `app`."""
    app.command()(calibrate)


def calibrate(
    base: Base,
    work: Folder = WORK,
    model: Annotated[
        str, typer.Option(help="Only this object model.", autocompletion=completing.models)
    ] = ALL,
    seed: Seed = 1,
    anew: Annotated[bool, typer.Option("--anew", help="Even if fine-tuned models are lost by it.")] = False,
    as_json: Json = False,
) -> None:
    """Move distributions and rates of a bundle's models to those of the tables; networks stay as they are."""
    tune(model, base, work, TuneOptions(anew=anew, seed=seed), only_calibrate=True, as_json=as_json)


def tune(
    model: str, base: str, work: Path, options: TuneOptions, *, only_calibrate: bool, as_json: bool
) -> None:
    """Tune `model`, or all, and say what came of it."""
    with shown_steps() as show:
        made = tune_models(model, base, work, options, _Shown(show), only_calibrate=only_calibrate)
    warn(made.warnings)
    if as_json:
        print_json({**asdict(made), "models": [asdict(one) for one in made.models]})
        return
    if made.models:
        _print_models(made)
    if made.kept:
        typer.echo(
            f"{counted(len(made.kept), 'model')} of these tables were there already; --anew to do them again"
        )
    if made.without_tables:
        typer.echo(f"without tables, as they were: {', '.join(made.without_tables)}")
    typer.echo(f"{made.work / 'fits'}: now train bundle NEW --work {made.work} --base {base}")


class _Shown(TuneDisplay):
    """Steps as they are shown everywhere."""

    def __init__(self, show: Show) -> None:
        self._show = show

    def step(self, task: str, done: int, total: int, loss: float | None = None) -> None:
        self._show(task, done, total, "" if loss is None else f"loss {loss:.4f}")


def _print_models(made: Tunings) -> None:
    """Losses on held-out rows and objects of each source, before and after."""
    numbers = ("OBJECTS", "LOSS", "OF NUMBERS", "RATE", "BEFORE", "AFTER")
    listing = table("MODEL", "DONE", *numbers, right=numbers, whole=("MODEL", "DONE"))
    for one in made.models:
        listing.add_row(one.model, str(one.done), f"{one.objects:,}", *_losses(one), *_rates(one))
    console().print(listing)
    typer.echo(
        "LOSS on held-out rows, before and after; RATE: objects of each source in the sample, by "
        f"{made.base}, and now"
    )


def _losses(one: ModelTuned) -> tuple[str, str]:
    found = {"": "-", "numbers": "-"}
    for stage in one.stages.values():
        before = stage.start if stage.base is None else stage.base
        found["numbers" if stage.is_of_numbers else ""] = f"{before:.3f} > {stage.best:.3f}"
    return found[""], found["numbers"]


def _rates(one: ModelTuned) -> tuple[str, ...]:
    if one.rates is None:
        return ("-",) * 3
    return tuple(f"{rate:.3f}" for rate in (one.rates.sample, one.rates.base, one.rates.tuned))
