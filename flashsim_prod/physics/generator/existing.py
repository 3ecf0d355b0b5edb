"""Existing NanoAOD or NanoGEN files in the generator's place."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.core.splitting import SimulateJob
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.generator.files.look import (
    DRAWN,
    NUMBERING,
    OPTIONAL_GROUPS,
    REQUIRED,
    FileLook,
    look_at,
)
from flashsim_prod.physics.generator.files.sound import check_sound, mended
from flashsim_prod.physics.generator.files.survey import check_alike, check_needs, surveyed
from flashsim_prod.physics.generator.kinds import InputFacts, Locate, SourceKind
from flashsim_prod.physics.generator.pileup import PileupDraws, find_profile
from flashsim_prod.physics.generator.source import regrouped
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.runs import RunSums, part_of, read_runs
from flashsim_prod.physics.nanoaod.schema import Schema, as_type

_LOG = logging.getLogger(__name__)

#: where the input's own numbering goes, so that events can be traced back
_TRACED: dict[str, tuple[str, np.dtype[Any]]] = {
    "run": ("FlashSim_inputRun", np.dtype(np.uint32)),
    "luminosityBlock": ("FlashSim_inputLumi", np.dtype(np.uint32)),
    "event": ("FlashSim_inputEvent", np.dtype(np.uint64)),
}
#: where CMS keeps files: /store/mc/Era/Primary/TIER/...
_LFN = re.compile(r"/store/(?:mc|data|user/rucio)/[^/]+/(?P<primary>[^/]+)/[A-Z]+[^/]*/")


def inspect_input(url: str) -> int:
    """The number of events of an input file.

    Raises
    ------
    InputError
        The file is missing, truncated, not ROOT or empty, or lacks a branch; the line says which.
    """
    look = look_at(url)
    check_needs([look], ())
    return look.entries


class NanoKind(SourceKind):
    """Existing NanoAOD or NanoGEN files as the source of a request: all that ROOT files can be."""

    def __init__(self) -> None:
        #: the latest look at each file, so that a request that is made opens none of them twice
        self._looks: dict[str, FileLook] = {}

    def takes(self, url: str) -> bool:
        return url.endswith(".root")

    def entries(self, url: str) -> int:
        self._looks[url] = look_at(url)
        return self._looks[url].entries

    def identity(self, url: str) -> str:
        return identity_of(self._looks[url].identifier if url in self._looks else look_at(url).identifier)

    def of(self, files: Sequence[InputFile]) -> Source:
        return surveyed(files, [self._look(file) for file in files])

    def require(self, source: Source, needs: Collection[str]) -> None:
        check_needs([self._look(file) for file in source.files], needs)

    def check(self, source: Source, card: ProcessCard | None) -> None:
        check_alike([self._look(file) for file in source.files])

    def facts(self, source: Source) -> InputFacts:
        looks = [self._look(file) for file in source.files]
        datasets = {file.dataset or look.dataset for file, look in zip(source.files, looks, strict=True)}
        primaries = {_primary(file, look) for file, look in zip(source.files, looks, strict=True)}
        energies = {look.energy_tev for look in looks}
        heavy = [look.heavy for look in looks if look.heavy is not None]
        _check_one(primaries - {None}, "primary dataset")
        _check_one(energies - {None}, "centre-of-mass energy")
        return InputFacts(
            primary=next((one for one in primaries if one), None),
            datasets=tuple(sorted(one for one in datasets if one)),
            energy_tev=next((one for one in energies if one), None),
            heavy=frozenset.intersection(*heavy) if heavy else None,
        )

    def runs(
        self, source: Source, first: int, number: int, folds: int, locate: Locate | None = None
    ) -> tuple[RunSums, ...]:
        return runs_of(source, first, number, folds, locate) if isinstance(source, NanoFiles) else ()

    def open(self, source: Source, request: Request, job: SimulateJob, locate: Locate = str) -> NanoSource:
        return NanoSource(
            [(locate(file.url), file.entries) for file in source.files],
            identities=[file.identity for file in source.files],
            first=job.gen_first,
            n_events=job.gen_events,
            seed=job.pileup_seed,
            schema=Schema.default().with_carried(source.more_branches()),
            pileup=request.pileup,
            carried=tuple(one.name for one in source.more_branches()),
        )

    def _look(self, file: InputFile) -> FileLook:
        return self._looks.get(file.url) or look_at(file.url)


KIND = NanoKind()


def identity_of(identifier: UUID) -> str:
    """What a ROOT file is told by."""
    return f"uuid:{identifier}"


def _check_one(found: Collection[object], what: str) -> None:
    if len(found) > 1:
        told = " and ".join(sorted(map(str, found)))
        raise InputError(f"--input: the files are of more than one {what}, {told}; make a request for each")


def _primary(file: InputFile, look: FileLook) -> str | None:
    """Whose primary dataset a file is, by the catalogue, by where it is kept, or by itself."""
    for dataset in (file.dataset, look.dataset):
        if dataset and dataset.startswith("/"):
            return dataset.split("/")[1] or None
    match = _LFN.search(file.lfn or file.url)
    return match["primary"] if match else None


def runs_of(
    source: NanoFiles, first: int, number: int, folds: int, locate: Locate | None = None
) -> tuple[RunSums, ...]:
    """What gen events [first, first + number) count for, a row for each file that some of them are of.

    Parameters
    ----------
    locate : callable, optional
        Where the files are: the averages of weights are then read from them.
    """
    rows, begin = [], 0
    for file, sums in zip(source.files, source.sums, strict=False):
        start, stop = max(first - begin, 0), min(first + number - begin, file.entries)
        begin += file.entries
        if start < stop:
            whole = RunSums(sums.count, sums.sumw, sums.sumw2)
            if locate is not None and source.run_vectors:
                told = read_runs(locate(file.url))
                vectors = {} if told is None else told.vectors
                lacking = [name for name in source.run_vectors if name not in vectors]
                if lacking:
                    raise InputError(f"{file.url} has no {lacking[0]} in Runs any more; put the file back")
                whole = replace(whole, vectors={name: vectors[name] for name in source.run_vectors})
            rows.append(part_of(whole, start, stop, file.entries, folds))
    return tuple(rows)


class NanoSource:
    """Events [first, first + n_events) of some files, end to end.

    All files must have the branches of the first one, so that all jobs of a request write the same ones; but
    pileup and generator vertices, of which each file is completed by what it lacks.

    Parameters
    ----------
    files : sequence of (str, int)
        Path or URL of each file and its number of events.
    identities : sequence of (str or None)
        What each file was when the request was made, where that is known.
    first : int
        Number, from 0, of the first event.
    n_events : int
    seed : int
        Of the pileup and the vertices, where they are drawn.
    schema : Schema
        Whose types the events get, and which of their attributes are links.
    pileup : str
        Name of the profile that it is then drawn from.
    carried : sequence of str
        Branches to be passed on as they are; `schema` declares them.

    Raises
    ------
    InputError
        The files hold fewer events than asked for; later also if one is not as it was inspected.
    """

    def __init__(
        self,
        files: Sequence[tuple[str, int]],
        *,
        identities: Sequence[str | None] = (),
        first: int,
        n_events: int,
        seed: int,
        schema: Schema,
        pileup: str = "Run2_2018",
        carried: Sequence[str] = (),
    ) -> None:
        total = sum(entries for _, entries in files)
        if first + n_events > total:
            raise InputError(
                f"events {first} to {first + n_events} were asked for, but the input files hold {total}; "
                "add files or ask for fewer events"
            )
        self._files = tuple(files)
        self._identities = tuple(identities) or (None,) * len(self._files)
        self._first = first
        self._n_events = n_events
        self._seed = seed
        self._schema = schema
        self._profile = find_profile(pileup)
        self._carried = tuple(carried)

    def chunks(self, size: int) -> Iterator[Events]:
        """All events, at most `size` at a time; their contents do not depend on `size`."""
        with NanoFile(self._files[0][0], self._schema) as first:
            first.require(REQUIRED)
            draws = PileupDraws(self._profile, self._seed)
            yield from regrouped(self._pieces(first, self._branches(first), draws, size), size)

    def _branches(self, first: NanoFile) -> tuple[str, ...]:
        """The branches to read, but those that are drawn where they lack: those of the first file."""
        groups = (*OPTIONAL_GROUPS, *((name,) for name in NUMBERING))
        there = (name for group in groups if first.branches.issuperset(group) for name in group)
        return (*REQUIRED, *there, *self._carried)

    def _pieces(
        self, first: NanoFile, names: tuple[str, ...], draws: PileupDraws, size: int
    ) -> Iterator[Events]:
        """The events in order, in pieces that end where a file does."""
        offset, last = 0, self._first + self._n_events
        for (url, entries), identity in zip(self._files, self._identities, strict=True):
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
                there = identity_of(file.identifier)
                if identity not in (None, there):
                    raise InputError(
                        f"{url} is another file than when the request was made ({there}, then {identity}); "
                        "put the file back or make a new request"
                    )
                self._require_alike(file, names)
                given = [name for name in DRAWN if name in file.branches]
                if len(given) < len(DRAWN):
                    lacking = ", ".join(name for name in DRAWN if name not in given)
                    _LOG.warning("%s has no %s; drawn", url, lacking)
                for at in range(start, stop, size):
                    events = file.read((*names, *given), at, min(at + size, stop))
                    check_sound(events, self._schema, url, at)
                    yield _delivered(events, draws, self._schema)

    def _require_alike(self, file: NanoFile, names: tuple[str, ...]) -> None:
        """`InputError` if `file` lacks a branch that is read because the first file has it."""
        lacking = next((name for name in names if name not in file.branches), None)
        if lacking:
            raise InputError(
                f"{file.url} has no branch '{lacking}', which {self._files[0][0]} has; "
                "give files of one NanoAOD version"
            )


def _delivered(events: Events, draws: PileupDraws, schema: Schema) -> Events:
    """`events` with traceable numbering, and with what they lack of vertex and pileup drawn."""
    scalars: dict[str, Column] = {}
    for name, column in events.scalars.items():
        if name in _TRACED:
            kept, dtype = _TRACED[name]
            scalars[kept] = as_type(name, column, dtype)
        else:
            scalars[name] = column
    if not scalars.keys() >= {name for name in DRAWN if name.startswith("GenVtx_")}:
        scalars = {**draws.draw_vertices(events.n), **scalars}
    if not scalars.keys() >= {name for name in DRAWN if name.startswith("Pileup_")}:
        scalars |= draws.draw_pileup(scalars["GenVtx_z"].astype(np.float32), scalars)
    return mended(Events(events.n, scalars, events.collections), schema)
