"""Classifier two-sample test: can boosted trees tell two samples apart?

Lopez-Paz and Oquab, arXiv:1610.06545. An area under the ROC curve of 0.5 means that they cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from flashsim_prod.physics.validation.statistics.distances import F64, I64, Measured

Matrix = NDArray[np.floating]

#: rows of each held-out half that the importance of an attribute is measured with
_IMPORTANCE_ROWS = 6000


@dataclass(frozen=True)
class Classification:
    """How well two samples are told apart.

    Attributes
    ----------
    auc : Measured
        Area under the ROC curve on rows that the classifier was not trained on, mean of two halves.
    importance : tuple of float
        For each column asked for, by how much the area falls when the column is shuffled.
    """

    auc: Measured
    importance: tuple[float, ...]


def tell_apart(
    first: Matrix,
    second: Matrix,
    groups: tuple[I64, I64],
    *,
    seed: int,
    columns: Sequence[int] = (),
    iterations: int = 100,
    weights: tuple[F64, F64] | None = None,
) -> Classification:
    """Train a classifier on one half of the rows and test it on the other, both ways round.

    Parameters
    ----------
    first, second : arrays of shape (n, p) and (m, p)
        NaN is a value like others.
    groups : two int arrays of shapes (n,) and (m,)
        Rows of one group, such as those of one generator event, stay in one half. Otherwise a classifier
        that remembers the conditions of a row would recognise its twin, with the wrong label.
    seed : int
    columns : sequence of int
        Columns to find the importance of.
    iterations : int
        Trees.
    weights : two arrays of shapes (n,) and (m,), optional
        What rows count for, not below 0; all alike by default.
    """
    rng = np.random.default_rng(seed)
    features = np.concatenate((first, second)).astype(np.float32)
    label = np.repeat([0, 1], [len(first), len(second)])
    group, weight = np.concatenate(groups), _of_mean_one(weights)
    half = _halves(group, rng)
    areas, importances = [], []
    # the trees' threads wait actively for each other, which on shared cores takes many times longer
    with threadpool_limits(limits=1):
        for test in (half, ~half):
            trees = HistGradientBoostingClassifier(
                max_iter=iterations, early_stopping=False, random_state=seed
            )
            # trees do not take a column in which nothing is known
            seen = np.where(np.isnan(features[~test]).all(axis=0), np.float32(0), features)
            known, judging = (None if weight is None else weight[part] for part in (~test, test))
            trees.fit(seen[~test], label[~test], sample_weight=known)
            areas.append(area_with_error(_scores(trees, seen[test]), label[test], group[test], judging))
            importances.append(_importances(trees, seen[test], label[test], columns, rng, judging))
    mean = float(np.mean([area.value for area in areas]))
    error = float(np.hypot(areas[0].error, areas[1].error) / 2)
    return Classification(Measured(mean, error), tuple(np.mean(importances, axis=0).tolist()))


def _of_mean_one(weights: tuple[F64, F64] | None) -> F64 | None:
    """Weights of both samples, each of mean one; None where all rows of either count alike."""
    if weights is None or all(np.ptp(one) == 0 for one in weights):
        return None
    return np.concatenate([one / one.mean() for one in weights])


def _halves(groups: I64, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows belong to the half of the groups that was drawn."""
    names, where = np.unique(groups, return_inverse=True)
    chosen = rng.permutation(len(names)) < len(names) // 2
    halves: NDArray[np.bool_] = chosen[where]
    return halves


def area(scores: F64, label: I64, weight: F64 | None = None) -> float:
    """Area under the ROC curve, ties counting half: by ranks (Mann-Whitney), faster than the curve itself.

    Parameters
    ----------
    scores : array of shape (n,)
    label : int array of shape (n,)
        0 or 1, both present.
    weight : array of shape (n,), optional
    """
    if weight is not None:
        _, of_second = _right_sides(scores, label, weight)
        return float(np.average(of_second, weights=weight[label == 1]))
    second = label == 1
    m = int(np.count_nonzero(second))
    above = float(rankdata(scores)[second].sum()) - m * (m + 1) / 2
    return above / (m * (len(label) - m))


def _scores(trees: HistGradientBoostingClassifier, features: Matrix) -> F64:
    scores: F64 = trees.predict_proba(features)[:, 1]
    return scores


def _importances(
    trees: HistGradientBoostingClassifier,
    features: Matrix,
    label: I64,
    columns: Sequence[int],
    rng: np.random.Generator,
    weight: F64 | None = None,
) -> F64:
    """Fall of the area for each of `columns` shuffled (Breiman, Machine Learning 45 (2001) 5)."""
    if not columns:
        return np.zeros(0)
    rows = rng.permutation(len(features))[:_IMPORTANCE_ROWS]
    features, label = features[rows], label[rows]
    weight = None if weight is None else weight[rows]
    whole = area(_scores(trees, features), label, weight)
    falls = []
    for column in columns:
        shuffled = features.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        falls.append(whole - area(_scores(trees, shuffled), label, weight))
    return np.array(falls)


def _right_sides(scores: F64, label: I64, weight: F64 | None) -> tuple[F64, F64]:
    """The share of the other sample that lies on the right side of each score, ties counting half."""
    first, second = scores[label == 0], scores[label == 1]
    n, m = len(first), len(second)
    if weight is None:
        together = rankdata(np.concatenate((first, second)))
        return 1 - (together[:n] - rankdata(first)) / m, (together[n:] - rankdata(second)) / n
    values, where = np.unique(scores, return_inverse=True)
    by_value = [np.bincount(where, weight * (label == side), len(values)) for side in (0, 1)]
    below = [(np.cumsum(one) - one / 2) / one.sum() for one in by_value]
    return 1 - below[1][where[label == 0]], below[0][where[label == 1]]


def area_with_error(scores: F64, label: I64, group: I64, weight: F64 | None = None) -> Measured:
    """Area under the ROC curve, with a standard error that knows which rows belong together.

    Obuchowski, Biometrics 53 (1997) 567; with groups of one row it is that of DeLong et al., Biometrics 44
    (1988) 837.

    Parameters
    ----------
    scores : array of shape (n,)
    label : int array of shape (n,)
        0 or 1, both present.
    group : int array of shape (n,)
    weight : array of shape (n,), optional
        What rows count for; all alike by default.
    """
    of_first, of_second = _right_sides(scores, label, weight)
    if weight is None:
        found = float(of_second.mean())
        parts = np.concatenate(((of_first - found) / len(of_first), (of_second - found) / len(of_second)))
    else:
        first, second = (weight[label == side] / weight[label == side].sum() for side in (0, 1))
        found = float(of_second @ second)
        parts = np.concatenate(((of_first - found) * first, (of_second - found) * second))
    groups = np.concatenate((group[label == 0], group[label == 1]))
    _, where = np.unique(groups, return_inverse=True)
    sums = np.bincount(where, parts)
    return Measured(found, float(np.sqrt(np.sum(sums**2))))
