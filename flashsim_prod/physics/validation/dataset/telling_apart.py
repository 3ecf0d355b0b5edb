"""Whether a classifier tells two samples apart: by the objects of a collection, by whole events.

A page of distributions can be green while any network sees at once which sample an object is from. This is
what such a network sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.validation.dataset.figures import ToldApart
from flashsim_prod.physics.validation.dataset.samples import Sample, is_generator_level
from flashsim_prod.physics.validation.statistics.c2st import Matrix, tell_apart
from flashsim_prod.physics.validation.statistics.distances import F64, I64

#: rows, and generator events, of either sample below which nothing is said
MIN_ROWS, MIN_GEN = 60, 40
#: rows of either sample that are looked at
_MOST_ROWS = 20_000
#: objects of a collection, from the first on, that count as kinematics of the event
_LEADING = 3
_KINEMATICS = ("pt", "eta", "mass", "dlen")
#: whose mass is that of the particle, or rounding
_LIGHT = ("Electron", "Muon", "Photon", "FsrPhoton", "LowPtElectron", "IsoTrack")
_SEED = 2027


def objects_told_apart(
    name: str, attributes: Sequence[str], sample: Sample, reference: Sample
) -> ToldApart | None:
    """How well a collection's objects are told apart by all attributes; None if there are too few."""
    matrices, gens, weights = [], [], []
    for one in (sample, reference):
        objects = one.events[name]
        matrices.append(_columns([objects[attribute] for attribute in attributes], objects.n_objects))
        gens.append(one.gen[objects.event_index])
        weights.append(one.size_of_weight[objects.event_index])
    return _told(matrices, gens, weights, attributes)


def events_told_apart(sample: Sample, reference: Sample) -> ToldApart | None:
    """How well whole events are told apart by numbers of objects, leading objects and sums."""
    both = [_features(one.events) for one in (sample, reference)]
    names = sorted(both[0].keys() & both[1].keys())
    sizes = (sample.events.n, reference.events.n)
    matrices = [_columns([one[name] for name in names], n) for one, n in zip(both, sizes, strict=True)]
    weights = [one.size_of_weight for one in (sample, reference)]
    return _told(matrices, [sample.gen, reference.gen], weights, names)


def _features(events: Events) -> dict[str, Matrix]:
    """What an event looks like from afar; NaN where it has no such object."""
    found: dict[str, Matrix] = {}
    for name, objects in events.collections.items():
        if not is_generator_level(name):
            found |= _of_collection(name, objects, events)
    for name, column in events.scalars.items():
        if not is_generator_level(name) and name[1:] not in events.collections:
            found[name] = column.astype(np.float32)
    return found


def _of_collection(name: str, objects: Collection, events: Events) -> dict[str, Matrix]:
    found: dict[str, Matrix] = {f"n{name}": objects.counts.astype(np.float32)}
    for place in range(_LEADING):
        where = np.flatnonzero(objects.counts > place)
        rows = objects.starts[where] + place
        for attribute in _KINEMATICS:
            if attribute in objects and not (attribute == "mass" and name in _LIGHT):
                found[f"{name}_{attribute}[{place}]"] = _spread(objects[attribute][rows], where, events.n)
        if "phi" in objects and "MET_phi" in events.scalars:
            # one direction says nothing, the angle between two does
            angle = objects["phi"][rows].astype(np.float64) - events.scalars["MET_phi"][where]
            away = np.abs(np.arctan2(np.sin(angle), np.cos(angle)))
            found[f"angle of {name}[{place}] to MET"] = _spread(away, where, events.n)
    return found


def _spread(values: Matrix, where: I64, n: int) -> Matrix:
    column = np.full(n, np.nan, dtype=np.float32)
    column[where] = values
    return column


def _columns(columns: Sequence[Matrix], n: int) -> Matrix:
    matrix = np.empty((n, len(columns)), dtype=np.float32)
    for place, column in enumerate(columns):
        # beyond single precision: as good as missing
        with np.errstate(over="ignore"):
            matrix[:, place] = column
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix


def _told(
    matrices: list[Matrix], gens: list[I64], weights: list[F64], names: Sequence[str]
) -> ToldApart | None:
    most = min(_MOST_ROWS, *(4 * len(one) for one in matrices))
    # as many rows of both, those that come first
    first, second = (one[:most] for one in matrices)
    gen, other_gen = (one[:most] for one in gens)
    weight, other = (one[:most] for one in weights)
    rows = (len(first), len(second))
    if not names or min(rows) < MIN_ROWS or min(len(np.unique(one)) for one in (gen, other_gen)) < MIN_GEN:
        return None
    told = tell_apart(
        first, second, (gen, other_gen), seed=_SEED, columns=range(len(names)), weights=(weight, other)
    )
    # whole generator events, so that neither half knows the other's
    events = np.unique(other_gen)
    half = np.isin(other_gen, np.random.default_rng(_SEED).permutation(events)[: len(events) // 2])
    floor = tell_apart(
        second[~half],
        second[half],
        (other_gen[~half], other_gen[half]),
        seed=_SEED,
        weights=(other[~half], other[half]),
    )
    ranked = sorted(zip(names, told.importance, strict=True), key=lambda one: -one[1])
    return ToldApart(rows, told.auc, floor.auc, tuple(ranked))
