"""Technical checks of a produced file: numbering, folds, sums, links, legal and finite values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import uproot
from numpy.typing import NDArray

from flashsim_prod.core.analyses.ntuple import ANALYSIS
from flashsim_prod.core.report import LumiRange
from flashsim_prod.errors import EventsError, InputError
from flashsim_prod.physics.events import Collection, Column, Events, full_name
from flashsim_prod.physics.nanoaod.carried import carried_branches
from flashsim_prod.physics.nanoaod.content import ContentDigest
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading
from flashsim_prod.physics.nanoaod.runs import (
    WEIGHT,
    RunSums,
    lumi_pairs,
    lumi_ranges,
    written_runs,
    wrong_sums,
    wrong_weights,
)
from flashsim_prod.physics.nanoaod.schema import Branch, Schema

#: collections that NanoAOD orders by falling transverse momentum; electrons and photons by that before they
#: were calibrated
PT_ORDERED = ("Jet", "FatJet", "Muon", "Electron", "Photon", "Tau")

#: as `map`: what calls a function for each item
InTurn = Callable[[Callable[[int], None], Iterable[int]], Iterable[None]]

_NUMBERS = ("run", "luminosityBlock", "event")
_FOLDS = ("FlashSim_genEvent", "FlashSim_fold", "FlashSim_oversample")
_STEP = 4000
#: how far a quotient may rise in the order that it was before rounding
_ROUNDED = 1e-6
#: what MetaData has of files whose Runs are the input's
NORMALISATION = "normalisation"


@dataclass(frozen=True)
class FileSummary:
    """What a checked file holds.

    Attributes
    ----------
    events : int
    sum_of_weights : float
        genWeight over all events, every fold counted.
    first_event, last_event : int
        Smallest and largest event number; 0 like the others where there are none.
    gen_events, first_gen_event, last_gen_event : int
        Generated events, and the smallest and largest FlashSim_genEvent.
    lumis : tuple of LumiRange
        Luminosity sections, as stretches without holes.
    content : mapping of str to str
        Digests of all values, by part of the event.
    """

    events: int
    sum_of_weights: float
    first_event: int
    last_event: int
    gen_events: int
    first_gen_event: int
    last_gen_event: int
    lumis: tuple[LumiRange, ...]
    content: Mapping[str, str] = field(default_factory=dict, hash=False)


def check_file(
    path: Path | str,
    *,
    schema: Schema,
    events: int | None = None,
    event_numbers: range | None = None,
    lumis: Sequence[LumiRange] | None = None,
    name: str | None = None,
    runs: Sequence[RunSums] = (),
    may_be_empty: bool = False,
    digests: bool = True,
    in_turn: InTurn | None = None,
) -> FileSummary:
    """Check a file that `NanoWriter` or `merge_files` made, reading it in steps.

    Parameters
    ----------
    path : Path or str
        A path, or a URL.
    schema : Schema
        What the file's branches must be of.
    events : int, optional
        Number of events that there must be.
    event_numbers : range, optional
        Event numbers that may occur.
    lumis : sequence of LumiRange, optional
        Luminosity sections that may occur.
    name : str, optional
        What the file is called in messages, if `path` is a temporary one.
    runs : sequence of RunSums
        What its tree Runs must come to, where that is the input's and not the sum of the events.
    may_be_empty : bool
        Whether it may hold no events at all.
    digests : bool
        Whether digests of all values are wanted, which take a tenth of the time.
    in_turn : callable, optional
        Where no digests are wanted: calls a function for each of several stretches of events and gives its
        results in order. Each opens the file for itself, so that other processes may.

    Raises
    ------
    EventsError
        One line with the file, the event and the branch of the first thing that is wrong.
    """
    where = _Where(name or str(path))
    with _as_validation(), NanoFile(str(path)) as file:
        if events is not None and file.n_entries != events:
            where.fail(f"holds {file.n_entries} events, expected {events}")
        if not file.n_entries and not may_be_empty:
            where.fail("holds no events")
        schema = schema.with_carried(carried_branches(file, schema.branches))
        known = _known_branches(file, schema, where)
        weights = [WEIGHT] if WEIGHT in file.branches else []
        numbers = file.read([*_NUMBERS, *_FOLDS, "genWeight", *weights], 0, file.n_entries)
        where.numbers = numbers
        about = file.provenance()
        check_sums = partial(_check_sums, str(path), numbers, where, runs, of_input=NORMALISATION in about)
        if not numbers.n:
            check_sums()
            return FileSummary(0, 0.0, 0, 0, 0, 0, 0, ())
        _check_numbers(numbers, event_numbers, lumis, where)
        _check_folds(numbers, where, is_selected=ANALYSIS in about)
        weight = numbers.scalars["genWeight"]
        _check_column(schema.branch("genWeight"), weight, np.arange(numbers.n), 0, where)
        check_sums()
        content, stretches = ContentDigest(), range(0, numbers.n, _STEP)
        by_others = None if digests else in_turn
        for start in stretches if by_others is None else ():
            stretch = _checked(file, known, schema, where, start)
            if digests:
                content.add(stretch)
    if by_others is not None:
        deque(by_others(partial(_check_anew, str(path), known, schema, where), stretches), maxlen=0)
    event, gen = numbers.scalars["event"], numbers.scalars["FlashSim_genEvent"]
    return FileSummary(
        events=numbers.n,
        sum_of_weights=float(numbers.scalars["genWeight"].sum(dtype=np.float64)),
        first_event=int(event.min()),
        last_event=int(event.max()),
        gen_events=len(np.unique(gen)),
        first_gen_event=int(gen.min()),
        last_gen_event=int(gen.max()),
        lumis=lumi_ranges(numbers),
        content=content.result(),
    )


def _checked(file: NanoFile, known: Sequence[str], schema: Schema, where: _Where, start: int) -> Events:
    """A stretch of events, whose values are what they should be."""
    stretch = file.read(known, start, start + _STEP)
    _check_values(stretch, schema, start, where)
    return stretch


def _check_anew(path: str, known: Sequence[str], schema: Schema, where: _Where, start: int) -> None:
    """The same of a file that is opened for this stretch alone."""
    with _as_validation(), NanoFile(path) as file:
        _checked(file, known, schema, where, start)


class _Where:
    """Says what is wrong, and in which event of which file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.numbers = Events(0)

    def fail(self, problem: str, index: int | None = None) -> None:
        """Raise `EventsError`; `index` is the position of the event in the file."""
        if index is None:
            raise EventsError(f"{self._name} {problem}")
        run, lumi, event = (int(self.numbers.scalars[name][index]) for name in _NUMBERS)
        raise EventsError(f"{self._name}, event {run}:{lumi}:{event} (entry {index}): {problem}")

    def fail_first(self, bad: NDArray[np.bool_], problem: str) -> None:
        """Raise if any event is marked in `bad`."""
        if bad.any():
            self.fail(problem, int(np.argmax(bad)))


