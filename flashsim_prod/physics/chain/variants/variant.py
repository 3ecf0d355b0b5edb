"""A model's declaration in a version that lacks some of its attributes and has others.

The formulas of a declaration serve every version: in the place of an attribute that a version lacks they are
given a number, and what they make of that is taken out again, so nothing of it is learned, drawn or written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.forms import F64, filled
from flashsim_prod.physics.chain.model import ObjectModel, Rows, Target
from flashsim_prod.physics.events import Collection, Column, Events

Bools = NDArray[np.bool_]
Columns = Mapping[str, Column]


@dataclass(frozen=True)
class Added:
    """An attribute that the version has and the declarations do not; drawn as it is stored.

    Attributes
    ----------
    name : str
    defined : callable, optional
        Where it is, by the other attributes; everywhere by default.
    undefined : float
        What it is elsewhere.
    """

    name: str
    defined: Callable[[Columns], Bools] | None = None
    undefined: float = -1.0


def _same(objects: Collection, events: Events) -> Collection:
    return objects


@dataclass(frozen=True)
class Variant:
    """What the models of one product are in a version.

    Attributes
    ----------
    lacks : mapping of str to float
        Attributes that the version does not have, and what stands in their place in formulas.
    dropped : mapping of str to float
        Targets made of them, likewise; neither learned nor drawn.
    stripped : frozenset of str
        Attributes that formulas make beside `lacks` and that the version does not have, either.
    added : tuple of Added
    read : mapping of str to callable
        Attributes that the version has in another form: how formulas are to see them.
    completed : callable
        Attributes that follow from others in this version alone, of all that formulas made.
    finish : callable
        What is otherwise in the finished collection.
    instead : mapping of str to str
        Attributes of the *sources*, as ``FatJet_btagDeepB``, and which other one stands in for it.
    """

    lacks: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, float] = field(default_factory=dict)
    stripped: frozenset[str] = frozenset()
    added: tuple[Added, ...] = ()
    read: Mapping[str, Callable[[Columns], Column]] = field(default_factory=dict)
    completed: Callable[[Columns], dict[str, Column]] = lambda made: {}
    finish: Callable[[Collection, Events], Collection] = _same
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def gone(self) -> frozenset[str]:
        """All attributes that the version does not have."""
        return self.stripped | self.lacks.keys()

    def of(self, model: ObjectModel, version: str) -> ObjectModel:
        """`model` as it is in the version."""
        kept = tuple(target for target in model.targets if target.name not in self.dropped)
        return replace(
            model,
            version=version,
            targets=(*kept, *(Target(one.name) for one in self.added)),
            source=self._source(model),
            express=self._express(model),
            assemble=self._assemble(model),
            makes=tuple(name for name in model.makes if name not in self.gone),
        )

    def _source(self, model: ObjectModel) -> Callable[[Events], Rows]:
        if not self.instead:
            return model.source
        return lambda events: model.source(self._substituted(events))

    def _substituted(self, events: Events) -> Events:
        for name, other in self.instead.items():
            owner, _, attribute = name.partition("_")
            if owner in events.collections:
                column = {attribute: events[owner][other]}
                events = events.with_collections({owner: events[owner].with_columns(**column)})
        return events

    def _express(self, model: ObjectModel) -> Callable[[Columns, Rows], dict[str, Column]]:
        def express(attributes: Columns, rows: Rows) -> dict[str, Column]:
            found = model.express_targets(_StandingIn(attributes, self, len(rows)), rows)
            found = {name: column for name, column in found.items() if name not in self.dropped}
            for one in self.added:
                column = attributes[one.name]
                found[one.name] = column if one.defined is None else filled(column, one.defined(attributes))
            return found

        return express

    def _assemble(self, model: ObjectModel) -> Callable[[Mapping[str, F64], Rows], dict[str, Column]]:
        def assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
            instead = {name: np.full(len(rows), value) for name, value in self.dropped.items()}
            made = model.restore({**instead, **drawn}, rows)
            for one in self.added:
                if one.name in drawn:
                    known = True if one.defined is None else one.defined(made)
                    made[one.name] = np.where(known, drawn[one.name], one.undefined)
            return made | self.completed(made)

        return assemble


class _StandingIn(dict[str, Column]):
    """Attributes, with what stands in for those that a version lacks or has in another form."""

    def __init__(self, attributes: Columns, variant: Variant, n: int) -> None:
        super().__init__()
        self._attributes, self._variant, self._n = attributes, variant, n

    def __missing__(self, name: str) -> Column:
        if name in self._variant.read:
            return self._variant.read[name](self._attributes)
        if name in self._variant.lacks:
            return np.full(self._n, self._variant.lacks[name])
        return self._attributes[name]
