"""``retry`` and ``cancel``: take a request up again, or stop it."""

from __future__ import annotations

from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Wait
from flashsim_prod.cli.requests.driving import start_and_tell
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.production.drive.cancel import cancel as stop
from flashsim_prod.production.home import open_home

Name = Annotated[
    str, typer.Argument(metavar="REQUEST", help="Name of the request.", autocompletion=completing.requests)
]


def retry(name: Name, wait: Wait = False, as_json: Json = False) -> None:
    """Run what is missing of a request: after a failure, a kill, a cancel or a dry run."""
    start_and_tell(open_home(), name, wait=wait, as_json=as_json)


def cancel(name: Name, as_json: Json = False) -> None:
    """Stop a request; what is finished stays, and retry goes on from there."""
    cancelled = stop(open_home(), name)
    if as_json:
        print_json({"request": name, "cancelled_jobs": cancelled})
        return
    line = f"{counted(cancelled, 'job')} cancelled; to go on: flashsim-prod retry {name}"
    console().print(line, markup=False, soft_wrap=True)
