"""The shipped bundle, once for all tests of the chain, and chains of models that learned nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import extract

_SIZE = NetworkSize(width=8, blocks=1, time_frequencies=2, classifier=(4,))


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return load_bundle(find_bundle("reference"))


@pytest.fixture(scope="session")
def chain(bundle: Bundle) -> Chain:
    return Chain(bundle)


@pytest.fixture(scope="session")
def untrained_chain() -> Callable[..., Chain]:
    """Makes the smallest chain of some models: it draws as they are distributed, whatever the conditions."""
    return _untrained_chain


def _untrained_chain(
    models: Iterable[ObjectModel],
    events: Events,
    folder: Path,
    means: Mapping[str, float] = MappingProxyType({}),
) -> Chain:
    """A chain of `models` distributed as in `events`; `means` are numbers of objects a row instead."""
    torch.manual_seed(1)
    fits = {}
    for model in models:
        fits[model.name] = folder / model.name
        record = FitRecord(1, 1, FitSettings(), {"flow": [(0, 1.0, 1.0)]})
        save_fitted(_unfitted(model, events, means.get(model.name)), record, fits[model.name])
    build_bundle(fits, folder / "bundle", name="m", title="t", tag="Mini", training_sample=("ttbar",))
    return Chain(load_bundle(folder / "bundle"))


def _unfitted(model: ObjectModel, events: Events, mean: float | None) -> FittedModel:
    table = extract(events, model)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[target.name]) for target in model.targets)
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
