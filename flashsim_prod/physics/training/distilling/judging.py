"""Whether a student draws no worse than its teacher: all that a classifier sees, tails, rare categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from flashsim_prod.physics.chain.distilled import Judgement
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.transforms import Gaussianiser
from flashsim_prod.physics.training.distilling.settings import OF_TEACHERS
from flashsim_prod.physics.training.distilling.sources import F32, I64, Sources
from flashsim_prod.physics.validation.statistics.c2st import tell_apart
from flashsim_prod.physics.validation.statistics.distances import F64, Measured

#: quantiles beyond which shares are compared
TAILS = (0.01, 0.99)
#: objects that a category has, of the reference or of what is drawn, for its share to be compared
_FEWEST = 10
#: chance that one of all shares of a model, which may be a thousand, is called worse where none is
_FALSE_ALARM = 0.05
#: how often trees are grown, of so many objects
_TRAININGS, _MANY = 3, 20_000
#: what is told at most of what is worse
_MOST_TOLD = 6

Columns = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Share:
    """How often something happens: among the true objects, the teacher's and the student's."""

    what: str
    true: float
    teacher: float
    student: float
    n: int

    @classmethod
    def of(cls, what: str, happens: Sequence[Mask]) -> _Share:
        """From where it happens among the three."""
        true, teacher, student = (float(np.mean(one)) for one in happens)
        return cls(what, true, teacher, student, len(happens[0]))

    @property
    def error(self) -> float:
        """Of the difference of two such shares."""
        p = min(max(self.true, self.teacher, self.student, 1 / self.n), 1 - 1 / self.n)
        return float(np.sqrt(2 * p * (1 - p) / self.n))

    @property
    def excess(self) -> float:
        """By how many errors the student's is off by more than the teacher's."""
        return (abs(self.student - self.true) - abs(self.teacher - self.true)) / self.error

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.student:.3%}, teacher {self.teacher:.3%}, {self.true:.3%} ± {self.error:.3%}"
        )


def judge(teacher: FittedModel, student: FittedModel, sources: Sources, most: int, seed: int) -> Judgement:
    """Compare both with reconstructed objects or, where there are none, with other draws of the teacher.

    Parameters
    ----------
    teacher, student : FittedModel
        As bundles give them: with rounded weights.
    most : int
        Objects at most.
    """
    rows = sources.to_judge_by(most, seed)
    conditions, group = sources.conditions[rows], sources.group[rows]
    rng = np.random.default_rng([seed, 2])
    # the same for both, so that what differs is not by chance
    noise = rng.normal(size=(len(rows), teacher.n_normals))
    of_teacher, of_student = (one.sample(conditions, noise, OF_TEACHERS) for one in (teacher, student))
    if sources.targets:
        true: Columns = {name: column[rows] for name, column in sources.targets.items()}
    else:
        others = rng.normal(size=noise.shape)
        true = teacher.sample(conditions, others, OF_TEACHERS)
    auc, auc_of_teacher = (_area(true, one, conditions, group, seed) for one in (of_student, of_teacher))
    tails = list(_tails(teacher, true, of_teacher, of_student))
    categories = list(_categories(teacher, true, of_teacher, of_student))
    return Judgement(
        against="reference" if sources.targets else "teacher",
        objects=len(rows),
        held_out=int(sources.held_out[rows].sum()),
        auc=round(auc.value, 4),
        auc_error=round(auc.error, 4),
        teacher_auc=round(auc_of_teacher.value, 4),
        teacher_auc_error=round(auc_of_teacher.error, 4),
        tails=len(tails),
        categories=len(categories),
        worse=tuple(_told(_worse_area(auc, auc_of_teacher), [*tails, *categories])),
    )


def _worse_area(auc: Measured, of_teacher: Measured) -> list[str]:
    # below a half there is nothing but chance: who is as far below is not worse than who is there
    if auc.value <= max(of_teacher.value, 0.5) + of_teacher.error:
        return []
    return [f"AUC {auc.value:.4f}, teacher {of_teacher.value:.4f} ± {of_teacher.error:.4f}"]


def _told(area: list[str], shares: list[_Share]) -> list[str]:
    """What is worse, the largest first."""
    limit = errors_allowed(len(shares))
    worse = sorted((one for one in shares if one.excess > limit), key=lambda one: one.excess, reverse=True)
    told = [*area, *map(str, worse)]
    left = len(told) - _MOST_TOLD
    return told if left <= 0 else [*told[:_MOST_TOLD], f"and {left} more"]


def errors_allowed(shares: int) -> float:
    """Errors by which the worst of so many shares may be off, that chance alone seldom exceeds: 3.3 of 100.

    The one-sided quantile of a normal distribution at Bonferroni's level, 5 % divided by their number.
    """
    return float(norm.isf(_FALSE_ALARM / max(shares, 1)))


def _area(true: Columns, drawn: Columns, conditions: F32, group: I64, seed: int) -> Measured:
    """The mean over several trainings, if there are objects enough for these to differ by more than chance.

    Trees that are grown of other halves of the same 100,000 objects were seen to differ by 0.006, four times
    what the objects that they are tested on are uncertain by.
    """
    seen = conditions.astype(np.float64)
    one, other = (np.hstack((_matrix(columns, list(drawn)), seen)) for columns in (true, drawn))
    number = _TRAININGS if len(seen) >= _MANY else 1
    found = [tell_apart(one, other, (group, group), seed=seed + place).auc for place in range(number)]
    values = np.array([area.value for area in found])
    scatter = values.std(ddof=1) / np.sqrt(number) if number > 1 else 0.0
    return Measured(float(values.mean()), float(np.hypot(np.mean([area.error for area in found]), scatter)))


def _matrix(columns: Columns, names: list[str]) -> F64:
    return np.stack([columns[name].astype(np.float64) for name in names], axis=1)


def _by_target(model: FittedModel, *samples: Columns) -> Iterator[tuple[str, F32, list[F32]]]:
    """Each target with the values that it takes as steps, and with its columns, as weights know numbers."""
    for target, gaussianiser in zip(model.model.targets, model.gaussianisers, strict=True):
        columns = [sample[target.name].astype(np.float32) for sample in samples]
        yield target.name, steps_of_target(gaussianiser), columns


def steps_of_target(gaussianiser: Gaussianiser) -> F32:
    """The values that own a slice of the probability: whole numbers, flags and spikes."""
    same = (np.diff(gaussianiser.value) == 0) & (np.diff(gaussianiser.cdf) > 0)
    return np.unique(gaussianiser.value[1:][same])


def _tails(model: FittedModel, true: Columns, teacher: Columns, student: Columns) -> Iterator[_Share]:
    for name, steps, columns in _by_target(model, true, teacher, student):
        for level in TAILS:
            edge = np.float32(np.quantile(columns[0], level))
            if edge in steps:
                # the shares of categories say it
                continue
            beyond = [one < edge if level < 0.5 else one > edge for one in columns]
            yield _Share.of(f"{name} beyond its {level:.0%} quantile", beyond)


def _categories(model: FittedModel, true: Columns, teacher: Columns, student: Columns) -> Iterator[_Share]:
    for name, steps, columns in _by_target(model, true, teacher, student):
        for value in steps:
            there = [one == value for one in columns]
            if max(map(np.count_nonzero, there)) >= _FEWEST:
                yield _Share.of(f"{name} = {value:g}", there)
