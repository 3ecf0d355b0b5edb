"""Sets as arrays of one shape; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: places that the smallest sets are padded to
_FEWEST = 4


def padded_sets(sets: NDArray[np.int64], members: int) -> Iterator[NDArray[np.int64]]:
    """The positions of the members of each set, shape (sets, places), -1 where there is none.

    Sets come with those of about their size, in blocks whose shape depends on nothing else, so that what
    networks make of a set does not depend on the others.

    Parameters
    ----------
    sets : int64 array of shape (n_objects,)
        Which set an object is of.
    members : int
        Places of a block, about.
    """
    if not len(sets):
        return
    order = np.argsort(sets, kind="stable")
    _, first, size = np.unique(sets[order], return_index=True, return_counts=True)
    places = np.maximum(_FEWEST, 2 ** np.ceil(np.log2(size)).astype(np.int64))
    for width in np.unique(places).tolist():
        mine = np.flatnonzero(places == width)
        many = max(1, members // width)
        for start in range(0, len(mine), many):
            block = mine[start : start + many]
            found = np.full((many, width), -1, dtype=np.int64)
            rank = np.arange(width)
            inside = rank < size[block][:, None]
            found[: len(block)][inside] = order[(first[block][:, None] + rank)[inside]]
            yield found
