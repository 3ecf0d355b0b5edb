"""``purge``: what nobody needs any more, told first and removed when that was said."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.production.home import home_to_read, open_home
from flashsim_prod.production.retention.leftovers import Leftover, find_leftovers
from flashsim_prod.production.retention.purge import purge as remove


def purge(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REQUEST]...",
            help="Only of these; else of all, and of none.",
            autocompletion=completing.requests,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Remove it; without this it is only told.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell what nobody needs any more: unmerged leftovers, half copies, empty folders; --yes removes it."""
    if not yes:
        found = find_leftovers(home_to_read(), names or ())
        _tell(found.found, found.at_work, "could go; to remove it: --yes", as_json=as_json, removed=False)
        return
    with shown_steps() as show:
        done = remove(open_home(), names or (), lambda at, of: show("removing", at, of, ""))
    _tell(done.removed, done.at_work, "removed", as_json=as_json, removed=True)


def _tell(
    found: tuple[Leftover, ...], at_work: tuple[str, ...], what: str, *, as_json: bool, removed: bool
) -> None:
    size = sum(one.bytes for one in found)
    if as_json:
        files = [{key: value for key, value in asdict(one).items() if key != "top"} for one in found]
        print_json({"removed": removed, "bytes": size, "files": files, "at_work": list(at_work)})
        return
    for one in found:
        print(f"{one.kind:12} {format_bytes(one.bytes):>9}  {one.path}")
    for name in at_work:
        console(stderr=True).print(
            f"request {name} is at work and was left out", markup=False, soft_wrap=True
        )
    if not found:
        print("nothing that could go")
        return
    folders = sum(one.kind == "empty folder" for one in found)
    numbers = f"{counted(len(found) - folders, 'file')}, {counted(folders, 'empty folder')}"
    print(f"{numbers}, {format_bytes(size)} {what}")
