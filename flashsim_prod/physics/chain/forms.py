"""Forms of attributes that a flow learns easily where the attributes themselves are tied to each other.

Shares instead of parts that add up to one; and where an attribute is undefined, which another one says,
numbers like the defined ones, so that the flow need not learn where they begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Column

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: with fewer values to learn from, no trend is fitted
_FEWEST = 10


class AsFloats(Mapping[str, F64]):
    """Columns as float64, each made when it is asked for: what is not used is not looked at."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._made: dict[str, F64] = {}

    def __getitem__(self, name: str) -> F64:
        if name not in self._made:
            self._made[name] = self._columns[name].astype(np.float64)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def as_drawn(drawn: Mapping[str, F64], names: Sequence[str]) -> dict[str, Column]:
    """Those of `names` that were drawn, as they are: weights lack attributes that were declared later."""
    return {name: drawn[name] for name in names if name in drawn}


class Fills:
    """Columns that were completed, and which of their entries nobody knows."""

    def __init__(self) -> None:
        # held, so that no other column can have the same identity
        self._columns: dict[int, tuple[Column, Bools]] = {}

    def add(self, column: Column, unknown: Bools) -> None:
        """Note a completed column."""
        self._columns[id(column)] = (column, unknown)

    def of(self, columns: Mapping[str, Column]) -> dict[str, Bools]:
        """Where `columns` hold what only stands in, by name; those without such entries are not there."""
        found = {name: self._columns[id(one)][1] for name, one in columns.items() if id(one) in self._columns}
        return {name: unknown for name, unknown in found.items() if unknown.any()}


_noted: ContextVar[Fills | None] = ContextVar("noted", default=None)


@contextmanager
def noting_fills() -> Iterator[Fills]:
    """Which entries of columns made meanwhile stand in for unknown ones: they are nothing that was seen."""
    fills = Fills()
    token = _noted.set(fills)
    try:
        yield fills
    finally:
        _noted.reset(token)


def _note(column: Column, unknown: Bools) -> None:
    if (fills := _noted.get()) is not None:
        fills.add(column, unknown)


def filled(column: Column, known: Bools, *, seed: int | None = None) -> Column:
    """`column` with its unknown entries replaced by known ones, taken in turn; zeros without any.

    Of columns that are known for the same objects, one object lends several to another one, and the same
    again and again: such pairs of numbers are told from drawn ones where few bits are stored. With a `seed`
    of its own for each column what is lent is shuffled, and comes from an object for each.
    """
    lent = column[known]
    complete = column.copy() if len(lent) else np.zeros_like(column)
    if len(lent):
        in_turn = np.resize(lent, int((~known).sum()))
        complete[~known] = in_turn if seed is None else np.random.default_rng(seed).permutation(in_turn)
    _note(complete, ~known)
    return complete


def filled_along(values: Column, defined: Bools, along: Column) -> F64:
    """`values` with those that are not `defined` replaced by plausible ones, as if they were everywhere.

    So the flow learns one smooth distribution, without a spike whose probability jumps.

    Parameters
    ----------
    values, along : arrays of shape (n,)
        `along` is defined everywhere; the trend of `values` along it is kept.
    defined : bool array of shape (n,)

    Returns
    -------
    float64 array of shape (n,)
        A fill is the trend, a straight line, plus the residual of a defined value chosen by chance (always
        the same for the same input), within the range of the defined values.
    """
    result = values.astype(np.float64)
    _note(result, ~defined)
    known, missing = np.flatnonzero(defined), np.flatnonzero(~defined)
    if not len(known):
        result[missing] = 0.0
        return result
    x, y = along[known].astype(np.float64), result[known]
    slope = np.cov(x, y)[0, 1] / x.var(ddof=1) if len(known) >= _FEWEST and np.ptp(x) > 0 else 0.0
    lender = np.random.default_rng(0).integers(0, len(known), len(missing))
    trend = slope * (along[missing].astype(np.float64) - x[lender])
    result[missing] = np.clip(y[lender] + trend, y.min(), y.max())
    return result


#: of so many defined objects that are alike, one lends its values
_ALIKE = 8


def lenders(defined: Bools, like: Sequence[Column]) -> NDArray[np.int64]:
    """Of each object another one that is `defined` and much like it, itself where it is.

    What is lent by one object goes together, and with what the objects are alike in, as it does where it is
    defined.

    Parameters
    ----------
    defined : bool array of shape (n,)
    like : arrays of shape (n,)
        What they are to be alike in, on one scale.

    Returns
    -------
    int64 array of shape (n,)
        One of the nearest, by chance (always the same for the same input); -1 if none is defined.
    """
    # declarations are loaded by whoever looks at a bundle, which needs no scipy
    from scipy.spatial import cKDTree

    lender = np.arange(len(defined))
    known, missing = np.flatnonzero(defined), np.flatnonzero(~defined)
    if not len(known) or not len(missing):
        lender[missing] = -1
        return lender
    # objects with numbers that are not finite are left out later, with a word
    place = np.nan_to_num(np.stack(like, axis=1).astype(np.float64))
    number = min(_ALIKE, len(known))
    near = cKDTree(place[known]).query(place[missing], k=[*range(1, number + 1)])[1]
    chosen = np.random.default_rng(0).integers(0, number, len(missing))
    lender[missing] = known[near[np.arange(len(missing)), chosen]]
    return lender


def borrowed(values: Column, lender: NDArray[np.int64]) -> F64:
    """`values` of the `lenders`; zero if there is none."""
    result = np.where(lender >= 0, values[lender].astype(np.float64), 0.0)
    _note(result, lender != np.arange(len(lender)))
    return result


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
