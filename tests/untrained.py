"""Bundles of models that have learned nothing, for tests that need some of a kind that does not ship."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import extract

_SIZE = NetworkSize(width=8, blocks=1, time_frequencies=2, classifier=(4,))


def untrained_bundle(
    models: Iterable[ObjectModel],
    events: Events,
    folder: Path,
    means: Mapping[str, float] = MappingProxyType({}),
    *,
    version: str = "",
    era: str = "",
) -> Path:
    """The smallest bundle of `models`: each draws as it is distributed in `events`, whatever the conditions.

    `means` are numbers of objects a row instead of those of `events`.
    """
    torch.manual_seed(1)
    fits = {}
    for model in models:
        fits[model.name] = folder / model.name
        losses = {"flow": [(0, 1.0, 1.0)]}
        record = FitRecord(1, 1, FitSettings(), losses, version=version, era=era)
        save_fitted(_unfitted(model, events, means.get(model.name)), record, fits[model.name])
    path = folder / "bundle"
    build_bundle(fits, path, name="m", title="t", tag="Mini", training_sample=("ttbar",))
    return path


def _unfitted(model: ObjectModel, events: Events, mean: float | None) -> FittedModel:
    table = extract(events, model)
    # of what is not among the events nothing is drawn, whatever its distribution
    drawn = (table.targets[target.name] for target in model.targets)
    gaussianisers = tuple(Gaussianiser.fit(column if len(column) else np.zeros(1)) for column in drawn)
    fitted = FittedModel.untrained(model, Standardiser.fit(table.conditions), gaussianisers, size=_SIZE)
    if model.most:
        multiplicity = fitted.networks["multiplicity"]
        share = np.bincount(table.number, minlength=model.most + 1) / len(table.number)
        if mean is not None:
            share = np.array([1 - mean, mean, *([0.0] * (model.most - 1))])
        with torch.no_grad():
            multiplicity.layers[-1].weight.zero_()
            multiplicity.layers[-1].bias.copy_(torch.log(torch.from_numpy(share + 1e-9)))
    return fitted
