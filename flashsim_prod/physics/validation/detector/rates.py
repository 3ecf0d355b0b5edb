"""Objects per event by their source: the very sources and matches that the chain declares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.errors import MissingBranchError
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import models_of
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.validation.detector.sides import Sides
from flashsim_prod.physics.validation.statistics.distances import Measured


@dataclass(frozen=True)
class Rate:
    """Objects per event.

    Attributes
    ----------
    name : str
        Of the object model, or of the collection for all of it.
    real, made : Measured
    """

    name: str
    real: Measured
    made: Measured

    @property
    def ratio(self) -> float:
        """Made over real."""
        return self.made.value / self.real.value if self.real.value else np.nan


def rates(sides: Sides, version: str = NANO_VERSION) -> list[Rate]:
    """Those of each collection, and of each of its sources that both sides can be asked for."""
    found: list[Rate] = []
    models = models_of(version)
    for name in dict.fromkeys(model.produces for model in models if not model.scalar):
        if name not in sides.real:
            continue
        counts = [side[name].counts for side in (sides.real, sides.made)]
        found.append(Rate(name, _per_event(counts[0]), _per_event(counts[1])))
        for model in models:
            if model.produces == name:
                pair = [_of_source(side, model) for side in (sides.real, sides.made)]
                if pair[0] is not None and pair[1] is not None:
                    found.append(Rate(model.name, pair[0], pair[1]))
    return found


def _of_source(events: Events, model: ObjectModel) -> Measured | None:
    if any(use not in events for use in model.uses):
        return None
    try:
        with np.errstate(invalid="ignore"):
            origin = model.match(events, model.source(events))
    except MissingBranchError:
        return None
    objects = events[model.produces]
    return _per_event(np.bincount(objects.event_index[origin >= 0], minlength=events.n))


def _per_event(counts: np.ndarray) -> Measured:
    return Measured(float(counts.mean()), float(counts.std() / np.sqrt(max(len(counts), 1))))
