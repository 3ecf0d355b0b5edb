"""``request extend``: more events of a sample that there is."""

from __future__ import annotations

from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Rse, Wait
from flashsim_prod.cli.requests.making import Making, make_extension
from flashsim_prod.core.choices import Device
from flashsim_prod.production.order.extend import Extending


def extend(
    name: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST", help="Which one is to be extended.", autocompletion=completing.requests
        ),
    ],
    events: Annotated[
        str | None,
        typer.Option(metavar="N", help="Output events more: 1000, +1M; of input files all that are left."),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Where to run; as the request did by default.",
            autocompletion=completing.sites,
        ),
    ] = None,
    rse: Rse = None,
    new_name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="REQUEST_ext1 and so on by default.")
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where the networks run.")] = None,
    slots: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Jobs at a time; the site's by default.")
    ] = None,
    events_per_job: Annotated[
        str | None, typer.Option(metavar="N", help="Output events of a job; by default the site decides.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder to review, and stop.")] = False,
    wait: Wait = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however long it takes.")] = False,
    as_json: Json = False,
) -> None:
    """Make more events of a sample: a dataset _ext1 that goes on where that of REQUEST ended.

    Card, seed, folds and models are those of the request; no generator event is ever made twice, and both
    datasets together are one sample.
    """
    typed = Extending(
        # "+1M" is what people write for so many more
        events=None if events is None else events.removeprefix("+"),
        site=site,
        rse=rse,
        device=device,
        slots=slots,
        events_per_job=events_per_job,
    )
    how = Making(name=new_name, dry_run=dry_run, wait=wait, yes=yes, as_json=as_json)
    make_extension(name, typed, how)
