"""The reference detector beside real files: objects by source, and all that ``validate`` sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashsim_prod.physics.detector.eras import DEFAULT_ERA, DetectorEra
from flashsim_prod.physics.detector.retuning.table import Table, written
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import declared_in
from flashsim_prod.physics.validation.dataset.fidelity import compare_samples
from flashsim_prod.physics.validation.dataset.figures import DatasetFidelity
from flashsim_prod.physics.validation.dataset.samples import Sample, StageProgress
from flashsim_prod.physics.validation.detector.quantiles import measured
from flashsim_prod.physics.validation.detector.rates import Rate, rates
from flashsim_prod.physics.validation.detector.sides import Part, Sides, read_sides
from flashsim_prod.physics.validation.models.held_out import REFERENCE_DETECTOR

#: how often the parametric response is drawn for a table
_FOLDS = 10


@dataclass(frozen=True)
class Beside:
    """What came of it.

    Attributes
    ----------
    events : int
        Of either side.
    rates : tuple of Rate
    fidelity : DatasetFidelity
        Of what the detector makes, against the real events.
    """

    events: int
    rates: tuple[Rate, ...]
    fidelity: DatasetFidelity

    def figures(self) -> dict[str, Any]:
        """What is printed as JSON."""
        told = self.fidelity.told
        return {
            "events": self.events,
            "objects_per_event": {
                one.name: {"real": vars(one.real), "detector": vars(one.made)} for one in self.rates
            },
            "whole_events": None if told is None else {"auc": vars(told.auc), "floor": vars(told.floor)},
            "groups": {
                group.name: {
                    "light": group.light,
                    "auc": group.told.auc.value if group.told else None,
                    "not_green": list(group.complaints),
                }
                for group in self.fidelity.groups
            },
        }


def stand_beside(
    urls: Sequence[str],
    *,
    part: Part,
    seed: int,
    table: Table | None,
    era: DetectorEra = DEFAULT_ERA,
    progress: StageProgress,
) -> Beside:
    """The detector with `table` (None: the one that comes with the package) beside the events of `urls`."""
    schema = declared_in(era.nano)
    sides = read_sides(urls, part=part, seed=seed, schema=schema, progress=progress, table=table, era=era)
    real, made = _sample("real files", sides.real, sides, schema), _sample("", sides.made, sides, schema)
    return Beside(sides.real.n, tuple(rates(sides, era.nano)), compare_samples(made, real, progress))


def table_of(
    urls: Sequence[str],
    *,
    part: Part,
    seed: int,
    era: DetectorEra = DEFAULT_ERA,
    progress: StageProgress,
) -> str:
    """The text of a table measured on the events of `urls`."""
    schema = declared_in(era.nano)
    pairs = []
    for number, url in enumerate(urls):
        sides = read_sides(
            [url],
            part=part,
            seed=seed + number,
            schema=schema,
            progress=progress,
            table={},
            folds=_FOLDS,
            stored=False,
            era=era,
        )
        pairs.append((sides.real, sides.made))
    names = ", ".join(url.rsplit("/", 1)[-1] for url in urls)
    n = sum(real.n for real, _ in pairs)
    about = f"{n} events ({part}) of {names}, each reconstructed {_FOLDS} times"
    return written(measured(pairs, era.nano), about)


def _sample(title: str, events: Events, sides: Sides, schema: Schema) -> Sample:
    return Sample(title or REFERENCE_DETECTOR, (), events, sides.gen, np.ones(events.n), schema)
