"""What a correction does to a model's draws: how far they are told from the truth, before and after."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.validation.statistics.c2st import tell_apart
from flashsim_prod.physics.validation.statistics.distances import (
    F64,
    I64,
    correlation_difference,
    wasserstein_in_sigma,
)

#: objects that speed is measured with
_OBJECTS_TIMED = 4096


@dataclass(frozen=True)
class Distance:
    """How far one target is from the truth.

    Attributes
    ----------
    before, after : float
        Wasserstein distance in standard deviations, without the correction and with it.
    chance : float
        The same of two samples of the truth.
    """

    target: str
    before: float
    after: float
    chance: float

    @property
    def is_worse(self) -> bool:
        """Whether the correction moved it away, by more than samples of this size differ by chance."""
        return self.after > max(self.before, self.chance) + self.chance


@dataclass(frozen=True)
class Judged:
    """A model's draws without its correction and with it, beside true objects that it did not learn from.

    Attributes
    ----------
    objects : int
    auc_before, auc_after, auc_error, floor : float
        Of boosted trees that see targets and conditions; `floor` of two halves of the truth.
    correlation_before, correlation_after : float
        Largest difference of rank correlations between targets.
    distances : tuple of Distance
        Of the targets, in the order of the model.
    effective : float
        Share of the drawn objects that weighted ones are worth: the square of the weights' sum over the sum
        of their squares.
    objects_per_s_before, objects_per_s_after : float
        Drawn in a second of one core.
    """

    objects: int
    auc_before: float
    auc_after: float
    auc_error: float
    floor: float
    correlation_before: float
    correlation_after: float
    distances: tuple[Distance, ...]
    effective: float
    objects_per_s_before: float
    objects_per_s_after: float

    @property
    def helps(self) -> bool:
        """Whether draws are harder to tell from the truth with it, by more than the area's uncertainty."""
        return self.auc_before - self.auc_after > self.auc_error

    @property
    def worse(self) -> tuple[str, ...]:
        """Targets that the correction moved away from the truth."""
        return tuple(one.target for one in self.distances if one.is_worse)


def judge(fitted: FittedModel, table: Table, group: I64, sampling: Sampling, seed: int) -> Judged:
    """Compare draws of `fitted`, and of the same model without its correction, with the objects of `table`.

    Parameters
    ----------
    fitted : FittedModel
        With a reweighter, which is judged then, or a refiner alone.
    group : int array of shape (n_objects,)
        Objects of one group stay together.
    """
    names = [target.name for target in fitted.model.targets]
    conditions, n = table.conditions[table.row], len(table.row)
    truth = _matrix(table.targets, names)
    rng = np.random.default_rng([seed, 1])
    bare = fitted.bare if fitted.reweighter is None else fitted.unweighted
    latents = bare.latents(conditions, rng.normal(size=(n, bare.n_normals)), sampling)
    weights = fitted.weights(conditions, latents)
    before = _matrix(bare.targets(latents), names)
    after, seen = _corrected(fitted, conditions, (before, weights), sampling, rng)
    wide = conditions.astype(np.float64)
    with_conditions = np.hstack((truth, wide))
    second = rng.random(n) < 0.5
    floor = tell_apart(
        with_conditions[~second], with_conditions[second], (group[~second], group[second]), seed=seed
    )
    told, told_after = (
        tell_apart(with_conditions, np.hstack((one, wide[rows])), (group, group[rows]), seed=seed).auc
        for one, rows in ((before, np.arange(n)), (after, seen))
    )
    off = [float(np.abs(correlation_difference(one, truth)).max()) for one in (before, after)]
    speeds = [_objects_per_s(one, conditions, sampling, rng) for one in (bare, fitted)]
    return Judged(
        objects=n,
        auc_before=round(told.value, 4),
        auc_after=round(told_after.value, 4),
        auc_error=round(told_after.error, 4),
        floor=round(floor.auc.value, 4),
        correlation_before=round(off[0], 4),
        correlation_after=round(off[1], 4),
        distances=tuple(_distances(names, truth, before, after, second)),
        effective=round(float(weights.sum() ** 2 / (weights**2).sum() / n), 4),
        objects_per_s_before=round(speeds[0], 1),
        objects_per_s_after=round(speeds[1], 1),
    )


def _corrected(
    fitted: FittedModel,
    conditions: NDArray[np.float32],
    drawn: tuple[F64, F64],
    sampling: Sampling,
    rng: np.random.Generator,
) -> tuple[F64, I64]:
    """What comes of the correction, and the row of the conditions of each object.

    Of weights: objects of those drawn, each as often as its weight says, which any figure can be had of.
    """
    reweighter, n = fitted.reweighter, len(conditions)
    if reweighter is not None and reweighter.section.use is WeightUse.WEIGHT:
        before, weights = drawn
        rows = _by_weight(weights, rng)
        return before[rows], rows
    made = fitted.sample(conditions, rng.normal(size=(n, fitted.n_normals)), sampling)
    return _matrix(made, [target.name for target in fitted.model.targets]), np.arange(n)


def _by_weight(weights: F64, rng: np.random.Generator) -> I64:
    """As many rows as there are, each as often as its weight says (systematic resampling)."""
    bounds = np.cumsum(weights) / weights.sum()
    level = (np.arange(len(weights)) + rng.random()) / len(weights)
    return np.minimum(np.searchsorted(bounds, level), len(weights) - 1).astype(np.int64)


def _distances(
    names: list[str], truth: F64, before: F64, after: F64, second: NDArray[np.bool_]
) -> list[Distance]:
    found = []
    for place, name in enumerate(names):
        true = truth[:, place]
        # halves differ by more than whole samples
        chance = stats.wasserstein_distance(true[~second], true[second]) / np.sqrt(2)
        unit = float(np.std(true)) or 1.0
        one, other = (wasserstein_in_sigma(drawn[:, place], true) for drawn in (before, after))
        found.append(Distance(name, round(one, 4), round(other, 4), round(float(chance) / unit, 4)))
    return found


def _objects_per_s(
    fitted: FittedModel, conditions: NDArray[np.float32], sampling: Sampling, rng: np.random.Generator
) -> float:
    few = conditions[:_OBJECTS_TIMED]
    normals = rng.normal(size=(len(few), fitted.n_normals))
    # compiles, and fills caches
    fitted.sample(few[:512], normals[:512], sampling)
    began = time.process_time()
    fitted.sample(few, normals, sampling)
    return len(few) / max(time.process_time() - began, 1e-9)


def _matrix(columns: dict[str, NDArray[np.generic]] | dict[str, F64], names: list[str]) -> F64:
    return np.stack([columns[name].astype(np.float64) for name in names], axis=1)
