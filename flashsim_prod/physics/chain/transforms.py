"""Attributes to what a network likes, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: a value that more than this fraction of the sample takes exactly is a spike, not part of a continuum
SPIKE = 1e-3
#: and so often at least: in a small sample every value is more than such a fraction
_REPEATS = 5
_QUANTILES = 200
_GAPS = 20
#: cumulative probabilities stay this far from 0 and 1: about 4.9 standard deviations
EDGE = 5e-7


@dataclass(frozen=True)
class Gaussianiser:
    """A one-to-one map between an attribute's distribution and the standard normal.

    The cumulative distribution is kept as knots, joined by straight lines. A spike, an integer or a
    category is a step: two knots with one value, owning a slice of the probability. Going forward, a
    value on a step is spread evenly over its slice (dequantisation); going back, every number of the
    slice gives the value exactly, so discrete attributes come out legal.

    Attributes
    ----------
    cdf, value : float32 arrays of shape (n_knots,)
        Both non-decreasing, `cdf` from 0 to 1.
    """

    cdf: F32
    value: F32

    @classmethod
    def fit(cls, sample: NDArray[np.generic], weight: F64 | None = None) -> Self:
        """The map for the distribution of `sample`, shape (n,); whole numbers and booleans become steps.

        Values count as `weight`, of the same shape, says, all alike by default.
        """
        values, place, counts = np.unique(sample.astype(np.float32), return_inverse=True, return_counts=True)
        sums = counts if weight is None else np.bincount(place, weight, len(values))
        upper = np.cumsum(sums) / sums.sum()
        lower = np.concatenate(([0.0], upper[:-1]))
        alone = _beside_gaps(values)
        # what stands apart, such as what is put where nothing is known, needs only to be there twice
        step = (sums > SPIKE * sums.sum()) & (counts >= np.where(alone, 2, _REPEATS))
        if sample.dtype.kind in "iub" or len(values) <= 2 or np.all(values == np.round(values)):
            step[:] = True
        keep = step | _at_quantiles((lower + upper) / 2) | alone
        # the neighbours of a step bound the gap around it, in which nothing was seen
        after, before = np.zeros_like(step), np.zeros_like(step)
        after[1:], before[:-1] = step[:-1], step[1:]
        left = np.where(step | after, lower, (lower + upper) / 2)
        right = np.where(step | before, upper, (lower + upper) / 2)
        left[0], right[-1] = 0.0, 1.0
        keep |= after | before
        edges = np.stack((left, right), axis=1)[keep]
        distinct = np.stack((np.full(len(edges), True), edges[:, 1] > edges[:, 0]), axis=1).ravel()
        return cls(edges.ravel()[distinct].astype(np.float32), np.repeat(values[keep], 2)[distinct])

    def levels(self, values: NDArray[np.generic]) -> tuple[F64, F64]:
        """The slice of cumulative probability that each value owns: its lower and its upper end.

        Both are the same where the distribution is continuous.
        """
        x = values.astype(np.float32)
        first = np.searchsorted(self.value, x, side="left")
        last = np.searchsorted(self.value, x, side="right")
        top = len(self.value) - 1
        below, above = np.clip(first - 1, 0, top), np.clip(first, 0, top)
        width = self.value[above] - self.value[below]
        part = np.divide(x - self.value[below], width, out=np.zeros_like(x), where=width > 0)
        between = self.cdf[below] + part * (self.cdf[above] - self.cdf[below])
        on_knot = last > first
        lower = np.where(on_knot, self.cdf[above], between).astype(np.float64)
        upper = np.where(on_knot, self.cdf[np.clip(last - 1, 0, top)], between).astype(np.float64)
        return np.clip(lower, EDGE, 1 - EDGE), np.clip(upper, EDGE, 1 - EDGE)

    def from_normal(self, normal: NDArray[np.floating]) -> F64:
        """Attribute values for normal-distributed numbers; never outside the range fitted."""
        values: F64 = np.interp(ndtr(normal.astype(np.float64)), self.cdf, self.value)
        return values

    def calibrated(self, drawn: NDArray[np.floating]) -> Gaussianiser:
        """The map that gives the distribution which it was fitted to for numbers distributed as `drawn`.

        Only for what is drawn: networks go on learning by the map as it was. Shape (n,), any order.
        """
        found = np.quantile(ndtr(drawn.astype(np.float64)), self.cdf.astype(np.float64))
        # what was seen in none of so few is still there
        cdf = np.where(self.cdf <= 0, 0.0, np.where(self.cdf >= 1, 1.0, found))
        return Gaussianiser(np.maximum.accumulate(cdf).astype(np.float32), self.value)


def _at_quantiles(level: F64) -> NDArray[np.bool_]:
    """Which of the sorted values at cumulative `level` stand nearest to a grid that is dense in the tails."""
    grid = ndtr(np.linspace(-4.5, 4.5, _QUANTILES))
    keep = np.zeros(len(level), dtype=bool)
    keep[
        np.clip(
            np.searchsorted(level, np.concatenate((grid, np.linspace(0, 1, _QUANTILES)))), 0, len(level) - 1
        )
    ] = True
    keep[[0, -1]] = True
    return keep


def _beside_gaps(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which of the sorted values stand at either end of the widest gaps, which no line should bridge."""
    widest = np.argsort(-np.diff(values))[:_GAPS]
    keep = np.zeros(len(values), dtype=bool)
    keep[widest] = keep[widest + 1] = True
    return keep


#: how far, in standard deviations, a condition may lie from the training sample's mean
_FAR = 8.0


@dataclass(frozen=True)
class Standardiser:
    """Conditions scaled to zero mean and unit width, clipped far outside.

    Attributes
    ----------
    mean, width : float64 arrays of shape (n_conditions,)
    """

    mean: F64
    width: F64

    @classmethod
    def fit(cls, conditions: NDArray[np.floating]) -> Self:
        """From conditions of shape (n, n_conditions); constant ones keep their scale."""
        width = conditions.std(axis=0, dtype=np.float64)
        return cls(conditions.mean(axis=0, dtype=np.float64), np.where(width > 1e-9, width, 1.0))

    def __call__(self, conditions: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.clip((conditions - self.mean) / self.width, -_FAR, _FAR).astype(np.float32)
