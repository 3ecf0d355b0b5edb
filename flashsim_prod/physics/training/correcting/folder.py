"""Models whose draws are corrected, and true objects that they have not seen, in a work folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import BundleError, InputError, RequestError
from flashsim_prod.files import write_json
from flashsim_prod.physics.chain.bundle import (
    ERA_KEY,
    Bundle,
    ModelEntry,
    Tensors,
    own_of_student,
    read_model,
    save_model,
)
from flashsim_prod.physics.chain.corrections.refiner import Refiner
from flashsim_prod.physics.chain.corrections.reweighter import Reweighter
from flashsim_prod.physics.chain.corrections.section import (
    REFINER,
    REWEIGHTER,
    RefinerSection,
    ReweighterSection,
    model_digest,
    without_corrections,
    without_reweighter,
)
from flashsim_prod.physics.chain.detectors import DETECTOR_KEY
from flashsim_prod.physics.chain.distilled import student_name
from flashsim_prod.physics.chain.fitted import FittedModel, with_correction
from flashsim_prod.physics.chain.kinds.registry import find_kind
from flashsim_prod.physics.chain.kinds.sets.base import KindOfSets
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import MODELS, OPTIONAL_MODELS
from flashsim_prod.physics.event_range import EventRange
from flashsim_prod.physics.training.assemble import (
    fits_unlike_tables,
    fitted_entry,
    is_fit_of,
    save_entry,
)
from flashsim_prod.physics.training.drawn import table_files, told_weights
from flashsim_prod.physics.training.optimise import FitSettings, split_rows
from flashsim_prod.physics.training.table import Table, drawn_from
from flashsim_prod.physics.training.tables import load_tables
from flashsim_prod.physics.training.tuning.folder import (
    BASE,
    BASE_DIGEST,
    BASE_FILE,
    about_base,
    base_unlike_tables,
    fit_of,
    refuse_others,
    table_for,
)

I64 = NDArray[np.int64]

#: where an entry's `fit` says how many true objects a correction has learned from
REWEIGHTED, REFINED = "reweighter_objects", "refiner_objects"
#: true objects to learn from at least, and to be judged by
_LEAST, _LEAST_JUDGED = 1000, 300
#: share of the objects that decide what is said of a correction, which it does not learn from
_JUDGED = 0.25
#: neighbouring sources that stay together at most, and groups that there are to be at least
_STRETCH, _GROUPS = 200, 40


@dataclass(frozen=True)
class Unseen:
    """A model, and true objects that it has not learned from.

    Attributes
    ----------
    model : ObjectModel
        With those targets that the weights draw.
    entry : ModelEntry
    tensors : dict of arrays
        All that the file of weights holds.
    table : Table
        Its objects are the true ones; its sources are more than theirs.
    base : Bundle, optional
        Where the model is from, if it is not fitted here.
    lost : str
        What the model had beside, that will know its draws no more; empty if nothing.
    mixtures : tuple of str
        Lines on a model that is of another reference detector than the tables, on weights of these that are
        not looked at, and on events of theirs that the model has seen.
    """

    model: ObjectModel
    entry: ModelEntry
    tensors: Tensors
    table: Table
    base: Bundle | None = None
    lost: str = ""
    mixtures: tuple[str, ...] = ()

    @property
    def fitted(self) -> FittedModel:
        """The model as it is to be corrected: if it is to be reweighted, refined before."""
        return self.loaded()

    @property
    def digest(self) -> str:
        """What a correction of the model, as it is, says that it is of."""
        return model_digest(self.entry.kind, self.entry.form, self.tensors)

    def corrected(self, found: Reweighter | Refiner, figures: Mapping[str, float | int | str]) -> Unseen:
        """With a correction in the place of an earlier one, and what is to be said of it."""
        learned = {f"{found.section.WHAT}_{DETECTOR_KEY}": self.table.detector}
        fit = {**self.entry.fit, **figures, **(learned if self.table.detector else {})}
        entry = self.entry.model_copy(update={found.section.WHAT: found.section, "fit": fit})
        return replace(self, entry=entry, tensors=with_correction(self.tensors, found))

    def loaded(self) -> FittedModel:
        """The model with its corrections, as a bundle would give it."""
        return FittedModel.load(self.model, self.entry, self.tensors)


#: what is to be learned of a model: its section of an entry
Correction = type[ReweighterSection] | type[RefinerSection]


def unseen(model: ObjectModel, work: Path, base: Bundle | None, wanted: Correction) -> Unseen:
    """A model of the bundle `base`, or the fit in `work`, and what it has not seen; errors as below."""
    if base is None:
        lines = fits_unlike_tables(work, [model.name])
        return replace(unseen_by_fit(model, work, wanted), mixtures=tuple(lines))
    lines = base_unlike_tables(base, [model.name], work / "tables")
    found = unseen_by_bundle(model, work, base, wanted)
    weights = told_weights(found.table, work / "tables" / model.name)
    seen = _seen(base, model, work / "tables")
    return replace(found, mixtures=(*lines, *weights, *seen))


def _seen(base: Bundle, model: ObjectModel, tables: Path) -> tuple[str, ...]:
    """A line if tables are of events that the training sample of a bundle names."""
    sample, found = base.manifest.training_sample, []
    for path in table_files(tables, model):
        origin = drawn_from(path)
        if origin is None:
            continue
        part = EventRange((origin.first, False), (origin.first + origin.events, False))
        if origin.of and part.meets(sample, path.stem, origin.of):
            found.append(path.stem)
    if not found:
        return ()
    return (
        f"{', '.join(found)}: named in the training sample of bundle {base.name}: what its models know by "
        "heart corrects nothing; take tables of other events",
    )


def unseen_by_fit(model: ObjectModel, work: Path, wanted: Correction) -> Unseen:
    """The fit of `model` in the folder `work`, and those objects of its tables that it held out.

    Raises
    ------
    BundleError
        If there is no fit, or it is of another declaration.
    InputError
        If the tables are not those that it was fitted to.
    """
    folder = work / "fits" / model.name
    entry = fitted_entry(folder, model.name)
    _refuse_sets(model, entry, wanted)
    by_base = (
        f"make a bundle of it (train bundle), extract files that it has not seen into another --work, and "
        f"give that with --base: train {wanted.COMMAND} {model.name} --base BUNDLE"
    )
    if BASE_DIGEST in entry.fit:
        raise RequestError(f"{folder}: this model began as one of a bundle; {by_base}")
    table = load_tables(work / "tables", model)
    if not is_fit_of(entry, table):
        raise InputError(
            f"{work / 'tables' / model.name}: other tables than {model.name} was fitted to, so that it is "
            f"not known which objects it held out; {by_base}"
        )
    rows, _ = split_rows(len(table.row), FitSettings(seed=int(entry.fit["seed"])))
    held_out = np.zeros(len(table.row), dtype=bool)
    held_out[rows.numpy()] = True
    found = objects_of(table, held_out)
    _refuse_few(found, f"{folder}: of {len(table.row):,} objects its fit held out", by_base)
    drawn = model.drawing(entry.targets)
    before = _before(wanted, entry, read_model(folder, entry))
    return Unseen(drawn, *before, found, lost=_lost(wanted, entry))


def unseen_by_bundle(model: ObjectModel, work: Path, base: Bundle, wanted: Correction) -> Unseen:
    """A model of a bundle, and all objects of the tables in `work`, which are of files that it has not seen.

    Raises
    ------
    BundleError
        If the bundle lacks the model, or has one of another declaration.
    InputError
        If there are no tables, or such as do not go with the bundle.
    RequestError
        If the model draws sets, another fit would be lost, or fits in `work` began as another bundle.
    """
    entry = base.manifest.models.get(model.name)
    if entry is None:
        raise BundleError(f"bundle {base.name} has no model {model.name}; take another --base")
    _refuse_sets(model, entry, wanted)
    refuse_others((), (*MODELS, *OPTIONAL_MODELS), work, base, tuning=False)
    tensors = base.tensors(model.name)
    if (begun := _corrected_there(model, work, wanted)) is not None:
        entry, tensors = begun
    table = table_for(model, work / "tables", base)
    lacking = [one for one in model.drawing(entry.targets).targets if one.name not in table.targets]
    if lacking:
        raise InputError(
            f"{work / 'tables' / model.name}: lacks {lacking[0].name}, which bundle {base.name} draws; take "
            "files that have it"
        )
    _refuse_few(table, f"{work / 'tables' / model.name}: it has", "extract more events")
    before = _before(wanted, entry, tensors)
    return Unseen(model.drawing(entry.targets), *before, table, base, _lost(wanted, entry))


def _corrected_there(model: ObjectModel, work: Path, wanted: Correction) -> tuple[ModelEntry, Tensors] | None:
    """What is in the folder of fits of a model of the same base that is refined, and now to be reweighted.

    `RequestError` if what is there would be lost: another fit, or a reweighter that knows draws as they are.
    """
    there, folder = fit_of(work, model), work / "fits" / model.name
    if there is None:
        return None
    is_begun = BASE_DIGEST in there and (REFINED in there or REWEIGHTED in there)
    if not is_begun:
        raise RequestError(
            f"{folder} is another fit of {model.name}, which would be lost; use another --work, or leave out "
            f"--base to {wanted.COMMAND} that one"
        )
    if wanted is RefinerSection and REWEIGHTED in there:
        raise RequestError(
            f"{folder} is reweighted, by what knows its draws as they are; refine first: use another --work"
        )
    if wanted is RefinerSection or REFINED not in there:
        return None
    entry = fitted_entry(folder, model.name)
    return entry, read_model(folder, entry)


def _before(wanted: Correction, entry: ModelEntry, tensors: Tensors) -> tuple[ModelEntry, Tensors]:
    """A model without the correction that is to be learned, and without what would come after that.

    What an interruption left of a correction that the entry says no word of is of no matter.
    """
    kept = entry.refiner if wanted is ReweighterSection else None
    gone = tuple(f"{what}_" for what in (REWEIGHTER, *(() if kept else (REFINER,))))
    fit = {name: value for name, value in entry.fit.items() if not name.startswith(gone)}
    entry = entry.model_copy(update={"refiner": kept, "reweighter": None, "fit": fit})
    return entry, without_reweighter(tensors) if kept else without_corrections(tensors)


def _lost(wanted: Correction, entry: ModelEntry) -> str:
    """The correction that knows the model without the one that is to be learned; empty if there is none."""
    return REWEIGHTER if wanted is RefinerSection and entry.reweighter is not None else ""


def _refuse_sets(model: ObjectModel, entry: ModelEntry, wanted: Correction) -> None:
    if isinstance(find_kind(entry.kind), KindOfSets):
        raise RequestError(
            f"{model.name}: a model of kind {entry.kind} draws the objects of a source together, and a "
            f"{wanted.WHAT} knows single objects; fit it as another kind to {wanted.COMMAND} it"
        )


def _refuse_few(table: Table, has: str, instead: str) -> None:
    least = _LEAST + _LEAST_JUDGED
    if len(table.row) < least:
        raise InputError(f"{has} only {len(table.row):,}, at least {least:,} are needed; {instead}")


def learned_and_judged(table: Table) -> tuple[Table, Table]:
    """Objects to learn from, and those that a correction is judged by: of other sources, in stretches."""
    group = groups(table)
    order = np.random.default_rng(1).permutation(int(group[-1]) + 1)
    wanted = max(_LEAST_JUDGED, int(_JUDGED * len(table.row)))
    sizes = np.bincount(group)[order].cumsum()
    judged = np.isin(group, order[: 1 + int(np.searchsorted(sizes, wanted))])
    return objects_of(table, ~judged), objects_of(table, judged)


def groups(table: Table) -> I64:
    """Objects of neighbouring sources, which are often of one event, have one number; in their order."""
    number = np.unique(table.row, return_inverse=True)[1].astype(np.int64)
    found: I64 = number // max(1, min(_STRETCH, int(number[-1] + 1) // _GROUPS))
    return found


def objects_of(table: Table, chosen: NDArray[np.bool_]) -> Table:
    """The same sources with those of their objects that are `chosen`."""
    targets = {name: column[chosen] for name, column in table.targets.items()}
    return replace(table, row=table.row[chosen], targets=targets)


def leave(found: Unseen, work: Path) -> None:
    """Write a corrected model into the folder of its fit, where bundles are made of it."""
    folder = work / "fits" / found.model.name
    folder.mkdir(parents=True, exist_ok=True)
    entry = found.entry
    if found.base is not None:
        write_json(work / "fits" / BASE_FILE, about_base(found.base))
        about = {BASE: found.base.name, BASE_DIGEST: found.base.digest}
        if found.base.manifest.era is not None:
            about[ERA_KEY] = found.base.manifest.era
        entry = entry.model_copy(update={"fit": {**entry.fit, **about}})
    save_entry(folder, entry.model_copy(update=_saved(found, folder)))


def _saved(found: Unseen, folder: Path) -> dict[str, Any]:
    """Write the files of a model, and say what of its entry is theirs."""
    name, entry, own = found.model.name, found.entry, found.entry.distilled
    if own is None or not own.taken or found.base is None:
        file, sha256 = save_model(folder, name, found.tensors)
        return {"file": file, "sha256": sha256}
    # its teacher stays what it is: what corrects a student's draws is with these weights of its own
    file, sha256 = save_model(folder, student_name(name, own.evaluations), own_of_student(found.tensors))
    teacher = found.base.manifest.models[name].file
    shutil.copyfile(found.base.path / teacher, folder / entry.renamed(name).file)
    distilled = own.model_copy(update={"file": file, "sha256": sha256})
    return {"file": entry.renamed(name).file, "distilled": distilled}
