"""``train distil``: students that take a few steps, of a bundle's flows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models.told import warn
from flashsim_prod.cli.options import Json, Seed
from flashsim_prod.cli.progress import Show, shown_steps
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.production.models.changing.distilling import (
    DistilDisplay,
    Distillation,
    DistilOptions,
    StudentFigures,
    distil_bundle,
)

#: what becomes of other steps than the students'
OTHER_EVALUATIONS = "other --evaluations than the students' take the teachers, which the bundle has as well"
#: of the table of students
LEGEND = (
    "TEACHER and STUDENT: AUC of a classifier between them and reconstructed objects, or other draws of the "
    "teacher; SHARES: beyond quantiles of 1 % and 99 %, and of categories, that were compared"
)


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(distil)


def distil(
    bundle: Annotated[
        str,
        typer.Argument(help="Name of the teachers' bundle, or a folder.", autocompletion=completing.bundles),
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new bundle.")],
    evaluations: Annotated[
        int, typer.Option(metavar="N", min=1, max=7, help="Steps of a student, each an evaluation: 2 or 4.")
    ] = 4,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models", "--model", help="Only these object models.", autocompletion=completing.models
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder of tables to be taught and judged by; without it the chain is run on a cocktail, "
            "and students are compared with their teachers.",
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(metavar="M", min=0.01, help="Training time of each model, in processor time.")
    ] = 3.0,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Steps of the optimiser, instead of minutes.")
    ] = None,
    objects: Annotated[
        str, typer.Option(metavar="N", help="Objects that each student is judged by, at most.")
    ] = "100k",
    events: Annotated[
        str, typer.Option(metavar="N", help="Generator events of the cocktail, without --work.")
    ] = "5000",
    name: Annotated[str | None, typer.Option(help="Name of the bundle; the teachers' with _eN.")] = None,
    tag: Annotated[
        str | None, typer.Option(help="Word for dataset names; that of the teachers with EN.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="What the models stand for; as their teachers by default.")
    ] = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Teach students of a bundle's flows to take few steps; they replace teachers where they are no worse."""
    options = DistilOptions(
        evaluations=evaluations,
        models=tuple(one for word in models or () for one in word.split(",") if one),
        steps=steps,
        minutes=minutes,
        objects=parse_count(objects, "--objects"),
        events=parse_count(events, "--events"),
        seed=seed,
        name=name,
        tag=tag,
        title=title,
    )
    with shown_steps() as show:
        made = distil_bundle(bundle, work, output, options, _Shown(show))
    warn(made.mixtures)
    if as_json:
        print_json(asdict(made))
        return
    _print(made)


class _Shown(DistilDisplay):
    """Steps as they are shown everywhere."""

    def __init__(self, show: Show) -> None:
        self._show = show

    def step(self, task: str, done: int, total: int, loss: float | None = None) -> None:
        self._show(task, done, total, "" if loss is None else f"loss {loss:.5f}")


def _print(made: Distillation) -> None:
    print_students(made.students)
    for why in made.skipped.values():
        typer.echo(f"as it was: {why}")
    found, taken = made.bundle, sum(one.taken for one in made.students)
    typer.echo(
        f"{found.path}: {counted(taken, 'student')} in a bundle of {counted(found.models, 'model')}, digest "
        f"{found.digest[:12]}"
    )
    if taken:
        typer.echo(OTHER_EVALUATIONS)


def print_students(students: Sequence[StudentFigures]) -> None:
    """A line for each model of which one was taught, and why those that are not taken are not."""
    numbers = ("OBJECTS", "HELD OUT", "TEACHER", "STUDENT", "SHARES", "STEPS", "MIN")
    listing = table("MODEL", "DRAWS WITH", *numbers, right=numbers, whole=("MODEL", "DRAWS WITH"))
    for one in students:
        listing.add_row(one.model, drawn_with(one), *_row(one))
    out = console()
    out.print(listing)
    for one in students:
        if one.worse:
            out.print(told_worse(one), markup=False, soft_wrap=True)
    out.print(LEGEND, markup=False, soft_wrap=True)


def drawn_with(one: StudentFigures) -> str:
    """Which weights a model has."""
    return f"student, {counted(one.evaluations, 'evaluation')}" if one.taken else "teacher"


def told_worse(one: StudentFigures) -> str:
    """Why a model keeps its teacher, in a line."""
    return f"{one.model} keeps its teacher, the student is worse: {'; '.join(one.worse)}"


def _row(one: StudentFigures) -> tuple[str, ...]:
    return (
        f"{one.objects:,}",
        f"{one.held_out:,}" if one.against == "reference" else "of teacher",
        f"{one.teacher_auc:.4f}±{one.teacher_auc_error:.4f}",
        f"{one.auc:.4f}",
        f"{one.tails + one.categories}",
        f"{one.steps:,}",
        f"{one.seconds / 60:.1f}",
    )
