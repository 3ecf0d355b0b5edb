"""Real events, and what the reference detector makes of their own generator level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.copies import Copies
from flashsim_prod.physics.detector.eras import DEFAULT_ERA, DetectorEra
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.detector.retuning.table import Table
from flashsim_prod.physics.events import Collection, Events, full_name
from flashsim_prod.physics.generator.existing import NanoSource
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.dataset.samples import StageProgress, is_generator_level
from flashsim_prod.physics.validation.statistics.distances import I64

#: fewer events say nothing
_FEWEST = 20
#: generator events are drawn anew for each file from this on
_CHUNK_EVENTS = 2000


class Part(StrEnum):
    """Which of the generator events are looked at."""

    ALL = "all"
    TUNING = "tuning"
    JUDGING = "judging"

    def of(self, n: int) -> I64:
        """Positions of its events among `n`: every second one is for tuning, the others for judging."""
        first, step = {Part.ALL: (0, 1), Part.TUNING: (0, 2), Part.JUDGING: (1, 2)}[self]
        return np.arange(first, n, step, dtype=np.int64)


@dataclass(frozen=True)
class Sides:
    """The same generator events, reconstructed twice; both with the same branches.

    Attributes
    ----------
    real : Events
        As the files have them.
    made : Events
        By the reference detector, with the precision of files.
    gen : int64 array of shape (n_events,)
        Generator event of each, the same for both.
    """

    real: Events
    made: Events
    gen: I64


def read_sides(
    urls: Sequence[str],
    *,
    part: Part,
    seed: int,
    schema: Schema,
    progress: StageProgress,
    table: Table | None = None,
    folds: int = 1,
    stored: bool = True,
    era: DetectorEra = DEFAULT_ERA,
) -> Sides:
    """Both sides of the events of `urls`; `InputError` if they are too few, or a file lacks a branch.

    Parameters
    ----------
    table : Table, optional
        What the detector is moved by.
    folds : int
        How often each event is reconstructed; with more than once, `gen` is that of the real side.
    stored : bool
        Whether the detector's numbers have the precision of files.
    era : DetectorEra
        Which years the detector imitates; of others than by default, files are read under the names that
        models of its version declare.
    """
    detector = ReferenceDetector(schema, table=table, era=era)
    copies, reals, mades = Copies(), [], []
    for number, url in enumerate(urls):
        progress(url.rsplit("/", 1)[-1], number, len(urls))
        real = _real(url, schema, seed, copies, "" if era is DEFAULT_ERA else era.nano)
        real = real.take(part.of(real.n))
        if real.n:
            made = detector.simulate(_generated(real).repeat(folds), seed=seed + number)
            reals.append(real)
            mades.append(_stored(made, schema) if stored else made)
    progress(urls[-1].rsplit("/", 1)[-1], len(urls), len(urls))
    n = sum(one.n for one in reals)
    if n < _FEWEST:
        raise InputError(f"{', '.join(urls)}: {n} events say nothing; give files of {_FEWEST} and more")
    common = _alike([*reals, *mades])
    real, made = Events.concatenate(common[: len(reals)]), Events.concatenate(common[len(reals) :])
    return Sides(real, made, np.arange(n, dtype=np.int64))


def _real(url: str, schema: Schema, seed: int, copies: Copies, near: str = "") -> Events:
    """Both levels of a file, with what it lacks of pileup drawn.

    Where it lacks the true vertex, the one found stands for it: it is another collision's in one event of a
    hundred.
    """
    with NanoFile(url, schema, declared=bool(near), near=near) as file:
        n = file.n_entries
        if not n:
            raise InputError(f"{url} holds no events; leave it out")
        copies.refuse(url, file)
        names = [name for name in schema.branches if name in file.branches]
        read = file.read(names, 0, n)
        has_vertex = "GenVtx_z" in file.branches
    source = NanoSource([(url, n)], first=0, n_events=n, seed=seed, schema=schema)
    gen = Events.concatenate(source.chunks(_CHUNK_EVENTS))
    reconstructed = {name: one for name, one in read.collections.items() if not is_generator_level(name)}
    if not reconstructed:
        raise InputError(f"{url} holds nothing reconstructed; give NANOAODSIM of FullSim")
    scalars = {
        name: one for name, one in read.scalars.items() if not is_generator_level(name) or "MET_" in name
    }
    if not has_vertex:
        found = {f"GenVtx_{axis}": f"PV_{axis}" for axis in "xyz"}
        scalars |= {name: scalars[pv] for name, pv in found.items() if pv in scalars}
    return gen.with_scalars(scalars).with_collections(reconstructed)


def _generated(events: Events) -> Events:
    return Events(
        events.n,
        {name: column for name, column in events.scalars.items() if is_generator_level(name)},
        {name: one for name, one in events.collections.items() if is_generator_level(name)},
    )


def _stored(events: Events, schema: Schema) -> Events:
    """With the precision that files have."""
    known = schema.branches
    scalars = {
        name: as_stored(known[name], column) if name in known else column
        for name, column in events.scalars.items()
    }
    return Events(
        events.n,
        scalars,
        {
            name: Collection(
                one.counts,
                {
                    attribute: as_stored(known[full_name(name, attribute)], column)
                    if full_name(name, attribute) in known
                    else column
                    for attribute, column in one.columns.items()
                },
                name,
            )
            for name, one in events.collections.items()
        },
    )


def _alike(parts: Sequence[Events]) -> list[Events]:
    """The parts with only those branches that all have."""
    scalars = sorted(set.intersection(*(set(part.scalars) for part in parts)))
    collections = sorted(set.intersection(*(set(part.collections) for part in parts)))
    columns = {
        name: sorted(set.intersection(*(set(part[name].columns) for part in parts))) for name in collections
    }
    return [
        Events(
            part.n,
            {name: part.scalars[name] for name in scalars},
            {name: part[name].only(columns[name]) for name in collections},
        )
        for part in parts
    ]
