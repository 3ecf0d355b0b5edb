"""An analysis as a model of the chain's kind: a row an event, an efficiency, and variables as targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.analyses.config import Against, Analysis, Variable
from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.analysis.expressions import Expression, as_number
from flashsim_prod.physics.analysis.features import CONDITIONS, features, gen_names
from flashsim_prod.physics.analysis.networks import Dense, load_network
from flashsim_prod.physics.analysis.tracking import Tracked
from flashsim_prod.physics.analysis.values import F64, PerEvent, Value, holds
from flashsim_prod.physics.chain.model import Condition, NetworkSize, ObjectModel, Rows, Scale, Target
from flashsim_prod.physics.events import Column, Events

#: beside ratios, which are positive, and differences: what stands for a variable that is missing
_MISSING = {Against.VALUE: None, Against.RATIO: -1.0, Against.DIFFERENCE: -1e5}
#: what a ratio's denominator is at least, and what it is where there is no counterpart
_SMALLEST, _NO_COUNTERPART = 1e-3, 1.0
#: numbers of 64 bits that are this near to a whole one are meant to be it
_WHOLE_WITHIN = 1e-6
_SIZE = NetworkSize(width=64, blocks=2, classifier=(128, 64, 32), knots=12)


@dataclass(frozen=True)
class Regression:
    """The expressions of an analysis, checked, and its model.

    Parameters
    ----------
    analysis : Analysis
    where : str
        The file that it is from, for messages.
    folder : Path, optional
        Where the files of its networks are; what was learned draws without them.
    """

    analysis: Analysis
    where: str
    folder: Path | None = None

    @cached_property
    def _objects(self) -> dict[str, Expression]:
        return self._expressions("objects", self.analysis.objects)

    @cached_property
    def _gen_objects(self) -> dict[str, Expression]:
        return self._expressions("gen_objects", self.analysis.gen_objects)

    @cached_property
    def _selection(self) -> Expression:
        return Expression(self.analysis.selection, f"{self.where}: selection")

    @cached_property
    def _values(self) -> dict[str, Expression]:
        return self._expressions("variables", {n: one.value for n, one in self.analysis.variables.items()})

    @cached_property
    def _counterparts(self) -> dict[str, Expression]:
        known = {name: one.gen for name, one in self.analysis.variables.items() if one.gen is not None}
        return self._expressions("variables", known)

    @cached_property
    def _networks(self) -> dict[str, Dense]:
        return {
            name: load_network(one, self.folder or Path(), f"{self.where}: networks.{name}")
            for name, one in self.analysis.networks.items()
        }

    @cached_property
    def _inputs(self) -> dict[str, list[Expression]]:
        return {
            name: [Expression(text, f"{self.where}: networks.{name}.inputs") for text in one.inputs]
            for name, one in self.analysis.networks.items()
        }

    def _expressions(self, section: str, texts: Mapping[str, str]) -> dict[str, Expression]:
        networks = self.analysis.networks
        return {
            name: Expression(text, f"{self.where}: {section}.{name}", networks)
            for name, text in texts.items()
        }

    def check(self, known: Events) -> None:
        """Evaluate all of it on events that have every branch; `ConfigError` for what has no meaning."""
        self.reconstructed(known)
        self.rows(known)

    def reconstructed(self, events: Events) -> tuple[NDArray[np.bool_], dict[str, F64]]:
        """Which events pass, and each variable of all of them, NaN where an event has none."""
        names: dict[str, Value] = {}
        for name, expression in self._objects.items():
            names[name] = expression(events, names)
        values = {}
        for name, expression in self._values.items():
            self._evaluate_networks(expression, events, names)
            values[name] = as_number(expression(events, names), events.n, expression)
            names[name] = PerEvent(values[name])
        self._evaluate_networks(self._selection, events, names)
        selected = as_number(self._selection(events, names), events.n, self._selection)
        return np.asarray(holds(selected)), values

    def _evaluate_networks(self, user: Expression, events: Events, names: dict[str, Value]) -> None:
        """Name the output of networks that `user` is the first to mention: of what is named before it."""
        for network in self._inputs.keys() & user.mentions - names.keys():
            columns = [as_number(one(events, names), events.n, one) for one in self._inputs[network]]
            # whether expressions make sense is asked of bundles, too, which do not hold the files
            is_here = events.n or self.folder is not None
            found = self._networks[network](np.stack(columns, axis=1)) if is_here else np.zeros(0)
            names[network] = PerEvent(found)

    @property
    def idle_networks(self) -> list[str]:
        """Networks that nothing would evaluate: not mentioned, or of the name of a variable before."""
        known, used = set(self.analysis.objects), set[str]()
        for name, expression in self._values.items():
            used |= expression.mentions & self.analysis.networks.keys() - known
            known |= {name, *used}
        used |= self._selection.mentions & self.analysis.networks.keys() - known
        return sorted(self.analysis.networks.keys() - used)

    def rows(self, events: Events) -> Rows:
        """A row for each event: features, and counterparts of variables."""
        names = gen_names(events)
        columns: dict[str, Column] = dict(features(events, names))
        for name, expression in self._gen_objects.items():
            names[name] = expression(events, names)
        for name, expression in self._counterparts.items():
            values = as_number(expression(events, names), events.n, expression)
            there = np.isfinite(values)
            columns[f"has_{name}"] = there.astype(np.float64)
            columns[f"gen_{name}"] = np.where(there, values, 0.0)
        return Rows(np.arange(events.n), np.zeros(events.n, dtype=np.int64), columns)

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Branches that it reads, reconstructed ones included."""
        seen = Tracked()
        self.check(seen.events)
        return tuple(sorted(seen.used))

    @cached_property
    def gen_needs(self) -> tuple[str, ...]:
        """Collections and scalars at generator level that it uses."""
        seen = Tracked()
        self.rows(seen.events)
        return tuple(
            sorted({name if name in seen.events.scalars else seen.owner(name) for name in seen.used})
        )

    @cached_property
    def model(self) -> ObjectModel:
        """As the kinds know it."""
        counterparts = tuple(
            condition
            for name, one in self.analysis.variables.items()
            if one.gen is not None
            for condition in (
                Condition(f"gen_{name}", Scale.LOG1P if one.against is Against.RATIO else Scale.LINEAR),
                Condition(f"has_{name}"),
            )
        )
        return ObjectModel(
            name=self.analysis.name,
            produces=f"analysis {self.analysis.name}",
            uses=self.gen_needs,
            source=self.rows,
            conditions=(*CONDITIONS, *counterparts),
            targets=tuple(Target(name) for name in self.analysis.variables),
            match=lambda events, rows: np.flatnonzero(self.reconstructed(events)[0]),
            most=1,
            scalar=True,
            size=_SIZE,
        )

    def express(self, values: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
        """The variables of events that pass, as they are learned; their rows stand beside them.

        Raises
        ------
        ConfigError
            If a variable is not defined in an event that passes, and nothing stands for it.
        """
        return {name: self._expressed(name, one, values[name], rows) for name, one in self._items()}

    def _items(self) -> Iterable[tuple[str, Variable]]:
        return self.analysis.variables.items()

    def _expressed(self, name: str, one: Variable, values: F64, rows: Rows) -> Column:
        lost = ~np.isfinite(values)
        if lost.any() and one.missing is None:
            raise ConfigError(
                f"{self.where}: variables.{name} is not defined in {int(lost.sum()):,} of {len(values):,} "
                "events that pass the selection; say what stands for it, as missing: -1, or select events "
                "that have it"
            )
        if one.against is Against.VALUE:
            filled = np.where(lost, one.missing or 0.0, values)
            return self._whole(name, filled) if one.type == "int" else filled.astype(np.float32)
        base = self._base(name, one, rows)
        found = values / base if one.against is Against.RATIO else values - base
        return np.where(lost, _MISSING[one.against] or 0.0, found).astype(np.float32)

    def _whole(self, name: str, values: F64) -> Column:
        whole = np.round(values)
        odd = (np.abs(values - whole) > _WHOLE_WITHIN) | (np.abs(values) > np.iinfo(np.int32).max)
        if odd.any():
            raise ConfigError(
                f"{self.where}: variables.{name} is of type int, and {values[odd][0]:g} in an event that "
                "passes the selection; give it the type float, or an expression that gives whole numbers"
            )
        return whole.astype(np.int32)

    def _base(self, name: str, one: Variable, rows: Rows) -> F64:
        base, there = rows[f"gen_{name}"].astype(np.float64), rows[f"has_{name}"] > 0
        if one.against is Against.DIFFERENCE:
            return base
        return np.where(there & (base > _SMALLEST), base, _NO_COUNTERPART)

    def restore(self, drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
        """The variables of what was drawn."""
        return {name: self._restored(name, one, drawn[name], rows) for name, one in self._items()}

    def _restored(self, name: str, one: Variable, drawn: F64, rows: Rows) -> Column:
        if one.type == "int":
            return np.round(drawn).astype(np.int32)
        mark = _MISSING[one.against]
        if mark is None:
            return drawn.astype(np.float32)
        base = self._base(name, one, rows)
        found = drawn * base if one.against is Against.RATIO else drawn + base
        # halfway to the mark nothing was seen
        return np.where(drawn < mark / 2, one.missing or 0.0, found).astype(np.float32)
