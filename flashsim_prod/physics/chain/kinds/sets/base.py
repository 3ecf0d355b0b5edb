"""What a kind of sets has to hold beside what every kind has, and sets as arrays of one shape."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flashsim_prod.physics.chain.kinds.base import Networks
from flashsim_prod.physics.chain.kinds.numbers import KindWithNumbers, WithClassifier

Sized = TypeVar("Sized", bound=WithClassifier)

#: places that the smallest sets are padded to
_FEWEST = 4


class KindOfSets(KindWithNumbers[Sized]):
    """A kind that sees all objects of a source while it draws them.

    What it draws for a set must depend on nothing but that set's conditions, size and normal numbers, and
    on the order of these only as far as it orders what is drawn.
    """

    @abstractmethod
    def sample_sets(self, networks: Networks, conditions: Tensor, normals: Tensor, present: Tensor) -> Tensor:
        """Targets as normal numbers, shape (sets, places, n_targets).

        Parameters
        ----------
        networks : mapping of name to torch module
        conditions : tensor of shape (sets, n_conditions)
        normals : tensor of shape (sets, places, n_normals)
        present : bool tensor of shape (sets, places)
            Which places hold a member; there may be sets without any.
        """


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
