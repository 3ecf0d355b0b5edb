"""Fitting one object model, of whatever kind, by the stages that its kind has.

A fit is resumable: a checkpoint holds weights, averages, optimiser and random state, and a resumed fit
ends with the weights of an undisturbed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.physics.chain.detectors import DETECTOR_KEY, together
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.base import Examples, Stage
from flashsim_prod.physics.chain.kinds.registry import FLOW, KINDS, find_kind
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import in_version
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.training.assemble import (
    SEVERAL,
    fitted_entry,
    is_fit_of,
    load_fitted,
    save_fitted,
)
from flashsim_prod.physics.training.drawn import refuse_weights
from flashsim_prod.physics.training.losses import draw_losses
from flashsim_prod.physics.training.optimise import FitSettings, Optimisation
from flashsim_prod.physics.training.record import FitRecord, Losses
from flashsim_prod.physics.training.table import LEAST_OBJECTS as LEAST_OBJECTS
from flashsim_prod.physics.training.table import Table, table_digest
from flashsim_prod.physics.training.tables import load_tables

FitProgress = Callable[[str, int, int, float], None]


def too_few(objects: int) -> str:
    """What to do about a sample with only so many objects of a kind."""
    factor = -(-LEAST_OBJECTS // max(1, objects))
    return (
        f"only {objects} objects to learn from, at least {LEAST_OBJECTS} are needed; extract "
        f"{factor} times as many events or --folds of them, or a process that has more of these objects"
    )


def fit_model(
    model: ObjectModel,
    table: Table,
    settings: FitSettings,
    folder: Path,
    *,
    device: str = "cpu",
    size: Any = None,
    kind: str = FLOW,
    only: str | None = None,
    start: FittedModel | None = None,
    progress: FitProgress = lambda network, step, steps, loss: None,
) -> tuple[FittedModel, FitRecord]:
    """Fit the networks of `model` to `table`, taking up what `folder` holds of an earlier sitting.

    Parameters
    ----------
    model : ObjectModel
    table : Table
    settings : FitSettings
    folder : Path
        Where checkpoints are kept.
    device : str
    size : optional
        Of the networks, as the kind has it, instead of the declared one.
    kind : str
        Of the registry of kinds.
    only : str, optional
        The one stage to go through, what it does not train staying as it is in `start`.
    start : FittedModel, optional
        Transforms and weights to begin with; untrained ones by default.
    progress : callable

    Raises
    ------
    InputError
        If the table is too small to learn from.
    RequestError
        If the kind has no stage `only`.
    """
    if len(table.row) < LEAST_OBJECTS:
        lost = table.left_out
        left_out = f"; {lost.objects:,} were left out, {lost.told()}" if lost else ""
        raise InputError(f"{model.name}: {too_few(len(table.row))}{left_out}")
    folder.mkdir(parents=True, exist_ok=True)
    fitted = start or untrained(model, table, settings.seed, size=size, kind=kind)
    stages = _stages(fitted, only)
    examples = examples_of(fitted, table)
    record = FitRecord(
        len(table.number),
        len(table.row),
        settings,
        left_out=table.left_out,
        version=table.version,
        absent=table.absent,
        era=table.era,
        detector=table.detector,
        tables=table_digest(table),
    )
    for stage in stages:
        _optimise(stage, examples, settings, folder=folder, device=device, record=record, progress=progress)
    return fitted, record


def _stages(fitted: FittedModel, only: str | None) -> list[Stage]:
    """How a model is trained; `RequestError` if there is no stage `only`."""
    stages = fitted.kind.stages(fitted.networks)
    if only is not None and only not in {stage.name for stage in stages}:
        names = ", ".join(stage.name for stage in stages)
        raise RequestError(
            f"{fitted.model.name}, a {fitted.kind.name}, has no '{only}' to fit; it has {names}"
        )
    return [stage for stage in stages if only in (None, stage.name)]


def examples_of(fitted: FittedModel, table: Table) -> Examples:
    """A table in the numbers that the networks see."""
    slices = [
        gaussianiser.levels(table.targets[target.name])
        for target, gaussianiser in zip(fitted.model.targets, fitted.gaussianisers, strict=True)
    ]
    lower, upper = (np.stack(ends, axis=1).astype(np.float32) for ends in zip(*slices, strict=True))
    return Examples(
        torch.from_numpy(fitted.standardiser(table.conditions)),
        torch.from_numpy(np.minimum(table.number, fitted.model.most)),
        torch.from_numpy(table.row),
        torch.from_numpy(lower),
        torch.from_numpy(upper),
    )


def untrained(
    model: ObjectModel,
    table: Table,
    seed: int,
    *,
    size: Any = None,
    kind: str = FLOW,
    standardiser: Standardiser | None = None,
) -> FittedModel:
    """Transforms of what `table` holds, and networks of a kind that have learned nothing yet."""
    standardiser = standardiser or Standardiser.fit(table.conditions)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[target.name]) for target in model.targets)
    torch.manual_seed(seed)
    fitted = FittedModel.untrained(model, standardiser, gaussianisers, size=size, kind=kind)
    fitted.kind.prepare(fitted.networks, torch.from_numpy(standardiser(table.conditions)))
    return fitted


def _optimise(
    stage: Stage,
    examples: Examples,
    settings: FitSettings,
    *,
    folder: Path,
    device: str,
    record: FitRecord,
    progress: FitProgress,
) -> None:
    """Train a stage's network in place; at the end it holds the averaged weights that were best."""
    steps, settings = settings.of(stage)
    loss = stage.loss(examples)
    network = stage.network.to(device)
    # the same numbers of another detector are other tables, too: the record has one
    tables = f"{record.tables} {record.detector}".rstrip()
    work = Optimisation(network, loss, steps, settings, device, stage.turns, tables)
    checkpoint = _checkpoint(folder, stage.name)
    spent_s = work.restore(checkpoint) if checkpoint.exists() else 0.0
    started = time.monotonic()

    def looked() -> None:
        progress(stage.name, work.step, steps, work.losses[-1][1])
        if work.step % settings.checkpoint_every == 0 or work.step == steps:
            work.save(checkpoint, spent_s + time.monotonic() - started)

    work.run(looked)
    record.seconds += spent_s + time.monotonic() - started
    record.losses[stage.name] = work.losses
    stage.network.to("cpu")


