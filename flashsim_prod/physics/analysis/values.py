"""What expressions of an analysis are made of: numbers of events, of objects, objects, and vectors."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection

F64 = NDArray[np.float64]


def holds(values: Any) -> Any:
    """Where a condition is true: numbers that are not 0, and none that are undefined."""
    return (values != 0) & (values == values)


@dataclass(frozen=True)
class PerEvent:
    """A number for each event; NaN where it has none."""

    values: F64


@dataclass(frozen=True)
class PerObject:
    """A number for each object."""

    counts: NDArray[np.int64]
    values: F64

    def goes_with(self, other: PerObject | Objects) -> bool:
        """Whether it is of as many objects in each event."""
        counts = other.counts if isinstance(other, PerObject) else other.collection.counts
        return self.counts is counts or np.array_equal(self.counts, counts)

    def at(self, place: int) -> PerEvent:
        """That of the object at a place of each event."""
        found = np.full(len(self.counts), np.nan)
        there = self.counts > place
        starts = np.cumsum(self.counts) - self.counts
        found[there] = self.values[starts[there] + place]
        return PerEvent(found)

    def select(self, mask: PerObject) -> PerObject:
        """Those of the objects for which `mask` is not 0."""
        kept = holds(mask.values)
        counts = np.bincount(self.event[kept], minlength=len(self.counts)).astype(np.int64)
        return PerObject(counts, self.values[kept])

    @property
    def event(self) -> NDArray[np.int64]:
        """The event of each object."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


@dataclass(frozen=True)
class Objects:
    """The objects of a collection, or some of them."""

    collection: Collection

    def select(self, mask: PerObject) -> Objects:
        """Those for which `mask` is not 0."""
        return Objects(self.collection.select(holds(mask.values)))


@dataclass(frozen=True)
class Vector:
    """A four-vector of each event [GeV]; NaN where it has none."""

    energy: F64
    x: F64
    y: F64
    z: F64

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.energy + other.energy, self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.energy - other.energy, self.x - other.x, self.y - other.y, self.z - other.z)


Value = np.float64 | PerEvent | PerObject | Objects | Vector

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    **{"+": operator.add, "-": operator.sub, "*": operator.mul, "/": np.divide, "%": np.mod},
    **{"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge},
    **{"==": operator.eq, "!=": lambda a, b: (a != b) & (a == a) & (b == b), "**": np.power},
    "&": lambda a, b: holds(a) & holds(b),
    "|": lambda a, b: holds(a) | holds(b),
}


def operate(symbol: str, one: Value, other: Value) -> Value:
    """Two values joined by an operator; `TypeError` for those that do not go together."""
    if isinstance(one, Vector) and isinstance(other, Vector) and symbol in "+-":
        return one + other if symbol == "+" else one - other
    return elementwise(_OPERATORS[symbol], f"'{symbol}'", one, other)


def elementwise(function: Callable[..., Any], what: str, *values: Any) -> Value:
    """A function of numbers, event by event or object by object; `TypeError` for anything else."""
    for one in values:
        if isinstance(one, Objects | Vector):
            kind = "objects" if isinstance(one, Objects) else "vectors"
            raise TypeError(f"{what} joins numbers, not {kind}")
    objects = [one for one in values if isinstance(one, PerObject)]
    if objects:
        if not all(objects[0].goes_with(one) for one in objects[1:]):
            raise TypeError(f"{what} joins numbers of different objects")
        numbers = [_of_objects(one, objects[0]) for one in values]
        return PerObject(objects[0].counts, _floats(function(*numbers), len(objects[0].values)))
    if any(isinstance(one, PerEvent) for one in values):
        n = next(len(one.values) for one in values if isinstance(one, PerEvent))
        numbers = [one.values if isinstance(one, PerEvent) else one for one in values]
        return PerEvent(_floats(function(*numbers), n))
    return np.float64(function(*values))


def _of_objects(value: Any, like: PerObject) -> Any:
    """A number for each object, of one for each event if it is that."""
    if isinstance(value, PerObject):
        return value.values
    return np.repeat(value.values, like.counts) if isinstance(value, PerEvent) else value


def _floats(found: Any, n: int) -> F64:
    return np.asarray(np.broadcast_to(found, n), dtype=np.float64)
