"""Events of one job, read from HepMC files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from flashsim_prod.core.sources.hepmc import HepmcFiles
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.generator.hepmc.file import Head, event_texts, read_head
from flashsim_prod.physics.generator.hepmc.graph import GraphParticles, check_graph
from flashsim_prod.physics.generator.hepmc.record import Record, read_records
from flashsim_prod.physics.generator.hepmc.survey import beams_of, check_weights
from flashsim_prod.physics.generator.hepmc.weights import sorted_into_branches
from flashsim_prod.physics.generator.pileup import PileupDraws, find_profile
from flashsim_prod.physics.generator.pythia import of_particles
from flashsim_prod.physics.generator.source import regrouped

#: events that are read and analysed together; bounds the memory, changes no content
_BATCH = 100
#: of fewer events compiling the reader would take longer than it saves; changes no content
_WORTH_COMPILING = 500
_ENERGY_AGREES = 1e-3


class HepmcSource:
    """Events [first, first + n_events) of some HepMC files, end to end.

    Parameters
    ----------
    source : HepmcFiles
    files : sequence of (str, int)
        Path of each file and its number of events.
    first, n_events : int
        The job's events; `first` counts from 0.
    pileup : str
        Name of the profile that pileup is drawn from.
    pileup_seed : callable
        The seed of an event's pileup, by its number.

    Raises
    ------
    InputError
        The files hold fewer events than asked for; later also if an event cannot be used.
    """

    def __init__(
        self,
        source: HepmcFiles,
        files: Sequence[tuple[str, int]],
        *,
        first: int,
        n_events: int,
        pileup: str,
        pileup_seed: Callable[[int], int],
    ) -> None:
        total = sum(entries for _, entries in files)
        if first + n_events > total:
            raise InputError(
                f"events {first} to {first + n_events} were asked for, the HepMC files hold {total}"
            )
        self._source = source
        self._files = tuple(files)
        self._first, self._n_events = first, n_events
        self._profile, self._pileup_seed = find_profile(pileup), pileup_seed
        self._branches = sorted_into_branches(source.weights, source.nominal)

    def chunks(self, size: int) -> Iterator[Events]:
        """All events, at most `size` at a time; their contents do not depend on `size`."""
        return regrouped(self._batches(), size)

    def _batches(self) -> Iterator[Events]:
        number = self._first
        for head, where, texts in self._read():
            records = list(read_records(head, texts, where, is_compiled=self._n_events >= _WORTH_COMPILING))
            for record, name in zip(records, where, strict=True):
                self._check(record, name)
            particles = GraphParticles.of(records)
            check_graph(particles, where)
            yield self._joined(of_particles(particles), records, number)
            number += len(records)

    def _read(self) -> Iterator[tuple[Head, list[str], list[bytes]]]:
        """The texts of the job's events in order, a batch of one file at a time."""
        offset, last = 0, self._first + self._n_events
        for url, entries in self._files:
            start, stop = max(self._first - offset, 0), min(last - offset, entries)
            offset += entries
            if start >= stop:
                continue
            head, texts = read_head(url), event_texts(url, start, stop - start)
            place = start
            while batch := list(islice(texts, _BATCH)):
                yield head, [f"{url}: event {place + one}" for one in range(len(batch))], batch
                place += len(batch)

    def _check(self, record: Record, where: str) -> None:
        names = record.names or tuple(map(str, range(len(record.weights))))
        if names != self._source.weights:
            raise InputError(f"{where} has not the weights that the first event has; make a new request")
        check_weights(record.weights, self._source.nominal, where)
        beams, expected = beams_of(record, where), self._source.beams_gev
        if (beams is None) != (expected is None):
            raise InputError(f"{where}: some events have beams in their record and some have none")
        if beams and expected and abs(beams - expected) > _ENERGY_AGREES * expected:
            raise InputError(f"{where}: beams of {beams:g} GeV, those of the first event of {expected:g} GeV")

    def _joined(self, found: Events, records: Sequence[Record], number: int) -> Events:
        pileup = [
            Events(1, PileupDraws(self._profile, self._pileup_seed(one)).draw(1))
            for one in range(number, number + len(records))
        ]
        scalars = {**found.scalars, **self._scalars(records), **Events.concatenate(pileup).scalars}
        return Events(found.n, scalars, {**found.collections, **self._weights(records)})

    def _scalars(self, records: Sequence[Record]) -> dict[str, Column]:
        nominal = self._source.nominal
        weight = np.array([one.weights[nominal] if one.weights else 1.0 for one in records], dtype=np.float32)
        pdf = np.array([one.pdf for one in records], dtype=np.float64).T
        scalars: dict[str, Column] = {
            "genWeight": weight,
            "Generator_weight": weight,
            # as NanoAOD has it of events that are not binned
            "Generator_binvar": np.full(len(records), -1, dtype=np.float32),
            "Generator_id1": pdf[0].astype(np.int32),
            "Generator_id2": pdf[1].astype(np.int32),
        }
        names = ("x1", "x2", "xpdf1", "xpdf2", "scalePDF")
        scalars |= {
            f"Generator_{name}": column.astype(np.float32)
            for name, column in zip(names, pdf[2:], strict=True)
        }
        if self._source.numbered:
            scalars["FlashSim_inputEvent"] = np.array([one.number for one in records], dtype=np.uint64)
        return scalars

    def _weights(self, records: Sequence[Record]) -> dict[str, Collection]:
        if not self._branches:
            return {}
        values = np.array([one.weights for one in records], dtype=np.float64)
        nominal = values[:, [self._source.nominal]]
        # where all are 0, whatever they are divided by
        relative = np.where(nominal == 0, 1.0, values / np.where(nominal == 0, 1.0, nominal))
        return {
            name: Collection(
                np.full(len(records), len(places), dtype=np.int64),
                {"": relative[:, list(places)].astype(np.float32).reshape(-1)},
            )
            for name, places in self._branches.items()
        }
