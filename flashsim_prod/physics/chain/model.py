"""What an object model is: one source of one collection, as a declaration.

The chain, the extraction of training tables and the training all read the same declaration, so a new
object is one declaration and a new attribute is one line in it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.errors import MissingBranchError
from flashsim_prod.physics.definitions.links import delta_phi
from flashsim_prod.physics.events import Column, Events

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """The sources of one object model in a batch of events, a row each.

    Attributes
    ----------
    event_index : int64 array of shape (n,)
        The event of each row.
    item : int64 array of shape (n,)
        Number of the row within its event, which its random numbers depend on.
    columns : mapping of name to array of shape (n,)
        All that conditions and targets refer to.
    """

    event_index: NDArray[np.int64]
    item: NDArray[np.int64]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.event_index)

    def __getitem__(self, name: str) -> Column:
        try:
            return self.columns[name]
        except KeyError:
            told = f"the events have no branch that gives its sources {name}"
            raise MissingBranchError(told, f"*_{name}") from None

    def take(self, index: NDArray[np.int64]) -> Rows:
        """The rows `index`, which may repeat."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return Rows(self.event_index[index], self.item[index], columns)

    @staticmethod
    def concatenate(parts: Sequence[Rows]) -> Rows:
        """The rows of several batches of events, one after another."""
        names = parts[0].columns
        return Rows(
            np.concatenate([part.event_index for part in parts]),
            np.concatenate([part.item for part in parts]),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in names},
        )


class Scale(StrEnum):
    """How a condition is scaled before it is standardised."""

    LINEAR = "linear"
    LOG = "log"
    LOG1P = "log1p"


@dataclass(frozen=True)
class Condition:
    """A column of the source that the networks see."""

    name: str
    scale: Scale = Scale.LINEAR

    def __call__(self, rows: Rows) -> NDArray[np.float32]:
        column = rows[self.name].astype(np.float64)
        if self.scale is Scale.LOG:
            column = np.log(np.maximum(column, _SMALL))
        elif self.scale is Scale.LOG1P:
            column = np.log1p(np.maximum(column, 0.0))
        return column.astype(np.float32)


class Relation(StrEnum):
    """How a target is expressed against a column of the source."""

    VALUE = "value"
    SIGN = "sign"
    RATIO = "ratio"
    DIFFERENCE = "difference"
    ANGLE = "angle"


@dataclass(frozen=True)
class Target:
    """An attribute that the flow draws.

    Attributes
    ----------
    name : str
        The attribute's name in the collection, or the scalar's full branch name.
    relation : Relation
        How it is expressed against the source.
    to : str, optional
        The source's column it is expressed against; the one of the same name if not given.
    default : float, optional
        What is taken, in the place of what the flow would have drawn, where a bundle's weights know nothing
        of this target. Without one, the attribute is left out of what such a bundle makes.
    """

    name: str
    relation: Relation = Relation.VALUE
    to: str | None = None
    default: float | None = None

    def __str__(self) -> str:
        """As signatures have it."""
        return f"{self.name}:{self.relation}:{self.to or self.name}"

    def express(self, value: Column, rows: Rows) -> Column:
        """The attribute as the flow knows it; for extraction."""
        if self.relation is Relation.VALUE:
            return value
        source = rows[self.to or self.name].astype(np.float64)
        match self.relation:
            case Relation.SIGN:
                return (value * source).astype(value.dtype)
            case Relation.RATIO:
                return value / np.maximum(source, _SMALL)
            case Relation.DIFFERENCE:
                return value - source
            case _:
                return wrap_angle(value - source)

    def restore(self, drawn: F64, rows: Rows) -> F64:
        """The attribute from what the flow drew; undoes `express`."""
        if self.relation is Relation.VALUE:
            return drawn
        source = rows[self.to or self.name].astype(np.float64)
        match self.relation:
            case Relation.SIGN | Relation.RATIO:
                return drawn * source
            case Relation.DIFFERENCE:
                return drawn + source
            case _:
                return wrap_angle(drawn + source)


