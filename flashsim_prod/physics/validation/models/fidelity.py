"""How close one object model's draws come to held-out objects."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.events import Column
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.models.constituents import COLLECTION, compare_sets
from flashsim_prod.physics.validation.models.figures import (
    Attribute,
    Correlations,
    ModelFidelity,
    MultiplicityFidelity,
    Properties,
)
from flashsim_prod.physics.validation.models.held_out import AXES, HeldOut
from flashsim_prod.physics.validation.statistics.c2st import tell_apart
from flashsim_prod.physics.validation.statistics.distances import (
    DECILES,
    F64,
    I64,
    compare_along,
    correlation_difference,
    ks_distance,
    rank_correlations,
    two_sample_chi2,
    wasserstein_in_sigma,
)

#: with fewer objects, or sources, nothing is said of a network
MIN_ROWS = 200
#: objects and trees of the classifiers that see a single attribute
_OBJECTS_ALONE, _TREES_ALONE = 5000, 40
#: distances between two halves are larger than those between two whole samples by this factor
_HALVES = np.sqrt(2)


@dataclass(frozen=True)
class Samples:
    """Attributes as NanoAOD stores them: held out and drawn, by name, arrays of shape (n_objects,)."""

    held_out: dict[str, NDArray[np.generic]]
    drawn: dict[str, F64]


def assess(
    fitted: FittedModel,
    held_out: HeldOut,
    schema: Schema,
    sampling: Sampling,
    seed: int,
    *,
    least: int = MIN_ROWS,
) -> tuple[ModelFidelity, Samples]:
    """All figures of one object model, and the samples that they are of, stored as `schema` says.

    Nothing is said of fewer than `least` objects, or sources.

    Raises
    ------
    BundleError
        If the model draws values that are not finite.
    """
    model = fitted.model
    held_out, not_finite = held_out.finite()
    notes = [f"not finite, left out: {name}, {number:,} times" for name, number in not_finite.items()]
    if lost := held_out.table.left_out:
        # rows that were not even compared, of which the model learned nothing either
        notes.append(f"left out: objects {lost.objects:,}, sources {lost.sources:,}; {lost.told()}")
    samples = draw(fitted, held_out, schema, sampling, seed)
    properties = multiplicity = None
    if held_out.n_objects >= least:
        properties = _properties(fitted, held_out, samples, seed)
    else:
        notes.append(f"only {held_out.n_objects} objects: the property model is not assessed")
    if model.draws_number and len(held_out.table.number) >= least:
        multiplicity = _multiplicity(fitted, held_out)
    elif model.draws_number:
        notes.append(f"only {len(held_out.table.number)} sources: their numbers are not assessed")
    sets = compare_sets(held_out, samples.drawn, seed) if model.produces == COLLECTION else None
    return ModelFidelity(
        model.name, model.produces, fitted.n_parameters, properties, multiplicity, tuple(notes), sets
    ), samples


def draw(fitted: FittedModel, held_out: HeldOut, schema: Schema, sampling: Sampling, seed: int) -> Samples:
    """One draw for each held-out object, with its source's conditions."""
    table, model = held_out.table, fitted.model
    rng = np.random.default_rng([seed, zlib.crc32(model.name.encode())])
    noise = rng.normal(size=(held_out.n_objects, fitted.n_normals))
    made = model.restore(
        fitted.sample(table.conditions[table.row], noise, sampling, sets=table.row), held_out.sources
    )
    # what is taken over from the source is right by construction, and what is made anew is not the model's
    apart = {*model.copies, *model.completed}
    names = [name for name in made if name in held_out.attributes and name not in apart]
    for name in names:
        if not np.all(np.isfinite(made[name].astype(np.float64))):
            raise BundleError(
                f"model {model.name} of the bundle draws values of {name} that are not finite; train it again"
            )
    return Samples(
        {name: held_out.attributes[name] for name in names},
        {name: _stored(model, schema, name, made[name]) for name in names},
    )


def _stored(model: ObjectModel, schema: Schema, name: str, column: Column) -> F64:
    """An attribute as a file would give it back."""
    branch = schema.branches.get(name if model.scalar else f"{model.produces}_{name}")
    stored = column if branch is None else as_stored(branch, column)
    return stored.astype(np.float64)


