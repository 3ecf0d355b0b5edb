"""Students of a bundle's flows, which take a few steps: taught, judged, and put together as a bundle."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import BundleError, InputError, RequestError
from flashsim_prod.grid.locks import alone_making
from flashsim_prod.production.models.bundles import BundleSummary, open_bundle, summary
from flashsim_prod.production.models.changing.lessons import Lessons

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.chain.distilled import Distilled
    from flashsim_prod.physics.training.distilling.folder import Student
    from flashsim_prod.physics.training.distilling.settings import DistilSettings

#: held while students are taught, in the folder of these
_TEACHING = "teaching"


@dataclass(frozen=True)
class DistilOptions:
    """How students are taught and what their bundle is called.

    Attributes
    ----------
    evaluations : int
        Steps of a student.
    models : tuple of str
        Only these; by default all flows that have no student yet.
    steps : int, optional
        Of the optimiser for each model, instead of `minutes` of processor time.
    objects : int
        That each is judged by at most.
    events, oversample : int
        Generator events of the cocktail where there are no tables, and folds of each.
    name, tag, title : str, optional
        Of the new bundle; by default those of the teachers, with the evaluations.
    """

    evaluations: int = 4
    models: tuple[str, ...] = ()
    steps: int | None = None
    minutes: float = 3.0
    objects: int = 100_000
    events: int = 5000
    oversample: int = 4
    seed: int = 1
    name: str | None = None
    tag: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class StudentFigures:
    """What came of one model.

    Attributes
    ----------
    taken : bool
        Whether the student takes its teacher's place.
    evaluations : int
        Of the student.
    against : str
        ``reference`` rows, or the ``teacher``'s own draws.
    held_out : int
        Of the objects, those known to be none that the teacher learned from.
    worse : tuple of str
        Why it is not taken.
    """

    model: str
    taken: bool
    evaluations: int
    against: str
    objects: int
    held_out: int
    auc: float
    auc_error: float
    teacher_auc: float
    teacher_auc_error: float
    tails: int
    categories: int
    worse: tuple[str, ...]
    steps: int
    seconds: float


@dataclass(frozen=True)
class Distillation:
    """A bundle with students.

    Attributes
    ----------
    teachers, teachers_digest : str
        The bundle of their teachers.
    students : tuple of StudentFigures
        All that were taught now, those that are not taken among them.
    skipped : mapping of model to str
        Models that nothing could be taught of, and why; they are as they were.
    seconds : float
        Wall time of this sitting.
    mixtures : tuple of str
        Lines on teachers that are of another reference detector than the tables, and on tables whose weights
        nobody looks at.
    """

    bundle: BundleSummary
    teachers: str
    teachers_digest: str
    students: tuple[StudentFigures, ...]
    skipped: dict[str, str]
    seconds: float
    mixtures: tuple[str, ...] = ()


class DistilDisplay:
    """Is shown how it goes on; override what is of interest."""

    def step(self, task: str, done: int, total: int, loss: float | None = None) -> None:
        """So much of a task is done, with this loss, if a student is taught."""

    def judged(self, student: StudentFigures) -> None:
        """A student was taught and judged."""


def distil_bundle(
    bundle: str, work: Path | None, output: Path, options: DistilOptions, display: DistilDisplay
) -> Distillation:
    """Teach students of a bundle's models; a bundle with those that are no worse appears in `output`.

    What was begun is taken up again: students that are done, and the lesson that was interrupted.

    Parameters
    ----------
    work : Path, optional
        Folder of tables, whose conditions students are taught by and whose objects they are judged by;
        without it the chain is run on a cocktail, and students are compared with their teachers.

    Raises
    ------
    BundleError
        If there is no such bundle, a model is no flow, or `output` exists.
    RequestError
        If there is no such model.
    InputError
        If there are no tables of any model, or of one that was named, or they do not go with the bundle.
    LockedError
        If another command teaches students for `output`.
    """
    from flashsim_prod.physics.chain.device import keep_to_threads
    from flashsim_prod.physics.chain.writing import refuse_taken
    from flashsim_prod.physics.training.distilling.folder import bundle_of
    from flashsim_prod.physics.training.tuning.folder import base_unlike_tables

    if not 0 < options.minutes < math.inf:
        raise RequestError(f"--minutes {options.minutes:g}: give a time above 0")
    began, teachers = time.monotonic(), open_bundle(bundle)
    refuse_taken(output)
    names, settings = _chosen(teachers, options.models), _settings(options)
    keep_to_threads(1)
    folder = output.absolute().with_name(f"{output.absolute().name}.students")
    lessons = Lessons(teachers, work, folder, options, display)
    with alone_making(folder, _TEACHING, f"teaches students for {output}"):
        made, skipped = _taught(teachers, names, settings, lessons, folder, display)
        if not made:
            raise InputError(next(iter(skipped.values()), f"bundle {teachers.name} has no flow to distil"))
        found = bundle_of(teachers, made, output, **_called(teachers, options))
        shutil.rmtree(folder)
    return Distillation(
        summary(found),
        teachers.name,
        teachers.digest,
        tuple(student_figures(name, one.distilled) for name, one in made.items()),
        skipped,
        time.monotonic() - began,
        (*([] if work is None else base_unlike_tables(teachers, made, work / "tables")), *lessons.weights),
    )


def _taught(
    teachers: Bundle,
    names: Sequence[str],
    settings: DistilSettings,
    lessons: Lessons,
    folder: Path,
    display: DistilDisplay,
) -> tuple[dict[str, Student], dict[str, str]]:
    """Students by the name of their model, and models that nothing could be taught of, and why."""
    from flashsim_prod.physics.training.distilling.folder import distil

    made: dict[str, Student] = {}
    skipped: dict[str, str] = {}
    for number, name in enumerate(names):
        display.step("models", number, len(names))
        try:
            sources = lessons.of(name)
        except InputError as error:
            if lessons.are_named:
                raise
            skipped[name] = str(error)
            continue
        told = _Progress(display, name)
        made[name] = distil(teachers, name, sources, settings, folder / name, lessons.origin, told)
        display.judged(student_figures(name, made[name].distilled))
    display.step("models", len(names), len(names))
    return made, skipped


class _Progress:
    """Steps of one model's lesson."""

    def __init__(self, display: DistilDisplay, model: str) -> None:
        self._display, self._model = display, model

    def __call__(self, step: int, steps: int, loss: float) -> None:
        self._display.step(self._model, step, steps, loss)


