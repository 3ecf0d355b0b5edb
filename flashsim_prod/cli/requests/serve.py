"""``serve``, ``metrics`` and ``notify``: how requests stand, for a browser, Prometheus and people."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, notify_of
from flashsim_prod.cli.show import console, print_json
from flashsim_prod.core.notices.targets import IDLE_MIN, shown
from flashsim_prod.errors import RequestError
from flashsim_prod.files import write_whole
from flashsim_prod.production.asked import Asked, ask, asked_of
from flashsim_prod.production.home import home_to_read, open_home
from flashsim_prod.production.live.server import serve as serve_page
from flashsim_prod.production.notices.trying import try_notify
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


def notify(
    to: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URL|mailto:WHO ...]", help="Who is told from now on; none for nobody."),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of this request alone.", autocompletion=completing.requests),
    ] = None,
    idle: Annotated[
        float | None,
        typer.Option(metavar="MIN", help=f"Time without any change that is told; {IDLE_MIN:g} by default."),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Forget who was to be told.")] = False,
    try_out: Annotated[bool, typer.Option("--try", help="Send a notice now that tells of nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Say who is told when requests end, fail or idle: of all requests here, or of one.

    A server gets a POST of JSON, whose "text" chats show; people get an e-mail.
    """
    changes = bool(to) or idle is not None
    if off and (changes or try_out):
        raise RequestError("--off goes alone: who was to be told is forgotten")
    home = open_home() if changes or off else home_to_read()
    place = home.path if request is None else home.existing(request).path
    found = asked_of(home, request)
    if off:
        ask(place, None)
    elif changes:
        told = notify_of(to) or (found.notify if found else None)
        if told is None:
            raise RequestError("--idle goes with an address, as nobody is told so far")
        changed = {"to": told.to, "idle_min": idle if idle is not None else told.idle_min}
        if to and idle is None and found is not None:
            changed["idle_min"] = found.notify.idle_min
        ask(place, type(told).from_mapping(changed, "options", {"idle_min": "--idle", "to": "--notify"}))
    found = asked_of(home, request)
    _tell_asked(found, as_json=as_json)
    if try_out:
        if found is None or not found.notify.to:
            raise RequestError("nobody is told so far; say who: flashsim-prod notify mailto:NAME@HOST --try")
        try_notify(home, found.notify)


def _tell_asked(found: Asked | None, *, as_json: bool) -> None:
    """Print who is told, of servers only the host: the rest of an address can be a secret."""
    to = [shown(one) for one in found.notify.to] if found else []
    if as_json:
        idle_min, file = (found.notify.idle_min, str(found.file)) if found else (None, None)
        print_json({"to": to, "idle_min": idle_min, "file": file})
        return
    out = console()
    if not found or not to:
        out.print(
            "Nobody is told; say who: flashsim-prod notify mailto:NAME@HOST", markup=False, soft_wrap=True
        )
        return
    for one in to:
        out.print(f"Told     {one}", markup=False, soft_wrap=True)
    out.print(f"Idle     after {found.notify.idle_min:g} minutes without any change", soft_wrap=True)
    out.print(f"Kept in  {found.file}", markup=False, soft_wrap=True)