@contextmanager
def _as_validation() -> Iterator[None]:
    """A produced file that cannot be read is invalid."""
    try:
        yield
    except InputError as error:
        raise EventsError(str(error)) from error


def _known_branches(file: NanoFile, schema: Schema, where: _Where) -> list[str]:
    """All branches of the file, which must be those of the schema and one counter for each collection."""
    in_schema = [one for name, one in schema.branches.items() if name in file.branches]
    counters = {f"n{one.collection}" for one in in_schema if one.collection}
    for name in sorted(file.branches - schema.branches.keys() - counters):
        where.fail(f"has an unknown branch '{name}'")
    for name in sorted({*counters, *_NUMBERS, *_FOLDS, "genWeight"} - file.branches):
        where.fail(f"has no branch '{name}'")
    return sorted(file.branches)


def _check_numbers(
    numbers: Events, event_numbers: range | None, lumis: Sequence[LumiRange] | None, where: _Where
) -> None:
    run, lumi, event = (numbers.scalars[name] for name in _NUMBERS)
    order = np.lexsort((event, lumi, run))
    same = np.ones(numbers.n - 1, dtype=bool)
    for column in (run, lumi, event):
        same &= np.diff(column[order].astype(np.int64)) == 0
    repeated = np.zeros(numbers.n, dtype=bool)
    repeated[order[1:][same]] = True
    where.fail_first(repeated, "run, luminosityBlock and event occur twice")
    if event_numbers is not None:
        outside = (event < event_numbers.start) | (event >= event_numbers.stop)
        where.fail_first(outside, f"event lies outside {event_numbers.start}..{event_numbers.stop - 1}")
    if lumis is not None:
        inside = np.zeros(numbers.n, dtype=bool)
        for one in lumis:
            inside |= (run == one.run) & (lumi >= one.first) & (lumi <= one.last)
        where.fail_first(~inside, "luminosityBlock lies outside what was asked for")


