"""Networks in this process: rows of a model that several ask for are run together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.devices.running import finish
from flashsim_prod.physics.chain.devices.work import F32, Task, Work

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.fitted import FittedModel


class Here:
    """The networks of some models, on the device that these were loaded for.

    Parameters
    ----------
    models : iterable of FittedModel
    sampling : Sampling
    """

    takes_many = False

    def __init__(self, models: Iterable[FittedModel], sampling: Sampling) -> None:
        self._models = {one.model.name: one for one in models}
        self._sampling = sampling

    def prepare(self) -> None:
        """Bring all networks to their device, and find the sizes of blocks there."""
        for one in self._models.values():
            one.prepare(self._sampling)

    def evaluate(self, works: Sequence[Work]) -> list[F32]:
        """As of an `Evaluator`."""
        alike: dict[tuple[str, Task], list[int]] = {}
        for index, work in enumerate(works):
            alike.setdefault((work.model, work.task), []).append(index)
        pending = [
            self._models[model].start(task, _joined([works[index] for index in found]), self._sampling)
            for (model, task), found in alike.items()
        ]
        results: dict[int, F32] = {}
        for (key, found), made in zip(alike.items(), finish(pending), strict=True):
            made = np.empty((0, self._models[key[0]].columns(key[1])), np.float32) if made is None else made
            ends = np.cumsum([len(works[index]) for index in found])
            results |= zip(found, np.split(made, ends[:-1]), strict=True)
        return [results[index] for index in range(len(works))]


def _joined(works: Sequence[Work]) -> tuple[F32, ...]:
    if len(works) == 1:
        return works[0].inputs
    return tuple(np.concatenate(parts) for parts in zip(*(work.inputs for work in works), strict=True))