def fit_into_folder(
    model: ObjectModel,
    work: Path,
    settings: FitSettings,
    *,
    width: int | None = None,
    blocks: int | None = None,
    kind: str = FLOW,
    only: str | None = None,
    further: bool = False,
    device: str = "cpu",
    progress: FitProgress = lambda network, step, steps, loss: None,
) -> FitRecord:
    """Fit `model` to the tables in the folder `work`; leave weights, entry, record and loss plots there.

    Parameters
    ----------
    width, blocks : int, optional
        Size of what draws the attributes, instead of the declared one.
    kind : str
        Of the registry of kinds; the last fit's is kept with `only` and `further`.
    only : str, optional
        Go through this stage alone; what it does not train stays as the last fit left it.
    further : bool
        Go on from the weights that the last fit left.

    Raises
    ------
    InputError
        If there are no tables, too small ones, or checkpoints of other settings.
    BundleError
        If the last fit is asked for and there is none, or it is of another declaration.
    """
    folder = work / "fits" / model.name
    table = load_tables(work / "tables", model)
    refuse_weights(table, work / "tables" / model.name)
    model = in_version(model, table.version)
    # of files that lack attributes, all but what is made of them
    model = model.drawing({str(target) for target in model.targets if target.name in table.targets})
    losses: Losses = {}
    start = size = None
    are_the_same = True
    if only or further:
        start, losses = load_fitted(folder, model)
        last = fitted_entry(folder, model.name)
        are_the_same = is_fit_of(last, table) and last.fit.get("seed") == settings.seed
        # what is gone on from stays in it
        detector = str(last.fit.get(DETECTOR_KEY, ""))
        table = replace(table, detector=together((detector, table.detector)))
        if only and not further:
            size = start.kind.declared_size(model, width=width, blocks=blocks)
            start = _begun_anew(start, size, only, table, settings.seed)
    else:
        _refuse_other_kind(folder, kind)
        size = find_kind(kind).declared_size(model, width=width, blocks=blocks)
    fitted, record = fit_model(
        model,
        table,
        settings,
        folder,
        device=device,
        size=size,
        kind=kind,
        only=only,
        start=start,
        progress=progress,
    )
    record.losses = losses | record.losses
    if not are_the_same:
        # what is held out now may have been learned before
        record.tables = SEVERAL
    leave_fit(fitted, record, folder)
    return record


def leave_fit(fitted: FittedModel, record: FitRecord, folder: Path) -> None:
    """Write what came of a fit into `folder`, with a plot of its losses, in the place of its checkpoints."""
    save_fitted(fitted, record, folder)
    for stage in record.losses:
        _checkpoint(folder, stage).unlink(missing_ok=True)
    draw_losses(record, folder)


def _refuse_other_kind(folder: Path, kind: str) -> None:
    """`InputError` if a fit of another kind was interrupted in `folder`."""
    for other in KINDS:
        path = _checkpoint(folder, other)
        if other != kind and path.exists():
            raise InputError(
                f"{path}: a checkpoint of a {other}, not of a {kind}; "
                f"go on with --kind {other}, or fit with --anew to start over"
            )


def _begun_anew(last: FittedModel, size: Any, only: str, table: Table, seed: int) -> FittedModel:
    """The last fit with what one stage trains untrained, of the size `size`."""
    size = last.kind.combined(only, size, last.size)
    fresh = untrained(last.model, table, seed, size=size, kind=last.kind.name, standardiser=last.standardiser)
    (stage,) = _stages(fresh, only)
    networks = {**last.networks, **{name: fresh.networks[name] for name in stage.trains}}
    gaussianisers = last.gaussianisers if stage.of_numbers else fresh.gaussianisers
    return replace(last, size=size, gaussianisers=gaussianisers, networks=networks)


def _checkpoint(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.checkpoint.safetensors"
