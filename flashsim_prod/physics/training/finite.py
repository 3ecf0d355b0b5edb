"""Rows to learn from without numbers that are not finite: which those are, and what was left out for them.

One such number among the values of an attribute would spoil all that is fitted to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import MissingBranchError
from flashsim_prod.physics.events import Column

Bools = NDArray[np.bool_]

#: so many columns are named in a line
_MOST_NAMED = 5


@dataclass(frozen=True)
class LeftOut:
    """What a table lacks because numbers were not finite.

    Attributes
    ----------
    sources, objects : int
        Left out; the objects of a source go with it.
    names : mapping of str to int
        How many numbers were not finite in each column where there were any.
    """

    sources: int = 0
    objects: int = 0
    names: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: LeftOut) -> LeftOut:
        names = sorted(self.names.keys() | other.names.keys())
        return LeftOut(
            self.sources + other.sources,
            self.objects + other.objects,
            {name: self.names.get(name, 0) + other.names.get(name, 0) for name in names},
        )

    def __bool__(self) -> bool:
        return bool(self.sources or self.objects)

    def told(self) -> str:
        """Which columns are not finite, and how often, in words."""
        most_first = sorted(self.names.items(), key=lambda one: (-one[1], one[0]))
        named = [f"{name} ({times:,})" for name, times in most_first[:_MOST_NAMED]]
        more = [f"{len(most_first) - _MOST_NAMED} more columns"] if len(most_first) > _MOST_NAMED else []
        return f"not finite: {', '.join(named + more)}"

    def to_json(self) -> str:
        """As text, for a table's notes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Undoes `to_json`; `ValueError` or `TypeError` if it is something else."""
        return cls(**json.loads(text))


class Noting(dict[str, Column]):
    """Columns that note which of them are looked at, and under what name they are known to the user."""

    def __init__(self, columns: Mapping[str, Column], known_as: str) -> None:
        super().__init__(columns)
        self._known_as = known_as
        self.used: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        column = super().__getitem__(name)
        self.used[self._known_as.format(name)] = column
        return column

    def __missing__(self, name: str) -> Column:
        known = self._known_as.format(name)
        raise MissingBranchError(f"the events have no branch {known}", known)


def finite(columns: Mapping[str, Column], n: int) -> tuple[Bools, dict[str, int]]:
    """Which of `n` rows are finite in all `columns`; and how many are not, for each where some are not."""
    good = np.ones(n, dtype=bool)
    names: dict[str, int] = {}
    for name, column in columns.items():
        if column.dtype.kind != "f":
            continue
        is_finite = np.isfinite(column)
        bad = n - int(np.count_nonzero(is_finite))
        if bad:
            names[name] = bad
            good &= is_finite
    return good, names
