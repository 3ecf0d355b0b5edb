"""The order of collections where the version that is written does not keep what they were ordered by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema

#: ordered by the momentum before calibration, which is pt over this
_CALIBRATED_BY = "eCorr"
_CALIBRATED = ("Electron", "Photon")


def in_order(events: Events, schema: Schema) -> Events:
    """`events` with electrons and photons in the order of pt if `schema` lacks what else they go by.

    All links to them follow.
    """
    for name in _CALIBRATED:
        if name in events.collections and f"{name}_{_CALIBRATED_BY}" not in schema.branches:
            events = _by_pt(events, name, schema)
    return events


def _by_pt(events: Events, name: str, schema: Schema) -> Events:
    one = events[name]
    order = one.order_by("pt")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    events = events.with_collections({name: one.sorted_by("pt")})
    for owner, other in events.collections.items():
        links = (key for key, targets in schema.links(owner).items() if name in targets and key in other)
        moved = {key: _moved(other[key], other, one, place) for key in links}
        if moved:
            events = events.with_collections({owner: other.with_columns(**moved)})
    return events


def _moved(
    link: NDArray[np.generic], source: Collection, target: Collection, place: NDArray[np.int64]
) -> NDArray[np.generic]:
    """The index in each event of what `link` names in `target`, whose objects have come to `place`."""
    start = target.starts[source.event_index]
    index = link.astype(np.int64)
    there = (index >= 0) & (index < target.counts[source.event_index])
    index[there] = place[(start + index)[there]] - start[there]
    return index.astype(link.dtype)