def _settings(options: DistilOptions) -> DistilSettings:
    from flashsim_prod.physics.training.distilling.settings import DistilSettings

    return DistilSettings(
        evaluations=options.evaluations,
        minutes=options.minutes,
        steps=options.steps,
        objects=options.objects,
        seed=options.seed,
    )


def _chosen(bundle: Bundle, named: Sequence[str]) -> list[str]:
    """The models that are named, or all that can be teachers."""
    from flashsim_prod.physics.chain.compatibility import check_models
    from flashsim_prod.physics.chain.distilled import students
    from flashsim_prod.physics.training.distilling.folder import check_teacher

    check_models(bundle)
    models = bundle.manifest.models
    for name in named:
        if name not in models:
            raise RequestError(f"bundle {bundle.name} has no model '{name}'{nearest(name, list(models))}")
        check_teacher(bundle, name)
    if named:
        return list(dict.fromkeys(named))
    found = []
    for name in models.keys() - students(models):
        try:
            check_teacher(bundle, name)
        except BundleError:
            continue
        found.append(name)
    if all(entry.kind != "flow" for entry in models.values()):
        raise BundleError(f"bundle {bundle.name} has no flow, and all else takes one evaluation already")
    if not found:
        raise BundleError(f"bundle {bundle.name} has no flow without a student; name one to teach another")
    return sorted(found, key=list(models).index)


def _called(teachers: Bundle, options: DistilOptions) -> dict[str, str]:
    """Name, title and tag of the new bundle."""
    manifest, n = teachers.manifest, options.evaluations
    return {
        "name": options.name or f"{manifest.name}_e{n}",
        "title": options.title or manifest.title,
        "tag": options.tag or f"{manifest.tag}E{n}",
    }


def student_figures(name: str, found: Distilled) -> StudentFigures:
    """What a manifest says of one model's student."""
    judged, training = found.judgement, found.training
    return StudentFigures(
        model=name,
        taken=found.taken,
        evaluations=found.evaluations,
        against=judged.against,
        objects=judged.objects,
        held_out=judged.held_out,
        auc=judged.auc,
        auc_error=judged.auc_error,
        teacher_auc=judged.teacher_auc,
        teacher_auc_error=judged.teacher_auc_error,
        tails=judged.tails,
        categories=judged.categories,
        worse=judged.worse,
        steps=int(training.get("steps", 0)),
        seconds=float(training.get("seconds", 0.0)),
    )
