"""What is asked of networks, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Task(StrEnum):
    """What a model's networks are asked for."""

    NUMBERS = "numbers"
    ATTRIBUTES = "attributes"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class Work:
    """Rows of one model.

    Attributes
    ----------
    model : str
    task : Task
    inputs : tuple of float32 arrays of shape (n, columns)
        Standardised conditions, and normal numbers where attributes are drawn; with attributes beside them in
        one array where these are to be weighted.
    """

    model: str
    task: Task
    inputs: tuple[F32, ...]

    def __len__(self) -> int:
        return len(self.inputs[0])


class Evaluator(Protocol):
    """Who has the networks of some models.

    Attributes
    ----------
    takes_many : bool
        Whether it is of use to ask for all at once that does not depend on each other.
    """

    takes_many: bool

    def prepare(self) -> None:
        """Do in advance what the first work of each model would wait for."""
        ...

    def evaluate(self, works: Sequence[Work]) -> list[F32]:
        """Of each work a row for a row: logits, or targets as normal numbers."""
        ...
