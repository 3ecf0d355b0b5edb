"""Whether a shift holds on events that it was not found on: only then it is taken.

Objects of one event are not independent, and many shifts are tried at once. So each is judged by what it
explains in stretches of sources that it was not learned from, against the scatter of these stretches; and a
shift that one of the files speaks against is of a process rather than of the detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from flashsim_prod.physics.training.table import Table

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: stretches that the sources of a file are cut into, at most: each holds several events
_STRETCHES = 40
#: times that shifts are found without a part of the stretches
_FOLDS = 5
#: where the objects are divided by what is expected of them, the ends on their own
_KINDS = (0.05, 0.25, 0.5, 0.75, 0.95)
#: standard errors that a gain must have where little else is tried, and most that is tried is right
ERRORS = 1.0
#: how probable it may be that any one of all files, or of all kinds, seems to lose by chance: as one does by
#: one error; what each may lose grows with how many there are, as else many parts refuse what is right
_BY_CHANCE = float(norm.sf(1.0))


@dataclass(frozen=True)
class Stretches:
    """Sources in stretches of neighbours, which are of the same few events.

    Attributes
    ----------
    of : int64 array of shape (n_rows,)
        The stretch of each source.
    sample : int64 array of shape (n_stretches,)
        The file of each.
    fold : int64 array of shape (n_stretches,)
        In which of the parts that are judged apart.
    """

    of: I64
    sample: I64
    fold: I64

    @classmethod
    def of_table(cls, table: Table, seed: int) -> Self:
        """Of all sources of a table, which are in the order of their events."""
        of = np.zeros(len(table.number), dtype=np.int64)
        samples: list[int] = []
        rng = np.random.default_rng(seed)
        folds: list[I64] = []
        for sample in np.unique(table.source_sample):
            rows = np.flatnonzero(table.source_sample == sample)
            number = min(_STRETCHES, len(rows))
            of[rows] = len(samples) + np.arange(len(rows)) * number // len(rows)
            samples += [int(sample)] * number
            folds.append(rng.permutation(number) % _FOLDS)
        return cls(of, np.array(samples, dtype=np.int64), np.concatenate(folds or [of]))

    def parts(self) -> Iterator[tuple[Bools, Bools]]:
        """Sources to find a shift on, and sources to judge it by, several times."""
        for fold in np.unique(self.fold):
            judged = (self.fold == fold)[self.of]
            if not judged.all():
                yield ~judged, judged

    def held_out(self, fraction: float, seed: int) -> Bools:
        """About such a fraction of the stretches of each file, and one at least where there are several."""
        chosen = np.zeros(len(self.sample), dtype=bool)
        rng = np.random.default_rng(seed)
        for sample in np.unique(self.sample):
            there = rng.permutation(np.flatnonzero(self.sample == sample))
            chosen[there[: max(int(len(there) > 1), round(fraction * len(there)))]] = True
        return np.asarray(chosen[self.of])

    def hold(self, gain: F64, source: I64, kind: I64 | None = None, errors: float = ERRORS) -> bool:
        """Whether a gain is more than chance makes it, no file loses, and no kind is outvoted.

        Files are of the same detector, so that none may lose. Kinds may: where the base orders objects as
        FullSim does not, one transform for all takes from some what it gives to others, which the sum has
        weighed already. But a kind that loses more for each object than any other one gains is of another
        sort than those that outvote it.

        Parameters
        ----------
        gain : array of shape (n,)
            What is explained better of each object, or source, that it is judged by.
        source : int64 array of shape (n,)
            Which source each is of.
        kind : int64 array of shape (n,), optional
            What kind each is of; by default all are of one.
        errors : float
            Standard errors that the gain must have: more where more is tried.
        """
        if not len(gain):
            return False
        stretch = self.of[source]
        (value,), (error,), _ = _means(gain, stretch, np.zeros_like(stretch))
        if not value > errors * error:
            return False
        of_files, scatter, limits = _means(gain, stretch, self.sample[stretch])
        if np.any(of_files < -limits * scatter):
            return False
        if kind is None:
            return True
        of_kinds, scatter, limits = _means(gain, stretch, kind)
        best = int(np.argmax(of_kinds))
        return not np.any(-of_kinds - of_kinds[best] > limits * np.hypot(scatter, scatter[best]))


def _means(gain: F64, stretch: I64, part: I64) -> tuple[F64, F64, F64]:
    """What objects of each part gain, the standard errors by what stretches differ, and limits of chance.

    A limit is how many errors any one of the parts loses by chance as seldom as one part alone would lose
    one; the fewer stretches, the less its error is known, and the more it is.
    """
    found = np.unique(part)
    values, errors, limits = np.empty((3, len(found)))
    for place, one in enumerate(found):
        of = part == one
        sums = np.bincount(np.unique(stretch[of], return_inverse=True)[1], gain[of])
        n = len(sums)
        values[place] = sums.sum() / of.sum()
        # nothing tells what one alone would differ from others by, but its size
        error = np.sqrt(n) * sums.std(ddof=1) if n > 1 else abs(sums.sum())
        errors[place] = error / of.sum()
        limits[place] = student.isf(_BY_CHANCE / len(found), max(1, n - 1))
    return values, errors, limits


def alike(values: F64, stretch: I64) -> float:
    """How many objects are worth one that is independent of all others: their design effect, 1 at least.

    By how much more sums over stretches scatter than those of independent objects.

    Parameters
    ----------
    values : array of shape (n,)
    stretch : int64 array of shape (n,)
        That each is of.
    """
    apart = values - values.mean()
    independent = float(np.sum(apart**2))
    if not independent:
        return 1.0
    return max(1.0, float(np.sum(np.bincount(stretch, apart) ** 2)) / independent)


def kinds(expected: F64) -> I64:
    """Parts of objects, or sources, from those of which the least is expected to those of which the most is.

    One shift for all that is right on average may be wrong for a few: jets that are an electron, say.
    """
    order = np.argsort(np.argsort(expected, kind="stable"), kind="stable")
    found: I64 = np.searchsorted(_KINDS, (order + 0.5) / max(1, len(order)))
    return found


def ranks(among: NDArray[np.floating], values: NDArray[np.floating]) -> F64:
    """Which share of the sorted numbers `among` is below `values`, what is equal counting half."""
    flat = values.astype(np.float32).ravel()
    left, right = (np.searchsorted(among, flat, side=side) for side in ("left", "right"))
    return np.asarray((left + right) / (2.0 * len(among))).reshape(values.shape)


def missed_by(drawn: F64, seen: F64) -> F64:
    """How far draws for each object are from what was seen: the continuous ranked probability score.

    Gneiting and Raftery, Journal of the American Statistical Association 102 (2007) 359.

    Parameters
    ----------
    drawn : array of shape (m, n)
        Several draws for each object.
    seen : array of shape (n,)
    """
    m = len(drawn)
    ordered = np.sort(drawn, axis=0)
    of_each_other = (2 * np.arange(m) - m + 1) @ ordered * 2 / (m * max(1, m - 1))
    return np.asarray(np.abs(drawn - seen).mean(axis=0) - of_each_other / 2)
