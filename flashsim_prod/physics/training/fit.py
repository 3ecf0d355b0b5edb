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

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.flow import draw_times, path
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel
from flashsim_prod.physics.chain.networks import Multiplicity, Velocity
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.training.assemble import save_fitted
from flashsim_prod.physics.training.losses import draw_losses
from flashsim_prod.physics.training.optimise import FitSettings, Loss, Optimisation
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import Table, load_tables

Progress = Callable[[str, int, int, float], None]

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
    progress: Progress = lambda network, step, steps, loss: None,
) -> tuple[FittedModel, FitRecord]:
    """Fit both networks of `model` to `table`, taking up what `folder` holds of an earlier sitting.

    Raises
    ------
    InputError
        If the table is too small to learn from.
    """
    if len(table.row) < LEAST_OBJECTS:
        raise InputError(f"{model.name}: {too_few(len(table.row))}")
    size = size or model.size
    folder.mkdir(parents=True, exist_ok=True)
    standardiser = Standardiser.fit(table.conditions)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[target.name]) for target in model.targets)
    record = FitRecord(len(table.number), len(table.row), settings)
    conditions = torch.from_numpy(standardiser(table.conditions))

    torch.manual_seed(settings.seed)
    velocity = Velocity(len(model.targets), len(model.conditions), size)
    loss = _FlowLoss(conditions[torch.from_numpy(table.row)], table, gaussianisers, model)
    optimise = partial(
        _optimise, settings=settings, folder=folder, device=device, record=record, progress=progress
    )
    optimise("flow", velocity, loss, settings.flow_steps)
    multiplicity = None
    if model.most:
        multiplicity = Multiplicity(len(model.conditions), model.most, size)
        counted = _CountLoss(conditions, torch.from_numpy(np.minimum(table.number, model.most)))
        optimise("multiplicity", multiplicity, counted, settings.multiplicity_steps)
    return FittedModel(model, standardiser, gaussianisers, velocity, multiplicity), record


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
    name: str,
    network: nn.Module,
    loss: Loss,
    steps: int,
    *,
    settings: FitSettings,
    folder: Path,
    device: str,
    record: FitRecord,
    progress: Progress,
) -> None:
    """Train `network` in place; at the end it holds the averaged weights."""
    work = Optimisation(network.to(device), loss, steps, settings, device)
    checkpoint = folder / f"{name}.checkpoint.safetensors"
    spent_s = work.restore(checkpoint) if checkpoint.exists() else 0.0
    started = time.monotonic()
    while work.step < steps:
        work.advance(min(settings.report_every, steps - work.step))
        progress(name, work.step, steps, work.losses[-1][1])
        if work.step % settings.checkpoint_every == 0 or work.step == steps:
            work.save(checkpoint, spent_s + time.monotonic() - started)
    record.seconds += spent_s + time.monotonic() - started
    record.losses[name] = work.losses
    network.load_state_dict(work.averaged.module.state_dict())
    network.to("cpu")


def fit_into_folder(
    model: ObjectModel,
    work: Path,
    settings: FitSettings,
    *,
    width: int | None = None,
    blocks: int | None = None,
    device: str = "cpu",
    progress: Progress = lambda network, step, steps, loss: None,
) -> FitRecord:
    """Fit `model` to the tables in the folder `work`; leave weights, entry, record and loss plots there.

    Parameters
    ----------
    width, blocks : int, optional
        Size of the flow's network, instead of the declared one.
    """
    size = replace(model.size, width=width or model.size.width, blocks=blocks or model.size.blocks)
    folder = work / "fits" / model.name
    table = load_tables(work / "tables", model)
    fitted, record = fit_model(model, table, settings, folder, device=device, size=size, progress=progress)
    save_fitted(fitted, record, size, folder)
    draw_losses(record, folder)
    return record
