"""What a histogram can be made of: any branch of a file, its leading objects, and quantities of events."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import RequestError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.validation.quantities import QUANTITIES, Quantity
from flashsim_prod.physics.validation.statistics.distances import F64, I64

_ITEM = re.compile(r"(\w+_\w+)\[(\d+)\]")


@dataclass(frozen=True)
class Observable:
    """Something that events, or objects in them, have a value of.

    Attributes
    ----------
    name : str
    label : str
        Of an axis.
    needs : tuple of str
        Branches.
    values : callable
        Values in a batch of events, and the event of each: arrays of shape (n_entries,).
    """

    name: str
    label: str
    needs: tuple[str, ...]
    values: Callable[[Events], tuple[F64, I64]]


def find_observable(text: str, branches: Collection[str]) -> Observable:
    """What `text` names.

    Parameters
    ----------
    text : str
        A branch (``Jet_pt``: all jets), an object of it by its position (``Jet_pt[0]``: the leading jet),
        or a quantity of whole events (``HT``, ``m(ll) at Z``).
    branches : collection of str
        Those of the file.

    Raises
    ------
    RequestError
        If there is no such thing in the file.
    """
    quantities = {quantity.name.lower(): quantity for quantity in QUANTITIES}
    found: Observable | None = None
    if text.lower() in quantities:
        found = of_quantity(quantities[text.lower()])
    elif match := _ITEM.fullmatch(text):
        found = _of_item(text, match[1], int(match[2]))
    elif text in branches:
        found = _of_branch(text)
    missing = [name for name in found.needs if name not in branches] if found else [text]
    if found is None or missing:
        known = [*branches, *(quantity.name for quantity in QUANTITIES)]
        raise RequestError(f"the files have no '{missing[0]}'{nearest(missing[0], known)}")
    return found


def of_quantity(quantity: Quantity) -> Observable:
    """A quantity of whole events as an observable."""

    def values(events: Events) -> tuple[F64, I64]:
        found = quantity.per_event(events)
        where = np.flatnonzero(~np.isnan(found))
        return found[where], where

    return Observable(quantity.name, quantity.label, (*quantity.needs, *quantity.gen_needs), values)


def _of_branch(name: str) -> Observable:
    def values(events: Events) -> tuple[F64, I64]:
        column, event = events.branch(name)
        return column.astype(np.float64), event

    return Observable(name, name, (name,), values)


def _of_item(text: str, name: str, position: int) -> Observable:
    def values(events: Events) -> tuple[F64, I64]:
        collection, attribute = events.place(name)
        objects = events[collection]
        where = np.flatnonzero(objects.counts > position)
        return objects[attribute][objects.starts[where] + position].astype(np.float64), where

    return Observable(text, text, (name,), values)
