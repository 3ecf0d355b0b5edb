"""What a correction does to a model's draws, in a table, and what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from flashsim_prod.cli.show import console, table

if TYPE_CHECKING:
    from flashsim_prod.production.models.changing.refining import Refined
    from flashsim_prod.production.models.changing.reweighting import Reweighted


def print_judged(made: Reweighted | Refined) -> None:
    """What a correction does to draws, in a table."""
    found = made.judged
    names = ("BEFORE", "AFTER", "CHANCE")
    listing = table(f"{found.objects:,} OBJECTS", *names, "", right=names)
    listing.add_row("area", f"{found.auc_before:.3f}", f"{found.auc_after:.3f}", f"{found.floor:.3f}", "")
    listing.add_row(
        "correlations", f"{found.correlation_before:.3f}", f"{found.correlation_after:.3f}", "", ""
    )
    for one in found.distances:
        is_worse = "worse" if one.is_worse else ""
        listing.add_row(
            f"W1 {one.target}", f"{one.before:.3f}", f"{one.after:.3f}", f"{one.chance:.3f}", is_worse
        )
    listing.add_row(
        "objects/s", f"{found.objects_per_s_before:,.0f}", f"{found.objects_per_s_after:,.0f}", "", ""
    )
    console().print(listing)


def print_next(folder: Path, base: str | None) -> None:
    """What makes a bundle of a corrected model in the folder of its fit, with all others of its base."""
    others = "" if base is None else f" --base {base}"
    typer.echo(f"{folder}: now train bundle NEW --work {folder.parent.parent}{others}")
