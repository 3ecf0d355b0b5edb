"""The tree Runs: what a file counts for, which for a skim is more than the events that it holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from flashsim_prod.core.report import LumiRange
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import WEIGHT, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading

#: sums of these weights in Runs: of themselves, of their squares, and times genWeight
WEIGHT_SUMS = ("FlashSim_weightSum", "FlashSim_weightSum2", "FlashSim_weightSumw")
#: sums of a million doubles in another order differ by less
_SUM_TOLERANCE = 1e-9
#: averages of weights over the events, that readers multiply by genEventSumw
_VECTORS = ("LHEScaleSumw", "LHEPdfSumw", "LHEReweightingSumw", "PSSumw")


@dataclass(frozen=True)
class RunSums:
    """A row of the tree Runs.

    Attributes
    ----------
    count : int
        Events that it stands for, whether they are in the file or were left out of it.
    sumw, sumw2 : float
        Sums of genWeight and of its square over them.
    vectors : mapping of name to array
        Averages of weights over these events (``LHEPdfSumw``).
    """

    count: int
    sumw: float
    sumw2: float
    vectors: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def event_weights(events: Events) -> NDArray[np.float64]:
    """What each event counts for: genWeight, 1 without it, times what models weighted their draws with."""
    found = np.ones(events.n)
    for name in ("genWeight", WEIGHT):
        if name in events.scalars:
            found = found * events.scalars[name].astype(np.float64)
    return found


def sums_of_weights(events: Events) -> NDArray[np.float64] | None:
    """The `WEIGHT_SUMS` of events; ``None`` where they have no such weights."""
    if WEIGHT not in events.scalars:
        return None
    weight, nominal = (events.scalars[name].astype(np.float64) for name in (WEIGHT, "genWeight"))
    return np.array([weight.sum(), (weight**2).sum(), (weight * nominal).sum()])


def wrong_sums(
    events: Events, found: Mapping[str, NDArray[np.float64]], runs: Sequence[RunSums] = ()
) -> str | None:
    """What is wrong with the sums of genWeight in Runs; `runs` is what they come to, if not the events'."""
    weight = events.scalars["genWeight"].astype(np.float64)
    squares = float((weight**2).sum())
    names = ("genEventCount", "genEventSumw", "genEventSumw2")
    expected = dict(zip(names, (float(events.n), float(weight.sum()), squares), strict=True))
    scale = dict(zip(names, (float(events.n), float(np.abs(weight).sum()), squares), strict=True))
    if runs:
        expected = total(runs)
        scale = {name: abs(value) for name, value in expected.items()}
    whose = "the input gives" if runs else "the events give"
    for name, value in expected.items():
        if not abs(found[name].sum() - value) <= _SUM_TOLERANCE * scale[name]:
            return f"has {found[name].sum()} as the sum of {name} in Runs, {whose} {value}"
    return None


def wrong_weights(events: Events, found: Mapping[str, NDArray[np.float64]]) -> tuple[str, int | None] | None:
    """What is wrong with such weights or with their sums in Runs, and where; ``None`` if nothing is."""
    expected = sums_of_weights(events)
    if expected is None:
        return None
    bad = np.flatnonzero(~(events.scalars[WEIGHT] > 0))
    if len(bad):
        return f"{WEIGHT} is not above 0", int(bad[0])
    nominal = np.abs(events.scalars["genWeight"].astype(np.float64))
    scale = float(nominal @ events.scalars[WEIGHT].astype(np.float64))
    for name, value in zip(WEIGHT_SUMS, expected.tolist(), strict=True):
        if name not in found:
            return f"has no {name} in Runs", None
        if not abs(found[name].sum() - value) <= _SUM_TOLERANCE * max(abs(value), scale):
            return f"has {found[name].sum()} as the sum of {name} in Runs, the events give {value}", None
    return None


class TriedSums:
    """The sums over events that need not all be written: the same however they come in batches.

    Attributes
    ----------
    rows : list of RunSums
        One row when the end has come, if anything was added.
    """

    def __init__(self) -> None:
        self.rows: list[RunSums] = []
        self._weights: list[NDArray[np.float32]] = []

    def add(self, weights: NDArray[np.float32] | None) -> None:
        """Count the weights of a batch; ``None`` where all events are written."""
        if weights is not None:
            self._weights.append(weights.astype(np.float32))

    def end(self) -> None:
        """Have the row."""
        if self._weights:
            all_of_them = np.concatenate(self._weights).astype(np.float64)
            # exact sums do not depend on the order of adding
            sumw, sumw2 = math.fsum(all_of_them), math.fsum(all_of_them**2)
            self.rows.append(RunSums(len(all_of_them), sumw, sumw2))


