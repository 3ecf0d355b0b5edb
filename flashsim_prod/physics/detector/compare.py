"""Produced events beside real ones: quantiles, spikes and discrete values of every attribute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flashsim_prod.physics.detector.draws import Floats
from flashsim_prod.physics.events import Column, Events

#: the quantiles shown
LEVELS = (0.01, 0.10, 0.50, 0.90, 0.99)

#: a value held by at least this share of the objects is a spike
_SPIKE = 0.03

#: integer attributes with at most this many values are listed value by value
_MAX_VALUES = 16


@dataclass(frozen=True)
class Summary:
    """One attribute of one sample.

    Attributes
    ----------
    n : int
        Objects, or events for a scalar.
    quantiles : tuple of float
        At `LEVELS`; empty without objects.
    shares : mapping of value to float
        Share of the objects at each spike; for integers and flags with few values, at each value.
    """

    n: int
    quantiles: tuple[float, ...]
    shares: dict[float, float]


@dataclass(frozen=True)
class Row:
    """One attribute in both samples; `distance` is the Kolmogorov-Smirnov distance between them."""

    name: str
    produced: Summary
    reference: Summary
    distance: float


@dataclass(frozen=True)
class QuantileTable:
    """All attributes that both samples have; ``print`` it to read it."""

    rows: tuple[Row, ...]

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def worst_first(self) -> QuantileTable:
        """The same rows, the most different attributes first."""
        return QuantileTable(tuple(sorted(self.rows, key=lambda row: -row.distance)))

    def __str__(self) -> str:
        return "\n".join(line for row in self.rows for line in _lines(row))


def quantile_table(
    produced: Events, reference: Events, *, collections: Sequence[str] | None = None
) -> QuantileTable:
    """Compare each attribute that both samples have.

    Parameters
    ----------
    produced, reference : Events
        Not necessarily of the same events; collections are compared object by object.
    collections : sequence of str, optional
        Only these collections, and no scalars.
    """
    of_reference = dict(_attributes(reference, collections))
    rows = [
        Row(name, _summary(ours), _summary(theirs), _distance(ours, theirs))
        for name, ours in _attributes(produced, collections)
        if (theirs := of_reference.get(name)) is not None
    ]
    return QuantileTable(tuple(rows))


def _attributes(events: Events, collections: Sequence[str] | None) -> Iterator[tuple[str, Column]]:
    if collections is None:
        yield from sorted(events.scalars.items())
    for prefix in sorted(events.collections) if collections is None else collections:
        yield f"n{prefix}", events[prefix].counts
        yield from sorted((f"{prefix}_{name}", column) for name, column in events[prefix].columns.items())


def _summary(column: Column) -> Summary:
    if not len(column):
        return Summary(0, (), {})
    quantiles = tuple(np.quantile(_real(column), LEVELS).tolist())
    values, counts = np.unique(column, return_counts=True)
    listed = np.ones(len(values), bool) if _is_listed(column, values) else counts >= _SPIKE * len(column)
    shares = {
        float(value): count / len(column) for value, count in zip(values[listed], counts[listed], strict=True)
    }
    return Summary(len(column), quantiles, shares)


def _is_listed(column: Column, values: NDArray[np.generic]) -> bool:
    return column.dtype.kind in "biu" and len(values) <= _MAX_VALUES


def _distance(ours: Column, theirs: Column) -> float:
    if not len(ours) or not len(theirs):
        return 0.0 if len(ours) == len(theirs) else 1.0
    return float(stats.ks_2samp(_real(ours), _real(theirs)).statistic)


def _real(column: Column) -> Floats:
    return np.asarray(column, dtype=np.float64)


def _lines(row: Row) -> list[str]:
    head = f"{row.name:34s} D={row.distance:5.3f}"
    lines = []
    for label, summary in (("produced", row.produced), ("reference", row.reference)):
        quantiles = " ".join(f"{value:10.4g}" for value in summary.quantiles)
        common = sorted(summary.shares.items(), key=lambda item: -item[1])[:8]
        shares = " ".join(f"{value:g}:{share:.2f}" for value, share in sorted(common))
        lines.append(f"{head:42s} {label:9s} {quantiles}  {shares}".rstrip())
        head = ""
    return lines