def _check_folds(numbers: Events, where: _Where, *, is_selected: bool = False) -> None:
    """Folds 0 to k-1 of each generated event follow each other, and no generated event comes twice.

    Where events are selected, some of the folds: then all that is known is their order.
    """
    gen, fold, oversample = (numbers.scalars[name].astype(np.int64) for name in _FOLDS)
    if is_selected:
        where.fail_first((fold < 0) | (fold >= oversample), "FlashSim_fold is none of FlashSim_oversample")
        new = np.append(True, gen[1:] != gen[:-1])
        back = np.append(False, fold[1:] <= fold[:-1]) & ~new
        where.fail_first(back, "FlashSim_fold does not come after the fold before it")
        started, position = np.unique(gen[new], return_index=True)
        if len(started) != int(new.sum()):
            where.fail("FlashSim_genEvent occurs twice", int(np.delete(np.flatnonzero(new), position)[0]))
        return
    first = fold == 0
    follows = np.zeros(numbers.n, dtype=bool)
    follows[1:] = (gen[1:] == gen[:-1]) & (fold[1:] == fold[:-1] + 1) & (oversample[1:] == oversample[:-1])
    where.fail_first(~(first | follows), "FlashSim_fold does not follow the fold before it")
    last = np.append(first[1:], True)
    where.fail_first(last & (fold != oversample - 1), "FlashSim_oversample differs from the number of folds")
    started, position = np.unique(gen[first], return_index=True)
    again = np.flatnonzero(first)
    if len(started) != len(again):
        where.fail("FlashSim_genEvent occurs twice", int(np.delete(again, position)[0]))


def _check_sums(
    path: str, numbers: Events, where: _Where, runs: Sequence[RunSums], *, of_input: bool
) -> None:
    """Runs and LuminosityBlocks tell what the events tell, or Runs what the input told."""
    with reading(path, "lacks Runs or LuminosityBlocks"), uproot.open({path: None}) as file:
        found = written_runs(path)
        blocks = file["LuminosityBlocks"].arrays(library="np")
    if (runs or not of_input) and (problem := wrong_sums(numbers, found, runs)):
        where.fail(problem)
    if not all(np.isfinite(column).all() for column in found.values()):
        where.fail("has sums in Runs that are no finite numbers")
    if misweighed := wrong_weights(numbers, found):
        where.fail(*misweighed)
    listed = set(zip(blocks["run"].tolist(), blocks["luminosityBlock"].tolist(), strict=True))
    if listed != {tuple(pair) for pair in lumi_pairs(numbers).tolist()}:
        where.fail("has a tree LuminosityBlocks that does not list the luminosity sections of its events")


def _check_values(events: Events, schema: Schema, start: int, where: _Where) -> None:
    """Every column of a stretch of events that begins at entry `start`."""
    for name, column in events.scalars.items():
        if name in schema.branches:
            _check_column(schema.branch(name), column, np.arange(events.n), start, where)
    for name, one in events.collections.items():
        counter = events.scalars[f"n{name}"]
        wrong = np.flatnonzero(counter != one.counts)
        if len(wrong):
            where.fail(f"n{name} differs from the number of objects", start + int(wrong[0]))
        for key, column in one.columns.items():
            known = schema.branch(full_name(name, key))
            _check_column(known, column, one.event_index, start, where)
            _check_links(known, column, one, events, start, where)
        if name in PT_ORDERED and "pt" in one:
            _check_order(name, one, start, where)
    _check_answers(events, schema, start, where)


