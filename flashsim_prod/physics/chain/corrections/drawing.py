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
    """What was drawn, and how much each of it counts for if the model weights it; ``None`` if it does not."""

    latents: F32
    weights: F64 | None = None


def draw(asked: Sequence[Asked], by: Evaluator) -> list[Drawn]:
    """Objects of several models at once, with the networks that `by` has, but for those drawn as sets."""
    works = [[] if one.is_of_sets else one.fitted.attributes(one.conditions, one.normals) for one in asked]
    latents = _as_asked(works, by)
    chances = [
        [one.fitted.chances(one.conditions, part) for part in parts] if one.fitted.reweighter else []
        for one, parts in zip(asked, latents, strict=True)
    ]
    found = _as_asked(chances, by)
    return [_drawn(*one) for one in zip(asked, latents, found, strict=True)]


def _as_asked(works: Sequence[Sequence[Work]], by: Evaluator) -> list[list[F32]]:
    """What comes of lists of works, evaluated together."""
    flat = [work for some in works for work in some]
    found = iter(by.evaluate(flat) if flat else [])
    return [[next(found) for _ in some] for some in works]


def _drawn(asked: Asked, latents: Sequence[F32], logits: Sequence[F32]) -> Drawn:
    """Of the candidates of each row the one that is taken, or the only one with its weight."""
    reweighter = asked.fitted.reweighter
    if asked.sets is not None and asked.is_of_sets:
        return Drawn(asked.fitted.of_sets(asked.conditions, asked.normals, asked.sets))
    if reweighter is None:
        return Drawn(latents[0])
    weights = np.stack([reweighter.weights(one) for one in logits], axis=1)
    if asked.fitted.weights_events:
        return Drawn(latents[0], weights[:, 0])
    chosen = taken(weights, ndtr(asked.normals[:, -1]))
    return Drawn(np.stack(latents)[chosen, np.arange(len(chosen))])
