"""Fitting one object model: the flow by flow matching, the multiplicity by cross-entropy.

A fit is resumable: a checkpoint holds weights, averages, optimiser and random state, and a resumed fit
ends with the weights of an undisturbed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from flashsim_prod.core.choices import Network
from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.flow import draw_times, path
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel
from flashsim_prod.physics.chain.networks import Multiplicity, Velocity
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.training.assemble import load_fitted, save_fitted
from flashsim_prod.physics.training.losses import draw_losses
from flashsim_prod.physics.training.optimise import FitSettings, Loss, Optimisation
from flashsim_prod.physics.training.record import FitRecord, Losses
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import load_tables

FitProgress = Callable[[str, int, int, float], None]

#: with fewer a network learns the objects by heart
LEAST_OBJECTS = 1000


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
    size: NetworkSize | None = None,
    only: Network | None = None,
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
    size : NetworkSize, optional
        Instead of the declared one.
    only : Network, optional
        The one network to fit, the other staying as it is in `start`.
    start : FittedModel, optional
        Transforms and weights to begin with; untrained ones by default.
    progress : callable

    Raises
    ------
    InputError
        If the table is too small to learn from.
    """
    if len(table.row) < LEAST_OBJECTS:
        lost = table.left_out
        left_out = f"; {lost.objects:,} were left out, {lost.told()}" if lost else ""
        raise InputError(f"{model.name}: {too_few(len(table.row))}{left_out}")
    folder.mkdir(parents=True, exist_ok=True)
    fitted = start or untrained(model, table, size or model.size, settings.seed)
    record = FitRecord(len(table.number), len(table.row), settings, left_out=table.left_out)
    conditions = torch.from_numpy(fitted.standardiser(table.conditions))
    optimise = partial(_optimise, folder=folder, device=device, record=record, progress=progress)
    if only is not Network.MULTIPLICITY:
        loss = _FlowLoss(conditions[torch.from_numpy(table.row)], table, fitted.gaussianisers, model)
        optimise(Network.FLOW, fitted.velocity, loss, settings.flow_steps, settings)
    if fitted.multiplicity is not None and only is not Network.FLOW:
        counted = _CountLoss(conditions, torch.from_numpy(np.minimum(table.number, model.most)))
        of_many = replace(settings, batch=settings.multiplicity_batch)
        optimise(Network.MULTIPLICITY, fitted.multiplicity, counted, settings.multiplicity_steps, of_many)
    return fitted, record


def untrained(
    model: ObjectModel, table: Table, size: NetworkSize, seed: int, standardiser: Standardiser | None = None
) -> FittedModel:
    """Transforms of what `table` holds, and networks that have learned nothing yet."""
    standardiser = standardiser or Standardiser.fit(table.conditions)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[target.name]) for target in model.targets)
    torch.manual_seed(seed)
    velocity = Velocity(len(model.targets), len(model.conditions), size)
    multiplicity = None
    if model.most:
        multiplicity = Multiplicity(len(model.conditions), model.most, size)
        multiplicity.spread_knots(torch.from_numpy(standardiser(table.conditions)))
    return FittedModel(model, standardiser, gaussianisers, velocity, multiplicity)


class _FlowLoss(Loss):
    """Mean squared error of the velocity, with steps of the targets dequantised anew each time."""

    def __init__(
        self, conditions: Tensor, table: Table, gaussianisers: tuple[Gaussianiser, ...], model: ObjectModel
    ):
        slices = [
            gaussianiser.levels(table.targets[target.name])
            for target, gaussianiser in zip(model.targets, gaussianisers, strict=True)
        ]
        self.conditions = conditions
        self.lower = torch.from_numpy(np.stack([lower for lower, _ in slices], axis=1).astype(np.float32))
        self.upper = torch.from_numpy(np.stack([upper for _, upper in slices], axis=1).astype(np.float32))
        self.n = len(conditions)

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        lower, upper = self.lower[rows], self.upper[rows]
        level = lower + torch.rand(lower.shape, generator=generator) * (upper - lower)
        x = torch.special.ndtri(level.double()).float().to(device)
        z = torch.randn(lower.shape, generator=generator).to(device)
        t = draw_times(len(rows), generator).to(device)
        x_t, velocity = path(x, z, t)
        contribution = network.condition(self.conditions[rows].to(device))  # type: ignore[operator]
        return nn.functional.mse_loss(network(x_t, t, contribution), velocity)


