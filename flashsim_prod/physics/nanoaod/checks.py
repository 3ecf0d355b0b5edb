"""Technical checks of a produced file: numbering, folds, sums, links, legal and finite values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import uproot

from flashsim_prod.core.analyses.ntuple import ANALYSIS
from flashsim_prod.core.report import LumiRange
from flashsim_prod.errors import EventsError, InputError
from flashsim_prod.physics.events import WEIGHT, Events
from flashsim_prod.physics.nanoaod.carried import schema_of_file
from flashsim_prod.physics.nanoaod.checking.values import FOLDS, NUMBERS, Where, check_column, check_values
from flashsim_prod.physics.nanoaod.content import ContentDigest
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading
from flashsim_prod.physics.nanoaod.runs import (
    RunSums,
    lumi_pairs,
    lumi_ranges,
    written_runs,
    wrong_sums,
    wrong_weights,
)
from flashsim_prod.physics.nanoaod.schema import Schema

if TYPE_CHECKING:
    from flashsim_prod.physics.nanoaod.checking.written import Written

_STEP = 4000
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
    written: Written | None = None,
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
    written : Written, optional
        Has looked at all values when they were written: then the file need only hold those.

    Raises
    ------
    EventsError
        One line with the file, the event and the branch of the first thing that is wrong.
    """
    where = Where(name or str(path))
    content: Mapping[str, str] = {}
    with _as_validation(), NanoFile(str(path)) as file:
        _check_size(file, events, where, may_be_empty=may_be_empty)
        schema = schema_of_file(file, schema)
        known = _known_branches(file, schema, where)
        weights = [WEIGHT] if WEIGHT in file.branches else []
        numbers = file.read([*NUMBERS, *FOLDS, "genWeight", *weights], 0, file.n_entries)
        where.of(numbers)
        about = file.provenance()
        if numbers.n:
            _check_numbers(numbers, event_numbers, lumis, where)
            _check_folds(numbers, where, is_selected=ANALYSIS in about)
            weight = numbers.scalars["genWeight"]
            check_column(schema.branch("genWeight"), weight, np.arange(numbers.n), 0, where)
        _check_sums(str(path), numbers, where, runs, of_input=NORMALISATION in about)
        if numbers.n and written is not None:
            written.compare(file, where)
        elif numbers.n:
            content = _checked(file, known, schema, where, digests=digests)
    return _summary(numbers, content)


def _check_size(file: NanoFile, events: int | None, where: Where, *, may_be_empty: bool) -> None:
    """The file holds as many events as it should, and some."""
    if events is not None and file.n_entries != events:
        where.fail(f"holds {file.n_entries} events, expected {events}")
    if not file.n_entries and not may_be_empty:
        where.fail("holds no events")


def _checked(
    file: NanoFile, known: Sequence[str], schema: Schema, where: Where, *, digests: bool
) -> Mapping[str, str]:
    """Digests of all values, if they are wanted, which are what they should be."""
    content = ContentDigest()
    for start in range(0, file.n_entries, _STEP):
        stretch = file.read(known, start, start + _STEP)
        check_values(stretch, schema, start, where)
        if digests:
            content.add(stretch)
    return content.result()


def _summary(numbers: Events, content: Mapping[str, str]) -> FileSummary:
    """What a file with these numbers holds."""
    if not numbers.n:
        return FileSummary(0, 0.0, 0, 0, 0, 0, 0, ())
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
        content=content,
    )


@contextmanager
def _as_validation() -> Iterator[None]:
    """A produced file that cannot be read is invalid."""
    try:
        yield
    except InputError as error:
        raise EventsError(str(error)) from error


def _known_branches(file: NanoFile, schema: Schema, where: Where) -> list[str]:
    """All branches of the file, which must be those of the schema and one counter for each collection."""
    in_schema = [one for name, one in schema.branches.items() if name in file.branches]
    counters = {f"n{one.collection}" for one in in_schema if one.collection}
    for name in sorted(file.branches - schema.branches.keys() - counters):
        where.fail(f"has an unknown branch '{name}'")
    for name in sorted({*counters, *NUMBERS, *FOLDS, "genWeight"} - file.branches):
        where.fail(f"has no branch '{name}'")
    return sorted(file.branches)


def _check_numbers(
    numbers: Events, event_numbers: range | None, lumis: Sequence[LumiRange] | None, where: Where
) -> None:
    run, lumi, event = (numbers.scalars[name] for name in NUMBERS)
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


def _check_folds(numbers: Events, where: Where, *, is_selected: bool = False) -> None:
    """Folds 0 to k-1 of each generated event follow each other, and no generated event comes twice.

    Where events are selected, some of the folds: then all that is known is their order.
    """
    gen, fold, oversample = (numbers.scalars[name].astype(np.int64) for name in FOLDS)
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


def _check_sums(path: str, numbers: Events, where: Where, runs: Sequence[RunSums], *, of_input: bool) -> None:
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
