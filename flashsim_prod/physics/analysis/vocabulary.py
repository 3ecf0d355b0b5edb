"""The functions that expressions of an analysis can call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashsim_prod.physics.analysis.values import (
    F64,
    Objects,
    PerEvent,
    PerObject,
    Value,
    Vector,
    elementwise,
    holds,
)
from flashsim_prod.physics.definitions.links import close_pairs, delta_phi

#: most objects of an event that a place is asked for
_LAST_PLACE = 50


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes
    ----------
    usage : str
        How it is called, for messages and the documents.
    title : str
        What it gives.
    compute : callable
    takes : tuple of types
        Of its arguments.
    """

    usage: str
    title: str
    compute: Callable[..., Value]
    takes: tuple[Any, ...]

    def __call__(self, *values: Value) -> Value:
        """Its value; `TypeError` for arguments that it does not take."""
        if len(values) != len(self.takes):
            raise TypeError(f"{len(values)} arguments, not {len(self.takes)}")
        for place, (value, kind) in enumerate(zip(values, self.takes, strict=True), start=1):
            if not isinstance(value, kind):
                raise TypeError(f"argument {place} is of another kind")
        return self.compute(*values)


_NUMBER = (np.float64, PerEvent, PerObject)


def _plain(function: Callable[..., Any], name: str) -> Callable[..., Value]:
    return lambda *values: elementwise(function, f"{name}()", *values)


def _count(objects: Objects | PerObject) -> Value:
    counts = objects.counts if isinstance(objects, PerObject) else objects.collection.counts
    return PerEvent(counts.astype(np.float64))


def _sum(column: PerObject) -> Value:
    return PerEvent(np.bincount(column.event, column.values, minlength=len(column.counts)).astype(np.float64))


def _most(column: PerObject) -> Value:
    found = np.full(len(column.counts), -np.inf)
    np.fmax.at(found, column.event, column.values)
    return PerEvent(np.where(np.isfinite(found), found, np.nan))


def _least(column: PerObject) -> Value:
    turned = _most(PerObject(column.counts, -column.values))
    assert isinstance(turned, PerEvent)
    return PerEvent(-turned.values)


def _any(column: PerObject) -> Value:
    inside = np.bincount(column.event, holds(column.values), minlength=len(column.counts))
    return PerEvent((inside > 0).astype(np.float64))


def _p4(objects: Objects, place: np.float64) -> Value:
    if not place.is_integer() or not 0 <= place < _LAST_PLACE:
        raise TypeError("a place is a whole number from 0 on")
    one = objects.collection
    known = {"pt", "eta", "phi"} - one.columns.keys()
    if known:
        raise TypeError(f"{one.name or 'these objects'} has no {min(known)}")

    def at(name: str) -> F64:
        # asked for by name, so that it is known which columns are needed
        return PerObject(one.counts, one[name].astype(np.float64)).at(int(place)).values

    mass = at("mass") if "mass" in one else np.zeros(one.n_events)
    return _cartesian(at("pt"), at("eta"), at("phi"), mass)


def _cartesian(pt: F64, eta: F64, phi: F64, mass: F64) -> Vector:
    x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return Vector(np.sqrt(x**2 + y**2 + z**2 + mass**2), x, y, z)


def _transverse(pt: PerEvent, phi: PerEvent) -> Value:
    zero = np.zeros(len(pt.values))
    return _cartesian(pt.values, zero, phi.values, zero)


def _mass(one: Vector) -> Value:
    return PerEvent(np.sqrt(np.maximum(one.energy**2 - one.x**2 - one.y**2 - one.z**2, 0.0)))


def _transverse_mass(one: Vector, other: Vector) -> Value:
    angle = delta_phi(np.arctan2(one.y, one.x), np.arctan2(other.y, other.x))
    squared = 2 * np.hypot(one.x, one.y) * np.hypot(other.x, other.y) * (1 - np.cos(angle))
    return PerEvent(np.sqrt(squared))


def _delta_phi(one: Vector, other: Vector) -> Value:
    return PerEvent(np.abs(delta_phi(np.arctan2(one.y, one.x), np.arctan2(other.y, other.x))))


