"""``materialise``: files of a dataset that was only registered, or was not finished."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Wait
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.requests.display import shown_progress
from flashsim_prod.cli.requests.driving import Stopped, start_and_tell, summary, tell
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.core.states import RequestState
from flashsim_prod.errors import RequestError
from flashsim_prod.production.again.slim import default_folder, slim_files
from flashsim_prod.production.again.subject import Subject, chosen_files, find_subject
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import open_home


def materialise(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|REQUEST", help="A dataset, or its request.", autocompletion=completing.datasets
        ),
    ],
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files", metavar="N-M|NAME", help="Only these, counted from 0 (1,4-6), or by name; else all."
        ),
    ] = None,
    branches: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERNS",
            help="Only these ('Jet_*,MET_pt'), in files of their own that no catalogue takes.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="With --branches: where the files go; slim/ of the state folder by default.",
        ),
    ] = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Make files of a virtual dataset, all or some; or files with some of its branches."""
    if output is not None and not branches:
        raise RequestError("--output is for --branches; files of the dataset itself have their place")
    subject = find_subject(open_home(), dataset)
    chosen = chosen_files(subject.request, files or ())
    if branches:
        _slim(subject, chosen, branches, output, as_json=as_json)
        return
    if not subject.is_at_home:
        raise RequestError(f"{subject.folder.path} is of no state folder; move it into requests/ of one")
    name = subject.request.name
    if len(chosen) == subject.request.n_merge:
        start_and_tell(subject.home, name, wait=wait, as_json=as_json)
        return
    _some(subject, chosen, as_json=as_json)


def _some(subject: Subject, chosen: tuple[int, ...], *, as_json: bool) -> None:
    with shown_progress() as display:
        outcome = drive(subject.home, subject.request.name, display, files=chosen)
    if outcome.state is RequestState.DONE or outcome.failures:
        tell(outcome, as_json=as_json)
        return
    if outcome.stopped_by is not None:
        raise Stopped(subject.request.name, outcome)
    lfns = {subject.lfn(index) for index in chosen}
    made = [file for file in outcome.files if file.lfn in lfns]
    if as_json:
        print_json(summary(outcome.request, outcome.state, tuple(made)))
        return
    for file in made:
        print(file.pfn)
    of = f"{len(outcome.files)} of {counted(outcome.request.n_merge, 'file')}"
    console(stderr=True).print(f"{subject.dataset}: {of} made by now", markup=False, soft_wrap=True)


def _slim(
    subject: Subject, chosen: tuple[int, ...], branches: list[str], output: Path | None, *, as_json: bool
) -> None:
    patterns = [one.strip() for words in branches for one in words.split(",")]
    folder = output or default_folder(subject.home, subject.request, patterns)
    with shown_steps() as show:
        paths = slim_files(
            subject.request,
            chosen,
            patterns,
            folder.absolute(),
            lambda done, total: show("events", done, total, ""),
        )
    if as_json:
        files = [{"number": n, "path": str(path)} for n, path in zip(chosen, paths, strict=True)]
        print_json({"dataset": subject.dataset, "branches": patterns, "files": files})
        return
    for path in paths:
        print(path)
