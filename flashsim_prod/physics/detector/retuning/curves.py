"""Distributions as tables of quantiles, and values moved from one distribution to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.detector.draws import Floats

#: shares below which a distribution's values are told
_LEVELS = np.array([0.0, 0.003, 0.01, 0.025, *np.arange(0.05, 0.951, 0.05), 0.975, 0.99, 0.997, 1.0])
#: a value is told with its share from here on, and if there are no more than so many
_SPIKE, _FEW = 0.015, 24
#: significant digits of what is told
_DIGITS = 5
#: relative difference within which a value is the one that is told
_ROUNDED = 2e-5


@dataclass(frozen=True)
class Curve:
    """A distribution: the share of all that lies below each of some values.

    Attributes
    ----------
    share, value : tuples of float
        Both rising; a value that is there twice has the share between by itself.
    """

    share: tuple[float, ...]
    value: tuple[float, ...]

    @classmethod
    def of(cls, values: Floats) -> Curve:
        """The distribution of a sample."""
        ordered = np.sort(values.astype(np.float64))
        n = len(ordered)
        unique, first, counts = np.unique(ordered, return_index=True, return_counts=True)
        near = np.append(unique[1:], unique[-1:]), np.append(unique[:1], unique[:-1])
        spikes = (counts > max(_SPIKE * n, 4)) | (len(unique) <= _FEW)
        left, right = first[spikes] / n, (first + counts)[spikes] / n
        free = ~((_LEVELS[:, None] >= left) & (_LEVELS[:, None] <= right)).any(axis=1)
        levels = _LEVELS[free]
        at = np.quantile(ordered, levels) if len(levels) else levels
        shares = np.concatenate([left, right, levels])
        found = np.concatenate([unique[spikes], unique[spikes], at])
        # nothing lies between a spike and its neighbours
        shares, found = (
            np.concatenate(parts)
            for parts in ((shares, left, right), (found, near[1][spikes], near[0][spikes]))
        )
        order = np.lexsort((found, shares))
        told = [float(f"{one:.{_DIGITS}g}") for one in np.maximum.accumulate(found[order])]
        return cls(tuple(round(one, 5) for one in shares[order].tolist()), tuple(told))

    def below(self, rng: np.random.Generator, values: Floats) -> Floats:
        """The share below each of `values`, by chance within the share of a value that many have."""
        known, first = np.unique(self.value, return_index=True)
        last = np.append(first[1:], len(self.value)) - 1
        share = np.asarray(self.share)
        # what is told is rounded, up as well as down
        beyond = values + _ROUNDED * np.abs(values)
        place = np.clip(np.searchsorted(known, beyond, side="right") - 1, 0, len(known) - 1)
        after = np.minimum(place + 1, len(known) - 1)
        width = known[after] - known[place]
        along = np.clip((values - known[place]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
        between = share[last[place]] + along * (share[first[after]] - share[last[place]])
        within = share[first[place]] + rng.random(len(values)) * (share[last[place]] - share[first[place]])
        near = np.abs(values - known[place]) <= _ROUNDED * np.abs(known[place])
        return np.asarray(np.where(near & (first[place] < last[place]), within, between), np.float64)

    def at(self, share: Floats) -> Floats:
        """The values that these shares of all are below."""
        return np.asarray(np.interp(share, self.share, self.value))