def _delta_r(one: Vector, other: Vector) -> Value:
    angle = delta_phi(np.arctan2(one.y, one.x), np.arctan2(other.y, other.x))
    return PerEvent(np.hypot(_eta(one) - _eta(other), angle))


def _eta(one: Vector) -> F64:
    return np.asarray(np.arcsinh(one.z / np.maximum(np.hypot(one.x, one.y), 1e-9)))


def _away_from(objects: Objects, others: Objects, distance: np.float64) -> Value:
    for one in (objects, others):
        # asked for by name even where there is nothing, so that it is known which columns are needed
        for column in ("eta", "phi"):
            one.collection[column]
    near, _, _ = close_pairs(objects.collection, others.collection, float(distance))
    kept = np.ones(objects.collection.n_objects, dtype=bool)
    kept[near] = False
    return Objects(objects.collection.select(kept))


def _where(condition: F64, one: F64, other: F64) -> Any:
    return np.where(holds(condition), one, other)


def _sorted(objects: Objects, column: PerObject) -> Value:
    if not column.goes_with(objects):
        raise TypeError("the column is of other objects")
    key = objects.collection.with_columns(_key=column.values)
    return Objects(key.sorted_by("_key"))


_NUMBERS = ("abs", "sqrt", "log", "exp", "cos", "sin", "cosh", "sinh")
_TABLE = (
    *(
        Function(f"{name}(number)", f"{name} of numbers", _plain(getattr(np, name), name), (_NUMBER,))
        for name in _NUMBERS
    ),
    Function("minimum(number, number)", "the smaller one", _plain(np.fmin, "minimum"), (_NUMBER, _NUMBER)),
    Function("maximum(number, number)", "the larger one", _plain(np.fmax, "maximum"), (_NUMBER, _NUMBER)),
    Function(
        "where(condition, number, number)",
        "the first number where the condition holds, else the second",
        _plain(_where, "where"),
        (_NUMBER, _NUMBER, _NUMBER),
    ),
    Function("count(objects)", "how many there are in an event", _count, ((Objects, PerObject),)),
    Function("sum(column)", "sum over the objects of an event, 0 of none", _sum, (PerObject,)),
    Function("most(column)", "the largest of an event", _most, (PerObject,)),
    Function("least(column)", "the smallest of an event", _least, (PerObject,)),
    Function("any(condition)", "whether it holds for any object of an event", _any, (PerObject,)),
    Function(
        "p4(objects, place)", "four-vector of the object at a place, from 0", _p4, (Objects, np.float64)
    ),
    Function("transverse(pt, phi)", "vector of a transverse momentum", _transverse, (PerEvent, PerEvent)),
    Function("mass(vector)", "invariant mass [GeV]", _mass, (Vector,)),
    Function("pt(vector)", "transverse momentum [GeV]", lambda v: PerEvent(np.hypot(v.x, v.y)), (Vector,)),
    Function("eta(vector)", "pseudorapidity", lambda v: PerEvent(_eta(v)), (Vector,)),
    Function("phi(vector)", "azimuth", lambda v: PerEvent(np.arctan2(v.y, v.x)), (Vector,)),
    Function("rapidity(vector)", "rapidity", lambda v: PerEvent(np.arctanh(v.z / v.energy)), (Vector,)),
    Function(
        "delta_phi(vector, vector)",
        "angle between them in azimuth, from 0 to pi",
        _delta_phi,
        (Vector, Vector),
    ),
    Function("delta_r(vector, vector)", "distance in eta and phi", _delta_r, (Vector, Vector)),
    Function(
        "mt(vector, vector)", "transverse mass of two massless ones [GeV]", _transverse_mass, (Vector, Vector)
    ),
    Function(
        "away_from(objects, objects, distance)",
        "those of the first farther than this from any of the second",
        _away_from,
        (Objects, Objects, np.float64),
    ),
    Function(
        "sorted(objects, column)",
        "the objects of each event, the largest first",
        _sorted,
        (Objects, PerObject),
    ),
)

#: by name
FUNCTIONS: Mapping[str, Function] = {one.usage.partition("(")[0]: one for one in _TABLE}
