"""What a kind of sets has to hold beside what every kind has."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from torch import Tensor

from flashsim_prod.physics.chain.kinds.base import Networks
from flashsim_prod.physics.chain.kinds.numbers import KindWithNumbers, WithClassifier

Sized = TypeVar("Sized", bound=WithClassifier)


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
