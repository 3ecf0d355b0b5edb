"""Students in a folder until all are there, and the bundle that is made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flashsim_prod.errors import BundleError, InputError
from flashsim_prod.files import json_text, read_text, write_json
from flashsim_prod.physics.chain.bundle import (
    Bundle,
    Manifest,
    ModelEntry,
    own_of_student,
    read_tensors,
    save_model,
)
from flashsim_prod.physics.chain.combine import of_models
from flashsim_prod.physics.chain.compatibility import DECLARED
from flashsim_prod.physics.chain.distilled import Distilled, steps_of, student_name
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.writing import write_bundle
from flashsim_prod.physics.training.assemble import ENTRY, save_entry, software
from flashsim_prod.physics.training.distilling.judging import judge
from flashsim_prod.physics.training.distilling.lesson import CHECKPOINT, STEPS, LessonProgress, teach
from flashsim_prod.physics.training.distilling.settings import LEAST_OBJECTS, DistilSettings, too_few
from flashsim_prod.physics.training.distilling.sources import Sources

#: what a student was taught by, beside what is left of an earlier sitting
_TERMS = "terms.json"
#: raised when the same lesson gives another student: what was begun before is then begun anew
_PROCEDURE = 1


@dataclass(frozen=True)
class Student:
    """One model's student, whether it is taken or not.

    Attributes
    ----------
    entry : ModelEntry
        For a manifest: the teacher's, with what came of it.
    weights : tuple of Path
        The teacher's file, and that of a student that is taken.
    """

    entry: ModelEntry
    weights: tuple[Path, ...]

    @property
    def distilled(self) -> Distilled:
        """What came of it."""
        assert self.entry.distilled is not None
        return self.entry.distilled


def distil(
    bundle: Bundle,
    name: str,
    sources: Sources,
    settings: DistilSettings,
    folder: Path,
    origin: str,
    progress: LessonProgress = lambda step, steps, loss: None,
) -> Student:
    """The student of a bundle's model, in `folder`; one of the same terms that is there is taken as it is.

    Parameters
    ----------
    origin : str
        Where the conditions are from, for people.

    Raises
    ------
    BundleError
        If the model is no flow.
    InputError
        If there are too few objects, or a checkpoint is damaged.
    """
    check_teacher(bundle, name)
    # one that has a student can have another
    bundle = bundle.of_teachers
    entry = bundle.manifest.models[name]
    if len(sources) < LEAST_OBJECTS:
        raise InputError(f"{name}: {too_few(len(sources))}")
    teaching = {"teacher": entry.sha256, "bundle": bundle.digest, "sources": sources.digest()}
    terms = settings.terms() | teaching | {"procedure": _PROCEDURE}
    made = _begun(folder, terms)
    if made is None:
        tensors = bundle.tensors(name)
        teacher = FittedModel.load(DECLARED[name], entry, tensors)
        student, taught = teach(teacher, sources.to_teach_by(), settings, folder, progress)
        own = own_of_student(student.tensors())
        file, sha256 = save_model(folder, student_name(name, settings.evaluations), own)
        # the very weights that a bundle gives, which are rounded
        loaded = FittedModel.load(DECLARED[name], entry, tensors | read_tensors(folder / file))
        loaded = replace(loaded, steps=student.steps)
        judgement = judge(teacher, loaded, sources, settings.objects, settings.seed)
        distilled = Distilled(
            evaluations=settings.evaluations,
            solver=steps_of(settings.evaluations).solver,
            **({} if judgement.worse else {"file": file, "sha256": sha256}),
            judgement=judgement,
            training=taught.told(settings) | {"sources": origin},
        )
        made = entry.model_copy(update={"distilled": distilled})
        save_entry(folder, made)
        for leftover in (CHECKPOINT, STEPS):
            (folder / leftover).unlink(missing_ok=True)
    files = (folder / file for file in made.files if file != entry.file)
    return Student(made, (bundle.path / entry.file, *files))


def check_teacher(bundle: Bundle, name: str) -> None:
    """`BundleError` if a model of a bundle cannot be a teacher."""
    entry = bundle.manifest.models[name]
    if entry.kind != "flow":
        raise BundleError(f"{name} of bundle {bundle.name} is a {entry.kind}, which takes no steps")
    for section in entry.of_teacher.corrections:
        done = {"reweight": "reweighted", "refine": "refined"}[section.COMMAND]
        raise BundleError(
            f"{name} of bundle {bundle.name} is {done}, and its {section.WHAT} knows no other draws: distil "
            f"a bundle without it, and {section.COMMAND} what comes of it"
        )


def _begun(folder: Path, terms: Mapping[str, Any]) -> ModelEntry | None:
    """What came of the lesson in `folder`, if it is done; what was begun on other terms goes."""
    terms = json.loads(json_text(terms))
    path = folder / _TERMS
    if path.is_file() and json.loads(read_text(path)) == terms:
        if not (folder / ENTRY).is_file():
            return None
        return ModelEntry.from_mapping(json.loads(read_text(folder / ENTRY)), str(folder / ENTRY))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(path, terms)
    return None


def bundle_of(
    teachers: Bundle, taught: Mapping[str, Student], target: Path, *, name: str, title: str, tag: str
) -> Bundle:
    """A bundle in the new folder `target`: `teachers`, with the students of those that are as good.

    Figures of fidelity stay with models that draw as before.

    Raises
    ------
    BundleError
        If `target` exists.
    """
    manifest = teachers.manifest
    entries = {**manifest.models, **{model: one.entry for model, one in taught.items()}}
    weights = teachers.weights | {model: one.weights for model, one in taught.items()}
    kept = entries.keys() - {model for model, one in taught.items() if one.distilled.taken}
    fidelity = manifest.fidelity if len(kept) == len(entries) else of_models(manifest.fidelity, kept)
    told = {
        **dict(manifest),
        "name": name,
        "title": title,
        "tag": tag,
        "created": datetime.now(UTC).replace(microsecond=0),
        "software": software(),
        "fidelity": tuple(fidelity),
        "models": entries,
    }
    return write_bundle(target, Manifest.from_mapping(told, "the new bundle"), weights)
