"""Fitted models into a bundle."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from flashsim_prod import __version__
from flashsim_prod.core.analyses.config import Analysis
from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.errors import BundleError
from flashsim_prod.files import read_text, write_whole
from flashsim_prod.physics.chain.assessment import read_assessment
from flashsim_prod.physics.chain.bundle import (
    ERA_KEY,
    NANO_KEY,
    SCHEMA_VERSION,
    Bundle,
    Manifest,
    ModelEntry,
    nano_of,
    of_a_flow,
    read_model,
    save_model,
)
from flashsim_prod.physics.chain.combine import Parts
from flashsim_prod.physics.chain.compatibility import check_signature, declared_for
from flashsim_prod.physics.chain.corrections.section import without_corrections
from flashsim_prod.physics.chain.detectors import DETECTOR_KEY, unlike
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.writing import refuse_taken, write_bundle
from flashsim_prod.physics.training.drawn import detectors_drawn
from flashsim_prod.physics.training.record import FitRecord, Losses
from flashsim_prod.physics.training.table import Table, table_digest

ENTRY = "entry.json"
RECORD = "fit.json"
#: where an entry's `fit` lists the branches that its tables were without, and tells these tables from others
_WITHOUT, TABLES = "without", "tables"
#: instead of a digest, where a fit that went on from another one held out other rows than that
SEVERAL = "several"


def save_fitted(
    fitted: FittedModel, record: FitRecord, folder: Path, about: Mapping[str, float | int | str] | None = None
) -> None:
    """Write one fitted model and its entry for a manifest into `folder`; its `fit` says `about`, too."""
    folder.mkdir(parents=True, exist_ok=True)
    file, sha256 = save_model(folder, fitted.model.name, fitted.tensors())
    entry = ModelEntry(
        file=file,
        sha256=sha256,
        kind=fitted.kind.name,
        **fitted.model.signature(),  # type: ignore[arg-type]
        network=fitted.kind.section(fitted.size),
        parameters=fitted.n_parameters,
        fit={**_figures(record), **(about or {})},
    )
    record.write(folder / RECORD)
    save_entry(folder, entry)


def save_entry(folder: Path, entry: ModelEntry) -> None:
    """Say of a model in `folder` what a manifest will; last, since a model whose entry is there is done."""
    write_whole(folder / ENTRY, entry.model_dump_json(indent=1) + "\n")


def load_fitted(folder: Path, model: ObjectModel) -> tuple[FittedModel, Losses]:
    """What `save_fitted` wrote of `model`, without corrections of it, and how its losses fell.

    Raises
    ------
    BundleError
        If there is no fit, or it is of another declaration.
    """
    entry = fitted_entry(folder, model.name)
    bare = entry.without_corrections()
    fitted = FittedModel.load(model, bare, without_corrections(read_model(folder, entry)))
    return fitted, FitRecord.losses_in(folder / RECORD)


def is_fit_of(entry: ModelEntry, table: Table) -> bool:
    """Whether a model was fitted to `table`, for all that its entry says: at least, how much was in it."""
    counts = tuple(entry.fit.get(name) for name in ("rows", "objects"))
    known = entry.fit.get(TABLES)
    return counts == (len(table.number), len(table.row)) and known in (None, table_digest(table))


def _figures(record: FitRecord) -> dict[str, float | int | str]:
    figures: dict[str, float | int | str] = {
        "rows": record.rows,
        "objects": record.objects,
        "seed": record.settings.seed,
        "seconds": round(record.seconds, 1),
    }
    if record.version not in ("", NANO_VERSION):
        figures[NANO_KEY] = record.version
    if record.era:
        figures[ERA_KEY] = record.era
    if record.detector:
        figures[DETECTOR_KEY] = record.detector
    if record.tables:
        figures[TABLES] = record.tables
    if record.absent:
        figures[_WITHOUT] = " ".join(record.absent)
    if record.left_out:
        figures["objects_left_out"] = record.left_out.objects
        figures["sources_left_out"] = record.left_out.sources
    for network, losses in record.losses.items():
        steps, least = losses[-1][0], min(held_out for _, _, held_out in losses)
        figures |= {f"{network}_steps": steps, f"{network}_held_out_loss": round(least, 5)}
    return figures


def build_bundle(
    fits: Mapping[str, Path],
    target: Path,
    *,
    name: str,
    title: str,
    tag: str,
    training_sample: tuple[str, ...],
    base: Bundle | None = None,
    reports: Sequence[Path] = (),
    analysis: Analysis | None = None,
) -> Bundle:
    """A bundle in the new folder `target` from the folders that `save_fitted` wrote, by model name.

    Parameters
    ----------
    base : Bundle, optional
        Gives the models that were not fitted. Without any fit at all this is `base` with more reports.
    reports : sequence of Path
        Fidelity reports of these very weights, for the manifest.
    analysis : Analysis, optional
        What its one model is of, if that is no object.

    Raises
    ------
    BundleError
        If a fit is not there or of another declaration, if models were fitted to several versions of NanoAOD
        or several eras, if `target` exists, or if there would be nothing new in the bundle: no fit, and no
        report.
    ConfigError
        If name or tag cannot be one.
    InputError
        If a report is of other weights.
    """
    entries = {model: fitted_entry(folder, model) for model, folder in sorted(fits.items())}
    weights = {model: tuple(fits[model] / file for file in entry.files) for model, entry in entries.items()}
    era = _era_of(entries, str(target)) or (base.manifest.era if base else None)
    parts = Parts(entries, weights, training_sample)
    if base is not None:
        parts = parts.completed(base, era)
    digests = {model: entry.drawn_by for model, entry in parts.entries.items()}
    new = [read_assessment(path, digests) for path in reports]
    # a report that is made again takes the place of the earlier one
    old = [one for one in parts.fidelity if one.command not in {other.command for other in new}]
    is_base = base is not None and not fits
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "title": title,
        "tag": tag,
        "created": base.manifest.created if base and is_base else datetime.now(UTC).replace(microsecond=0),
        "software": base.manifest.software if base and is_base else software(),
        "training_sample": parts.training_sample,
        "era": era,
        "fidelity": (*old, *new),
        "models": parts.entries,
        "analysis": analysis,
    }
    checked = Manifest.from_mapping(manifest, "the new bundle")
    nano_of(checked, str(target))
    refuse_taken(target)
    if not fits and not reports:
        raise BundleError(f"{target}: no fitted model to put into it; run 'flashsim-prod train all' first")
    return write_bundle(target, checked, parts.weights)


def _era_of(entries: Mapping[str, ModelEntry], where: str) -> str | None:
    """The era that models were fitted to; ``None`` if nothing told it, `BundleError` if there are several."""
    told = {str(entry.fit[ERA_KEY]): name for name, entry in entries.items() if ERA_KEY in entry.fit}
    if len(told) > 1:
        ways = " and ".join(f"{era} ({model})" for era, model in sorted(told.items()))
        raise BundleError(f"{where}: its models were fitted to several eras, {ways}; take those of one")
    return next(iter(told), None)


def fitted_entry(folder: Path, model: str) -> ModelEntry:
    """What the fit of a model in `folder` is; `BundleError` if there is none, or of another declaration."""
    path = folder / ENTRY
    if not path.is_file():
        raise BundleError(f"{path} is missing; run 'flashsim-prod train fit {model}' first")
    # of fits that were made before there was another kind
    entry = ModelEntry.from_mapping(of_a_flow(json.loads(read_text(path))), str(path))
    declared = declared_for(model, entry)
    if declared is not None:
        try:
            check_signature(declared.drawing(entry.targets) if _WITHOUT in entry.fit else declared, entry)
        except BundleError as error:
            again = f"extract its tables and fit it again: flashsim-prod train fit {model} --anew"
            raise BundleError(f"{path}: fitted for another declaration of {model}; {again}") from error
    return entry


def detector_of_fit(folder: Path) -> str:
    """The reference detector that the fit in `folder` learned from; empty if that is not known."""
    try:
        return str(json.loads(read_text(folder / ENTRY))["fit"].get(DETECTOR_KEY, ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # what is wrong with an entry is told by whatever needs it
        return ""


def fits_unlike_tables(work: Path, models: Sequence[str] | None = None) -> list[str]:
    """Lines on fits in the folder `work` that are of another reference detector than its tables."""
    folders = [path.parent for path in sorted((work / "fits").glob(f"*/{ENTRY}"))]
    fits = {one.name: detector_of_fit(one) for one in folders if models is None or one.name in models}
    if not any(fits.values()):
        return []
    tables = work / "tables"
    return unlike(fits, detectors_drawn(tables), f"in {work / 'fits'}", f"the tables in {tables} are")


def software() -> dict[str, str]:
    """Versions of what a bundle is made with now."""
    return {
        "flashsim-prod": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
    }