def read_runs(url: str) -> RunSums | None:
    """What the tree Runs of a file says of all its rows; ``None`` where it has none, or none with sums."""
    with NanoFile(url) as file:
        tree = file.tree("Runs")
        if tree is None:
            return None
        with reading(url, "has a damaged tree 'Runs'"):
            names = {name.rstrip("_"): name for name in tree.keys(recursive=False)}
            if not {"genEventCount", "genEventSumw", "genEventSumw2"} <= names.keys():
                return None
            count, sumw, sumw2 = (
                np.asarray(tree[names[name]].array(library="np"), dtype=np.float64)
                for name in ("genEventCount", "genEventSumw", "genEventSumw2")
            )
            vectors = {one: tree[names[one]].array(library="ak") for one in _VECTORS if one in names}
            means = {one: mean for one, rows in vectors.items() if (mean := _mean(rows, sumw)) is not None}
    return RunSums(round(count.sum()), float(sumw.sum()), float(sumw2.sum()), means)


def _mean(rows: ak.Array, sumw: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The rows' averages, each weighted with its own sum; ``None`` where their lengths differ, or none."""
    lengths = set(ak.num(rows).tolist())
    if len(lengths) != 1 or lengths == {0} or not sumw.sum():
        return None
    values = ak.to_numpy(ak.to_regular(rows)).astype(np.float64)
    return np.asarray(values.T @ sumw / sumw.sum())


def part_of(whole: RunSums, start: int, stop: int, entries: int, folds: int) -> RunSums:
    """What events [start, stop) of a file of `entries` count for, each `folds` times.

    Counts of parts that together are the file add up to its own.
    """
    count = whole.count * stop // entries - whole.count * start // entries
    share = (stop - start) / entries * folds
    return RunSums(count * folds, whole.sumw * share, whole.sumw2 * share, whole.vectors)


def own_sums(file: NanoFile) -> RunSums:
    """The sums of the events that are in `file`; `InputError` if a weight is no finite number."""
    weight = file.first(["genWeight"], file.n_entries).scalars["genWeight"].astype(np.float64)
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(weight.astype(np.float32)))
    if len(bad):
        raise InputError(
            f"{file.url}, entry {bad[0]}: genWeight = {weight[bad[0]]} is no number that NanoAOD can hold"
        )
    return RunSums(len(weight), float(weight.sum()), float((weight**2).sum()))


def written_runs(path: str) -> dict[str, NDArray[np.float64]]:
    """Count, sumw and sumw2 of each row of a produced file, and sums of weights where there are such."""
    with reading(path, "lacks Runs"), uproot.open({path: None}) as file:
        tree = file["Runs"]
        names = ("genEventCount", "genEventSumw", "genEventSumw2")
        more = [name for name in WEIGHT_SUMS if name in tree]
        return {name: tree[name].array(library="np") for name in (*names, *more)}


def events_by_lumi(path: str) -> dict[int, int]:
    """Number of events of each luminosity section of a produced file, by its number."""
    with NanoFile(path) as file:
        sections = file.first(["luminosityBlock"], file.n_entries).scalars["luminosityBlock"]
    numbers, counts = np.unique(sections, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def total(rows: Sequence[RunSums]) -> dict[str, float]:
    """The sums over several rows, by the names of their branches."""
    return {
        "genEventCount": float(sum(row.count for row in rows)),
        "genEventSumw": sum(row.sumw for row in rows),
        "genEventSumw2": sum(row.sumw2 for row in rows),
    }


def lumi_pairs(numbers: Events) -> NDArray[np.int64]:
    """Run and luminosity section, each pair once and in order, shape (n, 2)."""
    pairs = np.stack([numbers.scalars["run"], numbers.scalars["luminosityBlock"]], axis=1)
    return np.unique(pairs, axis=0).astype(np.int64)


def lumi_ranges(numbers: Events) -> tuple[LumiRange, ...]:
    """The same as ranges of sections without a gap."""
    pairs = lumi_pairs(numbers)
    breaks = np.flatnonzero((np.diff(pairs[:, 0]) != 0) | (np.diff(pairs[:, 1]) != 1)) + 1
    return tuple(
        LumiRange(run=int(part[0, 0]), first=int(part[0, 1]), last=int(part[-1, 1]))
        for part in np.split(pairs, breaks)
    )
