"""Whether a step of a model holds on events that it was not found on: only then it is taken.

Objects of one event are not independent, and what is right of one attribute may break what several have to do
with each other. So a model is judged as a whole, by how near its draws come to what was seen in stretches of
sources that it was not found on, against the scatter of these stretches; and a step that one of the files
speaks against is of a process rather than of the detector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
#: by target, shape (m, n): several for each object
Draws = Mapping[str, NDArray[np.floating]]

#: stretches that the sources of a file are cut into, at most: each holds several events
_STRETCHES = 40
#: times that a step is found without a part of the stretches
FOLDS = 3
#: standard errors that a gain must have: three steps of some 25 models are tried
_ERRORS = 2.0
#: how probable it may be that any one of all files seems to lose by chance: as one does by one error; what
#: each may lose grows with how many there are, as else many files refuse what is right
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
            folds.append(rng.permutation(number) % FOLDS)
        return cls(of, np.array(samples, dtype=np.int64), np.concatenate(folds or [of]))

    def parts(self) -> Iterator[tuple[Bools, Bools]]:
        """Sources to find a step on, and sources to judge it by, several times."""
        for fold in np.unique(self.fold):
            judged = (self.fold == fold)[self.of]
            if not judged.all():
                yield ~judged, judged

    def hold(self, gain: F64, source: I64) -> bool:
        """Whether a gain is more than chance makes it, and no file loses.

        Parameters
        ----------
        gain : array of shape (n,)
            What is explained better of each object, or source, that it is judged by.
        source : int64 array of shape (n,)
            Which source each is of.
        """
        if not len(gain):
            return False
        stretch = self.of[source]
        (value,), (error,), _ = _means(gain, stretch, np.zeros_like(stretch))
        if not value > _ERRORS * error:
            return False
        of_files, scatter, limits = _means(gain, stretch, self.sample[stretch])
        return not np.any(of_files < -limits * scatter)


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


@dataclass(frozen=True)
class Judged:
    """Objects of a table that draws of a model are held to, in ranks of each of their attributes.

    Attributes
    ----------
    among : mapping of target name to array
        Sorted numbers that ranks are counted in: so all distances are alike, whatever the unit, and however
        far the tails.
    seen : mapping of target name to array of shape (n,)
        In ranks.
    known : mapping of target name to bool array of shape (n,)
        Where it was seen; nothing is far from what was not.
    """

    among: dict[str, F32]
    seen: dict[str, F64]
    known: dict[str, Bools]

    @classmethod
    def by(cls, table: Table, drawn: Draws) -> Self:
        """All objects of a table, in ranks among them and what a model draws for each."""
        among, seen = {}, {}
        for name, column in table.targets.items():
            values, of_draws = column.astype(np.float32), drawn[name].astype(np.float32)
            among[name] = np.sort(np.concatenate((np.tile(values, len(of_draws)), of_draws.ravel())))
            seen[name] = ranks(among[name], values)
        return cls(among, seen, {name: table.is_known(name) for name in seen})

    def missed(self, drawn: Draws, chosen: Bools) -> F64:
        """How far draws for the `chosen` objects are from what was seen, one number each."""
        away = [
            np.where(known[chosen], ranks(self.among[name], drawn[name]) - self.seen[name][chosen], 0.0)
            for name, known in self.known.items()
        ]
        return missed_by(np.stack(away, axis=-1))


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


def ranks(among: NDArray[np.floating], values: NDArray[np.floating]) -> F64:
    """Which share of the sorted numbers `among` is below `values`, what is equal counting half."""
    flat = values.astype(np.float32).ravel()
    left, right = (np.searchsorted(among, flat, side=side) for side in ("left", "right"))
    return np.asarray((left + right) / (2.0 * len(among))).reshape(values.shape)


def missed_by(away: F64) -> F64:
    """How far draws for each object are from what was seen: the energy score, which sees all attributes.

    Gneiting and Raftery, Journal of the American Statistical Association 102 (2007) 359. It is least, on
    average, for draws of the very distribution that the objects are of.

    Parameters
    ----------
    away : array of shape (m, n, p)
        Several draws for each object, less what was seen of it.
    """
    m, n, _ = away.shape
    of_each_other = np.zeros(n)
    for one in range(m):
        of_each_other += np.linalg.norm(away[:one] - away[one], axis=-1).sum(axis=0)
    return np.asarray(np.linalg.norm(away, axis=-1).mean(axis=0) - of_each_other / max(1, m * (m - 1)))
