"""Writing NANOAOD: the trees Events, Runs, LuminosityBlocks and MetaData."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from flashsim_prod.errors import EventsError
from flashsim_prod.physics.events import Collection, Column, Events, full_name
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.runs import WEIGHT_SUMS, RunSums, sums_of_weights
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.stamps import fixed_times, set_identifier
from flashsim_prod.physics.nanoaod.trees import COMPRESSIONS, EventTree, make_tree, storing, type_of

#: branches without which a file cannot be numbered and normalised
REQUIRED = ("run", "luminosityBlock", "event", "genWeight")

_RUNS_TITLES = {
    "run": "run number",
    "genEventCount": "number of events, every fold counted",
    "genEventSumw": "sum of genWeight over all events, every fold counted",
    "genEventSumw2": "sum of squared genWeight over all events, every fold counted",
    **dict(
        zip(
            WEIGHT_SUMS,
            (
                "sum of FlashSim_weight over the events of the file",
                "sum of squared FlashSim_weight over the events of the file",
                "sum of genWeight times FlashSim_weight over the events of the file",
            ),
            strict=True,
        )
    ),
}
#: vectors of weights, and what the averages of their numbers are called in Runs
_AVERAGES = {
    "LHEScaleWeight": "LHEScaleSumw",
    "LHEPdfWeight": "LHEPdfSumw",
    "LHEReweightingWeight": "LHEReweightingSumw",
}
_AVERAGES_TITLES = {
    one: f"sum of genWeight times {name}[i] over all events, every fold counted, divided by genEventSumw"
    for name, one in _AVERAGES.items()
}
_LUMIS_TITLES = {"run": "run number", "luminosityBlock": "luminosity section"}


class NanoWriter:
    """Writes one NANOAOD file; the same events give the same bytes, however they are cut into batches.

    Use as a context manager: leaving it normally completes the file, leaving it by an exception removes it.
    The caller chooses a temporary `path` and renames; the name is not part of the bytes.

    Parameters
    ----------
    path : Path
        File to write; one that exists is overwritten.
    schema : Schema
        Which branches there may be, and their types, precision and titles.
    provenance : mapping of name to text
        How the events were made; becomes the one row of the tree MetaData. Names must be identifiers.
    compression : str
        A key of `COMPRESSIONS`.
    runs : sequence of RunSums
        What the events count for, where they are of a larger sample; by default their own sums.
    look : callable, optional
        Is shown all events as they are stored, in the order of the file, before each part of them is written.
    told_by_contents : bool
        Whether the file's UUID depends on all numbers in it; else on `provenance` and event numbers, which
        is enough where these tell one file from another.

    Raises
    ------
    EventsError
        From `write` and at the end: unknown or missing branches, values that do not fit, no events at all.
    StorageError, NoSpaceError
        The file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        schema: Schema,
        provenance: Mapping[str, str],
        compression: str = "zstd-5",
        runs: Sequence[RunSums] = (),
        look: Callable[[Events], None] | None = None,
        told_by_contents: bool = False,
    ) -> None:
        for name in provenance:
            if not name.isidentifier():
                raise ValueError(f"'{name}' cannot name a branch of MetaData")
        self._path = path
        self._schema = schema
        self._provenance = dict(provenance)
        self._sums = _Sums(self._provenance, runs, told_by_contents)
        with storing(path), fixed_times():
            # given a path, uproot would write its name into the file, which a temporary name must not be
            self._file: Any = uproot.create(path.open("w+b"), compression=COMPRESSIONS[compression])
        self._tree = EventTree(self._file, str(path), schema, look)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        complete = False
        try:
            if error is None:
                self._finish()
                complete = True
        finally:
            if not complete:
                with suppress(OSError):
                    self._file.close()
                self._path.unlink(missing_ok=True)

    def write(self, events: Events) -> None:
        """Append `events`; every batch must have the same branches.

        Integers of any width are accepted where their values fit the branch; floats are rounded to the
        precision of the branch.
        """
        if not events.n:
            return
        kept = stored(events, self._schema)
        for name in REQUIRED:
            if name not in kept.scalars:
                raise EventsError(f"{self._path}: the events lack '{name}', which every NANOAOD file needs")
        with storing(self._path), fixed_times():
            self._sums.add(self._tree.add(kept))

    def describe(self, specimen: Events) -> None:
        """Have a file of no events that has the branches of `specimen`, unless there are events.

        Its sums are zero, and vectors of weights have their lengths, so that it merges with others.
        """
        if not self._tree.is_empty:
            return
        kept = stored(specimen, self._schema)
        with storing(self._path), fixed_times():
            self._tree.add(kept.slice(0, 0))
            self._sums.add_nothing(kept)

    def _finish(self) -> None:
        if self._tree.is_empty:
            raise EventsError(f"{self._path}: there are no events to write")
        with storing(self._path), fixed_times():
            self._sums.add(self._tree.finish())
            for name, titles, rows in self._sums.trees():
                types = {key: type_of(column) for key, column in rows.items()}
                counter = self._schema.counter_dtype
                make_tree(self._file, name, types, titles, counter=counter).extend(rows)
            if self._provenance:
                types = dict.fromkeys(self._provenance, "string")
                texts = {name: [text] for name, text in self._provenance.items()}
                make_tree(self._file, "MetaData", types, {}).extend(texts)
            self._file.close()
            set_identifier(self._path, self._sums.identifier())


