"""What can be learned from a file that lacks attributes: the targets that do not depend on them.

What a target is made of is written in formulas, many of which look at several attributes at once. They are
run with several different numbers in the place of what is lacking; a target that comes out the same to the
last bit each time is what it would be of the true ones, and the others are lacking, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.events import Column
from flashsim_prod.physics.nanoaod.schema import Branch
from flashsim_prod.physics.nanoaod.versions.names import declared_in
from flashsim_prod.physics.training.finite import Noting

#: how many different numbers are tried
_TRIES = 4


class _Filled(Noting):
    """Attributes of which those that are not there are numbers, others in each try."""

    def __init__(
        self, columns: Mapping[str, Column], known_as: str, n: int, attempt: int, version: str
    ) -> None:
        super().__init__(columns, known_as)
        self._n, self._attempt, self._version = n, attempt, version
        self.absent: dict[str, Column] = {}

    def __missing__(self, name: str) -> Column:
        branch = declared_in(self._version).branches.get(self._known_as.format(name))
        if branch is None:
            # nothing that NanoAOD has: an error of the declaration's
            super().__missing__(name)
        if name not in self.absent:
            assert branch is not None
            self.absent[name] = _numbers(branch, self._n, self._attempt)
        return self.absent[name]


def _numbers(branch: Branch, n: int, attempt: int) -> Column:
    """Numbers that a branch could have; the same everywhere in the first two tries."""
    rng = np.random.default_rng([attempt, *branch.name.encode()])
    if branch.legal is not None:
        legal = np.array(branch.legal)
        chosen = np.full(n, attempt % len(legal)) if attempt < 2 else rng.integers(0, len(legal), n)
        return legal[chosen].astype(branch.dtype)
    if branch.dtype.kind != "f":
        return (np.full(n, attempt) if attempt < 2 else rng.integers(0, 2 + 8 * (attempt - 2), n)).astype(
            branch.dtype
        )
    drawn = np.full(n, float(attempt)) if attempt < 2 else rng.uniform(-3.0, 10.0 * (attempt - 1), n)
    return drawn.astype(branch.dtype)


def partial_targets(
    model: ObjectModel, attributes: Mapping[str, Column], rows: Rows, known_as: str
) -> tuple[dict[str, Column], dict[str, Column], tuple[str, ...]]:
    """Targets that depend on nothing that is lacking, the columns they were made of, and what is lacking.

    Parameters
    ----------
    attributes : mapping
        Those that the file has, of objects that stand beside their `rows`.
    known_as : str
        The full name of an attribute, with a place for it: ``Jet_{}``.

    Raises
    ------
    MissingBranchError
        If the sources lack something.
    """
    made: list[dict[str, Column]] = []
    used: dict[str, Column] = {}
    absent: dict[str, None] = {}
    for attempt in range(_TRIES):
        filled = _Filled(attributes, known_as, len(rows), attempt, model.version)
        columns = Noting(rows.columns, "source {}")
        made.append(model.express_targets(filled, replace(rows, columns=columns)))
        used |= columns.used | filled.used
        absent |= dict.fromkeys(known_as.format(name) for name in filled.absent)
    same = [name for name, column in made[0].items() if all(_equal(column, one[name]) for one in made[1:])]
    if not len(rows):
        # no object tells what depends on what; only what is plainly lacking is left out
        same = [name for name in same if known_as.format(name) not in absent]
    for group in model.inseparable:
        if not group <= set(same):
            same = [name for name in same if name not in group]
    return (
        {name: made[0][name] for name in same},
        {name: column for name, column in used.items() if name not in absent},
        tuple(sorted(absent)),
    )


def _equal(one: Column, other: Column) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
