"""How far a sample can move what is known already: no farther than it shows more than its own noise.

A few hundred objects know a distribution to some per cent. Where the base is nearer than that, their
quantiles in its place would make it worse; the estimates here lie between both, as James and Stein's do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

#: objects that make a value a spike, and its share at least
_REPEATS, _SPIKE = 5, 1e-3
#: how near to a spike counts as on it: what is drawn is not rounded as it is stored
_NEAR = 1e-3


def share_of_base(column: NDArray[Any], weight: F64, drawn: F64, alike: float = 1.0) -> float:
    """How much of the base's distribution belongs into the estimate of a sample's, from 0 to 1.

    Parameters
    ----------
    column, weight : arrays of shape (n,)
        Values of the sample, and what they count for.
    drawn : array of shape (m,)
        What the base draws for the same objects, many more.
    alike : float
        How many objects are worth one: those of an event are alike.
    """
    order = np.argsort(column, kind="stable")
    values = column[order].astype(np.float64)
    below = np.concatenate(([0.0], np.cumsum(weight[order]) / weight.sum()))
    objects = float(weight.sum() ** 2 / np.sum(weight**2)) / alike
    places = np.sort(drawn)
    ours = below[np.searchsorted(values, places, side="right")]
    theirs = np.searchsorted(places, places, side="right") / len(places)
    common = (ours + theirs) / 2
    noise, apart = float(np.mean(common * (1 - common))) / objects, float(np.mean((ours - theirs) ** 2))
    share = 1.0 if apart == 0 else min(1.0, noise / apart)
    return min(share, _share_by_spikes(values, below, places, objects))


def _share_by_spikes(values: F64, below: F64, places: F64, objects: float) -> float:
    """The same by how often single values are taken: these hardly move a cumulative distribution."""
    spikes = _spikes(values, _REPEATS)
    spikes = np.union1d(spikes, _spikes(places, max(_REPEATS, math.ceil(_REPEATS * len(places) / objects))))
    if not len(spikes):
        return 1.0
    reach = _NEAR * np.abs(spikes)
    ours = below[np.searchsorted(values, spikes + reach, side="right")]
    ours -= below[np.searchsorted(values, spikes - reach, side="left")]
    theirs = (
        np.searchsorted(places, spikes + reach, side="right")
        - np.searchsorted(places, spikes - reach, side="left")
    ) / len(places)
    common = (ours + theirs) / 2
    variance = common * (1 - common) / objects
    pulls = np.divide((ours - theirs) ** 2, variance, out=np.zeros_like(variance), where=variance > 0)
    # the largest of so many by chance
    expected = 1.0 + 2.0 * math.log(len(spikes))
    return min(1.0, expected / max(float(pulls.max()), 1e-12))


def _spikes(values: F64, repeats: int) -> F64:
    found, counts = np.unique(values, return_counts=True)
    return np.asarray(found[counts >= max(repeats, _SPIKE * len(values))])


def trusted(gain: float, parameters: int) -> float:
    """Which part of the likeliest shift of so many parameters is believed.

    Parameters
    ----------
    gain : float
        Twice the logarithm of the likelihood, above that without a shift: by chance about `parameters`.
    """
    return max(0.0, gain) / (max(0.0, gain) + parameters)
