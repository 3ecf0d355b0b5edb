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
    read_tensors,
    save_model,
    write_bundle,
)
from flashsim_prod.physics.chain.combine import of_models
from flashsim_prod.physics.chain.compatibility import DECLARED
from flashsim_prod.physics.chain.distilled import Distilled, students
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.training.assemble import ENTRY, save_entry, software
from flashsim_prod.physics.training.distilling.judging import judge
from flashsim_prod.physics.training.distilling.lesson import CHECKPOINT, STEPS, LessonProgress, teach
from flashsim_prod.physics.training.distilling.settings import LEAST_OBJECTS, DistilSettings, too_few
from flashsim_prod.physics.training.distilling.sources import Sources

#: what a student was taught by, beside what is left of an earlier sitting
_TERMS = "terms.json"


@dataclass(frozen=True)
class Student:
    """One model's student, whether it is taken or not.

    Attributes
    ----------
    entry : ModelEntry
        For a manifest: of the student's weights, or of the teacher's, if these stay.
    weights : Path
    """

    entry: ModelEntry
    weights: Path

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
        If the model is no flow, or a student itself.
    InputError
        If there are too few objects, or a checkpoint is damaged.
    """
    entry = bundle.manifest.models[name]
    check_teacher(bundle, name)
    if len(sources) < LEAST_OBJECTS:
        raise InputError(f"{name}: {too_few(len(sources))}")
    teaching = {"teacher": entry.sha256, "bundle": bundle.digest, "sources": sources.digest()}
    terms = settings.terms() | teaching
    found = _begun(folder, terms)
    if found is not None:
        return found if found.distilled.taken else replace(found, weights=bundle.path / entry.file)
    teacher = FittedModel.load(DECLARED[name], entry, bundle.tensors(name))
    student, taught = teach(teacher, sources.to_teach_by(), settings, folder, progress)
    file, sha256 = save_model(folder, name, student.tensors())
    # the very weights that a bundle gives, which are rounded
    loaded = FittedModel.load(DECLARED[name], entry, read_tensors(folder / file))
    judgement = judge(teacher, replace(loaded, steps=student.steps), sources, settings.objects, settings.seed)
    distilled = Distilled(
        evaluations=settings.evaluations,
        taken=not judgement.worse,
        teacher=entry.sha256,
        **_begun_as(bundle),
        judgement=judgement,
        training=taught.told(settings) | {"sources": origin},
    )
    changes: dict[str, Any] = {"distilled": distilled}
    if distilled.taken:
        changes |= {"file": file, "sha256": sha256}
    made = entry.model_copy(update=changes)
    save_entry(folder, made)
    for leftover in (CHECKPOINT, STEPS):
        (folder / leftover).unlink(missing_ok=True)
    return Student(made, folder / file if distilled.taken else bundle.path / entry.file)


def _begun_as(bundle: Bundle) -> dict[str, str]:
    """The bundle that the teachers are of, `bundle` itself if it has no students yet."""
    for one in students(bundle.manifest.models).values():
        return {"bundle": one.bundle, "bundle_digest": one.bundle_digest}
    return {"bundle": bundle.name, "bundle_digest": bundle.digest}


def check_teacher(bundle: Bundle, name: str) -> None:
    """`BundleError` if a model of a bundle cannot be a teacher."""
    entry = bundle.manifest.models[name]
    if entry.distilled is not None and entry.distilled.taken:
        raise BundleError(
            f"{name} of bundle {bundle.name} is a student of {entry.distilled.evaluations} evaluations; "
            f"distil its teacher, of bundle {entry.distilled.bundle} ({entry.distilled.bundle_digest[:12]})"
        )
    for section in entry.corrections:
        done = {"reweight": "reweighted", "refine": "refined"}[section.COMMAND]
        raise BundleError(
            f"{name} of bundle {bundle.name} is {done}, and its {section.WHAT} knows no other draws: distil "
            f"a bundle without it, and {section.COMMAND} what comes of it"
        )
    if entry.kind != "flow":
        raise BundleError(f"{name} of bundle {bundle.name} is a {entry.kind}, which takes no steps")


def _begun(folder: Path, terms: Mapping[str, Any]) -> Student | None:
    """The student in `folder`, if it is done; what was begun on other terms goes."""
    terms = json.loads(json_text(terms))
    path = folder / _TERMS
    if path.is_file() and json.loads(read_text(path)) == terms:
        if not (folder / ENTRY).is_file():
            return None
        entry = ModelEntry.from_mapping(json.loads(read_text(folder / ENTRY)), str(folder / ENTRY))
        return Student(entry, folder / entry.file)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(path, terms)
    return None


def bundle_of(
    teachers: Bundle, taught: Mapping[str, Student], target: Path, *, name: str, title: str, tag: str
) -> Bundle:
    """A bundle in the new folder `target`: `teachers` with those students that are as good.

    Figures of fidelity stay with models whose weights do.

    Raises
    ------
    BundleError
        If `target` exists.
    """
    manifest = teachers.manifest
    entries = {**manifest.models, **{model: one.entry for model, one in taught.items()}}
    weights = {model: teachers.path / entry.file for model, entry in manifest.models.items()}
    weights |= {model: one.weights for model, one in taught.items()}
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