class _Sums:
    """What a file says of all its events: sums by run, luminosity sections, an identifier."""

    def __init__(
        self, provenance: Mapping[str, str], runs: Sequence[RunSums], told_by_contents: bool
    ) -> None:
        self._runs, self._told_by_contents = runs, told_by_contents
        self._digest = hashlib.blake2b(json.dumps(provenance).encode(), digest_size=16)
        self._by_run: dict[int, tuple[int, float, float]] = {}
        self._weights: dict[int, NDArray[np.float64]] = {}
        self._varied: dict[str, dict[int, NDArray[np.float64]]] = {}
        self._lumis: dict[tuple[int, int], None] = {}

    def add(self, baskets: Iterable[Events]) -> None:
        """Count `baskets`; the digest of their numbers tells one file from another."""
        for events in baskets:
            self._add_runs(events.scalars["run"], events.scalars["genWeight"].astype(np.float64))
            self._add_weights(events)
            self._add_varied(events)
            pairs = np.stack([events.scalars["run"], events.scalars["luminosityBlock"]], axis=1)
            self._lumis.update(dict.fromkeys(map(tuple, np.unique(pairs, axis=0).tolist())))
            for name in ("run", "luminosityBlock", "event"):
                self._digest.update(events.scalars[name].tobytes())
            if self._told_by_contents:
                self._digest_contents(events)

    def _digest_contents(self, events: Events) -> None:
        for name in sorted(events.scalars):
            self._digest.update(name.encode() + events.scalars[name].tobytes())
        for name, one in sorted(events.collections.items()):
            self._digest.update(name.encode() + one.counts.tobytes())
            for key in sorted(one.columns):
                self._digest.update(key.encode() + one[key].tobytes())

    def add_nothing(self, specimen: Events) -> None:
        """Have the run and the vectors of `specimen`, with sums of zero."""
        self._add_varied(specimen.with_scalars({"genWeight": np.zeros(specimen.n, dtype=np.float32)}))
        if sums_of_weights(specimen) is not None:
            runs = np.unique(specimen.scalars["run"]).tolist()
            self._weights = {run: np.zeros(len(WEIGHT_SUMS)) for run in runs}
        self._by_run = dict.fromkeys(np.unique(specimen.scalars["run"]).tolist(), (0, 0.0, 0.0))

    def _add_runs(self, run: Column, weight: Column) -> None:
        for one in np.unique(run).tolist():
            mine = weight[run == one]
            count, sumw, sumw2 = self._by_run.get(one, (0, 0.0, 0.0))
            self._by_run[one] = (count + len(mine), sumw + float(mine.sum()), sumw2 + float((mine**2).sum()))

    def _add_weights(self, events: Events) -> None:
        """The sums of FlashSim_weight, by run, where events have one."""
        run = events.scalars["run"]
        for one in np.unique(run).tolist():
            sums = sums_of_weights(events if len(np.unique(run)) == 1 else _of_run(events, one))
            if sums is not None:
                self._weights[one] = self._weights.get(one, np.zeros(len(sums))) + sums

    def _add_varied(self, events: Events) -> None:
        """The sums of genWeight times each number of the vectors of weights, by run."""
        run, weight = events.scalars["run"], events.scalars["genWeight"].astype(np.float64)
        for name in _AVERAGES.keys() & events.collections.keys():
            one, by_run = events[name], self._varied.setdefault(name, {})
            products = weight[one.event_index] * one[""]
            for mine in np.unique(run).tolist():
                of_run = run[one.event_index] == mine
                sums: NDArray[Any] = np.bincount(one.local_index[of_run], weights=products[of_run])
                before = by_run.get(mine, np.zeros(0))
                by_run[mine] = _padded(sums, len(before)) + _padded(before, len(sums))

    def trees(self) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
        """Name, titles and columns of the trees Runs and LuminosityBlocks."""
        yield "Runs", *(self._runs_of_input() if self._runs else self._runs_of_events())
        run, lumi = np.array(list(self._lumis), dtype=np.uint32).reshape(-1, 2).T
        yield "LuminosityBlocks", _LUMIS_TITLES, {"run": run, "luminosityBlock": lumi}

    def _runs_of_events(self) -> tuple[dict[str, str], dict[str, Any]]:
        rows = self._rows(list(self._by_run), list(self._by_run.values()))
        if self._weights:
            columns = np.stack([self._weights[run] for run in self._by_run], axis=1)
            rows |= dict(zip(WEIGHT_SUMS, columns, strict=True))
        for name, by_run in sorted(self._varied.items()):
            parts = zip(self._by_run, rows["genEventSumw"].tolist(), strict=True)
            rows[_AVERAGES[name]] = ak.Array([by_run[run] / (norm or 1.0) for run, norm in parts])
        return {**_RUNS_TITLES, **_AVERAGES_TITLES}, rows

    def _runs_of_input(self) -> tuple[dict[str, str], dict[str, Any]]:
        """A row for each stretch of an input file; they are of one run, as all events of a job."""
        run = next(iter(self._by_run))
        sums = [(row.count, row.sumw, row.sumw2) for row in self._runs]
        rows = self._rows([run] * len(sums), sums)
        if self._weights:
            # of the file's events, whatever stretches of input they are from: with the first of these
            whole = sum(self._weights.values(), np.zeros(len(WEIGHT_SUMS)))
            for name, value in zip(WEIGHT_SUMS, whole.tolist(), strict=True):
                rows[name] = np.array([value] + [0.0] * (len(sums) - 1))
        titles = {
            name: title.replace(
                "over all events", "over all events of the sample that the input was cut from"
            )
            for name, title in _RUNS_TITLES.items()
        }
        for name in self._runs[0].vectors:
            rows[name] = ak.Array([row.vectors[name] for row in self._runs])
            titles[name] = f"{name} of the input: weights' averages, to be multiplied by genEventSumw"
        return titles, rows

    @staticmethod
    def _rows(runs: Sequence[int], sums: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
        counts, sumw, sumw2 = zip(*sums, strict=True)
        return {
            "run": np.array(runs, dtype=np.uint32),
            "genEventCount": np.array(counts, dtype=np.int64),
            "genEventSumw": np.array(sumw),
            "genEventSumw2": np.array(sumw2),
        }

    def identifier(self) -> uuid.UUID:
        """A UUID that depends on provenance and event numbers, and on all numbers if these tell the file."""
        return uuid.UUID(bytes=self._digest.digest(), version=4)


def _of_run(events: Events, run: int) -> Events:
    """What sums are of, of the events of one run."""
    mine = events.scalars["run"] == run
    return Events(int(mine.sum()), {name: column[mine] for name, column in events.scalars.items()})


def _padded(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    return np.pad(values, (0, max(0, length - len(values))))


def stored(events: Events, schema: Schema) -> Events:
    """`events` with types and precision of `schema`; `EventsError` for branches that it lacks."""
    scalars = {}
    for name, column in events.scalars.items():
        known = schema.branch(name)
        if known.collection is not None:
            raise EventsError(f"'{name}' belongs to a collection, but is given as one value per event")
        scalars[name] = as_stored(known, column)
    collections = {}
    for name, one in events.collections.items():
        columns = {}
        for key, column in one.columns.items():
            known = schema.branch(full_name(name, key))
            if known.collection != name:
                raise EventsError(f"'{known.name}' has one value per event, but is given as a collection")
            columns[key] = as_stored(known, column)
        if not columns:
            raise EventsError(f"the collection {name} has no attributes")
        collections[name] = Collection(one.counts, columns)
    return Events(events.n, scalars, collections)
