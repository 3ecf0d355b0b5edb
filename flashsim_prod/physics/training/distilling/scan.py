"""How far draws in fewer or more steps are from those of the teachers in their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.registry import FLOW
from flashsim_prod.physics.training.distilling.settings import LEAST_OBJECTS, OF_TEACHERS
from flashsim_prod.physics.training.distilling.sources import Sources
from flashsim_prod.physics.validation.statistics.c2st import tell_apart
from flashsim_prod.physics.validation.statistics.distances import F64, Measured

#: trees of each classifier: many are made, of few objects
_TREES = 50


@dataclass(frozen=True)
class Area:
    """How well the draws of one model are told from its teacher's.

    Attributes
    ----------
    evaluations : int
        That the model took, of its own if it is a student.
    """

    model: str
    objects: int
    evaluations: int
    auc: Measured


def areas(
    chain: Chain, teachers: Chain, asked: Mapping[str, Sources], sampling: Sampling, seed: int
) -> list[Area]:
    """Of each flow of `chain` that is asked for often enough, beside those of `teachers`.

    Both draw from noise of their own, for the same conditions.
    """
    own = {one.model.name: one for _, models in teachers.groups for one in models}
    found = []
    for _, models in chain.groups:
        for fitted in models:
            sources = asked.get(fitted.model.name)
            if fitted.kind.name != FLOW or sources is None or len(sources) < LEAST_OBJECTS:
                continue
            steps = (fitted.steps or sampling).evaluations
            auc = _area(fitted, own[fitted.model.name], sources, sampling, seed)
            found.append(Area(fitted.model.name, len(sources), steps, auc))
    return found


def _area(
    fitted: FittedModel, teacher: FittedModel, sources: Sources, sampling: Sampling, seed: int
) -> Measured:
    rng, seen = np.random.default_rng([seed, 3]), sources.conditions.astype(np.float64)
    shape = (len(sources), teacher.n_normals)
    of_teacher = _matrix(teacher.sample(sources.conditions, rng.normal(size=shape), OF_TEACHERS))
    drawn = _matrix(fitted.sample(sources.conditions, rng.normal(size=shape), sampling))
    one, other = np.hstack((of_teacher, seen)), np.hstack((drawn, seen))
    return tell_apart(one, other, (sources.group, sources.group), seed=seed, iterations=_TREES).auc


def _matrix(columns: Mapping[str, F64]) -> F64:
    return np.stack(list(columns.values()), axis=1)
