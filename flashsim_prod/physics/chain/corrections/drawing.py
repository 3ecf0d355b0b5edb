"""Objects drawn by several models at once, each with what corrects it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flashsim_prod.physics.chain.corrections.reweighter import taken
from flashsim_prod.physics.chain.devices.work import F32, Evaluator, Work

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.fitted import FittedModel

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """Rows of which a model is to draw an object each: unscaled conditions, and its normal numbers.

    Rows with the same number in `sets` are of one source, where that is known.
    """

    fitted: FittedModel
    conditions: F32
    normals: F64
    sets: I64 | None = None

    @property
    def is_of_sets(self) -> bool:
        """Whether objects are drawn together, for which nobody else has the networks."""
        return self.sets is not None and self.fitted.draws_sets


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes
    ----------
    latents : array of shape (n, n_targets)
    weights : array of shape (n,), optional
        How much each counts for, if the model weights it.
    unrefined : array of shape (n, n_targets), optional
        What became `latents`, of a model that is refined.
    """

    latents: F32
    weights: F64 | None = None
    unrefined: F32 | None = None


def draw(asked: Sequence[Asked], by: Evaluator) -> list[Drawn]:
    """Objects of several models at once, with the networks that `by` has, but for those drawn as sets."""
    works = [[] if one.is_of_sets else one.fitted.attributes(one.conditions, one.normals) for one in asked]
    made = [
        [_Candidate.of(one.fitted, part) for part in parts]
        for one, parts in zip(asked, _as_asked(works, by), strict=True)
    ]
    chances = [
        [one.fitted.chances(one.conditions, part.latents) for part in parts] if one.fitted.reweighter else []
        for one, parts in zip(asked, made, strict=True)
    ]
    found = _as_asked(chances, by)
    return [_drawn(*one) for one in zip(asked, made, found, strict=True)]


@dataclass(frozen=True)
class _Candidate:
    """A draw of each row, and what it was before it was refined, if it was."""

    latents: F32
    unrefined: F32 | None

    @classmethod
    def of(cls, fitted: FittedModel, found: F32) -> _Candidate:
        if fitted.refiner is None:
            return cls(found, None)
        refined, drawn = np.split(found, 2, axis=1)
        return cls(refined, drawn)


def _as_asked(works: Sequence[Sequence[Work]], by: Evaluator) -> list[list[F32]]:
    """What comes of lists of works, evaluated together."""
    flat = [work for some in works for work in some]
    found = iter(by.evaluate(flat) if flat else [])
    return [[next(found) for _ in some] for some in works]


def _drawn(asked: Asked, made: Sequence[_Candidate], logits: Sequence[F32]) -> Drawn:
    """Of the candidates of each row the one that is taken, or the only one with its weight."""
    reweighter = asked.fitted.reweighter
    if asked.sets is not None and asked.is_of_sets:
        return Drawn(asked.fitted.of_sets(asked.conditions, asked.normals, asked.sets))
    first = made[0]
    if reweighter is None:
        return Drawn(first.latents, unrefined=first.unrefined)
    weights = np.stack([reweighter.weights(one) for one in logits], axis=1)
    if asked.fitted.weights_events:
        return Drawn(first.latents, weights[:, 0], first.unrefined)
    chosen = taken(weights, ndtr(asked.normals[:, -1]))

    def of_chosen(candidates: Sequence[F32]) -> F32:
        return np.stack(candidates)[chosen, np.arange(len(chosen))]

    unrefined = [one.unrefined for one in made if one.unrefined is not None]
    return Drawn(
        of_chosen([one.latents for one in made]), unrefined=of_chosen(unrefined) if unrefined else None
    )
