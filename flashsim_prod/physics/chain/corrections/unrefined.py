"""What refined attributes were before, kept beside them on request: ``Jet_pt`` and ``Jet_ptunrefined``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.events import Column, full_name
from flashsim_prod.physics.nanoaod.schema import UNREFINED, Schema

Columns = dict[str, Column]


@dataclass(frozen=True)
class Restored:
    """Objects of one model.

    Attributes
    ----------
    model : ObjectModel
    rows : Rows
        The row of each.
    columns : mapping of name to array
        Attributes as they are.
    before : mapping of name to array, optional
        As they would be if they were not refined; ``None`` of a model that is not.
    """

    model: ObjectModel
    rows: Rows
    columns: Columns
    before: Mapping[str, Column] | None = None


def with_unrefined(made: Sequence[Restored], schema: Schema) -> list[tuple[Rows, Columns]]:
    """What the sources of one product made, with what each attribute was before it was refined.

    All sources have it of the same attributes, those that a refined one draws and that are no whole numbers;
    of a source that is not refined both are the same. What is taken over from the generator, or given anew by
    the finished collection, is none of them. That depends on the models alone, not on the objects.
    """
    names = {
        name: None
        for one in made
        if one.before is not None
        for name in one.before
        if name not in (*one.model.copies, *one.model.completed)
        and f"{_full(one.model, name)}{UNREFINED}" in schema.branches
    }
    return [
        (
            one.rows,
            one.columns
            | {
                f"{name}{UNREFINED}": (one.columns if one.before is None else one.before)[name]
                for name in names
                if name in one.columns
            },
        )
        for one in made
    ]


def _full(model: ObjectModel, name: str) -> str:
    return name if model.scalar else full_name(model.produces, name)
