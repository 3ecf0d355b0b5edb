"""A bundle beside FullSim: the chain on the generator level of held-out events, and what tells it apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.assessment import WHOLE_EVENTS, AreaFigures
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.event_range import WHOLE, EventRange
from flashsim_prod.physics.events import WEIGHT, Events, full_name
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import stored
from flashsim_prod.physics.validation.dataset.fidelity import compare_samples
from flashsim_prod.physics.validation.dataset.figures import DatasetFidelity, ToldApart
from flashsim_prod.physics.validation.dataset.samples import Sample, alike
from flashsim_prod.physics.validation.models.figures import Light
from flashsim_prod.physics.validation.models.held_out import HeldOutFile, inspect_all, read_chunks
from flashsim_prod.physics.validation.models.whole_events import generator_level

#: called with what is being done, how much of it is done and how much there is
StageProgress = Callable[[str, int, int], None]

#: what such files are called
FULLSIM = "FullSim"
#: objects of a model below which nothing is said: of FullSim there may be only a few hundred events
FEWEST = 60


@dataclass(frozen=True)
class Beside:
    """A bundle beside FullSim, and the one that its models began as.

    Attributes
    ----------
    after : DatasetFidelity
    before : DatasetFidelity, optional
        Of the other bundle.
    begun_as : str
        What the other bundle is; empty if there is none.
    models_before : mapping of object model to area
        Of the other bundle's models alone.
    """

    after: DatasetFidelity
    before: DatasetFidelity | None = None
    begun_as: str = ""
    models_before: Mapping[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, AreaFigures]:
        """Whole events and collections, as manifests keep them."""
        now, then = told_of(self.after), told_of(self.before) if self.before else {}
        return {
            name: AreaFigures(
                rows=one.rows[1],
                auc=round(one.auc.value, 4),
                auc_error=round(one.auc.error, 4),
                auc_floor=round(one.floor.value, 4),
                auc_before=round(then[name].auc.value, 4) if name in then else None,
            )
            for name, one in now.items()
        }

    def as_json(self) -> dict[str, Any]:
        """What ``report.json`` says of it."""
        both = {"after": self.after, "before": self.before}
        return {
            "begun_as": self.begun_as,
            "told_apart": {name: one.model_dump() for name, one in self.figures().items()},
            "importance": {
                name: [[attribute, round(fall, 4)] for attribute, fall in told.importance[:10]]
                for name, told in told_of(self.after).items()
            },
            **{
                name: {
                    "lights": lights_of(one),
                    "red": [group.name for group in one.groups if group.light is Light.RED],
                }
                for name, one in both.items()
                if one is not None
            },
        }


def told_of(found: DatasetFidelity) -> dict[str, ToldApart]:
    """How well whole events, and the objects of each collection, are told apart."""
    of_groups = {group.name: group.told for group in sorted(found.groups, key=lambda one: one.name)}
    return {name: told for name, told in ({WHOLE_EVENTS: found.told} | of_groups).items() if told is not None}


def lights_of(found: DatasetFidelity) -> dict[str, int]:
    """How many groups are green, amber and red."""
    return {light.value: sum(group.light is light for group in found.groups) for light in Light}


def full_sim(urls: Sequence[str]) -> tuple[HeldOutFile, ...]:
    """What the files are; `InputError` if one says that it is no FullSim."""
    found = inspect_all(urls)
    for url, file in zip(urls, found, strict=True):
        if file.detector:
            raise InputError(
                f"{url} is of the {file.detector.partition(' (')[0]}, not FullSim; leave out --against"
            )
    return found


def read_held_out(
    urls: Sequence[str],
    schema: Schema,
    event_range: EventRange = WHOLE,
    most: int = 20_000,
    progress: StageProgress = lambda *now: None,
) -> Sample:
    """The first events of files that nothing learned from, as `schema` has them, of each file alike."""
    files, parts = full_sim(urls), []
    share = -(-most // len(urls))
    for number, (url, file) in enumerate(zip(urls, files, strict=True)):
        done = 0
        for start, events in read_chunks(url, number, schema, event_range):
            progress(Path(url).name, start, file.entries)
            parts.append(_known(events.slice(0, share - done), schema))
            done += parts[-1].n
            if done >= share:
                break
        progress(Path(url).name, file.entries, file.entries)
    joined = Events.concatenate(alike(parts))
    gen = joined.scalars["FlashSim_genEvent"].astype(np.int64)
    weight = joined.scalars.get("genWeight", np.ones(joined.n)).astype(np.float64)
    return Sample(FULLSIM, files, joined, gen, weight, schema)


def simulated(chain: Chain, held_out: Sample, seed: int) -> Sample:
    """What the chain makes of the same generator events, as a file would give it back."""
    folds = fold_events(
        generator_level(held_out.events),
        oversample=1,
        gen_first=0,
        run=1,
        first_event=1,
        first_lumi=1,
        gen_events_per_lumi=1000,
        job_gen_first=0,
    )
    made = stored(chain.simulate(folds, seed=seed), held_out.schema)
    weight = held_out.weight
    if WEIGHT in made.scalars:
        weight = weight * made.scalars[WEIGHT].astype(np.float64)
    return Sample("FlashSim", (), made, held_out.gen, weight, held_out.schema)


def compare_with(
    chain: Chain, held_out: Sample, seed: int, progress: StageProgress = lambda *now: None
) -> DatasetFidelity:
    """All that tells the chain's events from FullSim's of the same generator events."""
    return compare_samples(simulated(chain, held_out, seed), held_out, progress)


def _known(events: Events, schema: Schema) -> Events:
    """Only what the schema names, and who the events are."""
    scalars = {
        name: column
        for name, column in events.scalars.items()
        if name in schema.branches or name in schema.counters or name.startswith("FlashSim_")
    }
    collections = {
        name: one.only(sorted(key for key in one.columns if full_name(name, key) in schema.branches))
        for name, one in events.collections.items()
        if name in schema.collections
    }
    return Events(events.n, scalars, collections)
