"""How far produced events are from real ones, attribute by attribute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from flashsim_prod.physics.events import Column, Events


def distances(produced: Events, real: Events, collections: Sequence[str] | None = None) -> dict[str, float]:
    """Kolmogorov-Smirnov distance of each branch that both have; of some collections only, if given."""
    of_real = dict(_branches(real, collections))
    return {
        name: _distance(ours, of_real[name])
        for name, ours in _branches(produced, collections)
        if name in of_real
    }


def _branches(events: Events, collections: Sequence[str] | None) -> Iterator[tuple[str, Column]]:
    if collections is None:
        yield from events.scalars.items()
    for prefix in sorted(events.collections) if collections is None else collections:
        yield f"n{prefix}", events[prefix].counts
        yield from ((f"{prefix}_{name}", column) for name, column in events[prefix].columns.items())


def _distance(ours: Column, theirs: Column) -> float:
    if not len(ours) or not len(theirs):
        return 0.0 if len(ours) == len(theirs) else 1.0
    return float(stats.ks_2samp(ours.astype(np.float64), theirs.astype(np.float64)).statistic)