class _CountLoss(Loss):
    """Cross-entropy of the number of objects."""

    def __init__(self, conditions: Tensor, number: Tensor) -> None:
        self.conditions, self.number = conditions, number
        self.n = len(number)

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        return nn.functional.cross_entropy(
            network(self.conditions[rows].to(device)), self.number[rows].to(device)
        )


def _optimise(
    name: Network,
    network: nn.Module,
    loss: Loss,
    steps: int,
    settings: FitSettings,
    *,
    folder: Path,
    device: str,
    record: FitRecord,
    progress: FitProgress,
) -> None:
    """Train `network` in place; at the end it holds the averaged weights that were best."""
    work = Optimisation(network.to(device), loss, steps, settings, device)
    checkpoint = _checkpoint(folder, name)
    spent_s = work.restore(checkpoint) if checkpoint.exists() else 0.0
    started = time.monotonic()
    while work.step < steps:
        work.advance(min(settings.report_every, steps - work.step))
        progress(name, work.step, steps, work.losses[-1][1])
        if work.step % settings.checkpoint_every == 0 or work.step == steps:
            work.save(checkpoint, spent_s + time.monotonic() - started)
    record.seconds += spent_s + time.monotonic() - started
    record.losses[name] = work.losses
    network.load_state_dict(work.best)
    network.to("cpu")


def fit_into_folder(
    model: ObjectModel,
    work: Path,
    settings: FitSettings,
    *,
    width: int | None = None,
    blocks: int | None = None,
    only: Network | None = None,
    further: bool = False,
    device: str = "cpu",
    progress: FitProgress = lambda network, step, steps, loss: None,
) -> FitRecord:
    """Fit `model` to the tables in the folder `work`; leave weights, entry, record and loss plots there.

    Parameters
    ----------
    width, blocks : int, optional
        Size of the flow's network, instead of the declared one.
    only : Network, optional
        Fit this network alone; the other stays as the last fit left it.
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
    size = replace(model.size, width=width or model.size.width, blocks=blocks or model.size.blocks)
    losses: Losses = {}
    start = None
    if only or further:
        start, last_size, losses = load_fitted(folder, model)
        if further:
            size = last_size
        else:
            start, size = _begun_anew(start, last_size, size, only, table, settings.seed)
    fitted, record = fit_model(
        model, table, settings, folder, device=device, size=size, only=only, start=start, progress=progress
    )
    record.losses = losses | record.losses
    save_fitted(fitted, record, size, folder)
    for network in Network:
        _checkpoint(folder, network).unlink(missing_ok=True)
    draw_losses(record, folder)
    return record


def _begun_anew(
    last: FittedModel,
    last_size: NetworkSize,
    size: NetworkSize,
    only: Network | None,
    table: Table,
    seed: int,
) -> tuple[FittedModel, NetworkSize]:
    """The last fit with one network untrained; and the sizes of both."""
    if only is Network.FLOW:
        size = replace(size, classifier=last_size.classifier, knots=last_size.knots)
    else:
        size = replace(last_size, classifier=size.classifier, knots=size.knots)
    fresh = untrained(last.model, table, size, seed, last.standardiser)
    if only is Network.FLOW:
        return replace(last, gaussianisers=fresh.gaussianisers, velocity=fresh.velocity), size
    return replace(last, multiplicity=fresh.multiplicity), size


def _checkpoint(folder: Path, network: Network) -> Path:
    return folder / f"{network}.checkpoint.safetensors"
