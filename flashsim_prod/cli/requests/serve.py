"""``serve`` and ``metrics``: how requests stand, for a browser and for Prometheus."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli.options import Json
from flashsim_prod.cli.show import print_json
from flashsim_prod.files import write_whole
from flashsim_prod.production.home import home_to_read
from flashsim_prod.production.views.live.server import serve as serve_page
from flashsim_prod.production.views.metrics import exposition, metrics_of
from flashsim_prod.production.views.status import all_standings

_PORT = 8421


def serve(
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Of this machine; 0 for any free one.")
    ] = _PORT,
    as_json: Json = False,
) -> None:
    """Show all requests on a page that keeps itself up to date, for browsers on this machine.

    Ctrl-C ends it. Nothing can be changed through it; other users of this machine can open it, too.
    """

    def told(url: str, number: int) -> None:
        if as_json:
            print_json({"url": url, "port": number})
        else:
            print(f"{url} shows all requests; Ctrl-C ends it")
        sys.stdout.flush()

    serve_page(home_to_read(), port, told)


def metrics(
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it there, in one step, and print nothing but its name."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell how requests stand in the text format of Prometheus: jobs, events, failures by cause, joules."""
    found = metrics_of(all_standings(home_to_read()))
    written = None if output is None else write_whole(output, exposition(found))
    if as_json:
        print_json({"output": written, "metrics": [asdict(one) for one in found]})
    elif written is not None:
        print(written)
    else:
        sys.stdout.write(exposition(found).decode("utf-8"))
