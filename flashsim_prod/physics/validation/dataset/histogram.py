"""Histograms of a dataset's observables, filled file by file, with the uncertainties of oversampling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import numpy as np

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.files import appearing
from flashsim_prod.physics.copies import Copies
from flashsim_prod.physics.events import WEIGHT, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.runs import event_weights
from flashsim_prod.physics.oversampling import OversampledHist
from flashsim_prod.physics.validation.dataset.observables import Observable, find_observable
from flashsim_prod.physics.validation.dataset.samples import StageProgress
from flashsim_prod.physics.validation.statistics.distances import F64, I64

_CHUNK_EVENTS = 20_000
_BINS = 40
#: whole numbers within so small a range get a bin each
_MOST_INTEGERS = 60
_NUMBERS = ("FlashSim_genEvent", "FlashSim_oversample", "genWeight")
_FOLD = "FlashSim_fold"


@dataclass(frozen=True)
class Binning:
    """Bins of equal width from `low` to `high`."""

    bins: int
    low: float
    high: float

    @staticmethod
    def parse(text: str) -> Binning:
        """``40,0,200``; `RequestError` if it is not of this form."""
        try:
            bins, low, high = text.split(",")
            found = Binning(int(bins), float(low), float(high))
        except ValueError as error:
            raise RequestError(f"bins '{text}' are not of the form NUMBER,LOW,HIGH, like 40,0,200") from error
        if found.bins < 1 or not found.low < found.high:
            raise RequestError(f"bins '{text}': there must be some, and LOW below HIGH")
        return found

    @staticmethod
    def around(values: F64) -> Binning:
        """Bins that fit most of `values`."""
        if not len(values):
            return Binning(1, 0.0, 1.0)
        low, high = (float(edge) for edge in np.quantile(values, (0.002, 0.998), method="nearest"))
        if np.all(values == np.round(values)) and high - low < _MOST_INTEGERS:
            return Binning(int(high - low) + 1, low - 0.5, high + 0.5)
        margin = 0.02 * (high - low) or 0.5
        return Binning(_BINS, low - margin, high + margin)

    def axis(self, observable: Observable) -> Any:
        """The axis of a histogram."""
        return hist.axis.Regular(self.bins, self.low, self.high, name="x", label=observable.label)


@dataclass(frozen=True)
class Filled:
    """The histogram of one observable: sums of weights / k, so that generator events are counted.

    Attributes
    ----------
    observable : Observable
    by_gen : OversampledHist
        With the uncertainties of the generator events.
    by_event : OversampledHist
        The same entries, as if every fold were an event of its own.
    folds : float
        Mean number of folds.
    """

    observable: Observable
    by_gen: OversampledHist
    by_event: OversampledHist
    folds: float

    @property
    def gain(self) -> F64:
        """How many times the generator events one would need for these uncertainties without oversampling.

        One fold of each would have k times the variance that the folds would have if they were independent.
        Shape (n_bins,), NaN in empty bins.
        """
        found, naive = self.by_gen.variances(), self.by_event.variances()
        gain: F64 = self.folds * np.divide(naive, found, out=np.full_like(found, np.nan), where=found > 0)
        return gain

    def figures(self) -> dict[str, Any]:
        """What is printed as JSON; the flow bins stand at the ends."""
        made = self.by_gen
        return {
            "observable": self.observable.name,
            "edges": made.hist().axes[0].edges.tolist(),
            "values": made.values(flow=True).tolist(),
            "errors": np.sqrt(made.variances(flow=True)).tolist(),
            "naive_errors": np.sqrt(self.by_event.variances(flow=True)).tolist(),
            "gain": [None if np.isnan(one) else float(one) for one in self.gain],
            "entries": self.by_gen.entries,
            "folds": self.folds,
        }


def fill_histograms(
    urls: Sequence[str],
    names: Sequence[str],
    binning: Binning | None,
    progress: StageProgress = lambda stage, done, total: None,
) -> list[Filled]:
    """Histograms of all events.

    Parameters
    ----------
    urls : sequence of str
        Files of one dataset.
    names : sequence of str
        Observables, as `find_observable` knows them.
    binning : Binning, optional
        By default bins that fit the first events.

    Raises
    ------
    RequestError
        If the files have no such observable.
    InputError
        If a file is damaged, its events do not say which generator event they come from, or there are none;
        or if two files have one generator event, since they are not of one dataset, or the same.
    """
    made: list[Filled] = []
    n_events, n_folds = 0, 0.0
    whose = _GenEvents()
    for url, observables, events in _chunks(urls, names, progress):
        if not made:
            made = [_empty(one, binning or Binning.around(one.values(events)[0])) for one in observables]
        folds = events.scalars["FlashSim_oversample"].astype(np.float64)
        gen = events.scalars["FlashSim_genEvent"].astype(np.int64)
        whose.add(url, gen)
        _refuse_repeated(url, events)
        weight = event_weights(events) / folds
        for one in made:
            values, event = one.observable.values(events)
            try:
                one.by_gen.fill(values, gen_event=gen[event], weight=weight[event])
            except ValueError as error:
                raise InputError(f"{url} is no file of one dataset: {error}") from error
            one.by_event.fill(values, gen_event=n_events + event, weight=weight[event])
        n_events += events.n
        n_folds += folds.sum()
    if not made:
        raise InputError(f"{urls[0]}{' and the other files' if len(urls) > 1 else ''}: there are no events")
    mean = n_folds / n_events
    return [Filled(one.observable, one.by_gen, one.by_event, mean) for one in made]


class _GenEvents:
    """Which generator events each file has: of one dataset, no two have the same one."""

    def __init__(self) -> None:
        self._url = ""
        self._here: list[I64] = []
        self._before: list[tuple[str, I64]] = []

    def add(self, url: str, gen: I64) -> None:
        """Some of a file; `InputError` if a file before it has one of these."""
        if url != self._url and self._here:
            self._before.append((self._url, np.unique(np.concatenate(self._here))))
            self._here = []
        self._url, here = url, np.unique(gen)
        self._here.append(here)
        for other, there in self._before:
            if here[-1] < there[0] or there[-1] < here[0]:
                # as it is of nearly all files of a dataset
                continue
            if len(common := np.intersect1d(here, there, assume_unique=True)):
                raise InputError(
                    f"{url} and {other} both have generator event {common[0]}: they are no two files of "
                    "one dataset; fill histograms of each, and add those"
                )


def _refuse_repeated(url: str, events: Events) -> None:
    """`InputError` if one fold of one generator event is there twice, as where datasets were joined."""
    if _FOLD not in events.scalars:
        return
    gen, fold = (events.scalars[name].astype(np.int64) for name in (_NUMBERS[0], _FOLD))
    order = np.lexsort((fold, gen))
    same = (np.diff(gen[order]) == 0) & (np.diff(fold[order]) == 0)
    if same.any():
        first = order[np.argmax(same)]
        raise InputError(
            f"{url} is no file of one dataset: fold {fold[first]} of generator event {gen[first]} is there "
            "twice; fill histograms of each dataset, and add those"
        )


def _empty(observable: Observable, binning: Binning) -> Filled:
    axis = binning.axis(observable)
    return Filled(observable, OversampledHist(axis), OversampledHist(axis), 1.0)


def _chunks(
    urls: Sequence[str], names: Sequence[str], progress: StageProgress
) -> Iterator[tuple[str, list[Observable], Events]]:
    copies = Copies()
    for url in urls:
        with NanoFile(url) as file:
            copies.refuse(url, file)
            observables = [find_observable(name, file.branches) for name in names]
            for name in _NUMBERS:
                if name not in file.branches:
                    raise InputError(f"{url} has no branch '{name}': was it made by flashsim-prod?")
            more = {WEIGHT, _FOLD} & file.branches
            needed = sorted({*_NUMBERS, *more, *(name for one in observables for name in one.needs)})
            for start in range(0, file.n_entries, _CHUNK_EVENTS):
                progress(Path(url).name, start, file.n_entries)
                yield url, observables, file.read(needed, start, start + _CHUNK_EVENTS)
            progress(Path(url).name, file.n_entries, file.n_entries)


def save(filled: Sequence[Filled], path: Path) -> None:
    """Write the histograms as TH1D into a ROOT file, which appears when it is complete."""
    import uproot

    with appearing(path) as temporary, uproot.recreate(temporary) as file:
        for one in filled:
            file[_root_name(one.observable.name)] = one.by_gen.hist()


def _root_name(name: str) -> str:
    """A name that ROOT takes for an object's, too."""
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name).strip("_")
