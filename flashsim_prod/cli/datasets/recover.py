"""``recover``: lost files of a dataset, made again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import counted, print_json
from flashsim_prod.core.choices import CatalogKind
from flashsim_prod.production.again.recover import Recovery, Ways
from flashsim_prod.production.again.recover import recover as make_again
from flashsim_prod.production.again.subject import chosen_files, find_subject
from flashsim_prod.production.home import open_home

#: the shell's own code for a command that a signal ended is 128 and the signal's number
_SIGNALLED = 128


def recover(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|REQUEST|FOLDER",
            help="A dataset, the request that made it, or the folder of that request.",
            autocompletion=completing.datasets,
        ),
    ],
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files", metavar="N-M|NAME", help="Only these, counted from 0 (1,4-6), or by name; else all."
        ),
    ] = None,
    catalog: Annotated[
        CatalogKind | None, typer.Option(help="Which catalogue; by default the request's own.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Of names in Rucio; by default the request's own.")
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="The bundle, if it is no longer where it was, or another one.",
            autocompletion=completing.bundles,
        ),
    ] = None,
    slots: Annotated[
        int, typer.Option(metavar="N", min=0, help="Jobs at a time; by default one per core.")
    ] = 0,
    sizes_only: Annotated[
        bool, typer.Option("--sizes-only", help="Find what is lost by sizes; read no checksums.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is lost, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Make the lost files of a dataset again, prove that they are the same, and repair their replicas."""
    subject = find_subject(open_home(), dataset)
    chosen = chosen_files(subject.request, files or ())
    ways = Ways(slots=slots, bundle=bundle, read=not sizes_only, dry_run=dry_run)
    with shown_steps() as show:
        found = make_again(
            subject,
            chosen,
            ways,
            catalog=catalog,
            scope=scope,
            progress=lambda task, done, total: show(task, done, total, ""),
        )
    if as_json:
        print_json(_summary(found))
    else:
        _tell(found, dry_run=dry_run)
    if found.stopped_by is not None:
        raise Stopped(dataset, found.stopped_by)
    if (error := found.error()) is not None:
        raise error


class Stopped(typer.TyperException):
    """A recovery was stopped by a signal."""

    def __init__(self, dataset: str, signal: int) -> None:
        super().__init__(f"stopped; to go on: flashsim-prod recover {dataset}")
        self.exit_code = _SIGNALLED + signal


def _summary(found: Recovery) -> dict[str, object]:
    files = [
        {
            "lfn": one.lost.entry.lfn,
            "number": one.lost.index,
            "lost": one.lost.why,
            "detail": one.lost.detail,
            "events": one.lost.entry.events,
            "bytes": one.lost.entry.bytes,
            "recovered": one.proof is not None,
            "proof": one.proof,
            "refused": one.refused or None,
        }
        for one in found.files
    ]
    kept = {name: value for name, value in asdict(found).items() if name not in ("files", "stopped_by")}
    return {**kept, "files": files}


def _tell(found: Recovery, *, dry_run: bool) -> None:
    # plain lines, whatever the width: made for grep and cut
    for one in found.files:
        lost = one.lost
        what = "refused" if one.refused else one.proof or ("to make" if dry_run else "not made")
        print(f"{lost.why:9} {what:9} {lost.entry.lfn}: {one.refused or lost.detail}")
    if not found.files:
        print(f"{found.dataset}: {counted(found.looked_at, 'file')} looked at, none is lost")
    elif dry_run:
        print(f"{counted(len(found.files), 'file')} to make again, by {counted(found.jobs, 'job')}")
    else:
        made = [one for one in found.files if one.proof is not None]
        print(f"{len(made)} of {counted(len(found.files), 'lost file')} made again and put back")
