"""What a histogram of oversampled events is filled with: entries of any kind of array, and their bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hist.axis import StrCategory
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


def flat_entries(
    values: Sequence[Any], gen_event: Any, weight: Any, oversample: Any
) -> tuple[list[NDArray[Any]], I64, F64]:
    """One flat array for each axis, and gen event and weight w / k of each entry.

    Entries of which anything is missing (None, or masked) are left out.

    Raises
    ------
    ValueError
        For lengths that do not go together, gen events that are no whole numbers, or less than one fold.
    """
    given = [*values, gen_event, weight, oversample]
    columns = _jagged(given, len(values)) if any(map(_is_jagged, given)) else _plain(given, len(values))
    *entries, gens, weights, folds = columns
    if len(folds) and folds.min() < 1:
        raise ValueError(f"oversample is a number of folds, at least 1, not {folds.min()}")
    return entries, _whole(gens), np.ascontiguousarray(weights.astype(np.float64) / folds)


def bins_of(axis: Any, column: NDArray[Any]) -> I64:
    """Bin of each value, from -1 where there is underflow; the overflow bin for unknown categories.

    As when `hist` fills; the index that its axes give knows no unknown whole number, and takes words for
    numbers and fractions for whole numbers.

    Raises
    ------
    TypeError
        For values of a kind that the axis has no bins for.
    """
    wants = "USO" if isinstance(axis, StrCategory) else "iub" if axis.traits.discrete else "iubf"
    if not len(column):
        return np.zeros(0, dtype=np.int64)
    if column.dtype.kind not in wants:
        kinds = {"USO": "words", "iub": "whole numbers", "iubf": "numbers"}
        name = f" '{axis.name}'" if axis.name else ""
        raise TypeError(f"the axis{name} ({type(axis).__name__}) takes {kinds[wants]}, not {column.dtype}")
    if axis.traits.ordered:
        return np.asarray(axis.index(column), dtype=np.int64)
    known = {axis.value(position): position for position in range(len(axis))}
    names, where = np.unique(column, return_inverse=True)
    found = [known.get(_word(name), len(axis)) for name in names.tolist()]
    return np.array(found, dtype=np.int64)[where]


def _word(name: Any) -> Any:
    return name.decode() if isinstance(name, bytes) else name


def _whole(gens: NDArray[Any]) -> I64:
    if gens.dtype.kind not in "iu" and not np.array_equal(gens, np.trunc(gens.astype(np.float64))):
        raise ValueError("gen_event holds numbers that are not whole")
    return gens.astype(np.int64, copy=False)


def _is_jagged(one: Any) -> bool:
    """Whether awkward has to take it: its own arrays, and lists of lists."""
    if type(one).__module__.partition(".")[0] in ("awkward", "coffea"):
        return True
    return _is_listed(one) and any(isinstance(inner, list | tuple | np.ndarray) for inner in one)


def _is_listed(one: Any) -> bool:
    return isinstance(one, list | tuple) or (isinstance(one, np.ndarray) and one.dtype.kind == "O")


def _plain(given: Sequence[Any], gen_position: int) -> list[NDArray[Any]]:
    """Flat arrays as they are, single values repeated, without the missing ones."""
    columns, there = zip(*map(_column, given), strict=True)
    length = len(columns[gen_position])
    for column in columns:
        _check_length(column.shape, length)
    kept = np.ones(length, dtype=bool)
    for flags in there:
        if flags is not None:
            kept &= flags
    whole = [np.broadcast_to(column, length) for column in columns]
    return whole if kept.all() else [column[kept] for column in whole]


def _check_length(shape: tuple[int, ...], length: int) -> None:
    if len(shape) != 1 or shape[0] not in (1, length):
        raise ValueError(f"an array of shape {shape} goes with no {length} gen events")


def _column(one: Any) -> tuple[NDArray[Any], Flags | None]:
    """An array of at least one dimension, and which of its entries are there, if some may be missing."""
    if isinstance(one, np.ma.MaskedArray):
        return np.atleast_1d(np.ma.getdata(one)), ~np.atleast_1d(np.ma.getmaskarray(one))
    if not _is_listed(one):
        return np.atleast_1d(np.asarray(one)), None
    if all(inner is not None and inner is not np.ma.masked for inner in one):
        return np.atleast_1d(np.asarray(list(one))), None
    flags = np.array([inner is not None and inner is not np.ma.masked for inner in one])
    # any value in place of what is missing, so that whole numbers and words stay what they are
    filler = next((inner for inner, is_there in zip(one, flags, strict=True) if is_there), 0)
    return np.asarray(
        [inner if is_there else filler for inner, is_there in zip(one, flags, strict=True)]
    ), flags


def _jagged(given: Sequence[Any], gen_position: int) -> list[NDArray[Any]]:
    """Arrays of which some are jagged, brought to one shape, without the missing values, and flattened."""
    import awkward as ak

    ready = [_awkward(one) for one in given]
    # awkward would repeat a single gen event for all
    length = len(ready[gen_position])
    for one in ready:
        if isinstance(one, ak.Array):
            _check_length((len(one),), length)
    arrays = ak.broadcast_arrays(*ready)
    there = ~ak.is_none(arrays[0], axis=-1)
    for one in arrays[1:]:
        there = there & ~ak.is_none(one, axis=-1)
    return [ak.to_numpy(ak.drop_none(ak.flatten(one[there], axis=None))) for one in arrays]


def _awkward(one: Any) -> Any:
    """An array that awkward can broadcast, missing values as its own; single values as they are."""
    import awkward as ak

    if _is_jagged(one):
        return ak.Array(one)
    if isinstance(one, str | bytes) or np.ndim(one) == 0:
        return one
    column, there = _column(one)
    made = ak.from_numpy(column)
    return made if there is None else ak.mask(made, there)
