"""A produced dataset next to a reference, branch by branch: whatever both of them have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, split_name
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.dataset.exactness import is_single, order_of, precision_of, spikes_of
from flashsim_prod.physics.validation.dataset.figures import (
    CorrelationDifference,
    DatasetFidelity,
    Group,
    Precision,
    Shape,
    Spike,
)
from flashsim_prod.physics.validation.dataset.matching import matching_rates
from flashsim_prod.physics.validation.dataset.samples import Sample, StageProgress, is_generator_level
from flashsim_prod.physics.validation.dataset.telling_apart import events_told_apart, objects_told_apart
from flashsim_prod.physics.validation.dataset.years import not_the_same
from flashsim_prod.physics.validation.models.figures import Light
from flashsim_prod.physics.validation.models.whole_events import Derived, compare_quantity, inside
from flashsim_prod.physics.validation.quantities import QUANTITIES, Quantity
from flashsim_prod.physics.validation.statistics.clustered import Entries, Test, distances, shape_test
from flashsim_prod.physics.validation.statistics.distances import F64, I64, correlation_difference

#: entries, and generator events, of either sample below which nothing is said
_MIN_ENTRIES, _MIN_GEN = 200, 40
#: objects that correlations are taken from at most
_MOST_OBJECTS = 20_000
_EVENT = "Event"


def compare_samples(sample: Sample, reference: Sample, progress: StageProgress) -> DatasetFidelity:
    """All that can be compared of two samples.

    Raises
    ------
    InputError
        If they have no reconstructed branch in common.
    """
    other = not_the_same(sample.years, reference.years).keys()
    first, second = (_reconstructed(one) - other for one in (sample, reference))
    groups = _grouped(first & second, sample.schema)
    if not groups:
        raise InputError("the dataset and the reference have no reconstructed branch in common")
    made = []
    for number, (name, names) in enumerate(groups.items()):
        progress("comparing", number, len(groups))
        made.append(_group(name, names, sample, reference))
    told = events_told_apart(sample, reference)
    progress("comparing", len(groups), len(groups))
    made.sort(key=lambda group: (-_rank(group.light), -group.count("red"), -group.count("amber"), group.name))
    return DatasetFidelity(
        tuple(made),
        tuple(figures for _, figures, _, _ in compared_quantities(sample, reference)),
        tuple(sorted(first ^ second)),
        told,
    )


def _reconstructed(sample: Sample) -> set[str]:
    """Branches of reconstructed things, links and counters left out."""
    names = [name for name in sample.events.scalars if not _is_counter(name, sample)]
    for collection, one in sample.events.collections.items():
        names += [f"{collection}_{attribute}" for attribute in one.columns]
    return {name for name in names if not is_generator_level(name) and not sample.schema.branch(name).links}


def _is_counter(name: str, sample: Sample) -> bool:
    return name[:1] == "n" and name[1:] in sample.events.collections


def _grouped(names: set[str], schema: Schema) -> dict[str, list[str]]:
    """Branch names by collection, or by what stands before their first underscore."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        first, rest = split_name(name, schema.collections)
        groups.setdefault(first if rest else _EVENT, []).append(name)
    return groups


def values_of(sample: Sample, name: str) -> Entries:
    """All finite values of a branch; of ``nJet`` the numbers of jets."""
    return sample.entries(*_values_and_events(sample, name))


def _values_and_events(sample: Sample, name: str) -> tuple[F64, I64]:
    events = sample.events
    if name not in events.scalars and _is_counter(name, sample):
        return events[name[1:]].counts.astype(np.float64), np.arange(events.n)
    column, event = events.branch(name)
    return column.astype(np.float64), event


def _n_not_finite(sample: Sample, name: str) -> int:
    return int(np.count_nonzero(~np.isfinite(_values_and_events(sample, name)[0])))


def is_discrete(name: str, schema: Schema) -> bool:
    """Whether a branch, or a counter, holds whole numbers or flags."""
    return name in schema.counters or schema.branch(name).dtype.kind in "iub"


def _group(name: str, names: list[str], sample: Sample, reference: Sample) -> Group:
    is_collection = name in sample.events.collections
    shapes = [_shape(one, sample, reference) for one in ([f"n{name}"] if is_collection else []) + names]
    shapes.sort(key=lambda one: (-_rank(one.light), -one.size))
    precisions, spikes = _exact(names, sample, reference)
    if not is_collection:
        return Group(name, tuple(shapes), (), None, None, precisions, spikes)
    attributes = [one.removeprefix(f"{name}_") for one in names]
    return Group(
        name,
        tuple(shapes),
        (*matching_rates(name, sample, reference), *order_of(name, sample, reference)),
        _correlations(sample, reference, name, attributes),
        objects_told_apart(name, attributes, sample, reference),
        precisions,
        spikes,
    )


def _exact(
    names: list[str], sample: Sample, reference: Sample
) -> tuple[tuple[Precision, ...], tuple[Spike, ...]]:
    """Where the stored precision differs, and what many objects have exactly, the worst first."""
    precisions, spikes = [], []
    for name in names:
        if is_single(name, sample.schema):
            first, second = values_of(sample, name), values_of(reference, name)
            spikes += spikes_of(name, first, second)
            found = precision_of(name, first, second)
            precisions += [found] if found and found.light is not Light.GREEN else []
    spikes.sort(key=lambda one: -abs(one.share[0] - one.share[1]))
    return tuple(precisions), tuple(spikes)