def _check_answers(events: Events, schema: Schema, start: int, where: _Where) -> None:
    """Where two collections point to each other, an object that is pointed to points back.

    Unless all its places are taken: a jet names two muons at most, and a third one still names the jet.
    """
    between = _links_between(events, schema)
    for (source, target), names in between.items():
        back = [events[target][name].astype(np.int64) for name in between.get((target, source), ())]
        if not back:
            continue
        one, other = events[source], events[target]
        for name in names:
            index = one[name].astype(np.int64)
            linking = np.flatnonzero(index >= 0)
            pointed = other.starts[one.event_index[linking]] + index[linking]
            answers = [column[pointed] for column in back]
            good = np.any([answer == one.local_index[linking] for answer in answers], axis=0)
            bad = ~(good | np.all([answer >= 0 for answer in answers], axis=0))
            if bad.any():
                at = int(linking[np.argmax(bad)])
                where.fail(
                    f"{source}_{name} = {index[at]} points to a {target} that does not point back",
                    start + int(one.event_index[at]),
                )


def _links_between(events: Events, schema: Schema) -> dict[tuple[str, str], list[str]]:
    """The attributes by which the objects of one collection point to those of one other."""
    found: dict[tuple[str, str], list[str]] = {}
    for source, one in events.collections.items():
        targets = schema.links(source)
        for name in one.columns:
            links = targets.get(name, ())
            if len(links) == 1 and links[0] != source and links[0] in events.collections:
                found.setdefault((source, links[0]), []).append(name)
    return found


def _check_column(known: Branch, column: Column, event: NDArray[np.int64], start: int, where: _Where) -> None:
    """Type, finiteness and legal values; `event` holds the event of each value."""
    if column.dtype != known.dtype:
        where.fail(f"has {known.name} as {column.dtype}, expected {known.dtype}")
    if known.is_carried:
        return
    if known.dtype.kind == "f":
        good = np.isfinite(column)
        problem = "is not finite"
    elif known.legal is not None:
        good = np.isin(column, np.array(known.legal, dtype=known.dtype))
        problem = "is no legal value"
    else:
        return
    if not good.all():
        at = int(np.argmin(good))
        where.fail(f"{known.name} = {column[at]} {problem}", start + int(event[at]))


def _check_links(
    known: Branch, column: Column, one: Collection, events: Events, start: int, where: _Where
) -> None:
    """Indices are -1 or point to an object of the same event."""
    if not known.links:
        return
    targets = [events.collections[name].counts for name in known.links if name in events.collections]
    room = np.max(targets, axis=0) if targets else np.zeros(events.n, dtype=np.int64)
    bad = (column < -1) | (column >= room[one.event_index])
    if bad.any():
        at = int(np.argmax(bad))
        target = " or ".join(known.links)
        where.fail(f"{known.name} = {column[at]} points to no {target}", start + int(one.event_index[at]))


def _check_order(name: str, one: Collection, start: int, where: _Where) -> None:
    """Fails where pt rises, and so does pt before calibration, in the very same event."""
    odd = _unordered(one, one["pt"])
    known = f"{name}_pt"
    if "eCorr" in one:
        odd &= _unordered(one, one["pt"].astype(np.float64) / one["eCorr"])
        known = f"{name}_pt over {name}_eCorr, nor by {name}_pt"
    if odd.any():
        where.fail(f"{name} is not ordered by {known}", start + int(np.argmax(odd)))


def _unordered(one: Collection, key: Column) -> NDArray[np.bool_]:
    """Events in which `key` rises from an object to the next by more than rounding."""
    rises = (np.diff(key) > _ROUNDED * key[1:]) & (np.diff(one.event_index) == 0)
    found: NDArray[np.bool_] = np.zeros(one.n_events, bool)
    found[one.event_index[1:][rises]] = True
    return found
