"""What becomes of a column when it is stored: its type, and the mantissa bits that are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import EventsError
from flashsim_prod.physics.events import Column
from flashsim_prod.physics.nanoaod.schema import FULL_PRECISION, Branch

_EXPONENT = np.uint32(0x7F800000)


def as_stored(branch: Branch, column: Column) -> Column:
    """`column` with the type and the precision of `branch`.

    Raises
    ------
    EventsError
        A value does not fit the type: a fraction or NaN in an integer branch, or a number out of range.
    """
    if branch.is_carried and branch.dtype.kind == "f":
        return column.astype(branch.dtype, copy=False)
    if branch.dtype.kind == "f":
        stored = column.astype(np.float32, copy=False)
        return stored if branch.precision is None else rounded(stored, branch.precision)
    if column.dtype == branch.dtype:
        return column
    with np.errstate(invalid="ignore"):
        cast = column.astype(branch.dtype)
    # compared as they were: 300 is not 44, 0.5 is not 0, 2 is not True
    changed = np.flatnonzero(cast != column)
    if len(changed):
        raise EventsError(f"{branch.name}: {column[changed[0]]} does not fit the type {branch.dtype}")
    return cast


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """float32 `values` with `bits` mantissa bits kept, to nearest and ties to even; the rest is zero.

    Zero bits compress well; ten bits are a relative error of at most 2**-11. Infinity and NaN stay.
    """
    drop = FULL_PRECISION - bits
    if drop <= 0:
        return values
    pattern = values.view(np.uint32)
    last = (pattern >> np.uint32(drop)) & np.uint32(1)
    result = pattern + (np.uint32((1 << (drop - 1)) - 1) + last)
    result &= np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)
    special = (pattern & _EXPONENT) == _EXPONENT
    if special.any():
        result[special] = pattern[special]
    return result.view(np.float32)
