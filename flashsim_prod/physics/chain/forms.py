"""Forms of attributes that a flow learns easily where the attributes themselves are tied to each other.

Shares instead of parts that add up to one; and where an attribute is undefined, which another one says,
numbers like the defined ones, so that the flow need not learn where they begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Column

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


def filled(column: Column, known: Bools) -> Column:
    """`column` with its unknown entries replaced by known ones, taken in turn; as it is without any."""
    donors, wanting = np.flatnonzero(known), np.flatnonzero(~known)
    if not len(donors):
        return column
    complete = column.copy()
    complete[wanting] = column[donors[np.arange(len(wanting)) % len(donors)]]
    return complete


def shares(parts: Mapping[str, Column], order: Sequence[str]) -> dict[str, F64]:
    """Each part relative to itself and those after it in `order`; the last one's, always 1, is left out.

    Unlike fractions of the whole, shares are free of each other: any numbers in [0, 1] are legal. Where
    nothing is left to share the share is 0.
    """
    found: dict[str, F64] = {}
    tail = parts[order[-1]].astype(np.float64)
    for name in reversed(order[:-1]):
        tail = tail + parts[name]
        found[name] = np.divide(parts[name], tail, out=np.zeros_like(tail), where=tail > 0)
    return found


def parts(found: Mapping[str, F64], order: Sequence[str]) -> dict[str, F64]:
    """The parts of one whole from their shares; undoes `shares` up to the size of the whole."""
    made: dict[str, F64] = {}
    remaining = np.ones_like(found[order[0]])
    for name in order[:-1]:
        made[name] = found[name] * remaining
        remaining = remaining - made[name]
    made[order[-1]] = np.maximum(remaining, 0.0)
    return made
