"""Distances between two samples, and between counts and what was predicted: pure figures, no models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: entries of both samples together that a bin of the two-sample chi2 holds at least
_MIN_ENTRIES = 10
#: variance of the predicted number that a bin holds at least, so that a Gaussian describes it
_MIN_VARIANCE = 10.0


@dataclass(frozen=True)
class ChiSquare:
    """A chi2 and its number of degrees of freedom."""

    chi2: float
    ndf: int

    @property
    def per_ndf(self) -> float:
        """chi2/ndf; 0 where there is no degree of freedom."""
        return self.chi2 / self.ndf if self.ndf else 0.0

    def chance_above(self, per_ndf: float) -> float:
        """Probability that chance alone makes chi2/ndf larger than `per_ndf`."""
        return float(stats.chi2.sf(per_ndf * self.ndf, self.ndf)) if self.ndf else 0.0


@dataclass(frozen=True)
class Measured:
    """A figure and its standard error."""

    value: float
    error: float


def wasserstein_in_sigma(sample: F64, reference: F64) -> float:
    """1-Wasserstein distance in units of the reference's standard deviation.

    Where the reference is constant, the distance is in the attribute's own unit.
    """
    width = float(np.std(reference))
    distance = float(stats.wasserstein_distance(sample, reference))
    return distance / width if width > 0 else distance


def ks_distance(sample: F64, reference: F64) -> float:
    """Largest difference between the two cumulative distributions (Kolmogorov-Smirnov)."""
    return float(stats.ks_2samp(sample, reference, method="asymp").statistic)


def two_sample_chi2(sample: NDArray[np.generic], reference: NDArray[np.generic]) -> ChiSquare:
    """Chi2 between the values of two discrete samples, rare values taken together.

    For counts a and b of samples of sizes A and B it is the sum of
    (sqrt(B/A) a - sqrt(A/B) b)^2 / (a + b), with one degree of freedom less than there are bins
    (Numerical Recipes, section on the chi2 test for two binned data sets).
    """
    values, where = np.unique(np.concatenate((sample, reference)), return_inverse=True)
    a = np.bincount(where[: len(sample)], minlength=len(values)).astype(np.float64)
    b = np.bincount(where[len(sample) :], minlength=len(values)).astype(np.float64)
    rare = a + b < _MIN_ENTRIES
    if rare.any():
        a = np.append(a[~rare], a[rare].sum())
        b = np.append(b[~rare], b[rare].sum())
    scale = np.sqrt(len(reference) / len(sample))
    return ChiSquare(float(np.sum((scale * a - b / scale) ** 2 / (a + b))), len(a) - 1)


def rank_correlations(columns: F64, others: F64 | None = None, weight: F64 | None = None) -> F64:
    """Spearman correlations of `columns`, shape (n, p), with each other or with `others`, shape (n, q).

    Ranks, because single values far out would decide a linear correlation. A constant column has none with
    anything: 0. `weight`, shape (n,), is what rows count for, not below 0; all alike by default.
    """
    first = _standard_ranks(columns, weight)
    second = first if others is None else _standard_ranks(others, weight)
    if weight is not None:
        second = second * (weight / weight.mean())[:, None]
    correlations: F64 = first.T @ second / max(1, len(columns))
    return correlations


def correlation_difference(
    first: F64, second: F64, weights: tuple[F64 | None, F64 | None] = (None, None)
) -> F64:
    """Rank correlations between the columns of `first` less those of `second`, shape (p, p).

    Of a column with itself there is no difference, not even where it is constant in one of the two.
    """
    of_first, of_second = weights
    difference = rank_correlations(first, weight=of_first) - rank_correlations(second, weight=of_second)
    np.fill_diagonal(difference, 0.0)
    return difference


def _standard_ranks(columns: F64, weight: F64 | None) -> F64:
    if weight is not None:
        return _weighted_ranks(columns, weight / weight.sum())
    ranks = stats.rankdata(columns, axis=0)
    centred = ranks - ranks.mean(axis=0)
    width = centred.std(axis=0)
    standard: F64 = centred / np.where(width > 0, width, 1.0)
    return standard


def _weighted_ranks(columns: F64, share: F64) -> F64:
    """The share of all rows that is below each, equal values half, as numbers of mean 0 and width 1."""
    standard = np.empty(columns.shape)
    for place, column in enumerate(columns.T):
        _, where = np.unique(column, return_inverse=True)
        by_value = np.bincount(where, share)
        centred = (np.cumsum(by_value) - by_value / 2)[where] - 0.5
        width = float(np.sqrt(centred**2 @ share))
        standard[:, place] = centred / (width if width > 1e-12 else 1.0)
    return standard


@dataclass(frozen=True)
class Curve:
    """Predicted and observed numbers of objects per source, along one axis.

    Attributes
    ----------
    axis : str
        What the sources are sorted by.
    edges : tuple of float
        One more than there are bins.
    rows : tuple of int
        Sources of each bin.
    predicted, observed : tuple of float
        Mean number per source.
    error : tuple of float
        Standard deviation of the observed mean, if the prediction holds.
    correlation : float
        Variance of sums over generator events over that of as many independent sources.
    chi2 : ChiSquare
        Of the observed numbers against the predicted ones; no parameter is fitted, so every bin counts.
    """

    axis: str
    edges: tuple[float, ...]
    rows: tuple[int, ...]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    error: tuple[float, ...]
    correlation: float
    chi2: ChiSquare


#: cumulative shares of the sources at which bins end: even ones, finer in the upper tail
SHARES = (*np.linspace(0, 0.95, 20).tolist(), 0.98, 0.995, 1.0)
DECILES = tuple(np.linspace(0, 1, 11).tolist())


def compare_along(
    axis: str,
    position: F64,
    probabilities: F64,
    observed: I64,
    gen_event: I64,
    shares: tuple[float, ...] = SHARES,
) -> Curve:
    """Predicted against observed numbers in bins of `position`.

    A generator event that was reconstructed several times brings the same sources several times, and what
    a prediction misses in one of them it misses in all. So the variance of independent sources is scaled
    by the design effect of generator events (Kish, Survey Sampling, 1965): their residuals' sums, squared,
    over the residuals' squares.

    Parameters
    ----------
    axis : str
    position : array of shape (n,)
        Where each source is along the axis.
    probabilities : array of shape (n, most + 1)
        Predicted probability of 0, 1, ... objects of each source.
    observed : int array of shape (n,)
        Objects that came of each source.
    gen_event : int array of shape (n,)
        Generator event of each source.
    shares : tuple of float
        Cumulative shares of the sources at which bins end. Bins that a Gaussian would not describe are
        joined with their neighbours.
    """
    numbers = np.arange(probabilities.shape[1])
    mean = probabilities @ numbers
    variance = probabilities @ numbers**2 - mean**2
    edges = np.unique(np.quantile(position, shares))
    of_bin = np.clip(np.searchsorted(edges, position, side="right") - 1, 0, max(0, len(edges) - 2))
    n_bins = max(1, len(edges) - 1)
    group = _joined(np.bincount(of_bin, variance, minlength=n_bins).astype(np.float64))
    joined = group[of_bin]
    rows, expected, found, spread = (
        np.bincount(joined, weights, minlength=group[-1] + 1)
        for weights in (None, mean, observed.astype(np.float64), variance)
    )
    correlation = _design_effect(observed - mean, joined, gen_event)
    variances = np.asarray(spread * correlation, np.float64)
    pulls = np.divide((found - expected) ** 2, variances, out=np.zeros_like(variances), where=variances > 0)
    starts = np.unique(group, return_index=True)[1]
    return Curve(
        axis,
        (*edges[starts].tolist(), float(edges[-1])),
        tuple(int(number) for number in rows),
        tuple((expected / rows).tolist()),
        tuple((found / rows).tolist()),
        tuple((np.sqrt(variances) / rows).tolist()),
        correlation,
        ChiSquare(float(pulls.sum()), len(rows)),
    )


def _design_effect(residual: F64, of_bin: I64, gen_event: I64) -> float:
    """How much more sums over generator events vary about the bins' means than independent rows would."""
    mean = np.bincount(of_bin, residual) / np.maximum(np.bincount(of_bin), 1)
    inside = residual - mean[of_bin]
    alone = float(np.sum(inside**2))
    _, group = np.unique(np.stack((of_bin, gen_event)), axis=1, return_inverse=True)
    return float(np.sum(np.bincount(group.ravel(), inside) ** 2)) / alone if alone > 0 else 1.0


def _joined(variance: F64) -> I64:
    """The bin that each bin is joined into, so that all hold enough variance."""
    group = np.zeros(len(variance), dtype=np.int64)
    current, held = 0, 0.0
    for position, more in enumerate(variance.tolist()):
        group[position] = current
        held += more
        # what is left over at the end stays with the last bin that is full
        if held >= _MIN_VARIANCE and variance[position + 1 :].sum() >= _MIN_VARIANCE:
            current, held = current + 1, 0.0
    return group
