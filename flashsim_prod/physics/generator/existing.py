"""Existing NanoAOD or NanoGEN files in the generator's place."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import accumulate

import numpy as np

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.core.splitting import SimulateJob
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.generator.kinds import Locate, SourceKind
from flashsim_prod.physics.generator.pileup import PileupDraws, find_profile
from flashsim_prod.physics.generator.source import (
    GEN_COLLECTIONS,
    GEN_SCALARS,
    OPTIONAL_COLLECTIONS,
    OPTIONAL_SCALARS,
    branches_of,
    regrouped,
)
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema

_LOG = logging.getLogger(__name__)

_PILEUP = tuple(name for name in GEN_SCALARS if name.startswith("Pileup_"))
#: what a file must hold; pileup is drawn where it does not
_REQUIRED = (
    *(name for name in GEN_SCALARS if name not in _PILEUP),
    *(branch for name, attributes in GEN_COLLECTIONS.items() for branch in branches_of(name, attributes)),
)
#: branches that a file has as a whole or that count as absent
_OPTIONAL_GROUPS: tuple[tuple[str, ...], ...] = (
    _PILEUP,
    *((name,) for name in OPTIONAL_SCALARS),
    *(branches_of(name, attributes) for name, attributes in OPTIONAL_COLLECTIONS.items()),
)
#: where the input's own numbering goes, so that events can be traced back
_TRACED = {
    "run": ("FlashSim_inputRun", np.uint32),
    "luminosityBlock": ("FlashSim_inputLumi", np.uint32),
    "event": ("FlashSim_inputEvent", np.uint64),
}


def inspect_input(url: str) -> int:
    """The number of events of an input file.

    Raises
    ------
    InputError
        The file is missing, truncated, not ROOT or empty, or lacks a branch; the line says which.
    """
    with NanoFile(url) as file:
        if not file.n_entries:
            raise InputError(f"{url} holds no events; leave it out")
        file.require(_REQUIRED)
        file.read(_available(file.branches), 0, 1)
        return file.n_entries


def check_alike(files: Sequence[InputFile]) -> None:
    """Read the first event of each file as a job would: all must have the branches of the first one."""
    schema = Schema.default()
    ends = accumulate(file.entries for file in files)
    entries = [(file.url, file.entries) for file in files]
    for first in list(ends)[:-1]:
        next(NanoSource(entries, first=first, n_events=1, seed=0, schema=schema).chunks(1))


class NanoKind(SourceKind):
    """Existing NanoAOD or NanoGEN files as the source of a request: all that ROOT files can be."""

    def takes(self, url: str) -> bool:
        return url.endswith(".root")

    def entries(self, url: str) -> int:
        return inspect_input(url)

    def of(self, files: Sequence[InputFile]) -> Source:
        return NanoFiles(files=tuple(files))

    def check(self, source: Source, card: ProcessCard) -> None:
        check_alike(source.files)

    def open(self, source: Source, request: Request, job: SimulateJob, locate: Locate = str) -> NanoSource:
        return NanoSource(
            [(locate(file.url), file.entries) for file in source.files],
            first=job.gen_first,
            n_events=job.gen_events,
            seed=job.pileup_seed,
            schema=Schema.load(request.nano),
            pileup=request.pileup,
        )


KIND = NanoKind()


class NanoSource:
    """Events [first, first + n_events) of some files, end to end.

    All files must have the branches of the first one, so that all jobs of a request write the same ones.
    Pileup and generator vertices that they lack are drawn.

    Parameters
    ----------
    files : sequence of (str, int)
        Path or URL of each file and its number of events.
    first : int
        Number, from 0, of the first event.
    n_events : int
    seed : int
        Of the pileup and the vertices, where they are drawn.
    schema : Schema
        Whose types the events get, and which of their attributes are links.
    pileup : str
        Name of the profile that it is then drawn from.

    Raises
    ------
    InputError
        The files hold fewer events than asked for; later also if one is not as it was inspected.
    """

    def __init__(
        self,
        files: Sequence[tuple[str, int]],
        *,
        first: int,
        n_events: int,
        seed: int,
        schema: Schema,
        pileup: str = "Run2_2018",
    ) -> None:
        total = sum(entries for _, entries in files)
        if first + n_events > total:
            raise InputError(
                f"events {first} to {first + n_events} were asked for, but the input files hold {total}; "
                "add files or ask for fewer events"
            )
        self._files = tuple(files)
        self._first = first
        self._n_events = n_events
        self._seed = seed
        self._schema = schema
        self._profile = find_profile(pileup)

    def chunks(self, size: int) -> Iterator[Events]:
        """All events, at most `size` at a time; their contents do not depend on `size`."""
        with NanoFile(self._files[0][0], self._schema) as first:
            first.require(_REQUIRED)
            yield from self._chunks_like(first, size)

    def _chunks_like(self, first: NanoFile, size: int) -> Iterator[Events]:
        """The events, with those branches that the `first` file has."""
        names = _available(first.branches)
        draws = PileupDraws(self._profile, self._seed)
        for what, branch in (("pileup", _PILEUP[0]), ("generator vertex", "GenVtx_z")):
            if branch not in names:
                _LOG.warning("%s has no %s; it is drawn", self._files[0][0], what)
        for events in regrouped(self._pieces(first, names, size), size):
            yield _delivered(events, draws, self._schema)

    def _pieces(self, first: NanoFile, names: tuple[str, ...], size: int) -> Iterator[Events]:
        """The events in order, in pieces that end where a file does."""
        offset, last = 0, self._first + self._n_events
        for url, entries in self._files:
            start, stop = max(self._first - offset, 0), min(last - offset, entries)
            offset += entries
            if start >= stop:
                continue
            # what describes its branches takes long to read, so the first file is not opened twice
            opened = nullcontext(first) if url == first.url else NanoFile(url, self._schema)
            with opened as file:
                if file.n_entries != entries:
                    raise InputError(
                        f"{url} holds {file.n_entries} events, but held {entries} when the request was made; "
                        "put the file back or make a new request"
                    )
                self._require_alike(file, names)
                for at in range(start, stop, size):
                    yield file.read(names, at, min(at + size, stop))

    def _require_alike(self, file: NanoFile, names: tuple[str, ...]) -> None:
        """`InputError` if `file` lacks a branch that is read because the first file has it."""
        lacking = next((name for name in names if name not in file.branches), None)
        if lacking:
            raise InputError(
                f"{file.url} has no branch '{lacking}', which {self._files[0][0]} has; "
                "give files of one NanoAOD version"
            )


def _available(branches: frozenset[str]) -> tuple[str, ...]:
    """The branches to read of a file that has `branches`."""
    groups = (*_OPTIONAL_GROUPS, *((name,) for name in _TRACED))
    return (*_REQUIRED, *(name for group in groups if branches.issuperset(group) for name in group))


def _delivered(events: Events, draws: PileupDraws, schema: Schema) -> Events:
    """`events` with traceable numbering, and with vertex and pileup that are drawn if need be."""
    scalars: dict[str, Column] = {}
    for name, column in events.scalars.items():
        kept, dtype = _TRACED.get(name, (name, None))
        scalars[kept] = column if dtype is None else column.astype(dtype)
    if "GenVtx_z" not in scalars:
        scalars.update(draws.draw_vertices(events.n))
    if _PILEUP[0] not in scalars:
        scalars.update(draws.draw_pileup(scalars["GenVtx_z"].astype(np.float32)))
    collections = {name: _without_dangling_links(name, events, schema) for name in events.collections}
    return Events(events.n, scalars, collections)


def _without_dangling_links(name: str, events: Events, schema: Schema) -> Collection:
    """A collection whose links past the end of what they point to are -1, for nothing.

    Some versions of NanoAOD number the mothers of hadronic taus in a list longer than the one they store.
    """
    collection, mended = events[name], {}
    for attribute, links in schema.links(name).items():
        targets = [events[one] for one in links if one in events]
        if targets and attribute in collection:
            column = collection[attribute]
            reach = np.max([target.counts for target in targets], axis=0)[collection.event_index]
            mended[attribute] = np.where(column < reach, column, -1).astype(column.dtype)
    return collection.with_columns(**mended)