def _rank(light: Light | None) -> int:
    return -1 if light is None else list(Light).index(light)


def _shape(name: str, sample: Sample, reference: Sample) -> Shape:
    first, second = values_of(sample, name), values_of(reference, name)
    discrete = is_discrete(name, sample.schema)
    test, wasserstein, ks = Test(0.0, 0, 1.0), 0.0, 0.0
    if min(len(first), len(second)) >= _MIN_ENTRIES and min(_n_gen(first), _n_gen(second)) >= _MIN_GEN:
        wasserstein, ks = distances(first, second)
        test = shape_test(first, second, discrete=discrete)
    return Shape(
        name,
        (len(first), len(second)),
        (_mean(first), _mean(second)),
        wasserstein,
        ks,
        test,
        discrete,
        (_range(first), _range(second)),
        0 if discrete else _far_out(first, second),
        (_n_not_finite(sample, name), _n_not_finite(reference, name)),
    )


def _range(entries: Entries) -> tuple[float, float]:
    return (float(entries.values.min()), float(entries.values.max())) if len(entries) else (0.0, 0.0)


def _far_out(sample: Entries, reference: Entries) -> int:
    """Generator events with values that no tail of the reference reaches: the tests do not see a few."""
    lowest, highest = _range(reference)
    width = highest - lowest
    beyond = (sample.values < lowest - width) | (sample.values > highest + width)
    return _n_gen(sample.select(beyond)) if width > 0 else 0


def _n_gen(entries: Entries) -> int:
    return len(np.unique(entries.gen))


def _mean(entries: Entries) -> float:
    total = entries.weight.sum()
    return float(np.sum(entries.values * entries.weight) / total) if len(entries) and total else 0.0


def _correlations(
    sample: Sample, reference: Sample, name: str, attributes: list[str]
) -> CorrelationDifference | None:
    both = [one.events[name] for one in (sample, reference)]
    # one that is mostly not finite would take the objects of all others with it
    attributes = [one for one in attributes if all(_is_mostly_finite(objects, one) for objects in both)]
    if len(attributes) < 2:
        return None
    (first, kept), (second, kept_reference) = (_matrix(objects, attributes) for objects in both)
    if min(len(first), len(second)) < _MIN_ENTRIES:
        return None
    weight, other = (
        _weights(one, name, chosen) for one, chosen in ((sample, kept), (reference, kept_reference))
    )
    difference = correlation_difference(first, second, (weight, other))
    half = reference.gen[both[1].event_index[:_MOST_OBJECTS][kept_reference]] % 2 == 1
    halves = (None, None) if other is None else (other[half], other[~half])
    floor = correlation_difference(second[half], second[~half], halves)
    # two halves differ by more than two samples of these sizes
    scale = np.sqrt((1 / len(first) + 1 / len(second)) / (4 / len(second)))
    row, column = np.unravel_index(int(np.abs(difference).argmax()), difference.shape)
    return CorrelationDifference(
        tuple(attributes),
        tuple(tuple(one) for one in difference.round(4).tolist()),
        float(np.abs(difference).max()),
        (attributes[int(row)], attributes[int(column)]),
        float(np.abs(floor).max() * scale),
        (int(np.count_nonzero(~kept)), int(np.count_nonzero(~kept_reference))),
    )


def _weights(sample: Sample, name: str, kept: NDArray[np.bool_]) -> F64 | None:
    """What those of the first objects that are `kept` count for; None if all count alike."""
    weight = sample.size_of_weight
    if np.ptp(weight) == 0:
        return None
    found: F64 = weight[sample.events[name].event_index[:_MOST_OBJECTS][kept]]
    return found


def _is_mostly_finite(objects: Collection, attribute: str) -> bool:
    column = objects[attribute][:_MOST_OBJECTS].astype(np.float64)
    return 2 * int(np.count_nonzero(np.isfinite(column))) >= len(column)


def _matrix(objects: Collection, attributes: list[str]) -> tuple[F64, NDArray[np.bool_]]:
    """Attributes of the first objects, shape (n, p), and which of these have nothing that is not finite."""
    rows = slice(0, _MOST_OBJECTS)
    matrix = np.stack([objects[one][rows].astype(np.float64) for one in attributes], axis=1)
    kept = np.asarray(np.isfinite(matrix).all(axis=1))
    return matrix[kept], kept


def compared_quantities(
    sample: Sample, reference: Sample
) -> Iterator[tuple[Quantity, Derived, Entries, Entries]]:
    """Quantities of whole events that both samples have: figures and values."""
    for quantity in QUANTITIES:
        needs = (*quantity.needs, *quantity.gen_needs)
        if not all(one.events.has_branch(name) for one in (sample, reference) for name in needs):
            continue
        first, second = (_quantity_entries(one, quantity) for one in (sample, reference))
        if min(len(first), len(second)) >= _MIN_ENTRIES:
            yield quantity, compare_quantity(quantity, first, second), first, second


def _quantity_entries(sample: Sample, quantity: Quantity) -> Entries:
    values = quantity.per_event(sample.events)
    return inside(sample.entries(values, np.arange(sample.events.n)), quantity)