#: what a ratio's denominator is at least [GeV]
_SMALL = 1e-6


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of an object model's networks.

    Attributes
    ----------
    width, blocks : int
        Of the velocity's residual network.
    time_frequencies : int
        Cosines and sines that time is shown as.
    classifier : tuple of int
        Hidden layers of the multiplicity network.
    knots : int
        Intervals that the multiplicity network sees each condition in; 0 for the conditions alone.
    """

    width: int = 96
    blocks: int = 4
    time_frequencies: int = 8
    classifier: tuple[int, ...] = (128, 64, 32)
    knots: int = 20


#: attributes in their NanoAOD form, from the columns that the flow drew
Assemble = Callable[[Mapping[str, F64], Rows], dict[str, Column]]
#: the columns that the flow learns, from attributes in their NanoAOD form
Express = Callable[[Mapping[str, Column], Rows], dict[str, Column]]
#: for each reconstructed object of the collection, the row it came from, or -1
Match = Callable[[Events, Rows], NDArray[np.int64]]


@dataclass(frozen=True)
class ObjectModel:
    """One source of one collection.

    Attributes
    ----------
    name : str
        Unique; names the weights in a bundle and the streams of random numbers.
    produces : str
        Collection made, or the name of a group of event scalars if `scalar`.
    uses : tuple of str
        Collections and scalars (generator-level or reconstructed) that `source` reads. The chain's order
        follows from these.
    source : callable
        Finds the rows in a batch of events.
    conditions, targets : tuples
        What the networks see and what the flow draws.
    most : int
        Most objects that one row can give: 1 for an efficiency, more for counts of fakes. 0 means that
        every row gives exactly one and there is nothing to learn.
    match : callable
        Which reconstructed object came from which row; the truth for training.
    copies : tuple of str
        Attributes taken over from the row's columns as they are.
    completed : tuple of str
        Attributes that finished collections are given anew, whatever is restored here.
    assemble, express : callable, optional
        For targets that no `Relation` covers.
    scalar : bool
        Whether targets are event scalars under their full branch names.
    form : int
        Version of the formulas behind the names: `source`, `match`, `express` and `assemble`. Raise it
        whenever one of them gives other numbers than before, since weights learned from the old ones would
        go on under the same names and be wrong.
    size : NetworkSize
    lacking : tuple of Target
        Declared targets that the weights at hand know nothing of; in no declaration, see `drawing`.
    version : str
        Of NanoAOD, whose attributes it draws; see `registry.in_version`.
    numbered_by : str
        The row's column that says how many objects it gives, which is then not learned: a set, whose
        members a kind may draw together. `most` bounds it.
    inseparable : tuple of frozenset of str
        Groups of targets that mean something together only: of a file that gives some of a group, none of it
        is learned.
    before : ObjectModel, optional
        The form before, whose weights draw still; it may have one before it, too. The first one has plain
        columns, which come one by one from stored attributes: the one that other versions of NanoAOD are
        derived from and that the reference detector is moved in.
    """

    name: str
    produces: str
    uses: tuple[str, ...]
    source: Callable[[Events], Rows]
    conditions: tuple[Condition, ...]
    targets: tuple[Target, ...]
    match: Match
    most: int = 1
    copies: tuple[str, ...] = ()
    completed: tuple[str, ...] = ()
    assemble: Assemble | None = None
    express: Express | None = None
    scalar: bool = False
    form: int = 1
    makes: tuple[str, ...] = ()
    size: NetworkSize = field(default_factory=NetworkSize)
    lacking: tuple[Target, ...] = ()
    version: str = NANO_VERSION
    numbered_by: str = ""
    inseparable: tuple[frozenset[str], ...] = ()
    before: ObjectModel | None = None

    @property
    def draws_number(self) -> bool:
        """Whether how many objects a row gives is learned and drawn."""
        return bool(self.most) and not self.numbered_by

    @property
    def forms(self) -> tuple[ObjectModel, ...]:
        """This model and all forms before it, the latest first."""
        return (self, *(() if self.before is None else self.before.forms))

    @property
    def as_plain(self) -> ObjectModel:
        """The model in plain columns, which it may be itself."""
        return self.forms[-1]

    def drawing(self, targets: Container[str]) -> ObjectModel:
        """This model with weights that draw `targets` only, as signatures have them, in the order declared.

        Random numbers go with the weights, so an attribute that is declared later changes nothing of what
        older weights draw.
        """
        drawn = tuple(target for target in self.targets if str(target) in targets)
        lacking = tuple(target for target in self.targets if str(target) not in targets)
        return replace(self, targets=drawn, lacking=lacking) if lacking else self

    @property
    def left_out(self) -> frozenset[str]:
        """Targets that are neither drawn nor have a default."""
        return frozenset(target.name for target in self.lacking if target.default is None)

    @property
    def outputs(self) -> frozenset[str]:
        """What other models can name in their `uses`: the collection, or the scalars."""
        if not self.scalar:
            return frozenset({self.produces})
        makes = self.makes or tuple(target.name for target in (*self.targets, *self.lacking))
        return frozenset(makes) - self.left_out

    def condition_matrix(self, rows: Rows) -> NDArray[np.float32]:
        """The conditions before standardisation, shape (n, n_conditions)."""
        matrix = np.empty((len(rows), len(self.conditions)), dtype=np.float32)
        for position, condition in enumerate(self.conditions):
            matrix[:, position] = condition(rows)
        return matrix

    def restore(self, drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
        """NanoAOD attributes from what the flow drew, a value per row."""
        instead = tuple(target for target in self.lacking if target.default is not None)
        drawn = {**drawn, **{target.name: np.full(len(rows), target.default) for target in instead}}
        if self.assemble is not None:
            return self.assemble(drawn, rows)
        made = (*self.targets, *instead)
        restored = {target.name: target.restore(drawn[target.name], rows) for target in made}
        return restored | {name: rows[name] for name in self.copies}

    def express_targets(self, attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
        """What the flow is to learn, from reconstructed objects that stand beside their rows."""
        if self.express is not None:
            return self.express(attributes, rows)
        return {target.name: target.express(attributes[target.name], rows) for target in self.targets}

    def signature(self) -> dict[str, object]:
        """What trained weights depend on; a bundle records it, and may lack some of the targets only."""
        return {
            "form": self.form,
            "produces": self.produces,
            "most": self.most,
            "conditions": [f"{condition.name}:{condition.scale}" for condition in self.conditions],
            "targets": [str(target) for target in self.targets],
        }


def wrap_angle(angle: Column) -> F64:
    """`angle` [rad] brought into [-pi, pi)."""
    return delta_phi(np.asarray(angle), np.zeros(()))
