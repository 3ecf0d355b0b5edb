"""Whole events: the chain on held-out generator events against their reconstruction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.events import Events, split_name
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.generator.source import (
    GEN_COLLECTIONS,
    GEN_SCALARS,
    OPTIONAL_COLLECTIONS,
    OPTIONAL_SCALARS,
)
from flashsim_prod.physics.validation.models.figures import Light
from flashsim_prod.physics.validation.quantities import QUANTITIES, Quantity
from flashsim_prod.physics.validation.statistics.clustered import Entries, mean_and_width
from flashsim_prod.physics.validation.statistics.distances import F64, I64, Measured

#: deviations of mean and width up to which a quantity is green, and amber
LIMITS = (0.05, 0.10)
#: with fewer entries in either sample nothing is said
MIN_ENTRIES = 50

_GEN_SCALARS = frozenset((*GEN_SCALARS, *OPTIONAL_SCALARS, "run", "luminosityBlock", "event"))
_GEN_COLLECTIONS = frozenset((*GEN_COLLECTIONS, *OPTIONAL_COLLECTIONS))


@dataclass(frozen=True)
class Derived:
    """One quantity in both samples.

    Attributes
    ----------
    entries : (int, int)
        Of the chain and of the reference.
    mean, width : (Measured, Measured)
        Of the chain and of the reference.
    mean_ratio, width_ratio : Measured, optional
        Chain over reference; for resolutions `mean_ratio` is 1 + (difference of the means) / width.
        Generator events are what errors take as independent, and what both samples share of them cancels.
    """

    name: str
    definition: str
    entries: tuple[int, int]
    mean: tuple[Measured, Measured]
    width: tuple[Measured, Measured]
    mean_ratio: Measured | None
    width_ratio: Measured | None

    @property
    def light(self) -> Light:
        """Verdict: mean and width within 5 % of the reference; amber too if two errors reach that far."""
        ratios = [ratio for ratio in (self.mean_ratio, self.width_ratio) if ratio is not None]
        deviations = [(abs(ratio.value - 1), ratio.error) for ratio in ratios]
        if all(deviation <= LIMITS[0] for deviation, _ in deviations):
            return Light.GREEN
        if all(deviation <= max(LIMITS[1], LIMITS[0] + 2 * error) for deviation, error in deviations):
            return Light.AMBER
        return Light.RED


def generator_level(events: Events) -> Events:
    """`events` without anything reconstructed."""
    return Events(
        events.n,
        {name: column for name, column in events.scalars.items() if name in _GEN_SCALARS},
        {name: one for name, one in events.collections.items() if name in _GEN_COLLECTIONS},
    )


class WholeEvents:
    """The chain run on the generator level of events that come piece by piece, and both sides' quantities.

    Parameters
    ----------
    chain : Chain
    seed : int

    Attributes
    ----------
    skipped : str
        Why the chain cannot run on these events; empty if it can.
    """

    def __init__(self, chain: Chain, seed: int) -> None:
        self.skipped = ""
        self.n_events = 0
        self._chain, self._seed = chain, seed
        made = {output for _, models in chain.groups for one in models for output in one.model.outputs}
        self._quantities = [
            quantity
            for quantity in QUANTITIES
            if all(name in made or split_name(name, made)[0] in made for name in quantity.needs)
        ]
        self._drawn = {quantity.name: _Gathered() for quantity in self._quantities}
        self._reference = {quantity.name: _Gathered() for quantity in self._quantities}

    def add(self, events: Events) -> None:
        """Run the chain once on each of `events`, and note the quantities of both."""
        if self.skipped or not self._quantities:
            return
        gen = fold_events(
            generator_level(events),
            oversample=1,
            gen_first=self.n_events,
            run=1,
            first_event=1,
            first_lumi=1,
            gen_events_per_lumi=1000,
            job_gen_first=0,
        )
        try:
            drawn = self._chain.simulate(gen, seed=self._seed)
        except InputError as error:
            self.skipped = str(error)
            return
        self.n_events += events.n
        for side, sample in ((self._drawn, drawn), (self._reference, events)):
            for quantity in self._quantities:
                if all(map(sample.has_branch, quantity.needs)):
                    side[quantity.name].add(quantity.per_event(sample), events)

    def results(self) -> Iterable[tuple[Quantity, Derived, F64, F64]]:
        """What was compared: the quantity, the figures, and the values of the chain and the reference."""
        if self.skipped:
            return
        for quantity in self._quantities:
            drawn, reference = (
                inside(side[quantity.name].entries(), quantity) for side in (self._drawn, self._reference)
            )
            if min(len(drawn), len(reference)) >= MIN_ENTRIES:
                figures = compare_quantity(quantity, drawn, reference)
                yield quantity, figures, drawn.values, reference.values


@dataclass
class _Gathered:
    """One quantity's values while events come piece by piece, with the generator event of each."""

    values: list[F64] = field(default_factory=list)
    gen: list[I64] = field(default_factory=list)

    def add(self, values: F64, events: Events) -> None:
        known = np.isfinite(values)
        self.values.append(values[known])
        self.gen.append(events.scalars["FlashSim_genEvent"].astype(np.int64)[known])

    def entries(self) -> Entries:
        values = np.concatenate([np.zeros(0), *self.values])
        gen = np.concatenate([np.zeros(0, dtype=np.int64), *self.gen])
        return Entries(values, gen, np.ones(len(values)))


def inside(entries: Entries, quantity: Quantity) -> Entries:
    """Those in the window of `quantity`, if it has one."""
    if quantity.window is None:
        return entries
    lowest, highest = quantity.window
    return entries.select((entries.values > lowest) & (entries.values < highest))


def compare_quantity(quantity: Quantity, sample: Entries, reference: Entries) -> Derived:
    """Mean and width over those of the reference, with errors that know the generator events."""
    (mean, width), (other_mean, other_width) = mean_and_width(sample), mean_and_width(reference)
    mean_ratio = mean.ratio(other_mean)
    if quantity.is_resolution:
        shift, unit = mean.difference(other_mean), other_width.value or 1.0
        mean_ratio = Measured(1 + shift.value / unit, shift.error / unit)
    return Derived(
        quantity.name,
        quantity.definition,
        (len(sample), len(reference)),
        (mean.measured, other_mean.measured),
        (width.measured, other_width.measured),
        mean_ratio,
        width.ratio(other_width),
    )
