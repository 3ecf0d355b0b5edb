"""Fréchet and kernel physics distances between samples of features.

Kansal et al., arXiv:2211.10295, with the numbers of batches and points given there. Features are divided by
the largest absolute value that they have in the reference. Samples of fewer than the 50,000 that are
recommended have smaller batches: of the Fréchet distance from a fifth of the sample to a half, where they are
to be from 20,000 to 50,000.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from flashsim_prod.physics.validation.statistics.distances import Measured

F64 = NDArray[np.float64]

_LEAST, _MOST, _POINTS, _BATCHES = 20_000, 50_000, 10, 20
_KERNEL_BATCHES, _KERNEL_ROWS, _DEGREE = 10, 5_000, 4
#: percentiles that are a standard deviation away from the median
_SIGMA = (16.275, 83.725)


def frechet(sample: F64, reference: F64) -> float:
    """Squared Fréchet distance of the normal distributions with the means and covariances of two samples."""
    covariances = [np.atleast_2d(np.cov(one, rowvar=False)) for one in (sample, reference)]
    # the root of a product of two has the eigenvalues of this symmetric one
    root = _root(covariances[1])
    cross = np.sqrt(np.maximum(linalg.eigvalsh(root @ covariances[0] @ root), 0.0)).sum()
    shift = sample.mean(axis=0) - reference.mean(axis=0)
    return float(shift @ shift + sum(np.trace(one) for one in covariances) - 2 * cross)


def _root(matrix: F64) -> F64:
    values, vectors = linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def frechet_physics_distance(sample: F64, reference: F64, seed: int = 42) -> Measured:
    """FPD: what Fréchet distances of batches tend to as batches grow, a straight line in 1 / size."""
    sample, reference = _scaled(sample, reference)
    n = min(len(sample), len(reference))
    least, most = (_LEAST, _MOST) if n >= _MOST else (max(3, n // 5), max(4, n // 2))
    sizes = (1 / np.linspace(1 / least, 1 / most, _POINTS)).astype(np.int64)
    rng = np.random.default_rng(seed)
    found = [
        np.mean([frechet(_some(rng, sample, size), _some(rng, reference, size)) for _ in range(_BATCHES)])
        for size in sizes
    ]
    return _at_infinity(1 / sizes, np.array(found))


def _at_infinity(inverse: F64, values: F64) -> Measured:
    """Where a straight line that does not fall, nor begins below zero, begins."""
    columns = np.column_stack([np.ones(len(inverse)), inverse])
    (value, _slope), left = optimize.nnls(columns, values)
    covariance = np.linalg.inv(columns.T @ columns) * left**2 / max(1, len(values) - 2)
    return Measured(float(value), float(np.sqrt(covariance[0, 0])))


def kernel_physics_distance(sample: F64, reference: F64, seed: int = 42) -> Measured:
    """KPD: median of the squared maximum mean discrepancies of batches, kernel (x y / d + 1)^4, unbiased."""
    sample, reference = _scaled(sample, reference)
    size = min(_KERNEL_ROWS, len(sample), len(reference))
    rng = np.random.default_rng(seed)
    pairs = [(_some(rng, sample, size), _some(rng, reference, size)) for _ in range(_KERNEL_BATCHES)]
    found = [mean_discrepancy(*pair) for pair in pairs]
    low, high = np.percentile(found, _SIGMA)
    return Measured(float(np.median(found)), float(high - low) / 2)


def mean_discrepancy(sample: F64, reference: F64) -> float:
    """Squared maximum mean discrepancy of two samples, unbiased."""
    within = 0.0
    for one in (sample, reference):
        kernel = _kernel(one, one)
        within += float(kernel.sum() - np.trace(kernel)) / (len(one) * (len(one) - 1))
    return within - 2 * float(_kernel(sample, reference).mean())


def _kernel(a: F64, b: F64) -> F64:
    return np.asarray((a @ b.T / a.shape[1] + 1.0) ** _DEGREE)


def _scaled(sample: F64, reference: F64) -> tuple[F64, F64]:
    largest = np.abs(reference).max(axis=0)
    largest = np.where(largest > 0, largest, 1.0)
    return sample / largest, reference / largest


def _some(rng: np.random.Generator, rows: F64, size: int) -> F64:
    return rows[rng.integers(0, len(rows), size)]
