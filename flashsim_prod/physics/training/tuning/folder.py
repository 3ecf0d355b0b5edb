"""Tuned models in a work folder, beside each other and never of two bases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.errors import BundleError, InputError, RequestError
from flashsim_prod.files import read_text, write_json
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.compatibility import check_learns
from flashsim_prod.physics.chain.detectors import detectors_of, together, unlike
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.training.assemble import ENTRY, save_fitted
from flashsim_prod.physics.training.drawn import FULLSIM, detectors_drawn, table_files
from flashsim_prod.physics.training.losses import draw_losses
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import load_tables, origins
from flashsim_prod.physics.training.tuning.settings import Done, TuneSettings
from flashsim_prod.physics.training.tuning.transfer import TuneProgress
from flashsim_prod.physics.training.tuning.tune import ModelTuned, tune

#: where an entry's `fit` says what bundle a model began as, how far it was brought from there, and by what
BASE, BASE_DIGEST, DONE, RECIPE = "base", "base_digest", "done", "recipe"
#: raised when the same tables and settings give another model: what was fitted before is fitted anew
_PROCEDURE = 2
#: in the folder of fits: what the base is
BASE_FILE = "base.json"


def tune_into_folder(
    model: ObjectModel,
    work: Path,
    base: Bundle,
    settings: TuneSettings,
    *,
    device: str = "cpu",
    progress: TuneProgress = lambda stage, step, steps, loss: None,
) -> ModelTuned:
    """Tune `model` of `base` to the tables in the folder `work`; leave weights, entry and record there.

    Raises
    ------
    BundleError
        If the base lacks the model, or has one of another declaration.
    InputError
        If there are no tables, or damaged ones, or such as do not go together or with the base.
    """
    # flow matching would unlearn a student's few steps
    base = base.of_teachers
    entry = base.manifest.models.get(model.name)
    if entry is None:
        raise BundleError(f"bundle {base.name} has no model {model.name} to begin with; take another --base")
    # a correction knows what the base draws, not what comes of it
    start = FittedModel.load(model, entry, base.tensors(model.name)).bare
    table = table_for(model, work / "tables", base)
    fitted, done = tune(start, table, settings, device=device, progress=progress)
    write_json(work / "fits" / BASE_FILE, about_base(base))
    about = {
        BASE: base.name,
        BASE_DIGEST: base.digest,
        DONE: done.done.value,
        RECIPE: recipe(model, work, settings),
    }
    record = FitRecord(
        done.rows,
        done.objects,
        FitSettings(seed=settings.seed),
        losses={name: list(stage.losses) for name, stage in done.stages.items()},
        seconds=done.seconds,
        left_out=table.left_out,
        version=table.version,
        era=table.era or base.manifest.era or "",
        detector=together((detectors_of({model.name: entry})[model.name], table.detector)),
    )
    folder = work / "fits" / model.name
    save_fitted(fitted, record, folder, about | _losses(done))
    draw_losses(record, folder)
    return done


def _losses(done: ModelTuned) -> dict[str, float | int | str]:
    """Of the weights that were kept, which may be those of the start."""
    found: dict[str, float | int | str] = {}
    for name, one in done.stages.items():
        found[f"{name}_held_out_loss"] = round(one.best, 5)
        found[f"{name}_start_loss"] = round(one.start, 5)
    return found


def table_for(model: ObjectModel, folder: Path, base: Bundle) -> Table:
    """What is learned from beside a base.

    Raises
    ------
    BundleError
        If the base's model draws columns of an earlier form than the tables'.
    InputError
        If the tables do not go together, or with the base.
    """
    if (entry := base.manifest.models.get(model.name)) is not None:
        check_learns(model.name, entry, f"bundle {base.name}")
    found = origins(folder, model)
    if len(found) > 1:
        (first, one), (second, other) = list(found.items())[:2]
        raise InputError(
            f"{one} is of {first or FULLSIM} and {other} of {second or FULLSIM}: a model cannot be "
            "brought near to both; extract each into a --work of its own"
        )
    if "FlashSim" in found:
        raise InputError(
            f"{found['FlashSim']} is of events that FlashSim made: nothing can be learned of these"
        )
    table = load_tables(folder, model)
    version = table.version or NANO_VERSION
    if version != base.nano:
        raise InputError(
            f"{folder / model.name} is of NanoAOD {version}, and bundle {base.name} was made for "
            f"{base.nano}; take a base of the same version"
        )
    return table


def base_unlike_tables(base: Bundle, models: Iterable[str], tables: Path) -> list[str]:
    """Lines on `models` of a base that are of another reference detector than the tables they are held to."""
    known = detectors_of(base.manifest.models)
    wanted = {name: known[name] for name in models if known.get(name)}
    if not wanted:
        return []
    return unlike(wanted, detectors_drawn(tables), f"of bundle {base.name}", f"the tables in {tables} are")


def about_base(base: Bundle) -> dict[str, object]:
    """What a bundle made of the fits is to say of what they began as."""
    manifest = base.manifest
    return {"name": base.name, "digest": base.digest, "training_sample": list(manifest.training_sample)}


def begun_as(work: Path, models: Sequence[str]) -> tuple[str, ...]:
    """What a bundle of the fits of `models` has to say of the bundle that some began as, a line.

    Raises
    ------
    BundleError
        If they began as several, or it is not known what that was trained on.
    """
    digests: dict[str, list[str]] = {}
    for model in models:
        digest = (fit_in(work / "fits" / model) or {}).get(BASE_DIGEST)
        if digest is not None:
            digests.setdefault(str(digest), []).append(model)
    if len(digests) > 1:
        ways = "; ".join(f"{digest[:12]}: {', '.join(names)}" for digest, names in digests.items())
        raise BundleError(f"{work / 'fits'}: fits began as several bundles ({ways}); fit all from one --base")
    path = work / "fits" / BASE_FILE
    for digest, names in digests.items():
        try:
            about = json.loads(read_text(path))
            base, sample = about["name"], "; ".join(about["training_sample"])
            if about["digest"] != digest:
                raise ValueError("it is of another bundle")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(
                f"{path}: does not say what the fits began as ({error}); fit with --anew"
            ) from error
        return (f"{len(names)} models began as those of bundle {base} ({digest[:12]}): {sample}",)
    return ()


def recipe(model: ObjectModel, work: Path, settings: TuneSettings) -> str:
    """What tells tables, settings and procedure of a fit from others."""
    told = asdict(settings) | {"procedure": _PROCEDURE}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for path in table_files(work / "tables", model):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def fit_of(work: Path, model: ObjectModel) -> Mapping[str, object] | None:
    """What the entry of a model in the folder of fits says of its fit; None if there is none."""
    return fit_in(work / "fits" / model.name)


def fit_in(folder: Path) -> Mapping[str, object] | None:
    """What the entry in a folder says of its fit; None if there is none."""
    path = folder / ENTRY
    if not path.is_file():
        return None
    try:
        found: Mapping[str, object] = json.loads(read_text(path))["fit"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no entry of a fit; fit with --anew to start over") from error
    return found


def is_there(model: ObjectModel, work: Path, base: Bundle, settings: TuneSettings) -> bool:
    """Whether the very fit is there already."""
    fit = fit_of(work, model)
    return (
        fit is not None
        and fit.get(BASE_DIGEST) == base.digest
        and fit.get(RECIPE) == recipe(model, work, settings)
    )


def refuse_others(
    models: Sequence[ObjectModel],
    everywhere: Sequence[ObjectModel],
    work: Path,
    base: Bundle,
    *,
    tuning: bool,
) -> None:
    """`RequestError` if there are fits that would be lost, or that began as another bundle.

    Parameters
    ----------
    models : sequence of ObjectModel
        That are to be made.
    everywhere : sequence of ObjectModel
        That may be there.
    tuning : bool
        Whether networks are trained on: a calibration does not take the place of that.
    """
    for model in everywhere:
        fit = fit_of(work, model)
        if fit is None:
            continue
        where, digest = work / "fits" / model.name, fit.get(BASE_DIGEST)
        if digest is None and model in models:
            raise RequestError(
                f"{where} is a fit without a base; --anew to replace it, or use another --work"
            )
        if digest not in (None, base.digest):
            raise RequestError(
                f"{where} began as bundle {fit.get(BASE)} ({str(digest)[:12]}), not as {base.name} "
                f"({base.digest[:12]}); use another --work, or replace all: train fit all --base "
                f"{base.name} --anew"
            )
        if model in models and not tuning and fit.get(DONE) in (Done.TUNED, Done.NUMBERS_TUNED):
            raise RequestError(
                f"{where} is fine-tuned already, which a calibration would undo; --anew to do that, or use "
                "another --work"
            )
