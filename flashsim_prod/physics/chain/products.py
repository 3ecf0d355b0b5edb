"""What object models make together: in which order, and how the sources of a collection become one."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.registry import FINISHERS, finish_collection, variant_of
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.nanoaod.schema import UNREFINED


def production_order(models: Sequence[ObjectModel]) -> list[str]:
    """What `models` produce, each after all that it uses; `BundleError` if that is a circle."""
    return [name for level in production_levels(models) for name in level]


def production_levels(models: Sequence[ObjectModel]) -> list[list[str]]:
    """The same by level: what is of one level uses only what is of those before."""
    maker = {output: model.produces for model in models for output in model.outputs}
    uses: dict[str, set[str]] = {model.produces: set() for model in models}
    for model in models:
        uses[model.produces] |= {maker[use] for use in model.uses if use in maker}
    sorter, levels = TopologicalSorter(uses), list[list[str]]()
    try:
        sorter.prepare()
    except CycleError as error:
        raise BundleError(
            f"object models use each other in a circle: {' <- '.join(error.args[1])}"
        ) from error
    while sorter.is_active():
        levels.append(list(sorter.get_ready()))
        sorter.done(*levels[-1])
    return levels


def with_made(
    events: Events, models: Sequence[ObjectModel], made: Sequence[tuple[Rows, dict[str, Column]]]
) -> Events:
    """`events` with what the `models` of one product made: rows, and attributes for each.

    An attribute that one source of a collection cannot draw is left out for all of them.
    """
    variant = variant_of(models[0])
    if models[0].scalar:
        scalars = {name: column for _, columns in made for name, column in columns.items()}
        kept = {name: one for name, one in scalars.items() if _stem(name) not in variant.gone}
        return events.with_scalars(kept)
    absent = frozenset().union(*(model.left_out for model in models))
    parts = [
        Collection.from_rows(
            events.n,
            rows.event_index,
            {name: column for name, column in columns.items() if _stem(name) not in absent},
        )
        for rows, columns in made
    ]
    finish = FINISHERS.get(models[0].produces, finish_collection)
    objects = variant.finish(finish(parts, events), events)
    if variant.gone:
        objects = objects.only([name for name in objects.columns if _stem(name) not in variant.gone])
    return events.with_collections({models[0].produces: objects})


def _stem(name: str) -> str:
    """The attribute that `name` is, or is of before it was refined."""
    return name.removesuffix(UNREFINED)
