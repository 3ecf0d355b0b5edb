"""Comparisons of two samples whose entries come in clusters: those of one generator event belong together.

Objects of one event share its pileup, folds share their generator event, and a sample may share its generator
events with the one that it is compared with. All of that is in the covariance of the sums over generator
events, so every uncertainty and chi2 here is taken from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import hist
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flashsim_prod.physics.oversampling import OversampledHist
from flashsim_prod.physics.validation.statistics.distances import F64, I64, Measured

#: generator events that a bin of a chi2 needs in either sample, for its sum to be nearly Gaussian
_MIN_PER_BIN = 15
#: equally filled bins of a chi2
_BINS = 20
#: integers with at most so many values get a bin each
_CATEGORIES = 25


@dataclass(frozen=True)
class Entries:
    """Values of one sample.

    Attributes
    ----------
    values : array of shape (n,)
    gen : int array of shape (n,)
        Generator event of each.
    weight : array of shape (n,)
    """

    values: F64
    gen: I64
    weight: F64

    def __len__(self) -> int:
        return len(self.values)

    def select(self, chosen: NDArray[np.bool_]) -> Entries:
        """Only some of them."""
        return Entries(self.values[chosen], self.gen[chosen], self.weight[chosen])


@dataclass(frozen=True)
class Test:
    """A chi2 with the probability that chance alone makes it as large.

    The probability is that of Hotelling's T2 (Annals of Mathematical Statistics 2 (1931) 360): the covariance
    is itself estimated, from a number of generator events that need not be large.
    """

    chi2: float
    ndf: int
    p_value: float


def chi2_test(difference: F64, covariance: F64, n_gen: float) -> Test:
    """Whether `difference` is compatible with zero.

    Parameters
    ----------
    difference : array of shape (n,)
    covariance : array of shape (n, n)
        Directions without variance do not count.
    n_gen : float
        Generator events that the covariance was taken from.
    """
    if not len(difference):
        return Test(0.0, 0, 1.0)
    scale = np.sqrt(np.diag(covariance))
    kept = scale > 0
    scaled = difference[kept] / scale[kept]
    correlation = covariance[np.ix_(kept, kept)] / np.outer(scale[kept], scale[kept])
    values, vectors = np.linalg.eigh(correlation)
    solid = values > 1e-9 * max(1.0, values.max(initial=0.0))
    chi2 = float(np.sum((vectors.T[solid] @ scaled) ** 2 / values[solid]))
    ndf = int(solid.sum())
    freedom = n_gen - ndf
    if ndf == 0 or freedom <= 0:
        return Test(chi2, 0, 1.0)
    f_ratio = chi2 * freedom / (ndf * max(1.0, n_gen - 1))
    return Test(chi2, ndf, float(stats.f.sf(f_ratio, ndf, freedom)))


@dataclass(frozen=True)
class Moment:
    """Mean or width of one sample, and what each generator event adds to its deviation.

    Attributes
    ----------
    value : float
    gen : int array of shape (n_gen,)
    influence : array of shape (n_gen,)
        Their squares add up to the variance of the value.
    """

    value: float
    gen: I64
    influence: F64

    @property
    def measured(self) -> Measured:
        """The value with its standard error."""
        return Measured(self.value, float(np.sqrt(np.sum(self.influence**2))))

    def ratio(self, other: Moment) -> Measured | None:
        """This over `other`, whose fluctuations cancel where they come from the same generator events."""
        if self.value == 0 or other.value == 0:
            return None
        ratio = self.value / other.value
        shift = self._minus(other, 1 / self.value, 1 / other.value)
        return Measured(ratio, abs(ratio) * shift)

    def difference(self, other: Moment) -> Measured:
        """This less `other`."""
        return Measured(self.value - other.value, self._minus(other, 1.0, 1.0))

    def _minus(self, other: Moment, scale: float, other_scale: float) -> float:
        """Standard deviation of the difference of the two, each scaled."""
        _, where = np.unique(np.concatenate((self.gen, other.gen)), return_inverse=True)
        parts = np.concatenate((scale * self.influence, -other_scale * other.influence))
        return float(np.sqrt(np.sum(np.bincount(where, parts) ** 2)))


def mean_and_width(entries: Entries) -> tuple[Moment, Moment]:
    """Mean and standard deviation; there must be entries with different values."""
    gen, where = np.unique(entries.gen, return_inverse=True)
    total = entries.weight.sum()
    mean = float(np.sum(entries.values * entries.weight) / total)
    squares = (entries.values - mean) ** 2
    width = float(np.sqrt(max(0.0, np.sum(squares * entries.weight) / total)))
    of_mean = np.bincount(where, entries.weight * (entries.values - mean)) / total
    of_variance = np.bincount(where, entries.weight * (squares - width**2)) / total
    return Moment(mean, gen, of_mean), Moment(width, gen, of_variance / (2 * width or 1.0))


def distances(sample: Entries, reference: Entries) -> tuple[float, float]:
    """1-Wasserstein distance in the reference's standard deviations, and Kolmogorov-Smirnov distance.

    Weights may be of either sign. Where the reference is constant, the former is in the values' own unit.
    """
    values = np.concatenate((sample.values, reference.values))
    weights = np.concatenate(
        (sample.weight / sample.weight.sum(), -reference.weight / reference.weight.sum())
    )
    order = np.argsort(values, kind="stable")
    values = values[order]
    gap = np.cumsum(weights[order])[:-1]
    steps = np.diff(values)
    mean = np.average(reference.values, weights=reference.weight)
    variance = np.average((reference.values - mean) ** 2, weights=reference.weight)
    unit = np.sqrt(variance) if variance > 0 else 1.0
    # between equal values the cumulative distributions are not defined
    largest = np.abs(gap[steps > 0]).max(initial=0.0)
    return float(np.sum(np.abs(gap) * steps) / unit), float(largest)


def chi2_edges(sample: F64, reference: F64, *, discrete: bool) -> F64:
    """Edges of bins that both samples fill: values of their own where there are few, or equal shares."""
    both = np.concatenate((sample, reference))
    values = np.unique(both) if discrete else np.zeros(0)
    if 0 < len(values) <= _CATEGORIES:
        return np.append(values, values[-1] + 1)
    levels = np.quantile(both, np.linspace(0, 1, _BINS + 1), method="inverted_cdf")
    edges, times = np.unique(levels, return_counts=True)
    # a spike of equal values gets a bin of its own
    behind = np.nextafter(edges[times > 1], np.inf)
    return np.unique(np.concatenate((edges, behind, [np.nextafter(edges[-1], np.inf)])))


def _grouping(cells: I64, gens: I64, which: I64, n_cells: int) -> I64:
    """The bin that each bin is joined into, till all have enough generator events of either sample."""
    seen = np.unique((gens * 2 + which) * n_cells + cells)
    numbers = np.bincount(seen % (2 * n_cells), minlength=2 * n_cells).reshape(2, n_cells).T
    group = np.zeros(n_cells, dtype=np.int64)
    current, held, left = 0, np.zeros(2), numbers.sum(axis=0)
    for cell, more in enumerate(numbers):
        group[cell] = current
        held, left = held + more, left - more
        if min(held.min(), left.min()) >= _MIN_PER_BIN:
            current, held = current + 1, np.zeros(2)
    return group


def _sums(cells: I64, gens: I64, weights: F64, which: I64, n_cells: int) -> tuple[F64, F64]:
    """Sums of weights, shape (2, n_cells), and their covariance, shape (2, n_cells, 2, n_cells)."""
    axes = (hist.axis.Integer(0, 2, flow=False), hist.axis.Integer(0, n_cells, flow=False))
    made = OversampledHist(*axes, covariance=True).fill(which, cells, gen_event=gens, weight=weights)
    return made.values(), made.covariance().reshape(2, n_cells, 2, n_cells)


def _side_by_side(sample: Entries, reference: Entries) -> tuple[F64, I64, F64, I64]:
    """Values, generator events, weights and number of the sample of all entries."""
    return (
        np.concatenate((sample.values, reference.values)),
        np.concatenate((sample.gen, reference.gen)),
        np.concatenate((sample.weight, reference.weight)),
        np.repeat(np.array([0, 1]), [len(sample), len(reference)]),
    )


def _n_gen(gens: I64, which: I64) -> float:
    """Generator events of the smaller sample: it is the one that the covariance hangs on."""
    return float(min(len(np.unique(gens[which == side])) for side in (0, 1)))


def shape_test(sample: Entries, reference: Entries, *, discrete: bool) -> Test:
    """Whether the two samples have the same distribution."""
    edges = chi2_edges(sample.values, reference.values, discrete=discrete)
    values, gens, weights, which = _side_by_side(sample, reference)
    cells = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    group = _grouping(cells, gens, which, len(edges) - 1)
    n_cells = int(group[-1]) + 1
    sums, covariance = _sums(group[cells], gens, weights, which, n_cells)
    totals = sums.sum(axis=1)
    shares = sums / totals[:, None]
    # how the share of a bin changes with the sums of all: (identity - share) / total
    slope = (np.eye(n_cells)[None] - shares[:, :, None]) / totals[:, None, None]
    slope[1] *= -1
    of_difference = np.einsum("sij,sjtk,tlk->il", slope, covariance, slope)
    # the shares add up to one, so that one of them says nothing
    return chi2_test((shares[0] - shares[1])[:-1], of_difference[:-1, :-1], _n_gen(gens, which))


@dataclass(frozen=True)
class Rates:
    """A fraction along an axis, in two samples.

    Attributes
    ----------
    edges : tuple of float
        One more than there are bins.
    sample, reference : tuple of float
    sample_error, reference_error : tuple of float
    difference : float
        Mean distance between the two, bins weighted as the reference fills them.
    test : Test
    """

    edges: tuple[float, ...]
    sample: tuple[float, ...]
    reference: tuple[float, ...]
    sample_error: tuple[float, ...]
    reference_error: tuple[float, ...]
    difference: float
    test: Test


def compare_rates(
    sample: Entries, sample_passes: NDArray[np.bool_], reference: Entries, reference_passes: NDArray[np.bool_]
) -> Rates:
    """The fraction of entries that pass, in bins of their values.

    Parameters
    ----------
    sample, reference : Entries
        The values are positions along the axis.
    sample_passes, reference_passes : bool arrays
    """
    values, gens, weights, which = _side_by_side(sample, reference)
    passes = np.concatenate((sample_passes, reference_passes))
    edges = np.unique(np.quantile(reference.values, np.linspace(0, 1, 13)))
    cells = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
    group = _grouping(cells, gens, which, max(1, len(edges) - 1))
    n_cells = int(group[-1]) + 1
    sums, covariance = _sums(group[cells] * 2 + passes, gens, weights, which, 2 * n_cells)
    fails, passed = sums[:, 0::2], sums[:, 1::2]
    total = fails + passed
    rate = passed / total
    slope = np.zeros((2, n_cells, 2 * n_cells))
    bins = np.arange(n_cells)
    slope[:, bins, 2 * bins] = -rate / total
    slope[:, bins, 2 * bins + 1] = (1 - rate) / total
    errors = [np.sqrt(np.diag(slope[s] @ covariance[s, :, s] @ slope[s].T)) for s in (0, 1)]
    slope[1] *= -1
    of_difference = np.einsum("sij,sjtk,tlk->il", slope, covariance, slope)
    starts = np.unique(group, return_index=True)[1]
    return Rates(
        (*edges[starts].tolist(), float(edges[-1])),
        tuple(rate[0].tolist()),
        tuple(rate[1].tolist()),
        tuple(errors[0].tolist()),
        tuple(errors[1].tolist()),
        float(np.average(np.abs(rate[0] - rate[1]), weights=np.abs(total[1]))),
        chi2_test(rate[0] - rate[1], of_difference, _n_gen(gens, which)),
    )
