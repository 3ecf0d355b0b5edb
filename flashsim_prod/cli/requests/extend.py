"""``request extend``: more events of a sample that there is."""

from __future__ import annotations

from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import (
    DryRun,
    EventsPerJob,
    Json,
    MaybeDevice,
    Rse,
    Slots,
    Tell,
    Wait,
    Yes,
    notify_of,
)
from flashsim_prod.cli.requests.making import Making, make_extension
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
    device: MaybeDevice = None,
    slots: Slots = None,
    events_per_job: EventsPerJob = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    notify: Tell = None,
    yes: Yes = False,
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
        notify=notify_of(notify),
    )
    how = Making(name=new_name, dry_run=dry_run, wait=wait, yes=yes, as_json=as_json)
    make_extension(name, typed, how)
