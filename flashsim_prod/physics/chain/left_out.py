"""Whether all else can be made where weights lack a target: a chain of declarations, run over no events.

What follows from an attribute is written in formulas: of other attributes, of collections as a whole, of
what later models see. They are run with arrays of no length, as in a job but without weights; the first that
asks for something that is not drawn is told before anything is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from flashsim_prod.errors import BundleError, MissingBranchError
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.products import production_order, with_made
from flashsim_prod.physics.definitions.completion import link
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.generator.source import (
    GEN_COLLECTIONS,
    GEN_SCALARS,
    OPTIONAL_COLLECTIONS,
    OPTIONAL_SCALARS,
)
from flashsim_prod.physics.nanoaod.schema import Schema


def check_left_out(models: Sequence[ObjectModel], schema: Schema, where: str) -> None:
    """Check that nothing is made of targets that `models` lack and that have no default.

    Raises
    ------
    BundleError
        Naming the model, the target, and what needs it.
    """
    if any(model.left_out for model in models):
        run_over_no_events(models, schema, where)


def run_over_no_events(models: Sequence[ObjectModel], schema: Schema, where: str) -> Events:
    """All that `models` make, with arrays of no length; `BundleError` as `check_left_out`."""
    events = _no_events(schema)
    for produced in production_order(models):
        group = [model for model in models if model.produces == produced]
        if not all(use in events for model in group for use in model.uses):
            # that a model is missing is told elsewhere
            continue
        made = [_made_of_nothing(model, events, models, where) for model in group]
        with _asking(models, f"{produced} as a whole", where):
            events = with_made(events, group, made)
    with _asking(models, "the links between collections", where):
        return link(events)


def _made_of_nothing(
    model: ObjectModel, events: Events, models: Sequence[ObjectModel], where: str
) -> tuple[Rows, dict[str, Column]]:
    with _asking(models, f"the source of {model.name}", where):
        rows = model.source(events)
        model.condition_matrix(rows)
    with _asking([model], f"what else follows from it in {model.produces}", where):
        return rows, model.restore({target.name: np.zeros(len(rows)) for target in model.targets}, rows)


@contextmanager
def _asking(models: Sequence[ObjectModel], what: str, where: str) -> Iterator[None]:
    """What is asked for and not there, told with the model that lacks it."""
    try:
        yield
    except (KeyError, MissingBranchError) as error:
        asked = str(error.args[0]).split()[-1]
        at_fault = [model.name for model in models if {asked, asked.partition("_")[2]} & model.left_out]
        lacking = ", ".join(at_fault or [model.name for model in models if model.left_out])
        raise BundleError(
            f"{where}: {asked} is not drawn by {lacking}, and {what} needs it; fit again on files that have "
            "it, or use the software that the manifest names"
        ) from error


def _no_events(schema: Schema) -> Events:
    """All that is known at generator level, of no event."""

    def empty(name: str) -> Column:
        known = schema.branches.get(name)
        return np.zeros(0, dtype=np.float32 if known is None else known.dtype)

    scalars = (*GEN_SCALARS, *OPTIONAL_SCALARS, "FlashSim_genEvent", "FlashSim_fold")
    collections = {**GEN_COLLECTIONS, **OPTIONAL_COLLECTIONS}
    return Events(
        0,
        {name: empty(name) for name in scalars},
        {
            name: Collection(np.zeros(0, np.int64), {key: empty(f"{name}_{key}") for key in attributes}, name)
            for name, attributes in collections.items()
        },
    )