def _properties(fitted: FittedModel, held_out: HeldOut, samples: Samples, seed: int) -> Properties:
    names = list(samples.drawn)
    conditions = held_out.table.conditions[held_out.table.row].astype(np.float64)
    reference = _matrix(samples.held_out, names)
    drawn = _matrix(samples.drawn, names)
    event = held_out.gen_event[held_out.table.row]
    second = _second_half(held_out, seed)
    both, both_drawn = np.hstack((reference, conditions)), np.hstack((drawn, conditions))
    told = tell_apart(both, both_drawn, (event, event), seed=seed, columns=range(len(names)))
    floor = tell_apart(both[~second], both[second], (event[~second], event[second]), seed=seed)
    alone = [
        _area_alone(position, len(names), both, both_drawn, event, seed) for position in range(len(names))
    ]
    attributes = [
        _attribute(name, samples, second, area, importance)
        for name, area, importance in zip(names, alone, told.importance, strict=True)
    ]
    attributes.sort(key=lambda attribute: -attribute.visibility)
    labels = (*names, *(condition.name for condition in fitted.model.conditions))
    correlations = _correlations(reference, drawn, conditions, second, labels)
    return Properties(held_out.n_objects, told.auc, floor.auc, tuple(attributes), correlations)


def _area_alone(position: int, n_attributes: int, reference: F64, drawn: F64, event: I64, seed: int) -> float:
    """Area of a classifier that sees one attribute and the conditions, on the first objects."""
    columns = [position, *range(n_attributes, reference.shape[1])]
    first, second = reference[:_OBJECTS_ALONE, columns], drawn[:_OBJECTS_ALONE, columns]
    groups = event[:_OBJECTS_ALONE]
    return tell_apart(first, second, (groups, groups), seed=seed, iterations=_TREES_ALONE).auc.value


def _matrix(columns: dict[str, NDArray[np.generic]] | dict[str, F64], names: list[str]) -> F64:
    return np.stack([columns[name].astype(np.float64) for name in names], axis=1)


def _second_half(held_out: HeldOut, seed: int) -> NDArray[np.bool_]:
    """Which objects are of the second of two independent samples of the reference.

    Where generator events were reconstructed several times, every other time, so that both samples have
    the same conditions; else every object by chance. Not every event by chance: its objects share
    conditions, so that the samples would differ by the chances of a few events.
    """
    rows = held_out.table.row
    again = np.isin(held_out.gen_event, held_out.gen_event[held_out.fold % 2 == 1])[rows]
    drawn = np.random.default_rng(seed).random(len(rows)) < 0.5
    second: NDArray[np.bool_] = np.where(again, held_out.fold[rows] % 2 == 1, drawn)
    return second


def _attribute(
    name: str, samples: Samples, second: NDArray[np.bool_], auc: float, importance: float
) -> Attribute:
    column, drawn = samples.held_out[name], samples.drawn[name]
    reference = column.astype(np.float64)
    return Attribute(
        name,
        wasserstein_in_sigma(drawn, reference),
        wasserstein_in_sigma(reference[second], reference[~second]) / _HALVES,
        ks_distance(drawn, reference),
        two_sample_chi2(drawn, reference) if is_discrete(column) else None,
        auc,
        importance,
    )


def is_discrete(column: NDArray[np.generic]) -> bool:
    """Whether an attribute has integers or flags."""
    return column.dtype.kind in "iub"


def _correlations(
    reference: F64, drawn: F64, conditions: F64, second: NDArray[np.bool_], labels: tuple[str, ...]
) -> Correlations:
    n = reference.shape[1]
    between = correlation_difference(drawn, reference)
    to_conditions = rank_correlations(drawn, conditions) - rank_correlations(reference, conditions)
    floor = correlation_difference(reference[second], reference[~second])
    floor /= _HALVES
    return Correlations(
        labels[:n],
        labels,
        tuple(tuple(row) for row in np.hstack((between, to_conditions)).round(4).tolist()),
        float(np.abs(between).max()),
        float(np.linalg.norm(between)),
        float(np.abs(to_conditions).max(initial=0.0)),
        float(np.abs(floor).max()),
        float(np.linalg.norm(floor)),
    )


def _multiplicity(fitted: FittedModel, held_out: HeldOut) -> MultiplicityFidelity:
    probabilities = fitted.probabilities(held_out.table.conditions)
    observed: I64 = held_out.table.number
    events = held_out.gen_event
    predicted: F64 = probabilities @ np.arange(probabilities.shape[1])
    # a model may be right along what sources are shown by, and wrong along what decides
    conditions = {
        condition.name: held_out.table.conditions[:, place].astype(np.float64)
        for place, condition in enumerate(fitted.model.conditions)
        if condition.name not in held_out.axes
    }
    return MultiplicityFidelity(
        fitted.model.most,
        len(observed),
        float(predicted.mean()),
        float(observed.mean()),
        compare_along("predicted", predicted, probabilities, observed, events, DECILES),
        tuple(
            compare_along(name, held_out.axes[name].astype(np.float64), probabilities, observed, events)
            for name in AXES
            if name in held_out.axes
        ),
        tuple(
            compare_along(name, position, probabilities, observed, events)
            for name, position in conditions.items()
            if len(position) and np.ptp(position) > 0
        ),
    )
